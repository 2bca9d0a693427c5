//! Counts what a scheduling does into instruments of OpenTelemetry; feature `otel`.
//!
//! Stands on what every program can have: observers of events and calls, and the health. What is
//! counted stands in `figures`, where the figures go is the affair of whoever made the meter. Spans
//! need nothing of this, only `tracing`.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Gauge, Histogram, Meter};
use tenure_core::Timestamp;

use crate::event::{RunnerEvent, StoreCall};
use crate::figures::{
    CLOCK_OFFSET, Count, Dated, Figures, KnownTasks, LEVELS, Label, Timed, clock_offset, seconds_of,
};
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
    counts: [Counter<u64>; Count::ALL.len()],
    times: [Histogram<f64>; Timed::ALL.len()],
    dates: [Gauge<f64>; Dated::ALL.len()],
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
        for ((name, meaning), value) in LEVELS {
            let tasks = Arc::downgrade(tasks);
            let tell = move |gauge: &dyn AsyncInstrument<u64>| {
                each(&tasks, |manager, label| {
                    gauge.observe(value(manager), &[label]);
                });
            };
            let gauge = meter.u64_observable_gauge(full(name));
            gauge.with_description(meaning).with_callback(tell).build();
        }
        let tasks = Arc::downgrade(tasks);
        let tell = move |gauge: &dyn AsyncInstrument<f64>| {
            each(&tasks, |manager, label| {
                if let Some(seconds) = clock_offset(manager) {
                    gauge.observe(seconds, &[label]);
                }
            });
        };
        let (name, meaning) = CLOCK_OFFSET;
        let gauge = meter.f64_observable_gauge(full(name)).with_unit("s");
        gauge.with_description(meaning).with_callback(tell).build();
    }

    /// Counts an event. [`TaskScheduling::otel`] does it for every one.
    pub fn see(&self, event: &RunnerEvent) {
        self.all.see_event(event);
    }

    /// Counts a call of a store. [`TaskScheduling::otel`] does it for every one.
    pub fn called(&self, call: StoreCall<'_>) {
        self.all.see_call(call);
    }
}

/// Shows each manager with its label, as long as there are any.
fn each(tasks: &Weak<RunningTasks>, mut show: impl FnMut(&ManagerHealth, KeyValue)) {
    let Some(tasks) = tasks.upgrade() else { return };
    for manager in &tasks.health().managers {
        let name = manager.manager.clone().unwrap_or_default();
        show(manager, KeyValue::new("manager", name));
    }
}

/// The name of a figure as it is sent.
fn full(name: &str) -> String {
    format!("tenure.{name}")
}

fn key_values(labels: &[Label<'_>]) -> Vec<KeyValue> {
    let labels = labels.iter();
    labels
        .map(|(name, value)| KeyValue::new(*name, (*value).to_owned()))
        .collect()
}

impl All {
    fn new(meter: &Meter) -> Self {
        Self {
            meter: meter.clone(),
            known: KnownTasks::default(),
            counts: Count::ALL.map(|count| {
                let (name, meaning) = count.named();
                let counter = meter.u64_counter(full(name));
                counter.with_description(meaning).build()
            }),
            times: Timed::ALL.map(|timed| {
                let (name, meaning) = timed.named();
                let histogram = meter.f64_histogram(full(name)).with_unit("s");
                let histogram = histogram.with_description(meaning);
                histogram.with_boundaries(timed.bounds().to_vec()).build()
            }),
            dates: Dated::ALL.map(|dated| {
                let (name, meaning) = dated.named();
                let gauge = meter.f64_gauge(full(name)).with_unit("s");
                gauge.with_description(meaning).build()
            }),
        }
    }
}

impl Figures for All {
    fn known(&self) -> &KnownTasks {
        &self.known
    }

    fn add(&self, count: Count, labels: &[Label<'_>], by: u64) {
        if let Some(counter) = self.counts.get(count as usize) {
            counter.add(by, &key_values(labels));
        }
    }

    fn observe(&self, timed: Timed, labels: &[Label<'_>], took: Duration) {
        if let Some(histogram) = self.times.get(timed as usize) {
            histogram.record(took.as_secs_f64(), &key_values(labels));
        }
    }

    /// A gauge has no word for never: what it showed last stands.
    fn set(&self, dated: Dated, labels: &[Label<'_>], at: Option<Timestamp>) {
        if let (Some(gauge), Some(at)) = (self.dates.get(dated as usize), at) {
            gauge.record(seconds_of(at), &key_values(labels));
        }
    }
}

impl fmt::Debug for OtelMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelMetrics").finish_non_exhaustive()
    }
}
