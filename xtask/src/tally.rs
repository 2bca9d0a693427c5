//! What the test runners said, added up.
//!
//! Every number comes from a runner's own closing lines. It knows how libtest and nextest write
//! them, and nothing of how they are run.

use crate::say;

/// The numbers of all runs so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// How many closing lines were read.
    closings: u64,
    /// What went wrong, a line each.
    broken: Vec<String>,
    /// The programs left out by name, whose tests did not run.
    left_out: Vec<String>,
}

impl Tally {
    /// A tally of nothing, of a run that leaves out the programs named.
    pub(crate) fn without(left_out: Vec<String>) -> Self {
        Self {
            left_out,
            ..Self::default()
        }
    }

    /// Reads a line of a runner's output; anything but a closing line changes nothing.
    ///
    /// libtest: `test result: FAILED. 3 passed; 1 failed; 0 ignored; …; finished in 0.01s`.
    /// nextest: `     Summary [   0.074s] 5 tests run: 3 passed (1 slow), 2 failed, 1 skipped`.
    pub(crate) fn read(&mut self, line: &str) {
        let counts = if let Some(counts) = line.strip_prefix("test result: ") {
            counts.split_once(". ").map(|(_, counts)| counts)
        } else if line.trim_start().starts_with("Summary [") {
            line.split_once(" run: ").map(|(_, counts)| counts)
        } else {
            None
        };
        let Some(counts) = counts else {
            return;
        };
        self.closings += 1;
        for part in counts.split([';', ',']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                // `1 timed out` and `1 exec failed` are nextest's.
                "failed" | "timed" | "exec" => self.failed += number,
                "ignored" | "skipped" | "filtered" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Counts a run: `lines` are its closing lines, `succeeded` is its exit status.
    ///
    /// A run that failed without a failed test (it did not build, or it crashed) counts as one
    /// failure, and so does one that claims success without a closing line: nothing is known of
    /// its tests.
    pub(crate) fn close(&mut self, name: &str, before: Mark, succeeded: bool) {
        let silent = self.closings == before.closings;
        if self.failed > before.failed {
            self.broken.push(format!("{name}: a test failed"));
        } else if !succeeded {
            self.fail(format!("{name}: did not build, or ended before its tests"));
        } else if silent {
            self.fail(format!("{name}: the runner named no result"));
        }
    }

    /// Counts something that kept tests from running as one failure.
    pub(crate) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.broken.push(what);
    }

    /// Where the numbers stand before a run.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            failed: self.failed,
            closings: self.closings,
        }
    }

    /// Whether tests ran and none failed.
    pub(crate) fn is_passed(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Prints what failed and what was left out; the last line is the one that CI reads.
    pub(crate) fn report(&self) -> bool {
        for name in &self.left_out {
            say(format_args!(
                "left out by TENURE_WITHOUT: {name}, with every test that has this word in its name"
            ));
        }
        for what in &self.broken {
            say(format_args!("FAILED: {what}"));
        }
        say(self.closing());
        self.is_passed()
    }

    fn closing(&self) -> String {
        let skipped = match self.skipped {
            0 => String::new(),
            number => format!(", {number} skipped"),
        };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

/// Where a tally stood before a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    failed: u64,
    closings: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally
    }

    #[test]
    fn the_runners_own_numbers_are_added_up() {
        for (lines, expected) in [
            (
                &[
                    "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
                     finished in 0.00s",
                    "test result: FAILED. 2 passed; 4 failed; 0 ignored; finished in 0.01s",
                    "running 99 tests",
                ][..],
                "5 passed, 4 failed, 1 skipped",
            ),
            (
                // libtest counts what `--skip` leaves out apart.
                &["test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out"],
                "1 passed, 0 failed, 7 skipped",
            ),
            (
                &["     Summary [   0.074s] 14 tests run: 14 passed, 0 skipped"],
                "14 passed, 0 failed",
            ),
            (
                &[
                    "Summary [1.0s] 9/10 tests run: 5 passed (2 slow), 1 failed, 2 timed out, \
                   1 exec failed, 3 skipped",
                ],
                "5 passed, 4 failed, 3 skipped",
            ),
            (
                &["a test printed: test result: ok. 7 passed; 0 failed"],
                "0 passed, 0 failed",
            ),
        ] {
            assert_eq!(read(lines).closing(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_run_without_a_result_never_closes_on_no_failure() {
        for (lines, succeeded, expected) in [
            (&["test result: ok. 1 passed; 0 failed"][..], true, 0),
            (&["test result: FAILED. 1 passed; 2 failed"], false, 2),
            // The tests passed, and the documentation's did not build.
            (&["test result: ok. 1 passed; 0 failed"], false, 1),
            (&[], false, 1),
            (&[], true, 1),
        ] {
            let mut tally = read(&["test result: ok. 8 passed; 0 failed"]);
            let before = tally.mark();
            for line in lines {
                tally.read(line);
            }
            tally.close("a crate", before, succeeded);
            assert_eq!(tally.failed, expected, "{lines:?}, {succeeded}");
            assert_eq!(tally.is_passed(), expected == 0);
            assert_eq!(tally.broken.len(), usize::from(expected > 0));
        }
    }

    #[test]
    fn no_test_at_all_is_no_success() {
        assert!(!Tally::default().is_passed());
    }
}
