//! Text in few columns: lines are folded between words, and rows become cards.
//!
//! Nothing is left out: what does not fit into a line goes on in the next one.

use anstyle::Style;
use ratatui::text::Span;

/// How many cells of a terminal a text takes.
pub(crate) fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

/// Each row as its name and, below it, a line for each other column that has something to say.
pub(super) fn cards(heading: &[&str], rows: &[Vec<String>], name: usize, width: usize) -> String {
    let bold = Style::new().bold();
    let labels = heading.iter().map(|label| width_of(label)).max();
    let labels = labels.unwrap_or(0);
    let mut lines = Vec::new();
    for row in rows {
        let title = row.get(name).map(String::as_str).unwrap_or_default();
        for part in fold(title, width) {
            lines.push(format!("{bold}{part}{bold:#}"));
        }
        for (at, (label, cell)) in heading.iter().zip(row).enumerate() {
            if at == name || cell.trim().is_empty() {
                continue;
            }
            let indent = labels + 4;
            let mut parts = fold(cell, width.saturating_sub(indent)).into_iter();
            let first = parts.next().unwrap_or_default();
            let space = " ".repeat(labels.saturating_sub(width_of(label)));
            lines.push(format!("  {label}{space}  {first}"));
            lines.extend(parts.map(|part| format!("{}{part}", " ".repeat(indent))));
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Text with its lines folded, what goes on indented deeper than it began.
pub(super) fn folded(text: &str, width: usize) -> String {
    let mut folded = String::new();
    for line in text.lines() {
        if width_of(line) <= width {
            folded.push_str(line);
            folded.push('\n');
            continue;
        }
        let told = line.trim_start();
        let indent = line.len() - told.len();
        // Where there is hardly any room, none is spent on indenting.
        let deeper = if indent + 2 < width / 2 {
            indent + 2
        } else {
            0
        };
        let (begin, goes_on) = (" ".repeat(indent.min(deeper)), " ".repeat(deeper));
        for (at, part) in fold(told, width.saturating_sub(deeper)).iter().enumerate() {
            folded.push_str(if at == 0 { &begin } else { &goes_on });
            folded.push_str(part);
            folded.push('\n');
        }
    }
    folded
}

/// A text in lines of at most so many cells: between words, and within those that are longer.
/// Spaces inside a line stay as they are.
pub(crate) fn fold(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_end();
        while width_of(rest) > width {
            let (line, left) = rest.split_at(place_to_fold(rest, width));
            lines.push(line.trim_end().to_owned());
            rest = left.trim_start();
        }
        if !rest.is_empty() || line.trim_end().is_empty() {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// Where a line ends that is too long: before its last word that does not fit, or in a word that
/// is too long by itself.
fn place_to_fold(line: &str, width: usize) -> usize {
    let mut fits = 0;
    let mut after_space = None;
    for (at, character) in line.char_indices() {
        let end = at + character.len_utf8();
        if width_of(&line[..end]) > width {
            break;
        }
        fits = end;
        let is_next_a_space = line[end..].starts_with(' ');
        if is_next_a_space && !line[..end].trim().is_empty() {
            after_space = Some(end);
        }
    }
    let first = line.chars().next().map_or(1, char::len_utf8);
    after_space.unwrap_or(fits).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_long_words_anywhere() {
        for (text, width, expected) in [
            ("", 5, &[][..]),
            ("one two", 7, &["one two"]),
            ("one two", 6, &["one", "two"]),
            ("one  two three", 8, &["one  two", "three"]),
            ("abcdefgh", 3, &["abc", "def", "gh"]),
            ("a abcdefgh", 4, &["a", "abcd", "efgh"]),
            ("äöü日本", 4, &["äöü", "日本"]),
            ("日本", 1, &["日", "本"]),
            ("a\nb", 9, &["a", "b"]),
        ] {
            assert_eq!(fold(text, width), expected, "{text:?} in {width}");
        }
    }

    #[test]
    fn what_goes_on_is_indented_deeper_and_nothing_is_left_out() {
        let text = "short\n  at  the disk is full and nobody looks\n";
        let expected = "short\n  at  the disk is\n    full and nobody\n    looks\n";
        assert_eq!(folded(text, 20), expected);
        for width in 1..60 {
            let folded = folded(text, width);
            assert!(
                folded.lines().all(|line| width_of(line) <= width),
                "{folded}"
            );
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(letters(&folded), letters(text), "{width}");
        }
    }

    #[test]
    fn a_card_has_its_name_and_every_cell_that_says_something() {
        let row = [
            "backup/db",
            "0 3 * * *",
            "",
            "paused by ann: the disk is full",
        ];
        let row: Vec<String> = row.map(str::to_owned).into();
        let cards = cards(&["task", "schedule", "zone", "state"], &[row], 0, 30);
        let plain = anstream::adapter::strip_str(&cards).to_string();
        let expected = "backup/db\n  schedule  0 3 * * *\n  state     paused by ann: the\n";
        let expected = format!("{expected}            disk is full\n");
        assert_eq!(plain, expected);
    }
}
