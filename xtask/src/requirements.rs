//! Which requirement is proved by which tests, as the test run itself tells.
//!
//! A test names what it proves at the beginning of its name: `s29_…`, `r12_…`, `s29_s47_…`. This
//! module reads the names of the tests that passed, lists each requirement with its tests, and
//! compares what has none with the gaps that `xtask/requirements.toml` allows, each with its
//! reason. It knows no more of a requirement than its number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::say;

/// Where the table is written, under the repository's folder.
const TABLE: &str = "target/requirements.md";

/// One requirement: its family and its number, such as `S29`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(char, u16);

impl Id {
    /// Reads `s29`, `S29` or `s02`; anything else is no requirement.
    fn read(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let family = letters.next()?.to_ascii_uppercase();
        let number = letters.as_str();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !family.is_ascii_uppercase() || !is_number {
            return None;
        }
        Some(Self(family, number.parse().ok()?))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

/// What `xtask/requirements.toml` says: how many requirements there are, and which may be without
/// a test.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The highest number of each family.
    count: BTreeMap<char, u16>,
    gaps: BTreeMap<Id, String>,
}

impl Expected {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let file = root.join("xtask/requirements.toml");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        let mut expected = Self {
            count: BTreeMap::new(),
            gaps: BTreeMap::new(),
        };
        for (name, value) in section(&table, "count")? {
            let family = name.chars().next().context("a family without a letter")?;
            let most = value.as_integer().context("a count that is no number")?;
            expected.count.insert(family, u16::try_from(most)?);
        }
        for (name, value) in section(&table, "gaps")? {
            let id = Id::read(name).with_context(|| format!("`{name}` is no requirement"))?;
            let reason = value.as_str().unwrap_or_default().trim();
            ensure!(!reason.is_empty(), "the gap {id} has no reason");
            ensure!(
                expected.is_counted(id),
                "the gap {id} is none of those counted"
            );
            expected.gaps.insert(id, reason.to_owned());
        }
        Ok(expected)
    }

    fn is_counted(&self, id: Id) -> bool {
        let most = self.count.get(&id.0).copied().unwrap_or(0);
        (1..=most).contains(&id.1)
    }

    fn all(&self) -> impl Iterator<Item = Id> {
        let families = self.count.iter();
        families.flat_map(|(family, most)| (1..=*most).map(|number| Id(*family, number)))
    }
}

fn section<'a>(
    table: &'a toml::Table,
    name: &str,
) -> anyhow::Result<impl Iterator<Item = (&'a String, &'a toml::Value)>> {
    let section = table.get(name).and_then(toml::Value::as_table);
    Ok(section
        .with_context(|| format!("[{name}] is missing"))?
        .iter())
}

/// The tests that passed, by the requirements they name.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    tests: BTreeMap<Id, BTreeSet<String>>,
}

impl Requirements {
    /// Reads a line of a runner's output; only the line of a test that passed changes anything.
    ///
    /// libtest: `test module::s29_each_tick_once ... ok`.
    /// nextest: `        PASS [   0.004s] (3/9) tenure-tasks::claims s29_each_tick_once`.
    pub(crate) fn read(&mut self, package: &str, line: &str) {
        let Some(test) = passed(line) else { return };
        for id in ids_of(test) {
            let tests = self.tests.entry(id).or_default();
            tests.insert(format!("{package}: {test}"));
        }
    }

    /// Requirements without a test and without a reason; then reasons for which there is a test.
    fn faults(&self, expected: &Expected) -> (Vec<Id>, Vec<Id>) {
        let has_test = |id: &Id| self.tests.contains_key(id);
        let is_allowed = |id: &Id| expected.gaps.contains_key(id);
        let missing = expected.all().filter(|id| !has_test(id) && !is_allowed(id));
        let needless = expected.gaps.keys().copied().filter(has_test);
        (missing.collect(), needless.collect())
    }

    /// The table, in the form of Markdown.
    fn table(&self, expected: &Expected) -> String {
        let mut text = String::from("| requirement | tests | which |\n| --- | --- | --- |\n");
        let none = BTreeSet::new();
        for id in expected.all() {
            let tests = self.tests.get(&id).unwrap_or(&none);
            let which = match expected.gaps.get(&id) {
                Some(reason) if tests.is_empty() => format!("none: {reason}"),
                _ if tests.is_empty() => "NONE".to_owned(),
                _ => tests
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join("<br>"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {id} | {} | {which} |", tests.len());
        }
        text
    }

    /// Writes the table and says what is without a test. The names of requirements that must have
    /// one and have none; nothing is missed while servers are left out, with all their tests.
    pub(crate) fn report(
        &self,
        root: &Path,
        expected: &Expected,
        is_whole: bool,
    ) -> anyhow::Result<Vec<String>> {
        let file = root.join(TABLE);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, self.table(expected))?;
        let tested = expected
            .all()
            .filter(|id| self.tests.contains_key(id))
            .count();
        say(format_args!(
            "\n--- requirements: {tested} of {} have tests; {TABLE} says which",
            expected.all().count()
        ));
        for line in self.short(expected) {
            say(line);
        }
        let (missing, needless) = self.faults(expected);
        let mut faults = Vec::new();
        if is_whole {
            faults.extend(missing.iter().map(|id| {
                format!(
                    "{id} has no test: name one after it, or say why not in xtask/requirements.toml"
                )
            }));
        }
        for id in needless {
            say(format_args!(
                "{id} has a test: take its reason out of xtask/requirements.toml"
            ));
        }
        Ok(faults)
    }

    /// The table for a terminal: how many tests each requirement has, and the reasons of gaps.
    fn short(&self, expected: &Expected) -> Vec<String> {
        let count = |id: Id| self.tests.get(&id).map_or(0, BTreeSet::len);
        let mut lines = Vec::new();
        for family in expected.count.keys() {
            let ids: Vec<Id> = expected.all().filter(|id| id.0 == *family).collect();
            for some in ids.chunks(11) {
                let cells: Vec<_> = some
                    .iter()
                    .map(|id| format!("{id}:{}", count(*id)))
                    .collect();
                lines.push(cells.join("  "));
            }
        }
        for (id, reason) in &expected.gaps {
            if count(*id) == 0 {
                lines.push(format!("{id} has no test: {reason}"));
            }
        }
        lines
    }
}

/// The name of the test that this line says has passed.
pub(crate) fn passed(line: &str) -> Option<&str> {
    if let Some(test) = line.strip_prefix("test ") {
        return test.strip_suffix(" ... ok");
    }
    let line = line.trim();
    // A slow one has its own word before the time it took.
    let rest = line
        .strip_prefix("PASS [")
        .or_else(|| line.strip_prefix("SLOW-PASS ["))?;
    let (_, names) = rest.split_once(']')?;
    names.split_whitespace().last()
}

/// The requirements at the beginning of any part of a test's path.
fn ids_of(test: &str) -> impl Iterator<Item = Id> {
    test.split("::")
        .flat_map(|part| part.split('_').map_while(Id::read))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[count]\nS = 3\nR = 1\n[gaps]\nS2 = 'no server does this'\n";

    #[test]
    fn both_runners_lines_name_the_tests_that_passed() {
        for (line, expected) in [
            ("test due::s24_late ... ok", Some("due::s24_late")),
            ("test due::s24_late ... FAILED", None),
            (
                "        PASS [   0.004s] (3/9) tenure-tasks::claims s29_once",
                Some("s29_once"),
            ),
            (
                "        PASS [   0.004s] tenure-tasks due::s24_late",
                Some("due::s24_late"),
            ),
            ("        FAIL [   0.004s] tenure-tasks due::s24_late", None),
            ("     Summary [   0.074s] 14 tests run: 14 passed", None),
        ] {
            assert_eq!(passed(line), expected, "{line}");
        }
    }

    #[test]
    fn a_test_is_found_under_every_requirement_it_names() {
        for (test, expected) in [
            ("s29_once", "S29"),
            ("cases::s02_s29_both", "S2 S29"),
            ("run_suite::r12_again", "R12"),
            ("s29", "S29"),
            ("sums_are_right", ""),
            ("the_s29_in_the_middle_is_none", ""),
        ] {
            let ids: Vec<_> = ids_of(test).map(|id| id.to_string()).collect();
            assert_eq!(ids.join(" "), expected, "{test}");
        }
    }

    #[test]
    fn what_has_no_test_needs_a_reason_and_a_reason_needs_no_test() {
        let expected = Expected::parse(FILE).unwrap();
        for (passed, missing, needless) in [
            (&["s1_a", "s3_b", "r1_c"][..], "", ""),
            (&["s1_a", "r1_c"], "S3", ""),
            (&["s1_a", "s2_b", "s3_b", "r1_c"], "", "S2"),
            (&[], "R1 S1 S3", ""),
        ] {
            let mut requirements = Requirements::default();
            for test in passed {
                requirements.read("a", &format!("test {test} ... ok"));
            }
            let (m, n) = requirements.faults(&expected);
            let text = |ids: Vec<Id>| {
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                ids.join(" ")
            };
            assert_eq!(
                (text(m), text(n)),
                (missing.into(), needless.into()),
                "{passed:?}"
            );
            let table = requirements.table(&expected);
            assert_eq!(table.lines().count(), 2 + 4, "{table}");
        }
    }

    #[test]
    fn a_gap_without_a_reason_or_beyond_the_count_is_refused() {
        for (file, problem) in [
            ("[count]\nS = 3\n[gaps]\nS2 = ''\n", "no reason"),
            (
                "[count]\nS = 3\n[gaps]\nS9 = 'why'\n",
                "none of those counted",
            ),
            ("[count]\nS = 3\n[gaps]\nfoo = 'why'\n", "no requirement"),
            ("[count]\nS = 3\n", "[gaps] is missing"),
        ] {
            let error = Expected::parse(file).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn the_checked_in_file_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let expected = Expected::read(root).unwrap();
        assert!(expected.is_counted(Id('S', 65)) && expected.is_counted(Id('R', 66)));
    }
}
