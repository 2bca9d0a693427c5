//! What `croner` and `cron` answer, where they are right; and our answer where they are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tenure_schedule::{Schedule, Zone};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn croner(text: &str) -> Result<croner::Cron, croner::errors::CronError> {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Optional)
        .build();
    parser.parse(text)
}

fn ours(text: &str, zone: &str, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let schedule = Schedule::parse_in(text, &Zone::parse(zone).unwrap()).unwrap();
    schedule.ticks_after(after).take(count).collect()
}

fn theirs(text: &str, zone: &str, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let cron = croner(text).unwrap();
    let mut found = Vec::new();
    let mut from: Zoned = after.to_zoned(TimeZone::get(zone).unwrap());
    for _ in 0..count {
        let Ok(next) = cron.find_next_occurrence(&from, false) else {
            break;
        };
        found.push(next.timestamp());
        from = next;
    }
    found
}

#[test]
fn s02_croner_agrees_on_ordinary_schedules() {
    let texts = [
        "* * * * *",
        "*/5 * * * *",
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "0 9 * * 1-5",
        "0 0 1 1 *",
        "15 10,14 * * *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 15W * *",
        "0 0 1W * *",
        "0 0 31W * *",
        "0 0 * * 5#3",
        "0 0 * * 5#L",
        "0 0 * * 5L",
        "0 0 * * 0",
        "0 0 * * 7",
        "0 0 * * MON-FRI",
        "0 0 13 * 5",
        "0 0 13 * +5",
        "0 0 29 2 *",
        "0 0 31 * *",
        "0 12 1-7 * +MON",
        "*/10 * * * * *",
        "30 15 3 * * *",
        "0 0 12 * * * 2030-2032",
        "10-50/10 8-18/2 * JAN,JUL *",
        "0 0 ? * 3",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "@hourly",
        "0 0 1-5,10-15/2,L * *",
    ];
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"];
    let starts = [
        "2026-01-01T00:00:00Z",
        "2026-03-28T20:11:12Z",
        "2026-10-24T19:59:59Z",
    ];
    for text in texts {
        for zone in zones {
            for start in starts {
                let start = at(start);
                let (ours, theirs) = (ours(text, zone, start, 12), theirs(text, zone, start, 12));
                assert_eq!(ours, theirs, "{text} in {zone} after {start}");
            }
        }
    }
}

#[test]
fn s02_croner_agrees_on_the_days_of_many_years() {
    let start = at("1999-12-31T12:00:00Z");
    for text in [
        "0 0 29 2 *",
        "0 0 13 * +5",
        "0 0 L 2 *",
        "0 0 LW * *",
        "0 0 31 * +1",
    ] {
        let (ours, theirs) = (ours(text, "UTC", start, 60), theirs(text, "UTC", start, 60));
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn s14_s18_croner_is_not_followed_where_it_gives_up() {
    // It reports that its search limit is exceeded.
    let before = at("2011-12-30T05:00:00Z");
    assert_eq!(theirs("0 9 * * *", "Pacific/Apia", before, 1), []);
    assert_eq!(
        ours("0 9 * * *", "Pacific/Apia", before, 2),
        [at("2011-12-30T10:00:00Z"), at("2011-12-30T19:00:00Z")]
    );
}

#[test]
fn s05_s07_croner_reads_less_and_more_than_we_do() {
    // Ours on purpose: last days by distance, open steps, weekdays that wrap.
    for text in ["0 0 L-3 * *", "5/15 * * * *", "0 0 * * FRI-MON"] {
        assert!(croner(text).is_err(), "{text}");
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
    // It reads an empty item as nothing.
    assert!(croner("1,,2 * * * *").is_ok());
    assert!(Schedule::parse("1,,2 * * * *").is_err());
}

#[test]
fn s04_croner_restricts_by_a_star_with_a_step_and_vixie_cron_does_not() {
    let start = at("2025-12-31T12:00:00Z");
    let restricted = theirs("0 0 */2 * 1", "UTC", start, 20);
    assert_eq!(
        restricted,
        ours("0 0 1-31/2 * 1", "UTC", start, 20),
        "either is enough"
    );
    assert_ne!(
        restricted,
        ours("0 0 */2 * 1", "UTC", start, 20),
        "both must match"
    );
}

#[test]
fn s05_cron_counts_weekdays_from_one_and_knows_no_last_days() {
    use cron::TimeUnitSpec;
    use std::str::FromStr;
    let theirs = cron::Schedule::from_str("0 0 0 * * 1").unwrap();
    let names = cron::Schedule::from_str("0 0 0 * * SUN").unwrap();
    assert_eq!(
        theirs.days_of_week().iter().collect::<Vec<_>>(),
        names.days_of_week().iter().collect::<Vec<_>>(),
        "its 1 is Sunday"
    );
    let start = at("2026-01-01T00:00:00Z");
    assert_eq!(
        ours("0 0 0 * * 1", "UTC", start, 9),
        ours("0 0 0 * * MON", "UTC", start, 9)
    );
    for text in [
        "0 0 0 * * 0",
        "0 0 0 L * *",
        "0 0 0 15W * *",
        "0 0 0 * * 5#3",
        "0 0 0 * * 6-1",
    ] {
        assert!(cron::Schedule::from_str(text).is_err(), "{text}");
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
    // It accepts what can never fire.
    assert!(cron::Schedule::from_str("0 0 0 30 2 *").is_ok());
    assert!(Schedule::parse("0 0 0 30 2 *").is_err());
}
