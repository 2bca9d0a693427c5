//! The dashboard in somebody else's axum application, in a browser: below a path of theirs, and
//! behind their own login.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tenure_bed::{Browser, Look};
use tenure_core::{
    Beat, Definition, Generation, Holder, Key, LeaseRequest, LeaseStore as _, Pause, RunStore as _,
    TaskName, Ttl,
};
use tenure_dashboard::{Access, Dashboard, Right, Visitor};
use tenure_memory::MemoryStore;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The application's login: who somebody is, a cookie of theirs says. Guests may only look.
async fn own_login(mut request: Request, next: Next) -> Response {
    if request.uri().path() == "/sign-in" {
        return next.run(request).await;
    }
    let cookie = request.headers().get(header::COOKIE);
    let cookie = cookie.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let visitor = match cookie.strip_prefix("app_user=") {
        Some("guest") => Visitor::new("guest", Right::Read),
        Some(name) => Visitor::new(name, Right::Force),
        None => {
            return (StatusCode::UNAUTHORIZED, "the application asks who you are").into_response();
        }
    };
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

async fn sign_in(Query(fields): Query<Vec<(String, String)>>) -> Response {
    let name = fields
        .into_iter()
        .find(|(field, _)| field == "as")
        .unwrap()
        .1;
    let cookie = format!("app_user={name}; Path=/; HttpOnly");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

struct App {
    runtime: Runtime,
    store: Arc<MemoryStore>,
    browser: Browser,
}

/// An application that shows the dashboard under `/ops/tenure`.
fn app() -> App {
    let runtime = Runtime::new().unwrap();
    let store = Arc::new(MemoryStore::new());
    let (kept, address) = (
        store.clone(),
        runtime.block_on(async {
            let node = Holder::new("worker").on_host("here");
            let beat = Beat::new(node.clone(), Duration::from_secs(600));
            store.beat(&beat).await.unwrap();
            let name = TaskName::new("a/b").unwrap();
            let definition = Definition::new(name, Generation::new("g1").unwrap(), "0 3 * * *");
            store.register(node.id, &[definition]).await.unwrap();
            let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
            let held = LeaseRequest::new(Key::new("door").unwrap(), Holder::new("bob"), ttl);
            store.acquire(&held).await.unwrap();
            let dashboard = Dashboard::builder(store.clone(), store.clone())
                .access(Access::outside())
                .build();
            let app = axum::Router::new()
                .route(
                    "/",
                    get(async || Html("<!doctype html><h1>the application</h1>")),
                )
                .route("/sign-in", get(sign_in))
                .nest("/ops/tenure", dashboard.router())
                .layer(from_fn(own_login));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { axum::serve(listener, app).await });
            address
        }),
    );
    let browser = Browser::start(&format!("http://{address}"), Look::DESK);
    App {
        runtime,
        store: kept,
        browser,
    }
}

const LIVE: &str = "document.querySelector('.age').dataset.state === 'live'";

#[test]
fn mounted_below_a_path_its_links_events_and_assets_work_in_a_browser() {
    let mut app = app();
    assert_eq!(app.browser.open("/ops/tenure/now"), 401);
    app.browser.open("/sign-in?as=ann");
    assert_eq!(app.browser.open("/ops/tenure"), 200);
    assert_eq!(app.browser.path(), "/ops/tenure/now");
    // Its style sheet, its script and its stream of events are there.
    app.browser.until(LIVE);
    let position = "getComputedStyle(document.querySelector('.top')).position";
    assert_eq!(app.browser.eval(position), "sticky");
    let icon = "fetch(document.querySelector('link[rel=icon]').href).then(it => it.status)";
    assert_eq!(app.browser.eval(icon), 200);
    for name in ["tasks", "locks", "nodes", "store", "now"] {
        app.browser.click(&format!("nav a[href={name}]"));
        app.browser
            .until(&format!("location.pathname === '/ops/tenure/{name}'"));
        app.browser.until(LIVE);
    }
    app.browser.press("g");
    app.browser.press("t");
    app.browser
        .until("location.pathname === '/ops/tenure/tasks'");
    app.browser.click("tbody th a");
    app.browser
        .until("location.pathname === '/ops/tenure/task'");
    app.browser.until(LIVE);
    // What somebody else does is seen as it happens.
    let task = TaskName::new("a/b").unwrap();
    let pause = Pause::new("bob", "from elsewhere");
    app.runtime
        .block_on(app.store.pause(&task, &pause))
        .unwrap();
    app.browser
        .until_text("[data-region=standing]", "from elsewhere");
    let status = "fetch('api/v1/openapi.json').then(it => it.status)";
    assert_eq!(app.browser.eval(status), 200);
    assert_eq!(app.browser.complaints(), [""; 0]);
}

#[test]
fn behind_an_applications_own_login_it_knows_who_acts_and_who_may_only_look() {
    let mut app = app();
    let task = TaskName::new("a/b").unwrap();
    let paused_by = |app: &App| {
        let tasks = app.runtime.block_on(app.store.tasks()).unwrap();
        tasks[0].pause.as_ref().map(|pause| pause.by.clone())
    };
    app.browser.open("/sign-in?as=ann");
    app.browser.open("/ops/tenure/task?name=a%2Fb");
    app.browser.click("#pause summary");
    app.browser.until_text("#pause", "As ann");
    app.browser.fill("#pause input[name=why]", "a release");
    app.browser.click("#pause button");
    app.browser.until_text("main", "The task is paused.");
    assert_eq!(
        app.browser.path(),
        "/ops/tenure/task?name=a%2Fb&done=paused"
    );
    assert_eq!(paused_by(&app).as_deref(), Some("ann"));
    app.runtime
        .block_on(app.store.resume(&task, "bob", ""))
        .unwrap();
    app.browser.open("/ops/tenure/lock?key=door");
    app.browser.click("#unlock summary");
    let fence = app
        .browser
        .eval("document.getElementById('fence').textContent");
    app.browser
        .fill("#unlock input[name=fence]", fence.as_str().unwrap());
    app.browser.click("#unlock button");
    app.browser
        .until_text("main", "The lock was taken from its holder.");
    assert_eq!(app.browser.complaints(), [""; 0]);

    app.browser.open("/sign-in?as=guest");
    for path in ["/ops/tenure/task?name=a%2Fb", "/ops/tenure/lock?key=door"] {
        assert_eq!(app.browser.open(path), 200, "{path}");
        let forms = "document.querySelectorAll('main form').length";
        assert_eq!(app.browser.eval(forms), 0, "{path}");
    }
    let status = "fetch('pause', { method: 'POST', body: new URLSearchParams({ name: 'a/b' }) })\
        .then(it => it.status)";
    assert_eq!(app.browser.eval(status), 403);
    assert_eq!(paused_by(&app), None);
}
