//! A cron expression after reading: one bit set a field, and which days of a month they pick.
//!
//! Bit `n` stands for the value `n` as written. Everything but lists of plain numbers (nearest
//! weekdays, last days, ordinals, years) is rare and lives behind one pointer, so that a process
//! can hold many schedules. Knows nothing about instants or zones.

use crate::civil::{Date, LAST_YEAR, days_in_month};
use crate::fine::Millis;
use crate::policy::{DstGap, DstOverlap};

pub(crate) const ALL_SIXTY: u64 = (1 << 60) - 1;
pub(crate) const ALL_HOURS: u32 = (1 << 24) - 1;
pub(crate) const ALL_DAYS: u32 = !1;
pub(crate) const ALL_MONTHS: u16 = 0b1_1111_1111_1110;
pub(crate) const ALL_WEEKDAYS: u8 = 0b111_1111;

const WEEK: u32 = 7;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u32,
    pub(crate) days: u32,
    pub(crate) months: u16,
    /// Bit 0 is Sunday.
    pub(crate) weekdays: u8,
    /// Day of month and day of week are both restricted, and one of them is enough.
    pub(crate) is_either: bool,
    /// Follows elapsed time through clock changes; the other kind follows named local times.
    pub(crate) is_interval_like: bool,
    pub(crate) gap: DstGap,
    pub(crate) overlap: DstOverlap,
    pub(crate) rare: Option<Box<Rare>>,
}

/// The parts that few schedules have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    /// Days whose nearest weekday (Monday to Friday) is meant: `15W`.
    pub(crate) nearest: u32,
    /// Bit `n`: `n` days before the last day of the month: `L`, `L-3`.
    pub(crate) from_end: u32,
    /// Bit `n`: the weekday nearest to the day `n` days before the last: `LW`, `L-3W`.
    pub(crate) nearest_from_end: u32,
    /// Weekdays by their ordinal in the month, first to fifth: `5#3`.
    pub(crate) ordinals: [u8; 5],
    /// Weekdays whose last one in the month is meant: `5L`.
    pub(crate) last: u8,
    /// The years it is limited to; empty for every year.
    pub(crate) years: Box<[YearSpan]>,
    pub(crate) millis: Millis,
    /// Its local times are this far ahead of UTC, whatever the zone.
    pub(crate) offset_minutes: i16,
    /// A listed day that a month does not have stands for the last one it has.
    pub(crate) is_clamped: bool,
}

/// `first`, `first + step`, … up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct YearSpan {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) step: u16,
}

impl YearSpan {
    fn at_or_after(self, year: i64) -> Option<i64> {
        let (first, last, step) = self.numbers();
        let steps = (year - first).max(0).div_euclid(step);
        let reached = first + steps * step;
        let found = if reached < year {
            reached + step
        } else {
            reached
        };
        (found <= last).then_some(found)
    }

    fn at_or_before(self, year: i64) -> Option<i64> {
        let (first, last, step) = self.numbers();
        let past = year.min(last) - first;
        (past >= 0).then(|| first + past.div_euclid(step) * step)
    }

    fn numbers(self) -> (i64, i64, i64) {
        (
            i64::from(self.first),
            i64::from(self.last),
            i64::from(self.step),
        )
    }
}

impl Calendar {
    pub(crate) fn year_at_or_after(&self, year: i64) -> Option<i64> {
        match self.years() {
            [] => (year <= LAST_YEAR).then_some(year),
            spans => spans.iter().filter_map(|span| span.at_or_after(year)).min(),
        }
    }

    pub(crate) fn year_at_or_before(&self, year: i64) -> Option<i64> {
        match self.years() {
            [] => (year >= crate::civil::FIRST_YEAR).then_some(year),
            spans => spans
                .iter()
                .filter_map(|span| span.at_or_before(year))
                .max(),
        }
    }

    pub(crate) fn years(&self) -> &[YearSpan] {
        self.rare.as_ref().map_or(&[], |rare| &rare.years)
    }

    /// The days of a month on which it fires; bit `n` is day `n`.
    pub(crate) fn days_of(&self, year: i64, month: u32) -> u64 {
        let shape = Month::new(year, month);
        let mut days = u64::from(self.days);
        let mut by_weekday = shape.spread(self.weekdays);
        if let Some(rare) = &self.rare {
            if rare.is_clamped && days & !shape.all != 0 {
                days |= 1 << shape.length;
            }
            days |= shape.named_days(rare);
            by_weekday |= shape.named_weekdays(rare);
        }
        let picked = if self.is_either {
            days | by_weekday
        } else {
            days & by_weekday
        };
        picked & shape.all
    }
}

/// The length of a month and the weekday it starts with: all that day rules depend on.
struct Month {
    length: u32,
    /// Weekday of day 1; 0 is Sunday.
    starts_on: u32,
    all: u64,
}

impl Month {
    fn new(year: i64, month: u32) -> Self {
        let length = days_in_month(year, month);
        let number = Date {
            year,
            month,
            day: 1,
        }
        .number();
        // 1970-01-01 was a Thursday.
        let starts_on = u32::try_from((number + 4).rem_euclid(7)).unwrap_or(0);
        Self {
            length,
            starts_on,
            all: ((1 << length) - 1) << 1,
        }
    }

    /// The weekday set turned so that bit 0 is the weekday of day 1.
    fn aligned(&self, weekdays: u8) -> u64 {
        let twice = u64::from(weekdays) | u64::from(weekdays) << WEEK;
        (twice >> self.starts_on) & u64::from(ALL_WEEKDAYS)
    }

    /// All days of the month that have one of these weekdays.
    fn spread(&self, weekdays: u8) -> u64 {
        // One copy of the week for each of the (at most five) weeks of a month.
        const FIVE_WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
        (self.aligned(weekdays) * FIVE_WEEKS) << 1 & self.all
    }

    fn named_days(&self, rare: &Rare) -> u64 {
        let mut days = 0;
        for back in bits(u64::from(rare.from_end)).filter(|back| *back < self.length) {
            days |= 1 << (self.length - back);
        }
        for day in bits(u64::from(rare.nearest)).filter(|day| *day <= self.length) {
            days |= 1 << self.nearest_workday(day);
        }
        for back in bits(u64::from(rare.nearest_from_end)).filter(|back| *back < self.length) {
            days |= 1 << self.nearest_workday(self.length - back);
        }
        days
    }

    fn named_weekdays(&self, rare: &Rare) -> u64 {
        let last_week = self.all & !(self.all >> WEEK);
        let mut days = self.spread(rare.last) & last_week;
        for (week, weekdays) in (0..).zip(rare.ordinals) {
            days |= self.aligned(weekdays) << (WEEK * week) << 1;
        }
        days
    }

    /// The Monday to Friday nearest to a day, without leaving the month.
    fn nearest_workday(&self, day: u32) -> u32 {
        match (self.starts_on + day - 1) % WEEK {
            6 if day == 1 => day + 2,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}

/// The numbers of the bits that are set, rising.
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = u32> + Clone {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let lowest = set.trailing_zeros();
            set &= set - 1;
            lowest
        })
    })
}
