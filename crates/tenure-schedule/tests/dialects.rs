//! How dialects are chosen, and how they differ over the same characters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test may stop it like the test itself"
)]

use jiff::Timestamp;
use tenure_schedule::{Dialect, Schedule, ScheduleErrorKind as Kind, Zone};

/// What another dialect makes of a text: its words and in what it differs, or its refusal.
fn reading(text: &str, dialect: Dialect) -> (String, Vec<&'static str>) {
    let readings = Schedule::parse(text).unwrap().readings();
    let found = readings
        .iter()
        .find(|reading| reading.dialect() == dialect)
        .unwrap_or_else(|| panic!("{text} has no reading in {dialect}"));
    match found.outcome() {
        Ok(other) => (other.explain(), found.reasons().to_vec()),
        Err(error) => (error.to_string(), Vec::new()),
    }
}

#[test]
fn s05_a_dialect_is_chosen_by_name_and_never_guessed() {
    for dialect in Dialect::ALL {
        assert_eq!(dialect.as_str().parse::<Dialect>().unwrap(), dialect);
        let off = Schedule::parse(&format!("{dialect}: -")).unwrap();
        assert!(off.is_disabled() && off.dialect() == dialect);
    }
    assert_eq!("QUARTZ".parse::<Dialect>().unwrap(), Dialect::Quartz);
    let error = "cron".parse::<Dialect>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown dialect `cron`, expected one of crontab, krontab, quartz, systemd, english"
    );
    // The same characters, three schedules.
    let text = "0 0 9 ? * 2";
    let plain = Schedule::parse(text).unwrap();
    let quartz = Schedule::parse_as(Dialect::Quartz, text).unwrap();
    assert_ne!(plain, quartz);
    assert_eq!(plain.explain(), "at 09:00, on Tuesday, in UTC");
    assert_eq!(quartz.explain(), "at 09:00, on Monday, in UTC");
    assert!(Schedule::parse_as(Dialect::Krontab, text).is_err());
    assert_eq!(
        Schedule::parse("crontab: 0 9 * * 2").unwrap().explain(),
        plain.explain()
    );
}

#[test]
fn s10_reboot_is_refused_in_every_dialect_for_a_cluster_does_not_boot() {
    for dialect in Dialect::ALL {
        let error = Schedule::parse_as(dialect, "@reboot").unwrap_err();
        assert_eq!(
            error.kind() == &Kind::Reboot,
            dialect == Dialect::Crontab,
            "{dialect}: {error}"
        );
    }
}

#[test]
fn s05_a_refused_text_that_another_dialect_reads_says_so() {
    for (text, other) in [
        ("every 5 minutes", Dialect::English),
        ("every monday at 09:00", Dialect::English),
        ("Mon..Fri *-*-* 10:00:00", Dialect::Systemd),
        ("*:0/15", Dialect::Systemd),
        ("0 0 0 L-3W * ?", Dialect::Quartz),
        ("1 2 3 F,4,L 5 60o", Dialect::Krontab),
        ("0/15 30 * * * 500ms", Dialect::Krontab),
    ] {
        for error in [
            Schedule::parse(text).unwrap_err(),
            Schedule::parse_as(Dialect::Crontab, text).unwrap_err(),
        ] {
            let help = error.help().unwrap();
            assert_eq!(
                help,
                format!(
                    "this can be read in the {other} dialect; if that is meant, write `{other}:` \
                     before it"
                ),
                "{text}"
            );
        }
        assert!(
            Schedule::parse(&format!("{other}: {text}")).is_ok(),
            "{text}"
        );
    }
    // Nothing is said of numbers alone, which krontab reads after clamping them.
    let error = Schedule::parse("60 * * * *").unwrap_err();
    assert!(!error.help().unwrap_or_default().contains("dialect"));
    // A chosen dialect is not doubted.
    let error = Schedule::parse_as(Dialect::Quartz, "every 5 minutes").unwrap_err();
    assert!(matches!(error.kind(), Kind::NotOfDialect { .. }));
    assert_eq!(error.help(), None);
}

#[test]
fn s04_s05_readings_name_what_differs_for_this_very_text() {
    let (words, reasons) = reading("0 0 9 ? * 2", Dialect::Quartz);
    assert_eq!(words, "at 09:00, on Monday, in UTC");
    assert_eq!(reasons, ["weekdays count otherwise"]);

    let (words, reasons) = reading("0 0 1 * 5", Dialect::Krontab);
    assert_eq!(words, "at 01:00, in June, in UTC");
    assert!(
        reasons.contains(&"the fields are other parts of the time"),
        "{reasons:?}"
    );

    let (words, _) = reading("0 0 12 * * 1", Dialect::Quartz);
    assert!(words.contains("cannot both be given"), "{words}");

    let (words, reasons) = reading("krontab: 0 0 12 1 1", Dialect::Crontab);
    assert_eq!(
        words,
        "at 00:00, on day 12 of the month or on Monday, either is enough, in January, in UTC"
    );
    assert!(reasons.contains(&"months count otherwise"), "{reasons:?}");
    assert!(
        reasons.contains(&"here both day fields must match, there one is enough"),
        "{reasons:?}"
    );

    let same = Schedule::parse("quartz: 0 0 12 ? * MON")
        .unwrap()
        .readings();
    let crontab = same
        .iter()
        .find(|other| other.dialect() == Dialect::Crontab)
        .unwrap();
    assert!(crontab.is_same());
    for text in [
        "-",
        "@daily",
        "english: every 5 minutes",
        "systemd: daily UTC",
    ] {
        assert_eq!(Schedule::parse(text).unwrap().readings(), [], "{text}");
    }
}

#[test]
fn s04_s05_each_difference_is_named_where_there_is_one_and_nowhere_else() {
    for (text, dialect, expected) in [
        (
            "0 0 9 1 1 *",
            Dialect::Krontab,
            &[
                "days of the month count otherwise",
                "months count otherwise",
            ][..],
        ),
        (
            "0 0 12 29 * *",
            Dialect::Krontab,
            &[
                "days of the month count otherwise",
                "a day that a month does not have is its last one for krontab",
            ],
        ),
        (
            "0 3 * * *",
            Dialect::Krontab,
            &[
                "the fields are other parts of the time",
                "times in clock changes differ",
            ],
        ),
        ("0 0 12 ? * * 2026/2", Dialect::Quartz, &["years differ"]),
        ("0 0 0 */2 * ?", Dialect::Quartz, &[]),
    ] {
        let (words, reasons) = reading(text, dialect);
        assert_eq!(reasons, expected, "{text} in {dialect}: {words}");
    }
}

#[test]
fn s04_two_schedules_called_the_same_are_due_at_the_same_instants() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    for text in [
        "0 0 12 ? * MON",
        "0 */5 9-17 * * ?",
        "0 30 2 1 * ?",
        "0 0 0 L * ?",
        "0 0 0 ? * 2",
        "0 0 0 1 0 2027",
        "*/10 * * * *",
        "5 4 3 2 1",
    ] {
        let Ok(schedule) = Schedule::parse_in(text, &berlin) else {
            continue;
        };
        for reading in schedule.readings() {
            let Ok(other) = reading.outcome() else {
                continue;
            };
            let ticks = |schedule: &Schedule| -> Vec<Timestamp> {
                schedule
                    .ticks_after(Timestamp::UNIX_EPOCH)
                    .take(500)
                    .collect()
            };
            let is_same = ticks(&schedule) == ticks(other);
            assert_eq!(
                reading.is_same(),
                is_same,
                "{text} as {}",
                reading.dialect()
            );
        }
    }
}
