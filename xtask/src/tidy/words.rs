//! Words and calls that have a better one, each with its replacement.

use super::source::code_of;
use super::tree::is_rust;
use super::{Finding, Workspace};

/// Where a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Rust code without comments and strings.
    Code,
    /// Tests: what stands in a `tests` folder, unless its time is paused.
    Tests,
    /// Code of the product outside the module that owns the clock.
    OutsideClock,
    /// Every text file, comments and strings included.
    Text,
}

/// Name of the rule, where it looks, what it looks for, what to write instead.
///
/// The words are put together here so that this file does not find itself.
const BANNED: [(&str, Place, &str, &str); 11] = [
    (
        "sleep",
        Place::Tests,
        "sleep(",
        "await an event, or poll a condition with a deadline",
    ),
    (
        "clock",
        Place::OutsideClock,
        concat!("Instant::", "now"),
        "ask a `tenure_core::Clock`",
    ),
    (
        "clock",
        Place::OutsideClock,
        concat!("SystemTime::", "now"),
        "ask a `tenure_core::Clock`",
    ),
    (
        "leftover",
        Place::Text,
        concat!("FIX", "ME"),
        "mend it, or write down why not",
    ),
    (
        "leftover",
        Place::Text,
        concat!("XX", "X:"),
        "mend it, or write down why not",
    ),
    (
        "leftover",
        Place::Code,
        concat!("to", "do!("),
        "write it, or leave it out",
    ),
    (
        "leftover",
        Place::Code,
        concat!("unimple", "mented!("),
        "write it, or leave it out",
    ),
    (
        "ignored",
        Place::Code,
        concat!("#[ig", "nore"),
        "a test runs, or is not there",
    ),
    (
        "yaml",
        Place::Text,
        concat!("serde_", "yml"),
        "it has an advisory; use TOML",
    ),
    (
        "machine-path",
        Place::Text,
        concat!("/wo", "rk/"),
        "no path of one machine",
    ),
    (
        "machine-path",
        Place::Text,
        concat!("/ro", "ot/"),
        "no path of one machine",
    ),
];

/// Names that say nothing about what a module knows.
const BANNED_MODULES: [&str; 6] = ["util", "utils", "common", "helpers", "types", "prelude"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files() {
        let stem = path
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".rs"));
        if let Some(stem) = stem.filter(|stem| BANNED_MODULES.contains(stem)) {
            let message = format!("a module named `{stem}`; name it for what it knows");
            findings.push(Finding::new(path, 1, "module-name", message));
        }
        let code = if is_rust(path) {
            code_of(text)
        } else {
            String::new()
        };
        let pairs = text.lines().zip(code.lines().chain(std::iter::repeat("")));
        // On paused time nothing sleeps: the runtime moves its clock to the next timer.
        let in_real_time = path.contains("/tests/") && !text.contains("start_paused = true");
        let needs_clock = path.contains("/src/") && !owns_clock(path);
        let (mut before, mut in_tests) = ("", false);
        for (at, (line, code)) in pairs.enumerate() {
            in_tests |= code.trim() == "#[cfg(test)]";
            for (rule, place, word, instead) in BANNED {
                let seen = match place {
                    Place::Text => path != "Cargo.lock" && line.contains(word),
                    Place::Code => code.contains(word),
                    Place::Tests => in_real_time && code.contains(word),
                    Place::OutsideClock => needs_clock && !in_tests && code.contains(word),
                };
                let allowed = format!("tidy: allow({rule}) ");
                if seen && !line.contains(&allowed) && !before.contains(&allowed) {
                    let message = format!("`{word}`: {instead}");
                    findings.push(Finding::new(path, at + 1, rule, message));
                }
            }
            before = line;
        }
    }
    findings
}

/// The one module that asks the system for the time.
fn owns_clock(path: &str) -> bool {
    path == "crates/tenure-core/src/clock.rs"
}
