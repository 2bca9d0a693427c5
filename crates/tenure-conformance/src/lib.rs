//! The suites that every tenure store must pass.
//!
//! A store writes a [`LeaseHarness`] (and a [`RunHarness`]) for itself and calls the suites once;
//! each case becomes a test with its own name:
//!
//! ```text
//! // tests/conformance.rs of a store
//! mod harness;
//!
//! tenure_conformance::lease_suite!(harness::Mine::new());
//! tenure_conformance::run_suite!(harness::Mine::new());
//! ```
//!
//! The suite owns the list of cases, so a store cannot pick. What a store cannot do it declares in
//! its promises, and the suite checks the declaration. What nobody can do to its servers (step
//! their clock, for one) its harness declares, case by case and with the reason; every other case
//! is shown, and none passes because it returned at once. What no store alone can show (it belongs
//! to the lock layer, the program or one kind of server) stands with its reason in the
//! documentation of the suite.
//!
//! A store that needs a server starts a real one: see the crate `tenure-bed`.
//!
//! A case fails by panicking, with a message that says what was expected and what the store did.
//! Chance comes from one seed: a case that uses it prints `TENURE_SEED=…`, which repeats its
//! choices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this crate is tests: a panic with a message is how a case fails"
)]

mod chance;
mod harness;
pub mod lease;
pub mod run;

pub use harness::{LeaseHarness, NotShown, RunHarness};
