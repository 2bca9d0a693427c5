//! Past ticks on request: `backfill` and `backfills`, with a runner that does them.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::Child;

use serde_json::Value;

use crate::program::{Ended, Place, end, ok, until_true};

const HOURLY: &str = "[[task]]\nname = \"t\"\nschedule = \"0 * * * *\"\n\
                      shell = 'echo \"$TENURE_TICK\" >> ran'\n";
const DAY: [&str; 4] = [
    "--from",
    "2026-01-01T00:00:00Z",
    "--to",
    "2026-01-01T23:59:59Z",
];

fn runner(place: &Place, name: &str) -> Child {
    place.runner(name, &["tasks.toml"])
}

fn backfill(place: &Place, more: &[&str]) -> Ended {
    let words = ["backfill", "t", "--json"].iter().chain(&DAY).chain(more);
    place.run(words.copied().collect::<Vec<_>>())
}

fn asked(place: &Place, more: &[&str]) -> Value {
    serde_json::from_str(&ok(backfill(place, more))).unwrap()
}

fn listed(place: &Place, id: &Value) -> Value {
    let all = ok(place.run(["backfills", "--json"]));
    let mut all = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|backfill| backfill["id"] == *id).unwrap()
}

#[test]
fn s61_past_ticks_are_run_once_with_who_and_why_and_a_second_time_only_if_forced() {
    let place = Place::new();
    place.write("tasks.toml", HOURLY);
    let first = runner(&place, "a");
    let plan = asked(&place, &["--dry-run"]);
    assert_eq!(plan["ticks"], 24);
    assert_eq!(plan["runs"], 24);
    assert_eq!(plan["on_record"]["without_record"], 24);
    assert_eq!(plan["backfill"], Value::Null);
    assert_eq!(ok(place.run(["backfills", "--json"])), "", "it was dry");

    let id = asked(&place, &["--why", "the disk was full"])["backfill"]["id"].clone();
    until_true("some of it to run", || !place.read("ran").is_empty());
    // It goes on where it was after every node has gone.
    end(first);
    let second = runner(&place, "b");
    until_true("all of it to run", || {
        listed(&place, &id)["runs"]["succeeded"] == 24
    });
    let done = listed(&place, &id);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(
        (&done["ticks"], &done["ticks_dealt_with"]),
        (&24.into(), &24.into())
    );
    let ran = place.read("ran");
    let mut ticks: Vec<&str> = ran.lines().collect();
    ticks.dedup();
    assert_eq!(ticks.len(), 24, "{ran}");
    assert!(ticks.is_sorted(), "the oldest first: {ran}");
    let shown = ok(place.run(["backfills"]));
    for part in ["done", "24 of 24", "24 succeeded", ": the disk was full"] {
        assert!(shown.contains(part), "`{part}`: {shown}");
    }
    let told = ok(place.run(["why", "t", "2026-01-01T05:00:00Z"]));
    for part in [": succeeded", ": the disk was full", "of a backfill"] {
        assert!(told.contains(part), "`{part}`: {told}");
    }

    let again = ok(place.run([&["backfill", "t", "--why", "again"], &DAY[..]].concat()));
    assert!(again.contains("24  succeeded: left out"), "{again}");
    assert!(again.contains("there is nothing to run"), "{again}");
    let forced = asked(&place, &["--why", "again", "--force", "--parallel", "4"]);
    assert_eq!(forced["runs"], 24);
    let id = forced["backfill"]["id"].clone();
    until_true("all of it to run again", || {
        listed(&place, &id)["runs"]["succeeded"] == 24
    });
    end(second);
}

#[test]
fn s61_a_backfill_is_paused_resumed_and_cancelled_and_says_by_whom() {
    let place = Place::new();
    place.write("tasks.toml", HOURLY);
    end(runner(&place, "a"));
    let waiting = backfill(&place, &["--why", "a test", "--rate", "60/min"]);
    assert!(waiting.stderr.contains("no node that runs `t` is alive"));
    let first: Value = serde_json::from_str(&waiting.stdout).unwrap();
    let id = first["backfill"]["id"].as_str().unwrap();
    let behind = backfill(&place, &["--why", "another"]);
    assert!(behind.stderr.contains("of the same task goes first"));
    let short = &id[..4];
    let paused = ok(place.run(["backfills", "pause", short, "--why", "too loud"]));
    assert!(paused.contains("paused by ") && paused.contains(": too loud"));
    assert!(ok(place.run(["backfills", "pause", id])).contains("is paused already"));
    assert_eq!(listed(&place, &id.into())["state"], "paused");
    let second: Value = serde_json::from_str(&behind.stdout).unwrap();
    let other = second["backfill"]["id"].as_str().unwrap();
    ok(place.run(["backfills", "cancel", other]));
    let node = runner(&place, "b");
    ok(place.run(["backfills", "resume", id]));
    until_true("one run of it", || !place.read("ran").is_empty());
    ok(place.run(["backfills", "cancel", id, "--why", "enough"]));
    until_true("what was in hand to end", || {
        let runs = listed(&place, &id.into())["runs"].clone();
        runs["waiting"].is_null() && runs["running"].is_null()
    });
    let state = listed(&place, &id.into());
    assert_eq!(state["state"], "cancelled");
    assert!(state["ticks_dealt_with"].as_u64().unwrap() < 24, "{state}");
    let over = place.run(["backfills", "resume", id]);
    assert_eq!(over.code, Some(65));
    assert!(over.stderr.contains("is over: it is cancelled"));
    end(node);
}

#[test]
fn s61_what_makes_no_sense_is_refused_with_what_would() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nenabled = true\nshell = \"true\"\n\
         [[task]]\nname = \"never\"\nschedule = \"-\"\nshell = \"true\"\n\
         [[task]]\nname = \"follows\"\nschedule = \"@after 9h\"\nshell = \"true\"\n",
    );
    end(runner(&place, "a"));
    let (new_year, day_after) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    for (arguments, code, part) in [
        (
            &["t", "--from", day_after, "--to", new_year][..],
            64,
            "exchange the two",
        ),
        (
            &["t", "--from", new_year, "--to", "2999-01-01T00:00:00Z"],
            64,
            "has not come yet",
        ),
        (
            &["t", "--from", new_year, "--to", "2026-01-03T00:00:00Z"],
            64,
            "more than the 100000 runs that one backfill may have",
        ),
        (
            &[
                "t",
                "--from",
                new_year,
                "--to",
                "2026-01-03T00:00:00Z",
                "--dry-run",
            ],
            64,
            "--to 2026-01-02T03:46:39.000Z is the largest range",
        ),
        (
            &["never", "--from", new_year, "--to", day_after],
            65,
            "has no tick from",
        ),
        (
            &["follows", "--from", new_year, "--to", day_after],
            65,
            "`tenure trigger` asks for one more",
        ),
        (
            &["t", "--from", "2999-01-01T00:00:00Z"],
            64,
            "--from 2999-01-01T00:00:00.000Z has not come yet",
        ),
        (&["x", "--from", new_year], 66, "knows no task `x`"),
        (&["t", "--from", new_year, "--rate", "5/h"], 64, "2/s"),
        (
            &["t", "--from", new_year, "--parallel", "0"],
            64,
            "1 to 1000",
        ),
        (&["t", "--from", "someday"], 64, "such as 2026-11-21"),
    ] {
        let words = [&["backfill", "--why", "a test"], arguments].concat();
        let ended = place.run(&words);
        assert_eq!(ended.code, Some(code), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
    }
    let without_why = place.run(["backfill", "t", "--from", new_year]);
    assert_eq!(without_why.code, Some(64));
    assert!(
        without_why.stderr.contains("--why"),
        "{}",
        without_why.stderr
    );
    for (change, code) in [("cancel", 66), ("pause", 66), ("resume", 66)] {
        let ended = place.run(["backfills", change, "abc"]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("has no backfill `abc`"));
    }
}
