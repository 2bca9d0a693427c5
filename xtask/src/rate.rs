//! How many node-hours the simulator lives through in a real minute.
//!
//! Runs the simulator's schedules of faults as CI does, on all cores, and adds up what its tests
//! say. Other work on the machine makes the number smaller.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::{now, say};

/// The fewest node-hours a minute that the project allows.
const LEAST: f64 = 1000.0;

/// Whether the rate is at least what it must be.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    // Built before the clock runs.
    let built = test(root, &["--no-run"]).status();
    ensure!(
        built.context("cargo cannot be run")?.success(),
        "the simulator cannot be built"
    );
    let began = now();
    let schedules = "s31_every_promise_holds_under_drawn_faults";
    let output = test(root, &[schedules, "--", "--nocapture"])
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("cargo cannot be run")?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the simulator failed:\n{text}");
    let hours: f64 = text.lines().filter_map(node_hours).sum();
    ensure!(hours > 0.0, "the simulator did not say its rate:\n{text}");
    let rate = hours / minutes;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    say(format_args!(
        "{hours:.0} node-hours in {minutes:.1} minutes: {rate:.0} a minute (at least {LEAST:.0}); \
         load average {load}"
    ));
    Ok(rate >= LEAST)
}

fn test(root: &Path, arguments: &[&str]) -> Command {
    let mut test = Command::new("cargo");
    test.args(["test", "--locked", "--quiet", "--profile", "sim"]);
    test.args(["--package", "tenure-sim", "--test", "faults"]);
    test.args(arguments).current_dir(root).stdin(Stdio::null());
    test
}

/// The node-hours in a line such as `2500 schedules of faults, 63612 executions, 107 node-hours in
/// 9.1s: 705 node-hours a minute on this thread`.
fn node_hours(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" node-hours in ")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_hours_are_read_from_what_a_test_says() {
        let line = "2500 schedules of faults, 63612 executions, 107 node-hours in 9.1s: 705 \
                    node-hours a minute on this thread";
        assert_eq!(node_hours(line), Some(107.0));
        assert_eq!(node_hours("test result: ok. 4 passed"), None);
    }
}
