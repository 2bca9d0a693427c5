//! Spans and figures of `tenure run` at a collector of OpenTelemetry.

mod program;

use std::net::TcpListener;

use program::receiver::{Sent, receiver};
use program::{Place, finish, ok};

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

#[test]
fn s46_tenure_run_sends_spans_and_figures_to_the_collector_that_is_named() {
    let place = Place::new();
    place.write("tasks.toml", TASKS);
    let arguments = ["run", "tasks.toml", "--no-dashboard", "--for", "4s"];
    for by_flag in [true, false] {
        let (address, sent) = collector();
        let mut command = place.tenure(arguments);
        if by_flag {
            command.args(["--otlp", &address]);
        } else {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
        }
        ok(finish(command.spawn().unwrap()));
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
    let arguments = ["run", "tasks.toml", "--no-dashboard", "--for", "3s"];
    let (address, sent) = collector();
    let mut off = place.tenure(arguments);
    off.env("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        .env("OTEL_SDK_DISABLED", "true");
    ok(finish(off.spawn().unwrap()));
    assert_eq!(sent.lock().unwrap().len(), 0);
    // Nobody listens on a port that was just given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let gone = place.run(arguments.iter().copied().chain(["--otlp", &nobody]));
    assert!(ok(gone).contains("counted"));
    let wrong = place.run(["run", "tasks.toml", "--otlp", "not an address"]);
    assert_eq!(wrong.code, Some(78), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("--otlp"), "{}", wrong.stderr);
}
