//! Keeps what running code prints, within a bound: the beginning, the end, and how much is missing.
//!
//! Knows nothing of pipes or stores.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use tenure_core::{Finish, Outcome};

/// How much is kept of the beginning, and again of the end, in bytes.
const HALF: usize = 64 * 1024;

/// What was printed so far.
#[derive(Debug, Default)]
pub(crate) struct Output {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    head: String,
    tail: String,
    cut: usize,
    head_is_full: bool,
}

/// How much of a line is told, in characters.
const MOST_OF_LINE: usize = 200;

/// The last line that holds anything of what was printed by a run that did not end well.
pub(crate) fn last_line(outcome: Outcome, output: Option<&str>) -> Option<String> {
    if outcome == Outcome::Succeeded {
        return None;
    }
    let line = output?
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(line.chars().take(MOST_OF_LINE).collect())
}

impl Output {
    pub(crate) fn push(&self, text: &str) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    /// Everything kept so far, with a mark where something is missing.
    pub(crate) fn so_far(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().into_text().unwrap_or_default()
    }

    /// Everything kept, with a mark where something is missing; `None` if nothing was printed.
    pub(crate) fn take(&self) -> Option<String> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.into_text()
    }
}

impl Kept {
    fn push(&mut self, text: &str) {
        let mut rest = text;
        if !self.head_is_full {
            let at = boundary_at_most(rest, HALF - self.head.len());
            let (head, tail) = rest.split_at(at);
            self.head.push_str(head);
            self.head_is_full = !tail.is_empty();
            rest = tail;
        }
        // Of one long text only its end can matter, so the rest is never copied.
        let skip = boundary_at_least(rest, rest.len().saturating_sub(HALF));
        self.cut += skip;
        self.tail.push_str(rest.get(skip..).unwrap_or_default());
        // Trimmed at twice the size, so that each byte is moved once on average.
        if self.tail.len() > 2 * HALF {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let from = boundary_at_least(&self.tail, self.tail.len().saturating_sub(HALF));
        self.cut += from;
        self.tail.drain(..from);
    }

    fn into_text(mut self) -> Option<String> {
        self.trim();
        if self.head.is_empty() {
            return None;
        }
        let mut text = self.head;
        if self.cut > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{} bytes left out]\n", self.cut);
        }
        text.push_str(&self.tail);
        Some(text)
    }
}

/// Cuts a text as [`Output`] would have, unless whoever wrote it cut it already.
pub(crate) fn bounded(text: &str) -> Option<String> {
    if text.len() <= Finish::MAX_OUTPUT {
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let mut kept = Kept::default();
    kept.push(text);
    kept.into_text()
}

/// The last character boundary at or before `at`.
pub(crate) fn boundary_at_most(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The first character boundary at or after `at`.
fn boundary_at_least(text: &str, at: usize) -> usize {
    (at..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_line_that_says_anything_is_told_of_a_run_that_did_not_end_well() {
        let long = "x".repeat(300);
        for (output, expected) in [
            (None, None),
            (Some("\n \n"), None),
            (Some("a\nbad \r\n\n"), Some("bad")),
            (Some(&*long), long.get(..MOST_OF_LINE)),
        ] {
            assert_eq!(last_line(Outcome::Failed, output).as_deref(), expected);
            assert_eq!(last_line(Outcome::Succeeded, output), None);
        }
    }

    #[test]
    fn s42_endless_output_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let output = Output::default();
        assert_eq!(output.take(), None);
        output.push("begin\n");
        for _ in 0..10_000 {
            output.push("ünïcödé and more of the same\n");
        }
        output.push("end");
        let text = output.take().unwrap();
        assert!(text.starts_with("begin\n") && text.ends_with("same\nend"));
        assert!(text.contains("bytes left out]"));
        assert!(text.len() <= Finish::MAX_OUTPUT);
    }

    proptest! {
        #[test]
        fn s42_every_byte_is_kept_or_counted(
            lengths in prop::collection::vec(0_usize..30_000, 0..12),
        ) {
            let parts = lengths.into_iter().map(|length| "a€é".repeat(length / 3));
            let parts: Vec<String> = parts.collect();
            let output = Output::default();
            let mut all = 0;
            for part in &parts {
                output.push(part);
                all += part.len();
            }
            let text = output.take().unwrap_or_default();
            prop_assert!(text.len() <= Finish::MAX_OUTPUT);
            let (kept, cut) = match text.split_once("\n[") {
                None => (text.len(), 0),
                Some((head, rest)) => {
                    let (cut, tail) = rest.split_once(" bytes left out]\n").unwrap();
                    (head.len() + tail.len(), cut.parse().unwrap())
                }
            };
            prop_assert_eq!(kept + cut, all);
        }
    }
}
