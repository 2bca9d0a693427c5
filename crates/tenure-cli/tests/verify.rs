//! `tenure verify`: a store that keeps its promises passes and is left clean, one that does not is
//! found out, and what was written down is judged alike.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helper may fail the test"
)]

mod program;

use std::process::Child;

use nix::sys::signal::Signal;
use serde_json::Value;
use tenure_bed::{Flavour, Quorum, Redis};

use crate::program::{Ended, Place, finish, is_alive, signal, until, until_true};

/// Six seconds, in words of the command line.
const SHORT: [&str; 5] = ["verify", "--minutes", "0.1", "--clients", "4"];

fn spawn(place: &Place, url: &str, arguments: &[&str]) -> Child {
    let mut command = place.tenure([&SHORT[..], arguments].concat());
    command.env("TENURE_STORE", url);
    command.spawn().unwrap()
}

fn run(place: &Place, url: &str, arguments: &[&str]) -> Ended {
    finish(spawn(place, url, arguments))
}

fn verdict(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
}

fn rule<'v>(verdict: &'v Value, number: &str) -> &'v Value {
    let rules = verdict["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["rule"] == number).unwrap()
}

/// Each of these was put to the test, and not one was broken.
#[track_caller]
fn assert_kept(verdict: &Value, rules: &[&str]) {
    for number in rules {
        let rule = rule(verdict, number);
        assert!(rule["tried"].as_u64().unwrap() > 0, "{verdict}");
        assert_eq!(rule["violations"], 0, "{verdict}");
        assert!(rule["bound"].as_f64().unwrap() > 0.0, "{verdict}");
    }
    assert!(
        !verdict["faults"].as_object().unwrap().is_empty(),
        "{verdict}"
    );
}

const ALL: [&str; 5] = ["C1", "C2", "C3", "C5", "C7"];

#[tokio::test]
async fn c1_c2_c3_c5_c7_redis_keeps_its_promises_to_clients_that_are_paused_killed_and_cut_off() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    server.call(&["SET", "somebody-else", "1"]).await;
    let place = Place::new();
    let history = place.path("run.jsonl");
    let history = history.to_str().unwrap();
    let ended = run(&place, &server.url(), &["--json", "--record", history]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let live = verdict(&ended);
    assert_kept(&live, &ALL);
    assert_eq!(live["run"]["network"], serde_json::json!({"Ok": null}));
    let keys = server.cli(&["KEYS", "*"]).await;
    let left = keys.lines().filter(|key| !key.ends_with("}:f"));
    assert_eq!(left.collect::<Vec<_>>(), ["somebody-else"]);

    // What was written down says the same to whoever judges it later.
    let again = verdict(&place.run(["verify", "--json", "--history", history]));
    for part in [
        "run",
        "rules",
        "faults",
        "records",
        "grants",
        "contended",
        "unknown",
        "losses",
        "refused_writes",
        "longest_wait_ms",
        "starts",
        "control",
        "states",
    ] {
        assert_eq!(again[part], live[part], "{part}");
    }
}

#[test]
fn c1_c2_c3_c5_c7_sqlite_is_tried_in_a_file_of_its_own_that_goes_again() {
    let place = Place::new();
    let ended = run(&place, &place.store(), &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let verdict = verdict(&ended);
    assert_kept(&verdict, &ALL);
    let why = verdict["run"]["network"]["Err"].as_str().unwrap();
    assert!(why.contains("redis://"), "{why}");
    let left: Vec<_> = std::fs::read_dir(place.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn c1_a_quorum_keeps_locks_and_says_that_it_keeps_no_runs() {
    let servers = Quorum::start(Flavour::Redis, 3).await;
    let place = Place::new();
    let ended = run(&place, &servers.url(), &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let verdict = verdict(&ended);
    assert_kept(&verdict, &["C1", "C2", "C3", "C5"]);
    assert_eq!(rule(&verdict, "C7")["tried"], Value::Null);
    for server in servers.nodes() {
        let keys = server.cli(&["KEYS", "*"]).await;
        let left: Vec<_> = keys.lines().filter(|key| !key.ends_with("}:f")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn c1_a_store_that_forgets_its_leases_is_found_out() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let place = Place::new();
    let mut child = spawn(&place, &server.url(), &[]);
    let mut turns = tokio::time::interval(std::time::Duration::from_millis(50));
    while child.try_wait().unwrap().is_none() {
        server.call(&["FLUSHALL"]).await;
        turns.tick().await;
    }
    let ended = finish(child);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.stdout.lines().find(|line| line.starts_with("C1"));
    assert!(line.is_some_and(|line| !line.contains(" 0 ")), "{ended:?}");
    assert!(ended.stderr.contains("both held the lock for"), "{ended:?}");
    assert!(
        ended.stderr.contains("of what must never be seen"),
        "{ended:?}"
    );
}

#[test]
fn c7_a_history_in_which_a_run_begins_twice_is_found_out_and_one_cut_short_is_refused() {
    let head = concat!(
        r#"{"tenure":"0.1.0","store":"redis 7","seed":1,"clients":2,"span_ms":6000,"#,
        r#""ttl_ms":1000,"locks":1,"is_fenced":true,"tasks":{"once":1},"repeated":[],"#,
        r#""network":{"Ok":null}}"#
    );
    let start = r#""f":"start","task":"once","tick":1000,"index":1,"attempt":1}"#;
    let place = Place::new();
    let lines = format!("{head}\n{{\"t\":1,\"p\":\"c0\",{start}\n{{\"t\":2,\"p\":\"c1\",{start}\n");
    let file = place.write("twice.jsonl", &lines);
    let ended = place.run(["verify", "--history", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("once at 1000, run 1, attempt 1 began twice"),
        "{ended:?}"
    );

    let file = place.write("cut.jsonl", &lines[..lines.len() - 9]);
    let ended = place.run(["verify", "--history", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("cut.jsonl: line 3 is no record of a history"),
        "{ended:?}"
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let place = Place::new();
    let there = place.write("there.jsonl", "");
    let there = there.to_str().unwrap();
    let store = place.store();
    for (arguments, code, said) in [
        (&["--store", "memory:"][..], 64, "several processes"),
        (&["--minutes", "0"], 64, "from 0.1 to 1440"),
        (&["--minutes", "nan"], 64, "from 0.1 to 1440"),
        (&["--clients", "1"], 64, "from 2 to 64"),
        (&["--ttl", "10ms"], 64, "500ms to 60s"),
        (
            &["--history", there, "--seed", "1"],
            64,
            "cannot be used with",
        ),
        (&["--history", "nowhere.jsonl"], 66, "nowhere.jsonl"),
        (&["--history", there], 65, "it is empty"),
        (
            &["--store", &store, "--record", there],
            73,
            "does not exist",
        ),
        (
            &["--store", "redis://127.0.0.1:1", "--record", "new.jsonl"],
            69,
            "127.0.0.1:1",
        ),
    ] {
        let ended = place.run([&["verify"][..], arguments].concat());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: {ended:?}");
    }
    assert!(
        !place.path("new.jsonl").exists(),
        "it would stand in the way"
    );
}

/// The processes that this one started, by whichever of its threads.
fn children_of(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = threads.map(|thread| thread.unwrap().path().join("children"));
    let lists = lists.map(|list| std::fs::read_to_string(list).unwrap_or_default());
    let all = lists.collect::<Vec<_>>().join(" ");
    all.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

#[tokio::test]
async fn r84_whoever_interrupts_it_leaves_no_client_and_nothing_in_the_store() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let place = Place::new();
    for how in [Signal::SIGINT, Signal::SIGKILL] {
        let child = spawn(&place, &server.url(), &[]);
        let clients = until("clients that are at work", || {
            let clients = children_of(child.id());
            (clients.len() >= 4).then_some(clients)
        });
        signal(child.id(), how);
        let ended = finish(child);
        if how == Signal::SIGINT {
            assert_eq!(ended.code, Some(130), "{ended:?}");
        }
        for client in clients {
            until_true("every client has ended", || !is_alive(client));
        }
        let keys = server.cli(&["KEYS", "*"]).await;
        let left: Vec<_> = keys.lines().filter(|key| !key.ends_with("}:f")).collect();
        if how == Signal::SIGINT {
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
