//! Reads the strings of the Kotlin library `krontab`, as that library reads them.
//!
//! ```text
//! second minute hour day month [year] [60o] [0-2w] [500ms]      the last four in any order
//! ```
//!
//! Days and months count from 0. Numbers beyond a field are clamped, as there, and warned of. What
//! there would be dropped or shift the fields beside it is refused.

use crate::calendar::{ALL_DAYS, ALL_HOURS, ALL_MONTHS, ALL_SIXTY, ALL_WEEKDAYS, YearSpan};
use crate::dialect::Dialect;
use crate::draft::{Draft, WeekdayRule};
use crate::error::ScheduleErrorKind as Kind;
use crate::fine::Millis;
use crate::parse::{Place, Reading};
use crate::piece::{Fault, Piece};
use crate::schedule::Rule;
use crate::warning::ScheduleWarning;

/// One part of a krontab string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) least: u16,
    pub(crate) most: u16,
    pub(crate) suffix: &'static str,
}

const fn part(name: &'static str, least: u16, most: u16, suffix: &'static str) -> Part {
    Part {
        name,
        least,
        most,
        suffix,
    }
}

pub(crate) const SECOND: Part = part("second", 0, 59, "");
pub(crate) const MINUTE: Part = part("minute", 0, 59, "");
pub(crate) const HOUR: Part = part("hour", 0, 23, "");
pub(crate) const DAY: Part = part("day-of-month", 0, 30, "");
pub(crate) const MONTH: Part = part("month", 0, 11, "");
pub(crate) const YEAR: Part = part("year", 1970, 9999, "");
pub(crate) const WEEKDAY: Part = part("day-of-week", 0, 6, "w");
pub(crate) const MILLI: Part = part("millisecond", 0, 999, "ms");

const FORMS: &str = "`*`, or a list of values, `F`, `L`, ranges `0-5` and steps `/5`, `*/5` or \
                     `2/5`";
/// Up to a day to either side.
const MOST_OFFSET: i16 = 1439;
/// What `@every` allows; krontab allows less, and so does this dialect, with a warning.
const LEAST_DISTANCE: u16 = 100;

/// The values of one part.
struct Values {
    /// Rising, without repetitions; `None` for all of them.
    listed: Option<Vec<u16>>,
    is_repeating: bool,
}

/// Reads what stands behind the dialect's name, if that was written at all.
pub(crate) fn read(whole: Piece<'_>) -> Result<Reading, Fault> {
    let mut reader = Reader {
        draft: Draft::unrestricted(),
        warnings: Vec::new(),
        place: Place::Unsaid,
        has_year: false,
        has_weekdays: false,
        millis: None,
    };
    let words: Vec<Piece<'_>> = whole.words().collect();
    let [second, minute, hour, day, month, rest @ ..] = words.as_slice() else {
        return Err(whole.fault(Kind::NotOfDialect {
            dialect: Dialect::Krontab,
            what: "a schedule",
            item: whole.text.to_owned(),
            expected: "second, minute, hour, day of month and month; krontab itself would take \
                       `*` for those that are missing",
        }));
    };
    reader.read_fixed([*second, *minute, *hour, *day, *month])?;
    for (place, word) in rest.iter().enumerate() {
        if place < 4 {
            reader.read_optional(*word)?;
        } else {
            reader.ignored(*word, "krontab reads nine parts at most");
        }
    }
    reader.finish(whole)
}

struct Reader {
    draft: Draft,
    warnings: Vec<ScheduleWarning>,
    place: Place,
    has_year: bool,
    has_weekdays: bool,
    millis: Option<Vec<u16>>,
}

impl Reader {
    fn read_fixed(&mut self, words: [Piece<'_>; 5]) -> Result<(), Fault> {
        let [second_word, minute, hour, day, month] = words;
        let second = self.values(SECOND, second_word)?;
        self.draft.seconds = set_of(&second, 0, ALL_SIXTY);
        let minute = self.values(MINUTE, minute)?;
        self.draft.minutes = set_of(&minute, 0, ALL_SIXTY);
        let hour = self.values(HOUR, hour)?;
        self.draft.hours = set_of(&hour, 0, u64::from(ALL_HOURS));
        self.draft.is_repeating = minute.is_repeating || hour.is_repeating;
        // The example of the origin's own documentation names hours and minutes only.
        if second.listed.is_none() && (minute.listed.is_some() || hour.listed.is_some()) {
            self.warnings.push(ScheduleWarning::new(
                second_word,
                "due every second of the minutes it names, as in krontab; write `0` for once a \
                 minute",
            ));
        }
        let day = self.values(DAY, day)?;
        self.draft.days = set_of(&day, 1, u64::from(ALL_DAYS));
        // For krontab, the 31st is the last day wherever there is no 31st.
        self.draft.rare.is_clamped = day.listed.is_some_and(|days| days.iter().any(|d| *d > 27));
        let month = self.values(MONTH, month)?;
        self.draft.months = set_of(&month, 1, u64::from(ALL_MONTHS));
        Ok(())
    }

    /// Reads one of the parts behind the month, which their endings tell apart.
    fn read_optional(&mut self, word: Piece<'_>) -> Result<(), Fault> {
        let lower = word.text.to_ascii_lowercase();
        if let Some(stem) = lower.strip_suffix("ms") {
            let values = self.values(MILLI, word.take(stem.len()))?;
            let Some(listed) = values.listed else {
                return Err(refused(
                    word,
                    "krontab itself does not read it as every millisecond",
                    "list the milliseconds, such as `0/100ms`",
                ));
            };
            if self.millis.is_some() {
                self.ignored(word, "the milliseconds were given before");
            } else {
                self.warn_of_density(word, &listed);
                self.millis = Some(listed);
            }
        } else if let Some(stem) = lower.strip_suffix('w') {
            let values = self.values(WEEKDAY, word.take(stem.len()))?;
            if self.has_weekdays {
                self.ignored(word, "the days of the week were given before");
            } else {
                // `*w` says nothing, so krontab would still take a later one.
                self.has_weekdays = values.listed.is_some();
                self.draft.weekdays = set_of(&values, 0, u64::from(ALL_WEEKDAYS));
                self.draft.weekday_rule = WeekdayRule::Both;
            }
        } else if let Some(stem) = lower.strip_suffix('o') {
            self.read_offset(word, word.take(stem.len()))?;
        } else {
            let values = self.values(YEAR, word)?;
            if self.has_year {
                self.ignored(word, "the years were given before");
            } else if let Some(years) = values.listed {
                self.has_year = true;
                self.draft.years = spans_of(&years);
            }
        }
        Ok(())
    }

    fn read_offset(&mut self, word: Piece<'_>, stem: Piece<'_>) -> Result<(), Fault> {
        let digits = stem.text.strip_prefix(['+', '-']).unwrap_or(stem.text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let minutes =
            stem.text.parse().ok().filter(|minutes: &i16| {
                is_number && (-MOST_OFFSET..=MOST_OFFSET).contains(minutes)
            });
        let Some(minutes) = minutes else {
            return Err(word.fault(Kind::NotOfDialect {
                dialect: Dialect::Krontab,
                what: "an offset",
                item: word.text.to_owned(),
                expected: "minutes ahead of UTC, -1439 to 1439, such as `60o`",
            }));
        };
        if matches!(self.place, Place::Unsaid) {
            self.draft.rare.offset_minutes = minutes;
            self.place = Place::Offset(word.span());
        } else {
            self.ignored(word, "the offset was given before");
        }
        Ok(())
    }

    fn finish(mut self, whole: Piece<'_>) -> Result<Reading, Fault> {
        self.draft.rare.millis = Millis::of_second(self.millis.unwrap_or_default());
        Ok(Reading {
            rule: Rule::Calendar(self.draft.finish(whole)?),
            place: self.place,
            warnings: self.warnings,
        })
    }

    fn values(&mut self, part: Part, word: Piece<'_>) -> Result<Values, Fault> {
        let mut listed = Vec::new();
        let (mut is_repeating, mut is_all) = (false, false);
        for item in word.split(',') {
            if item.text == "*" {
                (is_repeating, is_all) = (true, true);
            } else if let Some((from, to)) = item.split_once('-') {
                let (first, last) = (self.number(part, from)?, self.number(part, to)?);
                if first > last {
                    return Err(refused(
                        item,
                        "for krontab a range that runs backwards is empty",
                        "write two ranges, or swap the two numbers",
                    ));
                }
                listed.extend(first..=last);
            } else if let Some((from, step)) = item.split_once('/') {
                is_repeating = true;
                let first = match from.text {
                    "" | "*" => part.least,
                    _ => self.number(part, from)?,
                };
                let step = self.step(part, step)?;
                listed.extend((first..=part.most).step_by(usize::from(step)));
            } else {
                listed.push(self.number(part, item)?);
            }
        }
        listed.sort_unstable();
        listed.dedup();
        Ok(Values {
            listed: (!is_all).then_some(listed),
            is_repeating,
        })
    }

    /// Reads a number, `F` or `L`, and clamps it into its part as krontab does.
    fn number(&mut self, part: Part, piece: Piece<'_>) -> Result<u16, Fault> {
        let is_year = part == YEAR;
        match piece.text {
            "f" | "F" if !is_year => return Ok(part.least),
            "l" | "L" if !is_year => return Ok(part.most),
            _ => {}
        }
        let number = digits_of(piece.text).ok_or_else(|| not_a_value(part, piece))?;
        if (part.least..=part.most).contains(&number) {
            return Ok(number);
        }
        if is_year {
            return Err(out_of_range(part, piece));
        }
        Ok(self.clamped(part, piece, number, part.name))
    }

    fn step(&mut self, part: Part, piece: Piece<'_>) -> Result<u16, Fault> {
        let number = digits_of(piece.text).ok_or_else(|| not_a_value(part, piece))?;
        if number == 0 {
            return Err(refused(
                piece,
                "a step of 0 ends in an error in krontab",
                "write a step of 1 or more",
            ));
        }
        if number <= part.most {
            return Ok(number);
        }
        Ok(self.clamped(part, piece, number, "step"))
    }

    fn clamped(&mut self, part: Part, piece: Piece<'_>, number: u16, what: &str) -> u16 {
        let kept = number.clamp(part.least, part.most);
        let hint = if part == DAY || part == MONTH {
            "; it counts from 0"
        } else {
            ""
        };
        let message = format!(
            "{what} `{}` is read as {kept}, as krontab does, for the {} part ends there{hint}",
            piece.text, part.name
        );
        self.warnings.push(ScheduleWarning::new(piece, message));
        kept
    }

    fn ignored(&mut self, word: Piece<'_>, why: &str) {
        let message = format!("`{}` is ignored, as krontab does: {why}", word.text);
        self.warnings.push(ScheduleWarning::new(word, message));
    }

    fn warn_of_density(&mut self, word: Piece<'_>, listed: &[u16]) {
        let is_dense = listed
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if next - one < LEAST_DISTANCE));
        if is_dense {
            let message = format!("ticks less than {LEAST_DISTANCE} milliseconds apart");
            self.warnings.push(ScheduleWarning::new(word, message));
        }
    }
}

fn set_of(values: &Values, from: u16, all: u64) -> u64 {
    values.listed.as_ref().map_or(all, |listed| {
        listed
            .iter()
            .fold(0, |set, value| set | 1 << (value + from))
    })
}

/// Runs of neighbouring years.
fn spans_of(years: &[u16]) -> Vec<YearSpan> {
    let mut spans: Vec<YearSpan> = Vec::new();
    for year in years {
        match spans.last_mut() {
            Some(span) if span.last + 1 == *year => span.last = *year,
            _ => spans.push(YearSpan {
                first: *year,
                last: *year,
                step: 1,
            }),
        }
    }
    spans
}

fn digits_of(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Whatever is longer is clamped or refused all the same.
    is_number.then(|| text.parse().unwrap_or(u16::MAX))
}

fn not_a_value(part: Part, piece: Piece<'_>) -> Fault {
    piece.fault(Kind::NotOfDialect {
        dialect: Dialect::Krontab,
        what: part.name,
        item: piece.text.to_owned(),
        expected: FORMS,
    })
}

fn out_of_range(part: Part, piece: Piece<'_>) -> Fault {
    piece.fault(Kind::NotInDialect {
        dialect: Dialect::Krontab,
        field: part.name,
        value: piece.text.to_owned(),
        least: part.least,
        most: part.most,
    })
}

fn refused(piece: Piece<'_>, reason: &'static str, instead: &'static str) -> Fault {
    piece.fault(Kind::RefusedByDialect {
        dialect: Dialect::Krontab,
        item: piece.text.to_owned(),
        reason,
        instead,
    })
}
