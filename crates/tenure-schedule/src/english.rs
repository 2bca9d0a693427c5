//! Reads a small set of English sentences.
//!
//! ```text
//! every [N] unit [between TIME and TIME] [on DAYS] [in MONTHS]
//! every DAYS at TIMES [in MONTHS]          DAYS: day, weekday, monday, monday and friday …
//! every month on the PLACES at TIMES [in MONTHS]       PLACES: 1st, last day, first monday …
//! every year on DATE at TIMES              DATE: 1 march, march 1st
//! ```
//!
//! Whatever people could take in two ways is refused, with the ways to say it. The words are walked
//! by [`Sentence`]; times of the day are read in `english_time`.

use crate::calendar::{ALL_DAYS, ALL_WEEKDAYS};
use crate::draft::{Draft, WeekdayRule};
use crate::english_time;
use crate::error::ScheduleErrorKind as Kind;
use crate::every::Period;
use crate::field::Field;
use crate::piece::{Fault, Piece};
use crate::schedule::Rule;
use crate::sentence::{Sentence, is_digits, refused};

const SUBJECTS: &str = "a number and a unit, `day`, `weekday`, a weekday, `month` or `year`";
const DAYS: &str = "`day`, `weekday`, or weekdays such as `monday and friday`";
const PLACES: &str = "`1st` to `31st`, `last day`, or `first monday` to `last sunday`";
const MONTHS: &str = "months such as `june` or `june and december`";
const WORKDAYS: u64 = 0b11_1110;

/// Reads what stands behind the dialect's name, if that was written at all.
pub(crate) fn rule(whole: Piece<'_>) -> Result<Rule, Fault> {
    let mut words = Sentence::new(whole);
    words.need(
        "every",
        "`every`, as in `every 5 minutes` or `every monday at 09:00`",
    )?;
    let Some(subject) = words.peek() else {
        return Err(words.unexpected("what comes after `every`", SUBJECTS));
    };
    refuse_the_ambiguous(&words, subject)?;
    if is_digits(subject.text) || unit_of(subject.text).is_some() {
        return interval(whole, words);
    }
    let mut draft = Draft::unrestricted();
    if words.take("month") {
        words.need(
            "on",
            "`on the`, and a day: `every month on the 1st at 09:00`",
        )?;
        words.need("the", "`the`, and a day: `every month on the 1st at 09:00`")?;
        read_places(&mut draft, &mut words)?;
    } else if words.take("year") {
        words.need("on", "`on`, and a date: `every year on 1 march at 09:00`")?;
        read_date(&mut draft, &mut words)?;
    } else {
        read_days(&mut draft, &mut words, SUBJECTS)?;
    }
    words.need(
        "at",
        "`at`, and a time such as `09:00`, `9am`, `noon` or `midnight`",
    )?;
    let times = english_time::list(&mut words)?;
    times.put_into(&mut draft)?;
    read_months(&mut draft, &mut words)?;
    words.end()?;
    draft.finish(whole).map(Rule::Calendar)
}

/// What begins a sentence that people read in two ways.
fn refuse_the_ambiguous<'a>(words: &Sentence<'a>, subject: Piece<'a>) -> Result<(), Fault> {
    let is_number = is_digits(subject.text);
    let counted = words.second().filter(|_| is_number).unwrap_or(subject);
    let word = counted.text.to_ascii_lowercase();
    let is_plural_or_counted = is_number || word.ends_with('s');
    let (reason, instead) = match word.trim_end_matches('s') {
        "day" if is_plural_or_counted => (
            "it does not say from which day on, nor whether a day is always 24 hours",
            "for elapsed time write `every 48 hours`; or name the days, as in `every monday, \
             wednesday and friday at 09:00`",
        ),
        "week" => (
            "it does not say on which day, nor from which week on",
            "write `every monday at 09:00`, or for elapsed time `every 336 hours`",
        ),
        "fortnight" => (
            "it does not say from which week on",
            "for elapsed time write `every 336 hours`",
        ),
        "month" | "year" if is_plural_or_counted => (
            "it does not say from which one on",
            "name the months, as in `every month on the 1st at 09:00 in january and july`",
        ),
        "first" | "third" | "fourth" | "fifth" | "last" => (
            "it does not say of what",
            "write `every month on the third monday at 09:00`",
        ),
        "second" if words.second().is_some_and(|next| is_day(next.text)) => (
            "it does not say whether that is the second one of each month, nor from when on",
            "write `every month on the second monday at 09:00`, or for elapsed time `every 336 \
             hours`",
        ),
        "other" => (
            "it does not say from which one on",
            "for elapsed time write `every 48 hours`; or name the days",
        ),
        "weekend" => (
            "it does not say whether that is one day or two",
            "write `every saturday and sunday at 09:00`, or one of the two",
        ),
        _ => return Ok(()),
    };
    Err(refused(words.through(subject, counted), reason, instead))
}

fn is_day(word: &str) -> bool {
    word.eq_ignore_ascii_case("day") || named(Field::DayOfWeek, word).is_some()
}

/// The milliseconds of a unit of elapsed time.
fn unit_of(word: &str) -> Option<i64> {
    let lower = word.to_ascii_lowercase();
    match lower.strip_suffix('s').unwrap_or(&lower) {
        "millisecond" => Some(1),
        "second" => Some(1_000),
        "minute" => Some(60_000),
        "hour" => Some(3_600_000),
        _ => None,
    }
}

fn interval(whole: Piece<'_>, mut words: Sentence<'_>) -> Result<Rule, Fault> {
    const UNITS: &str = "`milliseconds`, `seconds`, `minutes` or `hours`";
    let first = words.next_word();
    let number = first.filter(|word| is_digits(word.text));
    let unit = if number.is_some() {
        words.next_word()
    } else {
        first
    };
    let millis = unit.and_then(|unit| unit_of(unit.text));
    let (Some(unit), Some(millis)) = (unit, millis) else {
        return Err(words.not_a(unit, "a unit", UNITS));
    };
    let count: i64 = match number {
        // Whatever is longer is out of range.
        Some(number) => number.text.parse().unwrap_or(i64::MAX),
        None => 1,
    };
    let phrase = words.through(number.unwrap_or(unit), unit);
    if words.is_at_end() {
        let nanos = i128::from(count) * i128::from(millis) * 1_000_000;
        return Period::from_nanos(nanos).map(Rule::Every).ok_or_else(|| {
            phrase.fault(Kind::IntervalOutOfRange {
                value: phrase.text.to_owned(),
            })
        });
    }
    let mut draft = Draft::unrestricted();
    draft.is_repeating = true;
    let span = english_time::between(&mut words)?;
    draft.hours = span.map_or(draft.hours, english_time::Hours::hours);
    repeat(
        &mut draft,
        phrase,
        count,
        millis,
        span.map_or(0, |span| span.first),
    )?;
    if words.take("on") {
        read_days(&mut draft, &mut words, DAYS)?;
    }
    read_months(&mut draft, &mut words)?;
    words.end()?;
    draft.finish(whole).map(Rule::Calendar)
}

/// Puts an interval into fields that start over every minute, hour or day.
fn repeat(
    draft: &mut Draft,
    phrase: Piece<'_>,
    count: i64,
    millis: i64,
    first_hour: u32,
) -> Result<(), Fault> {
    let cycle = if millis == 3_600_000 { 24 } else { 60 };
    let step = usize::try_from(count).unwrap_or(0);
    if millis == 1 || step == 0 || step >= cycle || !cycle.is_multiple_of(step) {
        return Err(refused(
            phrase,
            "it does not divide the minute, the hour or the day, which it would have to here",
            "take a divisor of 60 seconds, 60 minutes or 24 hours, or leave out the days and hours",
        ));
    }
    let stepped = |from: usize| {
        (0..cycle)
            .step_by(step)
            .fold(0_u64, |set, value| set | 1 << ((value + from) % cycle))
    };
    match millis {
        1_000 => draft.seconds = stepped(0),
        60_000 => (draft.minutes, draft.seconds) = (stepped(0), 1),
        _ => {
            let first = usize::try_from(first_hour).unwrap_or(0);
            draft.hours &= stepped(first);
            (draft.minutes, draft.seconds) = (1, 1);
        }
    }
    Ok(())
}

/// Reads `day`, `weekday`, `monday`, `monday to friday`, `monday, wednesday and friday`.
fn read_days(
    draft: &mut Draft,
    words: &mut Sentence<'_>,
    expected: &'static str,
) -> Result<(), Fault> {
    if words.take("day") || words.take("days") {
        return Ok(());
    }
    draft.weekday_rule = WeekdayRule::Both;
    if words.take("weekday") || words.take("weekdays") {
        draft.weekdays = WORKDAYS;
        return Ok(());
    }
    draft.weekdays = 0;
    loop {
        let first = weekday(words, expected)?;
        let last = if words.take("to") || words.take("through") {
            weekday(words, DAYS)?
        } else {
            first
        };
        let end = if last < first { last + 7 } else { last };
        draft.weekdays |= (first..=end).fold(0, |set, day| set | 1 << (day % 7));
        if !words.another() {
            return Ok(());
        }
    }
}

/// The number of the weekday that comes next, from Sunday, which is 0.
fn weekday(words: &mut Sentence<'_>, expected: &'static str) -> Result<u16, Fault> {
    let word = words.next_word();
    word.and_then(|word| named(Field::DayOfWeek, word.text))
        .ok_or_else(|| words.not_a(word, "days", expected))
}

/// The number of a name, which may have an `s` behind it.
fn named(field: Field, word: &str) -> Option<u16> {
    let singular = word.strip_suffix(['s', 'S']).filter(|stem| stem.len() > 2);
    field
        .number_of(word)
        .or_else(|| singular.and_then(|stem| field.number_of(stem)))
}

/// Reads `1st`, `1st and 15th`, `last day`, `first monday`.
fn read_places(draft: &mut Draft, words: &mut Sentence<'_>) -> Result<(), Fault> {
    const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    (draft.days, draft.weekdays) = (0, 0);
    let (mut has_days, mut has_weekdays) = (false, false);
    loop {
        let Some(word) = words.next_word() else {
            return Err(words.unexpected("a day of the month", PLACES));
        };
        let lower = word.text.to_ascii_lowercase();
        if lower == "last" && (words.take("day")) {
            draft.rare.from_end |= 1;
            has_days = true;
        } else if lower == "last" {
            draft.rare.last |= 1 << weekday(words, "`day` or a weekday")?;
            has_weekdays = true;
        } else if let Some(place) = ORDINALS.iter().position(|name| *name == lower) {
            let day = weekday(words, "a weekday; for a date write `1st`")?;
            if let Some(set) = draft.rare.ordinals.get_mut(place) {
                *set |= 1 << day;
            }
            has_weekdays = true;
        } else {
            let day = ordinal(&lower).ok_or_else(|| words.not_a(Some(word), "a day", PLACES))?;
            draft.days |= 1 << day;
            has_days = true;
        }
        if !words.another() {
            break;
        }
        words.take("the");
    }
    match (has_days, has_weekdays) {
        (true, true) => {
            draft.is_day_restricted = true;
            draft.weekday_rule = WeekdayRule::Either;
        }
        (true, false) => draft.weekdays = u64::from(ALL_WEEKDAYS),
        _ => draft.days = u64::from(ALL_DAYS),
    }
    Ok(())
}

/// Reads `1st` to `31st`, each with the ending it has in English.
fn ordinal(lower: &str) -> Option<u16> {
    let (digits, ending) = lower.split_at_checked(lower.len().checked_sub(2)?)?;
    let day: u16 = digits.parse().ok().filter(|_| is_digits(digits))?;
    let right = match (day % 10, day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    ((1..=31).contains(&day) && ending == right).then_some(day)
}

/// Reads `1 march`, `1st march`, `march 1` or `march 1st`.
fn read_date(draft: &mut Draft, words: &mut Sentence<'_>) -> Result<(), Fault> {
    const A_DATE: &str = "a day and a month such as `1 march` or `march 1st`";
    let day_of = |word: &str| {
        let lower = word.to_ascii_lowercase();
        let plain = lower.parse().ok().filter(|_| is_digits(&lower));
        plain
            .or_else(|| ordinal(&lower))
            .filter(|day: &u16| (1..=31).contains(day))
    };
    let (first, second) = (words.next_word(), words.next_word());
    let month_of = |word: Option<Piece<'_>>| word.and_then(|w| Field::Month.number_of(w.text));
    let (day, month) = match (month_of(first), month_of(second)) {
        (Some(month), None) => (second, month),
        (None, Some(month)) => (first, month),
        _ => return Err(words.not_a(first, "a date", A_DATE)),
    };
    let number = day.and_then(|day| day_of(day.text));
    let number = number.ok_or_else(|| words.not_a(day, "a day", A_DATE))?;
    (draft.days, draft.months) = (1 << number, 1 << month);
    Ok(())
}

/// Reads `in june and december`, if that comes next.
fn read_months(draft: &mut Draft, words: &mut Sentence<'_>) -> Result<(), Fault> {
    if !words.take("in") {
        return Ok(());
    }
    let mut months = 0;
    loop {
        let word = words.next_word();
        let month = word.and_then(|word| Field::Month.number_of(word.text));
        months |= 1 << month.ok_or_else(|| words.not_a(word, "a month", MONTHS))?;
        if !words.another() {
            break;
        }
    }
    draft.months &= months;
    Ok(())
}
