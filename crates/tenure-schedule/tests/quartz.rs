//! The Quartz dialect: the examples of its tutorial, its oddities, refusals, and the walk of the
//! slow reference.

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

fn quartz(text: &str) -> Schedule {
    Schedule::parse_as(Dialect::Quartz, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn s05_the_examples_of_the_tutorial_mean_what_it_says() {
    for (text, words) in [
        ("0 0 12 * * ?", "at 12:00"),
        ("0 15 10 ? * *", "at 10:15"),
        ("0 15 10 * * ?", "at 10:15"),
        ("0 15 10 * * ? *", "at 10:15"),
        ("0 15 10 * * ? 2005", "at 10:15, in 2005"),
        ("0 * 14 * * ?", "every minute, in hour 14"),
        (
            "0 0/5 14 * * ?",
            "every 5 minutes, from minute 0 to 55, in hour 14",
        ),
        (
            "0 0/5 14,18 * * ?",
            "every 5 minutes, from minute 0 to 55, in hours 14 and 18",
        ),
        (
            "0 0-5 14 * * ?",
            "at 14:00, 14:01, 14:02, 14:03, 14:04 and 14:05",
        ),
        (
            "0 10,44 14 ? 3 WED",
            "at 14:10 and 14:44, on Wednesday, in March",
        ),
        ("0 15 10 ? * MON-FRI", "at 10:15, on Monday to Friday"),
        ("0 15 10 15 * ?", "at 10:15, on day 15 of the month"),
        ("0 15 10 L * ?", "at 10:15, on the last day of the month"),
        (
            "0 15 10 L-2 * ?",
            "at 10:15, on the day 2 days before the last day of the month",
        ),
        (
            "0 15 10 ? * 6L",
            "at 10:15, on the last Friday of the month",
        ),
        (
            "0 15 10 ? * 6L 2002-2005",
            "at 10:15, on the last Friday of the month, in 2002 to 2005",
        ),
        (
            "0 15 10 ? * 6#3",
            "at 10:15, on the third Friday of the month",
        ),
        (
            "0 0 12 1/5 * ?",
            "at 12:00, on every 5th day from day 1 to 31 of the month",
        ),
        (
            "0 11 11 11 11 ?",
            "at 11:11, on day 11 of the month, in November",
        ),
    ] {
        assert_eq!(quartz(text).explain(), format!("{words}, in UTC"), "{text}");
    }
}

#[test]
fn s05_weekdays_count_from_sunday_as_1_and_ranges_run_over_the_end() {
    for (text, words) in [
        ("0 0 0 ? * 1", "on Sunday"),
        ("0 0 0 ? * 7", "on Saturday"),
        ("0 0 0 ? * L", "on Saturday"),
        ("0 0 0 ? * 2-6", "on Monday to Friday"),
        ("0 0 0 ? * 6-2", "on Monday and Friday to Sunday"),
        ("0 0 0 ? * FRI-MON", "on Monday and Friday to Sunday"),
        (
            "0 0 0 ? * fri#2,satl",
            "on the second Friday of the month or the last Saturday of the month",
        ),
        ("0 0 0 LW * ?", "on the last Monday to Friday of the month"),
        (
            "0 0 0 L-3W * ?",
            "on the Monday to Friday nearest to the day 3 days before the last of its month",
        ),
        (
            "0 0 0 1W * ?",
            "on the Monday to Friday nearest to day 1 within its month",
        ),
        (
            "0 0 0 1 NOV-FEB ?",
            "on day 1 of the month, in January, February, November and December",
        ),
    ] {
        assert_eq!(
            quartz(text).explain(),
            format!("at 00:00, {words}, in UTC"),
            "{text}"
        );
    }
    assert_eq!(
        quartz("0 0 22-2 * * ?").explain(),
        "at 00:00, 01:00, 02:00, 22:00 and 23:00, in UTC"
    );
    assert_eq!(
        quartz("0 58-1 0 * * ?").explain(),
        "at 00:00, 00:01, 00:58 and 00:59, in UTC"
    );
    assert_eq!(quartz("/15 /5 * * * ?"), quartz("quartz: /15 /5 * * * ?"));
    assert_eq!(
        quartz("/15 0 0 * * ?").explain(),
        quartz("0/15 0 0 * * ?").explain()
    );
}

#[test]
fn s03_a_weekday_near_the_end_never_leaves_its_month() {
    let near = quartz("0 0 0 L-1W * ?");
    let after: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let found: Vec<String> = near
        .ticks_after(after)
        .take(4)
        .map(|tick| tick.to_string())
        .collect();
    assert_eq!(
        found,
        [
            "2026-01-30T00:00:00Z",
            "2026-02-27T00:00:00Z",
            "2026-03-30T00:00:00Z",
            "2026-04-29T00:00:00Z"
        ]
    );
}

#[test]
fn s07_refusals_name_the_field_the_place_and_what_is_allowed() {
    for (text, place, message) in [
        (
            "0 0 12 * * *",
            "* * *",
            "`* * *` is refused in the quartz dialect, day of month and day of week cannot both \
             be given, and even `*` gives one",
        ),
        (
            "0 0 12 1 * MON",
            "1 * MON",
            "`1 * MON` is refused in the quartz dialect, day of month and day of week cannot both \
             be given, and even `*` gives one",
        ),
        (
            "0 0 12 ? * ?",
            "?",
            "`?` is refused in the quartz dialect, `?` may stand for one of day of month and day \
             of week only",
        ),
        (
            "0 0 12 ? * 0",
            "0",
            "day-of-week `0` must be 1 to 7 in the quartz dialect",
        ),
        (
            "0 0 12 ? * 8",
            "8",
            "day-of-week `8` must be 1 to 7 in the quartz dialect",
        ),
        (
            "60 0 12 ? * 1",
            "60",
            "second `60` must be 0 to 59 in the quartz dialect",
        ),
        (
            "0 0 24 ? * 1",
            "24",
            "hour `24` must be 0 to 23 in the quartz dialect",
        ),
        (
            "0 0 0 ? 13 1",
            "13",
            "month `13` must be 1 to 12 in the quartz dialect",
        ),
        (
            "0 0 0 L-31 * ?",
            "31",
            "day-of-month `31` must be 0 to 30 in the quartz dialect",
        ),
        (
            "0 0 0 ? * 6#6",
            "6",
            "day-of-week `6` must be 1 to 5 in the quartz dialect",
        ),
        (
            "0 0 0 ? * 6 2200",
            "2200",
            "year `2200` must be 1970 to 2199 in the quartz dialect",
        ),
        (
            "0 0/60 0 ? * 6",
            "60",
            "minute `60` must be 1 to 59 in the quartz dialect",
        ),
        (
            "0 0 0 ? * Friday",
            "Friday",
            "cannot read `Friday` as day-of-week in the quartz dialect, expected 1 to 7 or SUN to \
             SAT as `*`, `?`, a value, a range, a step `2/2`, `6L` or `6#3`",
        ),
        (
            "0 0 0 C * ?",
            "C",
            "cannot read `C` as day-of-month in the quartz dialect, expected 1 to 31 as `*`, `?`, \
             a value, a range, a step `1/5`, `L`, `L-3`, `LW` or `15W`",
        ),
        (
            "0 0 12 * *",
            "0 0 12 * *",
            "cannot read `0 0 12 * *` as a schedule in the quartz dialect, expected 6 or 7 \
             fields: second, minute, hour, day of month, month, day of week, and a year if need be",
        ),
        (
            "0 0 0 30 2 ?",
            "0 0 0 30 2 ?",
            "never fires, no date has this day, month and year",
        ),
        (
            "0 0 0 ? * 2 2030-2026",
            "2030-2026",
            "`2030-2026` is refused in the quartz dialect, years do not start over",
        ),
    ] {
        let error = Schedule::parse_as(Dialect::Quartz, text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(&error.text()[error.span()], place, "{text}");
    }
}

#[test]
fn s05_a_weekday_of_0_is_answered_with_the_numbers_there_are() {
    let error = Schedule::parse_as(Dialect::Quartz, "0 0 12 ? * 0").unwrap_err();
    assert_eq!(
        error.help().as_deref(),
        Some("1 is Sunday, 7 is Saturday; or write the name")
    );
}

/// One to three items of a field.
fn any_field(least: u16, most: u16) -> impl Strategy<Value = String> {
    let pair = (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let item = prop_oneof![
        4 => (least..=most).prop_map(|value| value.to_string()),
        1 => pair.clone().prop_map(|(first, last)| format!("{first}-{last}")),
        1 => (pair, 1..(most - least)).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
        1 => (least..=most, 1..(most - least)).prop_map(|(a, step)| format!("{a}/{step}")),
        1 => (1..(most - least)).prop_map(|step| format!("*/{step}")),
    ];
    let items = prop::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    prop_oneof![3 => items, 1 => Just("*".to_owned())]
}

/// The day fields of Quartz, and the same two fields as the reference counts them.
fn any_days() -> impl Strategy<Value = (String, String, String, String)> {
    let day = prop_oneof![
        3 => any_field(1, 31),
        1 => Just("L".to_owned()),
        1 => Just("LW".to_owned()),
        1 => (1..31_u8).prop_map(|back| format!("L-{back}")),
        1 => (1..32_u8).prop_map(|day| format!("{day}W")),
    ];
    let weekday = prop_oneof![
        (1..8_u8).prop_map(|day| (day.to_string(), (day - 1).to_string())),
        (1..8_u8, 1..8_u8).prop_map(|(a, b)| (format!("{a}-{b}"), format!("{}-{}", a - 1, b - 1))),
        (1..8_u8, 1..6_u8)
            .prop_map(|(a, place)| (format!("{a}#{place}"), format!("{}#{place}", a - 1))),
        (1..8_u8).prop_map(|a| (format!("{a}L"), format!("{}L", a - 1))),
        (1..8_u8, 1..7_u8)
            .prop_map(|(a, step)| { (format!("{a}/{step}"), format!("{}-6/{step}", a - 1)) }),
        Just(("L".to_owned(), "6".to_owned())),
    ];
    prop_oneof![
        day.prop_map(|day| (day.clone(), "?".to_owned(), day, "?".to_owned())),
        prop::collection::vec(weekday, 1..3).prop_map(|items| {
            let (ours, theirs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
            (
                "?".to_owned(),
                ours.join(","),
                "?".to_owned(),
                theirs.join(","),
            )
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn s02_a_window_is_what_walking_over_the_translated_fields_finds(
        minute in any_field(0, 59),
        hour in any_field(0, 23),
        days in any_days(),
        month in any_field(1, 12),
        zone in select(&["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut"][..]),
        policy in select(&[
            (DstGap::RunAfter, DstOverlap::First),
            (DstGap::Skip, DstOverlap::Both),
            (DstGap::RunAfter, DstOverlap::Last),
        ][..]),
        start in 0_i64..7_258_118_400,
    ) {
        let (day, weekday, same_day, same_weekday) = days;
        let fields = Fields {
            second: "0".to_owned(),
            minute,
            hour,
            day: same_day,
            month,
            weekday: same_weekday,
            year: "*".to_owned(),
        };
        let text = format!("0 {} {} {day} {} {weekday}", fields.minute, fields.hour, fields.month);
        let place = Zone::parse(zone).unwrap();
        let Ok(schedule) = Schedule::parse_as_in(Dialect::Quartz, &text, &place) else {
            return Ok(()); // 31 April alone
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
    fn s07_no_fields_of_quartz_pieces_make_reading_panic(
        fields in prop::collection::vec(
            concat!(
                "([0-9]{1,4}|[*?LW]|[A-Z]{3}|[0-9]{1,2}[-/#][0-9L]{1,2}",
                "|L-[0-9]{1,2}W?|,|/|[0-9]W){1,3}"
            ),
            4..9,
        ),
    ) {
        let text = fields.join(" ");
        match Schedule::parse_as(Dialect::Quartz, &text) {
            Ok(schedule) => {
                let near = Timestamp::from_second(1_774_000_000).unwrap();
                let _ = (schedule.next_after(near), schedule.previous_before(near));
                prop_assert!(!schedule.explain().is_empty());
                prop_assert_eq!(&Schedule::parse(schedule.text()).unwrap(), &schedule);
            }
            Err(error) => {
                prop_assert!(error.text().get(error.span()).is_some());
                let _ = error.help();
            }
        }
    }
}
