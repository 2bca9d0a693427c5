//! The systemd dialect: the examples of its manual page with what `systemd-analyze calendar`
//! (version 252) says they mean, its refusals, and the walk of the slow reference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

mod reference;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use reference::Fields;
use tenure_schedule::{Dialect, DstGap, DstOverlap, Schedule, Zone};

fn systemd(text: &str) -> Schedule {
    Schedule::parse_as(Dialect::Systemd, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn ticks(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let after: Timestamp = after.parse().unwrap();
    let found: Vec<Timestamp> = schedule.ticks_after(after).take(count).collect();
    found.iter().map(ToString::to_string).collect()
}

/// A text, its normal form, and its first ticks after the start of 2012, as systemd says.
const OF_SYSTEMD: &[(&str, &str, &str)] = &[
    (
        "Thu,Fri 2012-*-1,5 11:12:13",
        "Thu,Fri 2012-*-01,05 11:12:13",
        "2012-01-05T11:12:13Z 2012-03-01T11:12:13Z 2012-04-05T11:12:13Z 2012-06-01T11:12:13Z",
    ),
    (
        "Sat,Thu,Mon..Wed,Sat..Sun",
        "Mon..Thu,Sat,Sun *-*-* 00:00:00",
        "2012-01-02T00:00:00Z 2012-01-03T00:00:00Z 2012-01-04T00:00:00Z 2012-01-05T00:00:00Z",
    ),
    (
        "Mon,Sun 12-*-* 2,1:23",
        "Mon,Sun 2012-*-* 01,02:23:00",
        "2012-01-01T01:23:00Z 2012-01-01T02:23:00Z 2012-01-02T01:23:00Z 2012-01-02T02:23:00Z",
    ),
    (
        "Wed *-1",
        "Wed *-*-01 00:00:00",
        "2012-02-01T00:00:00Z 2012-08-01T00:00:00Z 2013-05-01T00:00:00Z 2014-01-01T00:00:00Z",
    ),
    (
        "Wed..Wed,Wed *-1",
        "Wed *-*-01 00:00:00",
        "2012-02-01T00:00:00Z 2012-08-01T00:00:00Z 2013-05-01T00:00:00Z 2014-01-01T00:00:00Z",
    ),
    (
        "Wed, 17:48",
        "Wed *-*-* 17:48:00",
        "2012-01-04T17:48:00Z 2012-01-11T17:48:00Z 2012-01-18T17:48:00Z 2012-01-25T17:48:00Z",
    ),
    (
        "Wed..Sat,Tue 12-10-15 1:2:3",
        "Tue..Sat 2012-10-15 01:02:03",
        "",
    ),
    (
        "*-*-7 0:0:0",
        "*-*-07 00:00:00",
        "2012-01-07T00:00:00Z 2012-02-07T00:00:00Z 2012-03-07T00:00:00Z 2012-04-07T00:00:00Z",
    ),
    (
        "10-15",
        "*-10-15 00:00:00",
        "2012-10-15T00:00:00Z 2013-10-15T00:00:00Z 2014-10-15T00:00:00Z 2015-10-15T00:00:00Z",
    ),
    (
        "monday *-12-* 17:00",
        "Mon *-12-* 17:00:00",
        "2012-12-03T17:00:00Z 2012-12-10T17:00:00Z 2012-12-17T17:00:00Z 2012-12-24T17:00:00Z",
    ),
    (
        "Mon,Fri *-*-3,1,2 *:30:45",
        "Mon,Fri *-*-01,02,03 *:30:45",
        "2012-01-02T00:30:45Z 2012-01-02T01:30:45Z 2012-01-02T02:30:45Z 2012-01-02T03:30:45Z",
    ),
    (
        "12,14,13,12:20,10,30",
        "*-*-* 12,13,14:10,20,30:00",
        "2012-01-01T12:10:00Z 2012-01-01T12:20:00Z 2012-01-01T12:30:00Z 2012-01-01T13:10:00Z",
    ),
    (
        "12..14:10,20,30",
        "*-*-* 12..14:10,20,30:00",
        "2012-01-01T12:10:00Z 2012-01-01T12:20:00Z 2012-01-01T12:30:00Z 2012-01-01T13:10:00Z",
    ),
    (
        "mon,fri *-1/2-1,3 *:30:45",
        "Mon,Fri *-01/2-01,03 *:30:45",
        "2012-09-03T00:30:45Z 2012-09-03T01:30:45Z 2012-09-03T02:30:45Z 2012-09-03T03:30:45Z",
    ),
    (
        "03-05 08:05:40",
        "*-03-05 08:05:40",
        "2012-03-05T08:05:40Z 2013-03-05T08:05:40Z 2014-03-05T08:05:40Z 2015-03-05T08:05:40Z",
    ),
    (
        "08:05:40",
        "*-*-* 08:05:40",
        "2012-01-01T08:05:40Z 2012-01-02T08:05:40Z 2012-01-03T08:05:40Z 2012-01-04T08:05:40Z",
    ),
    (
        "05:40",
        "*-*-* 05:40:00",
        "2012-01-01T05:40:00Z 2012-01-02T05:40:00Z 2012-01-03T05:40:00Z 2012-01-04T05:40:00Z",
    ),
    (
        "Sat,Sun 12-05 08:05:40",
        "Sat,Sun *-12-05 08:05:40",
        "2015-12-05T08:05:40Z 2020-12-05T08:05:40Z 2021-12-05T08:05:40Z 2026-12-05T08:05:40Z",
    ),
    (
        "Sat,Sun 08:05:40",
        "Sat,Sun *-*-* 08:05:40",
        "2012-01-01T08:05:40Z 2012-01-07T08:05:40Z 2012-01-08T08:05:40Z 2012-01-14T08:05:40Z",
    ),
    (
        "2013-03-05 05:40",
        "2013-03-05 05:40:00",
        "2013-03-05T05:40:00Z",
    ),
    (
        "2013-02..04-05",
        "2013-02..04-05 00:00:00",
        "2013-02-05T00:00:00Z 2013-03-05T00:00:00Z 2013-04-05T00:00:00Z",
    ),
    (
        "2013-03-05 05:40 UTC",
        "2013-03-05 05:40:00 UTC",
        "2013-03-05T05:40:00Z",
    ),
    ("2013-03-05", "2013-03-05 00:00:00", "2013-03-05T00:00:00Z"),
    (
        "03-05",
        "*-03-05 00:00:00",
        "2012-03-05T00:00:00Z 2013-03-05T00:00:00Z 2014-03-05T00:00:00Z 2015-03-05T00:00:00Z",
    ),
    (
        "hourly",
        "*-*-* *:00:00",
        "2012-01-01T01:00:00Z 2012-01-01T02:00:00Z 2012-01-01T03:00:00Z 2012-01-01T04:00:00Z",
    ),
    (
        "daily",
        "*-*-* 00:00:00",
        "2012-01-02T00:00:00Z 2012-01-03T00:00:00Z 2012-01-04T00:00:00Z 2012-01-05T00:00:00Z",
    ),
    (
        "daily UTC",
        "*-*-* 00:00:00 UTC",
        "2012-01-02T00:00:00Z 2012-01-03T00:00:00Z 2012-01-04T00:00:00Z 2012-01-05T00:00:00Z",
    ),
    (
        "monthly",
        "*-*-01 00:00:00",
        "2012-02-01T00:00:00Z 2012-03-01T00:00:00Z 2012-04-01T00:00:00Z 2012-05-01T00:00:00Z",
    ),
    (
        "weekly",
        "Mon *-*-* 00:00:00",
        "2012-01-02T00:00:00Z 2012-01-09T00:00:00Z 2012-01-16T00:00:00Z 2012-01-23T00:00:00Z",
    ),
    (
        "weekly Pacific/Auckland",
        "Mon *-*-* 00:00:00 Pacific/Auckland",
        "2012-01-01T11:00:00Z 2012-01-08T11:00:00Z 2012-01-15T11:00:00Z 2012-01-22T11:00:00Z",
    ),
    (
        "yearly",
        "*-01-01 00:00:00",
        "2013-01-01T00:00:00Z 2014-01-01T00:00:00Z 2015-01-01T00:00:00Z 2016-01-01T00:00:00Z",
    ),
    (
        "annually",
        "*-01-01 00:00:00",
        "2013-01-01T00:00:00Z 2014-01-01T00:00:00Z 2015-01-01T00:00:00Z 2016-01-01T00:00:00Z",
    ),
    (
        "*:2/3",
        "*-*-* *:02/3:00",
        "2012-01-01T00:02:00Z 2012-01-01T00:05:00Z 2012-01-01T00:08:00Z 2012-01-01T00:11:00Z",
    ),
    (
        "minutely",
        "*-*-* *:*:00",
        "2012-01-01T00:01:00Z 2012-01-01T00:02:00Z 2012-01-01T00:03:00Z 2012-01-01T00:04:00Z",
    ),
    (
        "quarterly",
        "*-01,04,07,10-01 00:00:00",
        "2012-04-01T00:00:00Z 2012-07-01T00:00:00Z 2012-10-01T00:00:00Z 2013-01-01T00:00:00Z",
    ),
    (
        "semiannually",
        "*-01,07-01 00:00:00",
        "2012-07-01T00:00:00Z 2013-01-01T00:00:00Z 2013-07-01T00:00:00Z 2014-01-01T00:00:00Z",
    ),
    (
        "biannually",
        "*-01,07-01 00:00:00",
        "2012-07-01T00:00:00Z 2013-01-01T00:00:00Z 2013-07-01T00:00:00Z 2014-01-01T00:00:00Z",
    ),
    (
        "semi-annually",
        "*-01,07-01 00:00:00",
        "2012-07-01T00:00:00Z 2013-01-01T00:00:00Z 2013-07-01T00:00:00Z 2014-01-01T00:00:00Z",
    ),
    (
        "Mon..Fri *-*-* 10:00:00",
        "Mon..Fri *-*-* 10:00:00",
        "2012-01-02T10:00:00Z 2012-01-03T10:00:00Z 2012-01-04T10:00:00Z 2012-01-05T10:00:00Z",
    ),
    (
        "*-02~03",
        "*-02~03 00:00:00",
        "2012-02-27T00:00:00Z 2013-02-26T00:00:00Z 2014-02-26T00:00:00Z 2015-02-26T00:00:00Z",
    ),
    (
        "Mon *-05~07/1",
        "Mon *-05~07/1 00:00:00",
        "2012-05-28T00:00:00Z 2013-05-27T00:00:00Z 2014-05-26T00:00:00Z 2015-05-25T00:00:00Z",
    ),
    (
        "*-*~1",
        "*-*~01 00:00:00",
        "2012-01-31T00:00:00Z 2012-02-29T00:00:00Z 2012-03-31T00:00:00Z 2012-04-30T00:00:00Z",
    ),
    (
        "*-*~1..3",
        "*-*~01..03 00:00:00",
        "2012-01-29T00:00:00Z 2012-01-30T00:00:00Z 2012-01-31T00:00:00Z 2012-02-27T00:00:00Z",
    ),
    (
        "*-*~10/3",
        "*-*~10/3 00:00:00",
        "2012-01-22T00:00:00Z 2012-01-25T00:00:00Z 2012-01-28T00:00:00Z 2012-01-31T00:00:00Z",
    ),
    (
        "*-*~1..6/2",
        "*-*~01..05/2 00:00:00",
        "2012-01-27T00:00:00Z 2012-01-29T00:00:00Z 2012-01-31T00:00:00Z 2012-02-25T00:00:00Z",
    ),
    (
        "Mon *-*-01..07 09:00",
        "Mon *-*-01..07 09:00:00",
        "2012-01-02T09:00:00Z 2012-02-06T09:00:00Z 2012-03-05T09:00:00Z 2012-04-02T09:00:00Z",
    ),
    (
        "*-*-31",
        "*-*-31 00:00:00",
        "2012-01-31T00:00:00Z 2012-03-31T00:00:00Z 2012-05-31T00:00:00Z 2012-07-31T00:00:00Z",
    ),
    (
        "*-02-29 12:00",
        "*-02-29 12:00:00",
        "2012-02-29T12:00:00Z 2016-02-29T12:00:00Z 2020-02-29T12:00:00Z 2024-02-29T12:00:00Z",
    ),
    (
        "*-*-* 00:00:00 Europe/Berlin",
        "*-*-* 00:00:00 Europe/Berlin",
        "2012-01-01T23:00:00Z 2012-01-02T23:00:00Z 2012-01-03T23:00:00Z 2012-01-04T23:00:00Z",
    ),
    (
        "Mon..Wed,Fri 10:00 Asia/Kolkata",
        "Mon..Wed,Fri *-*-* 10:00:00 Asia/Kolkata",
        "2012-01-02T04:30:00Z 2012-01-03T04:30:00Z 2012-01-04T04:30:00Z 2012-01-06T04:30:00Z",
    ),
    (
        "1..5/4:00",
        "*-*-* 01..05/4:00:00",
        "2012-01-01T01:00:00Z 2012-01-01T05:00:00Z 2012-01-02T01:00:00Z 2012-01-02T05:00:00Z",
    ),
    (
        "20/3:00",
        "*-*-* 20/3:00:00",
        "2012-01-01T20:00:00Z 2012-01-01T23:00:00Z 2012-01-02T20:00:00Z 2012-01-02T23:00:00Z",
    ),
    (
        "*-1..6/2-1",
        "*-01..05/2-01 00:00:00",
        "2012-03-01T00:00:00Z 2012-05-01T00:00:00Z 2013-01-01T00:00:00Z 2013-03-01T00:00:00Z",
    ),
    (
        "2013..2030/2-1-1",
        "2013..2029/2-01-01 00:00:00",
        "2013-01-01T00:00:00Z 2015-01-01T00:00:00Z 2017-01-01T00:00:00Z 2019-01-01T00:00:00Z",
    ),
    (
        "Mon-Fri 10:00",
        "Mon..Fri *-*-* 10:00:00",
        "2012-01-02T10:00:00Z 2012-01-03T10:00:00Z 2012-01-04T10:00:00Z 2012-01-05T10:00:00Z",
    ),
    (
        "*:*:0/7",
        "*-*-* *:*:00/7",
        "2012-01-01T00:00:07Z 2012-01-01T00:00:14Z 2012-01-01T00:00:21Z 2012-01-01T00:00:28Z",
    ),
    (
        "1/2:*",
        "*-*-* 01/2:*:00",
        "2012-01-01T01:00:00Z 2012-01-01T01:01:00Z 2012-01-01T01:02:00Z 2012-01-01T01:03:00Z",
    ),
    (
        "Sun *-*~7/1 23:30",
        "Sun *-*~07/1 23:30:00",
        "2012-01-29T23:30:00Z 2012-02-26T23:30:00Z 2012-03-25T23:30:00Z 2012-04-29T23:30:00Z",
    ),
];

#[test]
fn s01_the_examples_of_the_manual_are_due_when_systemd_says() {
    for (text, normal, expected) in OF_SYSTEMD {
        if expected.is_empty() {
            // Systemd accepts a date that is never one of the weekdays.
            let error = Schedule::parse_as(Dialect::Systemd, text).unwrap_err();
            assert!(
                error.to_string().starts_with("never fires"),
                "{text}: {error}"
            );
            continue;
        }
        let expected: Vec<&str> = expected.split(' ').collect();
        let count = expected.len();
        assert_eq!(
            ticks(&systemd(text), "2012-01-01T00:00:00Z", count),
            expected,
            "{text}"
        );
        assert_eq!(
            ticks(&systemd(normal), "2012-01-01T00:00:00Z", count),
            expected,
            "{normal}"
        );
    }
}

#[test]
fn s13_seconds_have_fractions_down_to_the_millisecond() {
    assert_eq!(
        ticks(&systemd("05:40:23.4200004/3.17"), "2012-01-01T00:00:00Z", 3),
        [
            "2012-01-01T05:40:23.42Z",
            "2012-01-01T05:40:26.59Z",
            "2012-01-01T05:40:29.76Z"
        ]
    );
    assert_eq!(
        ticks(&systemd("*:*:1.5..3"), "2012-01-01T00:00:00Z", 3),
        [
            "2012-01-01T00:00:01.5Z",
            "2012-01-01T00:00:02.5Z",
            "2012-01-01T00:01:01.5Z"
        ]
    );
    let quarter = systemd("*:*:0/0.25");
    assert_eq!(
        ticks(&quarter, "2012-01-01T00:00:59.5Z", 3),
        [
            "2012-01-01T00:00:59.75Z",
            "2012-01-01T00:01:00Z",
            "2012-01-01T00:01:00.25Z"
        ]
    );
    assert!(quarter.warnings().is_empty());
    let start: Timestamp = "2012-01-01T00:00:00Z".parse().unwrap();
    let end = start.checked_add(SignedDuration::from_secs(3600)).unwrap();
    assert_eq!(quarter.ticks_between(start, end).count(), 4 * 3600);
    assert_eq!(quarter.ticks_between(start, end).rev().count(), 4 * 3600);
    assert_eq!(
        systemd("10:00:01.5").explain(),
        "at second 1.500 of the minute, at 10:00:01, in UTC"
    );
    let dense = systemd("*:*:0/0.05");
    assert_eq!(
        dense.warnings()[0].message(),
        "ticks less than 100 milliseconds apart"
    );
    assert_eq!(&dense.text()[dense.warnings()[0].span()], "0/0.05");
}

#[test]
fn s19_a_zone_in_the_text_counts_and_must_not_contradict_the_one_beside_it() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let written = systemd("daily Europe/Berlin");
    assert_eq!(written.zone(), &berlin);
    assert_eq!(written.text(), "systemd: daily Europe/Berlin");
    assert_eq!(
        Schedule::parse_in(written.text(), &berlin).unwrap(),
        written
    );
    let same = Schedule::parse_as_in(Dialect::Systemd, "daily Europe/Berlin", &berlin).unwrap();
    assert_eq!(same, written);
    let lagos = Zone::parse("Africa/Lagos").unwrap();
    let error = Schedule::parse_as_in(Dialect::Systemd, "daily Europe/Berlin", &lagos).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text says `Europe/Berlin`, but its zone is given as Africa/Lagos"
    );
    assert_eq!(&error.text()[error.span()], "Europe/Berlin");
    let error = Schedule::parse_as(Dialect::Systemd, "daily Mars/Base").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown time zone `Mars/Base`, expected an iana name or UTC"
    );
    assert_eq!(&error.text()[error.span()], "Mars/Base");
    let mixed = Schedule::parse_as_in(Dialect::Systemd, "daily utc", &berlin).unwrap_err();
    assert_eq!(&mixed.text()[mixed.span()], "utc");
}

#[test]
fn s07_refusals_name_the_component_the_place_and_what_is_allowed() {
    let a_schedule = "as a calendar event in the systemd dialect, expected weekdays, a date and a \
                      time, or one of them";
    for (text, place, message) in [
        ("", "", a_schedule),
        (
            "10",
            "10",
            "cannot read `10` as a date in the systemd dialect, expected `year-month-day`",
        ),
        ("UTC", "UTC", "cannot read `UTC` as a weekday"),
        (
            "daly",
            "daly",
            "cannot read `daly` as a weekday in the systemd dialect, expected names",
        ),
        ("*/5", "*/5", "cannot read `*/5` as a date"),
        (
            "*:*/5",
            "*",
            "cannot read `*` as minute in the systemd dialect, expected `*` or 0 to 59",
        ),
        (
            "Sat..Mon",
            "Sat..Mon",
            "a range of weekdays rises from Monday to Sunday",
        ),
        ("Mon,,Tue", "", "cannot read `` as a weekday"),
        ("Mon Tue 10:00", "Tue", "cannot read `Tue` as a date"),
        ("*-*-31..2", "31..2", "a range must rise"),
        ("*:59..5", "59..5", "a range must rise"),
        ("*:0/0", "0/0", "expected a repetition of more than 0"),
        ("*-*-1/40", "1/40", "it would never repeat"),
        ("*-*~07/7", "07/7", "it would never repeat"),
        (
            "*-*~29",
            "29",
            "day from the end `29` must be 1 to 28 in the systemd dialect",
        ),
        (
            "*-13-1",
            "13",
            "month `13` must be 1 to 12 in the systemd dialect",
        ),
        (
            "*-1-0",
            "0",
            "day `0` must be 1 to 31 in the systemd dialect",
        ),
        (
            "2200-1-1",
            "2200",
            "year `2200` must be 1970 to 2199 in the systemd dialect",
        ),
        (
            "100-1-1",
            "100",
            "year `100` must be 1970 to 2199 in the systemd dialect",
        ),
        (
            "24:00",
            "24",
            "hour `24` must be 0 to 23 in the systemd dialect",
        ),
        (
            "*:*:60",
            "60",
            "second `60` must be 0 to 59 in the systemd dialect",
        ),
        (
            "*:*:59.9999999",
            "59.9999999",
            "second `59.9999999` must be 0 to 59",
        ),
        ("0:0:0.0001", "0.0001", "ticks are whole milliseconds"),
        (
            "1:2:3:4",
            "1:2:3:4",
            "expected `hour:minute` or `hour:minute:second`",
        ),
        ("1-1 10:00 5", "5", "cannot read `5` as the end"),
        ("*-02-30", "*-02-30", "never fires"),
        ("+1:00", "+1", "cannot read `+1` as hour"),
        ("10:", "", "cannot read `` as minute"),
    ] {
        let error = Schedule::parse_as(Dialect::Systemd, text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(&error.text()[error.span()], place, "{text}");
    }
}

#[test]
fn s14_gaps_and_overlaps_follow_the_same_rules() {
    let named = systemd("02:30 Europe/Berlin");
    assert_eq!(
        ticks(&named, "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert!(systemd("*:0/15").is_interval_like() && !named.is_interval_like());
    let skipped = named.with_gap(DstGap::Skip);
    assert_eq!(
        ticks(&skipped, "2026-03-28T12:00:00Z", 1),
        ["2026-03-30T00:30:00Z"]
    );
}

/// A component of systemd, and the same in the words of the reference.
fn any_component(least: u16, most: u16) -> impl Strategy<Value = (String, String)> {
    let pair = (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let item = prop_oneof![
        4 => (least..=most).prop_map(|value| (value.to_string(), value.to_string())),
        2 => pair.clone().prop_map(|(a, b)| (format!("{a}..{b}"), format!("{a}-{b}"))),
        1 => (pair, 1..=most).prop_map(|((a, b), step)| {
            (format!("{a}..{b}/{step}"), format!("{a}-{b}/{step}"))
        }),
        1 => (least..most).prop_flat_map(move |a| (Just(a), 1..=most - a)).prop_map(|(a, step)| {
            (format!("{a}/{step}"), format!("{a}/{step}"))
        }),
    ];
    let list = prop::collection::vec(item, 1..4).prop_map(|items| {
        let (ours, theirs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        (ours.join(","), theirs.join(","))
    });
    prop_oneof![3 => list, 1 => Just(("*".to_owned(), "*".to_owned()))]
}

/// Days of the month, or from its end; the reference counts those from 0.
fn any_day() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        3 => any_component(1, 31).prop_map(|(ours, theirs)| (format!("-{ours}"), theirs)),
        1 => (1..29_u8).prop_map(|back| {
            let theirs = if back == 1 { "L".to_owned() } else { format!("L-{}", back - 1) };
            (format!("~{back}"), theirs)
        }),
        1 => (2..29_u8).prop_map(|back| {
            let days: Vec<String> = (1..back).map(|back| format!("L-{back}")).collect();
            (format!("~{back}/1"), format!("L,{}", days.join(",")))
        }),
    ]
}

/// Weekdays; the reference counts from Sunday, which is 0.
fn any_weekdays() -> impl Strategy<Value = (String, String)> {
    const NAMES: [&str; 7] = ["Mon", "Tue", "wed", "Thursday", "Fri", "SAT", "Sunday"];
    let number = |day: usize| (day + 1) % 7;
    let item = prop_oneof![
        (0..7_usize).prop_map(move |day| (NAMES[day].to_owned(), number(day).to_string())),
        (0..7_usize, 0..7_usize).prop_map(move |(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            let days: Vec<String> = (a..=b).map(|day| number(day).to_string()).collect();
            (format!("{}..{}", NAMES[a], NAMES[b]), days.join(","))
        }),
    ];
    let list = prop::collection::vec(item, 1..3).prop_map(|items| {
        let (ours, theirs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        (
            format!("{} ", ours.join(",")),
            format!("+{}", theirs.join(",")),
        )
    });
    prop_oneof![1 => list, 1 => Just((String::new(), "*".to_owned()))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn s02_a_window_is_what_walking_over_the_translated_fields_finds(
        minute in any_component(0, 59),
        hour in any_component(0, 23),
        day in any_day(),
        month in any_component(1, 12),
        weekday in any_weekdays(),
        zone in select(&["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut"][..]),
        policy in select(&[
            (DstGap::RunAfter, DstOverlap::First),
            (DstGap::Skip, DstOverlap::Both),
            (DstGap::RunAfter, DstOverlap::Last),
        ][..]),
        start in 0_i64..7_258_118_400,
    ) {
        let fields = Fields {
            second: "0".to_owned(),
            minute: minute.1,
            hour: hour.1,
            day: day.1,
            month: month.1,
            weekday: weekday.1,
            year: "*".to_owned(),
        };
        let text = format!("{}*-{}{} {}:{} {zone}", weekday.0, month.0, day.0, hour.0, minute.0);
        let Ok(schedule) = Schedule::parse_as(Dialect::Systemd, &text) else {
            prop_assert!(fields.month != "*", "{}", text); // 31 April alone
            return Ok(());
        };
        let schedule = schedule.with_gap(policy.0).with_overlap(policy.1);
        let rules = TimeZone::get(zone).unwrap();
        let from = Timestamp::from_second(start).unwrap();
        let from = rules.following(from).next().filter(|_| start % 2 == 0).map_or(from, |change| {
            change.timestamp().checked_sub(SignedDuration::from_hours(30)).unwrap()
        });
        let to = from.checked_add(SignedDuration::from_hours(60)).unwrap();
        let expected = reference::ticks(&fields, &rules, policy, from, to);
        let forward: Vec<_> = schedule.ticks_between(from, to).collect();
        prop_assert_eq!(&forward, &expected, "{}", text);
        let mut backward: Vec<_> = schedule.ticks_between(from, to).rev().collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected, "{}", text);
    }

    #[test]
    fn s07_no_text_of_calendar_characters_makes_reading_panic(
        text in "((Mon|tue|daily|UTC|\\*|[0-9]{1,4}|~|-|:|\\.\\.|/|,|\\.| ){1,3}){0,12}",
    ) {
        match Schedule::parse_as(Dialect::Systemd, &text) {
            Ok(schedule) => {
                let near = Timestamp::from_second(1_774_000_000).unwrap();
                let _ = (schedule.next_after(near), schedule.previous_before(near));
                prop_assert!(!schedule.explain().is_empty());
                prop_assert_eq!(&Schedule::parse(schedule.text()).unwrap(), &schedule);
            }
            Err(error) => prop_assert!(error.text().get(error.span()).is_some()),
        }
    }
}
