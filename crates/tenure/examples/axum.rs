//! Tasks inside an axum service: shared state, a lock in a handler, probes, metrics, alarms, and an
//! orderly end.
//!
//! `cargo run --example axum --features metrics`, then `curl localhost:8080/`, `/readyz`,
//! `/metrics`. Several instances share the tasks if they share the store; give each its own port:
//! `PORT=8081 cargo run …`. SIGTERM ends it: it is not ready any more, answers what is asked, lets
//! the runs that are going on finish, and leaves.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tenure::lock::Locks;
use tenure::tasks::{AlarmKind, AlarmRule, Metrics, RunningTasks};
use tenure::{Task, TaskContext, TaskScheduling};

/// How long runs may finish after a SIGTERM; the orchestrator must wait a little longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What handlers and tasks share.
struct App {
    locks: Locks,
    refreshed: AtomicU64,
}

/// What handlers get: the application, and how its tasks are.
#[derive(Clone)]
struct Service {
    app: Arc<App>,
    tasks: Arc<RunningTasks>,
    metrics: Metrics,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let tenure = tenure::connect(&variable("STORE", "sqlite:example-axum.db")).await?;
    let app = Arc::new(App {
        locks: tenure.locks(),
        refreshed: AtomicU64::new(0),
    });
    let metrics = Metrics::new();
    let pager = AlarmRule::new("pager")
        .on([AlarmKind::Failing, AlarmKind::Missed, AlarmKind::Lost])
        .call(|alarm| async move {
            println!("ALARM: {}", alarm.text);
            Ok(())
        });
    let refresh = Task::new("refresh")
        .schedule(variable("SCHEDULE", "*/10 * * * * *"))
        .run(refresh);
    let tasks = TaskScheduling::with_shared(app.clone())
        .manager(tenure.manager())
        .task(refresh)
        .alarm(pager)
        .metrics(&metrics)
        .start()
        .await?;

    let service = Service {
        app,
        tasks: Arc::new(tasks),
        metrics,
    };
    let router = Router::new()
        .route("/", get(status))
        .route("/report", post(report))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(service.clone());
    let port = variable("PORT", "8080");
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(drained(service.tasks))
        .await?;
    Ok(())
}

/// Resolves when somebody asked for the end and the runs are over. Until then requests are
/// answered, and `/readyz` tells that no new work should come here.
async fn drained(tasks: Arc<RunningTasks>) {
    asked_to_end().await;
    println!("draining");
    let drained = tasks.drain(PATIENCE).await;
    println!(
        "{} runs finished, {} stopped",
        drained.finished,
        drained.interrupted.len()
    );
}

/// Runs on one instance a tick.
async fn refresh(context: TaskContext<App>) {
    println!("refreshing for {}", context.tick());
    // Stands for work that takes a second; it may finish when the service is asked to end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    context
        .application()
        .refreshed
        .fetch_add(1, Ordering::Relaxed);
}

async fn status(State(service): State<Service>) -> String {
    let refreshed = service.app.refreshed.load(Ordering::Relaxed);
    format!("refreshed {refreshed} times here\n")
}

/// Ready as long as runs can be started here; else the reasons.
async fn ready(State(service): State<Service>) -> (StatusCode, String) {
    let impairments = service.tasks.health().impairments();
    if impairments.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = impairments.iter().map(|it| format!("{it}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

async fn figures(State(service): State<Service>) -> Response {
    let text = service.metrics.text(&service.tasks.health());
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response()
}

/// Work that only one instance may do at a time; the others are told to come back.
async fn report(State(service): State<Service>) -> Result<Json<u64>, (StatusCode, String)> {
    let failed =
        |error: &dyn std::error::Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let guard = service.app.locks.lock("report").try_acquire().await;
    let Some(guard) = guard.map_err(|error| failed(&error))? else {
        return Err((StatusCode::CONFLICT, "a report is being made\n".to_owned()));
    };
    let fence = guard.fence().get();
    guard.release().await.map_err(|error| failed(&error))?;
    Ok(Json(fence))
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
