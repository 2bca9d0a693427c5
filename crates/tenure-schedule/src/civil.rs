//! Local calendar time as plain numbers: dates, seconds of the day, and the count of local seconds.
//!
//! A *local second* is what a clock on the wall shows, counted from 1970-01-01T00:00:00 on that
//! same wall. Which instant it is, if any, is not known here; `local` knows. The conversion is the
//! `days_from_civil` algorithm of Howard Hinnant ("chrono-Compatible Low-Level Date Algorithms").

use jiff::civil::DateTime;

pub(crate) const DAY: i64 = 86_400;

/// The first year in which there are ticks.
pub(crate) const FIRST_YEAR: i64 = 1970;

/// The last year in which there are ticks, as far as `jiff::Timestamp` reaches.
pub(crate) const LAST_YEAR: i64 = 9999;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

impl Date {
    /// Days since 1970-01-01.
    pub(crate) fn number(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        // Years start in March here, so that the leap day is the last day of a year.
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    pub(crate) fn from_number(number: i64) -> Self {
        let shifted = number + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year,
            month: small(month),
            day: small(day),
        }
    }
}

/// A time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
}

impl Time {
    pub(crate) const FIRST: Self = Self {
        hour: 0,
        minute: 0,
        second: 0,
    };
    pub(crate) const LAST: Self = Self {
        hour: 23,
        minute: 59,
        second: 59,
    };
}

/// Splits a local second into its date and time.
pub(crate) fn split(local: i64) -> (Date, Time) {
    let second_of_day = local.rem_euclid(DAY);
    let time = Time {
        hour: small(second_of_day / 3600),
        minute: small(second_of_day / 60 % 60),
        second: small(second_of_day % 60),
    };
    (Date::from_number(local.div_euclid(DAY)), time)
}

/// Joins a date and a time into a local second.
pub(crate) fn join(date: Date, time: Time) -> i64 {
    let second_of_day = time.hour * 3600 + time.minute * 60 + time.second;
    date.number() * DAY + i64::from(second_of_day)
}

/// The same local second in jiff's words, or `None` outside the years jiff knows.
pub(crate) fn to_jiff(local: i64) -> Option<DateTime> {
    let (date, time) = split(local);
    let byte = |number: u32| i8::try_from(number).ok();
    DateTime::new(
        i16::try_from(date.year).ok()?,
        byte(date.month)?,
        byte(date.day)?,
        byte(time.hour)?,
        byte(time.minute)?,
        byte(time.second)?,
        0,
    )
    .ok()
}

pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Narrows a number that is a remainder, and so always fits.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_agree_with_jiff_on_every_day() {
        let mut date = jiff::civil::date(1968, 1, 1);
        let first = Date {
            year: 1968,
            month: 1,
            day: 1,
        }
        .number();
        for number in first..200_000 {
            let ours = Date::from_number(number);
            assert_eq!(to_jiff(join(ours, Time::FIRST)).unwrap().date(), date);
            assert_eq!(ours.number(), number);
            let length = u32::try_from(date.days_in_month()).unwrap();
            assert_eq!(days_in_month(ours.year, ours.month), length);
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn the_last_second_of_the_last_year_joins_and_splits() {
        let date = Date {
            year: LAST_YEAR,
            month: 12,
            day: 31,
        };
        let last = join(date, Time::LAST);
        assert_eq!(last, 253_402_300_799);
        assert_eq!(split(last), (date, Time::LAST));
        assert_eq!(to_jiff(last).unwrap().to_string(), "9999-12-31T23:59:59");
        assert_eq!(to_jiff(last + 1), None);
    }
}
