//! Tasks inside an axum service: shared state, a lock in a handler, and an orderly end.
//!
//! `cargo run --example axum`, then `curl localhost:8080/`. Several instances share the tasks if
//! they share the file; give each its own port: `PORT=8081 cargo run --example axum`.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tenure::lock::Locks;
use tenure::{Task, TaskContext, TaskScheduling};

/// What handlers and tasks share.
struct App {
    locks: Locks,
    refreshed: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenure = tenure::connect("sqlite:example-axum.db").await?;
    let app = Arc::new(App {
        locks: tenure.locks(),
        refreshed: AtomicU64::new(0),
    });
    let tasks = TaskScheduling::with_shared(app.clone())
        .manager(tenure.manager())
        .task(Task::new("refresh").schedule("*/10 * * * * *").run(refresh))
        .start()
        .await?;

    let router = Router::new()
        .route("/", get(status))
        .route("/report", post(report))
        .with_state(app);
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(asked_to_end())
        .await?;

    // Requests are answered; now the runs that are going on may finish, and no new ones begin.
    let drained = tasks.drain(Duration::from_secs(30)).await;
    println!(
        "{} runs finished, {} stopped",
        drained.finished,
        drained.interrupted.len()
    );
    Ok(())
}

/// Runs on one instance a tick.
async fn refresh(context: TaskContext<App>) {
    context
        .application()
        .refreshed
        .fetch_add(1, Ordering::Relaxed);
    println!("refreshed for {}", context.tick());
}

async fn status(State(app): State<Arc<App>>) -> String {
    format!(
        "refreshed {} times here\n",
        app.refreshed.load(Ordering::Relaxed)
    )
}

/// Work that only one instance may do at a time; the others are told to come back.
async fn report(State(app): State<Arc<App>>) -> Result<Json<u64>, (StatusCode, String)> {
    let failed =
        |error: &dyn std::error::Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let guard = app.locks.lock("report").try_acquire().await;
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
