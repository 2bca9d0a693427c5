//! What a task's code is told about the run it makes, and how it talks back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Fence, RunKey, TaskName, Timestamp};

use crate::attempt::Attempt;
use crate::spec::TaskSpec;
use crate::stop::StopReason;

/// One attempt of one run, as its code sees it. Clones share it.
///
/// # Guarantees
/// No other node has this attempt, as long as the store keeps what it acknowledged. A process that
/// was paused can still act late: give [`TaskContext::fence`] to the resource and let it refuse
/// smaller numbers, or let [`TaskContext::run_id`] make the effect idempotent.
pub struct TaskContext<S> {
    attempt: Arc<Attempt>,
    application: Arc<S>,
}

impl<S> TaskContext<S> {
    pub(crate) fn new(attempt: Arc<Attempt>, application: Arc<S>) -> Self {
        Self {
            attempt,
            application,
        }
    }

    /// The application's state.
    #[must_use]
    pub fn application(&self) -> &Arc<S> {
        &self.application
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &TaskName {
        &self.attempt.key.task
    }

    /// The checked task.
    #[must_use]
    pub fn spec(&self) -> &TaskSpec {
        &self.attempt.spec
    }

    /// The nominal instant the run is for (the execution time), computed from the schedule. For a
    /// run that somebody asked for, when they asked.
    #[must_use]
    pub fn tick(&self) -> Timestamp {
        self.attempt.key.tick
    }

    /// Which of the task's parallel runs of this tick, from 1.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.attempt.key.index
    }

    /// Which attempt of the run, from 1, counted across nodes.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The fencing token of this attempt: grows with every claim of the task. `None` if the
    /// manager has none.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.attempt.fence
    }

    /// The run's identity: the same for all its attempts, so it serves as idempotency key.
    #[must_use]
    pub fn run_id(&self) -> &RunKey {
        &self.attempt.key
    }

    /// When this attempt began, by the store's clock.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.attempt.started_at()
    }

    /// How long after its time this attempt began; the task's jitter does not count.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.attempt.lateness()
    }

    /// Resolves when the code should stop, with the reason.
    ///
    /// # Cancel safety
    /// Safe; may be awaited any number of times.
    pub async fn cancelled(&self) -> StopReason {
        self.attempt.stop.asked().await
    }

    /// Why the code should stop, if it should: for code that does not await.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.attempt.stop.reason()
    }

    /// Adds to the run's output. The store keeps the beginning and the end, together 128 KiB.
    pub fn print(&self, text: &str) {
        self.attempt.output.push(text);
    }
}

impl<S> Clone for TaskContext<S> {
    fn clone(&self) -> Self {
        Self {
            attempt: self.attempt.clone(),
            application: self.application.clone(),
        }
    }
}

impl<S> fmt::Debug for TaskContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("run", &self.attempt.key)
            .field("attempt", &self.attempt.number)
            .finish_non_exhaustive()
    }
}
