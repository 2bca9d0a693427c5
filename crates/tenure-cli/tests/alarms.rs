//! Alarms of a task file, told by commands and webhooks, with several processes on one store.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::Child;

use serde_json::Value;

use crate::program::receiver::receiver;
use crate::program::{Place, end, until_true};

fn runner(place: &Place, name: &str) -> Child {
    let mut command = place.tenure(["run", "--json", "tasks.toml"]);
    command.env("PAGER_TOKEN", "s3cr3t-token");
    place.started(name, command)
}

#[test]
fn s40_s44_a_command_is_told_an_alarm_once_by_three_processes() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "fails"
            schedule = "@every 400ms"
            shell = "test -e mended"

            [[alarm]]
            name = "file"
            on = ["failing"]
            tasks = ["f*s"]
            after = 3
            command = ["sh", "-c", '''
            what="$TENURE_ALARM_KIND $TENURE_TASK $TENURE_ALARM_STATE"
            echo "$what $TENURE_ALARM_RULE" >> told.txt
            echo "$TENURE_ALARM" >> json.txt
            ''']
        "#,
    );
    let runners: Vec<Child> = ["a", "b", "c"].map(|name| runner(&place, name)).into();
    until_true("an alarm", || !place.read("told.txt").is_empty());
    until_true("more bad runs", || {
        let ended = place.run(["history", "--json", "--state", "failed", "fails"]);
        ended.stdout.lines().count() > 8
    });
    assert_eq!(place.read("told.txt"), "failing fails raised file\n");
    place.write("mended", "");
    until_true("the end of it", || {
        place.read("told.txt").lines().count() > 1
    });
    for runner in runners {
        let ended = end(runner);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    assert_eq!(
        place.read("told.txt"),
        "failing fails raised file\nfailing fails recovered file\n"
    );
    let told = place.read("json.txt");
    let alarm: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert!(alarm["text"].as_str().unwrap().contains("exit status 1"));
    let lines: usize = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let events = place.read(&format!("{name}.jsonl"));
            events.matches(r#""event":"alarm""#).count()
        })
        .sum();
    assert_eq!(lines, 2, "each change is a line of one process");
}

#[test]
fn s40_a_webhook_is_tried_again_and_its_secrets_are_not_shown() {
    let place = Place::new();
    let (port, sent) = receiver(|before| if before == 0 { "503 No" } else { "200 OK" });
    place.write("key.txt", "from-a-file\n");
    place.write(
        "tasks.toml",
        format!(
            r#"
            [[task]]
            name = "fails"
            schedule = "@every 1h"
            command = ["false"]

            [[alarm]]
            on = ["failing"]
            webhook = "http://127.0.0.1:{port}/hook/p4th-s3cr3t"
            headers = {{ Authorization = "Bearer ${{PAGER_TOKEN}}" }}
            header_files = {{ X-Key = "key.txt" }}
            "#
        ),
    );
    let runner = runner(&place, "a");
    until_true("the task is known", || {
        place.run(["trigger", "fails"]).code == Some(0)
    });
    until_true("both tries", || sent.lock().unwrap().len() == 2);
    let tries = sent.lock().unwrap().clone();
    for (head, body) in &tries {
        assert!(
            head.starts_with("POST /hook/p4th-s3cr3t HTTP/1.1"),
            "{head}"
        );
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("authorization: bearer s3cr3t-token"),
            "{head}"
        );
        assert!(head.contains("x-key: from-a-file"), "{head}");
        let alarm: Value = serde_json::from_str(body).unwrap();
        assert_eq!(alarm["kind"], "failing");
        assert_eq!(alarm["state"], "raised");
        assert_eq!(alarm["task"], "fails");
    }
    assert_eq!(tries[0].1, tries[1].1, "each try tells the same");
    assert_eq!(end(runner).code, Some(0));
    let history = place.run(["history", "--json", "--output"]).stdout;
    let shown = [place.read("a.log"), place.read("a.jsonl"), history].concat();
    for secret in ["s3cr3t", "from-a-file"] {
        assert!(!shown.contains(secret), "{secret} is shown in\n{shown}");
    }
}

#[test]
fn every_fault_of_the_alarms_is_found_at_once() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "backup"
            schedule = "0 3 * * *"
            command = ["true"]

            [[alarm]]
            name = "a b"
            on = ["failling"]
            webhook = "ftp://s3cr3t"
            after = 0

            [[alarm]]
            on = ["too_long"]
            tasks = ["backpu"]

            [[alarm]]
            on = []
            comand = ["true"]
            command = ["true"]
            webhook = "https://example.org/s3cr3t"

            [[alarm]]
            on = ["lost"]
            command = ["true"]
            headers = { X = "s3cr3t" }
            timeout = "1y"
            late_after = 5
        "#,
    );
    let ended = place.run(["check", "tasks.toml"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    let text = [ended.stdout, ended.stderr].concat();
    for part in [
        "did you mean `failing`?",
        "is no http or https URL",
        "0 must be 1 to 100",
        "must be 1 to 48 ASCII letters",
        "has neither `command` nor `webhook`",
        "names nothing to tell of",
        "did you mean `command`?",
        "exclude each other",
        "is for a webhook only",
        "`late_after` of alarm number 4 must be a duration",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[test]
fn a_pattern_that_fits_no_task_is_warned_of() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "backup"
            schedule = "0 3 * * *"
            command = ["true"]
            [[alarm]]
            on = ["lost"]
            tasks = ["backpu", "b*"]
            command = ["true"]
        "#,
    );
    let ended = place.run(["check", "tasks.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = [ended.stdout, ended.stderr].concat();
    assert!(text.contains("no task is called `backpu`"), "{text}");
    assert!(!text.contains("`b*`"), "{text}");
}
