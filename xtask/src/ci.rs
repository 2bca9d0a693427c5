//! All that CI runs, step by step. A step that fails does not keep the others from running.

use std::path::Path;
use std::time::Duration;

use crate::tally::Tally;
use crate::testing::{cargo, is_installed};
use crate::{now, say, testing, tidy};

/// A step that ran, or did not.
struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    step(&mut steps, "clippy", || {
        let scope = ["clippy", "--workspace", "--all-targets", "--locked"];
        cargo(root, &[&scope[..], &["--", "-D", "warnings"]].concat(), &[])
    });
    step(&mut steps, "features", || features(root));
    let mut tally = Tally::default();
    step(&mut steps, "tests", || {
        tally = testing::run(root);
        Ok(tally.is_passed())
    });
    step(&mut steps, "docs", || docs(root));
    if is_installed(root, "deny") {
        step(&mut steps, "deny", || {
            let checks = ["deny", "--locked", "check", "bans", "licenses", "sources"];
            cargo(root, &checks, &[])
        });
    } else {
        steps.push(Step {
            name: "deny",
            took: Duration::ZERO,
            outcome: Outcome::LeftOut("cargo-deny is not installed"),
        });
    }
    say("\n=== summary");
    for step in &steps {
        say(step);
    }
    let tests_passed = tally.report();
    tests_passed && steps.iter().all(|step| step.outcome != Outcome::Failed)
}

/// Packages with fewer features than they have by themselves. The workspace as a whole is checked
/// with all that any of them asks for, which hides what does not stand alone.
const FEWER: [(&str, &str); 8] = [
    ("tenure-redis", ""),
    ("tenure-redis", "sentinel"),
    ("tenure-redis", "cluster"),
    ("tenure", "memory"),
    ("tenure", "sqlite"),
    ("tenure", "redis"),
    ("tenure-cli", ""),
    ("tenure-component", ""),
];

fn features(root: &Path) -> anyhow::Result<bool> {
    let mut is_fine = true;
    for (package, features) in FEWER {
        say(format_args!("{package} with {features:?} alone"));
        // Unlike `check` it can be told that a warning is an error, of this package alone. Its own
        // lints are about how the whole is written, where fewer features make them wrong.
        let scope = ["clippy", "--quiet", "--locked", "--no-default-features"];
        let what = ["-p", package, "--features", features];
        let deny = [
            "--",
            "-D",
            "warnings",
            "-A",
            "clippy::all",
            "-A",
            "clippy::pedantic",
        ];
        is_fine &= cargo(root, &[&scope[..], &what, &deny].concat(), &[])?;
    }
    Ok(is_fine)
}

/// Builds the documentation; a warning is an error.
fn docs(root: &Path) -> anyhow::Result<bool> {
    let deny = [("RUSTDOCFLAGS", "-D warnings")];
    // The program and the library are both called `tenure` and would overwrite each other's pages.
    let scope = ["doc", "--workspace", "--no-deps", "--locked"];
    let libraries = cargo(root, &[&scope[..], &["--lib"]].concat(), &deny)?;
    Ok(libraries)
}

fn step(steps: &mut Vec<Step>, name: &'static str, work: impl FnOnce() -> anyhow::Result<bool>) {
    say(format_args!("\n=== {name}"));
    let begun = now();
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

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.took.as_secs_f64();
        write!(f, "{:<8} {seconds:>7.1} s  ", self.name)?;
        match self.outcome {
            Outcome::Ok => f.write_str("ok"),
            Outcome::Failed => f.write_str("FAILED"),
            Outcome::LeftOut(why) => write!(f, "left out: {why}"),
        }
    }
}
