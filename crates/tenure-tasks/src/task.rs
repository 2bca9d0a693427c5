//! A task as a program writes it: a name, a schedule, rules and code.
//!
//! Nothing is checked here; [`TaskScheduling::start`](crate::TaskScheduling::start) checks all
//! tasks at once and lists every fault.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tenure_core::{OnChange, OnCrash, Overlap};
use tenure_schedule::{DstGap, DstOverlap, Schedule, ScheduleBuilder};
use tokio::runtime::Handle;

use crate::context::TaskContext;
use crate::keep::Keep;
use crate::outcome::{IntoTaskResult, TaskFailure, TaskReport};
use crate::policy::{Affinity, CatchUp, OnLeaseLoss, Retry};

/// The code of a task.
pub(crate) type Handler<S> = Arc<
    dyn Fn(TaskContext<S>) -> BoxFuture<'static, Result<TaskReport, TaskFailure>> + Send + Sync,
>;

/// A schedule as text, still to be read, or read already.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ScheduleSource {
    /// Text in one of the forms that [`Schedule::parse`] reads.
    Text(String),
    /// A schedule, with its zone.
    Parsed(Schedule),
}

impl From<&str> for ScheduleSource {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ScheduleSource {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<ScheduleBuilder> for ScheduleSource {
    fn from(builder: ScheduleBuilder) -> Self {
        Self::Text(builder.text())
    }
}

impl From<Schedule> for ScheduleSource {
    fn from(schedule: Schedule) -> Self {
        Self::Parsed(schedule)
    }
}

/// Everything a task says about itself besides its code, unchecked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    /// Whether the name is what the compiler calls code that has none.
    pub(crate) is_nameless: bool,
    pub(crate) schedule: Option<ScheduleSource>,
    pub(crate) zone: Option<String>,
    pub(crate) gap: Option<DstGap>,
    pub(crate) fold: Option<DstOverlap>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) overlap: Overlap,
    pub(crate) max_running: Option<u32>,
    pub(crate) max_running_per_node: Option<u32>,
    pub(crate) catch_up: CatchUp,
    pub(crate) catch_up_window: Option<Duration>,
    pub(crate) catch_up_max: Option<usize>,
    pub(crate) on_crash: OnCrash,
    pub(crate) on_lease_loss: OnLeaseLoss,
    pub(crate) affinity: Affinity,
    pub(crate) jitter: Duration,
    pub(crate) details: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) number: Option<u32>,
    pub(crate) on_change: OnChange,
    pub(crate) keep: Keep,
    pub(crate) is_retired: bool,
    pub(crate) manager: Option<String>,
}

/// What to run, when, and by which rules. `S` is the application's state, which the code gets.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tenure_tasks::{Retry, Task, TaskContext};
///
/// let task: Task<()> = Task::new("rates")
///     .schedule("*/30 * * * * *")
///     .timeout(Duration::from_secs(20))
///     .retry(Retry::exponential(3))
///     .run(|context: TaskContext<()>| async move {
///         println!("rates of {}", context.tick());
///     });
/// # let _ = task;
/// ```
pub struct Task<S> {
    pub(crate) draft: Draft,
    pub(crate) handler: Option<Handler<S>>,
    pub(crate) runtime: Option<Handle>,
}

impl<S: Send + Sync + 'static> Task<S> {
    /// A task with this name, which must be the only one of the whole configuration.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            draft: Draft {
                name: name.into(),
                ..Draft::default()
            },
            handler: None,
            runtime: None,
        }
    }

    /// Says that a task is over, for the deploy that takes it out: nodes that still have it claim
    /// it no more as soon as one that says this is there, and it is shown as retired.
    ///
    /// Without this, nodes that still have the task go on with it as long as they live, because a
    /// node that lacks a task may also be one that never had it. What waits for it ends as
    /// cancelled. Its history is kept. If all nodes that say this go, as in a roll-back, the others
    /// claim again. Leave it out when the last node with the task is gone.
    ///
    /// # Examples
    /// ```
    /// # use tenure_tasks::Task;
    /// let over: Task<()> = Task::retired("report");
    /// assert!(over.check()?.is_retired());
    /// # Ok::<(), tenure_tasks::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn retired(name: impl Into<String>) -> Self {
        let mut task = Self::new(name).schedule("-");
        task.draft.is_retired = true;
        task.run(|_| async { Err::<TaskReport, _>(TaskFailure::new("the task is retired")) })
    }

    /// When it is due: `"*/30 * * * * *"`, `"0 2 L * *"`, `"@every 90s"`, `"-"` for never, a
    /// [`Schedule`], or what [`Schedule::builder`] has put together.
    ///
    /// `"@after 10m"`, or [`Schedule::after`], is due that long after the end of the run before,
    /// whatever became of it: in the whole cluster one run after the other, for each index. The
    /// next run waits in the store, so the task's manager needs one. The first is due when the
    /// store first sees the task, or the delay after the end of the last run it had under a
    /// schedule.
    ///
    /// Text may begin with the name of its [dialect](tenure_schedule::Dialect):
    /// `"quartz: 0 0 12 ? * MON"`.
    #[must_use]
    pub fn schedule(mut self, schedule: impl Into<ScheduleSource>) -> Self {
        self.draft.schedule = Some(schedule.into());
        self
    }

    /// The zone in which the schedule's local times are read, such as `Europe/Berlin`. Default:
    /// UTC.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.draft.zone = Some(zone.into());
        self
    }

    /// What happens to a named local time that the clocks jump over. Default: it runs after.
    #[must_use]
    pub fn dst_gap(mut self, gap: DstGap) -> Self {
        self.draft.gap = Some(gap);
        self
    }

    /// What happens to a named local time that comes twice. Default: the first counts.
    #[must_use]
    pub fn dst_overlap(mut self, fold: DstOverlap) -> Self {
        self.draft.fold = Some(fold);
        self
    }

    /// How many runs each tick has, wherever they happen, with indices `1..=runs`. Default: 1; at
    /// most 1000.
    #[must_use]
    pub fn concurrency(mut self, runs: u32) -> Self {
        self.draft.concurrency = Some(runs);
        self
    }

    /// How long an attempt may take before it is told to stop. Default: as long as it likes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.timeout = Some(timeout);
        self
    }

    /// How often a run that failed is tried again. Default: never.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.draft.retry = retry;
        self
    }

    /// Whether a run may begin while an earlier one of the same index is in hand anywhere in the
    /// cluster. Default: it is skipped.
    ///
    /// What waits ([`Overlap::QueueOne`], [`Overlap::QueueAll`], [`Overlap::CancelOther`]) waits in
    /// the store and outlives every node. Under [`Overlap::CancelOther`] the newer run begins when
    /// the older has ended, or its node's lease has: never beside it, unless that node goes on
    /// although it was told to stop and lost its lease.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.draft.overlap = overlap;
        self
    }

    /// How many runs of this task may be in hand at once in the whole cluster, over all ticks and
    /// indices; at least 1. Default: any number.
    ///
    /// What exceeds it follows the overlap rule, with the reason `limit`. Runs that somebody asked
    /// for count too; a tick that finds the limit reached by them waits, whatever the rule.
    #[must_use]
    pub fn max_running(mut self, runs: u32) -> Self {
        self.draft.max_running = Some(runs);
        self
    }

    /// How many runs of this task one node takes on at once; at least 1. Default: any number.
    ///
    /// A node without room leaves a tick to the others, and takes it when it has room again. If no
    /// node had room inside the catch-up window, the tick is recorded as missed.
    #[must_use]
    pub fn max_running_per_node(mut self, runs: u32) -> Self {
        self.draft.max_running_per_node = Some(runs);
        self
    }

    /// What to do about ticks that nobody ran in time. Default: run the latest.
    #[must_use]
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.draft.catch_up = catch_up;
        self
    }

    /// How late a tick may still be run. Default: five minutes for tasks at most an hour apart,
    /// else their distance, at most a day. From one second to 31 days.
    ///
    /// Longer keeps each record longer (twice this and an hour); shorter misses more ticks after
    /// an outage.
    #[must_use]
    pub fn catch_up_window(mut self, window: Duration) -> Self {
        self.draft.catch_up_window = Some(window);
        self
    }

    /// How many ticks [`CatchUp::All`] runs at most; the newest are kept. Default: 10; at most
    /// 1000.
    #[must_use]
    pub fn catch_up_max(mut self, ticks: usize) -> Self {
        self.draft.catch_up_max = Some(ticks);
        self
    }

    /// What becomes of a run whose node dies. Default: it is reported as lost.
    #[must_use]
    pub fn on_crash(mut self, on_crash: OnCrash) -> Self {
        self.draft.on_crash = on_crash;
        self
    }

    /// What happens to running code when its node's lease can no longer be trusted. Default: stop.
    #[must_use]
    pub fn on_lease_loss(mut self, on_lease_loss: OnLeaseLoss) -> Self {
        self.draft.on_lease_loss = on_lease_loss;
        self
    }

    /// Which node asks for its runs first. Default: another one for each tick.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.draft.affinity = affinity;
        self
    }

    /// Spreads starts over this time, at most one day: each tick begins later by a delay that is
    /// the same on every node and shorter than the distance to the next tick. It is drawn for the
    /// namespace, the task and the tick, so that fleets in two namespaces do not start together.
    /// Default: none.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.draft.jitter = jitter;
        self
    }

    /// Anything else that belongs to the definition, such as a command line: shown to people, and
    /// a change of it is a new generation. No secrets.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.draft.details = details.into();
        self
    }

    /// A name the task had before, so that it goes on where it was: a tick that ran under the old
    /// name is not run again under the new one, what waits under the old name is run by this code,
    /// a pause holds on, and `tenure history` shows both.
    ///
    /// From when a node with the new name is there on, nodes that know only the old one claim no
    /// more; if all nodes with the new name go, as in a roll-back, they do again. Keep it for
    /// as long as the old name's history matters. Overlap and limits count under the new name only:
    /// what an old node still has in hand under the old name does not stand in the way.
    ///
    /// # Examples
    /// ```
    /// # use tenure_tasks::Task;
    /// let task: Task<()> = Task::new("billing.report").alias("report").schedule("@daily");
    /// assert_eq!(task.check()?.aliases().len(), 1);
    /// # Ok::<(), tenure_tasks::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.draft.aliases.push(name.into());
        self
    }

    /// Several names the task had before; each as with [`Task::alias`].
    #[must_use]
    pub fn aliases(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.draft.aliases.extend(names);
        self
    }

    /// Says which definition is newer: while nodes with several definitions are there, the one with
    /// the highest number fires, whichever was registered first. From 1; default: none, which is
    /// lower than any.
    ///
    /// Without numbers the definition that the store saw last for the first time is the newest,
    /// which is right for deploys and roll-backs alike. A number must be raised with every later
    /// change: a change without does not fire before the last node with the old number is gone.
    #[must_use]
    pub fn generation(mut self, number: u32) -> Self {
        self.draft.number = Some(number);
        self
    }

    /// What becomes of other definitions while this is the newest: [`OnChange::Newest`], the
    /// default, has this one fire alone; under [`OnChange::Union`] every node's definition fires,
    /// and each tick that they share once.
    #[must_use]
    pub fn on_change(mut self, on_change: OnChange) -> Self {
        self.draft.on_change = on_change;
        self
    }

    /// Which records of its runs are kept, by how they ended. Default: all, for as long as
    /// [`RunnerOptions::keep_history`](crate::RunnerOptions::keep_history) says.
    ///
    /// Records are deleted every ten minutes, by one node, a bounded number at a time. No part of
    /// the definition: a change is no new generation.
    ///
    /// # Examples
    /// ```
    /// # use tenure_tasks::{InvalidKeepRule, Keep, Task};
    /// # fn f() -> Result<(), InvalidKeepRule> {
    /// let keep = Keep::new().succeeded("100/7d".parse()?).failed("500".parse()?);
    /// let task: Task<()> = Task::new("report").schedule("@daily").keep(keep);
    /// # let _ = task; Ok(()) }
    /// # f().unwrap();
    /// ```
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.draft.keep = keep;
        self
    }

    /// The manager that decides which instance runs it. Default: the unnamed one.
    #[must_use]
    pub fn on_manager(mut self, name: impl Into<String>) -> Self {
        self.draft.manager = Some(name.into());
        self
    }

    /// The runtime the code is run on. Default: the one that
    /// [`TaskScheduling::start`](crate::TaskScheduling::start) was called on.
    #[must_use]
    pub fn on_runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The code. It should end soon after [`TaskContext::cancelled`] resolves; if it does not, it
    /// is dropped at its next `await`.
    #[must_use]
    pub fn run<F, Fut>(mut self, code: F) -> Self
    where
        F: Fn(TaskContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoTaskResult> + Send + 'static,
    {
        self.handler = Some(Arc::new(move |context| {
            code(context).map(IntoTaskResult::into_task_result).boxed()
        }));
        self
    }

    /// Code that blocks its thread. It is run on the runtime's threads for blocking work, so that
    /// it delays nothing else.
    ///
    /// A thread cannot be stopped from outside: code that does not look at
    /// [`TaskContext::stop_reason`] goes on after its timeout, while its run is reported as timed
    /// out.
    #[must_use]
    pub fn run_blocking<F, R>(mut self, code: F) -> Self
    where
        F: Fn(TaskContext<S>) -> R + Send + Sync + 'static,
        R: IntoTaskResult + Send + 'static,
    {
        let code = Arc::new(code);
        self.handler = Some(Arc::new(move |context| {
            let code = code.clone();
            async move {
                let span = tracing::Span::current();
                let thread = tokio::task::spawn_blocking(move || {
                    span.in_scope(|| code(context).into_task_result())
                });
                match thread.await {
                    Ok(result) => result,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(error) => Err(TaskFailure::new(format!("not run: {error}"))),
                    },
                }
            }
            .boxed()
        }));
        self
    }
}

impl<S> fmt::Debug for Task<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("draft", &self.draft)
            .field("has_code", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}
