//! Whole clusters of the scheduler in one thread, with virtual time and seeded faults.
//!
//! What runs is the shipped code: the runner of `tenure-tasks` over the store of `tenure-memory`,
//! with a simulated network between them and simulated clocks under them. A [`Plan`] says which
//! faults happen when; [`Plan::random`] draws one from a seed. [`simulate`] runs it in virtual time
//! and checks, at every execution and at every decision of the store, that each promise of the
//! scheduler is kept ([`Rule`]).
//!
//! ```
//! use tenure_sim::{Plan, simulate};
//!
//! # fn main() -> std::io::Result<()> {
//! let report = simulate(&Plan::random(7))?;
//! assert!(report.is_good(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! The same seed gives the same plan and the same history, step by step: whatever is walked
//! through on the way is ordered, in the scheduler and here. Only the names of claims and of the
//! store are random, and nothing is ordered by them. It does not simulate threads: every step of
//! one node is atomic between two of its awaits, which is what the scheduler's single loop
//! promises.

mod audit;
mod chance;
mod clock;
mod cluster;
mod code;
mod judge;
mod key_with_ttl;
mod line;
mod link;
mod plan;
mod records;
mod releases;
mod simulate;
mod violation;

pub use clock::{BEGINNING, SimClock};
pub use judge::Counts;
pub use line::Cut;
pub use plan::{Fault, Plan, Protocol, TaskPlan};
pub use simulate::{Report, simulate, simulate_with};
pub use violation::{Rule, Violation};
