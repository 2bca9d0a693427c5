//! Every way a task file can be wrong that the requirements name, and what its author is told.

use std::path::Path;

use annotate_snippets::Renderer;

use tenure::core::OnChange;
use tenure::tasks::Keep;
use tenure::{CatchUp, Overlap};

use super::{TaskFiles, render};

/// A task that is right, but for what is put behind it.
const TASK: &str = "[[task]]\nname = \"t\"\nschedule = \"@daily\"\nshell = \"true\"\n";

fn told(text: &str) -> (TaskFiles, String) {
    let files = TaskFiles::of_text("tasks.toml", text);
    let shown = render(&files, &Renderer::plain());
    (files, shown)
}

/// Checks that the text is refused at `place`, in words that hold all `parts`.
fn refused(text: &str, place: &str, parts: &[&str]) {
    let (files, shown) = told(text);
    assert!(!files.are_sound(), "accepted: {text}");
    let place = format!("tasks.toml:{place}\n");
    assert!(shown.contains(&place), "not at {place}: {shown}");
    for part in parts {
        assert!(shown.contains(part), "`{part}` is missing: {shown}");
    }
}

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

#[test]
fn e52_a_name_used_twice_is_shown_at_both_places() {
    let text = format!("{TASK}{TASK}");
    refused(
        &text,
        "6:8",
        &[
            "task name `t` is used twice",
            "used again here",
            "first used here",
        ],
    );
    // Also when one of the two is wrong in other ways.
    let text = format!("{TASK}[[task]]\nname = \"t\"\n");
    refused(
        &text,
        "6:8",
        &[
            "used twice",
            "has no `schedule`",
            "neither `command` nor `shell`",
        ],
    );
}

#[test]
fn e54_syntax_is_shown_at_its_line() {
    for (text, place) in [
        ("store = \n", "1:9"),
        ("[[task]\nname = 1\n", "1:8"),
        ("a = 1 b = 2\n", "1:5"),
    ] {
        let (files, shown) = told(text);
        assert!(!files.are_sound());
        assert!(shown.contains(&format!("tasks.toml:{place}")), "{shown}");
    }
    let (files, shown) = told(&format!("\u{feff}{}", TASK.replace('\n', "\r\n")));
    assert!(
        files.are_sound(),
        "a byte order mark and CRLF are accepted: {shown}"
    );
    refused("x = 1\r\ny = 2\r\n", "2:1", &["unknown key `y`"]);
}

#[test]
fn words_of_other_programs_and_common_slips_are_told_with_what_to_write() {
    for (text, place, parts) in [
        (
            &format!("{TASK}every = \"10s\"\n"),
            "5:1",
            &["unknown key `every`", "write schedule = \"@every 10s\""],
        ),
        (
            &format!("{TASK}cwd = \"/\"\n"),
            "5:1",
            &["unknown key `cwd`", "write dir = "],
        ),
        (
            &format!("{TASK}timeout = 5\n"),
            "5:11",
            &["not a whole number", "say the unit: \"5s\""],
        ),
        (
            &"[[task]]\nname = \"t\"\nschedule = \"@daily\"\ncommand = \"echo hi\"\n".to_owned(),
            "4:11",
            &["not a string", "for the shell goes into `shell`"],
        ),
    ] {
        refused(text, place, parts);
    }
}

#[test]
fn e55_unknown_and_repeated_keys_are_refused_with_the_nearest_known() {
    for (text, place, parts) in [
        (
            "stroe = \"memory:\"\n",
            "1:1",
            &["unknown key `stroe`", "did you mean `store`?"][..],
        ),
        (
            &format!("{TASK}timeot = \"1s\"\n"),
            "5:1",
            &["task `t`", "did you mean `timeout`?"],
        ),
        (
            "[defaults]\ncatchup = \"all\"\n",
            "2:1",
            &["[defaults]", "did you mean `catch_up`?"],
        ),
        (
            "[store]\nurl = \"memory:\"\nurk = 1\n",
            "3:1",
            &["did you mean `url`?"],
        ),
        (
            &format!("{TASK}zebra = 1\n"),
            "5:1",
            &["known keys are name, schedule"],
        ),
        (
            "store = \"a:\"\nstore = \"b:\"\n",
            "2:1",
            &["duplicate key"],
        ),
        (
            &format!("{TASK}retry = {{ attemps = 2 }}\n"),
            "5:11",
            &["did you mean `attempts`?"],
        ),
        (
            "[api]\nport = 1\n",
            "1:2",
            &["`api` of the file is not supported by this version"],
        ),
        (
            &format!("{TASK}umask = \"022\"\n"),
            "5:1",
            &["`umask` of task `t` is not supported"],
        ),
        (
            &format!("{TASK}queue_max = 5\n"),
            "5:1",
            &["`queue_max` of task `t` bounds nothing", "queue_all"],
        ),
        (
            &format!("{TASK}overlap = \"queue_one\"\nqueue_max = 5\n"),
            "6:1",
            &["`queue_max` of task `t` bounds nothing"],
        ),
        (
            &format!("{TASK}max_running = 2\nmax_running_per_node = 3\n"),
            "6:1",
            &["3 is more than max_running (2)"],
        ),
        (
            &format!("{TASK}concurrency = 3\nmax_running = 2\n"),
            "6:1",
            &["2 is less than concurrency (3)", "queue_all"],
        ),
        (
            &format!("{TASK}max_running = 0\n"),
            "5:15",
            &["`max_running` of task `t`", "1 to"],
        ),
        (
            "[node]\nmax_runing = 2\n",
            "2:1",
            &["did you mean `max_running`?"],
        ),
        ("node = 2\n", "1:8", &["`node` of the file must be a table"]),
        (
            &format!("{TASK}overlap = \"alow\"\n"),
            "5:11",
            &["one of `skip`, `allow`", "did you mean `allow`?"],
        ),
        ("[task]\nname = \"t\"\n", "1:1", &["[[task]]"]),
    ] {
        refused(text, place, parts);
    }
}

#[test]
fn s54_aliases_are_refused_at_the_place_where_nobody_could_tell_them_apart() {
    let file = |lines: &str| {
        format!(
            "[[task]]\nname = \"a\"\nschedule = \"@daily\"\nshell = \"true\"\n{lines}\n\
             [[task]]\nname = \"b\"\nschedule = \"@daily\"\nshell = \"true\"\naliases = [\"c\"]\n"
        )
    };
    for (lines, place, part) in [
        ("aliases = [\"b\"]", "5:12", "`b` is a task of its own"),
        ("aliases = [\"a\"]", "5:12", "`a` is the task's own name"),
        (
            "aliases = [\"x\", \"x\"]",
            "5:17",
            "the alias `x` is listed twice",
        ),
        (
            "aliases = [\"c\"]",
            "10:12",
            "the alias `c` is listed twice",
        ),
        ("aliases = [\"\"]", "5:12", "must not be empty"),
        ("aliases = \"x\"", "5:11", "an array of names"),
        ("generation = 0", "5:14", "1"),
        ("on_change = \"newst\"", "5:13", "newest"),
    ] {
        refused(&file(lines), place, &[part]);
    }
    let (files, shown) = told(&file(
        "aliases = [\"x\", \"y\"]\ngeneration = 7\non_change = \"union\"",
    ));
    assert!(files.are_sound(), "{shown}");
    let lineage = &files.tasks[0].lineage;
    assert_eq!(lineage.aliases.len(), 2);
    assert_eq!(
        (lineage.generation, lineage.on_change),
        (Some(7), OnChange::Union)
    );
}

#[test]
fn s52_rules_of_what_is_kept_are_read_and_refused_at_their_place() {
    let (files, shown) = told(&format!(
        "[defaults]\nkeep = {{ skipped = \"1d\" }}\n{TASK}keep = {{ succeeded = \"100/7d\" }}\n{}",
        TASK.replace("\"t\"", "\"u\"")
    ));
    assert!(files.are_sound(), "{shown}");
    let rules = [
        Keep::new().succeeded("100/7d".parse().unwrap()),
        Keep::new().skipped("1d".parse().unwrap()),
    ];
    for (task, rule) in files.tasks.iter().zip(rules) {
        assert_eq!(task.keep, Some(rule), "{}", task.name);
    }
    for (line, place, part) in [
        ("keep = \"7d\"", "5:8", "a table of outcomes"),
        (
            "keep = { succeeded = \"7 days/100\" }",
            "5:22",
            "no number/duration",
        ),
        ("keep = { suceeded = \"7d\" }", "5:10", "succeeded"),
    ] {
        refused(&format!("{TASK}{line}\n"), place, &[part]);
    }
}

#[test]
fn s38_s39_overlap_and_limits_are_read_with_their_bounds() {
    let text = format!(
        "[node]\nmax_running = 7\n[defaults]\nqueue_max = 9\nmax_running = 4\n{TASK}\
         overlap = \"queue_all\"\nmax_running_per_node = 2\ncatch_up = \"earliest\"\n"
    );
    let files = TaskFiles::of_text("tasks.toml", &text);
    assert!(files.are_sound(), "{:?}", files.problems);
    assert_eq!(files.max_running(), Some(7));
    let task = &files.tasks[0];
    assert_eq!(task.beside.overlap, Overlap::QueueAll { max: 9 });
    assert_eq!(task.beside.max_running, Some(4));
    assert_eq!(task.beside.max_running_per_node, Some(2));
    assert_eq!(task.catch_up, CatchUp::Earliest);
    for (word, overlap) in [
        ("queue_one", Overlap::QueueOne),
        ("queue_all", Overlap::QueueAll { max: 100 }),
        ("cancel_other", Overlap::CancelOther),
    ] {
        let files = TaskFiles::of_text("tasks.toml", &format!("{TASK}overlap = \"{word}\"\n"));
        assert_eq!(files.tasks[0].beside.overlap, overlap, "{word}");
    }
}

#[test]
fn part_a_e32_what_stands_beside_a_stores_url_is_checked_with_it() {
    for (text, place, parts) in [
        (
            "[store]\nurl = \"redis://h\"\ninterop = \"kotlin\"\n",
            "3:11",
            &["`kotlin` is not one of `ktor`"][..],
        ),
        (
            "[store]\nurl = \"sqlite:a.db\"\ninterop = \"ktor\"\n",
            "3:1",
            &["on Redis only", "name a Redis or Valkey server"],
        ),
        (
            "[store]\nurl = \"sqlite:a.db\"\nsafety = \"strict\"\n",
            "3:1",
            &["for Redis and Valkey only"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nsafety = \"very\"\n",
            "3:10",
            &["`very` is not one of `plain`"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nmax_ttl = \"1s\"\n",
            "3:1",
            &["needs safety=strict"],
        ),
        (
            "[store]\nurl = \"redis+cluster://h\"\nsafety = \"strict\"\n",
            "3:1",
            &["needs replicas=NUMBER"],
        ),
        (
            "[store]\nurl = \"redis://h?prefix=a\"\nsafety = \"strict\"\nmax_ttl = \"a&b\"\n",
            "4:11",
            &["is no duration"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nlock_expiration_ms = 100\n",
            "3:1",
            &["without `interop`", "write interop = \"ktor\""],
        ),
        (
            "[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\nlock_expiration_ms = 0\n",
            "4:22",
            &["0 must be 1 to 86400000"],
        ),
        (
            &format!(
                "[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\n{TASK}catch_up = \"all\"\n"
            ),
            "3:1",
            &["`catch_up` of task `t`", "remove catch_up"],
        ),
    ] {
        refused(text, place, parts);
    }
}

#[test]
fn e1_to_e8_e56_values_of_the_wrong_type_or_size_are_refused() {
    for (line, column, parts) in [
        (
            "timeout = true",
            11,
            &["a duration such as \"30s\", not true or false"][..],
        ),
        (
            "timeout = 30",
            11,
            &["a duration such as \"30s\", not a whole number"],
        ),
        ("timeout = 1.5", 11, &["not a fraction"]),
        (
            "timeout = \"5\"",
            11,
            &["the unit is missing", "units d, h, m, s, ms"],
        ),
        ("timeout = \"5M\"", 11, &["the unit is unknown"]),
        ("timeout = \"1m1h\"", 11, &["larger units come first"]),
        ("timeout = \"-5s\"", 11, &["negative"]),
        ("timeout = \"0s\"", 11, &["0s must be 10ms to 365d"]),
        ("timeout = \"9223372036854775808s\"", 11, &["too large"]),
        (
            "concurrency = \"3\"",
            15,
            &["a whole number from 1 to 1000, not a string"],
        ),
        ("concurrency = 0", 15, &["0 must be 1 to 1000"]),
        (
            "concurrency = 99999999999999999999999",
            15,
            &["must be 1 to 1000"],
        ),
        ("concurrency = nan", 15, &["not a fraction"]),
        ("retry = 0", 9, &["0 must be 1 to 1000"]),
        (
            "retry = { attempts = 2, first = \"5s\", most = \"1s\" }",
            9,
            &["longer than `most`"],
        ),
        ("success_codes = [0, 256]", 21, &["256 must be 0 to 255"]),
        ("success_codes = 0", 17, &["an array of whole numbers"]),
        ("enabled = \"no\"", 11, &["true or false, not a string"]),
        ("env = [\"A=1\"]", 7, &["a table of strings"]),
        ("catch_up_max = 0", 16, &["must be 1 to 1000"]),
    ] {
        refused(&format!("{TASK}{line}\n"), &format!("5:{column}"), parts);
    }
}

#[test]
fn e57_variables_that_are_not_set_are_named_and_values_are_never_shown() {
    for (line, place, parts) in [
        (
            "store = \"sqlite:${UNSET}\"",
            "1:9",
            &["environment variable `UNSET` is not set"][..],
        ),
        ("store = \"${SET\"", "1:9", &["without a closing"]),
        ("store = \"${SET${SET}}\"", "1:9", &["cannot be nested"]),
    ] {
        refused(&format!("{line}\n"), place, parts);
    }
    let text = format!(
        "store = \"redis://u:{0}@h\"\n{TASK}env = {{ P = \"{0}\", Q = 1 }}\nx = \"${{SET}}\"\n",
        "s3cret"
    );
    let (files, shown) = told(&text);
    assert!(!files.are_sound());
    assert!(
        !shown.contains("s3cret") && !shown.contains("value-of-set"),
        "{shown}"
    );
    let expanded = TaskFiles::of_text("t.toml", "store = \"sqlite:${SET}/$${x}.db\"\n");
    let store = expanded.store.unwrap();
    assert_eq!(store.url, "sqlite:value-of-set/${x}.db");
    assert_eq!(store.variables, ["SET"]);
}

#[test]
fn e58_deep_nesting_is_refused_and_does_not_overflow() {
    let dotted = vec!["a"; 300_000].join(".");
    for text in [
        format!("{dotted} = 1\n"),
        format!("[{dotted}]\n"),
        format!("a = {}\n", "[".repeat(100_000)),
        format!("a = {}1{}\n", "[".repeat(1000), "]".repeat(1000)),
        format!("a = {}\n", "{a=".repeat(1000)),
    ] {
        let (files, shown) = told(&text);
        assert!(!files.are_sound());
        assert!(
            shown.contains("nested deeper than 64"),
            "{}",
            &shown[..200.min(shown.len())]
        );
    }
}

#[test]
fn e13_e16_e60_e62_names_commands_and_folders_are_checked() {
    let long = "x".repeat(200_000);
    for (text, place, parts) in [
        (
            "name = \"\"\nschedule = \"-\"\nshell = \"x\"",
            "2:8",
            &["must not be empty"][..],
        ),
        (
            "name = \"a\\nb\"\nschedule = \"-\"\nshell = \"x\"",
            "2:8",
            &["`\\u{a}`", "does not show"],
        ),
        (
            "name = \"a\\u202Eb\"\nschedule = \"-\"\nshell = \"x\"",
            "2:8",
            &["`\\u{202e}`"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\ncommand = []",
            "4:1",
            &["nothing to run"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\ncommand = [\"\"]",
            "4:12",
            &["program's name is empty"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\ncommand = \"ls -l\"",
            "4:11",
            &["an array such as"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\ncommand = [\"a\", 1]",
            "4:17",
            &["an array such as"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\ncommand = [\"a\\u0000\"]",
            "4:12",
            &["NUL"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\nshell = \" \"",
            "4:9",
            &["nothing to run"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\nshell = \"x\"\ncommand = [\"x\"]",
            "4:1",
            &["exclude each other"],
        ),
        (
            &format!("name = \"t\"\nschedule = \"-\"\ncommand = [\"{long}\"]"),
            "4:12",
            &["131071 bytes, this one has 200000"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\nshell = \"x\"\ndir = \"no/such/folder\"",
            "5:7",
            &["does not exist"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\nshell = \"x\"\nenv = { \"A=B\" = \"1\" }",
            "5:9",
            &["must not be empty or hold `=`"],
        ),
        (
            "name = \"t\"\nschedule = \"-\"\nshell = \"x\"\nenv = { TENURE_TICK = \"1\" }",
            "5:9",
            &["tenure sets this variable itself"],
        ),
    ] {
        refused(&format!("[[task]]\n{text}\n"), place, parts);
    }
}

#[test]
fn no_exit_status_at_all_cannot_be_success() {
    let parts = ["`success_codes` of task `t`", "no run could succeed"];
    refused(&format!("{TASK}success_codes = []\n"), "5:1", &parts);
    refused(
        &format!("[defaults]\nsuccess_codes = []\n{TASK}"),
        "2:1",
        &["no run could succeed"],
    );
}

#[test]
fn e61_words_that_only_a_shell_would_read_are_pointed_out() {
    let text = "[[task]]\nname = \"t\"\nschedule = \"-\"\ncommand = [\"ls\", \"|\", \"wc\"]\n";
    let (files, shown) = told(text);
    assert!(files.are_sound(), "a warning only: {shown}");
    assert!(
        shown.contains("`|` is passed to the program as it is"),
        "{shown}"
    );
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_their_order() {
    let text =
        format!("{TASK}concurrency = 0\n[[task]]\nname = 5\nschedule = \"* *\"\ncommand = []\n");
    let (_, shown) = told(&text);
    let places: Vec<_> = ["5:15", "7:8", "8:13", "9:1"]
        .iter()
        .map(|place| shown.find(&format!("tasks.toml:{place}\n")))
        .collect();
    assert!(places.iter().all(Option::is_some), "{shown}");
    assert!(places.is_sorted(), "{shown}");
}

#[test]
fn s65_a_file_without_tasks_and_a_schedule_that_is_switched_off_are_valid() {
    for text in [
        "",
        "task = []\n",
        "[[task]]\nname = \"t\"\nschedule = \"-\"\nshell = \"x\"\n",
    ] {
        let (files, shown) = told(text);
        assert!(files.are_sound(), "{shown}");
    }
}

#[test]
fn defaults_fill_in_what_a_task_leaves_out() {
    let text = "store = \"sqlite:a.db\"\n[defaults]\ntimeout = \"5s\"\nconcurrency = 2\n\
                env = { A = \"1\", B = \"1\" }\n[[task]]\nname = \"t\"\nschedule = \"@daily\"\n\
                shell = \"x\"\nconcurrency = 3\nenv = { B = \"2\" }\n";
    let (files, shown) = told(text);
    assert!(files.are_sound(), "{shown}");
    let task = files.tasks.first().unwrap();
    assert_eq!(task.timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(task.concurrency, 3);
    let env: Vec<_> = task
        .env
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(env, [("A", "1"), ("B", "2")]);
    let table = TaskFiles::of_text("t.toml", "[store]\nurl = \"sqlite:a.db\"\n");
    assert_eq!(table.store.unwrap().url, files.store.unwrap().url);
}

#[test]
fn b5_safety_may_stand_beside_the_url() {
    for (url, expected) in [
        ("redis+sentinel://h/m", "redis+sentinel://h/m?safety"),
        ("redis://h?prefix=a", "redis://h?prefix=a&safety"),
    ] {
        let text = format!(
            "[store]\nurl = \"{url}\"\nsafety = \"strict\"\nmax_ttl = \"20s\"\n\
             replicas = 2\n{TASK}"
        );
        let (files, shown) = told(&text);
        assert!(files.are_sound(), "{shown}");
        let url = files.store.unwrap().url;
        assert_eq!(url, format!("{expected}=strict&max_ttl=20s&replicas=2"));
    }
}

#[test]
fn part_a_interop_is_read_with_the_origins_default() {
    let interop = |more: &str| {
        let text = format!("[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\n{more}{TASK}");
        let (files, shown) = told(&text);
        assert!(files.are_sound(), "{shown}");
        files.store.unwrap().interop.unwrap().expiration.as_millis()
    };
    assert_eq!(interop(""), 100);
    assert_eq!(interop("lock_expiration_ms = 2500\n"), 2500);
}

#[test]
fn f17_the_table_of_the_dashboard_is_read_and_its_faults_are_told() {
    let task = "[[task]]\nname = \"a\"\nschedule = \"@daily\"\ncommand = [\"true\"]\n";
    let files = TaskFiles::of_text(
        "t.toml",
        &format!(
            "[dashboard]\naddress = \"0.0.0.0:9180\"\nchange_token_file = \"token\"\n\
             users = {{ ann = \"$argon2id$v=19$x\" }}\nhosts = [\"a.example\"]\n\
             force_token_file = \"force\"\ntokens_file = \"tokens\"\nproxy_right = \"read\"\n\
             admins = {{ bob = \"$argon2id$v=19$y\" }}\n{task}"
        ),
    );
    assert!(files.are_sound());
    let entry = files.dashboard().unwrap();
    assert_eq!(entry.address, "0.0.0.0:9180".parse().ok());
    let token = entry.change_token.as_deref().and_then(Path::file_name);
    assert_eq!(token, Some("token".as_ref()));
    for (path, name) in [(&entry.force_token, "force"), (&entry.tokens, "tokens")] {
        let found = path.as_deref().and_then(Path::file_name);
        assert_eq!(found, Some(name.as_ref()));
    }
    assert_eq!(entry.proxy_right.as_deref(), Some("read"));
    assert_eq!(
        entry.admins,
        [("bob".to_owned(), "$argon2id$v=19$y".to_owned())]
    );
    assert_eq!(
        entry.users,
        [("ann".to_owned(), "$argon2id$v=19$x".to_owned())]
    );
    assert_eq!(entry.hosts, ["a.example"]);
    for wrong in [
        "address = \"9180\"",
        "proxy_header = \"x-user\"",
        "tokens = 1",
        "proxy_right = \"write\"",
    ] {
        let files = TaskFiles::of_text("t.toml", &format!("[dashboard]\n{wrong}\n{task}"));
        assert!(!files.are_sound(), "{wrong}");
    }
}
