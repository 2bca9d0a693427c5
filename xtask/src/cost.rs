//! `cargo xtask page-cost`: what a page of the dashboard costs with 10 000 tasks and 1 000 locks.
//!
//! A test measures it and asserts the bytes; here it runs with the program as it is shipped, and
//! what it tells is shown. Milliseconds mean something on an idle machine only.

use std::path::Path;

use crate::servers::{self, Wish};
use crate::testing::cargo;

/// The tests that measure.
const TESTS: &str = "ten_thousand_tasks_and_a_thousand_locks";

/// Measures and tells; true if no page is too heavy.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let _stopped_at_the_end = servers::up(root, &Wish::from_env())?;
    let test = [
        "test",
        "--release",
        "--locked",
        "--package",
        "tenure-cli",
        "--test",
        "browser",
        TESTS,
        "--",
        "--nocapture",
        "--test-threads=1",
    ];
    cargo(root, &test, &[("TENURE_COST_ROUNDS", "9")])
}
