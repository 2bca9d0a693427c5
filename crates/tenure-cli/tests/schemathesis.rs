//! The API of a running `tenure run`, asked by a program that knows nothing but its document: no
//! request makes it fail, and every answer is one that the document tells of (F33).

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::{Command, Stdio};

use crate::program::{Place, end, until};

/// How many requests are made up for each route.
const EXAMPLES: &str = "8";

const TASKS: &str = r#"
    [[task]]
    name = "tick"
    schedule = "*/2 * * * * *"
    command = ["echo", "one"]
    [[task]]
    name = "a/b c"
    schedule = "0 0 1 1 *"
    concurrency = 3
    shell = "sleep 1"
"#;

/// Where the dashboard of a runner is.
fn dashboard(place: &Place, name: &str) -> String {
    until("the dashboard's address", || {
        let events = place.events(name);
        let told = events
            .iter()
            .find_map(|event| event["dashboard"].as_str())?;
        Some(told.trim_end_matches('/').to_owned())
    })
}

#[test]
fn f33_schemathesis_finds_no_answer_of_the_api_that_its_document_does_not_tell_of() {
    // Looked for first, so that nothing is left running where it is missing.
    let mut fuzz = Command::new(tenure_bed::schemathesis());
    let place = Place::new();
    place.write("tasks.toml", TASKS);
    let runner = place.runner("node", &["--dashboard", "127.0.0.1:0", "tasks.toml"]);
    let base = dashboard(&place, "node");
    // A lock to look at, and to be refused to take.
    let holder = place.tenure([
        "lock",
        "door",
        "--",
        "sh",
        "-c",
        "echo > held; exec sleep 600",
    ]);
    let mut holder = { holder }.spawn().unwrap();
    until("the lock", || place.path("held").exists().then_some(()));
    fuzz.args(["run", &format!("{base}/api/v1/openapi.json")])
        .args(["--url", &format!("{base}/api/v1")])
        .args(["--checks", "all", "--max-examples", EXAMPLES])
        // An instant that must lie in the future fits the document and is refused; the stream of
        // events has no end; on loopback nobody is asked for a credential.
        .args(["--exclude-checks", "positive_data_acceptance,ignored_auth"])
        .args(["--exclude-path", "/events"])
        .args([
            "--request-timeout",
            "30",
            "--no-color",
            "--seed",
            "20261122",
        ])
        .current_dir(place.folder())
        .stdin(Stdio::null());
    let ended = fuzz.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let _gone = holder.kill();
    let _reaped = holder.wait();
    let node = end(runner);
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complaints}");
    assert!(said.contains("Test cases"), "{said}");
    let log = place.read("node.log");
    assert!(!log.contains("this is a bug"), "{log}");
    assert_eq!(node.code, Some(0));
}
