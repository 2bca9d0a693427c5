//! What a scheduling shows of itself: spans of its runs, events to observers, and whether it is
//! ready.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use cluster::{Cluster, FaultyStore, logged, ms, pass, secs, slow};
use tenure_core::Holder;
use tenure_tasks::{
    ImpairmentKind, Retry, RunnerEvent, StoreLockManager, Task, TaskContext, TaskScheduling,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

type Fields = BTreeMap<String, String>;

/// The fields of all spans called `run`, in the order in which they began.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, Fields)>>>);

struct Reader<'f>(&'f mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name().to_owned(), text);
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "run" {
            let mut fields = Fields::new();
            attributes.record(&mut Reader(&mut fields));
            self.0.lock().unwrap().push((id.into_u64(), fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        // Ids are used again once a span is closed: the latest is meant.
        if let Some((_, fields)) = spans.iter_mut().rev().find(|(of, _)| *of == id.into_u64()) {
            values.record(&mut Reader(fields));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s46_each_attempt_has_a_span_that_tells_which_run_it_is_and_how_it_ended() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    // For all threads: were it this one's alone, and another test the first to begin a run, then
    // `tracing` would ask that test's thread whether anybody wants such spans, and remember its no.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let cluster = Cluster::new();
    let twice = Task::new("spanned")
        .schedule("0 * * * * *")
        .concurrency(2)
        .retry(Retry::fixed(2, secs(5)))
        .run(|context: TaskContext<cluster::State>| async move {
            if context.index() == 1 {
                Ok(())
            } else if context.attempt() == 1 {
                Err("no")
            } else {
                Ok(())
            }
        });
    let _node = cluster.node("n", vec![twice]).await;
    pass(secs(70)).await;
    // Other tests of the process have runs too.
    let spans: Vec<_> = spans.0.lock().unwrap().drain(..).map(|(_, f)| f).collect();
    let spans: Vec<_> = spans
        .into_iter()
        .filter(|f| f["task"] == "spanned")
        .collect();
    let (first, spans): (Vec<_>, Vec<_>) = spans.into_iter().partition(|f| f["index"] == "1");
    assert_eq!((first.len(), spans.len()), (1, 2), "{first:?} {spans:?}");
    for (fields, attempt, late_ms, outcome) in [
        (&spans[0], "1", 0..100, "failed"),
        (&spans[1], "2", 5_000..6_200, "succeeded"),
    ] {
        assert_eq!(fields["tick"], cluster::at(60_000).to_string());
        assert_eq!(fields["index"], "2");
        assert_eq!(fields["attempt"], attempt);
        assert_eq!(fields["outcome"], outcome);
        let late = fields["lateness_ms"].parse::<u64>().unwrap();
        assert!(late_ms.contains(&late), "{fields:?}");
    }
    let fence = |fields: &Fields| fields["fence"].parse::<u64>().unwrap();
    assert!(fence(&spans[0]) < fence(&spans[1]));
}

#[tokio::test(start_paused = true)]
async fn an_observer_misses_no_event() {
    let cluster = Cluster::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorder = seen.clone();
    let _node = TaskScheduling::builder(cluster.state("n"))
        .manager(StoreLockManager::new(cluster.store.clone()))
        .clock(cluster.clock.clone())
        .observe(move |event| {
            if let RunnerEvent::Finished { key, .. } = event {
                recorder.lock().unwrap().push(key.tick);
            }
        })
        .task(logged("t", "* * * * * *"))
        .start()
        .await
        .unwrap();
    pass(ms(30_500)).await;
    assert_eq!(*seen.lock().unwrap(), cluster.log.ticks("t"));
    assert_eq!(cluster.log.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn s48_readiness_says_how_long_the_store_was_not_heard_and_when_the_lease_is_lost() {
    let cluster = Cluster::new();
    let store = FaultyStore::over(cluster.store.clone());
    let node = cluster
        .node_on("n", cluster.clock.clone(), store.clone(), vec![])
        .await;
    pass(ms(12_000)).await;
    assert_eq!(node.health().impairments(), []);
    store.go_down();
    pass(ms(6_000)).await;
    let impairments = node.health().impairments();
    let ImpairmentKind::StoreTrouble { silent_for, .. } = &impairments[0].kind else {
        panic!("{impairments:?}");
    };
    assert!(silent_for.unwrap() >= secs(6));
    pass(ms(20_000)).await;
    let impairments = node.health().impairments();
    let ImpairmentKind::LeaseLost { silent_for } = &impairments[0].kind else {
        panic!("{impairments:?}");
    };
    assert!(silent_for.unwrap() >= secs(26));
    assert!(impairments[0].to_string().contains("store not heard for"));
    store.come_back();
    pass(ms(12_000)).await;
    assert_eq!(node.health().impairments(), []);
}

#[tokio::test(start_paused = true)]
async fn s41_a_node_that_drains_is_not_ready() {
    let cluster = Cluster::new();
    let node = Arc::new(
        cluster
            .node("n", vec![slow("t", "0 * * * * *", secs(30))])
            .await,
    );
    pass(ms(65_000)).await;
    assert!(node.health().is_good());
    let drains = node.clone();
    let drain = tokio::spawn(async move { drains.drain(secs(60)).await });
    pass(ms(2_000)).await;
    let impairments = node.health().impairments();
    assert_eq!(impairments[0].kind, ImpairmentKind::Draining);
    assert_eq!(node.health().managers[0].running, 1);
    assert_eq!(drain.await.unwrap().finished, 1);
    assert!(!node.health().is_good());
}

#[tokio::test(start_paused = true)]
async fn s46_metrics_tell_how_late_runs_began_how_they_ended_and_what_was_asked_of_the_store() {
    let cluster = Cluster::new();
    let metrics = tenure_tasks::Metrics::new();
    let clock = cluster::TestClock::new();
    clock.step_wall(-2_000);
    let fails = Task::new("fails")
        .schedule("*/20 * * * * *")
        .retry(Retry::fixed(2, secs(2)))
        .run(|_: TaskContext<cluster::State>| async { Err::<(), _>("no") });
    let node = TaskScheduling::builder(cluster.state("n"))
        .manager(StoreLockManager::new(cluster.store.clone()).as_node(Holder::new("n")))
        .clock(clock)
        .tasks([logged("good", "*/10 * * * * *"), fails])
        .task(slow("long", "0 * * * * *", secs(90)))
        .metrics(&metrics)
        .start()
        .await
        .unwrap();
    pass(ms(125_000)).await;
    let text = metrics.text(&node.health());
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let is = |name: &str, expected: f64| {
        let value = value(name);
        assert!(
            (value - expected).abs() < 0.01,
            "{name} is {value}, not {expected}"
        );
    };
    is("tenure_ticks_due_total{task=\"good\"}", 12.0);
    is(
        "tenure_run_seconds_count{task=\"good\",outcome=\"succeeded\"}",
        12.0,
    );
    is(
        "tenure_run_seconds_count{task=\"fails\",outcome=\"failed\"}",
        12.0,
    );
    is(
        "tenure_start_delay_seconds_count{task=\"good\",cause=\"system\"}",
        12.0,
    );
    is(
        "tenure_start_delay_seconds_bucket{le=\"1.0\",task=\"good\",cause=\"system\"}",
        12.0,
    );
    is(
        "tenure_start_delay_seconds_count{task=\"fails\",cause=\"retry\"}",
        6.0,
    );
    is(
        "tenure_runs_skipped_total{task=\"long\",reason=\"overlap\"}",
        1.0,
    );
    is("tenure_claims_total{result=\"overlap\"}", 1.0);
    is("tenure_claims_total{result=\"won\"}", 19.0);
    is(
        "tenure_next_tick_timestamp_seconds{task=\"good\"}",
        seconds(130_000),
    );
    is(
        "tenure_last_success_timestamp_seconds{task=\"good\"}",
        seconds(120_000),
    );
    is("tenure_runs_running", 1.0);
    is("tenure_due_backlog", 0.0);
    is("tenure_ready", 1.0);
    is("tenure_nodes", 1.0);
    is("tenure_clock_offset_seconds", -2.0);
    assert!(value("tenure_store_calls_total{call=\"beat\",result=\"ok\"}") >= 20.0);
    assert!(value("tenure_store_call_seconds_count{call=\"claim\"}") >= 12.0);
    assert!(text.ends_with("# EOF\n"));
}

/// So many milliseconds after the beginning of the test, as metrics tell it.
fn seconds(ms: i64) -> f64 {
    let ms = cluster::at(ms).as_millis();
    f64::from(u32::try_from(ms / 1000).unwrap())
}
