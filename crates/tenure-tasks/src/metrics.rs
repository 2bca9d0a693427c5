//! Counts what a scheduling does and writes it as Prometheus reads it; feature `metrics`.
//!
//! Stands on what every program can have: observers of events and calls, and the health. The table
//! of all metrics is `docs/guide/observability.md`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tenure_core::{Outcome, RunKey, RunKind, TaskName};

use crate::event::{RunnerEvent, StoreCall};
use crate::figures::{CALLS, DELAYS, KnownTasks, RUNS, as_float, seconds_of, word_of};
use crate::running::Health;
use crate::scheduling::TaskScheduling;

/// Labels of one metric, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels(Vec<(&'static str, String)>);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for label in &self.0 {
            prometheus_client::encoding::EncodeLabel::encode(label, encoder.encode_label())?;
        }
        Ok(())
    }
}

type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// The figures of a scheduling. Clones share them.
///
/// # Examples
/// ```
/// # use tenure_tasks::{Metrics, RunningTasks, StartError, TaskScheduling};
/// # async fn example(tasks: TaskScheduling<()>) -> Result<(), StartError> {
/// let metrics = Metrics::new();
/// let tasks = tasks.metrics(&metrics).start().await?;
/// let text = metrics.text(&tasks.health()); // the answer of `/metrics`
/// # drop(text);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Metrics {
    all: Arc<All>,
}

struct All {
    registry: Registry,
    known: KnownTasks,
    due: Counters,
    claims: Counters,
    start_delay: Histograms,
    run_time: Histograms,
    skipped: Counters,
    missed: Counters,
    lost: Counters,
    late_completions: Counters,
    regressions: Counter,
    alarms: Counters,
    reload_failures: Counter,
    outdated: Gauge,
    next_tick: Gauges,
    last_success: Gauges,
    calls: Counters,
    call_time: Histograms,
    clock_offset: Gauges,
    running: Gauges,
    backlog: Gauges,
    nodes: Gauges,
    ready: Gauges,
}

impl<S: Send + Sync + 'static> TaskScheduling<S> {
    /// Counts into `metrics` what this scheduling does.
    #[must_use]
    pub fn metrics(self, metrics: &Metrics) -> Self {
        let (of_events, of_calls) = (metrics.clone(), metrics.clone());
        self.observe(move |event| of_events.see(event))
            .observe_calls(move |call| of_calls.called(call))
    }
}

impl Metrics {
    /// What an HTTP answer that holds [`Metrics::text`] says it is.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Figures, all zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            all: Arc::new(All::new()),
        }
    }

    /// All figures as text in the format of `OpenMetrics`, which Prometheus reads; those of
    /// `health` are read now.
    #[must_use]
    pub fn text(&self, health: &Health) -> String {
        let all = &self.all;
        for manager in &health.managers {
            let name = manager.manager.clone().unwrap_or_default();
            let of = || Labels(vec![("manager", name.clone())]);
            let set = |gauges: &Gauges, value: usize| {
                gauges.get_or_create(&of()).set(as_float(value as u64));
            };
            set(&all.running, manager.running);
            set(&all.backlog, manager.backlog);
            set(&all.nodes, manager.nodes);
            set(&all.ready, usize::from(manager.impairment().is_none()));
            if let (Some(node), Some(ahead_ms)) = (&manager.node, manager.clock_ahead_ms) {
                let node = Labels(vec![("node", node.to_string())]);
                let offset = as_float(ahead_ms.unsigned_abs()) / 1000.0;
                let offset = if ahead_ms < 0 { -offset } else { offset };
                all.clock_offset.get_or_create(&node).set(offset);
            }
        }
        all.outdated.set(i64::from(health.reload_failed.is_some()));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &all.registry);
        text
    }

    /// Counts an event. [`TaskScheduling::metrics`] does it for every one.
    pub fn see(&self, event: &RunnerEvent) {
        let all = &self.all;
        match event {
            RunnerEvent::Due { task, .. } => all.count(&all.due, task),
            RunnerEvent::Next { task, tick } => {
                if let Some(labels) = all.of_task(task) {
                    // Prometheus has no word for never: the series goes.
                    match tick {
                        Some(tick) => {
                            all.next_tick.get_or_create(&labels).set(seconds_of(*tick));
                        }
                        None => {
                            all.next_tick.remove(&labels);
                        }
                    }
                }
            }
            RunnerEvent::Started {
                key,
                lateness,
                cause,
                ..
            } => {
                if let Some(Labels(mut labels)) = all.of_task(&key.task) {
                    labels.push(("cause", cause.as_str().to_owned()));
                    let delays = all.start_delay.get_or_create(&Labels(labels));
                    delays.observe(lateness.as_secs_f64());
                }
            }
            RunnerEvent::Finished {
                key,
                outcome,
                lateness,
                duration,
                ..
            } => all.finished(key, *outcome, *lateness, *duration),
            RunnerEvent::Skipped { key, .. } => all.count(&all.skipped, &key.task),
            RunnerEvent::Missed { task, count, .. } => {
                if let Some(labels) = all.of_task(task) {
                    all.missed.get_or_create(&labels).inc_by(*count);
                }
            }
            RunnerEvent::Lost { key, .. } => all.count(&all.lost, &key.task),
            RunnerEvent::LateCompletion { key, .. } => {
                all.count(&all.late_completions, &key.task);
            }
            RunnerEvent::StoreRegressed { .. } => {
                all.regressions.inc();
            }
            RunnerEvent::ReloadFailed { .. } => {
                all.reload_failures.inc();
            }
            RunnerEvent::Alarm { alarm } => {
                let kind = ("kind", alarm.kind.to_string());
                let state = ("state", alarm.state.as_str().to_owned());
                all.alarms.get_or_create(&Labels(vec![kind, state])).inc();
            }
            _ => {}
        }
    }

    /// Counts a call of a store. [`TaskScheduling::metrics`] does it for every one.
    pub fn called(&self, call: StoreCall<'_>) {
        let all = &self.all;
        match call {
            StoreCall::Ended {
                call,
                took,
                is_answered,
            } => {
                let call = ("call", call.to_owned());
                let took = took.as_secs_f64();
                let time = all.call_time.get_or_create(&Labels(vec![call.clone()]));
                time.observe(took);
                let result = if is_answered { "ok" } else { "error" };
                let labels = Labels(vec![call, ("result", result.to_owned())]);
                all.calls.get_or_create(&labels).inc();
            }
            StoreCall::Decided(answer) => {
                let labels = Labels(vec![("result", word_of(answer).to_owned())]);
                all.claims.get_or_create(&labels).inc();
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl All {
    fn new() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("tenure"),
            known: KnownTasks::default(),
            due: Family::default(),
            claims: Family::default(),
            start_delay: Family::new_with_constructor(|| Histogram::new(DELAYS)),
            run_time: Family::new_with_constructor(|| Histogram::new(RUNS)),
            skipped: Family::default(),
            missed: Family::default(),
            lost: Family::default(),
            late_completions: Family::default(),
            regressions: Counter::default(),
            alarms: Family::default(),
            reload_failures: Counter::default(),
            outdated: Gauge::default(),
            next_tick: Family::default(),
            last_success: Family::default(),
            calls: Family::default(),
            call_time: Family::new_with_constructor(|| Histogram::new(CALLS)),
            clock_offset: Family::default(),
            running: Family::default(),
            backlog: Family::default(),
            nodes: Family::default(),
            ready: Family::default(),
        };
        all.register_counters();
        all.register_histograms();
        all.register_gauges();
        all
    }

    fn register_counters(&mut self) {
        let registry = &mut self.registry;
        for (name, help, counters) in [
            ("ticks_due", "Ticks that were due on this node", &self.due),
            (
                "claims",
                "Claims that the store decided, by result",
                &self.claims,
            ),
            ("runs_skipped", "Runs left out by a rule", &self.skipped),
            (
                "ticks_missed",
                "Ticks that nobody ran in time",
                &self.missed,
            ),
            (
                "runs_lost",
                "Attempts that were lost with their node",
                &self.lost,
            ),
            (
                "late_completions",
                "Ends of attempts that had been given up for lost",
                &self.late_completions,
            ),
            (
                "alarms",
                "Alarms that this node was the first to notice",
                &self.alarms,
            ),
            (
                "store_calls",
                "Calls of the store, by method and result",
                &self.calls,
            ),
        ] {
            registry.register(name, help, counters.clone());
        }
        registry.register(
            "store_regressions",
            "How often the store was found to have forgotten what it had acknowledged",
            self.regressions.clone(),
        );
        registry.register(
            "reload_failures",
            "How often the tasks that run were to be replaced and were not",
            self.reload_failures.clone(),
        );
    }

    fn register_histograms(&mut self) {
        let registry = &mut self.registry;
        for (name, help, histograms) in [
            (
                "start_delay",
                "From the time of a run to its start, by what it was late for",
                &self.start_delay,
            ),
            ("run", "How long attempts took, by outcome", &self.run_time),
            (
                "store_call",
                "How long calls of the store took",
                &self.call_time,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histograms.clone());
        }
    }

    fn register_gauges(&mut self) {
        let registry = &mut self.registry;
        for (name, help, gauges) in [
            (
                "next_tick_timestamp",
                "When a task is due next",
                &self.next_tick,
            ),
            (
                "last_success_timestamp",
                "When a run of a task last ended well on this node",
                &self.last_success,
            ),
            (
                "clock_offset",
                "How far the wall clock of this machine is ahead of the store's",
                &self.clock_offset,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, gauges.clone());
        }
        registry.register(
            "tasks_outdated",
            "Whether the last attempt to replace the tasks that run failed: 1 or 0",
            self.outdated.clone(),
        );
        for (name, help, gauges) in [
            ("runs_running", "Runs that are going on here", &self.running),
            (
                "due_backlog",
                "Runs that are due and not decided yet",
                &self.backlog,
            ),
            (
                "nodes",
                "Nodes that are alive, this one included",
                &self.nodes,
            ),
            (
                "ready",
                "Whether this node starts runs: 1 or 0",
                &self.ready,
            ),
        ] {
            registry.register(name, help, gauges.clone());
        }
    }

    /// The label of a task; `None` for those that only tell alarms.
    fn of_task(&self, task: &TaskName) -> Option<Labels> {
        let name = self.known.label_of(task)?;
        Some(Labels(vec![("task", name.to_owned())]))
    }

    fn count(&self, counters: &Counters, task: &TaskName) {
        if let Some(labels) = self.of_task(task) {
            counters.get_or_create(&labels).inc();
        }
    }

    fn finished(&self, key: &RunKey, outcome: Outcome, lateness: Duration, duration: Duration) {
        let Some(labels) = self.of_task(&key.task) else {
            return;
        };
        let mut with_outcome = labels.clone();
        let outcome_label = ("outcome", outcome.state().to_string());
        with_outcome.0.push(outcome_label);
        let times = self.run_time.get_or_create(&with_outcome);
        times.observe(duration.as_secs_f64());
        if outcome == Outcome::Succeeded && key.kind == RunKind::Scheduled {
            let ended = key.tick + lateness + duration;
            self.last_success
                .get_or_create(&labels)
                .set(seconds_of(ended));
        }
    }
}
