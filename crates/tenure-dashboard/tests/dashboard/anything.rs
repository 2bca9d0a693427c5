//! Whatever is asked, the server answers, and never with a fault of its own.

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use serde_json::{Map, Value};
use tenure_dashboard::{Access, Right, Route, routes};
use tenure_memory::MemoryStore;
use tokio::runtime::Runtime;

use crate::client::{Served, known, serve};

/// One server for all cases.
fn server() -> &'static (Runtime, Served) {
    static SERVER: OnceLock<(Runtime, Served)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let served = runtime.block_on(async {
            let store = Arc::new(MemoryStore::new());
            known(&*store).await;
            serve(store, Access::open(Right::Force)).await
        });
        (runtime, served)
    })
}

/// A name in a path: one that is there, or anything.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b%2F%C3%BC".to_owned()),
        "[a-z@#+:%0-9.é-]{1,20}".prop_map(|text| tenure_dashboard::view::segment(&text)),
        "(%[0-9a-fA-F]{2}){1,8}",
        "[!-~]{1,20}",
    ]
}

/// What the document says that a route answers; nothing of what is no part of the API.
fn told(route: &Route) -> Option<Map<String, Value>> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| {
        let (runtime, served) = server();
        runtime.block_on(served.get("/api/v1/openapi.json")).json()
    });
    let path = route.path.strip_prefix("/api/v1")?;
    let operation = &document["paths"][path][route.method.to_lowercase()];
    operation["responses"].as_object().cloned()
}

/// A route, the name in its path, and that path.
fn path() -> impl Strategy<Value = (Route, String, String)> {
    let is_asked = |route: &Route| !route.path.ends_with("/events");
    let routes: Vec<Route> = routes().into_iter().filter(is_asked).collect();
    (proptest::sample::select(routes), name()).prop_map(|(route, name)| {
        let segments = route
            .path
            .split('/')
            .map(|part| match part.strip_prefix('{') {
                Some(_) => name.clone(),
                None => part.to_owned(),
            });
        let path: Vec<String> = segments.collect();
        (route, name, path.join("/"))
    })
}

fn query() -> impl Strategy<Value = String> {
    let key = "(limit|after|state|task|from|to|at|filter|contains|prefix|[a-z]{1,4})";
    let value = prop_oneof![
        "[trk]?[!-~]{0,12}",
        "-?[0-9]{1,20}",
        "2026-(0[1-9]|99)-01T00:00:00Z",
        "(%[0-9a-f]{2}){0,6}",
    ];
    proptest::collection::vec((key, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        }
    })
}

fn body() -> impl Strategy<Value = String> {
    let field = "(why|by|until|index|request|from|to|dry_run|force|fence|parallel|per_minute)";
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,20}",
        "-?[0-9]e[0-9]{1,3}",
        "\"[ -!#-\\[\\]-~é]{0,20}\"",
        "\"[0-9]{4}-01-01T00:00:00Z\"",
        Just("[]".to_owned()),
    ];
    prop_oneof![
        proptest::collection::vec((field, value), 0..4).prop_map(|pairs| {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }),
        ".{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn f33_f47_no_request_makes_the_server_fail_or_answer_what_its_document_does_not_tell(
        (route, name, path) in path(),
        query in query(),
        body in body(),
    ) {
        let (runtime, served) = server();
        let (method, told) = (route.method, told(&route));
        let headers = [("content-type", "application/json")];
        let body = if method == "GET" { String::new() } else { body };
        let target = format!("{path}{query}");
        let answer = runtime.block_on(served.ask(method, &target, &headers, &body));
        let is_answered = (200..500).contains(&answer.status);
        prop_assert!(is_answered, "{method} {target} {body}: {answer:?}");
        // Such a name makes another path of it, and what is no HTTP is not heard by any route.
        let is_heard = !name.contains(['/', '?', '#']) && !answer.body.is_empty();
        if let Some(told) = told.filter(|_| is_heard) {
            let is_told = told.contains_key(&answer.status.to_string());
            prop_assert!(is_told, "{method} {target} {body}: {answer:?}");
        }
    }
}
