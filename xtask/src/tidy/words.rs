//! Words and calls that have a better one, each with its replacement.
//!
//! A line is excused by a comment, `tidy: allow(RULE) reason`, at its end or on a line of its own
//! before it; an excuse that nothing needs is a finding.

use super::exception;
use super::source::{Source, is_word};
use super::{Finding, Workspace};

/// Where a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Rust code, without comments and strings.
    Code,
    /// Tests and the suites, unless their time is paused.
    Tests,
    /// Code of the product, outside the module that owns the clock.
    Product,
    /// All Rust code but benches and the module that owns the clock.
    OutsideClock,
    /// Every text file, comments and strings included.
    Text,
}

/// Something that is not written here.
struct Banned {
    rule: &'static str,
    place: Place,
    words: &'static [&'static str],
    instead: &'static str,
}

// What is looked for in all text is put together here, so that this file does not find itself.
const BANNED: [Banned; 8] = [
    Banned {
        rule: "sleep",
        place: Place::Tests,
        words: &["sleep(", "sleep_until("],
        instead: "await an event, poll a condition with a deadline, or pause the time",
    },
    Banned {
        rule: "clock",
        place: Place::Product,
        words: &["Instant::now"],
        instead: "take the instant as an argument, or ask a `tenure_core::Clock`",
    },
    Banned {
        rule: "clock",
        place: Place::OutsideClock,
        words: &["SystemTime::now", "Zoned::now", "Timestamp::now"],
        instead: "take the instant as an argument, or ask a `tenure_core::Clock`",
    },
    Banned {
        rule: "leftover",
        place: Place::Text,
        words: &[concat!("FIX", "ME"), concat!("XX", "X")],
        instead: "mend it, or write down why not",
    },
    Banned {
        rule: "leftover",
        place: Place::Text,
        words: &[concat!("<<<<", "<<<"), concat!(">>>>", ">>>")],
        instead: "a rebase stopped here; keep what both sides say, and take the marks out",
    },
    Banned {
        rule: "leftover",
        place: Place::Code,
        words: &["todo!(", "unimplemented!("],
        instead: "write it, or leave it out",
    },
    Banned {
        rule: "ignored-test",
        place: Place::Code,
        words: &["#[ignore"],
        instead: "a test runs, or is not there",
    },
    Banned {
        rule: "machine-path",
        place: Place::Text,
        words: &[concat!("/wo", "rk/"), concat!("/ro", "ot/")],
        instead: "no path of one machine; write it relative to the repository",
    },
];

/// Packages that no manifest names: `deny.toml` lists more, this one must not even be looked at.
const BANNED_PACKAGE: (&str, &str) = (
    concat!("serde_", "yml"),
    "it has an advisory; configuration is TOML",
);

/// Names that say nothing about what a module knows.
const BANNED_MODULES: [&str; 6] = ["util", "utils", "common", "helpers", "types", "prelude"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files() {
        findings.extend(module_name(path));
        // The lock file is cargo's.
        if path != "Cargo.lock" {
            findings.extend(check_file(workspace, path, text));
        }
    }
    findings
}

fn module_name(path: &str) -> Option<Finding> {
    let (_, inside) = ["/src/", "/tests/"]
        .iter()
        .find_map(|folder| path.split_once(folder))?;
    let mut modules = inside.strip_suffix(".rs")?.split('/');
    let name = modules.find(|name| BANNED_MODULES.contains(name))?;
    let message = format!("a module named `{name}`; name it for what it knows");
    Some(Finding::new(path, 1, "module-name", message))
}

fn check_file(workspace: &Workspace, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let source = workspace.source(path);
    let mut excuses = source.map_or_else(Vec::new, |source| excuses(source, text));
    for (at, line) in text.lines().enumerate() {
        for banned in &BANNED {
            let searched = match source {
                Some(source) if banned.place != Place::Text => source.code(at),
                _ => line,
            };
            let Some(word) = banned.words.iter().find(|word| has(searched, word)) else {
                continue;
            };
            let applies = banned.place == Place::Text
                || source.is_some_and(|source| looks_at(workspace, banned.place, path, source, at));
            if !applies {
                continue;
            }
            let mut excuse = excuses.iter_mut();
            if let Some(excuse) = excuse.find(|it| it.rule == banned.rule && it.line == at) {
                excuse.is_needed = true;
                continue;
            }
            let message = format!("`{word}`: {}", banned.instead);
            findings.push(Finding::new(path, at + 1, banned.rule, message));
        }
        let (package, why) = BANNED_PACKAGE;
        if path != "deny.toml" && path != exception::FILE && has(line, package) {
            let message = format!("`{package}`: {why}");
            findings.push(Finding::new(path, at + 1, "banned-package", message));
        }
    }
    for excuse in excuses.iter().filter(|excuse| !excuse.is_needed) {
        let message = format!(
            "nothing here needs the excuse from `{}`, or its reason is missing; mend the comment",
            excuse.rule
        );
        findings.push(Finding::new(path, excuse.line + 1, "exception", message));
    }
    findings
}

/// Whether a rule for this place looks at a line of a Rust file.
fn looks_at(workspace: &Workspace, place: Place, path: &str, source: &Source, at: usize) -> bool {
    let is_test = workspace.is_test(path) || source.is_test(at);
    let owns_clock = path == "crates/tenure-core/src/clock.rs";
    match place {
        Place::Code | Place::Text => true,
        Place::Tests => {
            let is_suite = path.starts_with("crates/tenure-conformance/src/");
            // Pausing the runtime's time does not pause the thread.
            let is_paused = !source.code(at).contains("thread::sleep(") && source.is_paused(at);
            (is_test || is_suite) && !is_paused
        }
        Place::Product => path.contains("/src/") && !is_test && !owns_clock,
        Place::OutsideClock => !path.contains("/benches/") && !owns_clock,
    }
}

/// A comment `tidy: allow(RULE) reason` and the line it is for.
struct Excuse {
    rule: String,
    line: usize,
    is_needed: bool,
}

fn excuses(source: &Source, text: &str) -> Vec<Excuse> {
    const MARK: &str = "tidy: allow(";
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((before, rest)) = line.split_once(MARK) else {
            continue;
        };
        // In a string or in the middle of a text it only talks about it.
        let code = source.code(at);
        let mark = code.chars().nth(before.chars().count());
        if mark != Some(' ') || !before.trim_end().ends_with("//") {
            continue;
        }
        let (rule, reason) = rest.split_once(')').unwrap_or((rest, ""));
        let is_alone = code.trim().is_empty();
        found.push(Excuse {
            // Without a reason it excuses nothing.
            rule: if reason.trim().is_empty() { "" } else { rule }.to_owned(),
            line: if is_alone { at + 1 } else { at },
            is_needed: false,
        });
    }
    found
}

/// Whether a line has the word, not as a part of a longer one.
fn has(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        let is_longer = |inner: Option<char>, outer: Option<char>| {
            inner.is_some_and(is_word) && outer.is_some_and(is_word)
        };
        !is_longer(word.chars().next(), before) && !is_longer(word.chars().next_back(), after)
    })
}
