//! The builder of the Kotlin library `krontab`, which the origin's tasks are written with.
//!
//! Composes a text of the krontab dialect and nothing else: what it means, clamps or refuses is
//! decided where such texts are read.

use std::fmt::Write as _;

use crate::dialect::Dialect;
use crate::error::ScheduleError;
use crate::krontab::{DAY, HOUR, MILLI, MINUTE, MONTH, Part, SECOND, WEEKDAY, YEAR};
use crate::schedule::Schedule;
use crate::zone::Zone;

/// Puts a schedule together part by part, as the origin's `kronSchedule { … }` does.
///
/// A part that is not mentioned takes any value, but for milliseconds, which are then 0. So a
/// schedule with hours and minutes alone is due **every second** of those minutes, here as there;
/// add `.seconds(|s| s.at(0))` for once a minute. [`Schedule::warnings`] says so too.
///
/// Days of the month and months count from 0, days of the week from Sunday, which is 0. Numbers
/// beyond a part are clamped, as in the origin; [`Schedule::warnings`] names them.
///
/// # Examples
/// ```
/// use tenure_schedule::Schedule;
///
/// let schedule = Schedule::builder()
///     .hours(|h| h.from(0).every(12))
///     .minutes(|m| m.from(15).every(30))
///     .seconds(|s| s.at(0))
///     .build()?;
/// assert_eq!(schedule.text(), "krontab: 0 15/30 0/12 * *");
/// assert_eq!(
///     schedule.explain(),
///     "at 00:15, 00:45, 12:15 and 12:45, in UTC",
/// );
/// # Ok::<(), tenure_schedule::ScheduleError>(())
/// ```
///
/// # Sources
/// `SchedulerBuilder` and `TimeBuilder` of krontab 2.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ScheduleBuilder {
    parts: [Values; 8],
    offset: Option<i16>,
}

/// The values of one part of a [`ScheduleBuilder`]. A part to which none is added takes any.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Values {
    items: Vec<Item>,
}

/// Values from a first one on, still without their distance or end.
#[derive(Debug, Clone)]
#[must_use]
pub struct ValuesFrom {
    values: Values,
    first: u16,
}

#[derive(Debug, Clone, Copy)]
enum Item {
    Number(u16),
    First,
    Last,
    /// From the first number on, by the second.
    Every(u16, u16),
    /// From the first number to the second.
    Range(u16, u16),
}

impl Item {
    fn text(self, part: Part) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::First => part.least.to_string(),
            Self::Last => part.most.to_string(),
            // In a string, krontab clamps the distance; in the builder, it does not.
            Self::Every(first, distance) if distance > part.most => first.to_string(),
            Self::Every(first, distance) => format!("{first}/{distance}"),
            Self::Range(first, last) => format!("{first}-{last}"),
        }
    }
}

const ORDER: [Part; 8] = [SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, WEEKDAY, MILLI];

impl Schedule {
    /// Starts the origin's builder.
    pub fn builder() -> ScheduleBuilder {
        ScheduleBuilder::default()
    }
}

impl ScheduleBuilder {
    /// Adds milliseconds, 0 to 999. Without any it is the 0th.
    pub fn milliseconds(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(MILLI, values)
    }

    /// Adds seconds, 0 to 59.
    pub fn seconds(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(SECOND, values)
    }

    /// Adds minutes, 0 to 59.
    pub fn minutes(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(MINUTE, values)
    }

    /// Adds hours, 0 to 23.
    pub fn hours(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(HOUR, values)
    }

    /// Adds days of the month, 0 to 30: the first is 0. A day that a month does not have stands
    /// for its last one.
    pub fn day_of_month(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(DAY, values)
    }

    /// Adds days of the week, 0 to 6: Sunday is 0. A date must match these and the days of the
    /// month.
    pub fn day_of_week(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(WEEKDAY, values)
    }

    /// Adds months, 0 to 11: January is 0.
    pub fn months(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(MONTH, values)
    }

    /// Adds years, 1970 to 9999.
    pub fn years(self, values: impl FnOnce(Values) -> Values) -> Self {
        self.with(YEAR, values)
    }

    /// Reads all of it this many minutes ahead of UTC, -1439 to 1439.
    pub fn offset_minutes(mut self, minutes: i16) -> Self {
        self.offset = Some(minutes);
        self
    }

    /// The text it stands for, with the dialect's name, such as `krontab: 0 15/30 0/12 * *`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}:", Dialect::Krontab);
        for (part, values) in ORDER.into_iter().zip(&self.parts) {
            let is_optional = part == YEAR || !part.suffix.is_empty();
            if !values.items.is_empty() {
                let items = values.items.iter().map(|item| item.text(part));
                let items: Vec<String> = items.collect();
                // Writing to a `String` cannot fail.
                let _ = write!(text, " {}{}", items.join(","), part.suffix);
            } else if !is_optional {
                text.push_str(" *");
            }
        }
        if let Some(minutes) = self.offset {
            let _ = write!(text, " {minutes}o");
        }
        text
    }

    /// The schedule, in UTC or at its own offset.
    ///
    /// # Errors
    /// [`ScheduleError`] for a distance of 0, a range that runs backwards, an offset of a day or
    /// more, a year that is none, and for what could never fire. Its text is [`text`](Self::text).
    pub fn build(&self) -> Result<Schedule, ScheduleError> {
        Schedule::parse(&self.text())
    }

    /// The schedule, in a zone.
    ///
    /// # Errors
    /// As [`build`](Self::build), and for an offset beside a zone other than UTC.
    pub fn build_in(&self, zone: &Zone) -> Result<Schedule, ScheduleError> {
        Schedule::parse_in(&self.text(), zone)
    }

    fn with(mut self, part: Part, change: impl FnOnce(Values) -> Values) -> Self {
        let mut parts = ORDER.into_iter().zip(&mut self.parts);
        if let Some((_, values)) = parts.find(|(place, _)| *place == part) {
            *values = change(std::mem::take(values));
        }
        self
    }
}

impl Values {
    /// One value.
    pub fn at(self, value: u16) -> Self {
        self.with(Item::Number(value))
    }

    /// One value; the same as [`at`](Self::at).
    pub fn each(self, value: u16) -> Self {
        self.at(value)
    }

    /// Several values.
    pub fn include(self, values: impl IntoIterator<Item = u16>) -> Self {
        values.into_iter().fold(self, Self::at)
    }

    /// The smallest value there is.
    pub fn include_first(self) -> Self {
        self.with(Item::First)
    }

    /// The largest value there is.
    pub fn include_last(self) -> Self {
        self.with(Item::Last)
    }

    /// Takes back what was added, so that any value will do.
    pub fn allow_all(self) -> Self {
        Self::default()
    }

    /// From this value on: `from(5).every(10)` is 5, 15, 25 …, `from(5).up_to(8)` is 5 to 8.
    pub fn from(self, first: u16) -> ValuesFrom {
        ValuesFrom {
            values: self,
            first,
        }
    }

    /// Every so many from 0 on.
    pub fn every(self, distance: u16) -> Self {
        self.from(0).every(distance)
    }

    /// From 0 to this value.
    pub fn up_to(self, last: u16) -> Self {
        self.from(0).up_to(last)
    }

    fn with(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }
}

impl ValuesFrom {
    /// Every so many, to the end of the part.
    pub fn every(self, distance: u16) -> Values {
        self.values.with(Item::Every(self.first, distance))
    }

    /// All up to this value and with it.
    pub fn up_to(self, last: u16) -> Values {
        self.values.with(Item::Range(self.first, last))
    }
}
