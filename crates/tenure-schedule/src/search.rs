//! Finds the local second nearest to a given one that a calendar picks, forward and backward.
//!
//! Skips whole years, months and days by their bit sets. Every search ends: within a Gregorian
//! cycle of 400 years for schedules without years, with the last year listed for the others. It
//! knows local time only; whether such a second exists in a zone is asked in `local`.

use crate::calendar::Calendar;
use crate::civil::{Date, FIRST_YEAR, LAST_YEAR, Time, join, split};

/// After this many years dates and weekdays repeat.
const GREGORIAN_CYCLE: i64 = 400;

impl Calendar {
    /// The first picked local second at or after `local`.
    pub(crate) fn at_or_after(&self, local: i64) -> Option<i64> {
        let (mut date, mut time) = split(local);
        if date.year < FIRST_YEAR {
            (date, time) = (
                Date {
                    year: FIRST_YEAR,
                    month: 1,
                    day: 1,
                },
                Time::FIRST,
            );
        }
        if self.picks(date)
            && let Some(found) = self.time_at_or_after(time)
        {
            return Some(join(date, found));
        }
        let next = self.day_at_or_after(Date {
            day: date.day + 1,
            ..date
        })?;
        Some(join(next, self.time_at_or_after(Time::FIRST)?))
    }

    /// The last picked local second at or before `local`.
    pub(crate) fn at_or_before(&self, local: i64) -> Option<i64> {
        let (mut date, mut time) = split(local);
        if date.year < FIRST_YEAR {
            return None;
        }
        if date.year > LAST_YEAR {
            (date, time) = (
                Date {
                    year: LAST_YEAR,
                    month: 12,
                    day: 31,
                },
                Time::LAST,
            );
        }
        if self.picks(date)
            && let Some(found) = self.time_at_or_before(time)
        {
            return Some(join(date, found));
        }
        let previous = self.day_before(date)?;
        Some(join(previous, self.time_at_or_before(Time::LAST)?))
    }

    /// The first picked day from `start` on, whose day may be one past the end of its month.
    pub(crate) fn day_at_or_after(&self, start: Date) -> Option<Date> {
        let mut year = self.year_at_or_after(start.year)?;
        let (mut first_month, mut first_day) = if year == start.year {
            (start.month, start.day)
        } else {
            (1, 1)
        };
        let last_year = if self.years().is_empty() {
            year + GREGORIAN_CYCLE
        } else {
            LAST_YEAR
        };
        while year <= last_year {
            let mut from = first_month;
            while let Some(month) = at_or_above(u64::from(self.months), from) {
                let least = if month == first_month { first_day } else { 1 };
                if let Some(day) = at_or_above(self.days_of(year, month), least) {
                    return Some(Date { year, month, day });
                }
                from = month + 1;
            }
            year = self.year_at_or_after(year + 1)?;
            (first_month, first_day) = (1, 1);
        }
        None
    }

    /// The last picked day before `end`.
    fn day_before(&self, end: Date) -> Option<Date> {
        let mut year = self.year_at_or_before(end.year)?;
        let (mut last_month, mut below_day) = if year == end.year {
            (end.month, end.day)
        } else {
            (12, 32)
        };
        while year >= FIRST_YEAR {
            let mut below_month = last_month + 1;
            while let Some(month) = below(u64::from(self.months), below_month) {
                let limit = if month == last_month { below_day } else { 32 };
                if let Some(day) = below(self.days_of(year, month), limit) {
                    return Some(Date { year, month, day });
                }
                below_month = month;
            }
            year = self.year_at_or_before(year - 1)?;
            (last_month, below_day) = (12, 32);
        }
        None
    }

    fn picks(&self, date: Date) -> bool {
        has(u64::from(self.months), date.month)
            && self.year_at_or_after(date.year) == Some(date.year)
            && has(self.days_of(date.year, date.month), date.day)
    }

    fn time_at_or_after(&self, from: Time) -> Option<Time> {
        let hours = u64::from(self.hours);
        if has(hours, from.hour) {
            if has(self.minutes, from.minute)
                && let Some(second) = at_or_above(self.seconds, from.second)
            {
                return Some(Time { second, ..from });
            }
            if let Some(minute) = at_or_above(self.minutes, from.minute + 1) {
                return Some(Time {
                    hour: from.hour,
                    minute,
                    second: lowest(self.seconds),
                });
            }
        }
        let hour = at_or_above(hours, from.hour + 1)?;
        Some(Time {
            hour,
            minute: lowest(self.minutes),
            second: lowest(self.seconds),
        })
    }

    fn time_at_or_before(&self, until: Time) -> Option<Time> {
        let hours = u64::from(self.hours);
        if has(hours, until.hour) {
            if has(self.minutes, until.minute)
                && let Some(second) = below(self.seconds, until.second + 1)
            {
                return Some(Time { second, ..until });
            }
            if let Some(minute) = below(self.minutes, until.minute) {
                return Some(Time {
                    hour: until.hour,
                    minute,
                    second: highest(self.seconds),
                });
            }
        }
        let hour = below(hours, until.hour)?;
        Some(Time {
            hour,
            minute: highest(self.minutes),
            second: highest(self.seconds),
        })
    }
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

fn at_or_above(set: u64, number: u32) -> Option<u32> {
    let rest = set >> number << number;
    (rest != 0).then(|| rest.trailing_zeros())
}

fn below(set: u64, number: u32) -> Option<u32> {
    (set & ((1 << number) - 1)).checked_ilog2()
}

// No field is ever empty, so the fallbacks below are never taken.
fn lowest(set: u64) -> u32 {
    at_or_above(set, 0).unwrap_or(0)
}

fn highest(set: u64) -> u32 {
    set.checked_ilog2().unwrap_or(0)
}
