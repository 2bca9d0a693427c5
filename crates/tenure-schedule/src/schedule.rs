//! The schedule: a rule, the zone it is read in, and the text it came from.
//!
//! Joins the parts; reading is `parse`, calendars are `search` and `local`, intervals are `every`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::calendar::Calendar;
use crate::dialect::{self, Dialect};
use crate::error::{ScheduleError, ScheduleErrorKind};
use crate::every::Period;
use crate::parse::{self, Place};
use crate::piece::Piece;
use crate::policy::{DstGap, DstOverlap};
use crate::ticks::{Ticks, just_after};
use crate::warning::ScheduleWarning;
use crate::zone::Zone;

/// When something is due: a rule that turns an instant into the next and the previous tick.
///
/// 64 bytes besides its text; a clone shares the text and the zone. Two schedules are equal if
/// their text, zone and policies are. [The crate page](crate) has the grammar and the rules.
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    text: Arc<str>,
    zone: Zone,
    pub(crate) rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Calendar(Calendar),
    Every(Period),
    After(Period),
    Disabled,
}

impl Schedule {
    /// Reads a schedule whose local times are UTC: a crontab, or a text in the [`Dialect`] whose
    /// name and a colon stand before it.
    ///
    /// # Errors
    /// [`ScheduleError`] says what is wrong and where. A schedule that could never fire, such as
    /// `0 0 30 2 *`, is refused too; one whose years are over is not, for no clock is read.
    ///
    /// # Examples
    /// ```
    /// use tenure_schedule::Schedule;
    ///
    /// let schedule = Schedule::parse("0 0 29 2 *")?;
    /// let next = schedule.next_after("2096-03-01T00:00:00Z".parse()?);
    /// assert_eq!(next, Some("2104-02-29T00:00:00Z".parse()?));
    ///
    /// let error = Schedule::parse("0 24 * * *").unwrap_err();
    /// assert_eq!(error.to_string(), "hour `24` must be 0 to 23");
    /// assert_eq!(error.span(), 2..4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        Self::parse_in(text, &Zone::utc())
    }

    /// Reads a schedule whose local times are those of `zone`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_in(text: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        Self::read(None, text, zone)
    }

    /// Reads a schedule in a given dialect; its local times are UTC unless it says otherwise.
    ///
    /// [`parse`](Self::parse) of the same text behind the dialect's name and a colon gives the same
    /// schedule; [`text`](Self::text) is that longer form.
    ///
    /// # Errors
    /// As [`parse`](Self::parse). A text with the prefix of another dialect is refused.
    ///
    /// # Examples
    /// ```
    /// use tenure_schedule::{Dialect, Schedule};
    ///
    /// let noon = Schedule::parse_as(Dialect::Krontab, "0 0 12 * * 1-5w")?;
    /// assert_eq!(noon, Schedule::parse("krontab: 0 0 12 * * 1-5w")?);
    /// assert_eq!(noon.explain(), "at 12:00, on Monday to Friday, in UTC");
    /// # Ok::<(), tenure_schedule::ScheduleError>(())
    /// ```
    pub fn parse_as(dialect: Dialect, text: &str) -> Result<Self, ScheduleError> {
        Self::parse_as_in(dialect, text, &Zone::utc())
    }

    /// Reads a schedule in a given dialect, whose local times are those of `zone`.
    ///
    /// # Errors
    /// As [`parse_as`](Self::parse_as). A text that says its own zone or offset is refused unless
    /// `zone` is UTC or the same.
    pub fn parse_as_in(dialect: Dialect, text: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        Self::read(Some(dialect), text, zone)
    }

    fn read(asked: Option<Dialect>, text: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        let (dialect, reading) = parse::read(text, asked).map_err(|fault| {
            let is_default = asked.is_none_or(|dialect| dialect == Dialect::default());
            let error = ScheduleError::new(fault.kind, fault.span, text);
            if is_default { error.with_hint() } else { error }
        })?;
        let zone = match reading.place {
            Place::Unsaid => zone.clone(),
            Place::Zone(written, _) if *zone == Zone::utc() || *zone == written => written,
            Place::Offset(_) if *zone == Zone::utc() => zone.clone(),
            Place::Zone(_, span) | Place::Offset(span) => {
                let written = text.get(span.clone()).unwrap_or_default().to_owned();
                let given = zone.name().to_owned();
                let kind = ScheduleErrorKind::TwoZones { written, given };
                return Err(ScheduleError::new(kind, span, text));
            }
        };
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        let has_prefix = dialect::prefix(Piece::trimmed(trimmed)).0.is_some();
        let text = if has_prefix || dialect == Dialect::default() {
            trimmed.into()
        } else {
            format!("{dialect}: {trimmed}").into()
        };
        Ok(Self {
            text,
            zone,
            rule: reading.rule,
        })
    }

    /// A tick at every whole multiple of `period` since the Unix epoch.
    ///
    /// The same as [`parse`](Self::parse) of `@every …`. From 100 milliseconds to 87 660 hours
    /// (ten years), in whole milliseconds.
    ///
    /// # Errors
    /// [`ScheduleErrorKind::IntervalOutOfRange`] for any other period.
    pub fn every(period: Duration) -> Result<Self, ScheduleError> {
        let period = period_of(period)?;
        let text = format!("@every {}", period.text());
        Ok(Self {
            text: text.into(),
            zone: Zone::utc(),
            rule: Rule::Every(period),
        })
    }

    /// Due this long after the end of whatever ran before: no instants of its own, so no ticks.
    ///
    /// The same as [`parse`](Self::parse) of `@after …`. From 100 milliseconds to 87 660 hours
    /// (ten years), in whole milliseconds. Whoever runs things by it looks at
    /// [`delay`](Self::delay).
    ///
    /// # Errors
    /// [`ScheduleErrorKind::IntervalOutOfRange`] for any other delay.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tenure_schedule::Schedule;
    ///
    /// let schedule = Schedule::after(Duration::from_secs(600))?;
    /// assert_eq!(schedule, Schedule::parse("@after 10m")?);
    /// assert_eq!(schedule.delay(), Some(Duration::from_secs(600)));
    /// assert_eq!(schedule.explain(), "10 minutes after the end of the run before");
    /// # Ok::<(), tenure_schedule::ScheduleError>(())
    /// ```
    pub fn after(delay: Duration) -> Result<Self, ScheduleError> {
        let delay = period_of(delay)?;
        Ok(Self {
            text: format!("@after {}", delay.text()).into(),
            zone: Zone::utc(),
            rule: Rule::After(delay),
        })
    }

    /// The schedule written `-`: valid, and never due.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            text: "-".into(),
            zone: Zone::utc(),
            rule: Rule::Disabled,
        }
    }

    /// What happens to named local times that the clocks jump over. Default:
    /// [`DstGap::RunAfter`].
    ///
    /// Changes nothing for intervals, disabled schedules, and those that
    /// [follow elapsed time](Self::is_interval_like).
    #[must_use]
    pub fn with_gap(mut self, gap: DstGap) -> Self {
        if let Rule::Calendar(calendar) = &mut self.rule {
            calendar.gap = gap;
        }
        self
    }

    /// What happens to named local times that come twice. Default: [`DstOverlap::First`].
    ///
    /// Changes nothing for intervals, disabled schedules, and those that
    /// [follow elapsed time](Self::is_interval_like).
    #[must_use]
    pub fn with_overlap(mut self, overlap: DstOverlap) -> Self {
        if let Rule::Calendar(calendar) = &mut self.rule {
            calendar.overlap = overlap;
        }
        self
    }

    /// The text it was read from, without the white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dialect of its text.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        dialect::prefix(Piece::trimmed(&self.text))
            .0
            .unwrap_or_default()
    }

    /// What was read otherwise than it looks, such as a number that its dialect clamps. Usually
    /// nothing; what could mislead and has no such precedent is an error instead.
    #[must_use]
    pub fn warnings(&self) -> Vec<ScheduleWarning> {
        // Read again, so that schedules without warnings need no room for them.
        parse::read(&self.text, None).map_or_else(|_| Vec::new(), |(_, reading)| reading.warnings)
    }

    /// The zone in which its local times are read.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The policy in use for local times that do not exist.
    #[must_use]
    pub fn gap(&self) -> DstGap {
        self.calendar()
            .map_or_else(DstGap::default, |calendar| calendar.gap)
    }

    /// The policy in use for local times that come twice.
    #[must_use]
    pub fn overlap(&self) -> DstOverlap {
        self.calendar()
            .map_or_else(DstOverlap::default, |calendar| calendar.overlap)
    }

    /// Whether it is `-`, which never fires.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.rule == Rule::Disabled
    }

    /// How long after the end of a run the next is due, if the schedule is [`@after`](Self::after);
    /// such a schedule has no ticks, because they follow from what happened.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        match &self.rule {
            Rule::After(delay) => Some(delay.length()),
            Rule::Calendar(_) | Rule::Every(_) | Rule::Disabled => None,
        }
    }

    /// Whether it follows elapsed time through clock changes, so that the policies for gaps and
    /// overlaps do not apply: intervals, and schedules whose minute or hour field has a `*` or a
    /// step, or names all of its values.
    #[must_use]
    pub fn is_interval_like(&self) -> bool {
        match &self.rule {
            Rule::Calendar(calendar) => calendar.is_interval_like,
            Rule::Every(_) | Rule::After(_) => true,
            Rule::Disabled => false,
        }
    }

    /// The first tick strictly after an instant, or `None` if there is none up to the year 9999.
    ///
    /// Takes well under a microsecond as a rule. The search is bounded by the years there are: at
    /// worst it looks at each year's clock change once, which takes some milliseconds.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Disabled | Rule::After(_) => None,
            Rule::Every(period) => period.tick_after(after),
            Rule::Calendar(calendar) => calendar.next_after(self.zone.rules(), after),
        }
    }

    /// The last tick strictly before an instant, or `None` if there is none since the Unix epoch.
    #[must_use]
    pub fn previous_before(&self, before: Timestamp) -> Option<Timestamp> {
        if before <= Timestamp::UNIX_EPOCH {
            return None;
        }
        match &self.rule {
            Rule::Disabled | Rule::After(_) => None,
            Rule::Every(period) => period.tick_before(before),
            Rule::Calendar(calendar) => calendar
                .previous_before(self.zone.rules(), before)
                .filter(|tick| *tick >= Timestamp::UNIX_EPOCH),
        }
    }

    /// The last tick at or before an instant.
    #[must_use]
    pub fn previous_at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.previous_before(just_after(at))
    }

    /// The ticks strictly after an instant, rising. There may be no end to them in practice.
    #[must_use]
    pub fn ticks_after(&self, after: Timestamp) -> Ticks<'_> {
        Ticks::between(self, after, Timestamp::MAX)
    }

    /// The ticks strictly before an instant, falling, back to the Unix epoch.
    pub fn ticks_before(&self, before: Timestamp) -> std::iter::Rev<Ticks<'_>> {
        Ticks::between(self, Timestamp::MIN, before).rev()
    }

    /// The ticks after `from_exclusive`, up to and with `to_inclusive`, rising; `rev()` gives them
    /// falling.
    #[must_use]
    pub fn ticks_between(&self, from_exclusive: Timestamp, to_inclusive: Timestamp) -> Ticks<'_> {
        Ticks::between(self, from_exclusive, just_after(to_inclusive))
    }

    /// The distance between the two ticks that follow `near`; `None` if there are not two.
    ///
    /// A hint for timeouts and history sizes. Schedules need not be even: the next distance can be
    /// another one.
    #[must_use]
    pub fn period_hint(&self, near: Timestamp) -> Option<Duration> {
        let first = self.next_after(near)?;
        let second = self.next_after(first)?;
        Duration::try_from(second.duration_since(first)).ok()
    }

    /// The schedule in English words, exact to the last detail: steps that do not divide evenly,
    /// how the two day fields combine, dates that not every month has, the zone, and what happens
    /// when its clocks change.
    ///
    /// # Examples
    /// ```
    /// use tenure_schedule::Schedule;
    ///
    /// assert_eq!(
    ///     Schedule::parse("*/7 * * * *")?.explain(),
    ///     "every 7 minutes, from minute 0 to 56 of every hour, in UTC \
    ///      (uneven: only 4 minutes from minute 56 to minute 0)",
    /// );
    /// # Ok::<(), tenure_schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn explain(&self) -> String {
        match &self.rule {
            Rule::Disabled => "never, switched off".to_owned(),
            Rule::Every(period) => {
                format!(
                    "every {}, counted from 1970-01-01T00:00:00Z",
                    period.words()
                )
            }
            Rule::After(delay) => format!("{} after the end of the run before", delay.counted()),
            Rule::Calendar(calendar) => crate::explain::calendar(calendar, &self.zone),
        }
    }

    fn calendar(&self) -> Option<&Calendar> {
        match &self.rule {
            Rule::Calendar(calendar) => Some(calendar),
            Rule::Every(_) | Rule::After(_) | Rule::Disabled => None,
        }
    }
}

fn period_of(length: Duration) -> Result<Period, ScheduleError> {
    let nanos = i128::try_from(length.as_nanos()).unwrap_or(i128::MAX);
    Period::from_nanos(nanos).ok_or_else(|| {
        let value = format!("{length:?}");
        let span = 0..value.len();
        let kind = ScheduleErrorKind::IntervalOutOfRange {
            value: value.clone(),
        };
        ScheduleError::new(kind, span, &value)
    })
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("text", &self.text)
            .field("zone", &self.zone.name())
            .field("gap", &self.gap())
            .field("overlap", &self.overlap())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_small_and_crosses_threads() {
        fn crosses_threads<T: Send + Sync + Clone + 'static>() {}
        crosses_threads::<Schedule>();
        assert!(
            size_of::<Schedule>() <= 64,
            "{} bytes",
            size_of::<Schedule>()
        );
        assert!(size_of::<Option<Schedule>>() <= 64);
    }
}
