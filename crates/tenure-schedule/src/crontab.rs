//! Reads the crontab dialect: five to seven fields, nicknames, `@every` and `@after`.
//!
//! Tells the forms apart and adds up the items of each field. Single items are read in `item`.

use jiff::SignedDuration;

use crate::calendar::{ALL_DAYS, ALL_WEEKDAYS, Calendar, YearSpan};
use crate::draft::{Draft, WeekdayRule};
use crate::error::ScheduleErrorKind as Kind;
use crate::every::Period;
use crate::field::Field;
use crate::item::{self, DayItem, Numbers, WeekdayItem, bits_of};
use crate::piece::{Fault, Piece, is_space};
use crate::schedule::Rule;

const FIELDS: [Field; 7] = [
    Field::Second,
    Field::Minute,
    Field::Hour,
    Field::DayOfMonth,
    Field::Month,
    Field::DayOfWeek,
    Field::Year,
];

/// Reads what stands behind the dialect's name, if that was written at all.
pub(crate) fn rule(whole: Piece<'_>) -> Result<Rule, Fault> {
    if whole.text.starts_with('@') {
        return nickname(whole);
    }
    refuse_zone_prefix(whole)?;
    calendar(whole).map(Rule::Calendar)
}

fn refuse_zone_prefix(whole: Piece<'_>) -> Result<(), Fault> {
    let Some(first) = whole.words().next() else {
        return Ok(());
    };
    match first.split_once('=') {
        Some((name, _)) if matches!(name.text.to_ascii_uppercase().as_str(), "TZ" | "CRON_TZ") => {
            Err(first.fault(Kind::ZonePrefix {
                prefix: first.text.to_owned(),
            }))
        }
        _ => Ok(()),
    }
}

fn nickname(whole: Piece<'_>) -> Result<Rule, Fault> {
    let length = whole.text.find(is_space).unwrap_or(whole.text.len());
    let (name, rest) = (whole.take(length), whole.skip(length).trim_start());
    let lower = name.text.to_ascii_lowercase();
    if lower == "@every" {
        return every(rest).map(Rule::Every);
    }
    if lower == "@after" {
        return every(rest).map(Rule::After);
    }
    let fields = match lower.as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => return Err(name.fault(Kind::Reboot)),
        _ => {
            return Err(name.fault(Kind::UnknownNickname {
                name: name.text.to_owned(),
            }));
        }
    };
    if !rest.text.is_empty() {
        return Err(rest.fault(Kind::Surplus {
            text: rest.text.to_owned(),
        }));
    }
    calendar(Piece::trimmed(fields)).map(Rule::Calendar)
}

fn every(value: Piece<'_>) -> Result<Period, Fault> {
    let written = || value.text.to_owned();
    let duration: SignedDuration = value
        .text
        .parse()
        .map_err(|_| value.fault(Kind::Interval { value: written() }))?;
    Period::from_nanos(duration.as_nanos())
        .ok_or_else(|| value.fault(Kind::IntervalOutOfRange { value: written() }))
}

fn calendar(whole: Piece<'_>) -> Result<Calendar, Fault> {
    let pieces: Vec<Piece<'_>> = whole.words().collect();
    let skipped = match pieces.len() {
        5 => 1,
        6 | 7 => 0,
        found => {
            let surplus = pieces
                .get(7)
                .map_or(0, |extra| extra.span().start - whole.span().start);
            return Err(whole.skip(surplus).fault(Kind::FieldCount { found }));
        }
    };
    let mut draft = Draft::default();
    for (field, piece) in FIELDS.into_iter().skip(skipped).zip(pieces) {
        read(&mut draft, field, piece)?;
    }
    draft.finish(whole)
}

fn read(draft: &mut Draft, field: Field, piece: Piece<'_>) -> Result<(), Fault> {
    match field {
        Field::Second => draft.seconds = set_of(field, piece)?.0,
        Field::Minute | Field::Hour => {
            let (set, is_repeating) = set_of(field, piece)?;
            draft.is_repeating |= is_repeating;
            if field == Field::Minute {
                draft.minutes = set;
            } else {
                draft.hours = set;
            }
        }
        Field::DayOfMonth => read_days(draft, piece)?,
        Field::Month => draft.months = set_of(field, piece)?.0,
        Field::DayOfWeek => read_weekdays(draft, piece)?,
        Field::Year => read_years(draft, piece)?,
    }
    Ok(())
}

fn read_days(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    if piece.text == "?" {
        draft.days = u64::from(ALL_DAYS);
        return Ok(());
    }
    draft.is_day_restricted = !piece.text.starts_with('*');
    for part in piece.split(',') {
        match item::day(part)? {
            DayItem::Numbers(numbers) => draft.days |= bits_of(numbers, u16::MAX),
            DayItem::NearestWeekday(day) => draft.rare.nearest |= 1 << day,
            DayItem::FromEnd(back) => draft.rare.from_end |= 1 << back,
            DayItem::LastWeekday => draft.rare.nearest_from_end |= 1,
        }
    }
    Ok(())
}

fn read_weekdays(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    let needs_both = piece.text.starts_with('+');
    let piece = piece.skip(usize::from(needs_both));
    if piece.text == "?" {
        draft.weekdays = u64::from(ALL_WEEKDAYS);
        return Ok(());
    }
    draft.weekday_rule = match piece.text.starts_with('*') {
        true => WeekdayRule::Unrestricted,
        false if needs_both => WeekdayRule::Both,
        false => WeekdayRule::Either,
    };
    for part in piece.split(',') {
        match item::weekday(part)? {
            WeekdayItem::Numbers(numbers) => draft.weekdays |= bits_of(numbers, 7),
            WeekdayItem::Last(weekday) => draft.rare.last |= 1 << weekday,
            WeekdayItem::Ordinal(weekday, place) => {
                if let Some(set) = draft.rare.ordinals.get_mut(usize::from(place) - 1) {
                    *set |= 1 << weekday;
                }
            }
        }
    }
    Ok(())
}

fn read_years(draft: &mut Draft, piece: Piece<'_>) -> Result<(), Fault> {
    if piece.text == "*" {
        return Ok(());
    }
    for part in piece.split(',') {
        let Numbers {
            first, last, step, ..
        } = item::numbers(Field::Year, part)?;
        draft.years.push(YearSpan { first, last, step });
    }
    Ok(())
}

/// The values of a plain field, and whether any of them was written as repeating.
fn set_of(field: Field, piece: Piece<'_>) -> Result<(u64, bool), Fault> {
    let mut set = (0, false);
    for part in piece.split(',') {
        let numbers = item::numbers(field, part)?;
        set.0 |= bits_of(numbers, u16::MAX);
        set.1 |= numbers.is_repeating;
    }
    Ok(set)
}
