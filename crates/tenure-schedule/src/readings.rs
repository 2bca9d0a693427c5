//! How the other dialects would read the same characters, and in what that differs.
//!
//! The differences are found by comparing what was read, not by rules about texts, so that they
//! cannot disagree with what runs.

use crate::calendar::Calendar;
use crate::dialect::{self, Dialect};
use crate::error::ScheduleError;
use crate::piece::Piece;
use crate::schedule::{Rule, Schedule};

/// What another dialect makes of the text of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    dialect: Dialect,
    outcome: Result<Schedule, ScheduleError>,
    reasons: Vec<&'static str>,
}

impl Reading {
    /// The dialect that was tried.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The schedule it would be, or why it would be none.
    ///
    /// # Errors
    /// Why this dialect refuses the text.
    pub fn outcome(&self) -> Result<&Schedule, &ScheduleError> {
        self.outcome.as_ref()
    }

    /// Whether it would be due at the same instants, as far as fields can tell.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.outcome.is_ok() && self.reasons.is_empty()
    }

    /// In what it differs, such as `the numbers of weekdays`.
    #[must_use]
    pub fn reasons(&self) -> &[&'static str] {
        &self.reasons
    }
}

impl Schedule {
    /// How the other dialects would read the same characters.
    ///
    /// The dialects of fields (crontab, krontab, Quartz) are all there, also where they refuse the
    /// text; the others only where they accept it. A text of English or systemd thus has no
    /// readings in practice, and neither has [`disabled`](Self::disabled).
    ///
    /// # Examples
    /// ```
    /// use tenure_schedule::{Dialect, Schedule};
    ///
    /// let tuesdays = Schedule::parse("0 0 9 ? * 2")?;
    /// assert_eq!(tuesdays.explain(), "at 09:00, on Tuesday, in UTC");
    /// for reading in tuesdays.readings() {
    ///     if reading.dialect() == Dialect::Quartz {
    ///         let mondays = reading.outcome().map(Schedule::explain);
    ///         assert_eq!(mondays.as_deref(), Ok("at 09:00, on Monday, in UTC"));
    ///         assert_eq!(reading.reasons(), ["weekdays count otherwise"]);
    ///     }
    /// }
    /// # Ok::<(), tenure_schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let body = dialect::prefix(Piece::trimmed(self.text())).1.text;
        let own = self.dialect();
        let has_fields = is_of_fields(own) && !body.starts_with('@');
        if self.is_disabled() {
            return Vec::new();
        }
        Dialect::ALL
            .into_iter()
            .filter(|dialect| *dialect != own)
            .filter_map(|dialect| {
                let zone = self.zone();
                let outcome = Self::parse_as_in(dialect, body, zone)
                    .map(|other| other.with_gap(self.gap()).with_overlap(self.overlap()));
                let is_told = outcome.is_ok() || (has_fields && is_of_fields(dialect));
                let reasons = match &outcome {
                    Ok(other) => differences(&self.rule, &other.rule),
                    Err(_) => Vec::new(),
                };
                is_told.then_some(Reading {
                    dialect,
                    outcome,
                    reasons,
                })
            })
            .collect()
    }
}

fn is_of_fields(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::Crontab | Dialect::Krontab | Dialect::Quartz
    )
}

fn differences(one: &Rule, other: &Rule) -> Vec<&'static str> {
    match (one, other) {
        (Rule::Calendar(one), Rule::Calendar(other)) => of_calendars(one, other),
        _ if one == other => Vec::new(),
        (Rule::After(_), _) | (_, Rule::After(_)) => vec!["one waits for the run before to end"],
        _ => vec!["a calendar and an interval"],
    }
}

fn of_calendars(one: &Calendar, other: &Calendar) -> Vec<&'static str> {
    if one == other {
        return Vec::new();
    }
    let times = |calendar: &Calendar| (calendar.seconds, calendar.minutes, calendar.hours);
    let first = one.rare.as_deref().cloned().unwrap_or_default();
    let second = other.rare.as_deref().cloned().unwrap_or_default();
    let weekdays_differ = (one.weekdays, first.ordinals, first.last)
        != (other.weekdays, second.ordinals, second.last);
    let days_differ = (
        one.days,
        first.nearest,
        first.from_end,
        first.nearest_from_end,
    ) != (
        other.days,
        second.nearest,
        second.from_end,
        second.nearest_from_end,
    );
    let mut reasons = Vec::new();
    for (is_different, reason) in [
        (
            times(one) != times(other) || first.millis != second.millis,
            "the fields are other parts of the time",
        ),
        (days_differ, "days of the month count otherwise"),
        (one.months != other.months, "months count otherwise"),
        (weekdays_differ, "weekdays count otherwise"),
        (
            one.is_either && !other.is_either,
            "here one of the two day fields is enough, there both must match",
        ),
        (
            !one.is_either && other.is_either,
            "here both day fields must match, there one is enough",
        ),
        (first.years != second.years, "years differ"),
        (
            first.is_clamped != second.is_clamped,
            "a day that a month does not have is its last one for krontab",
        ),
        (
            first.offset_minutes != second.offset_minutes,
            "the distance from UTC differs",
        ),
        (
            one.is_interval_like != other.is_interval_like,
            "times in clock changes differ",
        ),
    ] {
        if is_different {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push("details differ");
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s04_a_distance_from_utc_is_named_which_no_text_of_two_dialects_can_show() {
        let rule = |text| Schedule::parse(text).unwrap().rule;
        let noon = rule("krontab: 0 0 12 * *");
        assert_eq!(differences(&noon, &rule("0 0 12 * * *")), [""; 0]);
        assert_eq!(
            differences(&noon, &rule("krontab: 0 0 12 * * 60o")),
            ["the distance from UTC differs"]
        );
    }
}
