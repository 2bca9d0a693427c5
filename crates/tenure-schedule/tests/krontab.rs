//! The krontab dialect and its builder: documented examples, refusals, warnings, and the walk of
//! the slow reference.

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

fn krontab(text: &str) -> Schedule {
    Schedule::parse_as(Dialect::Krontab, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn ticks(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let after: Timestamp = after.parse().unwrap();
    let found: Vec<Timestamp> = schedule.ticks_after(after).take(count).collect();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn s08_the_documented_examples_mean_what_krontab_runs() {
    // The library's own comment calls month 5 "may"; its code counts from 0, which makes it June.
    for (text, first, second) in [
        ("/5 * * * *", "2021-01-01T00:00:05Z", "2021-01-01T00:00:10Z"),
        (
            "0/5 * * * *",
            "2021-01-01T00:00:05Z",
            "2021-01-01T00:00:10Z",
        ),
        (
            "0/5,L * * * *",
            "2021-01-01T00:00:05Z",
            "2021-01-01T00:00:10Z",
        ),
        (
            "0/15 30 * * *",
            "2021-01-01T00:30:00Z",
            "2021-01-01T00:30:15Z",
        ),
        (
            "0/15 30 * * * 500ms",
            "2021-01-01T00:30:00.5Z",
            "2021-01-01T00:30:15.5Z",
        ),
        (
            "1 2 3 F,4,L 5",
            "2021-06-01T03:02:01Z",
            "2021-06-05T03:02:01Z",
        ),
        (
            "1 2 3 F,4,L 5 60o",
            "2021-06-01T02:02:01Z",
            "2021-06-05T02:02:01Z",
        ),
        (
            "1 2 3 F,4,L 5 60o 0-2w",
            "2021-06-01T02:02:01Z",
            "2022-06-05T02:02:01Z",
        ),
        (
            "1 2 3 F,4,L 5 2021",
            "2021-06-01T03:02:01Z",
            "2021-06-05T03:02:01Z",
        ),
        (
            "1 2 3 F,4,L 5 2021 60o",
            "2021-06-01T02:02:01Z",
            "2021-06-05T02:02:01Z",
        ),
        (
            "* * * * * 0o *w",
            "2021-01-01T00:00:01Z",
            "2021-01-01T00:00:02Z",
        ),
        (
            "* * * * * 100-200ms",
            "2021-01-01T00:00:00.1Z",
            "2021-01-01T00:00:00.101Z",
        ),
    ] {
        assert_eq!(
            ticks(&krontab(text), "2021-01-01T00:00:00Z", 2),
            [first, second],
            "{text}"
        );
    }
    let only = krontab("1 2 3 F,4,L 5 2021 60o 0-2w 500ms");
    assert_eq!(
        ticks(&only, "2021-01-01T00:00:00Z", 9),
        ["2021-06-01T02:02:01.5Z"],
        "of the 1st, 5th and 30th June 2021 only the first is Sunday to Tuesday"
    );
}

#[test]
fn s08_days_and_months_count_from_0_and_a_missing_day_is_the_last_one() {
    assert_eq!(
        ticks(&krontab("0 0 0 0 0"), "2026-06-01T00:00:00Z", 1),
        ["2027-01-01T00:00:00Z"]
    );
    for last in ["0 0 0 30 *", "0 0 0 L *", "0 0 0 l *"] {
        assert_eq!(
            ticks(&krontab(last), "2027-01-15T00:00:00Z", 3),
            [
                "2027-01-31T00:00:00Z",
                "2027-02-28T00:00:00Z",
                "2027-03-31T00:00:00Z"
            ],
            "{last}"
        );
    }
    let two = krontab("0 0 0 28,29 *");
    assert_eq!(
        ticks(&two, "2027-01-15T00:00:00Z", 4),
        [
            "2027-01-29T00:00:00Z",
            "2027-01-30T00:00:00Z",
            "2027-02-28T00:00:00Z",
            "2027-03-29T00:00:00Z"
        ]
    );
    assert!(
        two.explain().contains("stands for its last one"),
        "{}",
        two.explain()
    );
}

#[test]
fn s04_day_of_month_and_day_of_week_must_both_match() {
    assert_eq!(
        ticks(&krontab("0 0 0 12 * 5w"), "2026-01-01T00:00:00Z", 2),
        ["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z"]
    );
}

#[test]
fn s08_years_are_lists_and_ranges_too() {
    let ticks = ticks(
        &krontab("0 0 0 0 0 2026,2028-2029,2033"),
        "2025-01-01T00:00:00Z",
        9,
    );
    assert_eq!(
        ticks,
        [2026, 2028, 2029, 2033].map(|year| format!("{year}-01-01T00:00:00Z"))
    );
}

#[test]
fn s08_the_optional_parts_may_stand_in_any_order() {
    let parts = ["2027", "-90o", "1-5w", "0,250ms"];
    let expected = krontab("0 0 12 * * 2027 -90o 1-5w 0,250ms");
    let expected = ticks(&expected, "2026-01-01T00:00:00Z", 4);
    assert_eq!(expected[1], "2027-01-01T13:30:00.25Z");
    for turn in 0..4 {
        let mut turned = parts;
        turned.rotate_left(turn);
        let text = format!("0 0 12 * * {}", turned.join(" "));
        assert_eq!(
            ticks(&krontab(&text), "2026-01-01T00:00:00Z", 4),
            expected,
            "{text}"
        );
    }
}

#[test]
fn s08_what_krontab_clamps_or_ignores_is_warned_of() {
    for (text, same, message, span) in [
        (
            "75 * * * *",
            "59 * * * *",
            "second `75` is read as 59, as krontab does, for the second part ends there",
            "75",
        ),
        (
            "0 0 0 31 *",
            "0 0 0 30 *",
            "day-of-month `31` is read as 30, as krontab does, for the day-of-month part ends \
             there; it counts from 0",
            "31",
        ),
        (
            "0 0 0 1 12",
            "0 0 0 1 11",
            "month `12` is read as 11, as krontab does, for the month part ends there; it counts \
             from 0",
            "12",
        ),
        (
            "0 0 0 * * 7w",
            "0 0 0 * * 6w",
            "day-of-week `7` is read as 6, as krontab does, for the day-of-week part ends there",
            "7",
        ),
        (
            "0 0/90 * * *",
            "0 0,59 * * *",
            "step `90` is read as 59, as krontab does, for the minute part ends there",
            "90",
        ),
        (
            "0 0 * * * 60o 120o",
            "0 0 * * * 60o",
            "`120o` is ignored, as krontab does: the offset was given before",
            "120o",
        ),
        (
            "0 0 * * * 2026 2027",
            "0 0 * * * 2026",
            "`2027` is ignored, as krontab does: the years were given before",
            "2027",
        ),
        (
            "0 0 * * * 1w 2w",
            "0 0 * * * 1w",
            "`2w` is ignored, as krontab does: the days of the week were given before",
            "2w",
        ),
        (
            "* 30 * * *",
            "0-59 30 * * *",
            "due every second of the minutes it names, as in krontab; write `0` for once a minute",
            "*",
        ),
        (
            "* * * * * 0,50ms",
            "* * * * * 0,50ms",
            "ticks less than 100 milliseconds apart",
            "0,50ms",
        ),
    ] {
        let schedule = krontab(text);
        let warnings = schedule.warnings();
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert_eq!(warnings[0].message(), message, "{text}");
        assert_eq!(&schedule.text()[warnings[0].span()], span, "{text}");
        let after = "2026-01-31T23:58:30Z";
        assert_eq!(
            ticks(&schedule, after, 9),
            ticks(&krontab(same), after, 9),
            "{text}"
        );
    }
    assert!(
        krontab("0 0 12 30 11 2027 60o 0-6w 500ms")
            .warnings()
            .is_empty()
    );
}

#[test]
fn s07_what_would_shift_or_vanish_in_krontab_is_refused_with_its_place() {
    for (text, place, message) in [
        ("* * * *", "* * * *", "expected second, minute, hour"),
        ("", "", "expected second, minute, hour"),
        (
            "sdf * * * *",
            "sdf",
            "cannot read `sdf` as second in the krontab dialect",
        ),
        ("*/1 * * * * oo", "oo", "cannot read `oo` as an offset"),
        ("* * * * * 1440o", "1440o", "-1439 to 1439"),
        ("* * * * * +o", "+o", "as an offset"),
        ("* * * * * 12+o", "12+o", "as an offset"),
        ("* * * * * *ms", "*ms", "krontab itself does not read it"),
        ("5-1 * * * *", "5-1", "runs backwards is empty"),
        ("1-10/2 * * * *", "10/2", "cannot read `10/2` as second"),
        ("0/0 * * * *", "0", "a step of 0 ends in an error"),
        ("1,,2 * * * *", "", "cannot read `` as second"),
        ("* * * * * 1969", "1969", "year `1969` must be 1970 to 9999"),
        ("* * * JAN *", "JAN", "cannot read `JAN` as day-of-month"),
    ] {
        let Err(error) = Schedule::parse_as(Dialect::Krontab, text) else {
            panic!("{text} was accepted");
        };
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(&error.text()[error.span()], place, "{text}");
    }
}

#[test]
fn s08_an_offset_and_a_zone_exclude_each_other() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let error = Schedule::parse_as_in(Dialect::Krontab, "0 0 12 * * 60o", &berlin).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text says `60o`, but its zone is given as Europe/Berlin"
    );
    assert_eq!(&error.text()[error.span()], "60o");
    let local = Schedule::parse_as_in(Dialect::Krontab, "0 0 12 * *", &berlin).unwrap();
    assert_eq!(
        ticks(&local, "2026-07-01T00:00:00Z", 1),
        ["2026-07-01T10:00:00Z"]
    );
}

#[test]
fn s20_the_text_says_its_dialect_and_reads_back_as_the_same_schedule() {
    let schedule = krontab("  /5 * * * *\n");
    assert_eq!(schedule.text(), "krontab: /5 * * * *");
    assert_eq!(schedule.dialect(), Dialect::Krontab);
    assert_eq!(Schedule::parse(schedule.text()).unwrap(), schedule);
    assert_eq!(krontab("Krontab:/5 * * * *").text(), "Krontab:/5 * * * *");
    assert_eq!(krontab("-").next_after(Timestamp::UNIX_EPOCH), None);
    assert_eq!(krontab("-").text(), "krontab: -");
    let error = Schedule::parse_as(Dialect::Crontab, "krontab: /5 * * * *").unwrap_err();
    let (written, asked) = (Dialect::Krontab, Dialect::Crontab);
    assert_eq!(error.kind(), &Kind::TwoDialects { written, asked });
    let error = Schedule::parse("cron: * * * * *").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown dialect `cron`, expected one of crontab, krontab, quartz, systemd, english"
    );
}

#[test]
fn s08_explain_names_milliseconds_and_offsets() {
    for (text, words) in [
        (
            "0 0 12 * * 330o 500ms",
            "at millisecond 500, at 12:00, at UTC+05:30",
        ),
        (
            "0 0 12 * * -60o 0,500ms",
            "at milliseconds 0 and 500, at 12:00, at UTC-01:00",
        ),
        (
            "* * * * * 0/250ms",
            "at milliseconds 0, 250, 500 and 750, every second, in UTC",
        ),
        (
            "0 0 0 L 1 0-2w",
            "at 00:00, on day 31 of the month, but only if that is also Monday, Tuesday and \
             Sunday, in February, in UTC (a day that a month does not have stands for its last \
             one)",
        ),
    ] {
        assert_eq!(krontab(text).explain(), words, "{text}");
    }
}

#[test]
fn s08_the_origins_builder_composes_the_same_schedules() {
    let origin = Schedule::builder()
        .hours(|h| h.from(0).every(12))
        .minutes(|m| m.from(15).every(30));
    assert_eq!(origin.text(), "krontab: * 15/30 0/12 * *");
    assert_eq!(
        ticks(&origin.build().unwrap(), "2026-01-01T00:15:58Z", 3),
        [
            "2026-01-01T00:15:59Z",
            "2026-01-01T00:45:00Z",
            "2026-01-01T00:45:01Z"
        ],
        "seconds that are not mentioned are all of them, as in the origin"
    );
    let all = Schedule::builder()
        .milliseconds(|ms| ms.at(0).each(500))
        .seconds(|s| s.include([0, 30]))
        .minutes(|m| m.up_to(2).from(58).up_to(59))
        .hours(|h| h.include_first().include_last())
        .day_of_month(|d| d.at(0).include_last())
        .day_of_week(|w| w.at(1).at(2).allow_all().from(1).up_to(5))
        .months(|m| m.every(6))
        .years(|y| y.at(2027).at(2028))
        .offset_minutes(-60);
    assert_eq!(
        all.text(),
        "krontab: 0,30 0-2,58-59 0,23 0,30 0/6 2027,2028 1-5w 0,500ms -60o"
    );
    assert!(all.build().unwrap().warnings().is_empty());
    assert_eq!(
        ticks(&all.build().unwrap(), "2026-01-01T00:00:00Z", 1),
        ["2027-01-01T01:00:00Z"]
    );
    let sparse = Schedule::builder().seconds(|s| s.from(7).every(100));
    assert_eq!(
        sparse.text(),
        "krontab: 7 * * * *",
        "a builder does not clamp distances"
    );
    let two = Schedule::builder().hours(|h| h.at(1)).hours(|h| h.at(2));
    assert_eq!(two.text(), "krontab: * * 1,2 * *");
    let error = Schedule::builder()
        .hours(|h| h.every(0))
        .build()
        .unwrap_err();
    assert_eq!(error.text(), "krontab: * * 0/0 * *");
    assert_eq!(error.span(), 15..16);
    let zone = Zone::parse("Europe/Berlin").unwrap();
    assert_eq!(
        Schedule::builder().build_in(&zone).unwrap().zone().name(),
        "Europe/Berlin"
    );
}

#[test]
fn s13_milliseconds_pass_through_gaps_and_overlaps_by_the_same_rules() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let read = |text: &str| Schedule::parse_as_in(Dialect::Krontab, text, &berlin).unwrap();
    // Named times in the gap are due once, at the first instant after it.
    let named = read("0 0,30 2 * * 250,750ms");
    assert_eq!(
        ticks(&named, "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00.25Z"]
    );
    let before: Timestamp = "2026-03-29T12:00:00Z".parse().unwrap();
    let back: Vec<_> = named.ticks_before(before).take(2).collect();
    assert_eq!(back[0].to_string(), "2026-03-29T01:00:00Z");
    assert_eq!(back[1].to_string(), "2026-03-28T01:30:00.75Z");
    let both = read("0 30 2 * * 500ms").with_overlap(DstOverlap::Both);
    assert_eq!(
        ticks(&both, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00.5Z", "2026-10-25T01:30:00.5Z"]
    );
}

#[test]
fn s11_nothing_is_due_before_the_epoch_or_after_the_last_year() {
    for offset in ["-1439o", "0o", "1439o"] {
        let schedule = krontab(&format!("0 0 * * * {offset} 500ms"));
        let first = schedule.next_after(Timestamp::MIN).unwrap();
        assert!(first >= Timestamp::UNIX_EPOCH, "{first}");
        assert_eq!(schedule.previous_before(first), None, "{offset}");
        if let Some(last) = schedule.previous_before(Timestamp::MAX) {
            assert_eq!(schedule.next_after(last), None, "{offset}");
        }
    }
}

/// A field of krontab, and the same in the words of the reference, whose numbers begin `shift`
/// later.
fn any_field(least: u16, most: u16, shift: u16) -> impl Strategy<Value = (String, String)> {
    let pair = (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let item = prop_oneof![
        4 => (least..=most).prop_map(move |v| (v.to_string(), (v + shift).to_string())),
        2 => pair.prop_map(move |(a, b)| {
            (format!("{a}-{b}"), format!("{}-{}", a + shift, b + shift))
        }),
        1 => (least..=most, 1..=most).prop_map(move |(a, step)| {
            (format!("{a}/{step}"), format!("{}-{}/{step}", a + shift, most + shift))
        }),
        1 => (1..=most).prop_map(move |step| {
            (format!("/{step}"), format!("{}-{}/{step}", least + shift, most + shift))
        }),
    ];
    // A step runs to the end of its field, which the days below must not reach.
    let item = item.prop_filter("steps of days", move |(ours, _)| {
        shift == 0 || most < 12 || !ours.contains('/')
    });
    let list = prop::collection::vec(item, 1..4).prop_map(|items| {
        let (ours, theirs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        (ours.join(","), theirs.join(","))
    });
    prop_oneof![3 => list, 1 => Just(("*".to_owned(), "*".to_owned()))]
}

/// Whether one of the few forms of the test below names the number.
fn is_named(part: &str, number: i8) -> bool {
    match part {
        "*" => true,
        "*/20" => number % 20 == 0,
        "1-3" => (1..=3).contains(&number),
        list => list.split(',').any(|item| item.parse() == Ok(number)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn s08_a_window_is_what_walking_over_the_translated_fields_finds(
        minute in any_field(0, 59, 0),
        hour in any_field(0, 23, 0),
        // Days that every month has: what is beyond is clamped, which the reference does not know.
        day in any_field(0, 27, 1),
        month in any_field(0, 11, 1),
        weekday in any_field(0, 6, 0),
        offset in select(&[0_i16, 60, -90, 345][..]),
        start in 0_i64..7_258_118_400,
    ) {
        // Both fields must match: the reference knows that as a leading `+`.
        let fields = Fields {
            second: "0".to_owned(),
            minute: minute.1.clone(),
            hour: hour.1.clone(),
            day: day.1.clone(),
            month: month.1.clone(),
            weekday: format!("+{}", weekday.1),
            year: "*".to_owned(),
        };
        let text = format!(
            "0 {} {} {} {} {}w {offset}o", minute.0, hour.0, day.0, month.0, weekday.0
        );
        let schedule = krontab(&text);
        prop_assert!(schedule.warnings().is_empty(), "{:?}", schedule.warnings());
        let shift = SignedDuration::from_mins(offset.into());
        let from = Timestamp::from_second(start).unwrap();
        let to = from.checked_add(SignedDuration::from_hours(60)).unwrap();
        let policies = (DstGap::RunAfter, DstOverlap::First);
        let moved = |instant: Timestamp| instant.checked_add(shift).unwrap();
        let expected: Vec<_> =
            reference::ticks(&fields, &TimeZone::UTC, policies, moved(from), moved(to))
                .into_iter()
                .map(|tick| tick.checked_sub(shift).unwrap())
                .filter(|tick| *tick >= Timestamp::UNIX_EPOCH)
                .collect();
        let forward: Vec<_> = schedule.ticks_between(from, to).collect();
        prop_assert_eq!(&forward, &expected);
        let mut backward: Vec<_> = schedule.ticks_between(from, to).rev().collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected);
    }

    #[test]
    fn s13_milliseconds_open_each_second_and_nothing_else(
        millis in prop::collection::btree_set(0_u16..1000, 1..6),
        second in any_field(0, 59, 0),
        start in 0_i64..7_258_118_400_000,
    ) {
        let list: Vec<String> = millis.iter().map(ToString::to_string).collect();
        let coarse = krontab(&format!("{} * * * *", second.0));
        let fine = krontab(&format!("{} * * * * {}ms", second.0, list.join(",")));
        let from = Timestamp::from_millisecond(start).unwrap();
        let to = from.checked_add(SignedDuration::from_secs(70)).unwrap();
        let early = from.checked_sub(SignedDuration::from_secs(1)).unwrap();
        let expected: Vec<_> = coarse
            .ticks_between(early, to)
            .flat_map(|tick| {
                millis.iter().map(move |milli| {
                    tick.checked_add(SignedDuration::from_millis((*milli).into())).unwrap()
                })
            })
            .filter(|tick| *tick > from && *tick <= to)
            .collect();
        let forward: Vec<_> = fine.ticks_between(from, to).collect();
        prop_assert_eq!(&forward, &expected);
        let mut backward: Vec<_> = fine.ticks_between(from, to).rev().collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected);
    }

    #[test]
    fn s13_milliseconds_follow_their_second_through_every_change_of_the_clocks(
        millis in prop::collection::btree_set(0_u16..1000, 1..4),
        (minute, hour) in select(&[("30", "2"), ("0,30", "1-3"), ("*/20", "*"), ("0", "0")][..]),
        zone in select(&[
            "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut",
            "Pacific/Apia",
        ][..]),
        policy in select(&[
            (DstGap::RunAfter, DstOverlap::First),
            (DstGap::Skip, DstOverlap::Both),
            (DstGap::RunAfter, DstOverlap::Last),
            (DstGap::RunAfter, DstOverlap::Both),
        ][..]),
        start in 0_i64..2_000_000_000,
        nanos in select(&[0, 1, 499_999_999, 999_999_999_i64][..]),
    ) {
        let place = Zone::parse(zone).unwrap();
        let read = |text: &str| {
            let schedule = Schedule::parse_as_in(Dialect::Krontab, text, &place).unwrap();
            schedule.with_gap(policy.0).with_overlap(policy.1)
        };
        let list: Vec<String> = millis.iter().map(ToString::to_string).collect();
        let coarse = read(&format!("0 {minute} {hour} * *"));
        let fine = read(&format!("0 {minute} {hour} * * {}ms", list.join(",")));
        let rules = TimeZone::get(zone).unwrap();
        let near = Timestamp::from_second(start).unwrap();
        let near = rules.following(near).next().map_or(near, |change| change.timestamp());
        let shift = SignedDuration::from_hours(30) + SignedDuration::from_nanos(nanos);
        let from = near.checked_sub(shift).unwrap();
        let to = near.checked_add(shift).unwrap();
        let early = from.checked_sub(SignedDuration::from_secs(1)).unwrap();
        let mut expected = Vec::new();
        for tick in coarse.ticks_between(early, to) {
            let local = rules.to_datetime(tick);
            // A tick for a time in a gap has no second of its own.
            let stands_for_itself = local.second() == 0
                && is_named(minute, local.minute())
                && is_named(hour, local.hour());
            if stands_for_itself {
                expected.extend(millis.iter().map(|milli| {
                    tick.checked_add(SignedDuration::from_millis((*milli).into())).unwrap()
                }));
            } else {
                expected.push(tick);
            }
        }
        expected.retain(|tick| *tick > from && *tick <= to);
        let forward: Vec<_> = fine.ticks_between(from, to).collect();
        prop_assert_eq!(&forward, &expected);
        let mut backward: Vec<_> = fine.ticks_between(from, to).rev().collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected);
    }

    #[test]
    fn s07_no_text_of_krontab_characters_makes_reading_panic(
        text in "[-+*/,FLowms0-9 ]{0,40}",
    ) {
        match Schedule::parse_as(Dialect::Krontab, &text) {
            Ok(schedule) => {
                let near = Timestamp::from_second(1_774_000_000).unwrap();
                let _ = (schedule.next_after(near), schedule.previous_before(near));
                prop_assert!(!schedule.explain().is_empty());
                prop_assert_eq!(&Schedule::parse(schedule.text()).unwrap(), &schedule);
                for warning in schedule.warnings() {
                    prop_assert!(schedule.text().get(warning.span()).is_some());
                }
            }
            Err(error) => prop_assert!(error.text().get(error.span()).is_some()),
        }
    }
}
