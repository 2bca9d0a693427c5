//! `tenure top` and `--watch`: looking again and again.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::io::{BufRead as _, BufReader};

use crate::program::{Ended, Place, end, finish, ok, until, until_true};

/// A task that fails every second and one that goes on, run for as long as the child lives.
fn cluster(place: &Place) -> std::process::Child {
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"bad\"\nschedule = \"* * * * * *\"\nshell = 'exit 3'\n\
         [[task]]\nname = \"long\"\nschedule = \"* * * * * *\"\n\
         shell = 'echo >> begun; sleep 600'\n\
         [[task]]\nname = \"rare\"\nschedule = \"@yearly\"\ncommand = [\"true\"]\n",
    );
    place.runner("run", &["--drain", "0s", "tasks.toml"])
}

#[test]
fn top_shows_what_runs_what_failed_who_holds_what_and_the_nodes() {
    let place = Place::new();
    let runner = cluster(&place);
    let holder = place
        .tenure([
            "lock",
            "invoice/42",
            "--",
            "sh",
            "-c",
            "echo > held; sleep 600",
        ])
        .spawn()
        .unwrap();
    until_true("the lock to be held", || place.path("held").exists());
    let waiter = place
        .tenure(["lock", "invoice/42", "--", "true"])
        .spawn()
        .unwrap();
    until_true("the long task and the lock", || {
        place.path("begun").exists() && place.lock("invoice/42")["waiting"] == 1
    });
    // The task that fails goes on for a moment of each second, and then two are running.
    let picture = until("a failure, and one run that goes on", || {
        let picture = ok(place.run(["top", "--once"]));
        let is_it = ["exit status 3", "1 running"].map(|part| picture.contains(part));
        (is_it == [true, true]).then_some(picture)
    });
    for part in [
        "3 tasks, 0 paused, 1 node, ",
        "1 lock held, 1 waiting",
        "2 next",
        "long",
        "invoice/42",
        "tenure lock sh",
        "tenure run",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    for line in picture.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
    for child in [waiter, holder] {
        assert_eq!(end(child).code, Some(143));
    }
    assert_eq!(end(runner).code, Some(75));
}

#[test]
fn top_without_a_terminal_says_what_else_there_is() {
    let place = Place::new();
    let refused = place.run(["top"]);
    assert_eq!(refused.code, Some(64));
    assert!(refused.stderr.contains("use --once"), "{}", refused.stderr);
    let nothing = place.run(["top", "--once"]);
    assert_eq!(nothing.code, Some(66), "{}", nothing.stderr);
    assert!(!place.path("store.db").exists());
}

#[test]
fn watched_tables_are_printed_again_and_follow_what_happens() {
    let place = Place::new();
    let holder = place
        .tenure([
            "lock",
            "k",
            "--",
            "sh",
            "-c",
            "echo > held; while [ ! -e go ]; do sleep 0.05; done",
        ])
        .spawn()
        .unwrap();
    until_true("the lock to be held", || place.path("held").exists());
    for arguments in [
        ["locks", "--watch=100ms", "k"].as_slice(),
        &["locks", "show", "--watch=100ms", "k"],
    ] {
        let mut watching = place.tenure(arguments).spawn().unwrap();
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            let mut held = lines.find(|line| line.as_ref().unwrap().contains("tenure lock sh"));
            assert!(held.take().is_some());
        }
        if arguments.contains(&"show") {
            place.write("go", "");
            assert!(lines.any(|line| line.unwrap() == "lock `k` is free, and nobody waits for it"));
        }
        watching.kill().unwrap();
        watching.wait().unwrap();
    }
    let Ended { code, .. } = finish(holder);
    assert_eq!(code, Some(0));
    for arguments in [
        ["tasks", "--watch", "--json"],
        ["history", "--watch=1s", "--json"],
    ] {
        assert_eq!(place.run(arguments).code, Some(64), "{arguments:?}");
    }
    let refused = place.run(["tasks", "--watch=1ms"]);
    assert!(
        refused.stderr.contains("100ms to 24h"),
        "{}",
        refused.stderr
    );
}
