//! `tenure run --metrics`: what probes and Prometheus are answered while tasks run and end.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::program::{Place, finish, signal, until_true};

/// The status and the body of an answer; 0 if nobody listens.
fn get(address: &str, path: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return (0, String::new());
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

#[test]
fn s41_s46_probes_and_metrics_are_answered_until_the_last_run_has_ended() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "tick"
            schedule = "* * * * * *"
            command = ["true"]
            [[task]]
            name = "long"
            schedule = "* * * * * *"
            shell = "touch began; while ! test -e over; do sleep 0.05; done"
        "#,
    );
    let mut runner = place
        .tenure(["run", "--metrics", "127.0.0.1:0", "tasks.toml"])
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(runner.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "no address was told"
        );
        if let Some((_, address)) = line.trim().split_once("http://") {
            break address.to_owned();
        }
    };
    until_true("a run", || place.path("began").exists());
    until_true("that it is ready", || {
        get(&address, "/readyz") == (200, "ready\n".to_owned())
    });
    assert_eq!(get(&address, "/healthz").0, 200);
    until_true("a figure", || {
        let (status, text) = get(&address, "/metrics");
        status == 200
            && text.contains("tenure_run_seconds_count{task=\"tick\",outcome=\"succeeded\"}")
            && text.contains("\ntenure_ready{manager=\"\"} 1")
    });
    signal(runner.id(), Signal::SIGTERM);
    until_true("that it drains", || {
        let (status, body) = get(&address, "/readyz");
        status == 503 && body.starts_with("draining")
    });
    assert_eq!(get(&address, "/healthz").0, 200);
    place.write("over", "");
    assert_eq!(finish(runner).code, Some(0));
    assert_eq!(get(&address, "/healthz").0, 0);
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_starts() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\ncommand = [\"true\"]\n",
    );
    let ended = place.run(["run", "--metrics", &address, "tasks.toml"]);
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("name another address"),
        "{}",
        ended.stderr
    );
}

#[test]
fn f23_f26_proxies_of_the_file_are_believed_that_browsers_came_by_tls() {
    for (peers, is_believed) in [("127.0.0.1", true), ("192.0.2.7", false)] {
        let place = Place::new();
        place.write(
            "tasks.toml",
            format!(
                "[dashboard]\naddress = \"127.0.0.1:0\"\nproxy_peers = [\"{peers}\"]\n\
                 [[task]]\nname = \"a\"\nschedule = \"@yearly\"\ncommand = [\"true\"]\n"
            ),
        );
        let runner = place.runner("node", &["tasks.toml"]);
        let events = place.events("node");
        let address = events.iter().find_map(|event| event["dashboard"].as_str());
        let address = address.unwrap_or_else(|| panic!("no dashboard in {events:?}"));
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "GET /now HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             x-forwarded-proto: https\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let told = answer.contains("strict-transport-security: max-age=31536000\r\n");
        assert_eq!(told, is_believed, "{peers}: {answer}");
        assert_eq!(program::end(runner).code, Some(0));
    }
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[dashboard]\nproxy_peers = [\"proxy.example\"]\n\
         [[task]]\nname = \"a\"\nschedule = \"@yearly\"\ncommand = [\"true\"]\n",
    );
    let refused = place.run(["run", "tasks.toml"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("proxy.example"), "{refused:?}");
}
