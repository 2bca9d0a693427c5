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

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tenure_core::{Key, RunKey, TaskName};

use self::fields::Fields;
use self::forms::Right;
use self::frame::{Block, Page, Place};
use crate::auth::{self, Visitor};
use crate::routes::Routes;
use crate::site::{Base, Site};
use crate::view::{View, ViewError};

/// Where the style sheet is, seen from the dashboard's root.
pub(crate) fn style_path() -> &'static str {
    assets::STYLE.path()
}

/// The routes of all pages.
pub(crate) fn routes() -> Routes {
    let read = Some(auth::Right::Read);
    let to_now = async |Base(base): Base| {
        let to = format!("{base}/now");
        // For those who ask by hand, and do not follow.
        let text = format!("the dashboard is at {to}, its API at {base}/api/v1/openapi.json\n");
        (
            Redirect::temporary(&to).into_response().into_parts().0,
            text,
        )
    };
    Routes::default()
        .get("/", read, to_now)
        .get("/now", read, async |asking: Asking| {
            asking.answer(now::page(asking.view()).await)
        })
        .get("/tasks", read, async |asking: Asking| {
            asking.answer(tasks::page(asking.view(), &asking.fields).await)
        })
        .get("/task", read, task_page)
        .get("/run", read, run_page)
        .get("/locks", read, async |asking: Asking| {
            asking.answer(locks::page(asking.view(), &asking.fields).await)
        })
        .get("/lock", read, lock_page)
        .get("/nodes", read, async |asking: Asking| {
            asking.answer(nodes::page(asking.view()).await)
        })
        .get("/store", read, async |asking: Asking| {
            asking.answer(store::page(asking.view()).await)
        })
        .merge(changes::routes())
        .merge(assets::routes())
}

/// The answer to a path that is none: to programs as the API answers, to people as a page.
pub(crate) async fn nowhere(asked: Uri) -> Response {
    if asked.path().split('/').nth(1) == Some("api") {
        return crate::api::nowhere().into_response();
    }
    let message = "The dashboard has no page of this name.";
    told(StatusCode::NOT_FOUND, "There is no such page", message)
}

/// Who asks for a page, and with which address.
struct Asking {
    site: Site,
    fields: Fields,
    right: Right,
    headers: HeaderMap,
}

impl FromRequestParts<Site> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        let visitor = Visitor::from_request_parts(parts, site).await?;
        Ok(Self {
            site: site.clone(),
            fields: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            right: Right::from(&visitor),
            headers: parts.headers.clone(),
        })
    }
}

impl Asking {
    fn view(&self) -> &View {
        self.site.view()
    }

    /// What was just done, if the address says so.
    fn said(&self) -> Option<Markup> {
        changes::said(&self.fields)
    }

    fn answer(&self, page: Result<Page, ViewError>) -> Response {
        answer(page, &self.headers, &self.right)
    }
}

async fn task_page(asking: Asking) -> Response {
    asking.answer(match task_name(&asking.fields) {
        Ok(name) => task::page(asking.view(), &name, asking.said(), &asking.right).await,
        Err(error) => Err(error),
    })
}

async fn run_page(asking: Asking) -> Response {
    let id = asking.fields.text("id").unwrap_or_default();
    let key = id.parse::<RunKey>();
    asking.answer(match key {
        Ok(key) => run::page(asking.view(), &key, asking.said(), &asking.right).await,
        Err(error) => Err(ViewError::invalid("id", format!("{error}"))),
    })
}

async fn lock_page(asking: Asking) -> Response {
    asking.answer(match lock_key(&asking.fields) {
        Ok(key) => lock::page(asking.view(), &key, asking.said(), &asking.right).await,
        Err(error) => Err(error),
    })
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
fn answer(page: Result<Page, ViewError>, asked: &HeaderMap, right: &Right) -> Response {
    match page {
        Ok(page) => page.answer(asked, right),
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
