//! The axum example as a user would run it: it starts, is ready, counts, drains on SIGTERM, ends.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

/// The example's program, which cargo builds with the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap();
    let example = folder.join("examples/axum");
    assert!(
        example.exists(),
        "build it: cargo build -p tenure --example axum"
    );
    example
}

fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, "GET", path)
}

fn ask(address: &str, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn s41_the_axum_example_is_ready_counts_and_drains_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Command::new(example())
        .env("PORT", "0")
        .env("STORE", "memory:")
        .env("SCHEDULE", "@every 1s")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(service.stdout.take().unwrap());
    let (tells, told) = channel();
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let _ = tells.send(line.unwrap());
        }
    });
    let line_with = |part: &str| {
        let found = told.iter().find(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("the example ended without `{part}`"))
    };
    let listening = line_with("listening on ");
    let address = listening.rsplit_once(' ').unwrap().1.to_owned();
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));
    let (status, text) = get(&address, "/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("\ntenure_ready{manager=\"\"} 1"), "{text}");
    let (status, text) = get(&address, "/");
    assert_eq!(status, 200);
    assert!(text.starts_with("refreshed "), "{text}");
    // Under a lock: the answer is its fence.
    let (status, fence) = ask(&address, "POST", "/report");
    assert_eq!(status, 200, "{fence}");
    assert!(fence.parse::<u64>().unwrap() > 0);
    // A run has just begun, and takes a second: not one that began while all this was asked.
    while told.try_recv().is_ok() {}
    line_with("refreshing for ");
    let ended = Command::new("kill")
        .args(["-TERM", &service.id().to_string()])
        .status();
    assert!(ended.unwrap().success());
    line_with("draining");
    let drained = line_with("runs finished");
    assert!(drained.contains("1 runs finished, 0 stopped"), "{drained}");
    assert!(service.wait().unwrap().success());
}
