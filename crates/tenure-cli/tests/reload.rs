//! Task files that change while `tenure run` runs them.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::Child;

use nix::sys::signal::Signal;
use serde_json::Value;
use tenure::core::{Clock as _, SystemClock};

use crate::program::{Place, end, finish, signal, until, until_true};

fn task(name: &str, schedule: &str, shell: &str) -> String {
    format!("[[task]]\nname = \"{name}\"\nschedule = \"{schedule}\"\nshell = '{shell}'\n")
}

/// A task that writes down each of its ticks.
fn logged(name: &str) -> String {
    // A run that takes longer than a second on a busy machine must not cost the next one its tick.
    task(name, "* * * * * *", &format!("echo $TENURE_TICK >> {name}")) + "overlap = \"allow\"\n"
}

fn runner(place: &Place, name: &str, flags: &[&str]) -> Child {
    place.runner(name, &[flags, &["tasks.toml"]].concat())
}

fn told(place: &Place, name: &str, kind: &str) -> Vec<Value> {
    let events = place.events(name).into_iter();
    events.filter(|event| event["event"] == kind).collect()
}

/// Waits for the `count`th event of a kind.
fn nth(place: &Place, name: &str, kind: &str, count: usize) -> Value {
    until(&format!("{kind} number {count}"), || {
        told(place, name, kind).into_iter().nth(count - 1)
    })
}

fn replaced_atomically(place: &Place, text: &str) {
    place.write("tasks.new", text);
    std::fs::rename(place.path("tasks.new"), place.path("tasks.toml")).unwrap();
}

/// The ticks a task wrote down, which must be every second, each once.
fn assert_each_second_once(place: &Place, name: &str) {
    let text = place.read(name);
    let mut seconds: Vec<i64> = text
        .lines()
        .map(|tick| tick.parse::<tenure::Timestamp>().unwrap().as_millis() / 1000)
        .collect();
    seconds.sort_unstable();
    let first = seconds.first().copied().unwrap();
    let each: Vec<i64> = (first..).take(seconds.len()).collect();
    assert_eq!(seconds, each, "{text}");
}

fn notes(place: &Place, kind: &str) -> i64 {
    let store = rusqlite::Connection::open(place.path("store.db")).unwrap();
    let sql = "SELECT count(*) FROM note WHERE kind = ?1";
    store.query_row(sql, [kind], |row| row.get(0)).unwrap()
}

#[test]
fn s62_at_sighup_the_files_are_read_again_without_dropping_or_repeating_a_tick() {
    let place = Place::new();
    place.write("tasks.toml", logged("steady") + &logged("gone"));
    let first = runner(&place, "a", &[]);
    let second = runner(&place, "b", &[]);
    until_true("some ticks", || place.read("gone").lines().count() >= 2);
    place.write("tasks.toml", logged("steady") + &logged("new"));
    for (child, name) in [(&first, "a"), (&second, "b")] {
        signal(child.id(), Signal::SIGHUP);
        let reloaded = nth(&place, name, "reloaded", 1);
        assert_eq!(reloaded["added"][0], "new");
        assert_eq!(reloaded["removed"][0], "gone");
        assert_eq!(reloaded["unchanged"], 1);
    }
    let reloaded_by = SystemClock.wall();
    until_true("the new task", || place.read("new").lines().count() >= 3);
    // One that was begun before may have written later.
    for tick in place.read("gone").lines() {
        assert!(tick.parse::<tenure::Timestamp>().unwrap() <= reloaded_by);
    }
    // Another command for the same ticks, on one node after the other.
    for round in 2..=4 {
        place.write(
            "tasks.toml",
            logged("steady") + &logged("new").replace("echo", &format!(": {round}; echo")),
        );
        for (child, name) in [(&first, "a"), (&second, "b")] {
            signal(child.id(), Signal::SIGHUP);
            assert_eq!(nth(&place, name, "reloaded", round)["changed"][0], "new");
        }
        let before = place.read("new").lines().count();
        until_true("more ticks", || {
            place.read("new").lines().count() > before + 1
        });
    }
    for child in [first, second] {
        assert_eq!(end(child).code, Some(0));
    }
    assert_each_second_once(&place, "steady");
    assert_each_second_once(&place, "new");
}

#[test]
fn s62_a_broken_file_keeps_the_old_tasks_and_is_told_on_the_terminal_and_in_the_store() {
    let place = Place::new();
    place.write("tasks.toml", logged("steady"));
    let child = runner(&place, "a", &["--watch"]);
    until_true("a tick", || !place.read("steady").is_empty());
    // At once: of a file that is just being written, whoever watches may read the empty beginning.
    let broken = logged("steady") + "[[task]]\nname = \"x\"\nschedule = \"61 * * * *\"\n";
    replaced_atomically(&place, &broken);
    let failed = nth(&place, "a", "reload_failed", 1);
    let error = failed["error"].as_str().unwrap();
    assert!(error.starts_with("2 errors in the task files: "), "{error}");
    assert_eq!(failed["problems"]["errors"][0]["at"]["line"], 6, "{failed}");
    let shown = place.read("a.log");
    for part in ["minute `61`", "tasks.toml:", "the tasks run on as before"] {
        assert!(shown.contains(part), "`{part}`: {shown}");
    }
    until_true("the note", || notes(&place, "reload_failed") == 1);
    let before = place.read("steady").lines().count();
    until_true("more ticks", || {
        place.read("steady").lines().count() > before + 1
    });
    // It is gone for a while, and then it is right.
    std::fs::remove_file(place.path("tasks.toml")).unwrap();
    let failed = nth(&place, "a", "reload_failed", 2);
    assert!(failed["error"].as_str().unwrap().contains("cannot read"));
    replaced_atomically(&place, &(logged("steady") + &logged("new")));
    assert_eq!(nth(&place, "a", "reloaded", 1)["added"][0], "new");
    until_true("the new task", || !place.read("new").is_empty());
    // Another store needs another process.
    let text = format!("store = \"sqlite:other.db\"\n{}", logged("steady"));
    replaced_atomically(&place, &text);
    let failed = nth(&place, "a", "reload_failed", 3);
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("the store cannot be changed")
    );
    assert_eq!(end(child).code, Some(0));
    assert_each_second_once(&place, "steady");
    assert_eq!(notes(&place, "tasks_replaced"), 1);
}

#[test]
fn s62_a_hang_up_while_many_tasks_are_read_does_not_end_the_program() {
    let place = Place::new();
    let all: String = (0..10_000)
        .map(|number| task(&format!("t{number}"), "@daily", "true"))
        .collect();
    // Whatever comes of the files, a hang-up is no reason to end.
    place.write("tasks.toml", all + &task("t0", "@daily", "true"));
    let mut child = place.tenure(["run", "tasks.toml"]).spawn().unwrap();
    until_true("hang-ups to be listened for", || {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before it listened"
        );
        is_caught(child.id(), Signal::SIGHUP)
    });
    signal(child.id(), Signal::SIGHUP);
    let ended = finish(child);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("used twice"), "{}", ended.stderr);
}

/// Whether a process has a handler for a signal.
fn is_caught(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << (signal as u32 - 1)) != 0)
}
