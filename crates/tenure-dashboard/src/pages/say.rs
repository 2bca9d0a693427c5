//! Instants, spans, numbers and states, as pages show them.
//!
//! An instant stands in the page as its UTC time and never as "5 s ago": the page's script tells
//! the distance and keeps telling it, and a region whose facts did not change stays the same to
//! the byte. A state is always a word; its colour is an addition.

use maud::{Markup, html};
use tenure_core::RunState;

use crate::view::{At, Node, RunRow};

/// What the script makes of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rel {
    /// `5 s ago`, or `in 5 s`.
    Ago,
    /// `in 5 s`, or `due now`.
    In,
    /// `5 s`, of something that goes on.
    For,
    /// `5 s`, of something that ends.
    Left,
    /// Nothing: the time itself.
    Time,
}

impl Rel {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Ago => Some("ago"),
            Self::In => Some("in"),
            Self::For => Some("for"),
            Self::Left => Some("left"),
            Self::Time => None,
        }
    }
}

/// An instant.
pub(super) fn time(at: At, rel: Rel) -> Markup {
    let utc = at.0.to_jiff();
    let whole = utc.strftime("%Y-%m-%d %H:%M:%S%.3f UTC");
    let short = utc.strftime("%-d %b %H:%M:%S");
    html! {
        time datetime=(at) data-rel=[rel.name()] title=(whole) { (short) }
    }
}

/// An instant to the millisecond, in the account of a run.
pub(super) fn moment(at: At) -> Markup {
    html! {
        time datetime=(at) { (at.0.to_jiff().strftime("%-d %b %H:%M:%S%.3f")) }
    }
}

/// An instant that may not have come, or never will.
pub(super) fn time_or_dash(at: Option<At>, rel: Rel) -> Markup {
    html! { @if let Some(at) = at { (time(at, rel)) } @else { span.soft { "–" } } }
}

/// A span of milliseconds, in two units at most.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How late a run began: plain below a second, loud from a minute on.
pub(super) fn lateness(ms: Option<u64>) -> Markup {
    let Some(ms) = ms else {
        return html! { span.soft { "–" } };
    };
    let class = match ms {
        0..1000 => "",
        1000..60_000 => "late",
        _ => "very-late",
    };
    html! { span class=(class) { (span(ms)) } }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of things: `1 task`, `2 tasks`.
pub(super) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", self::number(number))
}

/// A number of things in a listing.
pub(super) fn len<T>(things: &[T]) -> u64 {
    u64::try_from(things.len()).unwrap_or(u64::MAX)
}

/// The colour of a state: `ok`, `bad`, `warn`, `busy` or `idle`.
pub(super) fn tone(state: RunState) -> &'static str {
    match state {
        RunState::Succeeded => "ok",
        RunState::Failed | RunState::TimedOut | RunState::Lost | RunState::Missed => "bad",
        RunState::Cancelled | RunState::Interrupted | RunState::Skipped => "warn",
        RunState::Claimed | RunState::Running => "busy",
        _ => "idle",
    }
}

/// A state in words.
pub(super) fn word(state: RunState) -> &'static str {
    match state {
        RunState::TimedOut => "timed out",
        other => other.as_str(),
    }
}

/// A state as a badge.
pub(super) fn state(state: RunState) -> Markup {
    badge(tone(state), word(state))
}

/// The colour of a run: it is not told as running if its node is gone.
pub(super) fn tone_of(state: RunState, node_gone: Option<&str>) -> &'static str {
    if node_gone.is_some() {
        return "warn";
    }
    tone(state)
}

/// A run in words.
pub(super) fn word_of(state: RunState, node_gone: Option<&str>) -> &'static str {
    if node_gone.is_some() {
        return "node gone";
    }
    word(state)
}

/// How a run stands, as a badge.
pub(super) fn stands(run: &RunRow) -> Markup {
    let gone = run.node_gone.as_deref();
    badge(tone_of(run.state, gone), word_of(run.state, gone))
}

/// A word with a colour.
pub(super) fn badge(tone: &str, word: &str) -> Markup {
    html! { span.state.(tone) { (word) } }
}

/// The beginning of a long text.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 160;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MOST {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(MOST - 1).collect();
    short.push('…');
    short
}

/// A process, its machine below it.
pub(super) fn node(node: Option<&Node>) -> Markup {
    let Some(node) = node else {
        return html! { span.soft { "–" } };
    };
    let title = format!("{}\n{node}", node.id);
    html! {
        span title=(title) {
            (node.label)
            @if !node.host.is_empty() && node.host != node.label {
                span.sub { (node.host) @if node.pid > 0 { ", process " (node.pid) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_numbers_and_counts_read_well() {
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (3_660_000, "1 h 1 min"),
            (200_000_000, "2 d 7 h"),
        ] {
            assert_eq!(span(ms), expected);
        }
        assert_eq!(number(7), "7");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(count(2, "task"), "2 tasks");
    }

    #[test]
    fn an_instant_is_the_same_whenever_it_is_shown() {
        let at = At(tenure_core::Timestamp::from_millis(1_000));
        let shown = time(at, Rel::Ago).into_string();
        assert!(shown.contains(">1 Jan 00:00:01<"), "{shown}");
        assert!(shown.contains("data-rel=\"ago\""), "{shown}");
        assert!(!time(at, Rel::Time).into_string().contains("data-rel"));
    }

    #[test]
    fn e100_names_of_nodes_are_text() {
        let node = Node {
            id: "1".to_owned(),
            label: "<script>alert(1)</script>".to_owned(),
            host: "\"><img onerror=alert(1)>".to_owned(),
            pid: 1,
        };
        let shown = self::node(Some(&node)).into_string();
        assert!(
            !shown.contains("<script") && !shown.contains("<img"),
            "{shown}"
        );
    }
}
