//! `tenure run` as a service: what a service manager hears, folders of files, other users, logs.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::Signal;

use crate::program::{PATIENCE, Place, end, ok, signal, until_true};

fn task(name: &str, more: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nschedule = \"* * * * * *\"\noverlap = \"allow\"\n{more}\n"
    )
}

/// A service manager: reads at once whatever it is told. Ten messages that nobody reads would hold
/// up whoever sends the next one, and the watchdog's ten come in a second.
fn manager(place: &Place) -> Receiver<String> {
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    let (tells, told) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if tells.send(text.into_owned()).is_err() {
                return;
            }
        }
    });
    told
}

/// Every state a service manager was told until one contains `last`.
fn heard(told: &Receiver<String>, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let text = told.recv_timeout(PATIENCE);
        assert!(text.is_ok(), "waited in vain for {last}: {all:?}");
        let text = text.unwrap();
        let is_last = text.contains(last);
        all.push(text);
        if is_last {
            return all;
        }
    }
}

#[test]
fn a_service_manager_hears_of_readiness_life_reloads_and_the_end() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        task(
            "a",
            "shell = 'env > seen.part; mv seen.part seen'\ninherit_env = true",
        ),
    );
    let told = manager(&place);
    let mut command = place.tenure(["run", "--json", "tasks.toml"]);
    command
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "200000");
    let child = place.started("run", command);
    assert!(
        heard(&told, "READY=1")
            .last()
            .unwrap()
            .contains("STATUS=running")
    );
    heard(&told, "WATCHDOG=1");
    heard(&told, "WATCHDOG=1");
    signal(child.id(), Signal::SIGHUP);
    let reload = heard(&told, "RELOADING=1");
    assert!(
        reload.last().unwrap().contains("MONOTONIC_USEC="),
        "{reload:?}"
    );
    heard(&told, "READY=1");
    place.write("tasks.toml", "[[task]]\nname = 7\n");
    signal(child.id(), Signal::SIGHUP);
    heard(&told, "RELOADING=1");
    let ready = heard(&told, "READY=1");
    assert!(
        ready.last().unwrap().contains("not read again"),
        "{ready:?}"
    );
    until_true("a run", || place.path("seen").exists());
    let seen = place.read("seen");
    assert!(
        !seen.contains("NOTIFY_SOCKET") && !seen.contains("WATCHDOG"),
        "{seen}"
    );
    assert!(seen.contains("HOME="), "{seen}");
    assert_eq!(end(child).code, Some(0));
    heard(&told, "STOPPING=1");
}

#[test]
fn a_folder_stands_for_its_task_files_and_is_watched_for_new_ones() {
    let place = Place::new();
    std::fs::create_dir(place.path("tasks.d")).unwrap();
    place.write("tasks.d/b.toml", task("b", "command = [\"true\"]"));
    place.write("tasks.d/a.toml", task("a", "command = [\"true\"]"));
    place.write("tasks.d/.a.toml.swp.toml", "half a");
    place.write("tasks.d/notes.txt", "no task file");
    let checked: serde_json::Value =
        serde_json::from_str(&ok(place.run(["check", "--json", "tasks.d"]))).unwrap();
    assert_eq!(checked["tasks"], 2, "{checked}");
    let child = place.runner("run", &["--watch", "tasks.d"]);
    place.write("tasks.d/new", task("c", "shell = 'echo >> ran'"));
    std::fs::rename(place.path("tasks.d/new"), place.path("tasks.d/c.toml")).unwrap();
    until_true("the new file's task", || place.path("tasks.d/ran").exists());
    std::fs::remove_file(place.path("tasks.d/a.toml")).unwrap();
    until_true("the removed file's task to go", || {
        let mut events = place.events("run").into_iter();
        events.any(|event| event["event"] == "reloaded" && event["removed"][0] == "a")
    });
    assert_eq!(end(child).code, Some(0));

    std::fs::create_dir(place.path("empty")).unwrap();
    let refused = place.run(["run", "empty"]);
    assert_eq!(refused.code, Some(66));
    assert!(
        refused.stderr.contains("no task file is in `empty`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_node_that_only_watches_runs_nothing_and_tells_what_others_run() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        task("a", "shell = 'echo $TENURE_TICK >> ran'"),
    );
    let watching = place.runner("watching", &["--watch-only", "tasks.toml"]);
    let ready = place.events("watching");
    assert_eq!(ready[0]["watch_only"], true);
    let nodes = ok(place.run(["tasks", "--json"]));
    assert!(
        nodes.is_empty(),
        "nothing is known before somebody can run it: {nodes}"
    );
    let running = place.runner("running", &["tasks.toml"]);
    until_true("two runs", || place.read("ran").lines().count() >= 2);
    assert_eq!(end(running).code, Some(0));
    let count = place.read("ran").lines().count();
    let history = ok(place.run(["history", "--json", "-n", "1000"]));
    let ready = &place.events("watching")[0]["node"]["id"];
    for line in history.lines() {
        let run: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(run["node"]["id"], *ready, "{run}");
    }
    assert_eq!(end(watching).code, Some(0));
    assert_eq!(place.read("ran").lines().count(), count);
}

#[test]
fn a_command_runs_as_the_user_its_task_names_if_tenure_may_do_that() {
    let place = Place::new();
    let as_nobody = task(
        "a",
        "user = \"nobody\"\nshell = 'id -un; id -Gn; echo $USER $LOGNAME'\ndir = \"/\"",
    );
    place.write("tasks.toml", as_nobody);
    if !nix::unistd::geteuid().is_root() {
        let refused = place.run(["check", "tasks.toml"]);
        assert_eq!(refused.code, Some(78));
        assert!(
            refused
                .stderr
                .contains("only root can run commands as another user"),
            "{}",
            refused.stderr
        );
        return;
    }
    let child = place.runner("run", &["tasks.toml"]);
    until_true("a run to end", || {
        !ok(place.run(["history", "--state", "succeeded", "--json"])).is_empty()
    });
    let shown = ok(place.run(["history", "--state", "succeeded", "--output", "-n", "1"]));
    assert!(
        shown.contains("nobody\n") && shown.contains("nobody nobody"),
        "{shown}"
    );
    assert!(!shown.contains("root"), "{shown}");
    assert_eq!(end(child).code, Some(0));
}

#[test]
fn a_user_that_is_not_there_is_told_with_its_line() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        task("a", "user = \"no-such-user\"\ncommand = [\"true\"]"),
    );
    let refused = place.run(["check", "tasks.toml"]);
    assert_eq!(refused.code, Some(78));
    assert!(
        refused.stderr.contains("there is no user `no-such-user`"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("tasks.toml:5"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_log_gets_every_runs_output_besides_its_record() {
    let place = Place::new();
    std::fs::create_dir(place.path("logs")).unwrap();
    let defaults = "[defaults]\nlog = \"logs/{task}.log\"\n";
    place.write(
        "tasks.toml",
        defaults.to_owned()
            + &task("loud", "shell = 'echo out; echo err >&2'")
            + &task("silent", "shell = 'echo quiet'\noutput = \"discard\"")
            + &task(
                "big",
                "shell = 'head -c 1000000 /dev/zero | tr \"\\\\0\" x; echo'\nmax_running = 1",
            ),
    );
    let child = place.runner("run", &["tasks.toml"]);
    until_true("some runs of each", || {
        ["loud", "silent", "big"].iter().all(|task| {
            let arguments = ["history", task, "--state", "succeeded", "--json"];
            ok(place.run(arguments)).lines().count() >= 2
        })
    });
    assert_eq!(end(child).code, Some(0));
    let loud = place.read("logs/loud.log");
    let lines: Vec<&str> = loud.lines().collect();
    assert!(lines[0].starts_with("# loud tick 20"), "{loud}");
    assert!(lines[0].contains(" index 1 attempt 1 run "), "{loud}");
    assert_eq!(
        lines.iter().filter(|line| **line == "out").count(),
        lines.len() / 3,
        "{loud}"
    );
    assert_eq!(
        lines.iter().filter(|line| **line == "err").count(),
        lines.len() / 3,
        "{loud}"
    );
    assert!(place.read("logs/silent.log").contains("\nquiet\n"));
    let kept = ok(place.run(["history", "silent", "--state", "succeeded", "--output"]));
    assert!(!kept.contains("quiet"), "{kept}");
    // The record keeps the ends of a long output, the log all of it.
    let runs = place.read("logs/big.log");
    let long: Vec<_> = runs.lines().filter(|line| line.starts_with('x')).collect();
    assert!(long.len() >= 2);
    assert!(long.iter().all(|line| line.len() == 1_000_000));

    place.write(
        "bad.toml",
        task("a", "log = \"nowhere/a.log\"\ncommand = [\"true\"]"),
    );
    let refused = place.run(["check", "bad.toml"]);
    assert!(
        refused.stderr.contains("its folder does not exist"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_file_that_is_named_beside_its_folder_is_read_once() {
    let place = Place::new();
    std::fs::create_dir(place.path("tasks.d")).unwrap();
    place.write("tasks.d/a.toml", task("a", "command = [\"true\"]"));
    place.write("tasks.d/b.toml", task("b", "command = [\"true\"]"));
    std::os::unix::fs::symlink(place.path("tasks.d/a.toml"), place.path("link.toml")).unwrap();
    let names = [
        "check",
        "--json",
        "tasks.d",
        "tasks.d/b.toml",
        "./link.toml",
    ];
    let checked: serde_json::Value = serde_json::from_str(&ok(place.run(names))).unwrap();
    assert_eq!(checked["tasks"], 2, "{checked}");
}
