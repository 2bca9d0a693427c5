//! Counts what a scheduling does into instruments of OpenTelemetry; feature `otel`.
//!
//! Stands on what every program can have: observers of events and calls, and the health. Where the
//! figures go is the affair of whoever made the meter. The table of all metrics is
//! `docs/guide/observability.md`; spans need nothing of this, only `tracing`.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Gauge, Histogram, Meter};
use tenure_core::{Outcome, RunKey, RunKind, TaskName};

use crate::event::{RunnerEvent, StoreCall};
use crate::figures::{CALLS, DELAYS, KnownTasks, RUNS, as_float, seconds_of, word_of};
use crate::running::{ManagerHealth, RunningTasks};
use crate::scheduling::TaskScheduling;

/// The instruments of a scheduling. Clones share them.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use opentelemetry::metrics::Meter;
/// # use tenure_tasks::{OtelMetrics, StartError, TaskScheduling};
/// # async fn example(tasks: TaskScheduling<()>, meter: Meter) -> Result<(), StartError> {
/// let metrics = OtelMetrics::new(&meter); // such as opentelemetry::global::meter("tenure")
/// let tasks = Arc::new(tasks.otel(&metrics).start().await?);
/// metrics.watch(&tasks);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OtelMetrics {
    all: Arc<All>,
}

struct All {
    meter: Meter,
    known: KnownTasks,
    due: Counter<u64>,
    claims: Counter<u64>,
    start_delay: Histogram<f64>,
    run_time: Histogram<f64>,
    skipped: Counter<u64>,
    missed: Counter<u64>,
    lost: Counter<u64>,
    late_completions: Counter<u64>,
    regressions: Counter<u64>,
    alarms: Counter<u64>,
    reload_failures: Counter<u64>,
    next_tick: Gauge<f64>,
    last_success: Gauge<f64>,
    calls: Counter<u64>,
    call_time: Histogram<f64>,
}

impl<S: Send + Sync + 'static> TaskScheduling<S> {
    /// Counts into `metrics` what this scheduling does.
    #[must_use]
    pub fn otel(self, metrics: &OtelMetrics) -> Self {
        let (of_events, of_calls) = (metrics.clone(), metrics.clone());
        self.observe(move |event| of_events.see(event))
            .observe_calls(move |call| of_calls.called(call))
    }
}

impl OtelMetrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self {
            all: Arc::new(All::new(meter)),
        }
    }

    /// Tells, whenever the meter's reader asks, how the managers of `tasks` are: runs going on,
    /// runs due, nodes, readiness, and how far this machine's clock is ahead. Call it once; it
    /// keeps nothing alive.
    pub fn watch(&self, tasks: &Arc<RunningTasks>) {
        let meter = &self.all.meter;
        let gauges: [Shown; 4] = [
            ("tenure.runs.running", "Runs that are going on here", |it| {
                it.running as u64
            }),
            (
                "tenure.due.backlog",
                "Runs that are due and not decided yet",
                |it| it.backlog as u64,
            ),
            (
                "tenure.nodes",
                "Nodes that are alive, this one included",
                |it| it.nodes as u64,
            ),
            (
                "tenure.ready",
                "Whether this node starts runs: 1 or 0",
                |it| u64::from(it.impairment().is_none()),
            ),
        ];
        for (name, description, value) in gauges {
            let tasks = Arc::downgrade(tasks);
            let tell = move |gauge: &dyn AsyncInstrument<u64>| {
                each(&tasks, |manager, label| {
                    gauge.observe(value(manager), &[label]);
                });
            };
            let gauge = meter.u64_observable_gauge(name);
            gauge
                .with_description(description)
                .with_callback(tell)
                .build();
        }
        let tasks = Arc::downgrade(tasks);
        let tell = move |gauge: &dyn AsyncInstrument<f64>| {
            each(&tasks, |manager, label| {
                if let Some(ahead_ms) = manager.clock_ahead_ms {
                    let seconds = as_float(ahead_ms.unsigned_abs()) / 1000.0;
                    let seconds = if ahead_ms < 0 { -seconds } else { seconds };
                    gauge.observe(seconds, &[label]);
                }
            });
        };
        meter
            .f64_observable_gauge("tenure.clock.offset")
            .with_unit("s")
            .with_description("How far the wall clock of this machine is ahead of the store's")
            .with_callback(tell)
            .build();
    }

    /// Counts an event. [`TaskScheduling::otel`] does it for every one.
    pub fn see(&self, event: &RunnerEvent) {
        let all = &self.all;
        match event {
            RunnerEvent::Due { task, .. } => all.count(&all.due, task, 1),
            RunnerEvent::Next { task, tick } => {
                if let (Some(label), Some(tick)) = (all.of_task(task), tick) {
                    all.next_tick.record(seconds_of(*tick), &[label]);
                }
            }
            RunnerEvent::Started {
                key,
                lateness,
                cause,
                ..
            } => {
                if let Some(label) = all.of_task(&key.task) {
                    let labels = [label, KeyValue::new("cause", cause.as_str())];
                    all.start_delay.record(lateness.as_secs_f64(), &labels);
                }
            }
            RunnerEvent::Finished {
                key,
                outcome,
                lateness,
                duration,
                ..
            } => all.finished(key, *outcome, *lateness, *duration),
            RunnerEvent::Skipped { key, .. } => all.count(&all.skipped, &key.task, 1),
            RunnerEvent::Missed { task, count, .. } => all.count(&all.missed, task, *count),
            RunnerEvent::Lost { key, .. } => all.count(&all.lost, &key.task, 1),
            RunnerEvent::LateCompletion { key, .. } => {
                all.count(&all.late_completions, &key.task, 1);
            }
            RunnerEvent::StoreRegressed { .. } => all.regressions.add(1, &[]),
            RunnerEvent::ReloadFailed { .. } => all.reload_failures.add(1, &[]),
            RunnerEvent::Alarm { alarm } => {
                let kind = KeyValue::new("kind", alarm.kind.to_string());
                let state = KeyValue::new("state", alarm.state.as_str());
                all.alarms.add(1, &[kind, state]);
            }
            _ => {}
        }
    }

    /// Counts a call of a store. [`TaskScheduling::otel`] does it for every one.
    pub fn called(&self, call: StoreCall<'_>) {
        let all = &self.all;
        match call {
            StoreCall::Ended {
                call,
                took,
                is_answered,
            } => {
                let call = KeyValue::new("call", call);
                let result = KeyValue::new("result", if is_answered { "ok" } else { "error" });
                all.call_time
                    .record(took.as_secs_f64(), std::slice::from_ref(&call));
                all.calls.add(1, &[call, result]);
            }
            StoreCall::Decided(answer) => {
                all.claims
                    .add(1, &[KeyValue::new("result", word_of(answer))]);
            }
        }
    }
}

/// A figure of a manager: its name, what it means, and how it is read.
type Shown = (&'static str, &'static str, fn(&ManagerHealth) -> u64);

/// Shows each manager with its label, as long as there are any.
fn each(tasks: &Weak<RunningTasks>, mut show: impl FnMut(&ManagerHealth, KeyValue)) {
    let Some(tasks) = tasks.upgrade() else { return };
    for manager in &tasks.health().managers {
        let name = manager.manager.clone().unwrap_or_default();
        show(manager, KeyValue::new("manager", name));
    }
}

impl All {
    fn new(meter: &Meter) -> Self {
        let counter = |name, description| {
            let counter = meter.u64_counter(name).with_description(description);
            counter.build()
        };
        let histogram = |name, description, bounds: &[f64]| {
            let histogram = meter.f64_histogram(name).with_unit("s");
            let histogram = histogram.with_description(description);
            histogram.with_boundaries(bounds.to_vec()).build()
        };
        let gauge = |name, description| {
            let gauge = meter.f64_gauge(name).with_unit("s");
            gauge.with_description(description).build()
        };
        Self {
            meter: meter.clone(),
            known: KnownTasks::default(),
            due: counter("tenure.ticks.due", "Ticks that were due on this node"),
            claims: counter("tenure.claims", "Claims that the store decided, by result"),
            start_delay: histogram(
                "tenure.start.delay",
                "From the time of a run to its start, by what it was late for",
                &DELAYS,
            ),
            run_time: histogram("tenure.run", "How long attempts took, by outcome", &RUNS),
            skipped: counter("tenure.runs.skipped", "Runs left out by a rule"),
            missed: counter("tenure.ticks.missed", "Ticks that nobody ran in time"),
            lost: counter(
                "tenure.runs.lost",
                "Attempts that were lost with their node",
            ),
            late_completions: counter(
                "tenure.late_completions",
                "Ends of attempts that had been given up for lost",
            ),
            regressions: counter(
                "tenure.store.regressions",
                "How often the store was found to have forgotten what it had acknowledged",
            ),
            alarms: counter(
                "tenure.alarms",
                "Alarms that this node was the first to notice",
            ),
            reload_failures: counter(
                "tenure.reload_failures",
                "How often the tasks that run were to be replaced and were not",
            ),
            next_tick: gauge("tenure.next_tick.timestamp", "When a task is due next"),
            last_success: gauge(
                "tenure.last_success.timestamp",
                "When a run of a task last ended well on this node",
            ),
            calls: counter(
                "tenure.store.calls",
                "Calls of the store, by method and result",
            ),
            call_time: histogram(
                "tenure.store.call",
                "How long calls of the store took",
                &CALLS,
            ),
        }
    }

    fn of_task(&self, task: &TaskName) -> Option<KeyValue> {
        let name = self.known.label_of(task)?;
        Some(KeyValue::new("task", name.to_owned()))
    }

    fn count(&self, counter: &Counter<u64>, task: &TaskName, count: u64) {
        if let Some(label) = self.of_task(task) {
            counter.add(count, &[label]);
        }
    }

    fn finished(&self, key: &RunKey, outcome: Outcome, lateness: Duration, duration: Duration) {
        let Some(label) = self.of_task(&key.task) else {
            return;
        };
        let with_outcome = [
            label.clone(),
            KeyValue::new("outcome", outcome.state().as_str()),
        ];
        self.run_time.record(duration.as_secs_f64(), &with_outcome);
        if outcome == Outcome::Succeeded && key.kind == RunKind::Scheduled {
            let ended = key.tick + lateness + duration;
            self.last_success.record(seconds_of(ended), &[label]);
        }
    }
}

impl fmt::Debug for OtelMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelMetrics").finish_non_exhaustive()
    }
}
