//! Spans and figures of `tenure run` at a collector of OpenTelemetry.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use program::{Place, finish, ok};

const TASKS: &str = "\
[[task]]
name = \"counted\"
schedule = \"@every 1s\"
command = [\"true\"]
";

/// First lines and bodies of requests.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// A receiver that takes whatever it is sent.
fn collector() -> (String, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Sent::default();
    let keeps = sent.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim().to_ascii_lowercase();
                if let Some(bytes) = line.strip_prefix("content-length:") {
                    length = bytes.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
                head.push(line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8_lossy(&body).into_owned();
            keeps.lock().unwrap().push((head.swap_remove(0), body));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, sent)
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
            ("post /v1/traces ", "counted"),
            ("post /v1/metrics ", "tenure.run"),
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
