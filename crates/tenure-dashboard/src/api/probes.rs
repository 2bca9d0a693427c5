//! `/healthz`, `/readyz` and `/metrics`. The first two are for everybody and name nothing to those
//! who may not read; the figures need the right to read.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tenure_tasks::Metrics;

use crate::auth::{Right, Visitor};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::site::Site;

/// Their routes.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/healthz", None, || std::future::ready("alive\n"))
        .get("/readyz", None, readiness)
        .get("/metrics", Some(Right::Read), figures)
}

/// Ready is a process whose runner may start runs; one without a runner is if its store answers.
async fn readiness(
    State(site): State<Site>,
    visitor: Option<Extension<Visitor>>,
) -> (StatusCode, String) {
    let impairments: Vec<String> = match site.view().runner() {
        Some(tasks) => {
            let impairments = tasks.health().impairments();
            impairments.iter().map(ToString::to_string).collect()
        }
        None if site.view().had_runner() => vec!["ended".to_owned()],
        None => match site.view().runs_store().now().await {
            Ok(_) => Vec::new(),
            Err(_) => vec!["the store does not answer".to_owned()],
        },
    };
    if impairments.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let status = StatusCode::SERVICE_UNAVAILABLE;
    if visitor.is_none() {
        return (status, "not ready\n".to_owned());
    }
    let lines = impairments.iter().map(|it| format!("{it}\n"));
    (status, lines.collect())
}

async fn figures(State(site): State<Site>) -> Response {
    let (Some(metrics), Some(tasks)) = (site.metrics(), site.view().runner()) else {
        return Problem::not_found("no runner of this process is counted here").into_response();
    };
    let text = metrics.text(&tasks.health());
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response()
}
