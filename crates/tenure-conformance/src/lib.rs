//! The suites that every tenure store must pass.

mod harness;

pub use harness::{LeaseHarness, RunHarness};
