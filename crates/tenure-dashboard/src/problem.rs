//! Why a request was not answered as it was meant: `application/problem+json`, after RFC 9457.
//!
//! Each says what is wrong, where, and what to do about it. None tells of the inside: no path, no
//! address, no credential.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::ViewError;

/// A refusal, for programs and people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) Box<Told>);

/// What a refusal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Told {
    /// What kind of problem, as a name that does not change: `about:blank#NAME`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The same in a few words.
    pub(crate) title: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// What is wrong in this very case.
    pub(crate) detail: String,
    /// Which part of the request: a field, a parameter or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        name: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Told {
            kind: format!("about:blank#{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            place: None,
            help: None,
            retry_after_seconds: None,
        }))
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// A part of the request that cannot be read or is not allowed.
    pub(crate) fn invalid(place: impl Into<String>, detail: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "invalid", "the request is not valid", detail)
            .at(place)
            .help("see the OpenAPI document at api/v1/openapi.json")
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        let status = StatusCode::NOT_FOUND;
        Self::new(status, "not-found", "there is no such thing", detail)
    }

    /// What was asked for does not fit what is there by now; nothing was changed.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        let status = StatusCode::CONFLICT;
        Self::new(status, "conflict", "it is not as you saw it", detail)
            .help("look again, and decide anew")
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::NotFound { .. } => {
                Self::not_found(error.to_string()).help("list what there is")
            }
            ViewError::Invalid { place, reason } => {
                Self::invalid(place, format!("`{place}` {reason}"))
            }
            // What the store said may name addresses: the log has it, the answer does not.
            ViewError::Store(source) => {
                tracing::warn!(error = %source, "the store failed while the dashboard asked");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let detail = if source.outcome_is_unknown() {
                    "the store did not answer; whether anything was changed is unknown"
                } else {
                    "the store did not answer; nothing was changed"
                };
                Self::new(status, "store", "the store does not answer", detail)
                    .help("try again; the program's log and `tenure doctor` say more")
                    .retry_after(2)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&*self.0).unwrap_or_default();
        let mut answer = (self.status(), text).into_response();
        let headers = answer.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.0.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.status == 401 {
            // No browser is to ask for a password by itself: the login page does.
            let kind = HeaderValue::from_static("Bearer realm=\"tenure\"");
            headers.insert(header::WWW_AUTHENTICATE, kind);
        }
        answer
    }
}
