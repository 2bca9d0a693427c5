//! Properties of `next`, `previous` and the enumerations, against the slow reference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

mod reference;

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use reference::Fields;
use tenure_schedule::{DstGap, DstOverlap, Schedule, Zone};

/// Zones with a half-hour shift, a gap at midnight, a skipped date, odd offsets, and easy ones.
const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Africa/Monrovia",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "America/Caracas",
    "Europe/Dublin",
    "Pacific/Kwajalein",
];

/// 2200-01-01T00:00:00Z
const LAST_SECOND: i64 = 7_258_118_400;

fn any_zone() -> impl Strategy<Value = &'static str> {
    select(&ZONES[..])
}

/// An instant from 1970 to 2200; often close to a change of the zone's clocks.
fn any_instant(zone: &'static str) -> impl Strategy<Value = Timestamp> {
    let shift = -100_000_i64..100_000;
    (
        0..LAST_SECOND,
        shift,
        0..3_u8,
        select(&[0, 1, 999_999_999_i64][..]),
    )
        .prop_map(move |(second, shift, kind, nanos)| {
            let rules = TimeZone::get(zone).unwrap();
            let instant = Timestamp::from_second(second).unwrap();
            let change = match kind {
                0 => None,
                1 => rules.following(instant).next(),
                // The odd changes are in the past.
                _ => {
                    let early = Timestamp::from_second(second % 1_700_000_000).unwrap();
                    rules.following(early).next()
                }
            };
            let near = change.map_or(instant, |change| {
                change
                    .timestamp()
                    .checked_add(SignedDuration::from_secs(shift))
                    .unwrap()
            });
            near.checked_add(SignedDuration::from_nanos(nanos)).unwrap()
        })
}

/// One to three items for a field of `least..=most`.
fn any_field(least: u16, most: u16) -> impl Strategy<Value = String> {
    let pair =
        (least..=most, least..=most).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let item = prop_oneof![
        4 => (least..=most).prop_map(|value| value.to_string()),
        1 => pair.clone().prop_map(|(first, last)| format!("{first}-{last}")),
        1 => (pair, 1..(most - least)).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
        1 => (least..=most, 1..(most - least)).prop_map(|(a, step)| format!("{a}/{step}")),
        1 => (1..(most - least)).prop_map(|step| format!("*/{step}")),
        1 => Just("*".to_owned()),
    ];
    prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))
}

/// Times of the day that repeat, name few times, or fall into the hours in which clocks change.
fn any_time() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        (any_field(0, 59), any_field(0, 23)),
        (
            select(&["0", "30", "0,30", "15,59", "0-10", "*/20"][..]),
            select(&["0", "1", "2", "3", "0,1", "1-3", "23,0", "0-23", "2-3"][..])
        )
            .prop_map(|(minute, hour)| (minute.to_owned(), hour.to_owned())),
    ]
}

fn any_day() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => any_field(1, 31),
        1 => Just("L".to_owned()),
        1 => Just("LW".to_owned()),
        1 => (1..31_u8).prop_map(|back| format!("L-{back}")),
        2 => (1..32_u8).prop_map(|day| format!("{day}W")),
    ];
    prop_oneof![
        3 => prop::collection::vec(item, 1..3).prop_map(|items| items.join(",")),
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => (1..10_u8).prop_map(|step| format!("*/{step}")),
    ]
}

fn any_weekday() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => (0..8_u8).prop_map(|day| day.to_string()),
        2 => (0..7_u8, 0..7_u8).prop_map(|(first, last)| format!("{first}-{last}")),
        1 => (0..7_u8, 1..6_u8).prop_map(|(day, place)| format!("{day}#{place}")),
        1 => (0..7_u8).prop_map(|day| format!("{day}L")),
        1 => (0..7_u8).prop_map(|day| format!("{day}#L")),
    ];
    let items = prop::collection::vec(item, 1..3).prop_map(|items| items.join(","));
    prop_oneof![
        2 => items.clone(),
        1 => items.prop_map(|items| format!("+{items}")),
        3 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => (1..4_u8).prop_map(|step| format!("*/{step}")),
    ]
}

fn any_month() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just("*".to_owned()), 1 => any_field(1, 12)]
}

fn any_year() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("*".to_owned()), 1 => any_field(1970, 2200)]
}

fn any_fields() -> impl Strategy<Value = Fields> {
    (
        any_time(),
        any_day(),
        any_month(),
        any_weekday(),
        any_year(),
    )
        .prop_map(|((minute, hour), day, month, weekday, year)| Fields {
            second: "0".to_owned(),
            minute,
            hour,
            day,
            month,
            weekday,
            year,
        })
}

fn any_policies() -> impl Strategy<Value = (DstGap, DstOverlap)> {
    (
        select(&[DstGap::RunAfter, DstGap::Skip][..]),
        select(&[DstOverlap::First, DstOverlap::Last, DstOverlap::Both][..]),
    )
}

/// Reads the fields; `None` for the few that never fire.
fn read(fields: &Fields, zone: &str, (gap, overlap): (DstGap, DstOverlap)) -> Option<Schedule> {
    let zone = Zone::parse(zone).unwrap();
    match Schedule::parse_in(&fields.text(), &zone) {
        Ok(schedule) => Some(schedule.with_gap(gap).with_overlap(overlap)),
        Err(error) => {
            assert_eq!(
                error.to_string(),
                "never fires, no date has this day, month and year"
            );
            None
        }
    }
}

/// Compares every way to enumerate a window with what the reference found by walking.
fn assert_same(schedule: &Schedule, expected: &[Timestamp], from: Timestamp, to: Timestamp) {
    let context = format!("{schedule:?} after {from} until {to}");
    let forward: Vec<_> = schedule.ticks_between(from, to).collect();
    assert_eq!(forward, expected, "forward, {context}");
    let mut backward: Vec<_> = schedule.ticks_between(from, to).rev().collect();
    backward.reverse();
    assert_eq!(backward, expected, "backward, {context}");
    let before = to.checked_add(SignedDuration::from_nanos(1)).unwrap();
    let mut long: Vec<_> = schedule.ticks_before(before).take(expected.len()).collect();
    long.reverse();
    assert_eq!(long, expected, "ticks_before, {context}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn s02_a_window_of_days_is_what_walking_over_its_minutes_finds(
        (zone, start, fields, policies) in any_zone().prop_flat_map(|zone| {
            (Just(zone), any_instant(zone), any_fields(), any_policies())
        }),
    ) {
        let Some(schedule) = read(&fields, zone, policies) else { return Ok(()) };
        let end = start.checked_add(SignedDuration::from_hours(30)).unwrap();
        let rules = TimeZone::get(zone).unwrap();
        let expected = reference::ticks(&fields, &rules, policies, start, end);
        assert_same(&schedule, &expected, start, end);
    }

    #[test]
    fn s02_a_window_of_an_hour_is_what_walking_over_its_seconds_finds(
        (zone, start, fields, policies) in any_zone().prop_flat_map(|zone| {
            (Just(zone), any_instant(zone), any_fields(), any_policies())
        }),
        second in any_field(0, 59),
    ) {
        let fields = Fields {
            second,
            day: "*".to_owned(),
            month: "*".to_owned(),
            weekday: "*".to_owned(),
            year: "*".to_owned(),
            ..fields
        };
        let Some(schedule) = read(&fields, zone, policies) else { return Ok(()) };
        let end = start.checked_add(SignedDuration::from_mins(100)).unwrap();
        let rules = TimeZone::get(zone).unwrap();
        let expected = reference::ticks(&fields, &rules, policies, start, end);
        assert_same(&schedule, &expected, start, end);
    }

    #[test]
    fn s02_the_previous_of_the_next_is_not_later_and_the_next_is_later(
        (zone, instant, fields, policies) in any_zone().prop_flat_map(|zone| {
            (Just(zone), any_instant(zone), any_fields(), any_policies())
        }),
    ) {
        let Some(schedule) = read(&fields, zone, policies) else { return Ok(()) };
        if let Some(next) = schedule.next_after(instant) {
            prop_assert!(next > instant);
            if let Some(previous) = schedule.previous_before(next) {
                prop_assert!(previous <= instant);
                prop_assert_eq!(schedule.next_after(previous), Some(next));
            }
            prop_assert_eq!(schedule.previous_at_or_before(next), Some(next));
        }
        if let Some(previous) = schedule.previous_before(instant) {
            prop_assert!(previous < instant);
            if let Some(next) = schedule.next_after(previous) {
                prop_assert!(next >= instant);
            }
        }
    }

    #[test]
    fn s09_intervals_are_multiples_of_the_period(
        period in 100_i64..1_000_000_000,
        second in 0..LAST_SECOND,
        nanos in 0..1_000_000_000_i64,
    ) {
        let schedule = Schedule::parse(&format!("@every {period}ms")).unwrap();
        let instant = Timestamp::from_second(second).unwrap()
            .checked_add(SignedDuration::from_nanos(nanos)).unwrap();
        let next = schedule.next_after(instant).unwrap();
        let previous = schedule.previous_at_or_before(instant).unwrap();
        prop_assert!(previous <= instant && instant < next);
        prop_assert_eq!(next.as_nanosecond() % (i128::from(period) * 1_000_000), 0);
        prop_assert_eq!(next.as_millisecond() - previous.as_millisecond(), period);
        prop_assert_eq!(schedule.previous_before(next), Some(previous));
        prop_assert_eq!(schedule.next_after(previous), Some(next));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn s19_no_text_becomes_a_zone_by_accident(text in any::<String>()) {
        if let Ok(zone) = Zone::parse(&text) {
            prop_assert!(zone.name().eq_ignore_ascii_case(&text));
        }
    }

    #[test]
    fn s02_s03_the_days_from_1970_to_2200_are_those_that_walking_finds(
        day in any_day(), month in any_month(), weekday in any_weekday(), year in any_year(),
    ) {
        let zero = || "0".to_owned();
        let fields = Fields {
            second: zero(), minute: zero(), hour: zero(), day, month, weekday, year,
        };
        let from = Timestamp::from_second(-1).unwrap();
        let to = Timestamp::from_second(LAST_SECOND).unwrap();
        let mut expected = Vec::new();
        let mut walked = date(1970, 1, 1);
        while walked <= date(2200, 1, 1) {
            if fields.names_date(walked) {
                expected.push(TimeZone::UTC.to_timestamp(walked.at(0, 0, 0, 0)).unwrap());
            }
            walked = walked.tomorrow().unwrap();
        }
        let policies = (DstGap::RunAfter, DstOverlap::First);
        match read(&fields, "UTC", policies) {
            Some(schedule) => assert_same(&schedule, &expected, from, to),
            None => prop_assert!(expected.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn s07_no_text_at_all_makes_parsing_panic(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn s07_no_text_of_cron_characters_makes_parsing_panic(
        text in "[@+?*LW#/,0-9 A-Za-z\t-]{0,40}",
    ) {
        survives(&text);
    }

    #[test]
    fn s07_no_fields_of_cron_pieces_make_parsing_panic(
        fields in prop::collection::vec(
            concat!(
                "([0-9]{1,4}|[*?LW]|[A-Z]{3}|[0-9]{1,2}[-/#][0-9L]{1,2}",
                "|L-[0-9]{1,2}|,|\\+|[0-9]W){1,3}"
            ),
            4..8,
        ),
    ) {
        survives(&fields.join(" "));
    }
}

/// Reads a text, and does everything that can be done with the outcome.
fn survives(text: &str) {
    let zone = Zone::parse("Australia/Lord_Howe").unwrap();
    match Schedule::parse_in(text, &zone) {
        Ok(schedule) => {
            let near = Timestamp::from_second(1_774_000_000).unwrap();
            let _ = schedule.next_after(near);
            let _ = schedule.previous_before(near);
            assert!(!schedule.explain().is_empty());
            assert_eq!(
                Schedule::parse_in(schedule.text(), &zone).as_ref(),
                Ok(&schedule)
            );
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty() && !message.contains(char::is_control),
                "{message:?}"
            );
            assert!(error.text().get(error.span()).is_some(), "{error:?}");
            let _ = error.help();
        }
    }
}

#[test]
fn s18_every_odd_change_of_every_zone_is_walked_over_correctly() {
    let expressions = [
        "*/10 * * * *",
        "30 0,2 * * *",
        "0 0 * * *",
        "5,35 1-2 * * *",
    ];
    let policies = [
        (DstGap::RunAfter, DstOverlap::First),
        (DstGap::Skip, DstOverlap::Last),
        (DstGap::RunAfter, DstOverlap::Both),
    ];
    let mut seen = BTreeSet::new();
    for name in jiff::tz::db().available() {
        let Ok(zone) = Zone::parse(name.as_str()) else {
            continue;
        };
        let rules = TimeZone::get(name.as_str()).unwrap();
        let start = Timestamp::UNIX_EPOCH;
        let mut offset = rules.to_offset(start).seconds();
        for change in rules.following(start).take(300) {
            let (at, before) = (change.timestamp(), offset);
            offset = change.offset().seconds();
            let size = offset - before;
            // One of each kind: where it lands in the hours of the day, and how large it is.
            let local = (at.as_second() + i64::from(before)).rem_euclid(86_400);
            if size == 0 || !seen.insert((local, size)) {
                continue;
            }
            let reach = SignedDuration::from_hours(27);
            let (from, to) = (
                at.checked_sub(reach).unwrap(),
                at.checked_add(reach).unwrap(),
            );
            for (place, expression) in expressions.into_iter().enumerate() {
                let fields = Fields::new(expression);
                let policy = policies[(place + seen.len()) % policies.len()];
                let schedule = Schedule::parse_in(expression, &zone).unwrap();
                let schedule = schedule.with_gap(policy.0).with_overlap(policy.1);
                let expected = reference::ticks(&fields, &rules, policy, from, to);
                assert_same(&schedule, &expected, from, to);
            }
        }
    }
    assert!(seen.len() > 50, "only {} kinds of changes", seen.len());
}
