//! Turns the local seconds a calendar picks into instants, through gaps and overlaps.
//!
//! ```text
//!            first pass      second pass            a gap: the wall clock jumps from `start`
//!   local  s ─────────▶ e│s ─────────▶ e            to `end` at the instant `at`; an overlap:
//!   instant              at                         it jumps back from `end` to `start`
//! ```
//!
//! The set of ticks is: for each picked local second that exists once, its instant; for one in a
//! gap or an overlap, what the policies say. Interval-like calendars fire at every instant whose
//! local time is picked, which is "nothing in a gap, both in an overlap". Local order and order of
//! instants differ only inside an overlap, so both searches treat its two passes one by one.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::calendar::Calendar;
use crate::civil::to_jiff;
use crate::policy::{DstGap, DstOverlap};

/// What a local second means in a zone.
enum Meaning {
    Once(i64),
    Gap(Shift),
    Overlap(Shift),
}

/// One change of a zone's offset. All in seconds.
#[derive(Clone, Copy)]
struct Shift {
    /// The first instant with the new offset.
    at: i64,
    before: i64,
    after: i64,
}

impl Shift {
    /// The first local second that is skipped or repeated.
    fn start(self) -> i64 {
        self.at + self.before.min(self.after)
    }

    /// The first local second behind those.
    fn end(self) -> i64 {
        self.at + self.before.max(self.after)
    }

    fn first_pass(self, local: i64) -> i64 {
        local - self.before
    }

    fn second_pass(self, local: i64) -> i64 {
        local - self.after
    }
}

impl Calendar {
    /// The first tick after the instant `after`, in seconds since the Unix epoch.
    pub(crate) fn tick_after(&self, zone: &TimeZone, after: i64) -> Option<i64> {
        let now = local_of(zone, after)?;
        let overlap = self.effective_overlap();
        let mut from = now + 1;
        if overlap != DstOverlap::First
            && let Meaning::Overlap(shift) = meaning(zone, now)?
            && after < shift.at
        {
            // We are in the first pass: what lies behind us on the wall comes again.
            if overlap == DstOverlap::Both
                && let Some(found) = self.at_or_after(from)
                && found < shift.end()
            {
                return Some(shift.first_pass(found));
            }
            from = shift.start();
        }
        loop {
            let found = self.at_or_after(from)?;
            let later = |instant: &i64| *instant > after;
            match meaning(zone, found)? {
                Meaning::Once(instant) => return Some(instant),
                Meaning::Gap(shift) => {
                    if self.runs_after_gap() {
                        return Some(shift.at);
                    }
                    from = shift.end();
                }
                Meaning::Overlap(shift) => {
                    let first = Some(shift.first_pass(found)).filter(later);
                    let second = Some(shift.second_pass(found)).filter(later);
                    let tick = match overlap {
                        DstOverlap::First => first,
                        DstOverlap::Last => second,
                        DstOverlap::Both => first.or(second),
                    };
                    if tick.is_some() {
                        return tick;
                    }
                    from = shift.end();
                }
            }
        }
    }

    /// The last tick at or before the instant `until`, in seconds since the Unix epoch.
    pub(crate) fn tick_until(&self, zone: &TimeZone, until: i64) -> Option<i64> {
        let now = local_of(zone, until)?;
        let overlap = self.effective_overlap();
        let mut to = now;
        if overlap != DstOverlap::Last
            && let Meaning::Overlap(shift) = meaning(zone, now)?
            && until >= shift.at
        {
            // We are in the second pass: what lies ahead of us on the wall was there before.
            if overlap == DstOverlap::Both
                && let Some(found) = self.at_or_before(to)
                && found >= shift.start()
            {
                return Some(shift.second_pass(found));
            }
            to = shift.end() - 1;
        }
        loop {
            let found = self.at_or_before(to)?;
            let reached = |instant: &i64| *instant <= until;
            match meaning(zone, found)? {
                Meaning::Once(instant) => return Some(instant),
                Meaning::Gap(shift) => {
                    if self.runs_after_gap() && shift.at <= until {
                        return Some(shift.at);
                    }
                    to = shift.start() - 1;
                }
                Meaning::Overlap(shift) => {
                    let first = Some(shift.first_pass(found)).filter(reached);
                    let second = Some(shift.second_pass(found)).filter(reached);
                    let tick = match overlap {
                        DstOverlap::First => first,
                        DstOverlap::Last => second,
                        DstOverlap::Both => second.or(first),
                    };
                    if tick.is_some() {
                        return tick;
                    }
                    to = shift.start() - 1;
                }
            }
        }
    }

    fn runs_after_gap(&self) -> bool {
        !self.is_interval_like && self.gap == DstGap::RunAfter
    }

    fn effective_overlap(&self) -> DstOverlap {
        if self.is_interval_like {
            DstOverlap::Both
        } else {
            self.overlap
        }
    }
}

/// What the wall clock of a zone shows at an instant.
pub(crate) fn local_of(zone: &TimeZone, instant: i64) -> Option<i64> {
    let timestamp = Timestamp::from_second(instant).ok()?;
    Some(instant + i64::from(zone.to_offset(timestamp).seconds()))
}

/// What a local second means, or `None` beyond the years that jiff knows.
fn meaning(zone: &TimeZone, local: i64) -> Option<Meaning> {
    let (before, after) = match zone.to_ambiguous_timestamp(to_jiff(local)?).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            return Some(Meaning::Once(local - i64::from(offset.seconds())));
        }
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            (i64::from(before.seconds()), i64::from(after.seconds()))
        }
    };
    // Taken as UTC plus the larger offset, the second lies just before the change: at the end of
    // the first pass, or where the time before a gap would have put it.
    let earliest = Timestamp::from_second(local - before.max(after)).ok()?;
    let change = zone
        .following(earliest)
        .find(|change| i64::from(change.offset().seconds()) == after)?
        .timestamp()
        .as_second();
    let shift = Shift {
        at: change,
        before,
        after,
    };
    Some(if before < after {
        Meaning::Gap(shift)
    } else {
        Meaning::Overlap(shift)
    })
}
