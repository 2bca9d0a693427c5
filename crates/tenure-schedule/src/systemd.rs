//! Reads the calendar events of systemd timers, as `systemd.time(7)` has them.
//!
//! ```text
//! [weekdays] [[year-]month-day | [year-]month~last-day] [hour:minute[:second]] [zone]
//! ```
//!
//! What a component lists is read here; ranges are checked as strictly as systemd does. Ticks are
//! whole milliseconds, so fractions of seconds that are finer are refused.

use crate::calendar::YearSpan;
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

/// One component of a date or a time. Seconds are counted in milliseconds.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    least: u32,
    most: u32,
    expected: &'static str,
}

const fn part(name: &'static str, least: u32, most: u32, expected: &'static str) -> Part {
    Part {
        name,
        least,
        most,
        expected,
    }
}

const YEAR: Part = part(
    "year",
    1970,
    2199,
    "`*` or 1970 to 2199: `2026`, `2026..2030`",
);
const MONTH: Part = part("month", 1, 12, "`*` or 1 to 12: `1`, `1..3`, `1/3`, `1,7`");
const DAY: Part = part("day", 1, 31, "`*` or 1 to 31: `1`, `1..7`, `1/7`, `1,15`");
const LAST_DAY: Part = part(
    "day from the end",
    1,
    28,
    "`*` or 1, the last day, to 28: `1`, `7/1`, `1..3`",
);
const HOUR: Part = part("hour", 0, 23, "`*` or 0 to 23: `9`, `9..17`, `0/4`, `9,17`");
const MINUTE: Part = part("minute", 0, 59, "`*` or 0 to 59: `30`, `0/15`, `0..5`");
const SECOND: Part = part(
    "second",
    0,
    59_999,
    "`*` or 0 to 59 with up to three decimals: `30`, `0/10`, `0/0.25`",
);

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

/// The values of a component, rising; `None` for all of them.
fn values(part: Part, piece: Piece<'_>) -> Result<Option<Vec<u32>>, Fault> {
    if piece.text == "*" {
        return Ok(None);
    }
    let mut listed = Vec::new();
    for item in piece.split(',') {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(number(part, step)?)),
            None => (item, None),
        };
        if step == Some(0) {
            return Err(not_a(item, part.name, "a repetition of more than 0"));
        }
        let unit = if part.name == SECOND.name { 1000 } else { 1 };
        if let Some((from, to)) = base.split_at("..") {
            let (first, last) = (bounded(part, from)?, bounded(part, to)?);
            if first > last {
                return Err(item.fault(Kind::RefusedByDialect {
                    dialect: Dialect::Systemd,
                    item: item.text.to_owned(),
                    reason: "a range must rise",
                    instead: "write two ranges, or swap the two values",
                }));
            }
            listed.extend((first..=last).step_by(size(step.unwrap_or(unit))));
        } else if let Some(step) = step {
            let first = bounded(part, base)?;
            listed.extend(repeated(part, item, first, step)?);
        } else {
            listed.push(bounded(part, base)?);
        }
    }
    listed.sort_unstable();
    listed.dedup();
    Ok(Some(listed))
}

/// The values from `first` on, every `step`; days from the end run towards the end.
fn repeated(part: Part, item: Piece<'_>, first: u32, step: u32) -> Result<Vec<u32>, Fault> {
    let is_from_end = part.name == LAST_DAY.name;
    let has_second = if is_from_end {
        first >= step + part.least
    } else {
        first + step <= part.most
    };
    if !has_second {
        return Err(item.fault(Kind::RefusedByDialect {
            dialect: Dialect::Systemd,
            item: item.text.to_owned(),
            reason: "it would never repeat",
            instead: "leave out the repetition, or make it shorter",
        }));
    }
    Ok(if is_from_end {
        (part.least..=first).rev().step_by(size(step)).collect()
    } else {
        (first..=part.most).step_by(size(step)).collect()
    })
}

fn size(step: u32) -> usize {
    usize::try_from(step).unwrap_or(usize::MAX)
}

/// A number within its component; years of two digits are completed.
fn bounded(part: Part, piece: Piece<'_>) -> Result<u32, Fault> {
    let written = number(part, piece)?;
    let value = match written {
        0..=69 if part.name == YEAR.name => written + 2000,
        70..=99 if part.name == YEAR.name => written + 1900,
        other => other,
    };
    if (part.least..=part.most).contains(&value) {
        return Ok(value);
    }
    let unit = if part.name == SECOND.name { 1000 } else { 1 };
    let bound = |value: u32| u16::try_from(value / unit).unwrap_or(u16::MAX);
    Err(piece.fault(Kind::NotInDialect {
        dialect: Dialect::Systemd,
        field: part.name,
        value: piece.text.to_owned(),
        least: bound(part.least),
        most: bound(part.most),
    }))
}

/// A number as written; seconds become milliseconds.
fn number(part: Part, piece: Piece<'_>) -> Result<u32, Fault> {
    let not_one = || not_a(piece, part.name, part.expected);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match piece.text.split_once('.') {
        Some((whole, fraction)) if part.name == SECOND.name => (whole, Some(fraction)),
        _ => (piece.text, None),
    };
    if !is_digits(whole) || !fraction.is_none_or(is_digits) {
        return Err(not_one());
    }
    // Whatever is longer than this is out of every range.
    let whole = whole
        .parse::<u32>()
        .unwrap_or(u32::MAX / 2)
        .min(u32::MAX / 2000);
    if part.name != SECOND.name {
        return Ok(whole);
    }
    // systemd rounds to six places; what is not whole milliseconds then is finer than a tick.
    let micros = micros_of(fraction.unwrap_or_default());
    if !micros.is_multiple_of(1000) {
        return Err(piece.fault(Kind::RefusedByDialect {
            dialect: Dialect::Systemd,
            item: piece.text.to_owned(),
            reason: "ticks are whole milliseconds",
            instead: "write at most three decimals",
        }));
    }
    Ok(whole * 1000 + micros / 1000)
}

/// Six decimals as a number, rounded by the seventh.
fn micros_of(fraction: &str) -> u32 {
    let digits = fraction.bytes().map(|byte| u32::from(byte - b'0'));
    let seven = digits.chain(std::iter::repeat(0)).take(7);
    (seven.fold(0, |number, digit| number * 10 + digit) + 5) / 10
}

fn set_of(values: &[u32]) -> u64 {
    values.iter().fold(0, |set, value| set | 1 << value)
}

fn not_a(piece: Piece<'_>, what: &'static str, expected: &'static str) -> Fault {
    piece.fault(Kind::NotOfDialect {
        dialect: Dialect::Systemd,
        what,
        item: piece.text.to_owned(),
        expected,
    })
}
