//! What must not be kept of a command's output: each text that looks like a pattern is replaced
//! before anything is kept, written or shown.
//!
//! A line is looked at as a whole, so that a secret that comes in two pieces is found. Works on
//! bytes, because commands need not print UTF-8. Knows nothing of pipes, runs and files.

use std::sync::Arc;

/// What stands in place of a secret.
const COVER: &[u8] = b"***";

/// Longer lines are looked at in pieces of this size.
const LONGEST_LINE: usize = 16 * 1024;

/// The most patterns of a task, and the longest.
pub(crate) const MOST_PATTERNS: usize = 32;
const LONGEST_PATTERN: usize = 200;

/// Why a text is no pattern.
pub(crate) const FAULT: &str =
    "a pattern begins with text, without line breaks, and has at most 200 bytes";

/// A text to look for. Between its pieces, and behind the last if that is empty, stands the secret:
/// any characters but white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    first: Vec<u8>,
    rest: Vec<Vec<u8>>,
}

impl Pattern {
    /// Reads `password=*`: each `*` stands for a secret; without one, all of the text is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_right = text.len() <= LONGEST_PATTERN && !text.contains(['\n', '\r']);
        let mut pieces = text.split('*').map(|piece| piece.as_bytes().to_vec());
        let first = pieces
            .next()
            .filter(|first| is_right && !first.is_empty())?;
        Some(Self {
            first,
            rest: pieces.collect(),
        })
    }

    /// What stands in place of the beginning of `text`, and how much of it that is; nothing if the
    /// text does not begin with this.
    fn cover(&self, text: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut left = text.strip_prefix(self.first.as_slice())?;
        if self.rest.is_empty() {
            return Some((COVER.to_vec(), self.first.len()));
        }
        let mut covered = self.first.clone();
        for piece in &self.rest {
            let secret = secret_before(left, piece)?;
            left = left.get(secret + piece.len()..)?;
            covered.extend_from_slice(COVER);
            covered.extend_from_slice(piece);
        }
        Some((covered, text.len() - left.len()))
    }
}

/// How long the secret is at the beginning of `text` that `piece` follows.
fn secret_before(text: &[u8], piece: &[u8]) -> Option<usize> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace();
    let longest = text.iter().position(is_end).unwrap_or(text.len());
    if piece.is_empty() {
        return Some(longest);
    }
    (0..=longest).find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(piece)))
}

/// A line without what the patterns cover.
fn masked(patterns: &[Pattern], line: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(line.len());
    let mut left = line;
    while let Some((byte, after)) = left.split_first() {
        let covered = patterns.iter().find_map(|pattern| pattern.cover(left));
        if let Some((cover, length)) = covered {
            shown.extend(cover);
            left = left.get(length..).unwrap_or_default();
        } else {
            shown.push(*byte);
            left = after;
        }
    }
    shown
}

/// Bytes that come in pieces, to be shown line by line.
#[derive(Debug)]
pub(crate) struct Masking {
    patterns: Arc<[Pattern]>,
    line: Vec<u8>,
}

impl Masking {
    /// `None` if nothing is to be masked, which costs nothing.
    pub(crate) fn of(patterns: &Arc<[Pattern]>) -> Option<Self> {
        (!patterns.is_empty()).then(|| Self {
            patterns: patterns.clone(),
            line: Vec::new(),
        })
    }

    /// Takes what came, and gives the lines that are whole by now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(piece);
            let is_whole = matches!(self.line.last(), Some(b'\n' | b'\r'));
            if is_whole || self.line.len() >= LONGEST_LINE {
                shown.extend(self.end());
            }
        }
        shown
    }

    /// Gives the last line, which has no end.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        masked(&self.patterns, &line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masking(patterns: &[&str]) -> Masking {
        let patterns = patterns.iter().map(|text| Pattern::parse(text).unwrap());
        Masking::of(&patterns.collect()).unwrap()
    }

    #[test]
    fn s42_what_looks_like_a_pattern_is_not_shown() {
        for (patterns, printed, shown) in [
            (vec!["hunter2"], "my hunter2!\n", "my ***!\n"),
            (
                vec!["password=*"],
                "password=a&b user=c\n",
                "password=*** user=c\n",
            ),
            (vec!["password=*"], "password=", "password=***"),
            (
                vec!["\"token\": \"*\""],
                "{\"token\": \"abc\"}",
                "{\"token\": \"***\"}",
            ),
            (
                vec!["\"token\": \"*\""],
                "{\"token\": \"a c\"}",
                "{\"token\": \"a c\"}",
            ),
            (
                vec!["://*:*@"],
                "redis://app:pw@host/0",
                "redis://***:***@host/0",
            ),
            (vec!["b*", "a"], "abc a\n", "***b*** ***\n"),
            (vec!["ghp_*"], "é ghp_é\u{fffd}x é", "é ghp_*** é"),
        ] {
            let mut whole = masking(&patterns);
            let mut told = whole.push(printed.as_bytes());
            told.extend(whole.end());
            assert_eq!(String::from_utf8(told).unwrap(), shown, "{patterns:?}");
            // And byte by byte.
            let (mut piecewise, mut told) = (masking(&patterns), Vec::new());
            for byte in printed.as_bytes() {
                told.extend(piecewise.push(&[*byte]));
            }
            told.extend(piecewise.end());
            assert_eq!(String::from_utf8(told).unwrap(), shown, "{patterns:?}");
        }
    }

    #[test]
    fn s42_a_line_without_an_end_is_not_kept_back_for_ever() {
        let mut masking = masking(&["x*"]);
        let shown = masking.push(&vec![b'a'; 3 * LONGEST_LINE]);
        assert_eq!(shown.len() + masking.end().len(), 3 * LONGEST_LINE);
        let whole = masking.push(b"one\rtwo\nthree");
        assert_eq!(whole, b"one\rtwo\n");
    }

    #[test]
    fn e36_a_text_that_would_hide_everything_or_nothing_is_no_pattern() {
        for text in ["", "*", "*@example.org", "a\nb", &"a".repeat(201)] {
            assert_eq!(Pattern::parse(text), None, "{text:?}");
        }
        assert!(Pattern::parse("a**").is_some());
    }
}
