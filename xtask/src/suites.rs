//! How many cases the conformance suites have on each store and its servers, and how long they
//! take, as the test run itself tells: `target/suites.md`.
//!
//! Reads nextest's lines; libtest tells no times. A test that goes through all cases of a suite on
//! servers that they share is a line of its own, and counts as one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::say;

/// Where the table is written, under the repository's folder.
const TABLE: &str = "target/suites.md";
/// In the name of a test that goes through all cases itself.
const WHOLE: [&str; 2] = ["_every_lease_case_", "_every_run_case_"];
/// A module of fewer tests is no suite.
const LEAST: usize = 50;

/// What was told of one module of cases, or of one test that goes through all of them.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Row {
    /// Whatever the number of its tests.
    is_suite: bool,
    tests: usize,
    /// Of all of them added up; several run at a time.
    seconds: f64,
}

/// The suites that passed.
#[derive(Debug, Default)]
pub(crate) struct Suites {
    /// By package, and what stands before the names of the cases.
    rows: BTreeMap<(String, String), Row>,
}

impl Suites {
    /// Reads a line of a runner's output; only the line of a case that passed changes anything.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((binary, test, seconds)) = case(line) else {
            return;
        };
        let (module, name) = test.rsplit_once("::").unwrap_or(("", test));
        let Some((package, file)) = binary.split_once("::") else {
            return;
        };
        if module.is_empty() && file != "conformance" {
            return;
        }
        let is_whole = WHOLE.iter().any(|whole| name.contains(whole));
        let servers = if is_whole { name } else { module };
        let key = (package.to_owned(), servers.to_owned());
        let row = self.rows.entry(key).or_default();
        row.is_suite |= is_whole;
        row.tests += 1;
        row.seconds += seconds;
    }

    /// Writes the table, if anything was told.
    pub(crate) fn report(&self, root: &Path) -> anyhow::Result<()> {
        let count = self.suites().count();
        if count == 0 {
            return Ok(());
        }
        let file = root.join(TABLE);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, self.table())?;
        say(format_args!(
            "\n--- suites: {count} times; {TABLE} says how long each took"
        ));
        Ok(())
    }

    fn suites(&self) -> impl Iterator<Item = (&(String, String), &Row)> {
        let rows = self.rows.iter();
        rows.filter(|(_, row)| row.is_suite || row.tests >= LEAST)
    }

    fn table(&self) -> String {
        let mut table =
            "| store | servers | tests | seconds |\n| --- | --- | --- | --- |\n".to_owned();
        for ((package, servers), Row { tests, seconds, .. }) in self.suites() {
            let servers = servers.replace('_', " ");
            let _infallible = writeln!(table, "| {package} | {servers} | {tests} | {seconds:.1} |");
        }
        table
    }
}

/// The binary, the test and the seconds of a line such as
/// `    PASS [   0.004s] (3/9) tenure-redis::conformance socket::r1_one`.
fn case(line: &str) -> Option<(&str, &str, f64)> {
    let rest = line.trim();
    let rest = rest.strip_prefix("SLOW-").unwrap_or(rest);
    let (time, names) = rest.strip_prefix("PASS [")?.split_once(']')?;
    let seconds = time.trim().strip_suffix('s')?.parse().ok()?;
    let mut names = names.split_whitespace().rev();
    let (test, binary) = (names.next()?, names.next()?);
    Some((binary, test, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_a_module_are_added_up_and_a_test_that_goes_through_all_stands_alone() {
        let mut suites = Suites::default();
        let times = [("", 0.25), ("SLOW-", 61.5)].into_iter().cycle();
        for (number, (slow, time)) in times.take(LEAST).enumerate() {
            suites.read(&format!(
                "  {slow}PASS [ {time:.3}s] ({number}/9) tenure-redis::conformance \
                 socket::r{number}_one"
            ));
        }
        for line in [
            "     PASS [ 9.000s] (3/9) tenure-redis::conformance topologies::r3_every_lease_case_x",
            "        PASS [   1.000s] tenure-sqlite::conformance few::s1_one",
            "        FAIL [   1.000s] (4/9) tenure-redis::conformance socket::r4_four",
            "        PASS [   1.000s] (5/9) tenure-redis::faults e1_one",
            "     Summary [   0.074s] 14 tests run: 14 passed",
        ] {
            suites.read(line);
        }
        assert_eq!(
            suites.table().lines().skip(2).collect::<Vec<_>>(),
            [
                "| tenure-redis | r3 every lease case x | 1 | 9.0 |",
                "| tenure-redis | socket | 50 | 1543.8 |",
            ]
        );
    }
}
