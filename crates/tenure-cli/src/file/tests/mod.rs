//! Every way a task file can be wrong that the requirements name, and what its author is told.
//!
//! Here stands what concerns a whole file: its syntax, its keys, its variables, its names.
//! Schedules, tasks and the tables beside them have files of their own.

mod beside;
mod schedule;
mod task;

use annotate_snippets::Renderer;

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
fn e56_a_key_that_stands_twice_is_named_and_shown_at_both_places() {
    for (text, again, first, key) in [
        (
            format!("{TASK}zone = \"UTC\"\nname = \"u\"\n"),
            "6:1",
            2,
            "name",
        ),
        (
            format!("[defaults]\n{TASK}[defaults]\n"),
            "6:2",
            1,
            "defaults",
        ),
        (
            format!("{TASK}env = {{ A = \"1\", A = \"2\" }}\n"),
            "5:18",
            5,
            "A",
        ),
    ] {
        let title = format!("the key `{key}` stands twice");
        refused(&text, again, &[&title, "again here", "first here"]);
        let (_, shown) = told(&text);
        assert!(shown.contains(&format!("\n{first} ")), "{shown}");
    }
}

#[test]
fn e53_a_slip_in_a_key_that_is_needed_is_told_once() {
    let (files, shown) = told("[[task]]\nname = \"t\"\nschedul = \"@daily\"\nshell = \"true\"\n");
    assert!(!files.are_sound());
    assert!(shown.contains("did you mean `schedule`?"), "{shown}");
    assert!(!shown.contains("has no `schedule`"), "{shown}");
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
            &["the key `store` stands twice"],
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
