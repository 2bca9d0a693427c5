//! The English dialect: what each sentence means in crontab's words, and what is refused because
//! people read it in two ways.

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
use tenure_schedule::{Dialect, DstGap, DstOverlap, Schedule, ScheduleErrorKind as Kind, Zone};

fn english(text: &str) -> Schedule {
    Schedule::parse_as(Dialect::English, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn s06_each_sentence_means_the_same_as_a_crontab() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    for (text, crontab) in [
        ("every 5 minutes", "@every 5m"),
        ("Every minute", "@every 1m"),
        ("every 90 seconds", "@every 90s"),
        ("every 500 milliseconds", "@every 500ms"),
        ("every hour", "@every 1h"),
        ("every 1 hour", "@every 1h"),
        ("every 48 hours", "@every 48h"),
        ("every day at 03:00", "0 3 * * *"),
        ("every day at 3am", "0 3 * * *"),
        ("every day at 3 pm", "0 15 * * *"),
        ("every day at 5:30pm", "30 17 * * *"),
        ("every day at 11:59:30 PM", "30 59 23 * * *"),
        ("every day at 0:05", "5 0 * * *"),
        ("every day at noon", "0 12 * * *"),
        ("every day at noon and midnight", "0 0,12 * * *"),
        ("every day at 9am, 1pm, and 5pm", "0 9,13,17 * * *"),
        (
            "every day at 09:15, 09:45, 17:15 and 17:45",
            "15,45 9,17 * * *",
        ),
        ("every monday at 9am", "0 9 * * 1"),
        ("every mondays at 9am", "0 9 * * 1"),
        ("every Mon, Wed and Fri at 09:30", "30 9 * * 1,3,5"),
        ("every monday to friday at 09:00", "0 9 * * 1-5"),
        ("every weekday at 09:00", "0 9 * * 1-5"),
        ("every friday through monday at 22:00", "0 22 * * 5-1"),
        ("every saturday and sunday at noon in june to", ""),
        (
            "every saturday and sunday at noon in june and july",
            "0 12 * 6,7 6,0",
        ),
        ("every month on the 1st at 00:00", "0 0 1 * *"),
        ("every month on the 1st and 15th at 6am", "0 6 1,15 * *"),
        (
            "every month on the 2nd, 3rd, the 22nd and the 31st at 6am",
            "0 6 2,3,22,31 * *",
        ),
        ("every month on the last day at 23:30", "30 23 L * *"),
        ("every month on the first monday at 9am", "0 9 * * 1#1"),
        (
            "every month on the second tuesday and last friday at 9am",
            "0 9 * * 2#2,5L",
        ),
        (
            "every month on the 1st and last friday at 9am",
            "0 9 1 * 5L",
        ),
        (
            "every month on the 1st at 6am in january, april, july and october",
            "0 6 1 1,4,7,10 *",
        ),
        ("every year on march 1 at 06:00", "0 6 1 3 *"),
        ("every year on 1st March at 06:00", "0 6 1 3 *"),
        ("every 15 minutes between 9 and 17", "*/15 9-16 * * *"),
        ("every 15 minutes between 9am and 5pm", "*/15 9-16 * * *"),
        (
            "every 15 minutes between 09:00 and 17:00 on weekdays",
            "*/15 9-16 * * 1-5",
        ),
        (
            "every 20 minutes between 22:00 and 06:00",
            "*/20 22-23,0-5 * * *",
        ),
        ("every 30 minutes between 18 and 24", "*/30 18-23 * * *"),
        (
            "every 30 minutes on saturdays and sundays",
            "*/30 * * * 6,0",
        ),
        (
            "every 10 seconds between 9 and 10 on monday",
            "*/10 * 9-9/1 * * 1",
        ),
        ("every 2 hours between 9 and 17", "0 9-16/2 * * *"),
        ("every hour between 9 and 17", "0 9-16/1 * * *"),
        ("every 6 hours on monday in may", "0 */6 * 5 1"),
        ("-", "-"),
    ] {
        let parsed = Schedule::parse_as_in(Dialect::English, text, &berlin);
        if crontab.is_empty() {
            assert!(parsed.is_err(), "{text}");
            continue;
        }
        let ours = parsed.unwrap_or_else(|error| panic!("{text}: {error}"));
        let theirs = Schedule::parse_in(crontab, &berlin).unwrap();
        assert_eq!(ours.explain(), theirs.explain(), "{text}");
        assert_eq!(ours.is_interval_like(), theirs.is_interval_like(), "{text}");
        for near in [
            "2026-01-01T00:00:00Z",
            "2026-03-28T20:00:00Z",
            "2026-10-24T20:00:00Z",
        ] {
            let near: Timestamp = near.parse().unwrap();
            let ticks =
                |schedule: &Schedule| -> Vec<_> { schedule.ticks_after(near).take(40).collect() };
            assert_eq!(ticks(&ours), ticks(&theirs), "{text} after {near}");
        }
    }
}

#[test]
fn s07_what_people_read_in_two_ways_is_refused_with_both_ways_to_say_it() {
    for (text, place, reason) in [
        (
            "every day at 9",
            "9",
            "it could be in the morning or in the evening",
        ),
        (
            "every day at 12am",
            "12am",
            "people read 12am and 12pm in both ways",
        ),
        (
            "every day at 12:30 pm",
            "12:30 pm",
            "people read 12am and 12pm in both ways",
        ),
        ("every 2 days", "2 days", "from which day on"),
        ("every 3 days at 09:00", "3 days", "from which day on"),
        ("every other day at 09:00", "other", "from which one on"),
        ("every week", "week", "on which day"),
        ("every 2 weeks", "2 weeks", "on which day"),
        ("every fortnight at 9am", "fortnight", "from which week on"),
        (
            "every 3 months on the 1st at 9am",
            "3 months",
            "from which one on",
        ),
        ("every weekend at 9am", "weekend", "one day or two"),
        (
            "every second monday at 9am",
            "second",
            "the second one of each month",
        ),
        (
            "every third friday at 9am",
            "third",
            "it does not say of what",
        ),
        (
            "every 15 minutes between 9 and 5",
            "9 and 5",
            "the end is before the beginning",
        ),
        (
            "every 15 minutes between 9 and 9",
            "9 and 9",
            "it says no hour, or all of them",
        ),
        (
            "every 7 minutes between 9 and 17",
            "7 minutes",
            "it does not divide",
        ),
        ("every 5 hours on monday", "5 hours", "it does not divide"),
        (
            "every 90 minutes on monday",
            "90 minutes",
            "it does not divide",
        ),
        (
            "every 500 milliseconds on monday",
            "500 milliseconds",
            "it does not divide",
        ),
        (
            "every day at 09:00 and 17:30",
            "09:00 and 17:30",
            "one schedule has the same minutes in each of its hours",
        ),
    ] {
        let error = Schedule::parse_as(Dialect::English, text).expect_err(text);
        assert!(
            matches!(error.kind(), Kind::RefusedByDialect { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert_eq!(&error.text()[error.span()], place, "{text}");
        assert!(error.help().is_some(), "{text}");
    }
}

#[test]
fn s07_what_is_no_sentence_is_refused_with_its_place() {
    for (text, place, message) in [
        ("", "", "expected `every`, as in"),
        ("daily", "daily", "expected `every`, as in"),
        ("every", "", "cannot read `` as what comes after `every`"),
        ("every 5", "", "cannot read `` as a unit"),
        ("every 5 moons", "moons", "cannot read `moons` as a unit"),
        ("every day", "", "expected `at`, and a time such as"),
        (
            "every monday 9am",
            "9am",
            "expected `at`, and a time such as",
        ),
        (
            "every funday at 9am",
            "funday",
            "cannot read `funday` as days",
        ),
        ("every month at 9am", "at", "expected `on the`, and a day"),
        (
            "every month on 1st at 9am",
            "1st",
            "expected `the`, and a day",
        ),
        (
            "every month on the 32nd at 9am",
            "32nd",
            "cannot read `32nd` as a day",
        ),
        (
            "every month on the 1th at 9am",
            "1th",
            "cannot read `1th` as a day",
        ),
        (
            "every month on the first at 9am",
            "at",
            "for a date write `1st`",
        ),
        (
            "every year on march at 9am",
            "at",
            "cannot read `at` as a day",
        ),
        (
            "every year on march 32 at 9am",
            "32",
            "cannot read `32` as a day",
        ),
        (
            "every year on 30 february at 9am",
            "every year on 30 february at 9am",
            "never fires",
        ),
        (
            "every day at 24:00",
            "24:00",
            "cannot read `24:00` as a time",
        ),
        ("every day at 9:5", "9:5", "cannot read `9:5` as a time"),
        ("every day at 13pm", "13pm", "cannot read `13pm` as a time"),
        (
            "every day at 9am tomorrow",
            "tomorrow",
            "cannot read `tomorrow` as the end",
        ),
        (
            "every day at 9am in smarch",
            "smarch",
            "cannot read `smarch` as a month",
        ),
        (
            "every 15 minutes between 9:30 and 17",
            "9:30",
            "cannot read `9:30` as an hour",
        ),
        (
            "every 15 minutes between 9 to 17",
            "to",
            "expected `and`, and the end",
        ),
        (
            "every 15 minutes between 9 and 25",
            "25",
            "cannot read `25` as an hour",
        ),
        (
            "every 50 milliseconds",
            "50 milliseconds",
            "must be 100ms to",
        ),
        (
            "every 99999999999999999999 hours",
            "99999999999999999999 hours",
            "must be 100ms to",
        ),
    ] {
        let error = Schedule::parse_as(Dialect::English, text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(&error.text()[error.span()], place, "{text}");
    }
}

#[test]
fn s20_the_text_says_its_dialect() {
    let schedule = english("every monday at 9am");
    assert_eq!(schedule.text(), "english: every monday at 9am");
    assert_eq!(
        Schedule::parse("english:every monday at 9am")
            .unwrap()
            .explain(),
        schedule.explain()
    );
    assert_eq!(schedule.dialect(), Dialect::English);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn s02_a_window_is_what_walking_over_the_translated_fields_finds(
        days in select(&[
            ("day", "*"), ("weekday", "1-5"), ("sunday and wednesday", "0,3"),
            ("friday to monday", "5-1"), ("tue", "2"),
        ][..]),
        hours in prop::collection::btree_set(0..24_u8, 1..4),
        minute in 0..60_u8,
        months in select(&[("", "*"), (" in march and october", "3,10")][..]),
        zone in select(&["UTC", "Europe/Berlin", "Australia/Lord_Howe"][..]),
        policy in select(&[
            (DstGap::RunAfter, DstOverlap::First),
            (DstGap::Skip, DstOverlap::Both),
            (DstGap::RunAfter, DstOverlap::Last),
        ][..]),
        start in 0_i64..7_258_118_400,
    ) {
        let times: Vec<String> = hours.iter().map(|hour| format!("{hour}:{minute:02}")).collect();
        let text = format!("every {} at {}{}", days.0, times.join(" and "), months.0);
        let hours: Vec<String> = hours.iter().map(ToString::to_string).collect();
        let fields = Fields {
            second: "0".to_owned(),
            minute: minute.to_string(),
            hour: hours.join(","),
            day: "*".to_owned(),
            month: months.1.to_owned(),
            weekday: days.1.to_owned(),
            year: "*".to_owned(),
        };
        let place = Zone::parse(zone).unwrap();
        let schedule = Schedule::parse_as_in(Dialect::English, &text, &place).unwrap();
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
    fn s07_no_words_make_reading_panic(
        words in prop::collection::vec(
            concat!(
                "(every|day|at|on|the|and|,|between|in|month|year|last|first|monday|march|noon|9",
                "|9am|12|09:00|am|to|minutes|hours|1st|,9,)"
            ),
            0..12,
        ),
    ) {
        let text = format!("every {}", words.join(" "));
        match Schedule::parse_as(Dialect::English, &text) {
            Ok(schedule) => {
                prop_assert!(!schedule.explain().is_empty());
                prop_assert_eq!(&Schedule::parse(schedule.text()).unwrap(), &schedule);
            }
            Err(error) => prop_assert!(error.text().get(error.span()).is_some()),
        }
    }
}
