//! Answers probes and Prometheus while tasks run: `/readyz`, `/healthz`, `/metrics`. Reads only,
//! asks no store, and knows no login: who may reach the address may read it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tenure::TaskScheduling;
use tenure::tasks::{Metrics, RunningTasks};
use tokio::net::TcpListener;

use crate::exit::{Code, Failure};
use crate::notice::notice;

/// The address that was asked for, if one was.
pub(super) async fn listen_if(address: Option<SocketAddr>) -> Result<Option<Probe>, Failure> {
    match address {
        Some(address) => Probe::listen(address).await.map(Some),
        None => Ok(None),
    }
}

/// An address that is listened on, and answers as soon as tasks run.
pub(super) struct Probe {
    listener: TcpListener,
    metrics: Metrics,
}

#[derive(Clone)]
struct Asked {
    /// Gone when the program ends.
    tasks: Weak<RunningTasks>,
    metrics: Metrics,
}

impl Probe {
    async fn listen(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new(Code::SYSTEM, format!("cannot listen on {address}: {error}"))
                .help("name another address with --metrics, such as 127.0.0.1:9187")
        })?;
        Ok(Self {
            listener,
            metrics: Metrics::new(),
        })
    }

    /// Counts what `scheduling` will do.
    pub(super) fn watch(&self, scheduling: TaskScheduling<()>) -> TaskScheduling<()> {
        scheduling.metrics(&self.metrics)
    }

    /// Answers as long as the program runs.
    pub(super) fn serve(self, tasks: &Arc<RunningTasks>) {
        if let Ok(address) = self.listener.local_addr() {
            notice(format_args!("metrics and probes on http://{address}"));
        }
        let asked = Asked {
            tasks: Arc::downgrade(tasks),
            metrics: self.metrics,
        };
        let router = Router::new()
            .route("/healthz", get(|| std::future::ready("alive\n")))
            .route("/readyz", get(readiness))
            .route("/metrics", get(figures))
            .with_state(asked);
        tokio::spawn(async move {
            // It ends with the runtime; a connection that fails ends alone.
            let _ = axum::serve(self.listener, router).await;
        });
    }
}

async fn readiness(State(asked): State<Asked>) -> (StatusCode, String) {
    let Some(tasks) = asked.tasks.upgrade() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "ended\n".to_owned());
    };
    let health = tasks.health();
    let impairments = health.impairments();
    // It keeps no run from starting, and is told all the same.
    let reload = health.reload_failed.map(|it| format!("{it}\n"));
    let lines = impairments.iter().map(|it| format!("{it}\n"));
    if impairments.is_empty() {
        let lines = ["ready\n".to_owned()].into_iter().chain(reload);
        return (StatusCode::OK, lines.collect());
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        lines.chain(reload).collect(),
    )
}

async fn figures(State(asked): State<Asked>) -> Response {
    let Some(tasks) = asked.tasks.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let text = asked.metrics.text(&tasks.health());
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response()
}
