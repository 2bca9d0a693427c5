//! Runs the tests crate by crate and counts them.
//!
//! Crate by crate, because building the whole workspace at once unites the features of shared
//! dependencies and would hide a missing one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::tidy::Workspace;
use crate::{say, servers};

/// What the test runner said, added up.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    broken: Vec<String>,
    left_out: Vec<String>,
}

impl Tally {
    pub(crate) fn passed(&self) -> bool {
        self.failed == 0 && self.broken.is_empty() && self.passed > 0
    }

    /// Prints the totals; the closing line is the one CI reads.
    pub(crate) fn report(&self) -> bool {
        for name in &self.left_out {
            say(format_args!("left out on request: {name}"));
        }
        for name in &self.broken {
            say(format_args!("FAILED: {name}"));
        }
        // A crate that does not build has run no test; it must not close on "0 failed".
        let failed = self.failed.max(self.broken.len() as u64);
        let skipped = if self.ignored > 0 {
            format!(", {} skipped", self.ignored)
        } else {
            String::new()
        };
        say(format_args!(
            "{} passed, {failed} failed{skipped}",
            self.passed
        ));
        self.passed()
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result:") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The clock of reports; tests of the product never use it.
pub(crate) fn now() -> Instant {
    Instant::now() // tidy: allow(clock) a report of how long a step took
}

/// Sets up what tests need, then runs them all.
pub(crate) fn run(root: &Path) -> anyhow::Result<Tally> {
    let mut tally = Tally {
        left_out: servers::left_out(),
        ..Tally::default()
    };
    require("cc", "a C compiler builds SQLite; install gcc or clang")?;
    require("sh", "tests run shell commands; install a POSIX shell")?;
    servers::up()?;
    let workspace = Workspace::read(root)?;
    let names: Vec<&str> = workspace
        .packages()
        .map(|package| package.name.as_str())
        .collect();
    for name in names {
        say(format_args!("\n--- {name}"));
        let begun = now();
        if !test_package(root, name, &mut tally)? {
            tally.broken.push(name.to_owned());
        }
        say(format_args!("--- {name}: {} s", begun.elapsed().as_secs()));
    }
    Ok(tally)
}

fn test_package(root: &Path, name: &str, tally: &mut Tally) -> anyhow::Result<bool> {
    let mut child = Command::new("cargo")
        .args(["test", "--locked", "--no-fail-fast", "--package", name])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        tally.add(&line);
        if !line.ends_with("... ok") {
            say(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// Fails with the name of a program that is missing, and what to do about it.
fn require(program: &str, why: &str) -> anyhow::Result<()> {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .output()?;
    anyhow::ensure!(found.status.success(), "`{program}` is missing: {why}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_own_numbers_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; finished in 0.01s");
        tally.add("running 99 tests");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (5, 4, 1));
        assert!(!tally.passed());
    }

    #[test]
    fn a_crate_that_does_not_build_counts_as_a_failure() {
        let tally = Tally {
            passed: 7,
            broken: vec!["x".to_owned()],
            ..Tally::default()
        };
        assert!(!tally.report());
        assert!(!Tally::default().passed(), "no test at all is no success");
    }
}
