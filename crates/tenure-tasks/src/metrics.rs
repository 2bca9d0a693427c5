//! Counts what a scheduling does and writes it as Prometheus reads it; feature `metrics`.
//!
//! Stands on what every program can have: observers of events and calls, and the health. What is
//! counted stands in `figures`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tenure_core::Timestamp;

use crate::event::{RunnerEvent, StoreCall};
use crate::figures::{
    CLOCK_OFFSET, Count, Dated, Figures, KnownTasks, LEVELS, Label, Timed, as_float, clock_offset,
    seconds_of,
};
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

impl Labels {
    fn of(labels: &[Label<'_>]) -> Self {
        let labels = labels.iter();
        Self(
            labels
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        )
    }
}

/// Makes the histograms of one figure.
#[derive(Clone)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Histograms = Family<Labels, Histogram, Bounds>;

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
    counts: [Counts; Count::ALL.len()],
    times: [Histograms; Timed::ALL.len()],
    dates: [Gauges; Dated::ALL.len()],
    levels: [Gauges; LEVELS.len()],
    clock_offset: Gauges,
    outdated: Gauge,
}

/// What is counted, by label or altogether.
enum Counts {
    Each(Counters),
    Alone(Counter),
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
            let name = manager.manager.as_deref().unwrap_or_default();
            for (gauges, (_, value)) in all.levels.iter().zip(LEVELS) {
                let gauge = gauges.get_or_create(&Labels::of(&[("manager", name)]));
                gauge.set(as_float(value(manager)));
            }
            if let (Some(node), Some(offset)) = (&manager.node, clock_offset(manager)) {
                let node = Labels(vec![("node", node.to_string())]);
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
        self.all.see_event(event);
    }

    /// Counts a call of a store. [`TaskScheduling::metrics`] does it for every one.
    pub fn called(&self, call: StoreCall<'_>) {
        self.all.see_call(call);
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

/// The name of a figure as Prometheus knows it, which puts prefix, unit and kind around it.
fn plain(name: &str) -> String {
    name.replace('.', "_")
}

impl All {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("tenure");
        let counts = Count::ALL.map(|count| {
            let (name, meaning) = count.named();
            if count.is_alone() {
                let counter = Counter::default();
                registry.register(plain(name), meaning, counter.clone());
                return Counts::Alone(counter);
            }
            let counters = Counters::default();
            registry.register(plain(name), meaning, counters.clone());
            Counts::Each(counters)
        });
        let times = Timed::ALL.map(|timed| {
            let (name, meaning) = timed.named();
            let histograms = Histograms::new_with_constructor(Bounds(timed.bounds()));
            registry.register_with_unit(plain(name), meaning, Unit::Seconds, histograms.clone());
            histograms
        });
        let mut in_seconds = |(name, meaning): (&str, &str)| {
            let gauges = Gauges::default();
            registry.register_with_unit(plain(name), meaning, Unit::Seconds, gauges.clone());
            gauges
        };
        let dates = Dated::ALL.map(|dated| in_seconds(dated.named()));
        let clock_offset = in_seconds(CLOCK_OFFSET);
        let outdated = Gauge::default();
        registry.register(
            "tasks_outdated",
            "Whether the last attempt to replace the tasks that run failed: 1 or 0",
            outdated.clone(),
        );
        let levels = LEVELS.map(|((name, meaning), _)| {
            let gauges = Gauges::default();
            registry.register(plain(name), meaning, gauges.clone());
            gauges
        });
        Self {
            registry,
            known: KnownTasks::default(),
            counts,
            times,
            dates,
            levels,
            clock_offset,
            outdated,
        }
    }
}

impl Figures for All {
    fn known(&self) -> &KnownTasks {
        &self.known
    }

    fn add(&self, count: Count, labels: &[Label<'_>], by: u64) {
        match self.counts.get(count as usize) {
            Some(Counts::Each(counters)) => {
                counters.get_or_create(&Labels::of(labels)).inc_by(by);
            }
            Some(Counts::Alone(counter)) => {
                counter.inc_by(by);
            }
            None => {}
        }
    }

    fn observe(&self, timed: Timed, labels: &[Label<'_>], took: Duration) {
        if let Some(histograms) = self.times.get(timed as usize) {
            let histogram = histograms.get_or_create(&Labels::of(labels));
            histogram.observe(took.as_secs_f64());
        }
    }

    fn set(&self, dated: Dated, labels: &[Label<'_>], at: Option<Timestamp>) {
        let Some(gauges) = self.dates.get(dated as usize) else {
            return;
        };
        let labels = Labels::of(labels);
        // Prometheus has no word for never: the series goes.
        match at {
            Some(at) => {
                gauges.get_or_create(&labels).set(seconds_of(at));
            }
            None => {
                gauges.remove(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{RunKey, RunState, TaskName};

    use super::*;
    use crate::alarm::{Alarm, AlarmKind, AlarmState};

    #[test]
    fn s46_whatever_goes_wrong_is_counted_under_its_own_name() {
        let metrics = Metrics::new();
        let task = TaskName::new("t").unwrap();
        let tick = Timestamp::from_millis(1_767_225_600_000);
        let key = RunKey::scheduled(task.clone(), tick, 1);
        let manager = || None;
        let alarm = Alarm {
            id: String::new(),
            rule: "pager".to_owned(),
            kind: AlarmKind::Late,
            state: AlarmState::Raised,
            task: None,
            run: None,
            node: None,
            at: tick,
            count: 1,
            text: String::new(),
        };
        for event in [
            RunnerEvent::Missed {
                task,
                tick,
                count: 7,
                reason: String::new(),
            },
            RunnerEvent::Lost {
                key: key.clone(),
                attempt: 1,
                node: None,
                had_started: true,
                state: RunState::Lost,
            },
            RunnerEvent::LateCompletion {
                key,
                attempt: 1,
                state: RunState::Lost,
            },
            RunnerEvent::StoreRegressed {
                manager: manager(),
                what: String::new(),
            },
            RunnerEvent::Alarm {
                alarm: Box::new(alarm),
            },
        ] {
            metrics.see(&event);
        }
        let text = metrics.text(&Health {
            managers: Vec::new(),
            reload_failed: None,
        });
        for line in [
            "tenure_ticks_missed_total{task=\"t\"} 7",
            "tenure_runs_lost_total{task=\"t\"} 1",
            "tenure_late_completions_total{task=\"t\"} 1",
            "tenure_store_regressions_total 1",
            "tenure_alarms_total{kind=\"late\",state=\"raised\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
        }
    }
}
