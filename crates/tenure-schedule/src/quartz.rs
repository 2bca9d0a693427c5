//! Reads the cron expressions of the Java library Quartz.
//!
//! ```text
//! second minute hour day-of-month month day-of-week [year]
//! ```
//!
//! Days of the week are 1 to 7 from Sunday, exactly one of the two day fields is `?`, ranges may
//! run over the end of their field, and `L` as a day of the week is Saturday.

use crate::calendar::{ALL_DAYS, ALL_WEEKDAYS, YearSpan};
use crate::dialect::Dialect;
use crate::draft::{Draft, WeekdayRule};
use crate::error::ScheduleErrorKind as Kind;
use crate::field::Field;
use crate::piece::{Fault, Piece};
use crate::schedule::Rule;

/// The last year of Quartz's own documentation of its class.
const LAST_YEAR: u16 = 2199;
const MOST_BACK: u16 = 30;

/// The least and the greatest number of a field.
fn bounds(field: Field) -> (u16, u16) {
    match field {
        Field::DayOfWeek => (1, 7),
        Field::Year => (1970, LAST_YEAR),
        other => (other.least(), other.most()),
    }
}

fn forms(field: Field) -> &'static str {
    match field {
        Field::DayOfMonth => {
            "1 to 31 as `*`, `?`, a value, a range, a step `1/5`, `L`, `L-3`, `LW` or `15W`"
        }
        Field::DayOfWeek => {
            "1 to 7 or SUN to SAT as `*`, `?`, a value, a range, a step `2/2`, `6L` or `6#3`"
        }
        Field::Month => "1 to 12 or JAN to DEC as `*`, a value, a range or a step `1/3`",
        Field::Hour => "0 to 23 as `*`, a value, a range or a step `0/4`",
        Field::Year => "1970 to 2199 as `*`, a value, a range or a step `2026/2`",
        Field::Second | Field::Minute => "0 to 59 as `*`, a value, a range or a step `0/5`",
    }
}

/// Reads what stands behind the dialect's name, if that was written at all.
pub(crate) fn rule(whole: Piece<'_>) -> Result<Rule, Fault> {
    let words: Vec<Piece<'_>> = whole.words().collect();
    let (fixed, year) = match words.as_slice() {
        [second, minute, hour, day, month, weekday] => {
            ([*second, *minute, *hour, *day, *month, *weekday], None)
        }
        [second, minute, hour, day, month, weekday, year] => (
            [*second, *minute, *hour, *day, *month, *weekday],
            Some(*year),
        ),
        _ => {
            return Err(whole.fault(Kind::NotOfDialect {
                dialect: Dialect::Quartz,
                what: "a schedule",
                item: whole.text.to_owned(),
                expected: "6 or 7 fields: second, minute, hour, day of month, month, day of week, \
                           and a year if need be",
            }));
        }
    };
    let [second, minute, hour, day, month, weekday] = fixed;
    let mut draft = Draft::default();
    draft.seconds = set_of(Field::Second, second, &mut false)?;
    draft.minutes = set_of(Field::Minute, minute, &mut draft.is_repeating)?;
    draft.hours = set_of(Field::Hour, hour, &mut draft.is_repeating)?;
    refuse_two_day_fields(whole, day, weekday)?;
    read_days(&mut draft, day)?;
    draft.months = set_of(Field::Month, month, &mut false)?;
    read_weekdays(&mut draft, weekday)?;
    if let Some(year) = year {
        read_years(&mut draft, year)?;
    }
    draft.finish(whole).map(Rule::Calendar)
}

fn refuse_two_day_fields(
    whole: Piece<'_>,
    day: Piece<'_>,
    weekday: Piece<'_>,
) -> Result<(), Fault> {
    let refused = |piece: Piece<'_>, reason, instead| {
        Err(piece.fault(Kind::RefusedByDialect {
            dialect: Dialect::Quartz,
            item: piece.text.to_owned(),
            reason,
            instead,
        }))
    };
    match (day.text == "?", weekday.text == "?") {
        (true, true) => refused(
            weekday,
            "`?` may stand for one of day of month and day of week only",
            "write `*` for the day of the month and `?` for the day of the week",
        ),
        (false, false) => {
            let start = day.span().start - whole.span().start;
            let both = whole.skip(start);
            let both = both.take(weekday.span().end - day.span().start);
            refused(
                both,
                "day of month and day of week cannot both be given, and even `*` gives one",
                "write `?` for the one that does not matter",
            )
        }
        _ => Ok(()),
    }
}

fn read_days(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    let field = Field::DayOfMonth;
    if piece.text == "?" {
        draft.days = u64::from(ALL_DAYS);
        return Ok(());
    }
    for item in piece.split(',') {
        let upper = item.text.to_ascii_uppercase();
        if let Some(rest) = upper.strip_prefix('L') {
            let is_near = rest.ends_with('W');
            let end = item.text.len() - usize::from(is_near);
            let back = match item.take(end).skip(1) {
                none if none.text.is_empty() => 0,
                back if back.text.starts_with('-') => within(field, back.skip(1), 0, MOST_BACK)?,
                _ => return Err(not_understood(field, item)),
            };
            if is_near {
                draft.rare.nearest_from_end |= 1 << back;
            } else {
                draft.rare.from_end |= 1 << back;
            }
        } else if upper.ends_with('W') {
            let day = number(field, item.take(item.text.len() - 1))?;
            draft.rare.nearest |= 1 << day;
        } else {
            draft.days |= item_set(field, item, &mut false)?;
        }
    }
    Ok(())
}

fn read_weekdays(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    let field = Field::DayOfWeek;
    if piece.text == "?" {
        draft.weekdays = u64::from(ALL_WEEKDAYS);
        return Ok(());
    }
    draft.weekday_rule = WeekdayRule::Both;
    for item in piece.split(',') {
        if item.text.eq_ignore_ascii_case("L") {
            draft.weekdays |= 1 << 6;
        } else if let Some((weekday, place)) = item.split_once('#') {
            let weekday = number(field, weekday)? - 1;
            let place = within(field, place, 1, 5)?;
            if let Some(set) = draft.rare.ordinals.get_mut(usize::from(place) - 1) {
                *set |= 1 << weekday;
            }
        } else if item.text.ends_with(['L', 'l']) {
            let weekday = number(field, item.take(item.text.len() - 1))? - 1;
            draft.rare.last |= 1 << weekday;
        } else {
            // Bit 1 is Sunday here, bit 0 in a calendar.
            draft.weekdays |= item_set(field, item, &mut false)? >> 1;
        }
    }
    Ok(())
}

fn read_years(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    let field = Field::Year;
    if piece.text == "*" {
        return Ok(());
    }
    for item in piece.split(',') {
        let (first, last, step) = span_of(field, item)?;
        if first > last {
            return Err(item.fault(Kind::RefusedByDialect {
                dialect: Dialect::Quartz,
                item: item.text.to_owned(),
                reason: "years do not start over",
                instead: "write the earlier year first",
            }));
        }
        draft.years.push(YearSpan { first, last, step });
    }
    Ok(())
}

fn set_of(field: Field, piece: Piece<'_>, is_repeating: &mut bool) -> Result<u64, Fault> {
    piece.split(',').try_fold(
        0,
        |set, item| Ok(set | item_set(field, item, is_repeating)?),
    )
}

/// The values of one item, as bits.
fn item_set(field: Field, item: Piece<'_>, is_repeating: &mut bool) -> Result<u64, Fault> {
    let (least, most) = bounds(field);
    let (first, end, step) = span_of(field, item)?;
    *is_repeating |= item.text.contains(['*', '/']);
    let size = most - least + 1;
    // A range may run over the end of its field: NOV-FEB, 22-2.
    let end = if first > end { end + size } else { end };
    Ok((first..=end)
        .step_by(usize::from(step))
        .fold(0, |set, value| set | 1 << ((value - least) % size + least)))
}

/// Reads `*`, `5`, `1-5`, `*/2`, `/2`, `1-5/2` or `5/15` as first, last and step.
fn span_of(field: Field, item: Piece<'_>) -> Result<(u16, u16, u16), Fault> {
    let (least, most) = bounds(field);
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(within(field, step, 1, most - least)?)),
        None => (item, None),
    };
    if base.text == "*" || (base.text.is_empty() && step.is_some()) {
        return Ok((least, most, step.unwrap_or(1)));
    }
    if let Some((from, to)) = base.split_once('-') {
        return Ok((number(field, from)?, number(field, to)?, step.unwrap_or(1)));
    }
    let first = number(field, base)?;
    Ok(match step {
        Some(step) => (first, most, step),
        None => (first, first, 1),
    })
}

/// A number of the field, or one of its names with three letters.
fn number(field: Field, piece: Piece<'_>) -> Result<u16, Fault> {
    let (least, most) = bounds(field);
    if is_digits(piece.text) {
        return within(field, piece, least, most);
    }
    let named = if piece.text.len() == 3 {
        field.number_of(piece.text)
    } else {
        None
    };
    named
        .map(|found| found + u16::from(field == Field::DayOfWeek))
        .ok_or_else(|| not_understood(field, piece))
}

fn within(field: Field, piece: Piece<'_>, least: u16, most: u16) -> Result<u16, Fault> {
    if !is_digits(piece.text) {
        return Err(not_understood(field, piece));
    }
    let found = piece.text.parse().ok();
    found
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            piece.fault(Kind::NotInDialect {
                dialect: Dialect::Quartz,
                field: field.as_str(),
                value: piece.text.to_owned(),
                least,
                most,
            })
        })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_understood(field: Field, piece: Piece<'_>) -> Fault {
    piece.fault(Kind::NotOfDialect {
        dialect: Dialect::Quartz,
        what: field.as_str(),
        item: piece.text.to_owned(),
        expected: forms(field),
    })
}
