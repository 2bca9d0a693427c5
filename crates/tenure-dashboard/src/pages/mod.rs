//! The pages for people: HTML over the same views that the API answers with.
//!
//! Six pages, rendered here, whole without any script. A small script of our own brings them up to
//! date; the style sheet follows the reader's preference for light, dark and motion. Everything
//! that comes from a store is text: the templates escape it, and the content security policy would
//! not run it anyway.

mod assets;
mod changes;
mod draw;
mod fields;
mod forms;
mod frame;
mod listing;
mod lock;
mod locks;
mod nodes;
mod now;
mod run;
mod say;
mod store;
mod task;
mod tasks;
mod wrong;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::html;
use tenure_core::{Key, RunKey, TaskName};

use self::fields::Fields;
use self::forms::Right;
use self::frame::{Block, Page, Place};
use crate::auth::Visitor;
use crate::site::{Base, Site};
use crate::view::ViewError;

/// Where the style sheet is, seen from the dashboard's root.
pub(crate) fn style_path() -> &'static str {
    assets::STYLE.path()
}

/// The routes of all pages.
pub(crate) fn router() -> Router<Site> {
    Router::new()
        .route(
            "/",
            get(async |Base(base): Base| Redirect::temporary(&format!("{base}/now"))),
        )
        .route("/now", get(now_page))
        .route("/tasks", get(tasks_page))
        .route("/task", get(task_page))
        .route("/run", get(run_page))
        .route("/locks", get(locks_page))
        .route("/lock", get(lock_page))
        .route("/nodes", get(nodes_page))
        .route("/store", get(store_page))
        .merge(changes::router())
        .merge(assets::router())
}

async fn now_page(State(site): State<Site>, asked: HeaderMap) -> Response {
    answer(now::page(site.view()).await, &asked)
}

async fn tasks_page(State(site): State<Site>, query: RawQuery, asked: HeaderMap) -> Response {
    answer(tasks::page(site.view(), &fields(&query)).await, &asked)
}

async fn task_page(
    State(site): State<Site>,
    visitor: Visitor,
    query: RawQuery,
    asked: HeaderMap,
) -> Response {
    let fields = fields(&query);
    let right = Right::from(&visitor);
    let page = async {
        let name = task_name(&fields)?;
        task::page(site.view(), &name, changes::said(&fields), &right).await
    };
    answer(page.await, &asked)
}

async fn run_page(
    State(site): State<Site>,
    visitor: Visitor,
    query: RawQuery,
    asked: HeaderMap,
) -> Response {
    let fields = fields(&query);
    let right = Right::from(&visitor);
    let page = async {
        let id = fields.text("id").unwrap_or_default();
        let key: RunKey = id
            .parse()
            .map_err(|error| ViewError::invalid("id", format!("{error}")))?;
        run::page(site.view(), &key, changes::said(&fields), &right).await
    };
    answer(page.await, &asked)
}

async fn locks_page(State(site): State<Site>, query: RawQuery, asked: HeaderMap) -> Response {
    answer(locks::page(site.view(), &fields(&query)).await, &asked)
}

async fn lock_page(
    State(site): State<Site>,
    visitor: Visitor,
    query: RawQuery,
    asked: HeaderMap,
) -> Response {
    let fields = fields(&query);
    let right = Right::from(&visitor);
    let page = async {
        let key = lock_key(&fields)?;
        lock::page(site.view(), &key, changes::said(&fields), &right).await
    };
    answer(page.await, &asked)
}

async fn nodes_page(State(site): State<Site>, asked: HeaderMap) -> Response {
    answer(nodes::page(site.view()).await, &asked)
}

async fn store_page(State(site): State<Site>, asked: HeaderMap) -> Response {
    answer(store::page(site.view()).await, &asked)
}

fn fields(RawQuery(query): &RawQuery) -> Fields {
    Fields::parse(query.as_deref().unwrap_or_default().as_bytes())
}

/// The task that an address or a form names.
fn task_name(fields: &Fields) -> Result<TaskName, ViewError> {
    let name = TaskName::new(fields.text("name").unwrap_or_default());
    name.map_err(|error| ViewError::invalid("name", error.to_string()))
}

/// The lock that an address names, byte for byte.
fn lock_key(fields: &Fields) -> Result<Key, ViewError> {
    let key = Key::from_bytes(fields.bytes("key").unwrap_or_default());
    key.map_err(|error| ViewError::invalid("key", error.to_string()))
}

/// The page, or one that says why there is none.
fn answer(page: Result<Page, ViewError>, asked: &HeaderMap) -> Response {
    match page {
        Ok(page) => page.answer(asked),
        Err(error) => refusal(&error).into_response(),
    }
}

/// What a person is told when something cannot be shown or done.
fn refusal(error: &ViewError) -> Response {
    let (status, title) = match error {
        ViewError::NotFound { .. } => (StatusCode::NOT_FOUND, "There is no such thing"),
        ViewError::Invalid { .. } => (StatusCode::BAD_REQUEST, "That cannot be asked"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "The store does not answer"),
    };
    told(status, title, &error.to_string())
}

/// A page with nothing but a message.
fn told(status: StatusCode, title: &str, message: &str) -> Response {
    let page = Page {
        title: title.to_owned(),
        place: None,
        now: None,
        every: frame::SELDOM,
        blocks: vec![Block::Fixed(html! {
            div.head { h1 { (title) } }
            div.said.bad { p { (message) } }
            p { a href=(Place::Now.path()) { "Back to the first page" } }
        })],
    };
    page.answer_with(status)
}

#[cfg(test)]
mod tests;
