//! Requirements S14 to S20: clocks that change, and the names of zones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tenure_schedule::{DstGap, DstOverlap, Schedule, ScheduleErrorKind, Zone, tzdb_version};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zoned(text: &str, zone: &str) -> Schedule {
    Schedule::parse_in(text, &Zone::parse(zone).unwrap()).unwrap()
}

/// The ticks of some local days, as local time with its offset.
fn local(schedule: &Schedule, first_day: &str, last_day: &str) -> Vec<String> {
    let zone = TimeZone::get(schedule.zone().name()).unwrap();
    let midnight = |day: &str| {
        let day: jiff::civil::Date = day.parse().unwrap();
        zone.to_zoned(day.at(0, 0, 0, 0)).unwrap().timestamp()
    };
    let next_day: jiff::civil::Date = last_day.parse().unwrap();
    let end = midnight(&next_day.tomorrow().unwrap().to_string());
    let just_before = SignedDuration::from_nanos(1);
    schedule
        .ticks_between(midnight(first_day) - just_before, end - just_before)
        .map(|tick| {
            tick.to_zoned(zone.clone())
                .strftime("%d %H:%M%:z")
                .to_string()
        })
        .collect()
}

// Berlin 2026: forward on 29 March at 01:00Z (02:00 to 03:00), back on 25 October at 01:00Z.
const BERLIN: &str = "Europe/Berlin";

#[test]
fn s14_a_fixed_time_in_the_gap_runs_right_after_it_or_not_at_all() {
    let schedule = zoned("30 2 * * *", BERLIN);
    assert_eq!(schedule.gap(), DstGap::RunAfter, "the default");
    assert_eq!(
        local(&schedule, "2026-03-28", "2026-03-30"),
        ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]
    );
    let skipping = schedule.with_gap(DstGap::Skip);
    assert_eq!(
        local(&skipping, "2026-03-28", "2026-03-30"),
        ["28 02:30+01:00", "30 02:30+02:00"]
    );
}

#[test]
fn s14_several_fixed_times_in_the_gap_become_one_run() {
    for (text, expected) in [
        ("0,20,40 2 * * *", vec!["29 03:00+02:00"]),
        (
            "0 1,2,3,4 * * *",
            vec!["29 01:00+01:00", "29 03:00+02:00", "29 04:00+02:00"],
        ),
        ("30 2,3 * * *", vec!["29 03:00+02:00", "29 03:30+02:00"]),
        ("0 2 * * *", vec!["29 03:00+02:00"]),
        ("59 1 * * *", vec!["29 01:59+01:00"]),
    ] {
        assert_eq!(
            local(&zoned(text, BERLIN), "2026-03-29", "2026-03-29"),
            expected,
            "{text}"
        );
    }
    let seconds = zoned("* 30 2 * * *", BERLIN);
    assert_eq!(
        local(&seconds, "2026-03-29", "2026-03-29"),
        ["29 03:00+02:00"]
    );
}

#[test]
fn s15_a_wildcard_has_no_run_at_times_that_do_not_exist_and_no_burst_after_them() {
    let quarter = zoned("*/15 * * * *", BERLIN);
    let ticks = local(&quarter, "2026-03-29", "2026-03-29");
    assert_eq!(ticks.len(), 23 * 4);
    assert!(
        ticks.iter().all(|tick| !tick.starts_with("29 02")),
        "{ticks:?}"
    );
    assert_eq!(ticks[7..9], ["29 01:45+01:00", "29 03:00+02:00"]);
    let around: Vec<_> = quarter
        .ticks_between(at("2026-03-28T22:59:59Z"), at("2026-03-29T22:00:00Z"))
        .collect();
    assert!(
        around
            .windows(2)
            .all(|pair| pair[1].duration_since(pair[0]).as_mins() == 15)
    );

    for text in [
        "*/5 2 * * *",
        "10/5 2 * * *",
        "0-59 2 * * *",
        "* 2 * * *",
        "10-50/10 2 * * *",
    ] {
        assert!(zoned(text, BERLIN).is_interval_like());
        assert_eq!(
            local(&zoned(text, BERLIN), "2026-03-29", "2026-03-29").len(),
            0,
            "{text}"
        );
    }
}

#[test]
fn s16_a_fixed_time_in_the_overlap_runs_first_last_or_both() {
    for (overlap, expected) in [
        (DstOverlap::First, vec!["25 02:30+02:00"]),
        (DstOverlap::Last, vec!["25 02:30+01:00"]),
        (DstOverlap::Both, vec!["25 02:30+02:00", "25 02:30+01:00"]),
    ] {
        let schedule = zoned("30 2 * * *", BERLIN).with_overlap(overlap);
        assert_eq!(
            local(&schedule, "2026-10-25", "2026-10-25"),
            expected,
            "{overlap:?}"
        );
    }
    assert_eq!(
        zoned("30 2 * * *", BERLIN).overlap(),
        DstOverlap::First,
        "the default"
    );
}

#[test]
fn s16_a_restart_between_the_two_passes_does_not_run_it_again() {
    let schedule = zoned("30 2 * * *", BERLIN);
    let first = at("2026-10-25T00:30:00Z");
    let next_day = at("2026-10-26T01:30:00Z");
    for restart in [
        "2026-10-25T00:30:00Z",
        "2026-10-25T00:59:59Z",
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:15:00Z",
        "2026-10-25T01:45:00Z",
    ] {
        assert_eq!(
            schedule.next_after(at(restart)),
            Some(next_day),
            "{restart}"
        );
        assert_eq!(
            schedule.previous_at_or_before(at(restart)),
            Some(first),
            "{restart}"
        );
    }
    let last = schedule.with_overlap(DstOverlap::Last);
    for restart in [
        "2026-10-25T00:15:00Z",
        "2026-10-25T00:45:00Z",
        "2026-10-25T01:29:59Z",
    ] {
        assert_eq!(
            last.next_after(at(restart)),
            Some(at("2026-10-25T01:30:00Z")),
            "{restart}"
        );
    }
}

#[test]
fn s17_a_wildcard_keeps_real_intervals_through_the_overlap() {
    let quarter = zoned("*/15 * * * *", BERLIN);
    let ticks: Vec<_> = quarter
        .ticks_between(at("2026-10-24T21:59:59Z"), at("2026-10-25T22:59:59Z"))
        .collect();
    assert_eq!(ticks.len(), 100, "25 hours");
    assert!(
        ticks
            .windows(2)
            .all(|pair| pair[1].duration_since(pair[0]).as_mins() == 15)
    );
    assert_eq!(
        local(&zoned("0 * * * *", BERLIN), "2026-10-25", "2026-10-25").len(),
        25
    );
    assert_eq!(
        local(&zoned("0 * * * *", BERLIN), "2026-03-29", "2026-03-29").len(),
        23
    );
    let unmoved = quarter
        .clone()
        .with_gap(DstGap::Skip)
        .with_overlap(DstOverlap::Last);
    assert_eq!(
        local(&unmoved, "2026-10-25", "2026-10-25").len(),
        100,
        "policies do not apply"
    );
}

#[test]
fn s17_which_schedules_follow_elapsed_time_is_decided_by_minute_and_hour_alone() {
    for (text, expected) in [
        ("30 2 * * *", false),
        ("0,30 1-3 * * *", false),
        ("0-30 2 * * *", false),
        ("* 30 2 * * *", false),
        ("*/10 30 2 * * *", false),
        ("0 2 */2 * *", false),
        ("@daily", false),
        ("-", false),
        ("0 * * * *", true),
        ("0 0-23 * * *", true),
        ("0 */2 * * *", true),
        ("0 8-18/2 * * *", true),
        ("*/5 2 * * *", true),
        ("5,*/20 2 * * *", true),
        ("0-59 2 * * *", true),
        ("@hourly", true),
        ("@every 1h", true),
    ] {
        assert_eq!(zoned(text, BERLIN).is_interval_like(), expected, "{text}");
    }
}

#[test]
fn s18_a_half_hour_shift() {
    // Lord Howe 2026: back by half an hour on 5 April at 02:00 (to 01:30), forward on 4 October
    // at 02:00 (to 02:30).
    const HOWE: &str = "Australia/Lord_Howe";
    let fixed = zoned("45 1 * * *", HOWE);
    assert_eq!(
        local(&fixed, "2026-04-05", "2026-04-05"),
        ["05 01:45+11:00"]
    );
    let both = fixed.with_overlap(DstOverlap::Both);
    assert_eq!(
        local(&both, "2026-04-05", "2026-04-05"),
        ["05 01:45+11:00", "05 01:45+10:30"]
    );
    let gap = zoned("15 2 * * *", HOWE);
    assert_eq!(local(&gap, "2026-10-04", "2026-10-04"), ["04 02:30+11:00"]);
    assert_eq!(
        local(&zoned("*/15 * * * *", HOWE), "2026-04-05", "2026-04-05").len(),
        98
    );
    assert_eq!(
        local(&zoned("*/15 * * * *", HOWE), "2026-10-04", "2026-10-04").len(),
        94
    );
    assert_eq!(
        local(&zoned("0 * * * *", HOWE), "2026-04-05", "2026-04-05").len(),
        24
    );
}

#[test]
fn s18_a_gap_at_midnight_runs_at_the_first_instant_of_that_day() {
    for (zone, day, first) in [
        ("America/Sao_Paulo", "2018-11-04", "04 01:00-02:00"),
        ("Asia/Beirut", "2022-03-27", "27 01:00+03:00"),
        ("Africa/Cairo", "2026-04-24", "24 01:00+03:00"),
    ] {
        assert_eq!(local(&zoned("@daily", zone), day, day), [first], "{zone}");
        let skipping = zoned("@daily", zone).with_gap(DstGap::Skip);
        assert_eq!(local(&skipping, day, day).len(), 0, "{zone}");
        assert_eq!(local(&zoned("@hourly", zone), day, day).len(), 23, "{zone}");
    }
    // Cairo goes back at midnight: 23:00 to 24:00 of the day before comes twice.
    let late = zoned("30 23 * * *", "Africa/Cairo");
    assert_eq!(local(&late, "2026-10-29", "2026-10-29"), ["29 23:30+03:00"]);
    let both = late.with_overlap(DstOverlap::Both);
    assert_eq!(local(&both, "2026-10-29", "2026-10-29").len(), 2);
}

#[test]
fn s18_a_date_that_was_skipped() {
    // Samoa had no 30 December 2011: 29 December 24:00-10:00 was 31 December 00:00+14:00.
    const APIA: &str = "Pacific/Apia";
    assert_eq!(
        local(&zoned("0 9 * * *", APIA), "2011-12-29", "2011-12-31"),
        ["29 09:00-10:00", "31 00:00+14:00", "31 09:00+14:00"],
        "the time named for the lost day runs right after it"
    );
    assert_eq!(
        local(
            &zoned("0 9 * * *", APIA).with_gap(DstGap::Skip),
            "2011-12-29",
            "2011-12-31"
        ),
        ["29 09:00-10:00", "31 09:00+14:00"]
    );
    assert_eq!(
        local(&zoned("0 0 * * *", APIA), "2011-12-29", "2011-12-31"),
        ["29 00:00-10:00", "31 00:00+14:00"],
        "one tick, though two days name that instant"
    );
    let hourly: Vec<_> = zoned("0 * * * *", APIA)
        .ticks_between(at("2011-12-30T05:00:00Z"), at("2011-12-30T15:00:00Z"))
        .collect();
    assert_eq!(hourly.len(), 10, "no hole and no burst in real time");
    let only_that_day = zoned("0 0 9 30 12 ? 2011", APIA);
    assert_eq!(
        only_that_day.next_after(Timestamp::UNIX_EPOCH),
        Some(at("2011-12-30T10:00:00Z"))
    );
    let never = only_that_day.with_gap(DstGap::Skip);
    assert_eq!(never.next_after(Timestamp::UNIX_EPOCH), None);
}

#[test]
fn s18_zones_with_other_rules_have_other_fingerprints() {
    let fingerprint = |name: &str| Zone::parse(name).unwrap().rules_fingerprint();
    assert_eq!(fingerprint("Europe/Berlin"), fingerprint("europe/BERLIN"));
    assert_eq!(
        fingerprint("US/Eastern"),
        fingerprint("America/New_York"),
        "two names, one rule"
    );
    assert_eq!(fingerprint("UTC"), Zone::utc().rules_fingerprint());
    assert_ne!(fingerprint("Europe/Berlin"), fingerprint("Europe/London"));
    assert_ne!(
        fingerprint("America/Sao_Paulo"),
        fingerprint("America/Bahia")
    );
    assert_ne!(fingerprint("Etc/GMT-1"), fingerprint("Etc/GMT-2"));
    assert_eq!(tzdb_version(), None, "jiff does not tell");
}

#[test]
fn s19_an_unknown_zone_is_an_error_and_never_utc() {
    for (name, help) in [
        (
            "Mars/Base",
            "write a name such as `Europe/Berlin`, or `UTC`",
        ),
        ("", "write a name such as `Europe/Berlin`, or `UTC`"),
        ("Europe/Berlim", "did you mean `Europe/Berlin`?"),
        ("berlin", "did you mean `Europe/Berlin`?"),
        ("New_York", "did you mean `America/New_York`?"),
        ("EST5EDT", "did you mean `America/New_York`?"),
        ("PST8PDT", "did you mean `America/Los_Angeles`?"),
    ] {
        let error = Zone::parse(name).unwrap_err();
        assert!(
            matches!(error.kind(), ScheduleErrorKind::UnknownZone { .. }),
            "{name}"
        );
        assert_eq!(error.help().as_deref(), Some(help), "{name}");
        assert_eq!(error.span(), 0..name.len());
    }
    for name in ["+25:00", "+02:00", "-05", "UTC+2", "GMT-3"] {
        let help = Zone::parse(name).unwrap_err().help().unwrap();
        assert!(
            help.starts_with("a fixed offset is not a zone"),
            "{name}: {help}"
        );
    }
}

#[test]
fn s19_what_the_machine_is_set_to_does_not_leak_in() {
    for name in [
        "localtime",
        "LocalTime",
        "Local",
        "local",
        "posixrules",
        "Factory",
        "Etc/Unknown",
        "right/Europe/Berlin",
        "posix/Europe/Berlin",
        ":Europe/Berlin",
        "/etc/localtime",
        "../localtime",
        "Europe/../localtime",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        " UTC",
        "UTC\0",
    ] {
        assert!(Zone::parse(name).is_err(), "{name:?}");
    }
    for name in [
        "UTC",
        "utc",
        "Etc/UTC",
        "GMT",
        "CET",
        "EST",
        "Etc/GMT+5",
        "US/Pacific",
    ] {
        assert!(Zone::parse(name).is_ok(), "{name}");
    }
    assert_eq!(Schedule::parse("@daily").unwrap().zone(), &Zone::utc());
    assert_eq!(Zone::parse("utc").unwrap(), Zone::default());
}

#[test]
fn s19_a_zone_inside_the_text_is_refused_with_the_place_where_it_belongs() {
    for text in [
        "CRON_TZ=Europe/Berlin 0 0 * * *",
        "TZ=UTC 0 0 * * *",
        "tz=UTC @daily",
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert!(
            matches!(error.kind(), ScheduleErrorKind::ZonePrefix { .. }),
            "{text}"
        );
        assert!(error.help().unwrap().contains("zone ="));
        assert_eq!(error.span(), 0..text.find(' ').unwrap());
    }
}

#[test]
fn s20_ticks_are_instants_so_two_zones_can_share_one() {
    let berlin = zoned("0 9 * * *", "Europe/Berlin");
    let tokyo = zoned("0 17 * * *", "Asia/Tokyo");
    let after = at("2026-01-01T00:00:00Z");
    assert_eq!(berlin.next_after(after), tokyo.next_after(after));
    assert_ne!(berlin, tokyo);
}

#[test]
fn policies_are_read_from_their_words_and_from_nothing_else() {
    for policy in [DstGap::RunAfter, DstGap::Skip] {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    for policy in [DstOverlap::First, DstOverlap::Last, DstOverlap::Both] {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    let error = "later".parse::<DstOverlap>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown policy `later`, expected one of first, last, both"
    );
    assert!("Run_After".parse::<DstGap>().is_err());
}
