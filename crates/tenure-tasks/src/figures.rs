//! What is counted of tasks and under which names, whoever writes it down: which events count,
//! which tasks have figures of their own, the bounds of histograms, and the words of labels.
//!
//! How a figure is kept and read is the affair of those that write it down ([`Figures`]): `metrics`
//! for Prometheus, `otel` for OpenTelemetry. The table of all is `docs/guide/observability.md`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{ClaimAnswer, Outcome, Refusal, RunKind, TaskName, Timestamp};

use crate::alarm::tells_alarms;
use crate::event::{RunnerEvent, StoreCall};
use crate::running::ManagerHealth;

/// How many tasks have figures of their own; what the others do is told of the task `other`.
const MAX_TASKS: usize = 1000;

/// Seconds: from a good timer to a long outage.
const DELAYS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0,
];
const RUNS: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0];
const CALLS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// A name, as OpenTelemetry writes it behind `tenure.`, and what the figure means.
pub(crate) type Named = (&'static str, &'static str);

/// The name of a label and its value.
pub(crate) type Label<'l> = (&'static str, &'l str);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Due,
    Claims,
    Skipped,
    Missed,
    Lost,
    LateCompletions,
    Regressions,
    Alarms,
    ReloadFailures,
    Calls,
}

impl Count {
    /// In the order in which they are declared.
    pub(crate) const ALL: [Self; 10] = [
        Self::Due,
        Self::Claims,
        Self::Skipped,
        Self::Missed,
        Self::Lost,
        Self::LateCompletions,
        Self::Regressions,
        Self::Alarms,
        Self::ReloadFailures,
        Self::Calls,
    ];

    pub(crate) fn named(self) -> Named {
        match self {
            Self::Due => ("ticks.due", "Ticks that were due on this node"),
            Self::Claims => ("claims", "Claims that the store decided, by result"),
            Self::Skipped => ("runs.skipped", "Runs left out by a rule"),
            Self::Missed => ("ticks.missed", "Ticks that nobody ran in time"),
            Self::Lost => ("runs.lost", "Attempts that were lost with their node"),
            Self::LateCompletions => (
                "late_completions",
                "Ends of attempts that had been given up for lost",
            ),
            Self::Regressions => (
                "store.regressions",
                "How often the store was found to have forgotten what it had acknowledged",
            ),
            Self::Alarms => ("alarms", "Alarms that this node was the first to notice"),
            Self::ReloadFailures => (
                "reload_failures",
                "How often the tasks that run were to be replaced and were not",
            ),
            Self::Calls => ("store.calls", "Calls of the store, by method and result"),
        }
    }

    /// Whether there is only one of it, without labels.
    pub(crate) fn is_alone(self) -> bool {
        matches!(self, Self::Regressions | Self::ReloadFailures)
    }
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timed {
    StartDelay,
    Run,
    Call,
}

impl Timed {
    /// In the order in which they are declared.
    pub(crate) const ALL: [Self; 3] = [Self::StartDelay, Self::Run, Self::Call];

    pub(crate) fn named(self) -> Named {
        match self {
            Self::StartDelay => (
                "start.delay",
                "From the time of a run to its start, by what it was late for",
            ),
            Self::Run => ("run", "How long attempts took, by outcome"),
            Self::Call => ("store.call", "How long calls of the store took"),
        }
    }

    /// The bounds of its histogram, in seconds.
    pub(crate) fn bounds(self) -> &'static [f64] {
        match self {
            Self::StartDelay => &DELAYS,
            Self::Run => &RUNS,
            Self::Call => &CALLS,
        }
    }
}

/// An instant that is told of each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dated {
    NextTick,
    LastSuccess,
}

impl Dated {
    /// In the order in which they are declared.
    pub(crate) const ALL: [Self; 2] = [Self::NextTick, Self::LastSuccess];

    pub(crate) fn named(self) -> Named {
        match self {
            Self::NextTick => ("next_tick.timestamp", "When a task is due next"),
            Self::LastSuccess => (
                "last_success.timestamp",
                "When a run of a task last ended well on this node",
            ),
        }
    }
}

/// How a manager is: its figure's name, what it means, and how it is read.
pub(crate) type Level = (Named, fn(&ManagerHealth) -> u64);

pub(crate) const LEVELS: [Level; 4] = [
    (("runs.running", "Runs that are going on here"), |it| {
        it.running as u64
    }),
    (
        ("due.backlog", "Runs that are due and not decided yet"),
        |it| it.backlog as u64,
    ),
    (("nodes", "Nodes that are alive, this one included"), |it| {
        it.nodes as u64
    }),
    (("ready", "Whether this node starts runs: 1 or 0"), |it| {
        u64::from(it.impairment().is_none())
    }),
];

/// How far a node's clock is off.
pub(crate) const CLOCK_OFFSET: Named = (
    "clock.offset",
    "How far the wall clock of this machine is ahead of the store's",
);

/// In seconds; `None` as long as it is not known.
pub(crate) fn clock_offset(manager: &ManagerHealth) -> Option<f64> {
    let ahead_ms = manager.clock_ahead_ms?;
    let seconds = as_float(ahead_ms.unsigned_abs()) / 1000.0;
    Some(if ahead_ms < 0 { -seconds } else { seconds })
}

/// Where figures are written down.
pub(crate) trait Figures {
    fn known(&self) -> &KnownTasks;

    fn add(&self, count: Count, labels: &[Label<'_>], by: u64);

    fn observe(&self, timed: Timed, labels: &[Label<'_>], took: Duration);

    /// `None`: never.
    fn set(&self, dated: Dated, labels: &[Label<'_>], at: Option<Timestamp>);

    /// Counts an event.
    fn see_event(&self, event: &RunnerEvent) {
        match event {
            RunnerEvent::Due { task, .. } => self.count(Count::Due, task, 1),
            RunnerEvent::Next { task, tick } => {
                if let Some(label) = self.label_of(task) {
                    self.set(Dated::NextTick, &[label], *tick);
                }
            }
            RunnerEvent::Started {
                key,
                lateness,
                cause,
                ..
            } => {
                if let Some(label) = self.label_of(&key.task) {
                    let labels = [label, ("cause", cause.as_str())];
                    self.observe(Timed::StartDelay, &labels, *lateness);
                }
            }
            RunnerEvent::Finished {
                key,
                outcome,
                lateness,
                duration,
                ..
            } => {
                let Some(label) = self.label_of(&key.task) else {
                    return;
                };
                let with_outcome = [label, ("outcome", outcome.state().as_str())];
                self.observe(Timed::Run, &with_outcome, *duration);
                if *outcome == Outcome::Succeeded && key.kind == RunKind::Scheduled {
                    let ended = key.tick + *lateness + *duration;
                    self.set(Dated::LastSuccess, &[label], Some(ended));
                }
            }
            RunnerEvent::Skipped { key, cause, .. } => {
                if let Some(label) = self.label_of(&key.task) {
                    self.add(Count::Skipped, &[label, ("reason", cause.as_str())], 1);
                }
            }
            RunnerEvent::Missed { task, count, .. } => self.count(Count::Missed, task, *count),
            RunnerEvent::Lost { key, .. } => self.count(Count::Lost, &key.task, 1),
            RunnerEvent::LateCompletion { key, .. } => {
                self.count(Count::LateCompletions, &key.task, 1);
            }
            RunnerEvent::StoreRegressed { .. } => self.add(Count::Regressions, &[], 1),
            RunnerEvent::ReloadFailed { .. } => self.add(Count::ReloadFailures, &[], 1),
            RunnerEvent::Alarm { alarm } => {
                let kind = ("kind", alarm.kind.as_str());
                let state = ("state", alarm.state.as_str());
                self.add(Count::Alarms, &[kind, state], 1);
            }
            _ => {}
        }
    }

    /// Counts a call of a store.
    fn see_call(&self, call: StoreCall<'_>) {
        match call {
            StoreCall::Ended {
                call,
                took,
                is_answered,
            } => {
                let call = ("call", call);
                self.observe(Timed::Call, &[call], took);
                let result = if is_answered { "ok" } else { "error" };
                self.add(Count::Calls, &[call, ("result", result)], 1);
            }
            StoreCall::Decided(answer) => {
                self.add(Count::Claims, &[("result", word_of(answer))], 1);
            }
        }
    }

    /// Counts something of a task; nothing of those that only tell alarms.
    fn count(&self, count: Count, task: &TaskName, by: u64) {
        if let Some(label) = self.label_of(task) {
            self.add(count, &[label], by);
        }
    }

    fn label_of<'t>(&self, task: &'t TaskName) -> Option<Label<'t>> {
        Some(("task", self.known().label_of(task)?))
    }
}

/// The tasks that have figures of their own.
#[derive(Debug, Default)]
pub(crate) struct KnownTasks(Mutex<HashSet<TaskName>>);

impl KnownTasks {
    /// Under which name a task is told; `None` for those that only tell alarms.
    pub(crate) fn label_of<'t>(&self, task: &'t TaskName) -> Option<&'t str> {
        if tells_alarms(task) {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = known.len() < MAX_TASKS;
        let is_told = known.contains(task) || (has_room && known.insert(task.clone()));
        Some(if is_told { task.as_str() } else { "other" })
    }
}

fn word_of(answer: &ClaimAnswer) -> &'static str {
    match answer {
        ClaimAnswer::Won(_) => "won",
        ClaimAnswer::Taken { .. } => "taken",
        ClaimAnswer::Waits(_) => "waits",
        ClaimAnswer::Refused(refusal) => match refusal {
            Refusal::TooEarly { .. } => "too_early",
            Refusal::TooLate { .. } => "too_late",
            Refusal::Paused { .. } => "paused",
            Refusal::Overlap { .. } => "overlap",
            Refusal::StaleGeneration { .. } => "stale_generation",
            Refusal::NodeLapsed => "node_lapsed",
            Refusal::StoreForgot => "store_forgot",
            Refusal::Limit { .. } => "limit",
            Refusal::QueueFull { .. } => "queue_full",
            Refusal::Replaced { .. } => "replaced",
            _ => "refused",
        },
        _ => "other",
    }
}

pub(crate) fn seconds_of(at: Timestamp) -> f64 {
    as_float(u64::try_from(at.as_millis()).unwrap_or(0)) / 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people; exact up to two to the power of 53"
)]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}
