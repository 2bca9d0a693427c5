//! Spans and figures of tasks at a real receiver of OTLP over HTTP, decoded with the types that
//! OpenTelemetry publishes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking; clippy only frees functions marked as tests"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tenure::otel::Telemetry;
use tenure::tasks::RunnerEvent;
use tenure::{MemoryLockManager, Retry, Task, TaskContext, TaskScheduling};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

/// What a collector was sent.
#[derive(Debug, Clone, Default)]
struct Received {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

impl Received {
    /// Listens, and answers as a collector does.
    async fn serve(&self) -> String {
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// The spans called `run`, by attempt, and the services they came from.
    fn runs(&self) -> Vec<(String, Span)> {
        let requests = self.traces.lock().unwrap();
        let mut runs = Vec::new();
        for resource in requests.iter().flat_map(|it| &it.resource_spans) {
            let service = attributes(&resource.resource.as_ref().unwrap().attributes);
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
            for span in spans.filter(|span| span.name == "run") {
                runs.push((service["service.name"].clone(), span.clone()));
            }
        }
        runs.sort_by_key(|(_, span)| attributes(&span.attributes)["attempt"].clone());
        runs
    }

    /// The last figure of this name with these labels, as far as they are named.
    fn figure(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let requests = self.metrics.lock().unwrap();
        let all = requests.iter().flat_map(|it| &it.resource_metrics);
        let all = all.flat_map(|it| &it.scope_metrics);
        let metrics = all.flat_map(|it| &it.metrics);
        let mut last = None;
        for metric in metrics.filter(|metric| metric.name == name) {
            last = last_of(metric.data.as_ref().unwrap(), labels).or(last);
        }
        last.unwrap_or_else(|| panic!("no {name} {labels:?} in {requests:#?}"))
    }
}

/// A number, or how many values a histogram has.
fn last_of(data: &Data, labels: &[(&str, &str)]) -> Option<f64> {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    let fits = |these: &[KeyValue]| {
        let these = attributes(these);
        let mut labels = labels.iter();
        labels.all(|(name, value)| these.get(*name).is_some_and(|it| it == value))
    };
    let points = match data {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        Data::Histogram(histogram) => {
            let mut points = histogram.data_points.iter();
            let point = points.find(|point| fits(&point.attributes))?;
            return Some(f64::from(u32::try_from(point.count).unwrap()));
        }
        _ => panic!("a kind of figure that nobody makes"),
    };
    let point = points.iter().find(|point| fits(&point.attributes))?;
    Some(match point.value.unwrap() {
        Number::AsDouble(value) => value,
        Number::AsInt(value) => f64::from(i32::try_from(value).unwrap()),
    })
}

async fn traces(State(received): State<Received>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    received.traces.lock().unwrap().push(request);
}

async fn metrics(State(received): State<Received>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    received.metrics.lock().unwrap().push(request);
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = all.iter().filter_map(|pair| {
        let value = pair.value.as_ref()?.value.as_ref()?;
        Some((pair.key.clone(), text(value)))
    });
    pairs.collect()
}

/// What the code of the task saw of its own attempts.
type Attempts = Arc<Mutex<Vec<(u32, u64)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn s46_a_runs_spans_and_figures_arrive_at_a_collector() {
    let received = Received::default();
    let endpoint = received.serve().await;
    let telemetry = Telemetry::builder().endpoint(endpoint).service("billing");
    let telemetry = telemetry.build().unwrap();
    let layer = telemetry.layer().with_filter(LevelFilter::INFO);
    // The code runs on other threads, so the subscriber is everybody's: this file has one test.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();

    let attempts = Attempts::default();
    let seen = attempts.clone();
    let task = Task::new("invoices")
        .schedule("@every 1s")
        .retry(Retry::fixed(2, Duration::from_millis(1)))
        .run(move |context: TaskContext<()>| {
            let attempt = context.attempt();
            let fence = context.fence().map_or(0, tenure::Fence::get);
            seen.lock().unwrap().push((attempt, fence));
            async move { if attempt == 1 { Err("not yet") } else { Ok(()) } }
        });
    let metrics = telemetry.metrics();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let tasks = TaskScheduling::builder(())
        .manager(MemoryLockManager::new())
        .otel(&metrics)
        .observe(move |event| {
            if let RunnerEvent::Finished {
                key, attempt: 2, ..
            } = event
            {
                let _ = ended.send(key.clone());
            }
        })
        .task(task)
        .start()
        .await
        .unwrap();
    let tasks = Arc::new(tasks);
    metrics.watch(&tasks);
    let key = ends.recv().await.unwrap();
    let tick = key.tick.to_string();
    // A span is sent when the last who knows it is gone, which may be a little after the end.
    let telemetry = Arc::new(telemetry);
    let arriving = async {
        loop {
            let telemetry = telemetry.clone();
            let flushing = tokio::task::spawn_blocking(move || telemetry.flush());
            flushing.await.unwrap();
            let runs = received.runs();
            let of_tick = runs.iter().filter(|(_, span)| {
                let attributes = attributes(&span.attributes);
                attributes["tick"] == tick
            });
            if of_tick.count() >= 2 {
                return runs;
            }
            let pause = std::future::pending::<()>();
            let _ = tokio::time::timeout(Duration::from_millis(10), pause).await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(60), arriving).await;
    let runs = arrived.unwrap();
    let of_tick = |attempt: &str| {
        let mut of_tick = runs.iter().filter(|(_, span)| {
            let attributes = attributes(&span.attributes);
            attributes["tick"] == tick && attributes["attempt"] == attempt
        });
        let (service, span) = of_tick.next().unwrap_or_else(|| panic!("{runs:#?}"));
        assert_eq!(of_tick.next(), None, "one span an attempt");
        assert_eq!(service, "billing");
        span.clone()
    };
    let attempts = attempts.lock().unwrap().clone();
    for (number, outcome, status) in [
        ("1", "failed", StatusCode::Error),
        ("2", "succeeded", StatusCode::Unset),
    ] {
        let span = of_tick(number);
        let attributes = attributes(&span.attributes);
        assert_eq!(attributes["task"], "invoices");
        assert_eq!(attributes["index"], "1");
        assert_eq!(attributes["outcome"], outcome);
        let fence = attributes["fence"].parse().unwrap();
        assert!(attempts.contains(&(number.parse().unwrap(), fence)));
        let code = span.status.map_or(StatusCode::Unset, |it| it.code());
        assert_eq!(code, status);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }

    assert_figures(&received);
}

/// Figures of each kind, with their labels.
fn assert_figures(received: &Received) {
    let task = ("task", "invoices");
    let least = |name, labels: &[(&str, &str)], least: f64| {
        let value = received.figure(name, labels);
        assert!(value >= least, "{name} is {value}");
    };
    least("tenure.ticks.due", &[task], 1.0);
    least("tenure.claims", &[("result", "won")], 1.0);
    least("tenure.run", &[task, ("outcome", "failed")], 1.0);
    least("tenure.start.delay", &[task, ("cause", "system")], 1.0);
    least("tenure.start.delay", &[task, ("cause", "retry")], 1.0);
    least("tenure.next_tick.timestamp", &[task], 1.7e9);
    least("tenure.store.call", &[("call", "claim")], 1.0);
    least(
        "tenure.store.calls",
        &[("call", "beat"), ("result", "ok")],
        1.0,
    );
    least("tenure.nodes", &[("manager", "")], 1.0);
    least("tenure.ready", &[("manager", "")], 1.0);
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    let error = Telemetry::builder().endpoint("no address").build();
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "cannot export to the collector");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("no address"), "{source}");
}
