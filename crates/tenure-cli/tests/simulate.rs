//! `tenure simulate`: what a task file would do, without running any of it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helper may fail the test"
)]

mod program;

use serde_json::{Value, json};

use crate::program::Place;

const FILE: &str = r#"
[[task]]
name = "invoices"
schedule = "*/5 * * * *"
command = ["touch", "ran"]

[[task]]
name = "off"
schedule = "* * * * *"
command = ["touch", "ran"]
enabled = false
"#;

#[test]
fn every_tick_of_the_time_is_told_and_nothing_is_run() {
    let place = Place::new();
    let file = place.write("tasks.toml", FILE);
    let file = file.to_str().unwrap();
    let ended = place.run([
        "simulate",
        file,
        "--json",
        "--from=2026-01-01T00:00:00Z",
        "--to=2026-01-01T01:00:00Z",
        "--nodes=3",
        "--skew=2=-90s",
        "--kill=1@10m",
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["violations"], Value::Array(Vec::new()), "{told}");
    let tasks = told["tasks"].as_array().unwrap();
    assert_eq!(tasks[0]["task"], "invoices");
    let runs = tasks[0]["runs"].as_object().unwrap();
    let all: u64 = runs.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(all, 12, "{told}");
    assert_eq!(tasks[1]["runs"], json!({}), "{told}");
    assert!(!place.path("ran").exists());
}

/// The JSON that a simulation of this file tells.
fn simulated(file: &str, flags: &[&str]) -> Value {
    let place = Place::new();
    let file = place.write("tasks.toml", file);
    let mut arguments = vec!["simulate", file.to_str().unwrap(), "--json"];
    arguments.extend(["--from=2026-01-01T00:00:00Z", "--to=2026-01-01T01:00:00Z"]);
    arguments.extend(flags);
    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn runs(told: &Value, task: &str) -> Value {
    let tasks = told["tasks"].as_array().unwrap();
    let found = tasks.iter().find(|it| it["task"] == task);
    found.unwrap()["runs"].clone()
}

#[test]
fn s40_a_node_that_is_killed_at_work_loses_its_run_or_another_repeats_it_as_the_file_says() {
    let task = |name: &str, more: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nschedule = \"0 0 1 1 *\"\n\
             command = [\"true\"]\n{more}\n"
        )
    };
    let file = task("loses", "") + &task("repeats", "on_crash = \"retry\"");
    let calm = simulated(&file, &["--takes=4m", "--nodes=1"]);
    assert_eq!(runs(&calm, "loses"), json!({}), "its first tick is past");
    let file = file.replace("0 0 1 1 *", "5 0 1 1 *");
    let calm = simulated(&file, &["--takes=4m", "--nodes=1"]);
    assert_eq!(runs(&calm, "loses"), json!({ "succeeded": 1 }));
    assert_eq!(calm["faults"], json!([]));
    let killed = simulated(&file, &["--takes=4m", "--nodes=1", "--kill=1@7m"]);
    assert_eq!(runs(&killed, "loses"), json!({ "lost": 1 }));
    assert_eq!(runs(&killed, "repeats"), json!({ "succeeded": 1 }));
    assert_eq!(killed["violations"], json!([]));
    let at = |at: &str, what: &str| json!({ "at": at, "node": 1, "what": what });
    assert_eq!(
        killed["faults"],
        json!([
            at("2026-01-01T00:07:00.000Z", "killed"),
            at("2026-01-01T00:07:30.000Z", "started again"),
        ])
    );
}

#[test]
fn s21_s38_nodes_clocks_and_rules_are_those_of_the_flags_and_the_file() {
    let task = |name: &str, more: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nschedule = \"*/5 * * * *\"\n\
             command = [\"true\"]\n{more}\n"
        )
    };
    let file = [
        task("skips", ""),
        task("allows", "overlap = \"allow\""),
        task("thrice", "concurrency = 3\noverlap = \"allow\""),
        task("limited", "overlap = \"allow\"\nmax_running = 1"),
    ];
    let flags = ["--takes=7m", "--nodes=4", "--skew=2=-90s", "--skew=4=10m"];
    let told = simulated(&file.concat(), &flags);
    let one_at_a_time = json!({ "running": 1, "skipped": 6, "succeeded": 5 });
    assert_eq!(runs(&told, "skips"), one_at_a_time);
    assert_eq!(runs(&told, "limited"), one_at_a_time);
    let total = |task: &str| -> u64 {
        let runs = runs(&told, task);
        let runs = runs.as_object().unwrap();
        assert!(!runs.contains_key("skipped"), "{told}");
        runs.values().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!((total("allows"), total("thrice")), (12, 36));
    assert_eq!(told["nodes"], 4);
    assert!(told["node_seconds"].as_f64().unwrap() >= 4.0 * 3600.0);
    let from = "2026-01-01T00:00:00.000Z";
    let at = |node: u32, what: &str| json!({ "at": from, "node": node, "what": what });
    assert_eq!(
        told["faults"],
        json!([
            at(2, "its clock is 1m30s behind"),
            at(4, "its clock is 10m ahead"),
        ])
    );
}

#[test]
fn a_node_that_there_is_not_and_a_time_that_ends_before_it_begins_are_refused() {
    let place = Place::new();
    let file = place.write("tasks.toml", FILE);
    let file = file.to_str().unwrap();
    for (arguments, said) in [
        (vec!["--kill=4@1m"], "there are nodes 1 to 3"),
        (vec!["--skew=0=1s"], "there are nodes 1 to 3"),
        (vec!["--nodes=0"], "1 to 100"),
        (
            vec!["--from=2026-01-01T00:00:00Z", "--to=2025-01-01T00:00:00Z"],
            "must be after",
        ),
    ] {
        let ended = place.run([vec!["simulate", file], arguments].concat());
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}
