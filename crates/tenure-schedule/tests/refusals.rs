//! Requirements E41 to E51: each refused text with its kind, its place and its message.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use std::ops::Range;
use std::time::Duration;

use tenure_schedule::ScheduleErrorKind as Kind;
use tenure_schedule::{Field, Schedule, ScheduleError, Zone};

/// The variant's name is enough here; the facts in it are part of the message.
fn name_of(kind: &Kind) -> String {
    let shown = format!("{kind:?}");
    shown.split([' ', '{', '(']).next().unwrap().to_owned()
}

fn assert_refused(text: &str, kind: &str, span: Range<usize>, message: &str) {
    let error = Schedule::parse(text).expect_err(text);
    assert_eq!(name_of(error.kind()), kind, "{text}: {error}");
    assert_eq!(error.span(), span, "{text}: {error}");
    assert_eq!(error.to_string(), message, "{text}");
    assert_eq!(error.text(), text);
}

#[test]
fn e41_the_number_of_fields() {
    for (text, span, got) in [
        ("", 0..0, 0),
        ("   ", 3..3, 0),
        ("* * * *", 0..7, 4),
        ("* * * * * * * *", 14..15, 8),
        ("* * * * * * * * * *", 14..19, 10),
        ("- -", 0..3, 2),
    ] {
        assert_refused(
            text,
            "FieldCount",
            span,
            &format!("expected 5, 6 or 7 fields, got {got}"),
        );
    }
}

#[test]
fn e42_values_outside_their_field() {
    for (text, span, message) in [
        ("60 * * * *", 0..2, "minute `60` must be 0 to 59"),
        ("* 24 * * *", 2..4, "hour `24` must be 0 to 23"),
        ("* * 0 * *", 4..5, "day-of-month `0` must be 1 to 31"),
        ("* * 32 * *", 4..6, "day-of-month `32` must be 1 to 31"),
        ("* * * 13 *", 6..8, "month `13` must be 1 to 12"),
        ("* * * 0 *", 6..7, "month `0` must be 1 to 12"),
        ("* * * * 8", 8..9, "day-of-week `8` must be 0 to 7"),
        ("60 * * * * *", 0..2, "second `60` must be 0 to 59"),
        (
            "* * * * * * 10000",
            12..17,
            "year `10000` must be 1970 to 9999",
        ),
        ("1,2,99 * * * *", 4..6, "minute `99` must be 0 to 59"),
        ("10-99 * * * *", 3..5, "minute `99` must be 0 to 59"),
        ("* * 32W * *", 4..6, "day-of-month `32` must be 1 to 31"),
        ("* * * * 9#2", 8..9, "day-of-week `9` must be 0 to 7"),
        ("* * * * 9L", 8..9, "day-of-week `9` must be 0 to 7"),
        (
            "99999999999999999999 * * * *",
            0..20,
            "minute `99999999999999999999` must be 0 to 59",
        ),
    ] {
        assert_refused(text, "OutOfRange", span, message);
    }
    for (text, span, message) in [
        (
            "* * L-31 * *",
            6..8,
            "`31` in the day-of-month field must be 1 to 30",
        ),
        (
            "* * L-0 * *",
            6..7,
            "`0` in the day-of-month field must be 1 to 30",
        ),
        (
            "* * * * 5#6",
            10..11,
            "`6` in the day-of-week field must be 1 to 5",
        ),
        (
            "* * * * 5#0",
            10..11,
            "`0` in the day-of-week field must be 1 to 5",
        ),
    ] {
        assert_refused(text, "PositionOutOfRange", span, message);
    }
}

#[test]
fn e43_broken_items() {
    let step = |value: &str| format!("step `{value}` in the minute field must be 1 to 59");
    for (text, span, value) in [
        ("*/0 * * * *", 2..3, "0"),
        ("*/-1 * * * *", 2..4, "-1"),
        ("*/60 * * * *", 2..4, "60"),
        ("*/999999999999 * * * *", 2..14, "999999999999"),
        ("*/ * * * *", 2..2, ""),
        ("*/5/5 * * * *", 2..5, "5/5"),
        ("*/x * * * *", 2..3, "x"),
    ] {
        assert_refused(text, "Step", span, &step(value));
    }
    for (text, span) in [
        (", * * * *", 0..0),
        ("1,,2 * * * *", 2..2),
        ("1, * * * *", 2..2),
        (",1 * * * *", 0..0),
    ] {
        assert_refused(text, "EmptyItem", span, "empty item in the minute field");
    }
    assert_refused(
        "5-1 * * * *",
        "BackwardRange",
        0..3,
        "range `5-1` in the minute field runs backwards, it must rise within 0 to 59",
    );
    for (text, span, item) in [
        ("1- * * * *", 0..2, "1-"),
        ("-1 * * * *", 0..2, "-1"),
        ("1-2-3 * * * *", 2..5, "2-3"),
        ("/5 * * * *", 0..2, "/5"),
        ("** * * * *", 0..2, "**"),
        ("*5 * * * *", 0..2, "*5"),
        ("1.5 * * * *", 0..3, "1.5"),
        ("0x1 * * * *", 0..3, "0x1"),
        ("~ * * * *", 0..1, "~"),
        ("H * * * *", 0..1, "H"),
    ] {
        let message = format!(
            "cannot read `{item}` in the minute field, expected 0 to 59 as `*`, a value, a range \
             or a step"
        );
        assert_refused(text, "NotUnderstood", span, &message);
    }
}

#[test]
fn e44_what_never_fires() {
    for text in ["0 0 30 2 *", "0 0 31 4 *", "0 0 0 29 2 ? 2027"] {
        let message = "never fires, no date has this day, month and year";
        assert_refused(text, "NeverFires", 0..text.len(), message);
    }
    assert!(
        Schedule::parse("0 0 30 2 1").is_ok(),
        "the Mondays in February are enough"
    );
}

#[test]
fn e45_29_february_is_accepted_and_explained() {
    let schedule = Schedule::parse("0 0 29 2 *").unwrap();
    assert!(
        schedule.explain().contains("in leap years only"),
        "{}",
        schedule.explain()
    );
    let next = schedule
        .next_after("2026-01-01T00:00:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(next.to_string(), "2028-02-29T00:00:00Z");
}

#[test]
fn e46_unknown_names_are_answered_with_the_list() {
    let weekdays = "in the day-of-week field, expected SUN, MON, TUE, WED, THU, FRI, SAT";
    let months = "in the month field, expected JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, \
                  NOV, DEC";
    for (text, span, name, rest) in [
        ("* * * * MON-FOO", 12..15, "FOO", weekdays),
        ("* * * * Mond", 8..12, "Mond", weekdays),
        ("* * * * JAN", 8..11, "JAN", weekdays),
        ("* * * * XYZ#2", 8..11, "XYZ", weekdays),
        ("* * * Janu *", 6..10, "Janu", months),
        ("* * * JAN,MON *", 10..13, "MON", months),
    ] {
        assert_refused(
            text,
            "UnknownName",
            span,
            &format!("unknown name `{name}` {rest}"),
        );
    }
}

#[test]
fn e47_reboot_and_unknown_nicknames() {
    let message = "`@reboot` is not supported, a cluster as a whole does not boot";
    assert_refused("@reboot", "Reboot", 0..7, message);
    assert_refused(" @REBOOT", "Reboot", 1..8, message);
    assert_refused(
        "@dayly",
        "UnknownNickname",
        0..6,
        "unknown nickname `@dayly`, expected one of @yearly, @annually, @monthly, @weekly, \
         @daily, @midnight, @hourly, @every, @after",
    );
    assert_refused(
        "@daily 5",
        "Surplus",
        7..8,
        "unexpected `5` behind a nickname",
    );
}

#[test]
fn e48_the_dialect_is_documented_or_refused_and_never_ignored() {
    for text in [
        "0 0 * * 7",
        "0 0 * * SUN-MON",
        "0 0 L * *",
        "0 0 15W,L * *",
        "0 0 * * FRIL",
    ] {
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
    let days =
        "expected 1 to 31 as `*`, a value, a range or a step, `?`, `L`, `L-3`, `LW` or `15W`";
    let weekdays = "expected 0 to 7 as `*`, a value, a range or a step, `?`, `5#3` or `5L`";
    for (text, span, item, field, forms) in [
        ("0 0 W * *", 4..5, "W", Field::DayOfMonth, days),
        ("0 0 L- * *", 6..6, "", Field::DayOfMonth, days),
        ("0 0 5L * *", 4..6, "5L", Field::DayOfMonth, days),
        ("0 0 1-5W * *", 4..7, "1-5", Field::DayOfMonth, days),
        ("0 0 L/2 * *", 4..5, "L", Field::DayOfMonth, days),
        ("0 0 ?,1 * *", 4..5, "?", Field::DayOfMonth, days),
        ("0 0 ?/2 * *", 4..5, "?", Field::DayOfMonth, days),
        ("0 0 * * L", 8..9, "L", Field::DayOfWeek, weekdays),
        ("0 0 * * #6", 8..10, "#6", Field::DayOfWeek, weekdays),
        ("0 0 * * 5#", 8..10, "5#", Field::DayOfWeek, weekdays),
        ("0 0 * * 5#x", 10..11, "x", Field::DayOfWeek, weekdays),
        ("0 0 * * 1-5L", 8..11, "1-5", Field::DayOfWeek, weekdays),
    ] {
        let message = format!("cannot read `{item}` in the {field} field, {forms}");
        assert_refused(text, "NotUnderstood", span, &message);
    }
    for (text, span, symbol, field) in [
        ("L * * * *", 0..1, 'L', Field::Minute),
        ("* 5W * * *", 2..4, 'W', Field::Hour),
        ("? * * * *", 0..1, '?', Field::Minute),
        ("* * * L *", 6..7, 'L', Field::Month),
        ("* * 5#3 * *", 4..7, '#', Field::DayOfMonth),
        ("* * * * 15W", 8..11, 'W', Field::DayOfWeek),
        ("* +5 * * *", 2..4, '+', Field::Hour),
        ("* * +5 * *", 4..6, '+', Field::DayOfMonth),
    ] {
        let error = Schedule::parse(text).expect_err(text);
        assert_eq!(
            error.kind(),
            &Kind::SymbolNotHere { field, symbol },
            "{text}"
        );
        assert_eq!(error.span(), span, "{text}");
    }
}

#[test]
fn e49_zones() {
    for name in ["Mars/Base", "EST5EDT", "+25:00", ""] {
        let error = Zone::parse(name).unwrap_err();
        let message = format!("unknown time zone `{name}`, expected an iana name or UTC");
        assert_eq!(error.to_string(), message);
        assert!(error.help().is_some(), "{name}");
    }
}

#[test]
fn e50_intervals_have_a_shortest_and_a_longest() {
    for (text, span, value) in [
        ("@every 1ms", 7..10, "1ms"),
        ("@every 99ms", 7..11, "99ms"),
        ("@every 0s", 7..9, "0s"),
        ("@every -5s", 7..10, "-5s"),
        ("@every 100.5ms", 7..14, "100.5ms"),
        ("@every 8766000h", 7..15, "8766000h"),
        ("@every 87661h", 7..13, "87661h"),
    ] {
        let message =
            format!("interval `{value}` must be 100ms to 87660h (10 years), in whole milliseconds");
        assert_refused(text, "IntervalOutOfRange", span, &message);
    }
    for (text, span, value) in [
        ("@every", 6..6, ""),
        ("@every 1000 years", 7..17, "1000 years"),
        ("@every 1d", 7..9, "1d"),
        ("@every soon", 7..11, "soon"),
        ("@every 90", 7..9, "90"),
    ] {
        let message =
            format!("cannot read interval `{value}`, expected a duration such as 90s or 2h30m");
        assert_refused(text, "Interval", span, &message);
    }
    for period in [
        Duration::ZERO,
        Duration::from_millis(99),
        Duration::from_micros(100_500),
        Duration::from_secs(1000 * 365 * 86_400),
        Duration::MAX,
    ] {
        let error = Schedule::every(period).unwrap_err();
        assert_eq!(name_of(error.kind()), "IntervalOutOfRange", "{period:?}");
    }
    assert!(Schedule::every(Duration::from_millis(100)).is_ok());
    assert!(Schedule::every(Duration::from_secs(87_660 * 3600)).is_ok());
}

#[test]
fn e51_long_texts_and_strange_characters() {
    let long = format!("{} * * * *", "1,".repeat(5_000));
    let error = Schedule::parse(&long).unwrap_err();
    assert_eq!(error.kind(), &Kind::TooLong { length: long.len() });
    assert_eq!(error.to_string(), "text of 10008 bytes is longer than 1024");
    assert_eq!((error.text().len(), error.span()), (1024, 0..1024));
    let wide = "é".repeat(600);
    assert_eq!(
        Schedule::parse(&wide).unwrap_err().text().len(),
        1024,
        "cut between characters"
    );
    let full = format!("{}5 * * * *", "0,".repeat(507));
    assert_eq!(full.len(), 1023);
    assert!(Schedule::parse(&full).is_ok());

    for (text, span, found) in [
        ("٣ * * * *", 0..2, r"\u{663}"),
        ("１ * * * *", 0..3, r"\u{ff11}"),
        ("0 0 * * *\0", 9..10, r"\u{0}"),
        ("0 0 *\n* *", 5..6, r"\n"),
        ("0\u{a0}0 * * *", 1..3, r"\u{a0}"),
        ("0 0 * * \u{1b}[31m", 8..9, r"\u{1b}"),
        ("\u{feff}0 0 * * *", 0..3, r"\u{feff}"),
    ] {
        let message = format!("character `{found}` is not allowed, only printable ascii is");
        assert_refused(text, "Character", span, &message);
    }
}

#[test]
fn messages_stay_on_one_short_line_and_show_no_control_characters() {
    let long = format!("{} * * * *", "x".repeat(500));
    let message = Schedule::parse(&long).unwrap_err().to_string();
    assert!(
        message.contains(&format!("`{}…`", "x".repeat(80))),
        "{message}"
    );
    let message = Zone::parse("Europe/\u{1b}[2J\n\u{202e}Berlin")
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        r"unknown time zone `Europe/\u{1b}[2J\n\u{202e}Berlin`, expected an iana name or UTC"
    );
}

#[test]
fn errors_are_ordinary_errors() {
    fn is_error<T: std::error::Error + Send + Sync + Clone + 'static>(_: &T) {}
    let error: ScheduleError = "x".parse::<Schedule>().unwrap_err();
    is_error(&error);
    assert!(size_of::<ScheduleError>() <= 64);
}
