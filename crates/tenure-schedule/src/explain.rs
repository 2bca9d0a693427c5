//! Says a calendar in English words, from its bit sets, so that the words cannot differ from what
//! it does.

use crate::calendar::{
    ALL_DAYS, ALL_HOURS, ALL_MONTHS, ALL_SIXTY, ALL_WEEKDAYS, Calendar, Rare, YearSpan, bits,
};
use crate::field::{MONTHS, WEEKDAYS};
use crate::fine::Millis;
use crate::policy::{DstGap, DstOverlap};
use crate::words::{Steps, and, name_list, nth, numbered};
use crate::zone::Zone;

/// Up to this many times of the day are listed one by one.
const LISTED_TIMES: u32 = 6;
/// Up to this many milliseconds are.
const LISTED_MILLIS: usize = 12;

pub(crate) fn calendar(calendar: &Calendar, zone: &Zone) -> String {
    let mut notes = Vec::new();
    let mut parts = times(calendar, &mut notes);
    parts.extend(days(calendar));
    notes.extend(short_months(calendar));
    if calendar.months != ALL_MONTHS {
        let names = name_list(u64::from(calendar.months), 1, &MONTHS);
        parts.push(format!("in {names}"));
    }
    parts.extend(years(calendar.years()));
    let offset = calendar.rare.as_ref().map_or(0, |rare| rare.offset_minutes);
    if offset == 0 {
        parts.push(format!("in {}", zone.name()));
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        parts.push(format!("at UTC{sign}{hours:02}:{minutes:02}"));
    }
    if zone.has_changes() {
        notes.push(clock_changes(calendar).to_owned());
    }
    let sentence = parts.join(", ");
    if notes.is_empty() {
        sentence
    } else {
        format!("{sentence} ({})", notes.join("; "))
    }
}

/// The time of the day: named times where they are few, else field by field.
fn times(calendar: &Calendar, notes: &mut Vec<String>) -> Vec<String> {
    let Calendar {
        seconds, minutes, ..
    } = *calendar;
    let hours = u64::from(calendar.hours);
    notes.extend(unevenness(seconds, 60, "second", has_neighbours(minutes)));
    notes.extend(unevenness(minutes, 60, "minute", has_neighbours(hours)));
    notes.extend(unevenness(hours, 24, "hour", days(calendar).is_none()));
    let count = hours.count_ones() * minutes.count_ones() * seconds.count_ones();
    let millis = calendar.rare.as_deref().map(|rare| &rare.millis);
    let millis = millis.filter(|millis| !millis.values().is_empty());
    if count <= LISTED_TIMES && millis.is_none() {
        return vec![format!("at {}", named_times(hours, minutes, seconds))];
    }
    let mut parts = Vec::new();
    if let Some(millis) = millis {
        parts.push(milli_phrase(millis));
        if count <= LISTED_TIMES {
            parts.push(format!("at {}", named_times(hours, minutes, seconds)));
            return parts;
        }
    }
    let has_every_minute = minutes == ALL_SIXTY;
    let has_every_hour = calendar.hours == ALL_HOURS;
    if seconds != 1 {
        let within = if has_every_minute {
            " of every minute"
        } else {
            ""
        };
        parts.push(sixtieth("second", seconds, within));
    }
    if !has_every_minute || seconds == 1 {
        let within = if has_every_hour { " of every hour" } else { "" };
        parts.push(sixtieth("minute", minutes, within));
    }
    if !has_every_hour {
        parts.push(hour_phrase(hours));
    }
    parts
}

fn named_times(hours: u64, minutes: u64, seconds: u64) -> String {
    let mut times = Vec::new();
    for hour in bits(hours) {
        for minute in bits(minutes) {
            for second in bits(seconds) {
                times.push(if seconds == 1 {
                    format!("{hour:02}:{minute:02}")
                } else {
                    format!("{hour:02}:{minute:02}:{second:02}")
                });
            }
        }
    }
    and(&times)
}

/// The milliseconds of each second, or the seconds of a minute with their fractions.
fn milli_phrase(millis: &Millis) -> String {
    let values = millis.values();
    let mut shown: Vec<String> = values
        .iter()
        .take(LISTED_MILLIS)
        .map(|value| {
            if millis.is_of_minute() {
                format!("{}.{:03}", value / 1000, value % 1000)
            } else {
                value.to_string()
            }
        })
        .collect();
    if values.len() > LISTED_MILLIS {
        shown.push(format!("{} more", values.len() - LISTED_MILLIS));
    }
    let plural = if values.len() == 1 { "" } else { "s" };
    let list = and(&shown);
    if millis.is_of_minute() {
        format!("at second{plural} {list} of the minute")
    } else {
        format!("at millisecond{plural} {list}")
    }
}

/// Seconds or minutes: all, evenly stepped, or listed.
fn sixtieth(unit: &str, set: u64, within: &str) -> String {
    if set == ALL_SIXTY {
        return format!("every {unit}");
    }
    match Steps::of(set) {
        Some(Steps { first, last, step }) => {
            format!("every {step} {unit}s, from {unit} {first} to {last}{within}")
        }
        None => format!("at {}{within}", numbered(unit, set)),
    }
}

fn hour_phrase(hours: u64) -> String {
    match Steps::of(hours) {
        Some(Steps { first, last, step }) => {
            format!("in every {} from hour {first} to {last}", nth(step, "hour"))
        }
        None => format!("in {}", numbered("hour", hours)),
    }
}

/// What to say if steps run through their whole cycle but do not fit into it.
fn unevenness(set: u64, cycle: u32, unit: &str, is_repeated: bool) -> Option<String> {
    let Steps { first, last, step } = Steps::of(set).filter(|_| is_repeated)?;
    let across = cycle - last + first;
    let runs_through = first < step && last + step >= cycle;
    (runs_through && across != step).then(|| {
        let plural = if across == 1 { "" } else { "s" };
        let only = if across < step { "only " } else { "" };
        format!("uneven: {only}{across} {unit}{plural} from {unit} {last} to {unit} {first}")
    })
}

/// Whether two values stand side by side, so that a step can run from one into the next.
fn has_neighbours(set: u64) -> bool {
    set & set >> 1 != 0
}

fn days(calendar: &Calendar) -> Option<String> {
    let days = day_phrase(calendar);
    let weekdays = weekday_phrase(calendar);
    match (days, weekdays) {
        (None, None) => None,
        // One of the two names every day, and one is enough.
        (None, Some(_)) | (Some(_), None) if calendar.is_either => None,
        (Some(only), None) | (None, Some(only)) => Some(format!("on {only}")),
        (Some(days), Some(weekdays)) if calendar.is_either => {
            Some(format!("on {days} or on {weekdays}, either is enough"))
        }
        (Some(days), Some(weekdays)) => {
            Some(format!("on {days}, but only if that is also {weekdays}"))
        }
    }
}

/// Which days of the month, or `None` if all.
fn day_phrase(calendar: &Calendar) -> Option<String> {
    if calendar.days == ALL_DAYS {
        return None;
    }
    let mut phrases = Vec::new();
    if calendar.days != 0 {
        let set = u64::from(calendar.days);
        let list = match Steps::of(set) {
            Some(Steps { first, last, step }) => {
                format!("every {} from day {first} to {last}", nth(step, "day"))
            }
            None => numbered("day", set),
        };
        phrases.push(format!("{list} of the month"));
    }
    if let Some(rare) = &calendar.rare {
        phrases.extend(rare_days(rare));
    }
    Some(phrases.join(" or "))
}

fn rare_days(rare: &Rare) -> Vec<String> {
    let mut phrases = Vec::new();
    for back in bits(u64::from(rare.from_end)) {
        phrases.push(match back {
            0 => "the last day of the month".to_owned(),
            1 => "the day before the last day of the month".to_owned(),
            _ => format!("the day {back} days before the last day of the month"),
        });
    }
    for day in bits(u64::from(rare.nearest)) {
        phrases.push(format!(
            "the Monday to Friday nearest to day {day} within its month"
        ));
    }
    for back in bits(u64::from(rare.nearest_from_end)) {
        phrases.push(match back {
            0 => "the last Monday to Friday of the month".to_owned(),
            _ => format!(
                "the Monday to Friday nearest to the day {back} days before the last of its month"
            ),
        });
    }
    phrases
}

/// Which days of the week, or `None` if all.
fn weekday_phrase(calendar: &Calendar) -> Option<String> {
    if calendar.weekdays == ALL_WEEKDAYS {
        return None;
    }
    let mut phrases = Vec::new();
    if calendar.weekdays != 0 {
        phrases.push(name_list(monday_first(calendar.weekdays), 0, &MONDAY_FIRST));
    }
    if let Some(rare) = &calendar.rare {
        const PLACES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
        for (set, place) in rare.ordinals.into_iter().zip(PLACES) {
            phrases.extend(placed(set, place));
        }
        phrases.extend(placed(rare.last, "last"));
    }
    Some(phrases.join(" or "))
}

const MONDAY_FIRST: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A weekend reads as "Saturday to Sunday" only if the week starts on Monday.
fn monday_first(weekdays: u8) -> u64 {
    u64::from(weekdays >> 1 | weekdays << 6 & ALL_WEEKDAYS)
}

fn placed(weekdays: u8, place: &str) -> impl Iterator<Item = String> {
    bits(u64::from(weekdays))
        .filter_map(|weekday| WEEKDAYS.get(usize::try_from(weekday).ok()?))
        .map(move |weekday| format!("the {place} {weekday} of the month"))
}

/// Warns of a day that some of the months it names do not have.
fn short_months(calendar: &Calendar) -> Option<String> {
    let rare = calendar.rare.as_deref().cloned().unwrap_or_default();
    if rare.is_clamped && calendar.days != ALL_DAYS {
        return Some("a day that a month does not have stands for its last one".to_owned());
    }
    if calendar.days == ALL_DAYS || calendar.is_either || rare.nearest_from_end != 0 {
        return None;
    }
    let named = u64::from(calendar.days | rare.nearest) | u64::from(rare.from_end) << 32;
    let only = named.checked_ilog2().filter(|_| named.is_power_of_two())?;
    let february = calendar.months & 1 << 2 != 0;
    let thirty = calendar.months & (1 << 4 | 1 << 6 | 1 << 9 | 1 << 11) != 0;
    let note = match only {
        29 if calendar.months == 1 << 2 => "in leap years only",
        29 if february => "in February of leap years only",
        30 if february => "not in February, which has no day 30",
        31 if february || thirty => "only in months that have 31 days",
        60.. => "only in months that are long enough",
        _ => return None,
    };
    Some(note.to_owned())
}

fn years(spans: &[YearSpan]) -> Option<String> {
    let spans: Vec<String> = spans
        .iter()
        .map(|span| match *span {
            YearSpan { first, last, .. } if first == last => first.to_string(),
            YearSpan {
                first,
                last,
                step: 1,
            } => format!("{first} to {last}"),
            YearSpan { first, last, step } => {
                format!(
                    "every {} from {first} to {last}",
                    nth(u32::from(step), "year")
                )
            }
        })
        .collect();
    (!spans.is_empty()).then(|| format!("in {}", and(&spans)))
}

fn clock_changes(calendar: &Calendar) -> &'static str {
    if calendar.is_interval_like {
        return "when clocks change, skipped local times do not run and repeated ones run twice";
    }
    match (calendar.gap, calendar.overlap) {
        (DstGap::RunAfter, DstOverlap::First) => {
            "when clocks change, a skipped local time runs once right after the gap and a repeated \
             one the first time only"
        }
        (DstGap::RunAfter, DstOverlap::Last) => {
            "when clocks change, a skipped local time runs once right after the gap and a repeated \
             one the second time only"
        }
        (DstGap::RunAfter, DstOverlap::Both) => {
            "when clocks change, a skipped local time runs once right after the gap and a repeated \
             one both times"
        }
        (DstGap::Skip, DstOverlap::First) => {
            "when clocks change, a skipped local time does not run and a repeated one runs the \
             first time only"
        }
        (DstGap::Skip, DstOverlap::Last) => {
            "when clocks change, a skipped local time does not run and a repeated one runs the \
             second time only"
        }
        (DstGap::Skip, DstOverlap::Both) => {
            "when clocks change, a skipped local time does not run and a repeated one runs both \
             times"
        }
    }
}
