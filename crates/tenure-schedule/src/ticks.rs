//! Enumerates ticks from either end.

use std::iter::FusedIterator;

use jiff::{SignedDuration, Timestamp};

use crate::schedule::Schedule;

/// The ticks of a [`Schedule`] in a span of time, computed one by one.
///
/// Reads from both ends: `rev()` gives the newest first, so that a bounded number of the latest
/// ticks costs no more than that number.
#[derive(Debug, Clone)]
pub struct Ticks<'a> {
    schedule: &'a Schedule,
    /// The ticks left are after `after` and before `before`.
    after: Timestamp,
    before: Timestamp,
}

impl<'a> Ticks<'a> {
    pub(crate) fn between(schedule: &'a Schedule, after: Timestamp, before: Timestamp) -> Self {
        Self {
            schedule,
            after,
            before,
        }
    }
}

impl Iterator for Ticks<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        self.after = self
            .schedule
            .next_after(self.after)
            .filter(|tick| *tick < self.before)?;
        Some(self.after)
    }
}

impl DoubleEndedIterator for Ticks<'_> {
    fn next_back(&mut self) -> Option<Timestamp> {
        self.before = self
            .schedule
            .previous_before(self.before)
            .filter(|tick| *tick > self.after)?;
        Some(self.before)
    }
}

impl FusedIterator for Ticks<'_> {}

/// The instant one nanosecond later. The last instant there is stays itself: it is never a tick.
pub(crate) fn just_after(instant: Timestamp) -> Timestamp {
    instant
        .checked_add(SignedDuration::from_nanos(1))
        .unwrap_or(Timestamp::MAX)
}
