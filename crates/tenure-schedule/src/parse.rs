//! Reads the text of a schedule into its rule.
//!
//! Checks the text as a whole, tells the forms apart, adds up the items of each field, and refuses
//! what could never fire. Single items are read in `item`.

use jiff::SignedDuration;

use crate::calendar::{
    ALL_DAYS, ALL_HOURS, ALL_MONTHS, ALL_SIXTY, ALL_WEEKDAYS, Calendar, Rare, YearSpan,
};
use crate::civil::{Date, FIRST_YEAR};
use crate::error::{MAX_TEXT, ScheduleErrorKind as Kind};
use crate::every::Period;
use crate::field::Field;
use crate::item::{self, DayItem, Numbers, WeekdayItem};
use crate::piece::{Fault, Piece, is_space};
use crate::policy::{DstGap, DstOverlap};
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

/// Reads a whole text.
pub(crate) fn rule(text: &str) -> Result<Rule, Fault> {
    if text.len() > MAX_TEXT {
        return Err(Fault {
            kind: Kind::TooLong { length: text.len() },
            span: 0..text.len(),
        });
    }
    let whole = Piece::trimmed(text);
    refuse_strange_characters(whole)?;
    if whole.text == "-" {
        return Ok(Rule::Disabled);
    }
    if whole.text.starts_with('@') {
        return nickname(whole);
    }
    refuse_zone_prefix(whole)?;
    calendar(whole).map(Rule::Calendar)
}

fn refuse_strange_characters(whole: Piece<'_>) -> Result<(), Fault> {
    let is_strange = |(_, found): &(usize, char)| !found.is_ascii_graphic() && !is_space(*found);
    match whole.text.char_indices().find(is_strange) {
        None => Ok(()),
        Some((at, found)) => {
            let place = whole.skip(at).take(found.len_utf8());
            Err(place.fault(Kind::Character { found }))
        }
    }
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
        draft.read(field, piece)?;
    }
    let calendar = draft.finish();
    let start = Date {
        year: FIRST_YEAR,
        month: 1,
        day: 1,
    };
    match calendar.day_at_or_after(start) {
        Some(_) => Ok(calendar),
        None => Err(whole.fault(Kind::NeverFires)),
    }
}

/// The fields read so far.
struct Draft {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    rare: Rare,
    years: Vec<YearSpan>,
    is_day_restricted: bool,
    weekday_rule: WeekdayRule,
    is_repeating: bool,
}

/// How the day-of-week field combines with the day of the month.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WeekdayRule {
    /// It begins with `*` or is `?`: every day of the week.
    Unrestricted,
    /// A day that either field names is enough.
    Either,
    /// It begins with `+`: both fields must name the day.
    Both,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            seconds: 1,
            minutes: 0,
            hours: 0,
            days: 0,
            months: 0,
            weekdays: 0,
            rare: Rare::default(),
            years: Vec::new(),
            is_day_restricted: false,
            weekday_rule: WeekdayRule::Unrestricted,
            is_repeating: false,
        }
    }
}

impl Draft {
    fn read(&mut self, field: Field, piece: Piece<'_>) -> Result<(), Fault> {
        match field {
            Field::Second => self.seconds = set_of(field, piece)?.0,
            Field::Minute | Field::Hour => {
                let (set, is_repeating) = set_of(field, piece)?;
                self.is_repeating |= is_repeating;
                if field == Field::Minute {
                    self.minutes = set;
                } else {
                    self.hours = set;
                }
            }
            Field::DayOfMonth => self.read_days(piece)?,
            Field::Month => self.months = set_of(field, piece)?.0,
            Field::DayOfWeek => self.read_weekdays(piece)?,
            Field::Year => self.read_years(piece)?,
        }
        Ok(())
    }

    fn read_days(&mut self, piece: Piece<'_>) -> Result<(), Fault> {
        if piece.text == "?" {
            self.days = u64::from(ALL_DAYS);
            return Ok(());
        }
        self.is_day_restricted = !piece.text.starts_with('*');
        for part in piece.split(',') {
            match item::day(part)? {
                DayItem::Numbers(numbers) => self.days |= bits_of(numbers, u16::MAX),
                DayItem::NearestWeekday(day) => self.rare.nearest |= 1 << day,
                DayItem::FromEnd(back) => self.rare.from_end |= 1 << back,
                DayItem::LastWeekday => self.rare.is_last_workday = true,
            }
        }
        Ok(())
    }

    fn read_weekdays(&mut self, piece: Piece<'_>) -> Result<(), Fault> {
        let needs_both = piece.text.starts_with('+');
        let piece = piece.skip(usize::from(needs_both));
        if piece.text == "?" {
            self.weekdays = u64::from(ALL_WEEKDAYS);
            return Ok(());
        }
        self.weekday_rule = match piece.text.starts_with('*') {
            true => WeekdayRule::Unrestricted,
            false if needs_both => WeekdayRule::Both,
            false => WeekdayRule::Either,
        };
        for part in piece.split(',') {
            match item::weekday(part)? {
                WeekdayItem::Numbers(numbers) => self.weekdays |= bits_of(numbers, 7),
                WeekdayItem::Last(weekday) => self.rare.last |= 1 << weekday,
                WeekdayItem::Ordinal(weekday, place) => {
                    if let Some(set) = self.rare.ordinals.get_mut(usize::from(place) - 1) {
                        *set |= 1 << weekday;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_years(&mut self, piece: Piece<'_>) -> Result<(), Fault> {
        if piece.text == "*" {
            return Ok(());
        }
        for part in piece.split(',') {
            let Numbers {
                first, last, step, ..
            } = item::numbers(Field::Year, part)?;
            self.years.push(YearSpan { first, last, step });
        }
        Ok(())
    }

    fn finish(self) -> Calendar {
        let rare = Rare {
            years: self.years.into_boxed_slice(),
            ..self.rare
        };
        let is_whole = self.minutes == ALL_SIXTY || self.hours == u64::from(ALL_HOURS);
        Calendar {
            seconds: self.seconds,
            minutes: self.minutes,
            hours: narrowed(self.hours, ALL_HOURS),
            days: narrowed(self.days, ALL_DAYS),
            months: narrowed(self.months, ALL_MONTHS),
            weekdays: narrowed(self.weekdays, ALL_WEEKDAYS),
            is_either: self.is_day_restricted && self.weekday_rule == WeekdayRule::Either,
            is_interval_like: self.is_repeating || is_whole,
            gap: DstGap::default(),
            overlap: DstOverlap::default(),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }
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

fn bits_of(numbers: Numbers, modulus: u16) -> u64 {
    (numbers.first..=numbers.last)
        .step_by(usize::from(numbers.step))
        .fold(0, |set, number| set | 1 << (number % modulus))
}

/// The set in its own width; it never holds more than `all`.
fn narrowed<Set: TryFrom<u64>>(set: u64, all: Set) -> Set {
    Set::try_from(set).unwrap_or(all)
}
