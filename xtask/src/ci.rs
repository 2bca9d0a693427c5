//! All that CI runs, step by step. A step that fails does not keep the others from running.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{say, testing, tidy};

struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    /// Not run, and why.
    LeftOut(&'static str),
}

/// Runs every step; true if none failed.
pub(crate) fn run(root: &Path) -> bool {
    let mut steps = Vec::new();
    step(&mut steps, "format", || {
        cargo(root, &["fmt", "--all", "--check"], &[])
    });
    step(&mut steps, "tidy", || tidy::run(root));
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    step(&mut steps, "clippy", || cargo(root, &clippy, &[]));
    let mut tally = testing::Tally::default();
    step(&mut steps, "tests", || {
        tally = testing::run(root)?;
        Ok(tally.passed())
    });
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    step(&mut steps, "docs", || {
        cargo(root, &doc, &[("RUSTDOCFLAGS", "-D warnings")])
    });
    if installed(root, "deny") {
        let deny = ["deny", "check", "bans", "licenses", "sources"];
        step(&mut steps, "deny", || cargo(root, &deny, &[]));
    } else {
        let outcome = Outcome::LeftOut("cargo-deny is not installed");
        steps.push(Step {
            name: "deny",
            took: Duration::ZERO,
            outcome,
        });
    }
    summary(&steps, &tally)
}

fn step(steps: &mut Vec<Step>, name: &'static str, work: impl FnOnce() -> anyhow::Result<bool>) {
    say(format_args!("\n=== {name}"));
    let begun = testing::now();
    let outcome = match work() {
        Ok(true) => Outcome::Ok,
        Ok(false) => Outcome::Failed,
        Err(error) => {
            eprintln!("xtask: {name}: {error:#}");
            Outcome::Failed
        }
    };
    steps.push(Step {
        name,
        took: begun.elapsed(),
        outcome,
    });
}

fn summary(steps: &[Step], tally: &testing::Tally) -> bool {
    say("\n=== summary");
    for step in steps {
        let seconds = step.took.as_secs();
        let word = match step.outcome {
            Outcome::Ok => "ok".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::LeftOut(why) => format!("left out: {why}"),
        };
        say(format_args!("{:<8} {seconds:>5} s  {word}", step.name));
    }
    let tests_passed = tally.report();
    tests_passed && steps.iter().all(|step| step.outcome != Outcome::Failed)
}

fn installed(root: &Path, tool: &str) -> bool {
    let asked = Command::new("cargo")
        .args([tool, "--version"])
        .current_dir(root)
        .output();
    asked.is_ok_and(|output| output.status.success())
}

/// Runs cargo in the repository; true if it succeeded.
pub(crate) fn cargo(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> anyhow::Result<bool> {
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()?;
    Ok(status.success())
}
