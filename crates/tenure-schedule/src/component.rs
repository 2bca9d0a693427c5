//! Reads one component of a systemd date or time: `*`, values, ranges and repetitions.
//!
//! As strict as `systemd-analyze calendar` (version 252), which it was compared with. Seconds are
//! counted in milliseconds.

use crate::dialect::Dialect;
use crate::error::ScheduleErrorKind as Kind;
use crate::piece::{Fault, Piece};

/// One component of a date or a time. Seconds are counted in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
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

pub(crate) const YEAR: Part = part(
    "year",
    1970,
    2199,
    "`*` or 1970 to 2199: `2026`, `2026..2030`",
);
pub(crate) const MONTH: Part = part("month", 1, 12, "`*` or 1 to 12: `1`, `1..3`, `1/3`, `1,7`");
pub(crate) const DAY: Part = part("day", 1, 31, "`*` or 1 to 31: `1`, `1..7`, `1/7`, `1,15`");
pub(crate) const LAST_DAY: Part = part(
    "day from the end",
    1,
    28,
    "`*` or 1, the last day, to 28: `1`, `7/1`, `1..3`",
);
pub(crate) const HOUR: Part = part("hour", 0, 23, "`*` or 0 to 23: `9`, `9..17`, `0/4`, `9,17`");
pub(crate) const MINUTE: Part = part("minute", 0, 59, "`*` or 0 to 59: `30`, `0/15`, `0..5`");
pub(crate) const SECOND: Part = part(
    "second",
    0,
    59_999,
    "`*` or 0 to 59 with up to three decimals: `30`, `0/10`, `0/0.25`",
);

/// The values of a component, rising; `None` for all of them.
pub(crate) fn values(part: Part, piece: Piece<'_>) -> Result<Option<Vec<u32>>, Fault> {
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

pub(crate) fn set_of(values: &[u32]) -> u64 {
    values.iter().fold(0, |set, value| set | 1 << value)
}

/// Something that is not what this place takes.
pub(crate) fn not_a(piece: Piece<'_>, what: &'static str, expected: &'static str) -> Fault {
    piece.fault(Kind::NotOfDialect {
        dialect: Dialect::Systemd,
        what,
        item: piece.text.to_owned(),
        expected,
    })
}
