//! Requirements S1 to S13: what the fields mean, without clock changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use std::time::Duration;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tenure_schedule::{Schedule, ScheduleErrorKind, Zone};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap()
}

/// The first ticks from the start of 2026 on, as text without zone.
fn first(text: &str, count: usize) -> Vec<String> {
    from(text, "2025-12-31T23:59:59Z", count)
}

fn from(text: &str, after: &str, count: usize) -> Vec<String> {
    schedule(text)
        .ticks_after(at(after))
        .take(count)
        .map(|tick| tick.to_string())
        .collect()
}

/// The dates in 2026 (or the years given) on which it fires, as month-day.
fn dates(text: &str, years: std::ops::RangeInclusive<i16>) -> Vec<String> {
    let start = jiff::civil::date(*years.start(), 1, 1).at(0, 0, 0, 0);
    let end = jiff::civil::date(*years.end() + 1, 1, 1).at(0, 0, 0, 0);
    let instant = |local| TimeZone::UTC.to_timestamp(local).unwrap();
    schedule(text)
        .ticks_between(
            instant(start) - SignedDuration::from_secs(1),
            instant(end) - SignedDuration::from_secs(1),
        )
        .map(|tick| {
            tick.strftime(if years.start() == years.end() {
                "%m-%d"
            } else {
                "%F"
            })
        })
        .map(|date| date.to_string())
        .collect()
}

#[test]
fn s01_next_is_strictly_later_and_previous_strictly_earlier() {
    let daily = schedule("0 12 * * *");
    let noon = at("2026-05-01T12:00:00Z");
    let just_before = at("2026-05-01T11:59:59.999999999Z");
    let just_after = at("2026-05-01T12:00:00.000000001Z");
    assert_eq!(daily.next_after(noon), Some(at("2026-05-02T12:00:00Z")));
    assert_eq!(daily.next_after(just_before), Some(noon));
    assert_eq!(
        daily.next_after(just_after),
        Some(at("2026-05-02T12:00:00Z"))
    );
    assert_eq!(
        daily.previous_before(noon),
        Some(at("2026-04-30T12:00:00Z"))
    );
    assert_eq!(
        daily.previous_before(just_before),
        Some(at("2026-04-30T12:00:00Z"))
    );
    assert_eq!(daily.previous_before(just_after), Some(noon));
    assert_eq!(daily.previous_at_or_before(noon), Some(noon));
    assert_eq!(
        daily.previous_at_or_before(just_before),
        Some(at("2026-04-30T12:00:00Z"))
    );
}

#[test]
fn s01_a_schedule_that_can_never_fire_is_refused_when_it_is_read() {
    for text in [
        "0 0 30 2 *",
        "0 0 31 4 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 30 2 ?",
        "0 0 L-29 2 *",
        "0 0 31W 4 *",
        "0 0 1 * +1#2",
        "0 0 0 29 2 * 2027",
        "0 0 0 29 2 * 2100",
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.kind(), &ScheduleErrorKind::NeverFires, "{text}");
        assert_eq!(error.span(), 0..text.len());
    }
}

#[test]
fn s01_the_rarest_dates_are_found_and_none_is_found_after_the_last() {
    // A 29 February that is a fifth Sunday: every 28 years, except across 2100.
    let rare = schedule("0 0 29 2 +0#5");
    let years: Vec<i16> = rare
        .ticks_after(at("2050-01-01T00:00:00Z"))
        .take(4)
        .map(|tick| TimeZone::UTC.to_datetime(tick).year())
        .collect();
    assert_eq!(years, [2060, 2088, 2128, 2156]);

    let once = schedule("0 0 12 1 6 ? 2030");
    assert_eq!(
        once.next_after(Timestamp::UNIX_EPOCH),
        Some(at("2030-06-01T12:00:00Z"))
    );
    assert_eq!(once.next_after(at("2030-06-01T12:00:00Z")), None);
    assert_eq!(once.previous_before(at("2030-06-01T12:00:00Z")), None);
    assert_eq!(
        once.previous_before(Timestamp::MAX),
        Some(at("2030-06-01T12:00:00Z"))
    );
}

#[test]
fn s01_times_that_always_fall_into_a_gap_end_the_search_with_never() {
    // In Berlin the last Sunday of March is when 02:30 does not exist.
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let lost = Schedule::parse_in("*/30 2 * 3 0L", &zone).unwrap();
    assert_eq!(lost.next_after(at("1997-01-01T00:00:00Z")), None);
    assert!(lost.previous_before(at("1980-01-01T00:00:00Z")).is_some());
}

/// What this thread has had of a processor, which other work on the machine does not change.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

#[test]
fn s01_a_search_takes_under_a_millisecond_and_the_rarest_tick_no_more_than_a_hundred() {
    let ordinary = [
        "* * * * *",
        "*/7 * * * * *",
        "30 2 * * *",
        "0 9 * * 1-5",
        "0 0 L * *",
        "0 0 29 2 *",
        "15,45 8-18/2 1-7,15W * *",
        "@every 90s",
    ];
    // Found after decades, or never: in no year that is listed, or always lost in a gap.
    let rare = [
        "0 0 29 2 +0#5",
        "0 0 31 12 +1#5",
        "0 0 0 29 2 ? 9996",
        "*/30 2 * 3 0L",
        "59 59 23 31 12 ? 1970,9999",
    ];
    for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
        let zone = Zone::parse(zone).unwrap();
        for (texts, bound) in [(&ordinary[..], 1), (&rare[..], 100)] {
            for text in texts {
                let schedule = Schedule::parse_in(text, &zone).unwrap();
                let instants: Vec<_> = (0..40_i64)
                    .map(|n| Timestamp::from_second(n * 86_400 * 2131 + n * 1237).unwrap())
                    .collect();
                let begun = processor_time();
                for instant in &instants {
                    let _ = schedule.next_after(*instant);
                    let _ = schedule.previous_before(*instant);
                }
                let each = processor_time().saturating_sub(begun) / 80;
                let bound = Duration::from_millis(bound);
                assert!(each <= bound, "{text} in {zone}: {each:?}");
            }
        }
    }
}

#[test]
fn s02_forward_and_backward_agree_and_end_where_they_should() {
    let hourly = schedule("0 * * * *");
    let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:00:00Z"));
    let forward: Vec<_> = hourly.ticks_between(start, end).collect();
    let mut backward: Vec<_> = hourly.ticks_between(start, end).rev().collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(
        forward.first(),
        Some(&at("2026-01-01T01:00:00Z")),
        "the start is left out"
    );
    assert_eq!(forward.last(), Some(&end), "the end is included");
    assert_eq!(hourly.ticks_between(end, start).count(), 0);
    assert_eq!(hourly.ticks_between(start, start).count(), 0);

    let mut both = hourly.ticks_between(start, end);
    let meeting: Vec<_> = [
        both.next(),
        both.next_back(),
        both.next(),
        both.next_back(),
        both.next(),
        both.next(),
    ]
    .into_iter()
    .flatten()
    .map(|tick| TimeZone::UTC.to_datetime(tick).hour())
    .collect();
    assert_eq!(meeting, [1, 5, 2, 4, 3], "from both ends, each tick once");
    assert_eq!(both.next_back(), None);
}

#[test]
fn s03_day_31_fires_only_in_long_months() {
    let long = [
        "01-31", "03-31", "05-31", "07-31", "08-31", "10-31", "12-31",
    ];
    assert_eq!(dates("0 0 31 * *", 2026..=2026), long);
}

#[test]
fn s03_the_last_day_fires_each_month_and_days_before_it_where_they_exist() {
    assert_eq!(dates("0 0 L * *", 2026..=2026).len(), 12);
    assert_eq!(dates("0 0 L 2 *", 2026..=2026), ["02-28"]);
    assert_eq!(dates("0 0 L 2 *", 2028..=2028), ["02-29"]);
    assert_eq!(
        dates("0 0 L-3 1-3 *", 2026..=2026),
        ["01-28", "02-25", "03-28"]
    );
    assert_eq!(
        dates("0 0 L-29 1-4 *", 2026..=2026),
        ["01-02", "03-02", "04-01"]
    );
    assert_eq!(dates("0 0 L-30 1-4 *", 2026..=2026), ["01-01", "03-01"]);
}

#[test]
fn s03_the_nearest_weekday_never_leaves_its_month() {
    // 2026: 15 February is a Sunday, 15 August a Saturday, 15 April a Wednesday.
    assert_eq!(
        dates("0 0 15W 2,4,8 *", 2026..=2026),
        ["02-16", "04-15", "08-14"]
    );
    // 1 August 2026 is a Saturday, 1 February a Sunday.
    assert_eq!(dates("0 0 1W 2,8 *", 2026..=2026), ["02-02", "08-03"]);
    // 31 January 2026 is a Saturday, 31 May a Sunday.
    assert_eq!(
        dates("0 0 31W * *", 2026..=2026),
        [
            "01-30", "03-31", "05-29", "07-31", "08-31", "10-30", "12-31"
        ]
    );
    assert_eq!(
        dates("0 0 28W 2 *", 2027..=2027),
        ["02-26"],
        "Sunday, and the last day"
    );
    assert_eq!(
        dates("0 0 LW 1,2,5 *", 2026..=2026),
        ["01-30", "02-27", "05-29"]
    );
}

#[test]
fn s03_29_february_exists_in_2000_but_not_in_2100() {
    let years: Vec<String> = dates("0 0 29 2 *", 1996..=2004);
    assert_eq!(years, ["1996-02-29", "2000-02-29", "2004-02-29"]);
    assert_eq!(
        from("0 0 29 2 *", "2096-03-01T00:00:00Z", 1),
        ["2104-02-29T00:00:00Z"]
    );
    assert_eq!(
        schedule("0 0 29 2 *").previous_before(at("2104-02-29T00:00:00Z")),
        Some(at("2096-02-29T00:00:00Z"))
    );
}

#[test]
fn s04_two_restricted_day_fields_are_either_and_a_plus_asks_for_both() {
    // 13 February and 13 March 2026 are Fridays.
    assert_eq!(
        dates("0 0 13 2 5", 2026..=2026),
        ["02-06", "02-13", "02-20", "02-27"],
        "either, where the 13th is a Friday anyway"
    );
    assert_eq!(
        dates("0 0 13 1 5", 2026..=2026),
        ["01-02", "01-09", "01-13", "01-16", "01-23", "01-30"]
    );
    assert_eq!(
        dates("0 0 13 * +5", 2026..=2026),
        ["02-13", "03-13", "11-13"]
    );
    assert_eq!(
        dates("0 0 13 * +FRI", 2026..=2026),
        ["02-13", "03-13", "11-13"]
    );
    assert_eq!(
        dates("0 0 ? 1 5", 2026..=2026).len(),
        5,
        "? does not restrict"
    );
    assert_eq!(dates("0 0 13 1 ?", 2026..=2026), ["01-13"]);
    assert_eq!(
        dates("0 0 * 1 +5", 2026..=2026).len(),
        5,
        "+ beside * changes nothing"
    );
}

#[test]
fn s04_a_star_with_a_step_does_not_restrict_but_the_same_days_as_a_range_do() {
    let odd_mondays = ["01-05", "01-19"];
    assert_eq!(dates("0 0 */2 1 1", 2026..=2026), odd_mondays);
    assert_eq!(dates("0 0 1-31/2 1 +1", 2026..=2026), odd_mondays);
    assert_eq!(
        dates("0 0 1-31/2 1 1", 2026..=2026).len(),
        16 + 2,
        "odd days and Mondays"
    );
    assert_eq!(dates("0 0 1/2 1 1", 2026..=2026).len(), 16 + 2);
    // The same in the other field: */2 is Sunday, Tuesday, Thursday, Saturday.
    assert_eq!(dates("0 0 13 1 */2", 2026..=2026), ["01-13"], "a Tuesday");
    assert_eq!(
        dates("0 0 14 1 */2", 2026..=2026),
        Vec::<String>::new(),
        "a Wednesday"
    );
    assert_eq!(dates("0 0 14 1 0-6/2", 2026..=2026).len(), 1 + 18);
}

#[test]
fn s05_zero_and_seven_are_sunday_names_have_any_case_and_weekdays_wrap() {
    let same = |texts: &[&str]| {
        let expected = first(&format!("0 0 * * {}", texts[0]), 20);
        for text in &texts[1..] {
            assert_eq!(first(&format!("0 0 * * {text}"), 20), expected, "{text}");
        }
    };
    same(&["0", "7", "SUN", "sun", "Sunday", "sUnDaY", "0,7", "7-7"]);
    same(&["1", "MON", "mon", "Monday"]);
    same(
        &["6,0,1", "SAT-MON", "sat-mon", "6-1", "6-8"]
            .map(|t| if t == "6-8" { "0,1,6" } else { t }),
    );
    same(&["5,6,0", "5-7", "FRI-SUN", "fri-0"]);
    same(&["0-6", "*", "0-7", "1-7", "1-0", "*/1", "0/1"]);
    same(&["5,0,2", "5-2/2", "FRI-TUE/2"]);
    same(&["1,3,5", "1/2", "MON-FRI/2"]);
    same(&["5#3", "FRI#3", "friday#3"]);
    same(&["5L", "5#L", "FRIL", "fri#l"]);
    let monday = schedule("0 0 * * 1")
        .next_after(at("2026-01-01T00:00:00Z"))
        .unwrap();
    assert_eq!(TimeZone::UTC.to_datetime(monday).weekday(), Weekday::Monday);
    assert_eq!(first("0 0 1 jan-MAR,december *", 4).len(), 4);
}

#[test]
fn s05_ranges_that_fall_are_refused_everywhere_else() {
    for text in [
        "50-10 * * * *",
        "* 22-2 * * *",
        "* * 20-5 * *",
        "* * * NOV-FEB *",
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert!(
            matches!(error.kind(), ScheduleErrorKind::BackwardRange { .. }),
            "{text}: {error}"
        );
        assert!(error.help().is_some());
    }
}

#[test]
fn s05_ordinal_weekdays_and_last_weekdays() {
    assert_eq!(
        dates("0 0 * 1-3 5#3", 2026..=2026),
        ["01-16", "02-20", "03-20"]
    );
    assert_eq!(
        dates("0 0 * * 5#5", 2026..=2026),
        ["01-30", "05-29", "07-31", "10-30"]
    );
    assert_eq!(
        dates("0 0 * 1-3 5L", 2026..=2026),
        ["01-30", "02-27", "03-27"]
    );
    assert_eq!(dates("0 0 * 2 1#1,3L", 2026..=2026), ["02-02", "02-25"]);
}

#[test]
fn s06_steps_start_again_in_each_hour_and_explain_says_so() {
    let ticks = from("*/7 * * * *", "2026-01-01T00:48:00Z", 4);
    assert_eq!(
        ticks,
        [
            "2026-01-01T00:49:00Z",
            "2026-01-01T00:56:00Z",
            "2026-01-01T01:00:00Z",
            "2026-01-01T01:07:00Z"
        ]
    );
    assert!(schedule("*/7 * * * *").explain().contains("uneven"));
    assert!(!schedule("*/15 * * * *").explain().contains("uneven"));
    assert_eq!(
        from("5/15 * * * *", "2026-01-01T00:00:00Z", 4)[3],
        "2026-01-01T00:50:00Z"
    );
    assert_eq!(
        from("10-50/15 0 1 1 *", "2026-01-01T00:00:00Z", 3)[2],
        "2026-01-01T00:40:00Z"
    );
}

#[test]
fn s07_bad_texts_are_refused_with_field_and_place_and_nothing_is_clamped() {
    for (text, message, span) in [
        ("61 * * * *", "minute `61` must be 0 to 59", 0..2),
        ("0  24 * * *", "hour `24` must be 0 to 23", 3..5),
        ("0 0 1,40 * *", "day-of-month `40` must be 1 to 31", 6..8),
        ("  0 0 * 1-13 *", "month `13` must be 1 to 12", 10..12),
        ("0 0 * * 8", "day-of-week `8` must be 0 to 7", 8..9),
        (
            "0 0 0 1 1 * 1969",
            "year `1969` must be 1970 to 9999",
            12..16,
        ),
        ("0 0 * * * garbage!", "cannot read `garbage!`", 10..18),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        let shown = error.to_string();
        // Six fields put seconds first, so the last case is a word in the day-of-week field.
        assert!(shown.starts_with(message), "{text}: {shown}");
        assert_eq!(error.span(), span, "{text}: {shown}");
        assert_eq!(error.text(), text);
    }
}

#[test]
fn s09_intervals_are_anchored_to_the_epoch() {
    let schedule = schedule("@every 90s");
    let one_node = schedule.next_after(at("2026-01-01T00:00:10Z")).unwrap();
    let another = schedule.next_after(at("2026-01-01T00:00:59.5Z")).unwrap();
    assert_eq!(one_node, another);
    assert_eq!(one_node.as_second() % 90, 0);
    assert_eq!(schedule, Schedule::every(Duration::from_secs(90)).unwrap());
    assert_eq!(
        schedule.next_after(at("1960-01-01T00:00:00Z")),
        Some(Timestamp::UNIX_EPOCH)
    );
    assert_eq!(schedule.previous_before(Timestamp::UNIX_EPOCH), None);
    assert_eq!(
        schedule.previous_at_or_before(Timestamp::UNIX_EPOCH),
        Some(Timestamp::UNIX_EPOCH)
    );

    let weekly = Schedule::parse("@every 168h").unwrap();
    let tick = weekly.next_after(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        tick,
        at("2026-01-08T00:00:00Z"),
        "Thursdays, whatever was deployed in between"
    );
    assert_eq!(
        weekly.period_hint(tick),
        Some(Duration::from_secs(7 * 86_400))
    );
}

#[test]
fn s09_every_way_to_write_an_interval_means_the_same() {
    for (text, millis) in [
        ("@every 90s", 90_000),
        ("@EVERY 1m30s", 90_000),
        ("@every  2h30m", 9_000_000),
        ("@every 1500ms", 1_500),
        ("@every 1.5s", 1_500),
        ("@every 5 minutes", 300_000),
        ("@every PT1M", 60_000),
        ("@every 100ms", 100),
        ("@every 87660h", 87_660 * 3_600_000),
    ] {
        let expected = Schedule::every(Duration::from_millis(millis)).unwrap();
        let read = schedule(text);
        let near = at("2026-01-01T00:00:00Z");
        assert_eq!(read.next_after(near), expected.next_after(near), "{text}");
        assert_eq!(read.explain(), expected.explain());
        assert_eq!(
            Schedule::parse(expected.text()).unwrap(),
            expected,
            "{}",
            expected.text()
        );
    }
}

#[test]
fn s10_reboot_is_refused_with_the_reason() {
    let error = Schedule::parse("@reboot").unwrap_err();
    assert_eq!(error.kind(), &ScheduleErrorKind::Reboot);
    assert!(error.to_string().contains("cluster"));
}

#[test]
fn s11_the_horizon_answers_never_and_nothing_overflows() {
    for text in [
        "* * * * *",
        "0 0 29 2 *",
        "@every 87660h",
        "* * * * * *",
        "@every 100ms",
    ] {
        for zone in ["UTC", "America/New_York", "Pacific/Kiritimati"] {
            let schedule = Schedule::parse_in(text, &Zone::parse(zone).unwrap()).unwrap();
            assert_eq!(
                schedule.next_after(Timestamp::MAX),
                None,
                "{text} in {zone}"
            );
            let Some(last) = schedule.previous_before(Timestamp::MAX) else {
                panic!("{text} in {zone}")
            };
            assert_eq!(schedule.next_after(last), None, "{text} in {zone}");
            let first = schedule.next_after(Timestamp::MIN).unwrap();
            assert!(first >= Timestamp::UNIX_EPOCH, "{text} in {zone}");
            assert_eq!(schedule.previous_before(first), None, "{text} in {zone}");
            assert_eq!(schedule.previous_before(Timestamp::MIN), None);
        }
    }
    assert_eq!(
        from("0 0 0 1 1 ? 9999", "2026-01-01T00:00:00Z", 2),
        ["9999-01-01T00:00:00Z"]
    );
    assert_eq!(
        from("0 0 1 1 *", "2199-12-31T00:00:00Z", 1),
        ["2200-01-01T00:00:00Z"]
    );
    assert_eq!(
        schedule("0 0 1 1 *").period_hint(at("2026-01-01T00:00:00Z")),
        Some(Duration::from_secs(365 * 86_400)),
        "more than 2^32 milliseconds"
    );
}

#[test]
fn s12_second_60_is_refused_and_a_leap_second_has_no_tick() {
    let error = Schedule::parse("60 59 23 31 12 *").unwrap_err();
    assert_eq!(error.to_string(), "second `60` must be 0 to 59");
    assert!(error.help().unwrap().contains("leap second"));
    // 2016-12-31T23:59:60Z was one.
    let ticks = from("* * * * * *", "2016-12-31T23:59:58Z", 2);
    assert_eq!(ticks, ["2016-12-31T23:59:59Z", "2017-01-01T00:00:00Z"]);
}

#[test]
fn s13_a_tenth_of_a_second_gives_exactly_600_ticks_a_minute() {
    let schedule = schedule("@every 100ms");
    let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:01:00Z"));
    let ticks: Vec<_> = schedule.ticks_between(start, end).collect();
    assert_eq!(ticks.len(), 600);
    assert!(
        ticks
            .iter()
            .all(|tick| tick.as_nanosecond() % 100_000_000 == 0)
    );
}

#[test]
fn s65_a_disabled_schedule_is_valid_and_never_fires() {
    for schedule in [schedule("-"), schedule(" - "), Schedule::disabled()] {
        assert!(schedule.is_disabled());
        assert_eq!(schedule.text(), "-");
        assert_eq!(schedule.next_after(Timestamp::UNIX_EPOCH), None);
        assert_eq!(schedule.previous_before(Timestamp::MAX), None);
        assert_eq!(schedule.period_hint(Timestamp::UNIX_EPOCH), None);
        assert_eq!(schedule, Schedule::disabled());
    }
    assert!(!schedule("@daily").is_disabled());
}

#[test]
fn nicknames_mean_what_crontab_says() {
    for (nickname, fields) in [
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@every 1h", "0 * * * *"),
    ] {
        assert_eq!(first(nickname, 50), first(fields, 50), "{nickname}");
    }
}

#[test]
fn seconds_come_first_and_a_year_last() {
    assert_eq!(
        first("*/30 15 2 * * *", 3),
        [
            "2026-01-01T02:15:00Z",
            "2026-01-01T02:15:30Z",
            "2026-01-02T02:15:00Z"
        ]
    );
    assert_eq!(
        first("5 0 0 1 1 ? 2027,2031-2033/2", 9),
        [
            "2027-01-01T00:00:05Z",
            "2031-01-01T00:00:05Z",
            "2033-01-01T00:00:05Z"
        ]
    );
    assert_eq!(
        first("0\t12  1 1\t*", 1),
        ["2026-01-01T12:00:00Z"],
        "tabs and runs of spaces"
    );
    assert_eq!(
        schedule(" 0 12 1 1 *\r\n").text(),
        "0 12 1 1 *",
        "a file's line end is no fault"
    );
}
