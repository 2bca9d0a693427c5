//! `cargo xtask page-cost`: what a page of the dashboard costs with 10 000 tasks and 1 000 locks,
//! on SQLite and on Redis.
//!
//! A test measures it and asserts the bytes; here it runs with the program as it is shipped, and
//! what it tells is shown. Milliseconds mean something on an idle machine only.

use std::path::Path;

use crate::say;
use crate::servers::{self, Wish};
use crate::testing::cargo;

/// The test that measures, and the variables by which it is told on which stores and how often.
const TEST: &str = "ten_thousand_tasks_and_a_thousand_locks_make_no_page_heavy";
const STORES: (&str, &str) = ("TENURE_COST_ON", "sqlite,redis");
const ROUNDS: (&str, &str) = ("TENURE_COST_ROUNDS", "9");

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Cost {
    /// Measure a program that was built to find mistakes: sooner there, and slower
    #[arg(long)]
    debug: bool,
}

/// Measures and tells; true if no page is too heavy.
pub(crate) fn run(root: &Path, cost: &Cost) -> anyhow::Result<bool> {
    let _stopped_at_the_end = servers::up(root, &Wish::from_env())?;
    let (build, profile): (_, &[&str]) = if cost.debug {
        (
            "a program built to find mistakes; its milliseconds are no figures",
            &[],
        )
    } else {
        ("the released program", &["--release"])
    };
    say(format_args!("page-cost: measures {build}"));
    let what = ["--locked", "--package", "tenure-cli", "--test", "browser"];
    let test = [TEST, "--", "--nocapture", "--test-threads=1"];
    let all = [&["test"], profile, &what, &test].concat();
    cargo(root, &all, &[STORES, ROUNDS])
}
