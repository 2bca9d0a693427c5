//! Reads the calendar events of systemd timers, as `systemd.time(7)` has them.
//!
//! ```text
//! [weekdays] [[year-]month-day | [year-]month~last-day] [hour:minute[:second]] [zone]
//! ```
//!
//! Tells weekdays, date, time and zone apart; what each lists is read in `component`. Ticks are
//! whole milliseconds, so fractions of seconds that are finer are refused.

use crate::calendar::YearSpan;
use crate::component::{DAY, HOUR, LAST_DAY, MINUTE, MONTH, SECOND, YEAR, not_a, set_of, values};
use crate::dialect::Dialect;
use crate::draft::{Draft, WeekdayRule};
use crate::error::ScheduleErrorKind as Kind;
use crate::field::Field;
use crate::fine::Millis;
use crate::parse::{Place, Reading};
use crate::piece::{Fault, Piece};
use crate::schedule::Rule;
use crate::warning::ScheduleWarning;
use crate::zone::Zone;

const A_SCHEDULE: &str = "weekdays, a date and a time, or one of them, such as \
                          `Mon..Fri *-*-* 10:00:00`, or a word such as `daily`";
const WEEKDAY_NAMES: &str = "names such as `Mon`, `Mon,Fri` or `Mon..Fri`";
const LEAST_DISTANCE: u16 = 100;

/// Reads what stands behind the dialect's name, if that was written at all.
pub(crate) fn read(whole: Piece<'_>) -> Result<Reading, Fault> {
    let mut words: Vec<Piece<'_>> = whole.words().collect();
    let place = take_zone(&mut words)?;
    let mut reading = match words.as_slice() {
        [] => return Err(not_a(whole, "a calendar event", A_SCHEDULE)),
        [word] if shorthand(word.text).is_some() => {
            let spelled = shorthand(word.text).unwrap_or_default();
            calendar(Piece::trimmed(spelled), spelled_words(spelled).as_slice())?
        }
        words => calendar(whole, words)?,
    };
    reading.place = place;
    Ok(reading)
}

fn spelled_words(spelled: &'static str) -> Vec<Piece<'static>> {
    Piece::trimmed(spelled).words().collect()
}

fn shorthand(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "Mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "quarterly" => "*-01,04,07,10-01 00:00:00",
        "semiannually" | "semi-annually" | "biannually" | "bi-annually" => "*-01,07-01 00:00:00",
        "yearly" | "annually" => "*-01-01 00:00:00",
        _ => return None,
    })
}

/// Takes the zone from the end, where a word behind the first one begins with a letter.
fn take_zone(words: &mut Vec<Piece<'_>>) -> Result<Place, Fault> {
    let is_zone = |word: &Piece<'_>| word.text.starts_with(|c: char| c.is_ascii_alphabetic());
    let Some(last) = words.last().copied().filter(is_zone) else {
        return Ok(Place::Unsaid);
    };
    if words.len() == 1 {
        return Ok(Place::Unsaid);
    }
    words.pop();
    match Zone::parse(last.text) {
        Ok(zone) => Ok(Place::Zone(zone, last.span())),
        Err(error) => Err(last.fault(error.kind().clone())),
    }
}

fn calendar(whole: Piece<'_>, words: &[Piece<'_>]) -> Result<Reading, Fault> {
    let mut draft = Draft::unrestricted();
    let mut warnings = Vec::new();
    let mut rest = words;
    if let [first, others @ ..] = rest
        && first.text.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        draft.weekdays = weekdays(*first)?;
        draft.weekday_rule = WeekdayRule::Both;
        rest = others;
    }
    let (date, time) = match rest {
        [] if words.is_empty() => return Err(not_a(whole, "a calendar event", A_SCHEDULE)),
        [] => (None, None),
        [time] if time.text.contains(':') => (None, Some(*time)),
        [date] => (Some(*date), None),
        [date, time] => (Some(*date), Some(*time)),
        [_, _, surplus, ..] => return Err(not_a(*surplus, "the end", "nothing, or a time zone")),
    };
    if let Some(date) = date {
        read_date(&mut draft, date)?;
    }
    if let Some(time) = time {
        read_time(&mut draft, time, &mut warnings)?;
    } else {
        (draft.hours, draft.minutes, draft.seconds) = (1, 1, 1);
    }
    Ok(Reading {
        rule: Rule::Calendar(draft.finish(whole)?),
        place: Place::Unsaid,
        warnings,
    })
}

/// Reads `Mon,Wed..Fri`; one comma may follow. The bits count from Sunday.
fn weekdays(word: Piece<'_>) -> Result<u64, Fault> {
    let names = word.take(word.text.len() - usize::from(word.text.ends_with(',')));
    let mut set = 0;
    for item in names.split(',') {
        // `-` was the sign for ranges before `..`, and systemd still reads it.
        let ends = item.split_at("..").or_else(|| item.split_once('-'));
        let (first, last) = match ends {
            Some((from, to)) => (weekday(from)?, weekday(to)?),
            None => (weekday(item)?, weekday(item)?),
        };
        if first > last {
            return Err(item.fault(Kind::RefusedByDialect {
                dialect: Dialect::Systemd,
                item: item.text.to_owned(),
                reason: "a range of weekdays rises from Monday to Sunday",
                instead: "write two parts, such as `Sat..Sun,Mon`",
            }));
        }
        set |= (first..=last).fold(0, |days, day| days | 1 << ((day + 1) % 7));
    }
    Ok(set)
}

/// The number of a weekday, from Monday, which is 0.
fn weekday(piece: Piece<'_>) -> Result<u16, Fault> {
    Field::DayOfWeek
        .number_of(piece.text)
        .map(|from_sunday| (from_sunday + 6) % 7)
        .ok_or_else(|| not_a(piece, "a weekday", WEEKDAY_NAMES))
}

fn read_date(draft: &mut Draft, date: Piece<'_>) -> Result<(), Fault> {
    const A_DATE: &str = "`year-month-day` or `month-day`, with `~` in place of the last `-` to \
                          count days from the end, such as `*-*-01` or `*-02~03`";
    let (front, day, is_from_end) = match (date.rsplit_once('~'), date.rsplit_once('-')) {
        (Some((front, day)), _) => (front, day, true),
        (None, Some((front, day))) => (front, day, false),
        (None, None) => return Err(not_a(date, "a date", A_DATE)),
    };
    let (year, month) = match front.rsplit_once('-') {
        Some((year, month)) => (Some(year), month),
        None => (None, front),
    };
    if let Some(years) = year.map(|year| values(YEAR, year)).transpose()?.flatten() {
        draft.years = years
            .into_iter()
            .filter_map(|year| u16::try_from(year).ok())
            .map(|year| YearSpan {
                first: year,
                last: year,
                step: 1,
            })
            .collect();
        join_years(&mut draft.years);
    }
    if let Some(months) = values(MONTH, month)? {
        draft.months = set_of(&months);
    }
    if is_from_end {
        if let Some(days) = values(LAST_DAY, day)? {
            draft.days = 0;
            let back = set_of(&days) >> 1;
            draft.rare.from_end = u32::try_from(back).unwrap_or(0);
        }
    } else if let Some(days) = values(DAY, day)? {
        draft.days = set_of(&days);
    }
    Ok(())
}

/// Joins neighbouring years, which rise.
fn join_years(years: &mut Vec<YearSpan>) {
    years.dedup_by(|next, span| {
        let is_next = span.last + 1 == next.first;
        if is_next {
            span.last = next.last;
        }
        is_next
    });
}

fn read_time(
    draft: &mut Draft,
    time: Piece<'_>,
    warnings: &mut Vec<ScheduleWarning>,
) -> Result<(), Fault> {
    let parts: Vec<Piece<'_>> = time.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, None),
        [hour, minute, second] => (*hour, *minute, Some(*second)),
        _ => {
            return Err(not_a(
                time,
                "a time",
                "`hour:minute` or `hour:minute:second`",
            ));
        }
    };
    draft.is_repeating = hour.text.contains(['*', '/']) || minute.text.contains(['*', '/']);
    if let Some(hours) = values(HOUR, hour)? {
        draft.hours = set_of(&hours);
    }
    if let Some(minutes) = values(MINUTE, minute)? {
        draft.minutes = set_of(&minutes);
    }
    let Some(second) = second else {
        draft.seconds = 1;
        return Ok(());
    };
    if let Some(millis) = values(SECOND, second)? {
        draft.seconds = millis
            .iter()
            .fold(0, |set, milli| set | 1 << (milli / 1000));
        let is_dense = millis
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if next - one < LEAST_DISTANCE.into()));
        if is_dense {
            let message = format!("ticks less than {LEAST_DISTANCE} milliseconds apart");
            warnings.push(ScheduleWarning::new(second, message));
        }
        let millis = millis.iter().filter_map(|milli| u16::try_from(*milli).ok());
        draft.rare.millis = Millis::of_minute(millis.collect());
    }
    Ok(())
}
