//! How long the records of a task's runs are kept, outcome by outcome.
//!
//! Only words and numbers: the runner asks the store to delete what exceeds them, and the store
//! keeps what it still needs to refuse a claim, whatever is said here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tenure_core::{Prune, RunState, format_duration, parse_duration};

/// How many records of one kind of outcome are kept, and for how long: whichever is less.
///
/// As text a number, a duration, or both: `100`, `7d`, `100/7d`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tenure_tasks::KeepRule;
///
/// let rule: KeepRule = "100/7d".parse()?;
/// assert_eq!(rule, KeepRule::newest(100).within(Duration::from_secs(7 * 24 * 3600)));
/// assert_eq!(rule.to_string(), "100/7d");
/// # Ok::<(), tenure_tasks::InvalidKeepRule>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeepRule {
    most: Option<u32>,
    age: Option<Duration>,
}

impl KeepRule {
    /// At most so many, the newest; from 1 to 10 000.
    #[must_use]
    pub fn newest(most: u32) -> Self {
        Self {
            most: Some(most),
            age: None,
        }
    }

    /// None that ended longer ago; at least one hour, and no longer than
    /// [`RunnerOptions::keep_history`](crate::RunnerOptions::keep_history).
    #[must_use]
    pub fn younger_than(age: Duration) -> Self {
        Self {
            most: None,
            age: Some(age),
        }
    }

    /// The same, and none that ended longer ago.
    #[must_use]
    pub fn within(self, age: Duration) -> Self {
        Self {
            age: Some(age),
            ..self
        }
    }

    /// How many, if that is said.
    #[must_use]
    pub fn most(self) -> Option<u32> {
        self.most
    }

    /// For how long, if that is said.
    #[must_use]
    pub fn age(self) -> Option<Duration> {
        self.age
    }

    /// What a runner would find wrong with it, where `keep_history` holds for all tasks.
    #[must_use]
    pub fn fault(self, keep_history: Option<Duration>) -> Option<String> {
        let most = Prune::MOST_KEPT;
        if self.most.is_some_and(|kept| !(1..=most).contains(&kept)) {
            return Some(format!("the number in `{self}` must be 1 to {most}"));
        }
        let least = Duration::from_secs(3600);
        let age = self.age?;
        if age < least {
            return Some(format!("the time in `{self}` must be at least 1h"));
        }
        let longest = keep_history.filter(|longest| age > *longest)?;
        let longest = format_duration(longest);
        Some(format!(
            "the time in `{self}` is longer than keep_history ({longest}), which ends all records"
        ))
    }
}

impl fmt::Display for KeepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.most, self.age) {
            (Some(most), Some(age)) => write!(f, "{most}/{}", format_duration(age)),
            (Some(most), None) => write!(f, "{most}"),
            (None, Some(age)) => f.write_str(&format_duration(age)),
            (None, None) => f.write_str("all"),
        }
    }
}

/// Why a text is no [`KeepRule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no number, no duration and no number/duration; write for example 100/7d")]
pub struct InvalidKeepRule {
    text: String,
}

impl FromStr for KeepRule {
    type Err = InvalidKeepRule;

    fn from_str(text: &str) -> Result<Self, InvalidKeepRule> {
        let fault = || InvalidKeepRule {
            text: text.escape_debug().to_string(),
        };
        let number = |part: &str| part.trim().parse::<u32>().ok();
        let time = |part: &str| parse_duration(part.trim()).ok();
        if let Some((most, age)) = text.split_once('/') {
            let most = number(most).ok_or_else(fault)?;
            return Ok(Self::newest(most).within(time(age).ok_or_else(fault)?));
        }
        match (number(text), time(text)) {
            (Some(most), _) => Ok(Self::newest(most)),
            (None, Some(age)) => Ok(Self::younger_than(age)),
            (None, None) => Err(fault()),
        }
    }
}

/// Which records of a task are kept, by how its runs ended. What nothing is said of stays for
/// [`RunnerOptions::keep_history`](crate::RunnerOptions::keep_history).
///
/// A record that a claim could still be refused by, for twice the catch-up window and an hour, is
/// never deleted. The store of Redis deletes everything after 30 days by itself, and earlier where
/// very many records are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Keep {
    succeeded: Option<KeepRule>,
    failed: Option<KeepRule>,
    skipped: Option<KeepRule>,
}

const FAILED: [RunState; 5] = [
    RunState::Failed,
    RunState::TimedOut,
    RunState::Cancelled,
    RunState::Interrupted,
    RunState::Lost,
];

impl Keep {
    /// Says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs that ended well.
    #[must_use]
    pub fn succeeded(mut self, rule: KeepRule) -> Self {
        self.succeeded = Some(rule);
        self
    }

    /// Runs that did not end well: failed, timed out, cancelled, interrupted, lost.
    #[must_use]
    pub fn failed(mut self, rule: KeepRule) -> Self {
        self.failed = Some(rule);
        self
    }

    /// Ticks that were not run: skipped, missed.
    #[must_use]
    pub fn skipped(mut self, rule: KeepRule) -> Self {
        self.skipped = Some(rule);
        self
    }

    /// Each rule with the states it is about.
    pub(crate) fn rules(self) -> impl Iterator<Item = (&'static [RunState], KeepRule)> {
        let skipped: &[RunState] = &[RunState::Skipped, RunState::Missed];
        [
            (&[RunState::Succeeded][..], self.succeeded),
            (&FAILED[..], self.failed),
            (skipped, self.skipped),
        ]
        .into_iter()
        .filter_map(|(states, rule)| Some((states, rule?)))
    }

    pub(crate) fn is_silent(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn s52_rules_are_read_as_they_are_written_and_nothing_else_is() {
        for (text, rule) in [
            ("100", KeepRule::newest(100)),
            ("7d", KeepRule::younger_than(7 * DAY)),
            ("100/7d", KeepRule::newest(100).within(7 * DAY)),
            (" 5 / 2h ", KeepRule::newest(5).within(DAY / 12)),
        ] {
            assert_eq!(text.parse(), Ok(rule), "{text}");
            assert_eq!(rule.to_string().parse(), Ok(rule), "{rule}");
        }
        for text in [
            "", "/", "7d/100", "100/", "/7d", "-1", "1/2/3", "all", "1e3",
        ] {
            assert!(text.parse::<KeepRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn s52_rules_that_nothing_could_keep_are_refused_with_the_bound() {
        for (rule, part) in [
            (KeepRule::newest(0), "1 to 10000"),
            (KeepRule::newest(10_001), "1 to 10000"),
            (KeepRule::younger_than(DAY / 25), "at least 1h"),
            (KeepRule::younger_than(31 * DAY), "keep_history (30d)"),
        ] {
            let fault = rule.fault(Some(30 * DAY)).unwrap_or_default();
            assert!(fault.contains(part), "{rule}: {fault}");
        }
        assert_eq!(KeepRule::younger_than(31 * DAY).fault(None), None);
    }
}
