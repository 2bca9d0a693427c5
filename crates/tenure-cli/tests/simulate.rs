//! `tenure simulate`: what a task file would do, without running any of it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helper may fail the test"
)]

mod program;

use serde_json::Value;

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
    assert_eq!(tasks[1]["runs"], serde_json::json!({}), "{told}");
    assert!(!place.path("ran").exists());
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
