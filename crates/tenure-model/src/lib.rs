//! Models of the protocols, small enough that a checker can try everything that may happen.
//!
//! A test shows what one order of events leads to. A model shows that no order within its bounds
//! leads anywhere else: which messages are late or lost, who dies, what the server forgets. Each
//! model restates a protocol in as few words as it can, and is meant to be read as its description;
//! the real parts are the scripts of `tenure-redis` and the client of `tenure-lock`, which it has
//! to follow when they change.
//!
//! - [`handoff`]: one lock on one server: queue, hand-off inside the release, claim window, trust.
//! - [`failover`]: a primary with replicas: what a fail-over or a restart costs in plain mode, and
//!   why strict mode does not pay it.
//! - [`quorum`]: a majority of servers that forget everything when they restart.
//! - [`run`]: one run of a task: claimed, begun, ended, taken from a node that is gone, retried.
//!
//! Each has faults that can be planted, and `tests/` shows that every one is found: a checker that
//! finds nothing has either nothing to find or looked at too little. So the number of states it saw
//! is asserted too. `cargo nextest run -p tenure-model --success-output final` prints the shortest
//! way to each of them.
#![allow(
    clippy::indexing_slicing,
    reason = "a model that panics fails its test"
)]

pub mod check;
pub mod failover;
pub mod handoff;
pub mod quorum;
mod rank;
pub mod run;
