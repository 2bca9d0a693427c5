//! The pages: their fenced blocks, and how what is printed is held against what they show.

use std::path::{Path, PathBuf};

/// A page of the guide, or the README.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) text: String,
    /// Whether its blocks are steps in one folder, each after the one before.
    pub(crate) is_a_walk: bool,
}

/// A fenced block.
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Where it begins.
    pub(crate) line: usize,
}

impl Block {
    /// What is typed: lines that end with a backslash go on in the next one, comments are left out.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let text = self.text.replace("\\\n", " ");
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        lines.into_iter()
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The README and every page of the guide.
pub(crate) fn pages() -> Vec<Page> {
    let guide = std::fs::read_dir(root().join("docs/guide")).unwrap();
    let mut paths: Vec<PathBuf> = guide.map(|entry| entry.unwrap().path()).collect();
    paths.push(root().join("README.md"));
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    paths.sort();
    assert!(paths.len() > 10, "the guide is not where it was: {paths:?}");
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Page {
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (open.as_mut(), line.strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(Block {
                    kind: kind.to_owned(),
                    text: String::new(),
                    line: at + 1,
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Page {
        is_a_walk: name == "first-steps.md",
        name,
        blocks,
        text,
    }
}

/// Asserts that every line of `shown` stands in `said`, in that order; `…` stands for anything, and
/// any white space for any other.
pub(crate) fn shows(said: &str, shown: &str, place: &str) {
    let even = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = said.lines().map(even).collect();
    let mut from = 0;
    for expected in shown.lines().map(even).filter(|line| !line.is_empty()) {
        let found = lines
            .iter()
            .skip(from)
            .position(|line| fits(line, &expected));
        assert!(
            found.is_some(),
            "{place} shows {expected:?}, which was not printed from line {from} on:\n{said}"
        );
        from += found.unwrap_or(0) + 1;
    }
}

fn fits(line: &str, expected: &str) -> bool {
    let mut rest = line;
    let mut parts = expected.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn a_shown_line_fits_what_was_printed_and_nothing_else() {
    for (line, expected, is_fit) in [
        ("a b", "a b", true),
        ("a b", "a", false),
        ("a 17 b", "a … b", true),
        ("a 17 b c", "a … b", false),
        ("a 17 b c", "a … b …", true),
        ("12:00 ok", "… ok", true),
        ("b", "a …", false),
    ] {
        assert_eq!(fits(line, expected), is_fit, "{line:?} and {expected:?}");
    }
}
