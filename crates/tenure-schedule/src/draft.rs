//! The fields of a calendar while they are being read, whatever the dialect.
//!
//! Knows how the fields add up to a [`Calendar`] and that one that could never fire is refused. How
//! a field is written is known to the readers of the dialects.

use crate::calendar::{
    ALL_DAYS, ALL_HOURS, ALL_MONTHS, ALL_SIXTY, ALL_WEEKDAYS, Calendar, Rare, YearSpan,
};
use crate::civil::{Date, FIRST_YEAR};
use crate::error::ScheduleErrorKind as Kind;
use crate::piece::{Fault, Piece};
use crate::policy::{DstGap, DstOverlap};

/// The fields read so far.
pub(crate) struct Draft {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
    pub(crate) months: u64,
    pub(crate) weekdays: u64,
    pub(crate) rare: Rare,
    pub(crate) years: Vec<YearSpan>,
    pub(crate) is_day_restricted: bool,
    pub(crate) weekday_rule: WeekdayRule,
    pub(crate) is_repeating: bool,
}

/// How the day-of-week field combines with the day of the month.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WeekdayRule {
    /// It begins with `*` or is `?`: every day of the week.
    Unrestricted,
    /// A day that either field names is enough.
    Either,
    /// It begins with `+`: both fields must name the day.
    Both,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            seconds: 1,
            minutes: 0,
            hours: 0,
            days: 0,
            months: 0,
            weekdays: 0,
            rare: Rare::default(),
            years: Vec::new(),
            is_day_restricted: false,
            weekday_rule: WeekdayRule::Unrestricted,
            is_repeating: false,
        }
    }
}

impl Draft {
    /// A draft in which every field names all of its values.
    pub(crate) fn unrestricted() -> Self {
        Self {
            seconds: ALL_SIXTY,
            minutes: ALL_SIXTY,
            hours: u64::from(ALL_HOURS),
            days: u64::from(ALL_DAYS),
            months: u64::from(ALL_MONTHS),
            weekdays: u64::from(ALL_WEEKDAYS),
            ..Self::default()
        }
    }

    /// The calendar of these fields, if any date has what they ask for.
    pub(crate) fn finish(self, whole: Piece<'_>) -> Result<Calendar, Fault> {
        let calendar = self.joined();
        let start = Date {
            year: FIRST_YEAR,
            month: 1,
            day: 1,
        };
        match calendar.day_at_or_after(start) {
            Some(_) => Ok(calendar),
            None => Err(whole.fault(Kind::NeverFires)),
        }
    }

    fn joined(self) -> Calendar {
        let rare = Rare {
            years: self.years.into_boxed_slice(),
            ..self.rare
        };
        let is_whole = self.minutes == ALL_SIXTY || self.hours == u64::from(ALL_HOURS);
        Calendar {
            seconds: self.seconds,
            minutes: self.minutes,
            hours: narrowed(self.hours, ALL_HOURS),
            days: narrowed(self.days, ALL_DAYS),
            months: narrowed(self.months, ALL_MONTHS),
            weekdays: narrowed(self.weekdays, ALL_WEEKDAYS),
            is_either: self.is_day_restricted && self.weekday_rule == WeekdayRule::Either,
            is_interval_like: self.is_repeating || is_whole,
            gap: DstGap::default(),
            overlap: DstOverlap::default(),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }
}

/// The set in its own width; it never holds more than `all`.
fn narrowed<Set: TryFrom<u64>>(set: u64, all: Set) -> Set {
    Set::try_from(set).unwrap_or(all)
}
