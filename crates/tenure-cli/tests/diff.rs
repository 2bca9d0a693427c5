//! `tenure diff`: what running a file would change, against a store that nodes use.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Place, end, finish, signal, until, until_true};

const OLD: &str = r#"
[[task]]
name = "same"
schedule = "0 1 * * *"
shell = "true"

[[task]]
name = "moves"
schedule = "0 2 * * *"
timeout = "30s"
shell = "true"

[[task]]
name = "says"
schedule = "0 3 * * *"
shell = "echo old"

[[task]]
name = "goes"
schedule = "0 4 * * *"
shell = "true"
"#;

#[test]
fn s53_a_diff_names_what_would_be_added_removed_and_changed_and_ends_with_1() {
    let place = Place::new();
    place.write("old.toml", OLD);
    let new = OLD
        .replace("0 2 * * *", "30 2 * * *")
        .replace(
            "timeout = \"30s\"\n",
            "timeout = \"1m\"\nretry = 3\nconcurrency = 2\n",
        )
        .replace("echo old", "echo new")
        .replace("\"goes\"", "\"comes\"");
    place.write("new.toml", new);
    let nowhere = place.run(["diff", "new.toml"]);
    assert_eq!(nowhere.code, Some(66), "{}", nowhere.stderr);

    let log = std::fs::File::create(place.path("out")).unwrap();
    let mut command = place.tenure(["run", "--json", "old.toml"]);
    let runner = command.stdout(log).spawn().unwrap();
    until_true("the runner", || place.read("out").contains("\"ready\""));

    let same = place.run(["diff", "old.toml"]);
    assert_eq!(same.code, Some(0), "{} {}", same.stdout, same.stderr);
    assert_eq!(same.stdout, "= 4 tasks as before\n");

    let told = place.run(["diff", "new.toml"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    for part in [
        "+ comes: added\n    schedule: `0 4 * * *` in UTC\n    next: 20",
        "- goes: removed; 1 node runs it now\n",
        "~ moves: changed, generation ",
        "    schedule: `0 2 * * *` to `30 2 * * *`\n",
        "    concurrency: 1 to 2\n",
        "    retry: not given to {\"attempts\":3",
        "    timeout: `30s` to `1m`\n",
        "T02:00:00.000Z\n    next from then: 20",
        "T02:30:00.000Z\n",
        "    command: [\"sh\",\"-c\",\"echo old\"] to [\"sh\",\"-c\",\"echo new\"]\n",
        "= 1 task as before\n",
    ] {
        assert!(told.stdout.contains(part), "`{part}`: {}", told.stdout);
    }
    assert!(!told.stdout.contains("says: changed, generation \n"));

    let json = place.run(["diff", "new.toml", "--json"]);
    assert_eq!(json.code, Some(1));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["differs"], true);
    assert_eq!(
        (&json["added"][0]["task"], &json["unchanged"]),
        (&"comes".into(), &1.into())
    );
    assert_eq!(json["removed"][0]["nodes"], 1);
    let changed = &json["changed"][0];
    assert_eq!(
        (&changed["task"], &changed["nodes"]),
        (&"moves".into(), &1.into())
    );
    assert_ne!(changed["old_generation"], changed["new_generation"]);
    let names: Vec<&str> = changed["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["schedule", "concurrency", "retry", "timeout"]);

    // Read again, it is the same.
    place.write("old.toml", place.read("new.toml"));
    signal(runner.id(), Signal::SIGHUP);
    until_true("the reload", || place.read("out").contains("\"reloaded\""));
    // The node says so with a beat that leaves at once.
    until_true("the beat that says so", || {
        let same = place.run(["diff", "new.toml"]);
        assert_eq!(same.code, Some(0), "{}", same.stderr);
        same.stdout == "= 4 tasks as before\n"
    });

    // Nobody is left who runs anything, so there is nothing to remove.
    signal(runner.id(), Signal::SIGTERM);
    finish(runner);
    place.write(
        "one.toml",
        "[[task]]\nname = \"same\"\nschedule = \"0 1 * * *\"\nshell = \"true\"\n",
    );
    let one = place.run(["diff", "one.toml"]);
    assert_eq!((one.code, &*one.stdout), (Some(0), "= 1 task as before\n"));
    place.write("bad.toml", "[[task]]\nname = \"same\"\n");
    assert_eq!(place.run(["diff", "bad.toml"]).code, Some(78));
}

const NAMED_BEFORE: &str = r#"
[[task]]
name = "before"
schedule = "* * * * * *"
generation = 2
shell = "true"
"#;

/// Runs a file until `task` has so many runs that ended well, and stops it.
fn run_until(place: &Place, file: &str, task: &str, runs: usize) {
    let log = std::fs::File::create(place.path("out")).unwrap();
    let mut command = place.tenure(["run", "--json", file]);
    let runner = command.stdout(log).spawn().unwrap();
    until_true("the runs", || {
        let told = place.read("out");
        let of_task = format!("\"{task}\"");
        let ended = |line: &&str| line.contains("\"succeeded\"") && line.contains(&of_task);
        told.lines().filter(ended).count() >= runs
    });
    signal(runner.id(), Signal::SIGTERM);
    finish(runner);
}

#[test]
fn s54_a_renamed_task_is_told_as_one_by_diff_tasks_history_and_why() {
    let place = Place::new();
    place.write("old.toml", NAMED_BEFORE);
    run_until(&place, "old.toml", "before", 1);
    let new = NAMED_BEFORE
        .replace(
            "name = \"before\"",
            "name = \"after\"\naliases = [\"before\"]",
        )
        .replace("generation = 2", "generation = 3");
    place.write("new.toml", &new);
    let told = place.run(["diff", "new.toml"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    for part in [
        "~ after: renamed from before, changed, generation ",
        "; nobody runs it now\n",
        "    generation: 2 to 3\n",
        "    aliases: [] to [\"before\"]\n",
        "= 0 tasks as before\n",
    ] {
        assert!(told.stdout.contains(part), "`{part}`: {}", told.stdout);
    }
    run_until(&place, "new.toml", "after", 1);
    let tasks = place.run(["tasks"]).stdout;
    assert!(tasks.contains("formerly before"), "{tasks}");
    assert!(tasks.contains("nobody runs it since 20"), "{tasks}");
    assert!(
        !tasks.lines().any(|line| line.starts_with("before")),
        "{tasks}"
    );
    for name in ["after", "before"] {
        let history = place.run(["history", name]).stdout;
        for task in [" before ", " after "] {
            assert!(history.contains(task), "{name}: {history}");
        }
        let why = place.run(["why", name]);
        assert_eq!(why.code, Some(0), "{}", why.stderr);
        assert!(why.stdout.contains("after"), "{}", why.stdout);
    }
    // No tick ran under both names.
    let history = place.run(["history", "after"]).stdout;
    let ticks = history.lines().filter(|line| line.contains("succeeded"));
    let mut ticks: Vec<&str> = ticks.filter_map(|line| line.split(' ').next()).collect();
    let all = ticks.len();
    ticks.dedup();
    assert_eq!(ticks.len(), all, "{history}");
    let same = place.run(["diff", "new.toml"]);
    assert_eq!(
        (same.code, &*same.stdout),
        (Some(0), "= 1 task as before\n")
    );
}

#[test]
fn s53_a_diff_says_that_a_higher_generation_in_the_store_overrides_the_file() {
    let place = Place::new();
    place.write("old.toml", NAMED_BEFORE);
    let log = std::fs::File::create(place.path("out")).unwrap();
    let mut command = place.tenure(["run", "--json", "old.toml"]);
    let runner = command.stdout(log).spawn().unwrap();
    until_true("the runner", || place.read("out").contains("\"ready\""));
    let lower = NAMED_BEFORE.replace("generation = 2", "on_change = \"union\"");
    place.write("lower.toml", lower);
    let told = place.run(["diff", "lower.toml"]).stdout;
    for part in [
        "overridden: `generation = 2` in the store is higher",
        "    generation: 2 to 0\n",
        "    on_change: `newest` to `union`\n",
    ] {
        assert!(told.contains(part), "`{part}`: {told}");
    }
    let json = place.run(["diff", "lower.toml", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changed"][0]["overridden_by"], 2);
    signal(runner.id(), Signal::SIGTERM);
    finish(runner);
}

#[test]
fn s18_nodes_with_other_zone_data_are_told_of_and_run_no_tick_twice() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "t"
            schedule = "* * * * * *"
            zone = "Europe/Berlin"
            shell = 'echo "$TENURE_TICK" >> ran'
        "#,
    );
    // Another copy of the zone data, in which Berlin has the rules of Tokyo.
    let zones = place.path("zones/Europe");
    std::fs::create_dir_all(&zones).unwrap();
    std::fs::copy("/usr/share/zoneinfo/Asia/Tokyo", zones.join("Berlin")).unwrap();
    let other = |arguments: &[&str]| {
        let mut command = place.tenure(arguments);
        command.env("TZDIR", place.path("zones"));
        command
    };
    let next = |command: Command| finish({ command }.spawn().unwrap()).stdout;
    let at_nine = ["next", "0 9 * * *", "--zone", "Europe/Berlin", "-n", "1"];
    assert_ne!(next(place.tenure(at_nine)), next(other(&at_nine)));

    let first = place.runner("first", &["tasks.toml"]);
    until_true("a tick", || !place.read("ran").is_empty());
    let told = finish(other(&["diff", "tasks.toml"]).spawn().unwrap());
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let expected = "    rules of the zone: `a node's` to `this machine's`\n";
    assert!(told.stdout.contains(expected), "{}", told.stdout);

    let second = place.started("second", other(&["run", "--json", "tasks.toml"]));
    let warned = until("the warning", || {
        let mut events = place.events("first").into_iter();
        events.find(|event| event["event"] == "zone_rules")
    });
    assert_eq!(
        (&warned["zone"], &warned["task"]),
        (&"Europe/Berlin".into(), &"t".into())
    );
    let note = || {
        let store = rusqlite::Connection::open(place.path("store.db")).unwrap();
        let sql = "SELECT count(*) FROM note WHERE kind = 'zone_rules'";
        store
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    until_true("the note", || note() == 1);
    let before = place.read("ran").lines().count();
    until_true("more ticks", || {
        place.read("ran").lines().count() > before + 2
    });
    assert_eq!(end(second).code, Some(0));
    assert_eq!(end(first).code, Some(0));
    let ran = place.read("ran");
    let ticks: BTreeSet<&str> = ran.lines().collect();
    assert_eq!(ticks.len(), ran.lines().count(), "{ran}");
    // Each record names the rules by which its tick was computed.
    let history = place.run(["history", "t", "--json"]).stdout;
    let generation = |line: &str| -> String {
        let run: Value = serde_json::from_str(line).unwrap();
        run["generation"].as_str().unwrap().to_owned()
    };
    let rules: BTreeSet<String> = history.lines().map(generation).collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert!(rules.iter().all(|generation| generation.contains('.')));
}
