//! `tenure bench` on every kind of store: all rows, sane figures, nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helper may fail the test"
)]

mod program;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

use nix::sys::signal::Signal;
use serde_json::Value;
use tenure_bed::{Flavour, Quorum, Redis};

use crate::program::{Ended, Place, finish, signal};

fn run(place: &Place, url: &str, arguments: &[&str]) -> Ended {
    let mut command = place.tenure(arguments);
    command.env("TENURE_STORE", url);
    finish(command.spawn().unwrap())
}

/// The lines of a quick run: rows and what was skipped.
fn quick(place: &Place, url: &str, workloads: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let arguments = [&["bench", "--quick", "--json"][..], workloads].concat();
    let ended = run(place, url, &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "", "no progress without a terminal");
    let lines = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut lines: Vec<Value> = lines.collect();
    let head = lines.remove(0);
    assert!(head["server"].is_string(), "{head}");
    lines
        .into_iter()
        .partition(|line| line["skipped"].is_null())
}

/// What every figure must be, whatever the machine, and however busy it is.
fn assert_sane(row: &Value) {
    let ours = row["ours"].as_f64().unwrap();
    let (least, most) = match row["unit"].as_str().unwrap() {
        "us" => (0.1, 1e8),
        "ms" => (-1e5, 1e5),
        "per_second" => (0.01, 1e7),
        "cpu_ms_per_100000" => (10.0, 1e7),
        "count" => (1.0, 1e6),
        "times" => (1e-4, 1e4),
        "percent_of_core" => (0.0, 200.0),
        other => panic!("no such unit: {other}"),
    };
    assert!((least..=most).contains(&ours), "{row}");
    if let Some(limit) = row["limit"].as_f64() {
        assert!(limit > 0.0 && row["limit_is"].is_string(), "{row}");
        let ratio = row["ratio"].as_f64().unwrap();
        assert!((ratio - ours / limit).abs() < 1e-6, "{row}");
    }
}

fn workloads(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter()
        .map(|row| row["workload"].as_str().unwrap())
        .collect()
}

#[test]
fn each_result_is_a_line_of_json_as_soon_as_it_is_measured() {
    let place = Place::new();
    let mut child = place
        .tenure(["bench", "--quick", "--json"])
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let head = lines.next().unwrap();
    assert!(head["server"].is_string(), "{head}");
    let first = lines.find(|line| line["skipped"].is_null()).unwrap();
    assert_sane(&first);
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "the others are still to be measured"
    );
    // It removes what it wrote.
    signal(child.id(), Signal::SIGTERM);
    drop(lines);
    finish(child);
}

#[tokio::test]
async fn every_workload_of_one_server_is_measured_on_redis_and_nothing_stays() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    server.call(&["SET", "somebody-else", "1"]).await;
    let place = Place::new();
    let (rows, skipped) = quick(&place, &server.url(), &[]);
    rows.iter().for_each(assert_sane);
    assert_eq!(
        workloads(&rows),
        BTreeSet::from([
            "uncontended",
            "throughput",
            "hand-off",
            "commands",
            "crash",
            "claims",
            "renewal",
            "tick"
        ])
    );
    let of = |workload: &str| {
        let one = |row: &&Value| row["workload"] == workload;
        rows.iter().filter(one).collect::<Vec<_>>()
    };
    for row in of("uncontended").into_iter().chain(of("claims")) {
        // What is told beside the bar says why it is met or not.
        let has_bar = !row["limit_is"].to_string().contains("called raw");
        assert!(row["limit"].is_number(), "{row}");
        assert_eq!(row["met"].is_boolean(), has_bar, "{row}");
    }
    assert_eq!(of("uncontended").len(), 2);
    let cases: BTreeSet<_> = of("hand-off")
        .iter()
        .map(|row| row["case"].as_str().unwrap())
        .collect();
    assert!(cases.contains("16 waiters, 16 processes"), "{cases:?}");
    assert!(cases.contains("200 waiters, one process"), "{cases:?}");
    let why: Vec<_> = skipped
        .iter()
        .map(|line| line["skipped"].as_str().unwrap())
        .collect();
    assert!(why.iter().any(|why| why.contains("majority")), "{why:?}");
    // The counter of fences is what any lock leaves.
    let keys = server.call(&["KEYS", "*"]).await.to_string();
    let (fences, left): (Vec<_>, Vec<_>) = keys.lines().partition(|key| key.ends_with("}:f"));
    assert!(fences.len() <= 1, "{keys}");
    // When a machine is busy, a waiter may give up with a request unanswered. What bars that
    // request ends by itself.
    let (barred, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|key| key.contains("}:w:"));
    assert_eq!(left, ["somebody-else"]);
    for key in barred {
        let ends = server.call(&["PTTL", key]).await.to_string();
        // It may have ended meanwhile.
        assert!(ends != "-1", "{key} has no end");
    }
}

#[tokio::test]
async fn a_quorum_is_measured_beside_a_majority_of_raw_answers() {
    let servers = Quorum::start(Flavour::Redis, 3).await;
    let place = Place::new();
    let (rows, skipped) = quick(&place, &servers.url(), &["quorum", "claims", "commands"]);
    rows.iter().for_each(assert_sane);
    let [unfenced, fenced] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(unfenced["case"], "quorum of 3 servers, fenced=false");
    assert!(unfenced["met"].is_boolean(), "{unfenced}");
    assert_eq!(fenced["case"], "quorum of 3 servers, fenced");
    assert!(fenced["limit"].is_number(), "{fenced}");
    assert_eq!(workloads(&skipped), BTreeSet::from(["claims", "commands"]));
    // The same beside another store, for a table of everything in one run.
    let arguments = ["uncontended", "--quorum", &servers.url()];
    let (rows, skipped) = quick(&place, &place.store(), &arguments);
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(skipped.is_empty(), "{skipped:?}");
    for node in servers.nodes() {
        let keys = node.call(&["KEYS", "*"]).await.to_string();
        let left: Vec<_> = keys.lines().filter(|key| !key.ends_with("}:f")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn sqlite_is_measured_in_a_file_of_its_own_that_goes_again() {
    let place = Place::new();
    let (rows, skipped) = quick(&place, &place.store(), &[]);
    rows.iter().for_each(assert_sane);
    for workload in [
        "uncontended",
        "throughput",
        "hand-off",
        "crash",
        "claims",
        "renewal",
    ] {
        assert!(workloads(&rows).contains(workload), "{workload}: {rows:?}");
    }
    let skipped = workloads(&skipped);
    assert_eq!(skipped, BTreeSet::from(["commands", "quorum"]));
    let left: Vec<_> = std::fs::read_dir(place.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn memory_is_measured_in_one_process_and_the_rest_is_said_to_be_left_out() {
    let place = Place::new();
    let (rows, skipped) = quick(&place, "memory:", &[]);
    rows.iter().for_each(assert_sane);
    for workload in ["uncontended", "throughput", "hand-off", "claims", "renewal"] {
        assert!(workloads(&rows).contains(workload), "{workload}: {rows:?}");
    }
    for workload in ["commands", "quorum", "crash", "hand-off"] {
        assert!(
            workloads(&skipped).contains(workload),
            "{workload}: {skipped:?}"
        );
    }
}

#[test]
fn people_get_a_table_and_check_tells_a_missed_bar_by_its_status() {
    let place = Place::new();
    let arguments = ["bench", "--quick", "--rounds", "1", "uncontended", "crash"];
    let ended = run(&place, "memory:", &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for part in [
        "workload",
        "p50 of a pair",
        " µs",
        "skipped: crash: this store lives",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // Nothing to miss where there is no limit.
    let ended = run(
        &place,
        "memory:",
        &["bench", "--quick", "--check", "uncontended"],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Whatever the machine makes of it, the table, the status and the notice agree.
    let ended = run(
        &place,
        "memory:",
        &["bench", "--quick", "--check", "renewal"],
    );
    let missed = ended.stdout.contains("MISSED");
    assert_eq!(ended.code, Some(i32::from(missed)), "{}", ended.stdout);
    assert_eq!(
        missed,
        ended.stderr.contains("1 bar was missed"),
        "{}",
        ended.stderr
    );
}

#[test]
fn bad_input_says_what_is_allowed_and_touches_nothing() {
    let place = Place::new();
    for (arguments, code, parts) in [
        (
            &["bench", "handoff"][..],
            64,
            &["no such workload", "`hand-off`"][..],
        ),
        (&["bench", "--rounds", "0"], 64, &["from 1 to 1000"]),
        (&["bench", "--rounds=-1"], 64, &["from 1 to 1000"]),
        (&["bench", "--seconds", "1"], 64, &["unit is missing"]),
        (&["bench", "--seconds", "2m"], 64, &["50ms to 60s"]),
        (
            &["bench", "--store", "redis+qourum://h"],
            64,
            &["did you mean"],
        ),
        (
            &[
                "bench",
                "--store",
                "redis://127.0.0.1:1?timeout=100ms&connect_timeout=100ms",
            ],
            69,
            &["cannot"],
        ),
        (
            &["bench", "--store", "sqlite:no/such/folder/a.db"],
            69,
            &["no/such/folder"],
        ),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{arguments:?}: {}",
                ended.stderr
            );
        }
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0);
}
