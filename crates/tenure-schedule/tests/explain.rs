//! What `explain` says, word for word.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use tenure_schedule::{DstGap, DstOverlap, Schedule, Zone};

#[test]
fn s06_every_form_has_its_words() {
    for (text, words) in [
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        (
            "*/15 * * * *",
            "every 15 minutes, from minute 0 to 45 of every hour",
        ),
        (
            "*/10 * * * * *",
            "every 10 seconds, from second 0 to 50 of every minute",
        ),
        ("5 * * * *", "at minute 5 of every hour"),
        (
            "0,30 9-17 * * 1-5",
            "at minutes 0 and 30, in hours 9 to 17, on Monday to Friday",
        ),
        (
            "5/15 * * * *",
            "every 15 minutes, from minute 5 to 50 of every hour",
        ),
        ("0 2 * * *", "at 02:00"),
        ("0 9,17 * * *", "at 09:00 and 17:00"),
        ("15 0 2 * * * 2026-2030", "at 02:00:15, in 2026 to 2030"),
        (
            "0 0 0 1 1 ? 2026/4",
            "at 00:00, on day 1 of the month, in January, in every 4th year \
                                from 2026 to 9999",
        ),
        ("* 30 2 * * *", "every second, at minute 30, in hour 2"),
        (
            "30 */3 * * *",
            "at minute 30, in every 3rd hour from hour 0 to 21",
        ),
        ("0 0 1,15 * *", "at 00:00, on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "at 00:00, on days 1 to 7 of the month"),
        ("0 0 * 6-8,12 *", "at 00:00, in June to August and December"),
        (
            "0 0 * * SAT-MON",
            "at 00:00, on Monday, Saturday and Sunday",
        ),
        (
            "0 0 13 * 5",
            "at 00:00, on day 13 of the month or on Friday, either is enough",
        ),
        (
            "0 0 13 * +5",
            "at 00:00, on day 13 of the month, but only if that is also Friday",
        ),
        (
            "0 0 */2 * 1",
            "at 00:00, on every 2nd day from day 1 to 31 of the month, but only if \
                         that is also Monday",
        ),
        ("0 0 1-31 * 1", "at 00:00"),
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        (
            "0 0 L-1 * *",
            "at 00:00, on the day before the last day of the month",
        ),
        (
            "0 0 L-3 * *",
            "at 00:00, on the day 3 days before the last day of the month",
        ),
        (
            "0 0 15W * *",
            "at 00:00, on the Monday to Friday nearest to day 15 within its month",
        ),
        (
            "0 0 LW * *",
            "at 00:00, on the last Monday to Friday of the month",
        ),
        (
            "0 0 1,15W,L * *",
            "at 00:00, on day 1 of the month or the last day of the month or the \
                             Monday to Friday nearest to day 15 within its month",
        ),
        (
            "0 0 * * 5#3,1",
            "at 00:00, on Monday or the third Friday of the month",
        ),
        ("0 0 * * 5L", "at 00:00, on the last Friday of the month"),
    ] {
        assert_eq!(
            Schedule::parse(text).unwrap().explain(),
            format!("{words}, in UTC"),
            "{text}"
        );
    }
    assert_eq!(
        Schedule::parse("@every 90s").unwrap().explain(),
        "every 90 seconds, counted from 1970-01-01T00:00:00Z"
    );
    assert_eq!(
        Schedule::parse("@every 1h").unwrap().explain(),
        "every hour, counted from 1970-01-01T00:00:00Z"
    );
    assert_eq!(Schedule::disabled().explain(), "never, switched off");
}

#[test]
fn s06_uneven_steps_and_missing_dates_are_noted() {
    for (text, note) in [
        (
            "*/7 * * * *",
            "uneven: only 4 minutes from minute 56 to minute 0",
        ),
        (
            "*/7 9-17 * * *",
            "uneven: only 4 minutes from minute 56 to minute 0",
        ),
        (
            "*/25 * * * * *",
            "uneven: only 10 seconds from second 50 to second 0",
        ),
        ("0 */5 * * *", "uneven: only 4 hours from hour 20 to hour 0"),
        ("0 0 31 * *", "only in months that have 31 days"),
        ("0 0 31W * *", "only in months that have 31 days"),
        ("0 0 30 * *", "not in February, which has no day 30"),
        ("0 0 29 * *", "in February of leap years only"),
        ("0 0 29 2 *", "in leap years only"),
        ("0 0 L-30 * *", "only in months that are long enough"),
    ] {
        let words = Schedule::parse(text).unwrap().explain();
        assert!(
            words.ends_with(&format!("in UTC ({note})")),
            "{text}: {words}"
        );
    }
    for text in [
        "*/15 * * * *",
        "5-50/7 * * * *",
        "*/7 3 * * *",
        "0 0 31 1,3 *",
        "0 0 29 4 *",
    ] {
        let words = Schedule::parse(text).unwrap().explain();
        assert!(words.ends_with("in UTC"), "{text}: {words}");
    }
}

#[test]
fn s14_what_happens_when_clocks_change_is_said_where_they_do() {
    let explain = |text: &str, zone: &str| {
        Schedule::parse_in(text, &Zone::parse(zone).unwrap())
            .unwrap()
            .explain()
    };
    assert_eq!(
        explain("0 2 * * *", "Europe/Berlin"),
        "at 02:00, in Europe/Berlin (when clocks change, a skipped local time runs once right \
         after the gap and a repeated one the first time only)"
    );
    assert_eq!(
        explain("*/7 * * * *", "Europe/Berlin"),
        "every 7 minutes, from minute 0 to 56 of every hour, in Europe/Berlin (uneven: only 4 \
         minutes from minute 56 to minute 0; when clocks change, skipped local times do not run \
         and repeated ones run twice)"
    );
    assert_eq!(
        explain("0 2 * * *", "Asia/Kolkata"),
        "at 02:00, in Asia/Kolkata"
    );
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let schedule = Schedule::parse_in("0 2 * * *", &zone).unwrap();
    let mut said = std::collections::BTreeSet::new();
    for gap in [DstGap::RunAfter, DstGap::Skip] {
        for overlap in [DstOverlap::First, DstOverlap::Last, DstOverlap::Both] {
            said.insert(
                schedule
                    .clone()
                    .with_gap(gap)
                    .with_overlap(overlap)
                    .explain(),
            );
        }
    }
    assert_eq!(said.len(), 6, "each pair of policies has its own words");
}

#[test]
fn s57_a_delay_after_an_end_has_words_and_no_ticks() {
    let schedule = Schedule::parse("  @After 1h ").unwrap();
    assert_eq!(schedule.explain(), "1 hour after the end of the run before");
    assert_eq!(schedule.delay(), Some(std::time::Duration::from_secs(3600)));
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(schedule.next_after(now), None);
    assert_eq!(schedule.previous_before(now), None);
    assert!(!schedule.is_disabled());
    assert_eq!(Schedule::parse("@every 1h").unwrap().delay(), None);
    for (text, message) in [
        (
            "@after",
            "cannot read interval ``, expected a duration such as 90s or 2h30m",
        ),
        (
            "@after 50ms",
            "interval `50ms` must be 100ms to 87660h (10 years), in whole milliseconds",
        ),
    ] {
        assert_eq!(Schedule::parse(text).unwrap_err().to_string(), message);
    }
}
