//! `GET /api/v1/events`: what changes, as server-sent events.
//!
//! Events are `run` (a run came to stand so) and `note` (something else happened), each with its
//! position in the store's feed as its id, and `refetch`: something was lost, or the feed begins
//! here, so fetch again what is shown. A browser that comes back with `Last-Event-ID` is given what
//! it missed, or is told to fetch anew. Locks have no feed: poll them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{Cursor, Event, EventKind};
use tenure_tasks::story::gone::Gone;
use tokio::sync::broadcast::error::RecvError;

use super::feed::Seat;
use super::table::{Doc, Table};
use crate::auth::Visitor;
use crate::problem::Problem;
use crate::site::Site;
use crate::view::{At, RunRow, View};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many events that were missed are sent again; more are worth a fetch.
const MOST_MISSED: usize = 1000;
/// How long a stream lasts; the browser comes back by itself, and is asked anew who it is.
const LASTS: Duration = Duration::from_secs(600);
/// How long after a token or a session has ended a stream that began with it ends, if nothing is
/// told on it meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Adds it to the table.
pub(super) fn add(table: Table) -> Table {
    let doc = Doc::read::<NoteTold>("events", "What changes, as server-sent events")
        .refuses(503, "As many listen as may listen at once.");
    table.add(
        "/events",
        doc.kind("text/event-stream").without_etag(),
        events,
    )
}

/// A note of the store's.
#[derive(Debug, Serialize, JsonSchema)]
struct NoteTold {
    at: At,
    kind: String,
    task: Option<String>,
    node: Option<String>,
    text: String,
}

async fn events(State(site): State<Site>, visitor: Visitor, asked: HeaderMap) -> Response {
    let Some(seat) = site.feed().sit() else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = "as many listen as may listen at once";
        return Problem::new(status, "listeners", "too many listeners", detail)
            .help("close other pages of the dashboard, or poll")
            .retry_after(30)
            .into_response();
    };
    let after = asked.get("last-event-id").and_then(|id| id.to_str().ok());
    let first = match after.filter(|id| !id.is_empty()) {
        Some(id) => missed(site.view(), id).await,
        None => vec![refetch("the feed begins here")],
    };
    let mut answer = Sse::new(following(first, seat, site, visitor))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    // A proxy that collects an answer before it passes it on would keep the news.
    let headers = answer.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

fn refetch(why: &str) -> Sent {
    Sent::default().event("refetch").data(why)
}

/// What happened since the event with this id.
async fn missed(view: &View, id: &str) -> Vec<Sent> {
    let page = view.runs_store().events(Some(Cursor::new(id)), MOST_MISSED);
    match page.await {
        Ok(page) if page.events.len() < MOST_MISSED => {
            let now = page.events.last().map(|event| event.at);
            let now = now.unwrap_or_default();
            page.events.iter().map(|event| sent(event, now)).collect()
        }
        Ok(_) => vec![refetch("too much was missed")],
        Err(_) => vec![refetch("what was missed cannot be told")],
    }
}

fn sent(event: &Event, now: tenure_core::Timestamp) -> Sent {
    let id = event.cursor.as_str();
    // An id may hold anything but line breaks; without one the browser begins anew.
    let base = if id.contains(['\n', '\r', '\0']) {
        Sent::default()
    } else {
        Sent::default().id(id)
    };
    let told = match &event.kind {
        EventKind::Run(run) => {
            let row = RunRow::new(run, now.max(event.at), &Gone::default());
            base.event("run").json_data(row)
        }
        EventKind::Note(note) => base.event("note").json_data(NoteTold {
            at: At(event.at),
            kind: note.kind.clone(),
            task: note.task.as_ref().map(|task| task.as_str().to_owned()),
            node: note.node.map(|node| node.to_string()),
            text: note.text.clone(),
        }),
        _ => return refetch("something happened that this version cannot tell"),
    };
    told.unwrap_or_else(|_| refetch("an event could not be written"))
}

/// What is sent first, and then what is heard, until the stream has lasted long enough or the
/// listener is no longer one who may listen.
fn following(
    first: Vec<Sent>,
    seat: Seat,
    site: Site,
    visitor: Visitor,
) -> impl Stream<Item = Result<Sent, Infallible>> {
    let end = site.view().clock().now() + LASTS;
    let first = first.into_iter().map(Ok::<_, Infallible>);
    let state = (seat, site, visitor, end);
    let heard = stream::unfold(state, |(mut seat, site, visitor, end)| async move {
        let heard = loop {
            let left = end.since(site.view().clock().now());
            let next = tokio::time::timeout(left.min(LOOK_AGAIN), seat.receiver.recv()).await;
            if !site.still_admits(&visitor) {
                return None;
            }
            match next {
                Ok(heard) => break heard,
                Err(_) if left <= LOOK_AGAIN => return None,
                Err(_) => {}
            }
        };
        let told = match heard {
            Ok(event) => {
                let event: Arc<Event> = event;
                sent(&event, event.at)
            }
            Err(RecvError::Lagged(_)) => refetch("this listener was too slow"),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(told), (seat, site, visitor, end)))
    });
    stream::iter(first).chain(heard)
}
