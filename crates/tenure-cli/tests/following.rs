//! A task that runs a while after it ended, in two processes: from its file to what is told of it.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tenure::Timestamp;

use crate::program::{Place, end, ok, until};

fn history(place: &Place) -> Vec<Value> {
    let text = ok(place.run(["history", "t", "--json"]));
    let runs = text.lines().map(|line| serde_json::from_str(line).unwrap());
    runs.collect()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// What the dashboard of a node says of the only task.
fn on_the_dashboard(place: &Place, node: &str) -> Value {
    let events = place.events(node);
    let address = events.iter().find_map(|event| event["dashboard"].as_str());
    let address = address.unwrap().trim_start_matches("http://");
    let address = address.trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "GET /api/v1/tasks HTTP/1.1\r\nconnection: close\r\nhost: ";
    stream
        .write_all(format!("{head}{address}\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let tasks: Value = serde_json::from_str(body).unwrap();
    tasks.pointer("/items/0").unwrap().clone()
}

#[test]
fn s57_a_task_runs_a_while_after_its_end_on_two_processes_and_says_so() {
    let place = Place::new();
    let file = r#"
        [[task]]
        name = "t"
        schedule = "@after 300ms"
        shell = "echo $TENURE_RUN_ID >> runs.txt; sleep 0.2"
    "#;
    place.write("tasks.toml", file);
    let words = "300 milliseconds after the end of the run before";
    let told = ok(place.run(["explain", "@after 300ms"]));
    assert_eq!(told.trim(), words);
    let told = ok(place.run(["check", "tasks.toml"]));
    assert!(told.contains(words) && !told.contains("never"), "{told}");
    let runners = ["a", "b"].map(|name| place.runner(name, &["tasks.toml"]));
    // Listed while the nodes live: what waits says when it is due.
    let listed = until("a next run", || {
        let text = ok(place.run(["tasks", "--json"]));
        let task: Value = serde_json::from_str(text.lines().next()?).unwrap();
        (!task["next_tick"].is_null()).then_some(task)
    });
    assert_eq!(listed["schedule"], "@after 300ms");
    // What ran last is told too, here and on the page, though no clock made a tick of it.
    let last = until("a last run", || {
        let text = ok(place.run(["tasks", "--json"]));
        let task: Value = serde_json::from_str(text.lines().next()?).unwrap();
        (!task["last_tick"].is_null()).then(|| task["last_tick"].clone())
    });
    let shown = on_the_dashboard(&place, "a");
    assert!(
        time(&shown["last_tick"]) >= time(&last),
        "{last} and {shown}"
    );
    until("five runs", || {
        (place.read("runs.txt").lines().count() >= 5).then_some(())
    });
    for runner in runners {
        let ended = end(runner);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let mut runs = history(&place);
    runs.reverse();
    runs.retain(|run| run["state"] == "succeeded");
    assert!(runs.len() >= 5, "{runs:?}");
    let ran = place.read("runs.txt");
    for run in &runs {
        let id = run["run_id"].as_str().unwrap();
        assert_eq!(run["kind"], "following");
        assert_eq!(ran.lines().filter(|line| *line == id).count(), 1, "{ran}");
    }
    assert!(
        runs.iter().any(|run| run["tick"] == last),
        "{last} in {runs:?}"
    );
    let newest = runs.last().unwrap()["tick"].as_str().unwrap();
    let table = ok(place.run(["tasks"]));
    assert!(table.contains(newest), "{newest} in\n{table}");
    for pair in runs.windows(2) {
        let apart = time(&pair[1]["tick"]).as_millis() - time(&pair[0]["ended_at"]).as_millis();
        assert_eq!(apart, 300, "{pair:?}");
        assert!(time(&pair[1]["started_at"]) >= time(&pair[1]["tick"]));
    }
    let why = ok(place.run(["why", "t", runs[1]["tick"].as_str().unwrap()]));
    let before = runs[0]["tick"].as_str().unwrap();
    let expected = format!("due 300ms after the end of {before} (succeeded)");
    assert!(why.contains("#1, after the run before: succeeded"), "{why}");
    assert!(why.contains(&expected), "{why}");
}
