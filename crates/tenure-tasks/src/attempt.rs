//! Runs one attempt of a task's code: with a timeout, a way to stop it, and a wall around its
//! panics. For runs without a store, and for tests; a runner with a store has very many attempts,
//! and watches over all of them with one timer (`runner/watch.rs`).
//!
//! ```text
//!   wait ──→ code ──returns or panics──────────────────────────→ ended
//!             │                                                    ▲
//!             └─timeout, or told to stop──→ grace ──returns────────┤
//!                                             └──time is up, drop──┘
//! ```
//!
//! Knows no store; what an ending means for the run is decided by who asked for the attempt.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tenure_core::{Fence, Outcome, RunKey, Timestamp};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument as _, Span};

use crate::outcome::{TaskFailure, TaskReport};
use crate::output::Output;
use crate::runner::outcome_of;
use crate::spec::TaskSpec;
use crate::stop::{Stop, StopReason};

/// How the reason of an attempt begins that was won and whose code did not begin.
pub(crate) const NOT_BEGUN: &str = "not begun: ";

/// A task's code, with the application's state inside.
pub(crate) type Code = Arc<dyn Fn(Arc<Attempt>) -> BoxFuture<'static, TaskResult> + Send + Sync>;

pub(crate) type TaskResult = Result<TaskReport, TaskFailure>;

/// How long dropped code may take to reach the `await` at which it ends. Blocking code never does.
pub(crate) const DROP_PATIENCE: Duration = Duration::from_millis(100);

/// One attempt of one run, shared by the code and whoever watches over it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) key: RunKey,
    pub(crate) number: u32,
    pub(crate) fence: Option<Fence>,
    pub(crate) stop: Stop,
    pub(crate) output: Output,
    due_at: Timestamp,
    started_at: OnceLock<Timestamp>,
    span: OnceLock<Span>,
}

impl Attempt {
    /// An attempt whose code has not begun.
    pub(crate) fn new(
        spec: Arc<TaskSpec>,
        key: RunKey,
        (number, fence): (u32, Option<Fence>),
        due_at: Timestamp,
    ) -> Self {
        Self {
            spec,
            key,
            number,
            fence,
            stop: Stop::default(),
            output: Output::default(),
            due_at,
            started_at: OnceLock::new(),
            span: OnceLock::new(),
        }
    }

    /// Says when its code begins, by the store's clock. The first word counts.
    pub(crate) fn begins_at(&self, at: Timestamp) {
        let _ = self.started_at.set(at);
    }

    /// When its code began; when it is due, until then.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at.get().copied().unwrap_or(self.due_at)
    }

    /// How long after its time its code began.
    pub(crate) fn lateness(&self) -> Duration {
        self.started_at().since(self.due_at)
    }

    /// The span of its code, which begins with the first call.
    pub(crate) fn span(&self) -> &Span {
        self.span.get_or_init(|| span_of(self))
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long to wait before the code begins.
    pub(crate) wait: Duration,
    /// How long code that was told to stop may take.
    pub(crate) grace: Duration,
    /// The same after a lost lease.
    pub(crate) loss_grace: Duration,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Returned(TaskResult),
    Panicked(String),
    /// Told to stop, it did not, and was dropped.
    Dropped,
    /// The runtime it was to run on is gone.
    NoRuntime,
}

/// Runs the code and watches over it. Dropping this drops the code at its next `await`.
///
/// The code runs in a span of its own, `run`, which is told the outcome when the code has ended.
pub(crate) async fn supervise(
    code: Code,
    runtime: Option<Handle>,
    attempt: Arc<Attempt>,
    limits: Limits,
) -> Ending {
    if !limits.wait.is_zero() {
        sleep(limits.wait).await;
    }
    let span = attempt.span().clone();
    let ending = watch(code, runtime, attempt.clone(), limits, span).await;
    let outcome = outcome_of(&ending, attempt.stop.reason());
    record_end(attempt.span(), outcome);
    ending
}

/// Tells the span of an attempt how it ended.
pub(crate) fn record_end(span: &Span, outcome: Outcome) {
    span.record("outcome", outcome.state().as_str());
    if !matches!(outcome, Outcome::Succeeded | Outcome::Cancelled) {
        span.record("otel.status_code", "ERROR");
    }
}

/// What traces say of an attempt; the table stands in `docs/guide/observability.md`.
fn span_of(attempt: &Attempt) -> Span {
    tracing::info_span!(
        "run",
        task = %attempt.key.task,
        tick = %attempt.key.tick,
        index = attempt.key.index,
        attempt = attempt.number,
        fence = attempt.fence.map(Fence::get),
        lateness_ms = u64::try_from(attempt.lateness().as_millis()).unwrap_or(u64::MAX),
        outcome = tracing::field::Empty,
        // Read by OpenTelemetry: an attempt that went wrong is marked as such in its traces.
        otel.status_code = tracing::field::Empty,
    )
}

async fn watch(
    code: Code,
    runtime: Option<Handle>,
    attempt: Arc<Attempt>,
    limits: Limits,
    span: Span,
) -> Ending {
    let time_limit = attempt.spec.timeout();
    let watched = attempt.clone();
    let stop = &watched.stop;
    let runtime = runtime.unwrap_or_else(Handle::current);
    // The code is called inside the spawned future, so that a panic of the call itself is caught.
    let running = async move { code(attempt).await }.instrument(span);
    let mut running = AbortOnDropHandle::new(runtime.spawn(running));

    tokio::select! {
        biased;
        ended = &mut running => return ending(ended),
        _ = stop.asked() => {}
        () = sleep_if(time_limit) => stop.ask(StopReason::Timeout),
    }
    let time_is_up = async {
        tokio::select! {
            biased;
            () = sleep(limits.grace) => {}
            () = async { stop.hurried().await; sleep(limits.loss_grace).await } => {}
        }
    };
    tokio::select! {
        biased;
        ended = &mut running => return ending(ended),
        () = time_is_up => {}
    }
    running.abort();
    match timeout(DROP_PATIENCE, &mut running).await {
        Ok(Ok(result)) => Ending::Returned(result),
        _ => Ending::Dropped,
    }
}

async fn sleep_if(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn ending(ended: Result<TaskResult, JoinError>) -> Ending {
    match ended {
        Ok(result) => Ending::Returned(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Ending::Panicked(message_of(panic.as_ref())),
            Err(_) => Ending::NoRuntime,
        },
    }
}

pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(Ok(_)) => f.write_str("ended well"),
            Self::Returned(Err(failure)) => failure.fmt(f),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Dropped => f.write_str("did not stop in time and was dropped"),
            Self::NoRuntime => f.write_str("the runtime of the task is gone"),
        }
    }
}
