//! A scheduling that runs: how it is watched, asked and ended.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tenure_core::{Clock, Holder, Moment, RunKey, Timestamp, format_duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::alarm::Specs;
use crate::check::Work;
use crate::config_error::shown;
use crate::event::{EventSender, Events, RunnerEvent};
use crate::manager::TaskManager;
use crate::options::RunnerOptions;
use crate::replacing::Replacement;
use crate::table::NextTick;

/// The most ticks one call of [`RunningTasks::next_ticks`] answers.
const MAX_NEXT: usize = 10_000;

/// The tasks, running. Dropping it stops everything at once, without farewell: what runs is
/// dropped, and other nodes find it lost within one ttl. [`RunningTasks::drain`] is the way to end.
pub struct RunningTasks {
    pub(crate) parts: Vec<Part>,
    pub(crate) options: RunnerOptions,
    events: EventSender,
    clock: Arc<dyn Clock>,
    /// Why the last attempt to replace the tasks changed nothing, if it did not.
    reload: Mutex<Option<ReloadFailure>>,
}

/// What a runner is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Drain(Duration, oneshot::Sender<Drained>),
    Replace(Replacement),
    NextTicks(usize, oneshot::Sender<Vec<NextTick>>),
    OutputOf(RunKey, oneshot::Sender<Option<String>>),
}

/// How a scheduling ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drained {
    /// How many runs ended by themselves after the drain began.
    pub finished: usize,
    /// The runs that were stopped.
    pub interrupted: Vec<RunKey>,
    /// How many outcomes the store never heard of; their runs are found lost.
    pub unreported: usize,
}

/// How a scheduling is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Its managers, in the order in which they were given.
    pub managers: Vec<ManagerHealth>,
    /// Why the tasks that run are not the ones that were to replace them; `None` once a later
    /// attempt went well. It keeps no run from starting, so it is no impairment.
    pub reload_failed: Option<ReloadFailure>,
}

/// An attempt to replace the tasks that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadFailure {
    /// When the tasks that run were last known to be the wanted ones no more, by this machine's
    /// wall clock.
    pub since: Timestamp,
    /// Why, in words: of the latest attempt.
    pub error: String,
    /// How many attempts have failed since the last good one.
    pub attempts: u64,
}

impl fmt::Display for ReloadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, error, .. } = self;
        write!(
            f,
            "the tasks run as before the reload of {since}, which failed: {error}"
        )
    }
}

impl Health {
    /// Whether every manager works: then this is ready.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.managers
            .iter()
            .all(|manager| manager.impairment().is_none())
    }

    /// What keeps the scheduling from starting runs, a manager each; empty if it is ready. For a
    /// readiness probe: answer with these and a bad status while there are any.
    ///
    /// ```
    /// # fn probe(tasks: &tenure_tasks::RunningTasks) -> (u16, String) {
    /// let impairments = tasks.health().impairments();
    /// if impairments.is_empty() {
    ///     return (200, "ready".to_owned());
    /// }
    /// let lines: Vec<_> = impairments.iter().map(ToString::to_string).collect();
    /// (503, lines.join("\n"))
    /// # }
    /// ```
    #[must_use]
    pub fn impairments(&self) -> Vec<Impairment> {
        let all = self.managers.iter().filter_map(ManagerHealth::impairment);
        all.collect()
    }
}

/// What keeps one manager from starting runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impairment {
    /// The manager; `None` for the default.
    pub manager: Option<String>,
    /// What it is.
    pub kind: ImpairmentKind,
}

/// Why a manager does not start runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImpairmentKind {
    /// It drains, or has ended.
    Draining,
    /// The node's lease may have ended: its store was not heard for too long.
    LeaseLost {
        /// How long the store was not heard; `None` if it never was.
        silent_for: Option<Duration>,
    },
    /// The store answers with errors or not at all. The lease still holds, and what runs goes on.
    StoreTrouble {
        /// How long the store was not heard; `None` if it never was.
        silent_for: Option<Duration>,
        /// What it answered in place of an answer.
        error: String,
    },
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(manager) = &self.manager {
            write!(f, "manager `{}`: ", shown(manager))?;
        }
        let silence = |f: &mut fmt::Formatter<'_>, silent_for: &Option<Duration>| match silent_for {
            Some(time) => write!(f, "store not heard for {}", whole_ms(*time)),
            None => f.write_str("store never heard"),
        };
        match &self.kind {
            ImpairmentKind::Draining => f.write_str("draining: no run is started any more"),
            ImpairmentKind::LeaseLost { silent_for } => {
                f.write_str("the node's lease is lost: ")?;
                silence(f, silent_for)
            }
            ImpairmentKind::StoreTrouble { silent_for, error } => {
                silence(f, silent_for)?;
                write!(f, ": {error}")
            }
        }
    }
}

fn whole_ms(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    format_duration(Duration::from_millis(ms))
}

/// How one manager is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManagerHealth {
    /// Its name; `None` for the default.
    pub manager: Option<String>,
    /// Who this process is in its store, if it has one.
    pub node: Option<Holder>,
    /// Whether its runner is at work; false when it drains or has ended.
    pub is_running: bool,
    /// Whether it may start runs: its store heard of this node lately.
    pub is_trusted: bool,
    /// Until when it may act on what its store last said, by the steady clock. `None` if it has no
    /// lease, or lost it.
    pub trusted_until: Option<Moment>,
    /// What the store answered in place of an answer, if it is in trouble.
    pub trouble: Option<String>,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many runs are going on here.
    pub running: usize,
    /// How many runs are due that this node has not asked for, or has no answer about yet.
    pub backlog: usize,
    /// How many nodes are alive, this one included, as it last heard.
    pub nodes: usize,
    /// How far this machine's wall clock is ahead of the store's, in milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// How long ago the store last answered this node's sign of life; `None` without a store.
    pub silent_for: Option<Duration>,
}

impl ManagerHealth {
    /// What keeps it from starting runs, if anything does.
    #[must_use]
    pub fn impairment(&self) -> Option<Impairment> {
        let silent_for = self.silent_for;
        let kind = if !self.is_running {
            ImpairmentKind::Draining
        } else if !self.is_trusted {
            ImpairmentKind::LeaseLost { silent_for }
        } else {
            let error = self.trouble.clone()?;
            ImpairmentKind::StoreTrouble { silent_for, error }
        };
        Some(Impairment {
            manager: self.manager.clone(),
            kind,
        })
    }
}

/// What a runner shows of itself at any moment.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) running: AtomicUsize,
    /// Runs that are due and not decided yet.
    pub(crate) backlog: AtomicUsize,
    beat: Mutex<PulseBeat>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct PulseBeat {
    pub(crate) node: Option<Holder>,
    pub(crate) is_live: bool,
    /// `None` without a lease: such a runner is always trusted.
    pub(crate) trusted_until: Option<Moment>,
    pub(crate) trouble: Option<String>,
    pub(crate) tasks: usize,
    pub(crate) nodes: usize,
    pub(crate) clock_ahead_ms: Option<i64>,
    /// When the store last answered a beat.
    pub(crate) heard_at: Option<Moment>,
}

impl Pulse {
    pub(crate) fn change(&self) -> MutexGuard<'_, PulseBeat> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One manager's runner.
pub(crate) struct Part {
    pub(crate) manager: Arc<dyn TaskManager>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) pulse: Arc<Pulse>,
    /// Tasks of tenure's own, which stay when the others are replaced.
    pub(crate) own: Vec<Work>,
    /// The tasks that alarms watch.
    pub(crate) watched: Specs,
    /// Stops the runner when this is dropped.
    driver: Option<AbortOnDropHandle<()>>,
}

impl Part {
    pub(crate) fn new(manager: Arc<dyn TaskManager>, commands: mpsc::Sender<Command>) -> Self {
        Self {
            manager,
            commands,
            pulse: Arc::default(),
            own: Vec::new(),
            watched: Specs::default(),
            driver: None,
        }
    }

    pub(crate) fn driven_by(mut self, driver: AbortOnDropHandle<()>) -> Self {
        self.driver = Some(driver);
        self
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    fn health(&self, now: Moment) -> ManagerHealth {
        let beat = self.pulse.change().clone();
        let is_alive = self
            .driver
            .as_ref()
            .is_some_and(|driver| !driver.is_finished());
        ManagerHealth {
            manager: self.manager.name().map(str::to_owned),
            node: beat.node,
            is_running: is_alive && beat.is_live,
            is_trusted: beat.trusted_until.is_none_or(|until| now < until),
            trusted_until: beat.trusted_until,
            trouble: beat.trouble,
            tasks: beat.tasks,
            running: self.pulse.running.load(Ordering::Relaxed),
            backlog: self.pulse.backlog.load(Ordering::Relaxed),
            nodes: beat.nodes,
            clock_ahead_ms: beat.clock_ahead_ms,
            silent_for: beat.heard_at.map(|at| now.since(at)),
        }
    }
}

impl RunningTasks {
    pub(crate) fn new(
        parts: Vec<Part>,
        options: RunnerOptions,
        events: EventSender,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            parts,
            options,
            events,
            clock,
            reload: Mutex::default(),
        }
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events.subscribe()
    }

    /// How it is. Asks nobody.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.clock.now();
        let managers = self.parts.iter().map(|part| part.health(now)).collect();
        let reload_failed = self.reload().clone();
        Health {
            managers,
            reload_failed,
        }
    }

    /// Tells that tasks which were to replace those that run could not be made: a task file that is
    /// wrong, say. [`RunningTasks::replace`] tells its own failures. Shown by
    /// [`Health::reload_failed`] until a replacement goes well, counted, and told as an event.
    pub fn reload_failed(&self, error: impl Into<String>) {
        let error = error.into();
        {
            let mut reload = self.reload();
            let failure = reload.get_or_insert_with(|| ReloadFailure {
                since: self.clock.wall(),
                error: String::new(),
                attempts: 0,
            });
            failure.error.clone_from(&error);
            failure.attempts += 1;
        }
        self.events.tell(|| RunnerEvent::ReloadFailed { error });
    }

    /// The tasks that run are the wanted ones.
    pub(crate) fn reloaded(&self) {
        *self.reload() = None;
    }

    fn reload(&self) -> MutexGuard<'_, Option<ReloadFailure>> {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `count` ticks of all tasks, in order; at most 10 000 are answered.
    pub async fn next_ticks(&self, count: usize) -> Vec<NextTick> {
        let count = count.min(MAX_NEXT);
        let asked = self
            .parts
            .iter()
            .map(|part| part.ask(|reply| Command::NextTicks(count, reply)));
        let mut ticks: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        ticks.sort_by(|a, b| (a.tick, &a.task).cmp(&(b.tick, &b.task)));
        ticks.truncate(count);
        ticks
    }

    /// What a run that is going on in this process has printed so far, bounded as
    /// [`TaskContext::print`](crate::TaskContext::print) says; `None` if it is not going on here.
    ///
    /// Only the node that runs it knows: stores are given the output when an attempt has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn output_of(&self, run: &RunKey) -> Option<String> {
        let asked = self
            .parts
            .iter()
            .map(|part| part.ask(|reply| Command::OutputOf(run.clone(), reply)));
        let answers = join_all(asked).await.into_iter().flatten();
        answers.flatten().next()
    }

    /// Ends the scheduling: stops claiming at once, gives what runs `patience` to finish, tells
    /// the rest to stop, reports all outcomes, and leaves the store.
    ///
    /// May be called again while it drains, from elsewhere, to shorten the patience; the calls
    /// share one answer's facts only if they ask before the end, later ones get an empty answer.
    ///
    /// # Cancel safety
    /// Safe: the drain goes on.
    pub async fn drain(&self, patience: Duration) -> Drained {
        let asked = self
            .parts
            .iter()
            .map(|part| part.ask(|reply| Command::Drain(patience, reply)));
        let mut all = Drained::default();
        for drained in join_all(asked).await.into_iter().flatten() {
            all.finished += drained.finished;
            all.interrupted.extend(drained.interrupted);
            all.unreported += drained.unreported;
        }
        all
    }
}

impl fmt::Debug for RunningTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTasks")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
