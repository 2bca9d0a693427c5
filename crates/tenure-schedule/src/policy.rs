//! What a schedule of named local times does when the clocks change.
//!
//! Only the words; `local` applies them.

use std::fmt;
use std::str::FromStr;

use crate::error::{ScheduleError, ScheduleErrorKind};

/// What happens to a named local time that the clocks jump over.
///
/// A schedule that follows elapsed time ([`Schedule::is_interval_like`]) does not ask: what does
/// not exist does not fire.
///
/// [`Schedule::is_interval_like`]: crate::Schedule::is_interval_like
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DstGap {
    /// One tick at the first instant after the gap, however many of its times fell into it. If
    /// that instant is a tick anyway, it stays one tick. The default.
    #[default]
    RunAfter,
    /// No tick.
    Skip,
}

/// What happens to a named local time that comes twice because the clocks were set back.
///
/// A schedule that follows elapsed time ([`Schedule::is_interval_like`]) does not ask: it fires
/// both times, since both are real.
///
/// [`Schedule::is_interval_like`]: crate::Schedule::is_interval_like
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DstOverlap {
    /// The first of the two. The default.
    #[default]
    First,
    /// The second of the two.
    Last,
    /// Both.
    Both,
}

impl DstGap {
    /// The word that stands for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunAfter => "run_after",
            Self::Skip => "skip",
        }
    }
}

impl DstOverlap {
    /// The word that stands for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for DstGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for DstOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DstGap {
    type Err = ScheduleError;

    fn from_str(word: &str) -> Result<Self, ScheduleError> {
        [Self::RunAfter, Self::Skip]
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .ok_or_else(|| unknown(word, "run_after, skip"))
    }
}

impl FromStr for DstOverlap {
    type Err = ScheduleError;

    fn from_str(word: &str) -> Result<Self, ScheduleError> {
        [Self::First, Self::Last, Self::Both]
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .ok_or_else(|| unknown(word, "first, last, both"))
    }
}

fn unknown(word: &str, expected: &'static str) -> ScheduleError {
    let kind = ScheduleErrorKind::UnknownPolicy {
        value: word.to_owned(),
        expected,
    };
    ScheduleError::new(kind, 0..word.len(), word)
}
