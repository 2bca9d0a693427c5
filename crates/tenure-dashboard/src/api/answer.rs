//! Answers as JSON, with a tag by which an unchanged one is told without its content.

use std::hash::{DefaultHasher, Hasher as _};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// An answer that is sent once to those who have it.
pub(crate) fn json<T: Serialize>(value: &T, asked: &HeaderMap) -> Response {
    let text = match serde_json::to_vec(value) {
        Ok(text) => text,
        Err(error) => return unwritten(&error),
    };
    let tag = tag_of(&text);
    let mut answer = if has(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, kind)], text).into_response()
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    // It may be kept, and must be asked about each time, by whoever asked alone.
    let keep = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, keep);
    headers.insert(
        header::VARY,
        HeaderValue::from_static("authorization, cookie"),
    );
    answer
}

/// The answer to a change.
pub(crate) fn done<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => unwritten(&error),
    }
}

/// What is made of strings and numbers can always be written; if not, nobody is told why.
fn unwritten(error: &serde_json::Error) -> Response {
    tracing::error!(%error, "an answer could not be written as JSON");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(
        status,
        "internal",
        "our fault",
        "the answer could not be written",
    )
    .into_response()
}

/// A tag for these bytes: weak, since a proxy may compress what it stands for.
pub(crate) fn tag_of(text: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    format!("W/\"{:016x}-{:x}\"", hasher.finish(), text.len())
}

/// Whether the asker has what the tag stands for.
pub(crate) fn has(asked: &HeaderMap, tag: &str) -> bool {
    let all = asked.get_all(header::IF_NONE_MATCH).iter();
    let all = all.filter_map(|value| value.to_str().ok());
    let bare = tag.trim_start_matches("W/");
    all.flat_map(|value| value.split(','))
        .any(|one| matches!(one.trim(), "*") || one.trim().trim_start_matches("W/") == bare)
}
