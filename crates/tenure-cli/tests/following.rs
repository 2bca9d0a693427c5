//! A task that runs a while after it ended, in two processes: from its file to what is told of it.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

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
