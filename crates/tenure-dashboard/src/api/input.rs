//! Reads what a request says: names in paths, queries, bodies. Each mistake is told with its place.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tenure_core::{Key, RequestId, RunKey, RunState, TaskName, Timestamp};

use crate::problem::Problem;
use crate::site::Site;
use crate::view::Paging;

/// The longest body.
const MOST_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The parameters of a query.
pub(crate) struct Asked<Q>(pub(crate) Q);

impl<Q: DeserializeOwned> FromRequestParts<Site> for Asked<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Problem> {
        match Query::<Q>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::invalid("query", source_of(&error))),
        }
    }
}

/// The innermost reason of an error.
fn source_of(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A body of JSON.
pub(crate) struct Body<B>(pub(crate) B);

impl<B: DeserializeOwned> FromRequest<Site> for Body<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Site) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind
            .map(axum::http::HeaderValue::as_bytes)
            .unwrap_or_default();
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        if !essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
        {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let detail = "the body must be JSON and say so";
            return Err(Problem::new(status, "media-type", "not JSON", detail)
                .at("content-type")
                .help("send `Content-Type: application/json`"));
        }
        let reading = axum::body::to_bytes(request.into_body(), MOST_BODY);
        let bytes = match tokio::time::timeout(BODY_WITHIN, reading).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                let detail = "a body may have 64 KiB, or it broke off";
                return Err(Problem::new(status, "body", "too large", detail).at("body"));
            }
            Err(_) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                let detail = "the body did not arrive within ten seconds";
                return Err(Problem::new(status, "body", "too slow", detail).at("body"));
            }
        };
        Ok(Self(parse(&bytes)?))
    }
}

fn parse<B: DeserializeOwned>(bytes: &Bytes) -> Result<B, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let place = match path.as_str() {
            "." | "?" => "body".to_owned(),
            _ => path,
        };
        Problem::invalid(place, error.into_inner().to_string())
    })?;
    json.end()
        .map_err(|error| Problem::invalid("body", error.to_string()))?;
    Ok(value)
}

/// The segment of a path behind `/what/`, decoded byte for byte: keys need not be text.
fn segment(uri: &Uri, what: &str) -> Vec<u8> {
    let mut segments = uri.path().split('/');
    let _ = segments.find(|segment| *segment == what);
    percent_decode_str(segments.next().unwrap_or_default()).collect()
}

fn text(uri: &Uri, what: &'static str) -> Result<String, Problem> {
    String::from_utf8(segment(uri, what))
        .map_err(|_| Problem::invalid(what, format!("the name behind `{what}/` is not UTF-8")))
}

/// The task that a path names.
pub(crate) fn task(uri: &Uri) -> Result<TaskName, Problem> {
    let name = TaskName::new(text(uri, "tasks")?);
    name.map_err(|error| Problem::invalid("task", error.to_string()))
}

/// The run that a path names.
pub(crate) fn run(uri: &Uri) -> Result<RunKey, Problem> {
    let run = text(uri, "runs")?.parse::<RunKey>();
    run.map_err(|error| Problem::invalid("run", error.to_string()))
}

/// The lock that a path names.
pub(crate) fn key(uri: &Uri) -> Result<Key, Problem> {
    let key = Key::from_bytes(&segment(uri, "locks"));
    key.map_err(|error| Problem::invalid("key", error.to_string()))
}

/// The backfill that a path names.
pub(crate) fn backfill(uri: &Uri) -> Result<RequestId, Problem> {
    request_id("id", &text(uri, "backfills")?)
}

/// What a request to run calls itself.
pub(crate) fn request(id: &str) -> Result<RequestId, Problem> {
    if id == RunKey::FOLLOWING {
        let reason = "`request` must not be `after`: runs of `@after` are called so";
        return Err(Problem::invalid("request", reason).help("give another name"));
    }
    request_id("request", id)
}

pub(crate) fn request_id(place: &'static str, id: &str) -> Result<RequestId, Problem> {
    RequestId::new(id).map_err(|error| Problem::invalid(place, error.to_string()))
}

/// An instant, such as `2026-11-21T03:00:00Z`.
pub(crate) fn instant(place: &'static str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        let reason = format!("`{place}` is no instant such as 2026-11-21T03:00:00Z");
        Problem::invalid(place, reason)
    })
}

/// States by their names, with commas between them.
pub(crate) fn states(text: Option<&str>) -> Result<Vec<RunState>, Problem> {
    let names = text.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            RunState::from_name(name).ok_or_else(|| {
                let all: Vec<&str> = RunState::ALL.iter().map(|it| it.as_str()).collect();
                let reason = format!("a state is one of {}", all.join(", "));
                Problem::invalid("state", reason)
            })
        })
        .collect()
}

/// A page of a list.
pub(crate) fn paging(after: Option<String>, limit: Option<usize>) -> Paging {
    Paging { after, limit }
}
