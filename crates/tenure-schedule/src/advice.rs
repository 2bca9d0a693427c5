//! The next step that a refusal suggests.
//!
//! Knows how people get it wrong; what is wrong is said in `error`.

use crate::dialect::Dialect;
use crate::error::{ScheduleErrorKind, shown};
use crate::field::Field;

impl ScheduleErrorKind {
    /// One next step, where there is one to give.
    pub(crate) fn help(&self) -> Option<String> {
        let help = match self {
            Self::TooLong { .. } => "split the list over several tasks",
            Self::FieldCount { .. } => {
                "write minute, hour, day of month, month, day of week; put seconds first and a \
                 year last if you need them"
            }
            Self::EmptyItem { .. } => "remove the comma or write a value beside it",
            Self::OutOfRange {
                field: Field::Second,
                value,
            } if value == "60" => "a leap second has no tick of its own; write 59 or 0",
            Self::OutOfRange {
                field: Field::DayOfMonth,
                ..
            } => "for the last day of the month write `L`",
            Self::OutOfRange {
                field: Field::DayOfWeek,
                ..
            } => "0 and 7 are Sunday, 1 is Monday; or write the name",
            Self::OutOfRange {
                field: Field::Month,
                ..
            } => "1 is January; or write the name",
            Self::Step {
                field: Field::Second | Field::Minute | Field::Hour,
                ..
            } => {
                "steps start again in each minute, hour or day; for one steady interval write \
                 `@every 90m`"
            }
            Self::BackwardRange { field, value } => {
                let (from, to) = value.split_once('-')?;
                let (least, most) = (field.least(), field.most());
                return Some(format!(
                    "write `{}-{most},{least}-{}`, or swap the two",
                    shown(from),
                    shown(to)
                ));
            }
            Self::NotUnderstood { field, item } => return form_help(*field, item),
            Self::SymbolNotHere { symbol: '+', .. } => {
                "`+` goes before the day-of-week field and asks for both days to match"
            }
            Self::NeverFires => "to switch a task off, write `-` as its schedule",
            Self::Reboot => "run it when the program starts, outside the schedule",
            Self::UnknownNickname { .. } => "or write five fields, such as `0 4 * * *`",
            Self::ZonePrefix { .. } => {
                "give the zone beside the schedule, as `zone = \"Europe/Berlin\"`"
            }
            Self::Interval { .. } => {
                "units are h, m, s and ms; write a day as 24h, since a local day can be longer"
            }
            Self::UnknownZone {
                nearest: Some(nearest),
                ..
            } => {
                return Some(format!("did you mean `{nearest}`?"));
            }
            Self::UnknownZone { name, .. } if is_offset(name) => {
                "a fixed offset is not a zone; write a region such as `Europe/Berlin`, or \
                 `Etc/GMT-2` for two hours ahead of UTC"
            }
            Self::UnknownZone { .. } => "write a name such as `Europe/Berlin`, or `UTC`",
            _ => return self.help_with_dialect().map(str::to_owned),
        };
        Some(help.to_owned())
    }

    /// The same for what only other dialects, or the choice of one, can get wrong.
    fn help_with_dialect(&self) -> Option<&'static str> {
        Some(match self {
            Self::RefusedByDialect { instead, .. } => instead,
            Self::NotInDialect {
                dialect: Dialect::Quartz,
                field: "day-of-week",
                ..
            } => "1 is Sunday, 7 is Saturday; or write the name",
            Self::TwoDialects { .. } => "leave out one of the two, or make them the same",
            Self::TwoZones { .. } => "say the zone in one of the two places",
            _ => return None,
        })
    }
}

/// What to write in place of a special day form that lacks its day.
fn form_help(field: Field, item: &str) -> Option<String> {
    let help = match (field, item.to_ascii_uppercase().as_str()) {
        (Field::DayOfWeek, "L") => {
            "say which weekday: `5L` is the last Friday of the month, `6` every Saturday"
        }
        (Field::DayOfWeek, place) if place.starts_with('#') => {
            "say which weekday: `5#3` is the third Friday of the month"
        }
        (Field::DayOfMonth, "W") => {
            "say which day: `15W` is the weekday nearest the 15th, `LW` the last one"
        }
        (_, "?") => "`?` stands alone in its field, where it means `*`",
        _ => return None,
    };
    Some(help.to_owned())
}

/// `+02:00`, `-5`, `UTC+2`, `GMT-03`.
pub(crate) fn is_offset(name: &str) -> bool {
    let signed = name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    signed
        .strip_prefix(['+', '-'])
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}
