//! Tasks under a clock that a test moves; feature `test`.
//!
//! [`TestTasks`] runs the code of tasks at the times their schedules say, one run after the other,
//! on a clock that stands still until it is moved: a year passes as fast as its runs do. It checks,
//! catches up, retries and applies timeouts as a scheduling does. It has no store and one node, so
//! there is nobody to compete with: what several nodes do is tested on a `MemoryLockManager` with
//! tokio's paused time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Clock, Fence, ManualClock, Outcome, RequestId, RunKey, RunKind, TaskName, Timestamp,
};

use crate::attempt::{Attempt, Ending, Limits, supervise};
use crate::check::{Work, check_alone_all};
use crate::config_error::ConfigErrors;
use crate::runner::outcome_of;
use crate::table::{NextTick, Table, TaskId};
use crate::task::Task;

/// How long code that was told to stop may take before it is dropped.
const GRACE: Duration = Duration::from_secs(2);

/// One attempt that a test made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestRun {
    /// The run.
    pub key: RunKey,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When it began, by the test's clock.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, if anything.
    pub reason: Option<String>,
    /// Whether another attempt will be made.
    pub is_retried: bool,
    /// What it printed with [`TaskContext::print`](crate::TaskContext::print), or reported.
    pub output: Option<String>,
}

/// Tasks whose time a test moves.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use tenure_tasks::test::TestTasks;
/// use tenure_tasks::{Task, TaskContext};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The tasks, as the program has them.
/// let invoices = Task::new("invoices")
///     .schedule("0 2 L * *")
///     .run(|context: TaskContext<AtomicU32>| async move {
///         context.application().fetch_add(1, Ordering::Relaxed);
///     });
/// let mut test = TestTasks::new(AtomicU32::new(0), [invoices])?;
/// let runs = test.advance(Duration::from_secs(365 * 24 * 3600)).await;
/// assert_eq!(runs.len(), 12);
/// assert_eq!(test.application().load(Ordering::Relaxed), 12);
/// # Ok(())
/// # }
/// ```
pub struct TestTasks<S> {
    application: Arc<S>,
    clock: Arc<ManualClock>,
    table: Table,
    /// Attempts to come, by when.
    waiting: BTreeMap<(Timestamp, u64), (TaskId, RunKey, u32)>,
    made: u64,
    missed: u64,
}

impl<S: Send + Sync + 'static> TestTasks<S> {
    /// The tasks, on a clock that stands at 2026-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Everything that is wrong with the tasks; their managers are not looked at.
    pub fn new(
        application: S,
        tasks: impl IntoIterator<Item = Task<S>>,
    ) -> Result<Self, ConfigErrors> {
        Self::on_clock(application, tasks, Arc::new(ManualClock::default()))
    }

    /// The tasks, on a clock of the test's own, from the time it shows.
    ///
    /// # Errors
    /// Everything that is wrong with the tasks; their managers are not looked at.
    pub fn on_clock(
        application: S,
        tasks: impl IntoIterator<Item = Task<S>>,
        clock: Arc<ManualClock>,
    ) -> Result<Self, ConfigErrors> {
        let application = Arc::new(application);
        let work: Vec<Work> = check_alone_all(&application, tasks.into_iter().collect())?;
        let mut table = Table::new(work);
        let now = clock.wall();
        for id in (0..).take(table.len()) {
            table.enter(id, now);
        }
        Ok(Self {
            application,
            clock,
            table,
            waiting: BTreeMap::new(),
            made: 0,
            missed: 0,
        })
    }

    /// The application's state.
    #[must_use]
    pub fn application(&self) -> &Arc<S> {
        &self.application
    }

    /// The clock; give it to the code under test.
    #[must_use]
    pub fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// How many ticks were left out by the rules for catching up.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The next `count` ticks of all tasks, in order.
    #[must_use]
    pub fn next_ticks(&self, count: usize) -> Vec<NextTick> {
        self.table.upcoming(count)
    }

    /// Lets time pass, and makes every run and retry at its time, in order. Answers them.
    pub async fn advance(&mut self, by: Duration) -> Vec<TestRun> {
        let end = self.now() + by;
        let mut runs = Vec::new();
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.clock.advance(next.since(self.now()));
            runs.extend(self.run_due_now().await);
        }
        self.clock.advance(end.since(self.now()));
        runs
    }

    /// Lets time pass while nothing runs, as when all nodes are down. What was due then is caught
    /// up by the next call of another method, by the tasks' rules.
    pub fn be_down(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    /// Makes every run and retry that is due by now. Answers them.
    pub async fn run_due_now(&mut self) -> Vec<TestRun> {
        let now = self.now();
        let mut runs = Vec::new();
        while let Some(id) = self.table.pop(now) {
            let Some(evaluation) = self.table.evaluate(id, now) else {
                continue;
            };
            self.missed = self.missed.saturating_add(evaluation.due.missed.count());
            let Some(spec) = self.table.spec(id) else {
                continue;
            };
            let (task, indices) = (spec.name().clone(), spec.concurrency());
            for tick in evaluation.due.run {
                for index in 1..=indices {
                    let key = RunKey::scheduled(task.clone(), tick, index);
                    runs.extend(self.attempt(id, key, 1).await);
                }
            }
        }
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (id, key, attempt) = first.remove();
            runs.extend(self.attempt(id, key, attempt).await);
        }
        runs
    }

    /// Runs a task now, as if somebody had asked for it. `None` if there is no such task.
    pub async fn run_now(&mut self, task: &str) -> Option<TestRun> {
        let task = TaskName::new(task).ok()?;
        let id = self.table.id_of(&task)?;
        let key = RunKey::manual(task, self.now(), 1, RequestId::random());
        self.attempt(id, key, 1).await
    }

    fn next_moment(&self) -> Option<Timestamp> {
        let retry = self.waiting.keys().next().map(|(at, _)| *at);
        // What was due while nothing ran is due now.
        let next = retry.into_iter().chain(self.table.first()).min()?;
        Some(next.max(self.now()))
    }

    async fn attempt(&mut self, id: TaskId, key: RunKey, number: u32) -> Option<TestRun> {
        let work = self.table.work(id)?.clone();
        let at = self.now();
        self.made += 1;
        let due_at = match key.kind {
            RunKind::Scheduled => work.spec.fires_at(key.tick),
            _ => key.tick,
        };
        let name = (number, Some(Fence::new(self.made)));
        let attempt = Arc::new(Attempt::new(work.spec.clone(), key.clone(), name, due_at));
        attempt.begins_at(at);
        let limits = Limits {
            wait: Duration::ZERO,
            grace: GRACE,
            loss_grace: GRACE,
        };
        let ending = supervise(work.code, work.runtime, attempt.clone(), limits).await;
        let outcome = outcome_of(&ending, attempt.stop.reason());
        let is_permanent =
            matches!(&ending, Ending::Returned(Err(failure)) if failure.is_permanent);
        let has_failed = matches!(outcome, Outcome::Failed | Outcome::TimedOut);
        let retry = work.spec.retry();
        let again = (has_failed && !is_permanent)
            .then(|| retry.delay_after(number, 1.0))
            .flatten()
            .map(|delay| at + delay)
            .filter(|again| work.spec.bars_retry_at(&key, *again).is_none());
        if let Some(again) = again {
            let entry = (id, key.clone(), number + 1);
            self.waiting.insert((again, self.made), entry);
        }
        let reason = (outcome != Outcome::Succeeded).then(|| ending.to_string());
        let printed = attempt.output.take();
        let output = match ending {
            Ending::Returned(Ok(report)) => report.output,
            Ending::Returned(Err(failure)) => failure.output,
            _ => None,
        };
        Some(TestRun {
            key,
            attempt: number,
            at,
            outcome,
            reason,
            is_retried: again.is_some(),
            output: output.or(printed),
        })
    }
}

impl<S> fmt::Debug for TestTasks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestTasks")
            .field("now", &self.clock.wall())
            .field("tasks", &self.table.len())
            .finish_non_exhaustive()
    }
}
