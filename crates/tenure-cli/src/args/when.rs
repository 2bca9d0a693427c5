//! How a time on the command line is read: as an instant, or as people say times.
//!
//! One reader for all commands, which differ only in which way a bare time of day leans. What names
//! no zone is UTC, as everything that tenure prints. "Now" is this machine's clock.

use tenure::core::{Clock as _, SystemClock, Timestamp, parse_duration};

/// What is said of times in the help of each command that takes one.
macro_rules! times {
    () => {
        "\
A TIME is an instant (2026-11-21T03:00:00Z, or with an offset such as +01:00), a date (2026-11-21,
today, yesterday: its beginning), a time of day (16:06:21 or 16:06), both (`yesterday 16:06`), or a
distance from now (-1h, `1h ago`, `in 10m`, now). What names no zone is UTC."
    };
}
pub(crate) use times;

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Which day a bare time of day belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lean {
    /// Today's, or yesterday's if that lies ahead.
    Back,
    /// Today's.
    Today,
    /// Today's, or tomorrow's if that is over.
    Ahead,
}

/// A time that is asked about: a time of day is the last such.
pub(crate) fn instant_before(text: &str) -> Result<Timestamp, String> {
    read(text, SystemClock.wall(), Lean::Back)
}

/// A time of which either side of now is meant: a time of day is today's.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    read(text, SystemClock.wall(), Lean::Today)
}

/// A time that something lasts to: a time of day is the next such.
pub(crate) fn instant_ahead(text: &str) -> Result<Timestamp, String> {
    read(text, SystemClock.wall(), Lean::Ahead)
}

const OUT_OF_RANGE: &str =
    "out of range: there is no such day or time, or it is after 9999-12-30T22:00:00Z";

fn read(text: &str, now: Timestamp, lean: Lean) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(instant) => return Ok(instant),
        Err(error) if error.is_range() => return Err(OUT_OF_RANGE.to_owned()),
        Err(_) => {}
    }
    if text == "now" {
        return Ok(now);
    }
    if let Some(apart) = apart(text) {
        let (is_ahead, length) = apart?;
        return Ok(if is_ahead { now + length } else { now - length });
    }
    if let Some(time) = time_of_day(text) {
        let at = on(&day_of(now), &time)?;
        return Ok(match lean {
            Lean::Back if at > now => at - DAY,
            Lean::Ahead if at <= now => at + DAY,
            _ => at,
        });
    }
    let (day, time) = match text.split_once([' ', 'T']) {
        Some((day, time)) => (day, time_of_day(time)),
        None => (text, Some("00:00:00".to_owned())),
    };
    match (date(day, now), time) {
        (Some(day), Some(time)) => on(&day, &time),
        _ => Err(unread()),
    }
}

/// A length of time before or after now.
fn apart(text: &str) -> Option<Result<(bool, std::time::Duration), String>> {
    let before = text.strip_prefix('-').or(text.strip_suffix(" ago"));
    let after = text.strip_prefix('+').or(text.strip_prefix("in "));
    let (is_ahead, length) = match (before, after) {
        (Some(length), _) => (false, length),
        (None, length) => (true, length?),
    };
    // A flag that is misspelled is no time.
    if !length.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(Err(unread()));
    }
    let length = parse_duration(length).map_err(|error| error.to_string());
    Some(length.map(|length| (is_ahead, length)))
}

fn date(text: &str, now: Timestamp) -> Option<String> {
    match text {
        "today" => Some(day_of(now)),
        "yesterday" => Some(day_of(now - DAY)),
        "tomorrow" => Some(day_of(now + DAY)),
        _ => {
            let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            is_date.then(|| text.to_owned())
        }
    }
}

/// A time of day as an instant writes it.
fn time_of_day(text: &str) -> Option<String> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let is_time = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b":.".contains(&b));
    let (hour, _) = text.split_once(':')?;
    is_time.then(|| format!("{}{text}", if hour.len() == 1 { "0" } else { "" }))
}

fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take_while(|c| *c != 'T').collect()
}

fn on(day: &str, time: &str) -> Result<Timestamp, String> {
    let read: Result<Timestamp, _> = format!("{day}T{time}Z").parse();
    read.map_err(|error| {
        if error.is_range() {
            OUT_OF_RANGE.to_owned()
        } else {
            unread()
        }
    })
}

fn unread() -> String {
    "expected a time such as 2026-11-21T03:00:00Z, 2026-11-21, 16:06:21, yesterday or -1h"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_a_time_is_read_as_people_say_it_and_in_utc() {
        let now: Timestamp = "2026-11-22T16:30:00.500Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-21T03:00:00+01:00", "2026-11-21T02:00:00.000Z"),
            ("2026-11-21 03:00Z", "2026-11-21T03:00:00.000Z"),
            ("2026-11-21T03:00:00", "2026-11-21T03:00:00.000Z"),
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("now", "2026-11-22T16:30:00.500Z"),
            ("today", "2026-11-22T00:00:00.000Z"),
            ("yesterday", "2026-11-21T00:00:00.000Z"),
            ("yesterday 16:06", "2026-11-21T16:06:00.000Z"),
            ("tomorrow 6:06", "2026-11-23T06:06:00.000Z"),
            ("2026-11-20 16:06:21.009Z", "2026-11-20T16:06:21.009Z"),
            ("-1h", "2026-11-22T15:30:00.500Z"),
            ("1h30m ago", "2026-11-22T15:00:00.500Z"),
            ("+500ms", "2026-11-22T16:30:01.000Z"),
            ("in 1d", "2026-11-23T16:30:00.500Z"),
        ] {
            for lean in [Lean::Back, Lean::Today, Lean::Ahead] {
                let at = read(text, now, lean).map(|at| at.to_string());
                assert_eq!(at.as_deref(), Ok(expected), "{text}");
            }
        }
    }

    #[test]
    fn a_bare_time_of_day_is_the_last_or_the_next_such_as_it_is_asked_for() {
        let now: Timestamp = "2026-11-22T16:30:00Z".parse().unwrap();
        for (text, lean, expected) in [
            ("16:06:21", Lean::Back, "2026-11-22T16:06:21.000Z"),
            ("16:30:00.000Z", Lean::Back, "2026-11-22T16:30:00.000Z"),
            ("16:31", Lean::Back, "2026-11-21T16:31:00.000Z"),
            ("16:31", Lean::Today, "2026-11-22T16:31:00.000Z"),
            ("16:29", Lean::Today, "2026-11-22T16:29:00.000Z"),
            ("16:31", Lean::Ahead, "2026-11-22T16:31:00.000Z"),
            ("16:30", Lean::Ahead, "2026-11-23T16:30:00.000Z"),
        ] {
            let at = read(text, now, lean).map(|at| at.to_string());
            assert_eq!(at.as_deref(), Ok(expected), "{text} {lean:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_and_told_from_one_that_cannot_be() {
        let now: Timestamp = "2026-11-22T16:30:00Z".parse().unwrap();
        for (text, part) in [
            ("9999-12-31T23:59:00Z", "out of range"),
            ("2026-02-29", "out of range"),
            ("2026-02-29 03:00", "out of range"),
            ("2026-11-21T25:00:00Z", "out of range"),
            ("25:00", "out of range"),
            ("-5", "unit is missing"),
            ("5 m ago", "a blank"),
            ("", "expected a time such as"),
            ("16", "expected a time such as"),
            ("16:06+01:00", "expected a time such as"),
            ("2026-11-21 noon", "expected a time such as"),
            ("today yesterday", "expected a time such as"),
            ("last week", "expected a time such as"),
            ("ago", "expected a time such as"),
            (" ago", "expected a time such as"),
            ("--jsn", "expected a time such as"),
            ("１６:06", "expected a time such as"),
        ] {
            let error = read(text, now, Lean::Back).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
