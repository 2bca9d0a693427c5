//! Why a text is not a schedule, a zone or a policy, and where in the text the reason stands.
//!
//! Knows how refusals are worded; it never decides what is refused.

use std::ops::Range;

use crate::dialect::{self, Dialect};
use crate::field::Field;
use crate::{meant, parse};

/// How many characters of a refused value a message repeats.
const SHOWN_CHARS: usize = 80;

/// The longest text that is read at all, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;

/// Why a text was refused, with the place and one next step.
///
/// The message is one lower-case line that names the field, the value and what is allowed. Values
/// in it are cut to 80 characters and control characters are escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ScheduleError {
    kind: Box<ScheduleErrorKind>,
    span: Range<usize>,
    text: Box<str>,
    /// The dialect in which the text could be read.
    other: Option<Dialect>,
    /// What to write, if the text is words in which a schedule can be recognised.
    meant: Option<Box<str>>,
}

impl ScheduleError {
    pub(crate) fn new(kind: ScheduleErrorKind, span: Range<usize>, text: &str) -> Self {
        let longest = text.len().min(MAX_TEXT);
        let kept = (0..=longest)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let end = span.end.min(kept);
        Self {
            kind: Box::new(kind),
            span: span.start.min(end)..end,
            text: text.get(..kept).unwrap_or_default().into(),
            other: None,
            meant: None,
        }
    }

    /// The same error, which may point out what was probably meant, or that the text can be read in
    /// another dialect.
    pub(crate) fn with_hint(mut self) -> Self {
        self.other = Dialect::ALL
            .into_iter()
            .filter(|dialect| *dialect != Dialect::default())
            .find(|dialect| {
                parse::read(&self.text, Some(*dialect))
                    .is_ok_and(|(_, reading)| reading.is_likely_meant(&self.text))
            });
        if self.other.is_none_or(|other| other == Dialect::Systemd) {
            self.meant = meant::help(&self.text).map(String::into_boxed_str);
        }
        self
    }

    /// What is wrong, to be matched on.
    #[must_use]
    pub fn kind(&self) -> &ScheduleErrorKind {
        &self.kind
    }

    /// The bytes of [`text`](Self::text) that are wrong; empty where something is missing.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text that was given, or its first 1024 bytes if it was longer.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One next step, where there is one to give.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        if let Some(meant) = &self.meant {
            return Some(meant.to_string());
        }
        match self.other {
            Some(other) => Some(format!(
                "this can be read in the {other} dialect; if that is meant, write `{other}:` \
                 before it"
            )),
            None => self.kind.help(),
        }
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleErrorKind {
    /// The text is longer than 1024 bytes.
    #[error("text of {length} bytes is longer than 1024")]
    TooLong {
        /// The length that was given, in bytes.
        length: usize,
    },
    /// A character that no schedule contains: a control character or one outside ASCII.
    #[error("character `{}` is not allowed, only printable ascii is", .found.escape_default())]
    Character {
        /// The first such character.
        found: char,
    },
    /// Not five, six or seven fields.
    #[error("expected 5, 6 or 7 fields, got {found}")]
    FieldCount {
        /// How many fields there are.
        found: usize,
    },
    /// Nothing between two commas, or before the first or after the last.
    #[error("empty item in the {field} field")]
    EmptyItem {
        /// The field with the item.
        field: Field,
    },
    /// A number that the field does not have.
    #[error("{field} `{}` must be {} to {}", shown(.value), .field.least(), .field.most())]
    OutOfRange {
        /// The field with the number.
        field: Field,
        /// The number, as written.
        value: String,
    },
    /// The number behind `#`, `L-` or before `W` is not one of those that make sense there.
    #[error("`{}` in the {field} field must be {least} to {most}", shown(.value))]
    PositionOutOfRange {
        /// The field with the number.
        field: Field,
        /// The number, as written.
        value: String,
        /// The smallest allowed.
        least: u16,
        /// The largest allowed.
        most: u16,
    },
    /// A step of zero, a negative one, one larger than the field, or not a number.
    #[error(
        "step `{}` in the {field} field must be 1 to {}",
        shown(.value), .field.most_step()
    )]
    Step {
        /// The field with the step.
        field: Field,
        /// The step, as written.
        value: String,
    },
    /// A range whose end is before its start; only weekdays wrap.
    #[error(
        "range `{}` in the {field} field runs backwards, it must rise within {} to {}",
        shown(.value), .field.least(), .field.most()
    )]
    BackwardRange {
        /// The field with the range.
        field: Field,
        /// The range, as written.
        value: String,
    },
    /// A word that is not a month or a weekday.
    #[error("unknown name `{}` in the {field} field, {}", shown(.name), names_of(*.field))]
    UnknownName {
        /// The field with the word.
        field: Field,
        /// The word, as written.
        name: String,
    },
    /// An item that is none of the forms this field has.
    #[error("cannot read `{}` in the {field} field, {}", shown(.item), forms_of(*.field))]
    NotUnderstood {
        /// The field with the item.
        field: Field,
        /// The item, as written.
        item: String,
    },
    /// `L`, `W`, `#`, `?` or `+` in a field that has no such thing.
    #[error("`{symbol}` has no meaning in the {field} field, {}", forms_of(*.field))]
    SymbolNotHere {
        /// The field with the symbol.
        field: Field,
        /// The symbol.
        symbol: char,
    },
    /// No date exists on which it could fire, such as 30 February.
    #[error("never fires, no date has this day, month and year")]
    NeverFires,
    /// `@reboot`, which means something on one machine and nothing in a cluster.
    #[error("`@reboot` is not supported, a cluster as a whole does not boot")]
    Reboot,
    /// A word behind `@` that is not known.
    #[error("unknown nickname `{}`, expected one of {NICKNAMES}", shown(.name))]
    UnknownNickname {
        /// The word, as written.
        name: String,
    },
    /// Text behind a nickname that takes none.
    #[error("unexpected `{}` behind a nickname", shown(.text))]
    Surplus {
        /// The text, as written.
        text: String,
    },
    /// A zone written inside the schedule.
    #[error("zone prefix `{}` is not part of a schedule", shown(.prefix))]
    ZonePrefix {
        /// The prefix, as written.
        prefix: String,
    },
    /// The duration of `@every` or `@after` cannot be read.
    #[error("cannot read interval `{}`, expected a duration such as 90s or 2h30m", shown(.value))]
    Interval {
        /// The duration, as written.
        value: String,
    },
    /// The duration of `@every` or `@after` is too short, too long or finer than a millisecond.
    #[error(
        "interval `{}` must be 100ms to 87660h (10 years), in whole milliseconds",
        shown(.value)
    )]
    IntervalOutOfRange {
        /// The duration, as written.
        value: String,
    },
    /// A number that the field does not have in this dialect.
    #[error(
        "{field} `{}` must be {least} to {most} in the {dialect} dialect",
        shown(.value)
    )]
    NotInDialect {
        /// The dialect it was read in.
        dialect: Dialect,
        /// What the number counts.
        field: &'static str,
        /// The number, as written.
        value: String,
        /// The smallest allowed.
        least: u16,
        /// The largest allowed.
        most: u16,
    },
    /// Something that is none of the forms this dialect has in this place.
    #[error(
        "cannot read `{}` as {what} in the {dialect} dialect, expected {expected}",
        shown(.item)
    )]
    NotOfDialect {
        /// The dialect it was read in.
        dialect: Dialect,
        /// What it should have been.
        what: &'static str,
        /// The text, as written.
        item: String,
        /// What is allowed there.
        expected: &'static str,
    },
    /// Something that can be read but is not run, because it would not be what it seems.
    #[error("`{}` is refused in the {dialect} dialect, {reason}", shown(.item))]
    RefusedByDialect {
        /// The dialect it was read in.
        dialect: Dialect,
        /// The text, as written.
        item: String,
        /// Why not.
        reason: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// Not the name of a dialect.
    #[error("unknown dialect `{}`, expected one of {}", shown(.name), dialect::NAMES)]
    UnknownDialect {
        /// The name, as written.
        name: String,
    },
    /// The text begins with the name of another dialect than was asked for.
    #[error("the text is marked as {written}, but was to be read as {asked}")]
    TwoDialects {
        /// The dialect that the text names.
        written: Dialect,
        /// The dialect that was asked for.
        asked: Dialect,
    },
    /// The text says its own zone or offset, and another zone was given beside it.
    #[error("the text says `{}`, but its zone is given as {given}", shown(.written))]
    TwoZones {
        /// What the text says.
        written: String,
        /// The zone given beside the text.
        given: String,
    },
    /// Not the name of a zone in the IANA time-zone database.
    #[error("unknown time zone `{}`, expected an iana name or UTC", shown(.name))]
    UnknownZone {
        /// The name, as written.
        name: String,
        /// The zone that was probably meant.
        nearest: Option<String>,
    },
    /// Not one of the words of a daylight-saving policy.
    #[error("unknown policy `{}`, expected one of {expected}", shown(.value))]
    UnknownPolicy {
        /// The word, as written.
        value: String,
        /// The words there are.
        expected: &'static str,
    },
}

pub(crate) const NICKNAMES: &str =
    "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every, @after";

fn forms_of(field: Field) -> String {
    let special = match field {
        Field::DayOfMonth => ", `?`, `L`, `L-3`, `LW` or `15W`",
        Field::DayOfWeek => ", `?`, `5#3` or `5L`",
        _ => "",
    };
    let (least, most) = (field.least(), field.most());
    format!("expected {least} to {most} as `*`, a value, a range or a step{special}")
}

fn names_of(field: Field) -> String {
    let names: Vec<String> = field
        .names()
        .iter()
        .filter_map(|full| full.get(..3))
        .map(str::to_ascii_uppercase)
        .collect();
    format!("expected {}", names.join(", "))
}

/// A value as a message may show it: short, and with nothing in it that moves a terminal's cursor.
pub(crate) fn shown(value: &str) -> String {
    let mut short = String::new();
    for (place, character) in value.chars().enumerate() {
        if place == SHOWN_CHARS {
            short.push('…');
            break;
        }
        if is_hidden(character) {
            short.extend(character.escape_default());
        } else {
            short.push(character);
        }
    }
    short
}

/// Control characters, and the marks that turn the direction of text around.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
