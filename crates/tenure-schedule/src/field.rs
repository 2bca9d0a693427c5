//! What a cron field is: its place, its allowed numbers and its names.
//!
//! Knows nothing about lists, ranges or steps; `item` reads those.

use std::fmt;

/// One field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Second of the minute; the first field of six or seven.
    Second,
    /// Minute of the hour.
    Minute,
    /// Hour of the day.
    Hour,
    /// Day of the month.
    DayOfMonth,
    /// Month of the year.
    Month,
    /// Day of the week; 0 and 7 are Sunday.
    DayOfWeek,
    /// Year; the last field of seven.
    Year,
}

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Field {
    /// The smallest number that may be written in this field.
    #[must_use]
    pub fn least(self) -> u16 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
            Self::Year => 1970,
        }
    }

    /// The largest number that may be written in this field.
    #[must_use]
    pub fn most(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
            Self::Year => 9999,
        }
    }

    /// The name of the field, as messages say it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Year => "year",
        }
    }

    /// The largest step: one more would only ever reach a single value.
    pub(crate) fn most_step(self) -> u16 {
        match self {
            Self::DayOfWeek => 6,
            other => other.most() - other.least(),
        }
    }

    /// The full English names this field accepts, in the order of their numbers.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The number that a name stands for: full or its first three letters, in any case.
    pub(crate) fn number_of(self, name: &str) -> Option<u16> {
        let is_same = |full: &&str| {
            full.eq_ignore_ascii_case(name)
                || full
                    .get(..3)
                    .is_some_and(|short| short.eq_ignore_ascii_case(name))
        };
        let place = self.names().iter().position(is_same)?;
        Some(u16::try_from(place).ok()? + u16::from(self == Self::Month))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
