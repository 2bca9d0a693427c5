//! The document of the API against its routes: each status that it tells of, of each route, is had
//! from that route. That no other is answered, `anything` and schemathesis look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tenure_core::{BackfillState, Holder, Key, LeaseRequest, LeaseStore, RunStore, Ttl};
use tenure_dashboard::{Access, Credentials, Dashboard, Right};
use tenure_memory::MemoryStore;
use tenure_sqlite::{SqliteOptions, SqliteStore};

use crate::client::{Answer, Served, known, serve, served};

const READ: &str = "Bearer read-token-0123456789";
const FORCE: &str = "Bearer force-token-0123456789";
const ABSENT_RUN: &str = "a@2026-11-21T03:00:00.000Z%231";

/// A dashboard that asks who somebody is.
async fn asking() -> Served {
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let token = |bearer: &'static str| bearer.trim_start_matches("Bearer ");
    let credentials = Credentials::new()
        .token(token(READ), Right::Read)
        .and_then(|it| it.token(token(FORCE), Right::Force));
    serve(store, Access::asked(credentials.unwrap())).await
}

/// One operation of the document.
struct Operation {
    id: String,
    method: String,
    path: String,
    answers: BTreeSet<u16>,
    has_query: bool,
}

async fn operations(served: &Served) -> Vec<Operation> {
    let headers = [("authorization", FORCE)];
    let document = served
        .ask("GET", "/api/v1/openapi.json", &headers, "")
        .await;
    let document = document.json();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, told) in methods.as_object().unwrap() {
            let answers = told["responses"].as_object().unwrap();
            let refusals = answers
                .iter()
                .filter(|(status, _)| *status >= &"400".to_owned());
            for (status, refusal) in refusals {
                let schema = &refusal["content"]["application/problem+json"]["schema"];
                assert_eq!(
                    schema["$ref"], "#/components/schemas/Problem",
                    "{path} {status}"
                );
                assert!(!refusal["description"].as_str().unwrap().is_empty());
            }
            let parameters = told["parameters"].as_array().unwrap();
            all.push(Operation {
                id: told["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: format!("/api/v1{path}"),
                answers: answers.keys().map(|it| it.parse().unwrap()).collect(),
                has_query: parameters.iter().any(|it| it["in"] == "query"),
            });
        }
    }
    all
}

impl Operation {
    /// The path with what stands in braces put in.
    fn at(&self, name: &str) -> String {
        let parts = self.path.split('/').map(|part| match part {
            part if part.starts_with('{') => name,
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Something that is not there.
    fn absent(&self) -> String {
        self.at(if self.path.contains("{run}") {
            ABSENT_RUN
        } else {
            "nobody"
        })
    }

    /// A body that is as it should be.
    fn body(&self) -> &'static str {
        match self.id.as_str() {
            _ if self.method == "GET" => "",
            "backfill" => r#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#,
            "force_unlock" => r#"{"fence":1}"#,
            _ => "{}",
        }
    }

    async fn ask(&self, served: &Served, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_with(served, path, headers, self.body()).await
    }

    async fn ask_with(
        &self,
        served: &Served,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut all = headers.to_vec();
        if self.method == "POST" && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        served.ask(&self.method, path, &all, body).await
    }
}

/// The operations that are told to answer with `status`, and what each answered: all must.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeSet<u16>>);

impl Seen {
    fn had(&mut self, operation: &Operation, status: u16, answer: &Answer) {
        let (method, path) = (&operation.method, &operation.path);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if status >= 400 {
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{method} {path}");
            let problem: Value = answer.json();
            assert_eq!(problem["status"], status, "{method} {path}: {problem}");
        }
        let of_route = self.0.entry(operation.id.clone()).or_default();
        of_route.insert(status);
    }
}

/// What is refused by how the request is made.
async fn by_form(all: &[Operation], seen: &mut Seen) {
    let served = asking().await;
    let force = ("authorization", FORCE);
    for it in all {
        let answers = |status: u16| it.answers.contains(&status);
        let path = it.absent();
        seen.had(it, 401, &it.ask(&served, &path, &[]).await);
        let long = format!("{path}?{}", "y".repeat(9000));
        seen.had(it, 414, &it.ask(&served, &long, &[force]).await);
        let elsewhere = [force, ("host", "evil.example")];
        seen.had(it, 421, &it.ask(&served, &path, &elsewhere).await);
        if answers(403) {
            let reader = [("authorization", READ)];
            seen.had(it, 403, &it.ask(&served, &path, &reader).await);
        }
        if answers(400) {
            let (path, body) = match it.method.as_str() {
                "POST" => (path.clone(), "{"),
                _ if it.has_query => (format!("{}?nonsense=1", it.at("a")), ""),
                _ if it.path.contains("{key}") => (it.at(&"k".repeat(5000)), ""),
                _ => (it.at("%00"), ""),
            };
            seen.had(it, 400, &it.ask_with(&served, &path, &[force], body).await);
        }
        if answers(413) {
            let large = format!("{{\"why\":\"{}\"}}", "y".repeat(70_000));
            seen.had(
                it,
                413,
                &it.ask_with(&served, &path, &[force], &large).await,
            );
        }
        if answers(415) {
            let plain = [force, ("content-type", "text/plain")];
            seen.had(it, 415, &it.ask(&served, &path, &plain).await);
        }
        if answers(404) {
            seen.had(it, 404, &it.ask(&served, &path, &[force]).await);
        }
    }
    // Bodies that do not come: all at once, because each takes the server ten seconds.
    let slow = all.iter().filter(|it| it.answers.contains(&408));
    let slow = slow.map(|it| {
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: {FORCE}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{",
            it.absent(),
            served.address
        );
        let served = &served;
        async move { (it, Answer::of(&served.raw(request.as_bytes()).await)) }
    });
    for (it, answer) in futures_util::future::join_all(slow).await {
        seen.had(it, 408, &answer);
    }
    // The last, since nobody is let in after it.
    let wrong = [("authorization", "Bearer wrong-token-0123456789")];
    for _ in 0..10 {
        served.ask("GET", "/api/v1/now", &wrong, "").await;
    }
    for it in all {
        seen.had(it, 429, &it.ask(&served, &it.absent(), &[force]).await);
    }
}

/// What is refused because of what the store has, and what is not told twice.
async fn by_state(all: &[Operation], seen: &mut Seen) {
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
    let door = Key::new("door").unwrap();
    let held = LeaseRequest::new(door, Holder::new("ann"), ttl);
    store.acquire(&held).await.unwrap();
    let served = serve(store.clone(), Access::open(Right::Force)).await;
    let run = served.post("/api/v1/tasks/a/runs", "{}").await.json();
    let run = tenure_dashboard::view::segment(run["runs"][0].as_str().unwrap());
    let body = r#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-03T12:00:00Z"}"#;
    let backfill = served.post("/api/v1/tasks/a/backfills", body).await.json();
    let backfill = backfill["id"].as_str().unwrap();
    let ended = served
        .post(&format!("/api/v1/runs/{run}/cancel"), "{}")
        .await;
    assert_eq!(ended.status, 202, "{ended:?}");
    let asked = store.backfills().await.unwrap().remove(0);
    let over = asked.changed_to(BackfillState::Done);
    assert!(
        store
            .save_backfill(&over, Some(asked.cursor))
            .await
            .unwrap()
    );
    let paused = served.post("/api/v1/tasks/a/pause", "{}").await;
    assert_eq!(paused.status, 200, "{paused:?}");
    for it in all {
        let name = match it.path.as_str() {
            path if path.contains("{run}") => run.as_str(),
            path if path.contains("{id}") => backfill,
            path if path.contains("{key}") => "door",
            _ => "a",
        };
        let path = it.at(name);
        if it.answers.contains(&409) {
            let body = match it.id.as_str() {
                "force_unlock" => r#"{"fence":77}"#,
                "pause" => r#"{"until":"2999-01-01T00:00:00Z"}"#,
                _ => "{}",
            };
            seen.had(it, 409, &it.ask_with(&served, &path, &[], body).await);
        }
        if it.answers.contains(&304) {
            let any = [("if-none-match", "*")];
            seen.had(it, 304, &it.ask(&served, &path, &any).await);
        }
    }
}

/// What is refused because the store is gone.
async fn without_a_store(all: &[Operation], seen: &mut Seen) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let store = Arc::new(SqliteStore::open(SqliteOptions::new(&file)).unwrap());
    known(&*store).await;
    let dashboard = Dashboard::builder(store.clone(), store);
    let dashboard = dashboard.access(Access::open(Right::Force)).build();
    let served = served(&dashboard).await;
    std::fs::remove_file(&file).unwrap();
    for it in all.iter().filter(|it| it.id != "events") {
        let is_run = it.path.contains("{run}");
        let name = if is_run { ABSENT_RUN } else { "a" };
        let answer = it.ask(&served, &it.at(name), &[]).await;
        seen.had(it, 503, &answer);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(!answer.body.contains("t.db"), "{answer:?}");
    }
}

#[tokio::test]
async fn f33_each_status_that_the_document_tells_of_is_had_from_its_route() {
    let served = asking().await;
    let all = operations(&served).await;
    assert!(all.len() >= 20, "{}", all.len());
    let mut seen = Seen::default();
    by_form(&all, &mut seen).await;
    by_state(&all, &mut seen).await;
    without_a_store(&all, &mut seen).await;
    for it in &all {
        let mut told: BTreeSet<u16> = it.answers.iter().copied().filter(|it| *it >= 300).collect();
        if it.id == "events" {
            // Of too many listeners, which has a test of its own (E103).
            told.remove(&503);
        }
        assert_eq!(seen.0.get(&it.id), Some(&told), "{} {}", it.method, it.path);
    }
}
