//! Reads one item of a field: a value, a range, a step, or one of the special day forms.
//!
//! Knows the forms and their limits; how the items of a field add up is known in `parse`.

use crate::error::ScheduleErrorKind as Kind;
use crate::field::Field;
use crate::piece::{Fault, Piece};

/// `first`, `first + step`, … up to `last`. Weekdays may run past 6; they count modulo 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) step: u16,
    /// Written as `*` or with a step: "again and again", rather than these times by name.
    pub(crate) is_repeating: bool,
}

/// One item of the day-of-month field.
pub(crate) enum DayItem {
    Numbers(Numbers),
    /// `15W`
    NearestWeekday(u16),
    /// `L` is 0, `L-3` is 3.
    FromEnd(u16),
    /// `LW`
    LastWeekday,
}

/// One item of the day-of-week field.
pub(crate) enum WeekdayItem {
    Numbers(Numbers),
    /// `5#3`: the weekday and its place in the month, from 1.
    Ordinal(u16, u16),
    /// `5L`
    Last(u16),
}

const DAYS_IN_WEEK: u16 = 7;

/// Reads `*`, `5`, `1-5`, `*/2`, `1-5/2` or `5/15`.
pub(crate) fn numbers(field: Field, item: Piece<'_>) -> Result<Numbers, Fault> {
    if item.text.is_empty() {
        return Err(item.fault(Kind::EmptyItem { field }));
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step_of(field, step)?)),
        None => (item, None),
    };
    let (first, last) = if base.text == "*" {
        (
            field.least(),
            if field == Field::DayOfWeek {
                6
            } else {
                field.most()
            },
        )
    } else if let Some((from, to)) = base.split_once('-') {
        if from.text.is_empty() || to.text.is_empty() {
            return Err(not_understood(field, item));
        }
        rising(field, base, value(field, from)?, value(field, to)?)?
    } else if base.text.is_empty() {
        return Err(not_understood(field, item));
    } else {
        let first = value(field, base)?;
        match (step, field) {
            (None, _) => (first, first),
            // Sunday may be written as 7, but a week of steps ends on Saturday.
            (Some(_), Field::DayOfWeek) => (first % DAYS_IN_WEEK, 6),
            (Some(_), _) => (first, field.most()),
        }
    };
    let is_repeating = step.is_some() || base.text == "*";
    Ok(Numbers {
        first,
        last,
        step: step.unwrap_or(1),
        is_repeating,
    })
}

pub(crate) fn day(item: Piece<'_>) -> Result<DayItem, Fault> {
    let field = Field::DayOfMonth;
    let upper = item.text.to_ascii_uppercase();
    match upper.as_str() {
        "L" => return Ok(DayItem::FromEnd(0)),
        "LW" => return Ok(DayItem::LastWeekday),
        "W" => return Err(not_understood(field, item)),
        _ => {}
    }
    if upper.starts_with("L-") {
        return position(field, item.skip(2), 30).map(DayItem::FromEnd);
    }
    if upper.ends_with('W') {
        return value(field, item.take(item.text.len() - 1)).map(DayItem::NearestWeekday);
    }
    numbers(field, item).map(DayItem::Numbers)
}

pub(crate) fn weekday(item: Piece<'_>) -> Result<WeekdayItem, Fault> {
    let field = Field::DayOfWeek;
    if let Some((weekday, place)) = item.split_once('#') {
        if weekday.text.is_empty() || place.text.is_empty() {
            return Err(not_understood(field, item));
        }
        let weekday = value(field, weekday)? % DAYS_IN_WEEK;
        if place.text.eq_ignore_ascii_case("L") {
            return Ok(WeekdayItem::Last(weekday));
        }
        return Ok(WeekdayItem::Ordinal(weekday, position(field, place, 5)?));
    }
    if item.text.eq_ignore_ascii_case("L") {
        return Err(not_understood(field, item));
    }
    // No name of a weekday ends with this letter.
    if item.text.ends_with(['L', 'l']) {
        let weekday = value(field, item.take(item.text.len() - 1))?;
        return Ok(WeekdayItem::Last(weekday % DAYS_IN_WEEK));
    }
    numbers(field, item).map(WeekdayItem::Numbers)
}

/// Checks that a range rises; one of weekdays may pass the end of the week instead.
fn rising(field: Field, range: Piece<'_>, from: u16, to: u16) -> Result<(u16, u16), Fault> {
    if from <= to {
        return Ok((from, to));
    }
    if field == Field::DayOfWeek {
        return Ok((from, to + DAYS_IN_WEEK));
    }
    let value = range.text.to_owned();
    Err(range.fault(Kind::BackwardRange { field, value }))
}

fn value(field: Field, piece: Piece<'_>) -> Result<u16, Fault> {
    if is_digits(piece.text) {
        return within(piece.text, field.least(), field.most()).ok_or_else(|| {
            piece.fault(Kind::OutOfRange {
                field,
                value: piece.text.to_owned(),
            })
        });
    }
    if let Some(symbol) = foreign_symbol(field, piece.text) {
        return Err(piece.fault(Kind::SymbolNotHere { field, symbol }));
    }
    if field.names().is_empty() || !piece.text.chars().all(char::is_alphabetic) {
        return Err(not_understood(field, piece));
    }
    field.number_of(piece.text).ok_or_else(|| {
        piece.fault(Kind::UnknownName {
            field,
            name: piece.text.to_owned(),
        })
    })
}

fn step_of(field: Field, piece: Piece<'_>) -> Result<u16, Fault> {
    Some(piece.text)
        .filter(|text| is_digits(text))
        .and_then(|text| within(text, 1, field.most_step()))
        .ok_or_else(|| {
            piece.fault(Kind::Step {
                field,
                value: piece.text.to_owned(),
            })
        })
}

/// The number behind `#` or `L-`.
fn position(field: Field, piece: Piece<'_>, most: u16) -> Result<u16, Fault> {
    if !is_digits(piece.text) {
        return Err(not_understood(field, piece));
    }
    within(piece.text, 1, most).ok_or_else(|| {
        let value = piece.text.to_owned();
        piece.fault(Kind::PositionOutOfRange {
            field,
            value,
            least: 1,
            most,
        })
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn within(digits: &str, least: u16, most: u16) -> Option<u16> {
    digits
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
}

/// A day symbol in a field that has no such symbol.
fn foreign_symbol(field: Field, text: &str) -> Option<char> {
    let (has_days, has_weekdays) = (field == Field::DayOfMonth, field == Field::DayOfWeek);
    let tail = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let is_tail = |symbol: &str| tail.eq_ignore_ascii_case(symbol);
    let last = is_tail("L") || tail.starts_with("L-") || is_tail("LW");
    [
        ('L', last && !has_days && !has_weekdays),
        ('W', is_tail("W") && !has_days),
        ('#', text.contains('#') && !has_weekdays),
        ('?', text.contains('?') && !has_days && !has_weekdays),
        ('+', text.contains('+') && !has_weekdays),
    ]
    .into_iter()
    .find_map(|(symbol, is_foreign)| is_foreign.then_some(symbol))
}

fn not_understood(field: Field, item: Piece<'_>) -> Fault {
    item.fault(Kind::NotUnderstood {
        field,
        item: item.text.to_owned(),
    })
}

/// The set of these numbers, counted modulo `modulus`.
pub(crate) fn bits_of(numbers: Numbers, modulus: u16) -> u64 {
    (numbers.first..=numbers.last)
        .step_by(usize::from(numbers.step))
        .fold(0, |set, number| set | 1 << (number % modulus))
}
