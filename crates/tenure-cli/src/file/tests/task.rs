//! What a task says besides its schedule: commands, limits, values of every kind, and what they
//! inherit.

use tenure::core::OnChange;
use tenure::tasks::Keep;
use tenure::{CatchUp, Overlap};

use super::{TASK, TaskFiles, refused, told};

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
fn s55_tasks_that_are_over_are_named_and_must_not_be_there_any_more() {
    let (files, shown) = told(&format!("retired = [\"u\", \"v\"]\n{TASK}"));
    assert!(files.are_sound(), "{shown}");
    let retired: Vec<_> = files.retired.iter().map(ToString::to_string).collect();
    assert_eq!(retired, ["u", "v"]);
    for (line, place, part) in [
        ("retired = \"u\"", "1:11", "an array of names"),
        ("retired = [\"\"]", "1:12", "must not be empty"),
        ("retired = [\"u\", \"u\"]", "1:17", "used twice"),
        ("retired = [\"t\"]", "1:12", "used twice"),
    ] {
        refused(&format!("{line}\n{TASK}"), place, &[part]);
    }
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
        (
            "keep = { succeeded = \"0\" }",
            "5:22",
            "`0` must be 1 to 10000",
        ),
        (
            "keep = { failed = \"100000\" }",
            "5:19",
            "must be 1 to 10000",
        ),
        (
            "keep = { skipped = \"1/1s\" }",
            "5:20",
            "must be at least 1h",
        ),
        (
            "keep = { failed = \"60d\" }",
            "5:19",
            "longer than keep_history (30d)",
        ),
    ] {
        refused(&format!("{TASK}{line}\n"), place, &[part]);
    }
}

#[test]
fn e56_what_will_never_have_an_effect_is_warned_of() {
    for (from, to, part) in [
        (
            "\"@daily\"",
            "\"quartz:0 0 0 1 1 ? 2020\"",
            "is never due again; its last tick was 2020-01-01T00:00:00",
        ),
        (
            "\"@daily\"",
            "\"@after 1m\"\ncatch_up = \"all\"",
            "`catch_up` of task `t` means nothing with `@after`",
        ),
    ] {
        let (files, shown) = told(&TASK.replace(from, to));
        assert!(files.are_sound(), "{shown}");
        assert!(
            shown.contains("warning: ") && shown.contains(part),
            "{shown}"
        );
    }
    // What is not to run by itself, and what the defaults say for others, is no slip.
    for text in [
        TASK.replace("@daily", "-"),
        format!(
            "[defaults]\ncatch_up = \"all\"\n{}",
            TASK.replace("@daily", "@after 1m")
        ),
    ] {
        assert_eq!(told(&text).1, "", "{text}");
    }
}

#[test]
fn e56_a_log_whose_place_for_the_task_is_misspelt_is_refused() {
    for (log, part) in [
        ("{tsk}.log", "did you mean `{task}`?"),
        ("{date}.log", "`{date}` stands for nothing"),
    ] {
        refused(&format!("{TASK}log = \"{log}\"\n"), "5:7", &[part]);
    }
}

#[test]
fn e56_a_name_that_cannot_be_a_tasks_is_refused_at_its_place() {
    for (name, part) in [
        ("", "must not be empty"),
        ("  ", "must show"),
        ("tenure.alarm.x", "tenure's own tasks"),
    ] {
        let text = TASK.replace("\"t\"", &format!("\"{name}\""));
        refused(&text, "2:8", &["`name` of task", part]);
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
        (
            "retry = { attempts = 2, within = \"0s\" }",
            34,
            &["0s must be 1ms to 366d"],
        ),
        ("mask = [\"*\"]", 9, &["a pattern begins with text"]),
        ("mask = \"a\"", 8, &["an array of strings"]),
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
