//! Spans and figures of `tenure run` at a collector of OpenTelemetry.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::net::TcpListener;
use std::process::Command;

use program::receiver::{Sent, receiver};
use program::{Place, end, until_true};

const TASKS: &str = "\
[[task]]
name = \"counted\"
schedule = \"@every 1s\"
command = [\"true\"]
";

/// A receiver that takes whatever it is sent.
fn collector() -> (String, Sent) {
    let (port, sent) = receiver(|_| "200 OK");
    (format!("http://127.0.0.1:{port}"), sent)
}

/// Lets a runner run until it has told of a run.
fn counted_once(place: &Place, mut command: Command) {
    let file = |name: &str| std::fs::File::create(place.path(name)).unwrap();
    let child = command.stdout(file("out")).stderr(file("err")).spawn();
    until_true("a run", || place.read("out").contains("counted#1"));
    let ended = end(child.unwrap());
    assert_eq!(ended.code, Some(0), "{}", place.read("err"));
}

#[test]
fn s46_tenure_run_sends_spans_and_figures_to_the_collector_that_is_named() {
    let place = Place::new();
    place.write("tasks.toml", TASKS);
    let arguments = ["run", "tasks.toml", "--no-dashboard"];
    for by_flag in [true, false] {
        let (address, sent) = collector();
        let mut command = place.tenure(arguments);
        if by_flag {
            command.args(["--otlp", &address]);
        } else {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
        }
        counted_once(&place, command);
        let sent = sent.lock().unwrap();
        for (path, named) in [
            ("POST /v1/traces ", "counted"),
            ("POST /v1/metrics ", "tenure.run"),
        ] {
            let is_it = |(head, body): &(String, String)| {
                head.starts_with(path) && body.contains(named) && body.contains("service.name")
            };
            assert!(sent.iter().any(is_it), "no {named} at {path}: {sent:?}");
        }
    }
}

#[test]
fn s46_a_collector_that_is_gone_holds_nothing_up_and_one_that_is_off_is_not_asked() {
    let place = Place::new();
    place.write("tasks.toml", TASKS);
    let arguments = ["run", "tasks.toml", "--no-dashboard"];
    let (address, sent) = collector();
    let mut off = place.tenure(arguments);
    off.env("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        .env("OTEL_SDK_DISABLED", "true");
    counted_once(&place, off);
    assert_eq!(sent.lock().unwrap().len(), 0);
    // Nobody listens on a port that was just given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let mut gone = place.tenure(arguments);
    gone.args(["--otlp", &nobody]);
    counted_once(&place, gone);
    let wrong = place.run(["run", "tasks.toml", "--otlp", "not an address"]);
    assert_eq!(wrong.code, Some(78), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("--otlp"), "{}", wrong.stderr);
}
