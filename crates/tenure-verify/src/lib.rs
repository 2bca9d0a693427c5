//! Whether a store keeps its promises: many processes on one machine take locks and run tasks on
//! it, while they are paused, killed and cut off from it, and everything they saw is judged.
//!
//! The store is the user's own, with the safety that its settings give it; nothing is done to the
//! server. All works under a name of its own, which is removed at the end. `tenure verify` shows
//! the result.
//!
//! The rules are those of a history with one clock: [`Rule`]. Two controls in the same history tell
//! whether the faults hurt at all ([`Verdict::controls_saw_something`]). What is not seen is not
//! proven: [`Finding::bound`] says how rare a violation may be and still hide.
//!
//! # Source
//! Kingsbury's Jepsen judges histories of invocations and completions; here one clock for all makes
//! spans of time exact. The bound for none in n is the rule of three.

mod client;
mod conduct;
mod faults;
mod history;
mod judge;
mod merge;
mod proxy;

pub use client::serve;
pub use conduct::{History, Settings, Stage, run};
pub use history::{Fault, Head, Record, Step};
pub use judge::{Finding, Judge, Rule, Verdict};

use std::io::BufRead;

/// Why a history cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The file cannot be read.
    #[error("line {line}: {source}")]
    Io {
        /// Which line, from 1.
        line: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("line {line} is no record of a history: {source}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Records are not in the order of their times.
    #[error("line {line} is older than the line before it: the history was changed, or is cut")]
    Order {
        /// Which line, from 1.
        line: usize,
    },
    /// There is not even a first line.
    #[error("it is empty")]
    Empty,
}

/// Judges a history that was written down earlier.
///
/// # Errors
/// [`Unreadable`] says which line is wrong, and how.
pub fn recheck(history: impl BufRead) -> Result<(Head, Verdict), Unreadable> {
    let mut lines = history.lines().enumerate().map(|(at, line)| {
        let line_number = at + 1;
        match line {
            Ok(text) => Ok((line_number, text)),
            Err(source) => Err(Unreadable::Io {
                line: line_number,
                source,
            }),
        }
    });
    let (line, first) = lines.next().ok_or(Unreadable::Empty)??;
    let head: Head =
        serde_json::from_str(&first).map_err(|source| Unreadable::Line { line, source })?;
    let mut judge = Judge::new(&head);
    let mut last = 0;
    for read in lines {
        let (line, text) = read?;
        let record: Record =
            serde_json::from_str(&text).map_err(|source| Unreadable::Line { line, source })?;
        if record.t < last {
            return Err(Unreadable::Order { line });
        }
        last = record.t;
        judge.see(&record);
    }
    Ok((head, judge.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = concat!(
        r#"{"tenure":"0.1.0","store":"x","seed":1,"clients":2,"span_ms":1,"ttl_ms":1,"#,
        r#""locks":1,"is_fenced":true,"tasks":{},"repeated":[],"network":{"Err":"why"}}"#
    );

    fn error(lines: &[&str]) -> String {
        recheck(lines.join("\n").as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_file_that_is_no_history_is_refused_with_the_line_and_the_reason() {
        assert_eq!(error(&[]), "it is empty");
        assert!(error(&["{}"]).starts_with("line 1 is no record of a history: missing field"));
        let alive = r#"{"t":5,"p":"c0","f":"alive"}"#;
        assert!(error(&[HEAD, alive, "x"]).starts_with("line 3 is no record of a history"));
        let earlier = r#"{"t":4,"p":"c0","f":"alive"}"#;
        assert!(error(&[HEAD, alive, earlier]).starts_with("line 3 is older than the line before"));
        let (head, verdict) = recheck([HEAD, alive].join("\n").as_bytes()).unwrap();
        assert_eq!((head.clients, verdict.records), (2, 1));
    }
}
