//! The API over TCP: what it answers to good and to bad requests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure_core::{Holder, Key, LeaseRequest, LeaseStore, Pause, RunStore, TaskName, Ttl};
use tenure_dashboard::{Access, Right, routes};
use tenure_memory::MemoryStore;
use tenure_sqlite::{SqliteOptions, SqliteStore};

use crate::client::{Served, known, serve};

async fn memory() -> (Arc<MemoryStore>, Served) {
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let served = serve(store.clone(), Access::open(Right::Force)).await;
    (store, served)
}

async fn everything_over_http<S: LeaseStore + RunStore>(store: Arc<S>) {
    known(&*store).await;
    let served = serve(store.clone(), Access::open(Right::Force)).await;
    let names: Vec<Value> = served.get("/api/v1/tasks").await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].clone())
        .collect();
    assert_eq!(names, ["a", "b/ü", "c"]);

    let paused = served
        .post(
            "/api/v1/tasks/b%2F%C3%BC/pause",
            r#"{"why":"month end","by":"ann"}"#,
        )
        .await;
    assert_eq!(
        (paused.status, paused.json()["by"].as_str()),
        (200, Some("ann"))
    );
    let task = served.get("/api/v1/tasks/b%2F%C3%BC").await.json();
    assert_eq!(task["task"]["pause"]["why"], "month end");
    let why = r#"{"why":"it is closed","by":"bob"}"#;
    let resumed = served.post("/api/v1/tasks/b%2F%C3%BC/resume", why).await;
    assert_eq!(resumed.json(), json!({"was_paused": true}));
    let long = json!({"why": "0".repeat(1001)}).to_string();
    let refused = served.post("/api/v1/tasks/a/resume", &long).await;
    assert_eq!(
        (refused.status, &refused.json()["place"]),
        (400, &json!("why"))
    );

    let run = served.post("/api/v1/tasks/a/runs", r#"{"why":"x"}"#).await;
    assert_eq!(run.status, 202);
    let id = run.json()["runs"][0].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{}", tenure_dashboard::view::segment(&id));
    let shown = served.get(&path).await.json();
    assert_eq!(shown["run"]["state"], "waiting", "{shown}");
    assert!(!shown["story"].as_array().unwrap().is_empty(), "{shown}");
    let cancelled = served.post(&format!("{path}/cancel"), "{}").await;
    assert_eq!(
        (cancelled.status, cancelled.json()["is_over"].as_bool()),
        (202, Some(true))
    );
    assert_eq!(
        served.post(&format!("{path}/cancel"), "{}").await.status,
        409
    );

    let from = r#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-03T12:00:00Z","dry_run":true}"#;
    let survey = served.post("/api/v1/tasks/c/backfills", from).await.json();
    assert_eq!(
        (&survey["ticks"], &survey["id"]),
        (&json!(3), &Value::Null),
        "{survey}"
    );
    let real = from.replace("true", "false");
    let asked = served.post("/api/v1/tasks/c/backfills", &real).await.json();
    let id = asked["id"].as_str().unwrap();
    let stopped = served
        .post(&format!("/api/v1/backfills/{id}/cancel"), "{}")
        .await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let listed = served.get("/api/v1/backfills").await.json();
    assert_eq!(listed["items"][0]["state"], "cancelled");

    for path in ["now", "herd", "runs", "locks", "waits", "nodes", "store"] {
        let answer = served.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let audits = audits(&*store).await;
    for (what, count) in [("paused task", 1), ("resumed task", 1), ("asked run", 1)] {
        let found = audits.iter().filter(|text| text.contains(what)).count();
        assert_eq!(found, count, "{what} in {audits:?}");
    }
    // Who and why stand with the change itself too, as if it had been made elsewhere.
    assert_eq!(
        notes(&*store, "resumed").await,
        ["resumed by bob: it is closed"]
    );
    let first = &audits[0];
    assert!(
        first.starts_with("ann (open, from 127.0.0.1) paused task b/ü"),
        "{first}"
    );
}

async fn audits(store: &dyn RunStore) -> Vec<String> {
    notes(store, "audit").await
}

async fn notes(store: &dyn RunStore, kind: &str) -> Vec<String> {
    let page = store.events(None, 1000).await.unwrap();
    let notes = page
        .events
        .into_iter()
        .filter_map(|event| match event.kind {
            tenure_core::EventKind::Note(note) if note.kind == kind => Some(note.text),
            _ => None,
        });
    notes.collect()
}

#[tokio::test]
async fn f30_everything_can_be_done_over_http_and_leaves_a_record_in_memory() {
    everything_over_http(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn f30_everything_can_be_done_over_http_and_leaves_a_record_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("t.db"));
    everything_over_http(Arc::new(SqliteStore::open(options).unwrap())).await;
}

#[tokio::test]
async fn e104_a_lock_is_taken_only_from_the_holder_that_was_seen() {
    let (store, served) = memory().await;
    let key = Key::from_bytes(b"in/\xff").unwrap();
    let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
    let held = LeaseRequest::new(key.clone(), Holder::new("ann"), ttl);
    store.acquire(&held).await.unwrap();
    let lock = served.get("/api/v1/locks/in%2F%FF").await.json();
    let fence = lock["lock"]["fence"].as_u64().unwrap();
    let force = async |fence: u64| {
        let body = json!({"fence": fence, "why": "gone"}).to_string();
        served.post("/api/v1/locks/in%2F%FF/force", &body).await
    };
    let old = force(fence + 1).await;
    assert_eq!(
        (old.status, old.header("content-type")),
        (409, Some("application/problem+json"))
    );
    assert!(store.inspect(&key).await.unwrap().is_some());
    assert_eq!(force(fence).await.status, 200);
    assert_eq!(store.inspect(&key).await.unwrap(), None);
    assert_eq!(force(fence).await.status, 409);
    assert_eq!(audits(&*store).await.len(), 1);
}

#[tokio::test]
async fn e105_one_request_to_run_now_is_one_run_however_often_it_is_sent() {
    let (_store, served) = memory().await;
    let body = r#"{"request":"order-66"}"#;
    let first = served.post("/api/v1/tasks/a/runs", body).await.json();
    let second = served.post("/api/v1/tasks/a/runs", body).await.json();
    assert_eq!(first["runs"], second["runs"]);
    assert_eq!(
        (&first["is_repeated"], &second["is_repeated"]),
        (&json!(false), &json!(true))
    );
    let runs = served.get("/api/v1/runs?task=a").await.json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn e95_a_request_to_run_may_not_be_called_as_the_runs_that_follow_each_other_are() {
    let (_store, served) = memory().await;
    let body = r#"{"request":"after"}"#;
    let refused = served.post("/api/v1/tasks/a/runs", body).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let problem = refused.json().to_string();
    assert!(problem.contains("must not be `after`"), "{problem}");
    let runs = served.get("/api/v1/runs?task=a").await.json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 0);
    let document = served.get("/api/v1/openapi.json").await.json();
    let request = &document["components"]["schemas"]["RunAsked"]["properties"]["request"];
    assert_eq!(request["not"]["const"], "after", "{document}");
}

#[tokio::test]
async fn s59_a_pause_is_not_replaced_by_a_shorter_one_unless_that_is_asked_for() {
    let (store, served) = memory().await;
    // By another process, just now.
    let pause = Pause::new("alice", "do not touch");
    let task = TaskName::new("a").unwrap();
    served.get("/api/v1/tasks").await;
    store.pause(&task, &pause).await.unwrap();
    let shorter = r#"{"by":"bob","until":"2999-01-01T00:00:00Z"}"#;
    let refused = served.post("/api/v1/tasks/a/pause", shorter).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let told = refused.json().to_string();
    assert!(
        told.contains("paused by alice until somebody resumes it: do not touch"),
        "{told}"
    );
    let shorter = r#"{"by":"bob","until":"2999-01-01T00:00:00Z","replace":true}"#;
    assert_eq!(
        served.post("/api/v1/tasks/a/pause", shorter).await.status,
        200
    );
    let longer = r#"{"by":"carol"}"#;
    assert_eq!(
        served.post("/api/v1/tasks/a/pause", longer).await.status,
        200
    );
    let tasks = store.tasks().await.unwrap();
    let kept = tasks.iter().find(|it| it.definition.task == task).unwrap();
    assert_eq!(kept.pause, Some(Pause::new("carol", "")));
}

#[tokio::test]
async fn an_unchanged_answer_is_told_without_its_content() {
    let (store, served) = memory().await;
    let first = served.get("/api/v1/tasks").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = [("if-none-match", tag.as_str())];
    let same = served.ask("GET", "/api/v1/tasks", &again, "").await;
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    let body = r#"{"why":"changed"}"#;
    assert_eq!(served.post("/api/v1/tasks/a/pause", body).await.status, 200);
    let other = served.ask("GET", "/api/v1/tasks", &again, "").await;
    assert_eq!(other.status, 200);
    drop(store);
}

#[tokio::test]
async fn e95_bodies_that_are_not_as_they_should_be_are_refused_with_their_place() {
    let (_store, served) = memory().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, place) in [
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        (deep.as_str(), "body"),
        (r#"{"why":1}"#, "why"),
        (r#"{"why":"a","why":"b"}"#, "body"),
        (r#"{"what":"a"}"#, "what"),
        (r#"{"why":"a"} x"#, "body"),
        (r#"{"until":"tomorrow"}"#, "until"),
        (r#"{"until":"2001-01-01T00:00:00Z"}"#, "until"),
        (r#"{"why":NaN}"#, "why"),
    ] {
        let answer = served.post("/api/v1/tasks/a/pause", body).await;
        let shown = body.get(..30).unwrap_or(body);
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        let problem = answer.json();
        let found = problem["place"].as_str().unwrap();
        assert!(
            found == place || found == "body" || found == "[0]",
            "{shown}: {problem}"
        );
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let headers = [("content-type", "text/plain")];
    let plain = served
        .ask("POST", "/api/v1/tasks/a/pause", &headers, "{}")
        .await;
    assert_eq!(plain.status, 415);
}

#[tokio::test]
async fn e96_e97_e98_paths_and_methods_that_are_none_are_refused() {
    let (_store, served) = memory().await;
    for (method, path, status) in [
        ("GET", "/api/v1/tasks/nobody", 404),
        ("GET", "/api/v1/runs/x", 400),
        ("GET", "/api/v1/runs/a@2026-11-21T03:00:00.000Z%231", 404),
        ("GET", "/api/v1/tasks/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/api/v1/../../etc/passwd", 404),
        ("GET", "/api/v1/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/api/v1/tasks/a%00b", 400),
        ("GET", "/api/v1/tasks/%C0%AF", 400),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/", 404),
        ("GET", "/api", 404),
        ("GET", "/api/v2/tasks", 404),
        ("DELETE", "/api/v1/tasks", 405),
        ("TRACE", "/api/v1/tasks", 405),
        ("POST", "/api/v1/now", 405),
        ("GET", "/api/v1/tasks?limit=-1", 400),
        ("GET", "/api/v1/tasks?limit=1000000000", 400),
        ("GET", "/api/v1/tasks?limit=0", 400),
        ("GET", "/api/v1/tasks?after=forged", 400),
        ("GET", "/api/v1/locks?after=kforged%00%", 200),
        ("GET", "/api/v1/runs?after=rforged", 400),
        ("GET", "/api/v1/runs?state=sleeping", 400),
        ("GET", "/api/v1/runs?colour=red", 400),
    ] {
        let answer = served.ask(method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if status >= 400 {
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{method} {path}");
        }
    }
    // A page for whoever looks for a page, and a word for whoever does not follow.
    let answer = served.get("/apis").await;
    assert!(answer.status == 404 && answer.body.starts_with("<!DOCTYPE"));
    let answer = served.get("/").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("/now"))
    );
    assert!(
        answer.body.starts_with("the dashboard is at /now"),
        "{answer:?}"
    );
    let over = [("x-http-method-override", "POST")];
    let answer = served.ask("GET", "/api/v1/tasks/a/pause", &over, "").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn e93_e99_requests_beyond_all_bounds_are_refused_and_nobody_else_is_harmed() {
    let (_store, served) = memory().await;
    let host = served.address;
    let long = "x".repeat(1024 * 1024);
    for (request, expected) in [
        (
            format!("GET /{long} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            vec!["414", "431"],
        ),
        (
            format!(
                "GET /now?{} HTTP/1.1\r\nhost: {host}\r\n\r\n",
                "y".repeat(9000)
            ),
            vec!["414"],
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: {host}\r\nx: {long}\r\n\r\n"),
            vec!["431"],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: {host}\r\n{}\r\n",
                "x: y\r\n".repeat(1000)
            ),
            vec!["431"],
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), vec!["400"]),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), vec!["400"]),
        (
            format!(
                "POST /api/v1/tasks/a/pause HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\
                 content-length: 3\r\n\r\n{{}}"
            ),
            vec!["400"],
        ),
        (
            format!(
                "POST /api/v1/tasks/a/pause HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: 1000000000\r\n\r\n{long}"
            ),
            vec!["413"],
        ),
    ] {
        let answer = served.raw(request.as_bytes()).await;
        let status = answer.get(9..12).unwrap_or_default();
        let shown: String = request.chars().take(60).collect();
        assert!(expected.contains(&status), "{shown:?}: {answer:.200}");
        assert_eq!(served.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn e94_a_client_that_says_nothing_is_hung_up_on() {
    let (_store, served) = memory().await;
    let silent = served.raw(b"GET /now HTT");
    let heard = tokio::time::timeout(Duration::from_secs(60), silent).await;
    assert!(heard.is_ok(), "the server still waits");
}

#[tokio::test]
async fn f33_the_document_has_every_route_and_all_it_refers_to() {
    let (_store, served) = memory().await;
    let document = served.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for route in routes() {
        let Some(path) = route.path.strip_prefix("/api/v1") else {
            continue;
        };
        if path == "/openapi.json" {
            continue;
        }
        let operation = &document["paths"][path][route.method.to_lowercase()];
        assert!(operation["operationId"].is_string(), "{route:?}");
        let right = format!("Needs the right `{}`.", route.right.unwrap());
        assert_eq!(operation["description"], right, "{route:?}");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn what_changes_is_heard_as_it_happens() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (store, served) = memory().await;
    let mut stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n",
        served.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    let name = TaskName::new("a").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let mut pauses = 0;
    // The reader may find the feed's end after the first pause: pause until one is heard.
    while !heard.contains("event: note") {
        assert!(tokio::time::Instant::now() < deadline, "heard only {heard}");
        if heard.contains("event: refetch") {
            pauses += 1;
            let pause = tenure_core::Pause::new("ann", format!("{pauses}"));
            store.pause(&name, &pause).await.unwrap();
        }
        let reading = stream.read(&mut buffer);
        if let Ok(read) = tokio::time::timeout(Duration::from_secs(2), reading).await {
            heard += &String::from_utf8_lossy(&buffer[..read.unwrap()]);
        }
    }
    assert!(heard.contains("text/event-stream"), "{heard}");
    assert!(heard.contains("\"kind\":\"paused\""), "{heard}");
    let id = heard
        .split("\nid: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    // Whoever comes back with the id is not told to fetch anew.
    let mut stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nlast-event-id: {id}\r\n\r\n",
        served.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let name = TaskName::new("c").unwrap();
    let mut heard = String::new();
    while !heard.contains("event: note") {
        assert!(tokio::time::Instant::now() < deadline, "heard only {heard}");
        store
            .pause(&name, &tenure_core::Pause::new("bob", ""))
            .await
            .unwrap();
        let reading = stream.read(&mut buffer);
        if let Ok(read) = tokio::time::timeout(Duration::from_secs(2), reading).await {
            heard += &String::from_utf8_lossy(&buffer[..read.unwrap()]);
        }
    }
    assert!(!heard.contains("refetch"), "{heard}");
}

#[tokio::test]
async fn e103_listeners_are_limited_and_told_when_to_come_back() {
    let (_store, served) = memory().await;
    let mut listening = Vec::new();
    for _ in 0..100 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(served.address)
            .await
            .unwrap();
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n\r\n",
            served.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        listening.push(stream);
    }
    let refused = served.get("/api/v1/events").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("30"))
    );
}
