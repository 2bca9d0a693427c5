//! Tests of the guide and the README: what they tell a user to type or to write is accepted, and
//! what they quote is said by the program.
//!
//! Only words are checked here. `tests/guide` types the commands of the guide and the README.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::args::Cli;
use crate::file::TaskFiles;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The READMEs, the figures and every page of the guide, by name.
fn pages() -> Vec<(String, String)> {
    let guide = fs::read_dir(root().join("docs/guide")).unwrap();
    let mut paths: Vec<_> = guide.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    assert!(paths.len() > 5, "the guide is not where it was: {paths:?}");
    for name in [
        "README.md",
        "crates/tenure-cli/README.md",
        "docs/performance.md",
    ] {
        paths.push(root().join(name));
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let read = |path: PathBuf| (name(&path), fs::read_to_string(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The fenced blocks of a kind.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, Vec<&str>)> = None;
    for line in text.lines() {
        let fence = line.strip_prefix("```");
        open = match (open, fence) {
            (None, Some(found)) => Some((found == kind, Vec::new())),
            (None, None) => None,
            (Some((is_ours, lines)), Some(_)) => {
                if is_ours {
                    blocks.push(lines.join("\n"));
                }
                None
            }
            (Some((is_ours, mut lines)), None) => {
                lines.push(line);
                Some((is_ours, lines))
            }
        };
    }
    blocks
}

/// The words of a shell line up to a comment, a pipe or a redirection; quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '|' | '>' | ';') if word.is_none() => break,
            (_, c) => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_line_of_the_guide_is_one_of_the_program() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "sh") {
            for line in block.lines().filter(|line| line.starts_with("tenure ")) {
                seen += 1;
                let read = Cli::try_parse_from(words(line));
                assert!(read.is_ok(), "{page}: {line}: {}", read.unwrap_err());
            }
        }
    }
    assert!(seen > 40, "only {seen} command lines were found");
}

#[test]
fn the_task_file_in_the_help_of_run_is_sound() {
    let lines = crate::args::RUN_HELP.lines();
    let file: Vec<_> = lines.filter_map(|line| line.strip_prefix("  ")).collect();
    let files = TaskFiles::of_text("tasks.toml", &file.join("\n"));
    assert!(files.are_sound() && files.tasks.len() == 1, "{files:?}");
}

#[test]
fn every_task_file_of_the_guide_is_sound() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "toml") {
            seen += 1;
            let files = TaskFiles::of_text("tasks.toml", &block);
            assert!(files.are_sound(), "{page}:\n{block}\n{files:?}");
        }
    }
    assert!(seen >= 8, "only {seen} task files were found");
}

/// What a test of the documentation does with each kind of block.
const KINDS: [(&str, &str); 7] = [
    (
        "rust",
        "compiled with the documentation of the crate tenure",
    ),
    ("rust,no_run", "the same"),
    ("sh", "each line is typed and ends well: `tests/guide`"),
    ("toml", "read as a task file"),
    ("ini", "held against the unit"),
    (
        "text",
        "what was printed, compared: `tests/guide` and `tests/why_outcomes.rs`",
    ),
    ("", "a picture"),
];

#[test]
fn every_block_of_the_guide_is_of_a_kind_that_is_checked() {
    for (page, text) in pages() {
        let fences = text.lines().filter_map(|line| line.strip_prefix("```"));
        // Every second one ends a block.
        for kind in fences.step_by(2) {
            assert!(
                KINDS.iter().any(|(known, _)| *known == kind),
                "{page}: {kind}"
            );
        }
    }
}

#[test]
fn the_rust_of_every_page_is_compiled() {
    let list = fs::read_to_string(root().join("crates/tenure/src/guide.rs")).unwrap();
    for (page, text) in pages() {
        let is_listed =
            list.contains(&format!("\"{page}\"")) || list.contains(&format!("/{page}\""));
        let has_rust = text.contains("```rust");
        assert!(
            is_listed || !has_rust,
            "crates/tenure/src/guide.rs lacks {page}"
        );
    }
}

#[test]
fn what_the_guide_quotes_of_the_unit_stands_there() {
    let unit = fs::read_to_string(root().join("packaging/tenure.service")).unwrap();
    let mut seen = 0;
    for (page, text) in pages() {
        for line in blocks(&text, "ini").iter().flat_map(|block| block.lines()) {
            seen += 1;
            assert!(unit.lines().any(|it| it == line), "{page}: {line}");
        }
    }
    assert!(seen > 5, "only {seen} lines of a unit were found");
}

/// The text of all sources of ours, with string literals that go over lines put together.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec![root().join("crates"), root().join("stores")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let mut parts = source.split("\\\n");
                text.push_str(parts.next().unwrap_or_default());
                parts.for_each(|part| text.push_str(part.trim_start()));
            }
        }
    }
    text
}

#[test]
fn every_message_that_the_guide_explains_is_one_of_ours() {
    let page = fs::read_to_string(root().join("docs/guide/troubleshooting.md")).unwrap();
    let sources = sources();
    let messages: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    assert!(messages.len() > 20, "{messages:?}");
    for message in messages {
        for part in message.split('…').map(str::trim) {
            assert!(
                part.len() < 3 || sources.contains(part),
                "nothing says {part:?}, which the guide explains in {message:?}"
            );
        }
    }
}

#[test]
fn words_are_split_as_a_shell_does() {
    for (line, expected) in [
        ("tenure locks  # who", vec!["tenure", "locks"]),
        (
            "tenure next '0 0 * * *'",
            vec!["tenure", "next", "0 0 * * *"],
        ),
        ("a \"\" b > c", vec!["a", "", "b"]),
        ("a#b", vec!["a#b"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

/// What the service's unit and the image start.
#[test]
fn the_unit_and_the_image_start_a_command_that_the_program_knows() {
    let read = |name: &str| fs::read_to_string(root().join("packaging").join(name)).unwrap();
    let unit = read("tenure.service");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let image = read("Dockerfile");
    let command = image.lines().find_map(|line| line.strip_prefix("CMD "));
    let command: Vec<String> = serde_json::from_str(command.unwrap()).unwrap();
    let started: Vec<String> = start.unwrap().split(' ').map(str::to_owned).collect();
    for words in [started, [vec!["tenure".to_owned()], command].concat()] {
        let parsed = Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{words:?}: {:?}", parsed.err());
    }
    let example = root().join("packaging/example.toml");
    let files = TaskFiles::read(&[example]).unwrap();
    assert!(files.are_sound());
}
