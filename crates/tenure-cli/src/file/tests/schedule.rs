//! Schedules and zones: where a string is wrong, and what its author is told.

use super::{TASK, refused, told};

#[test]
fn e41_to_e51_a_schedule_is_refused_at_the_field_that_is_wrong() {
    for (schedule, column, parts) in [
        ("* * * *", 12, &["expected 5, 6 or 7 fields, got 4"][..]),
        ("60 * * * *", 13, &["minute `60` must be 0 to 59"]),
        ("* 24 * * *", 15, &["hour `24` must be 0 to 23"]),
        ("* * 0 * *", 17, &["day-of-month `0` must be 1 to 31"]),
        ("* * * 13 *", 19, &["month `13` must be 1 to 12"]),
        ("*/0 * * * *", 15, &["step `0`"]),
        ("5-1 * * * *", 13, &["`5-1`", "backwards"]),
        ("1,,2 * * * *", 15, &["empty item"]),
        ("0 0 30 2 *", 13, &["never fires"]),
        ("0 0 * Janu *", 19, &["unknown name `Janu`"]),
        ("@reboot", 13, &["@reboot"]),
        ("@every 1ms", 20, &["100ms"]),
    ] {
        let text = format!("[[task]]\nname = \"t\"\nschedule = \"{schedule}\"\nshell = \"true\"\n");
        let (files, shown) = told(&text);
        assert!(!files.are_sound(), "{schedule}");
        // Inside the quotes, which open in column 12; something missing may be shown as a whole.
        let here = shown.contains(&format!("tasks.toml:3:{column}\n"));
        let whole = shown.contains("tasks.toml:3:13\n");
        assert!(here || whole, "{schedule}: {shown}");
        for part in parts {
            assert!(shown.contains(part), "{schedule}: {shown}");
        }
        assert!(shown.contains("schedule of task `t`"), "{shown}");
    }
    let accepted = told("[[task]]\nname = \"t\"\nschedule = \"0 0 29 2 *\"\nshell = \"true\"\n");
    assert!(accepted.0.are_sound(), "{}", accepted.1);
}

#[test]
fn s08_a_schedule_is_read_in_the_dialect_that_is_named() {
    let task = |lines: &str| format!("[[task]]\nname = \"t\"\nshell = \"true\"\n{lines}\n");
    for (lines, words) in [
        ("schedule = \"0 0 9 ? * 2\"", "at 09:00, on Tuesday, in UTC"),
        (
            "schedule = \"0 0 9 ? * 2\"\ndialect = \"quartz\"",
            "at 09:00, on Monday, in UTC",
        ),
        (
            "schedule = \"quartz: 0 0 9 ? * 2\"",
            "at 09:00, on Monday, in UTC",
        ),
        (
            "schedule = \"Mon 09:00 Asia/Tokyo\"\ndialect = \"systemd\"",
            "at 09:00, on Monday, in Asia/Tokyo",
        ),
        (
            "schedule = \"every monday at 9am\"\ndialect = \"english\"",
            "at 09:00, on Monday, in UTC",
        ),
    ] {
        let (files, shown) = told(&task(lines));
        assert!(files.are_sound(), "{lines}: {shown}");
        let found: Vec<String> = files.tasks.iter().map(|t| t.schedule.explain()).collect();
        assert_eq!(found, [words], "{lines}");
    }
    let defaults = format!(
        "[defaults]\ndialect = \"krontab\"\n{}",
        task("schedule = \"0 0 12 * * 90o\"")
    );
    let (files, shown) = told(&defaults);
    assert!(files.are_sound(), "{shown}");
    let found: Vec<&str> = files.tasks.iter().map(|t| t.schedule.text()).collect();
    assert_eq!(found, ["krontab: 0 0 12 * * 90o"]);
    refused(
        &task("schedule = \"0 0 9 ? * 0\"\ndialect = \"quartz\""),
        "4:23",
        &[
            "day-of-week `0` must be 1 to 7 in the quartz dialect",
            "1 is Sunday",
        ],
    );
    refused(
        &task("schedule = \"every monday at 9am\""),
        "4:13",
        &["this can be read in the english dialect"],
    );
    refused(
        &task("schedule = \"@daily\"\ndialect = \"quarz\""),
        "5:11",
        &["did you mean `quartz`?"],
    );
}

#[test]
fn s08_what_krontab_would_clamp_is_warned_of_at_its_place() {
    for (lines, place) in [
        (
            "schedule = \"0 0 0 31 *\"\ndialect = \"krontab\"",
            "tasks.toml:3:19\n",
        ),
        ("schedule = \"krontab: 0 0 0 31 *\"", "tasks.toml:3:28\n"),
    ] {
        let (files, shown) = told(&format!(
            "[[task]]\nname = \"t\"\n{lines}\nshell = \"true\"\n"
        ));
        assert!(files.are_sound(), "a warning only: {shown}");
        assert!(shown.contains(place), "{shown}");
        assert!(
            shown.contains("day-of-month `31` is read as 30, as krontab does"),
            "{shown}"
        );
    }
}

#[test]
fn e42_the_caret_stands_under_the_field_in_every_kind_of_string() {
    for (written, line, column) in [
        (r#""* 24 * * *""#, 3, 15),
        ("'* 24 * * *'", 3, 15),
        ("\"\"\"* 24 * * *\"\"\"", 3, 17),
        ("'''\n* 24 * * *'''", 4, 3),
        // An escape blurs where the field stands, so all of it is marked.
        (r#""\u002A 24 * * *""#, 3, 12),
    ] {
        let text = format!("[[task]]\nname = \"t\"\nschedule = {written}\nshell = \"x\"\n");
        refused(&text, &format!("{line}:{column}"), &["hour `24`"]);
    }
}

#[test]
fn e49_an_unknown_zone_is_refused_with_the_nearest() {
    refused(
        &format!("{TASK}zone = \"Europe/Berlim\"\n"),
        "5:9",
        &[
            "unknown time zone `Europe/Berlim`",
            "did you mean `Europe/Berlin`?",
        ],
    );
}
