//! Sends spans and figures to an OpenTelemetry collector over OTLP/HTTP; feature `otel`.
//!
//! For programs that have no pipeline of OpenTelemetry yet; whoever has one adds the layer of
//! `tracing-opentelemetry` and [`OtelMetrics`] to it and needs nothing of this. Exporting happens
//! on threads of its own and holds nothing up: what cannot be sent is dropped and logged. It knows
//! nothing of tasks but their figures.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tenure_tasks::OtelMetrics;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::http;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of an answer is read; a collector answers next to nothing.
const MOST_ANSWER: u64 = 64 * 1024;

/// The name of our instruments' scope.
const SCOPE: &str = "tenure";

/// A way to a collector, for spans and figures. [`Telemetry::shutdown`] sends what is left.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use tenure::otel::Telemetry;
/// use tenure::{MemoryLockManager, TaskScheduling};
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use tracing_subscriber::util::SubscriberInitExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // To OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318.
/// let telemetry = Telemetry::builder().service("billing").build()?;
/// tracing_subscriber::registry().with(telemetry.layer()).init();
///
/// let metrics = telemetry.metrics();
/// let tasks = TaskScheduling::builder(())
///     .manager(MemoryLockManager::new())
///     .otel(&metrics)
///     .start()
///     .await?;
/// let tasks = Arc::new(tasks);
/// metrics.watch(&tasks);
/// tasks.drain(Duration::from_secs(30)).await;
/// telemetry.shutdown(Duration::from_secs(5));
/// # Ok(())
/// # }
/// ```
pub struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

/// How a [`Telemetry`] is to be.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is sent until it is built"]
pub struct TelemetryBuilder {
    endpoint: Option<String>,
    service: Option<String>,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The address of the collector, or what the environment says of it, cannot be used.
    #[error("cannot export to the collector")]
    Exporter {
        /// What is wrong.
        source: ExporterFault,
    },
}

/// What OpenTelemetry's exporter says is wrong.
#[derive(Debug)]
pub struct ExporterFault(ExporterBuildError);

impl fmt::Display for ExporterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ExporterFault {}

impl TelemetryBuilder {
    /// The address of the collector, such as `http://localhost:4318`; `/v1/traces` and
    /// `/v1/metrics` are put behind it. Default: what `OTEL_EXPORTER_OTLP_ENDPOINT` and its like
    /// say, or `http://localhost:4318`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Under which name this program's spans and figures are found. Default: what
    /// `OTEL_SERVICE_NAME` says, or `tenure`.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// Starts the threads that export: spans every five seconds, figures every minute, unless the
    /// environment says otherwise (`OTEL_BSP_SCHEDULE_DELAY`, `OTEL_METRIC_EXPORT_INTERVAL`, in
    /// milliseconds). Headers come from `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// [`TelemetryError::Exporter`] if the address cannot be used. Whether a collector is there
    /// shows later: then it is a matter of the log.
    pub fn build(self) -> Result<Telemetry, TelemetryError> {
        let client: Arc<dyn HttpClient> = Arc::new(Client::new());
        let mut spans = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(client.clone());
        let mut figures = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(client);
        if let Some(endpoint) = &self.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            spans = spans.with_endpoint(format!("{endpoint}/v1/traces"));
            figures = figures.with_endpoint(format!("{endpoint}/v1/metrics"));
        }
        let fault = |fault| TelemetryError::Exporter {
            source: ExporterFault(fault),
        };
        let (spans, figures) = (
            spans.build().map_err(fault)?,
            figures.build().map_err(fault)?,
        );
        let resource = self.resource();
        Ok(Telemetry {
            tracers: SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(spans)
                .build(),
            meters: SdkMeterProvider::builder()
                .with_resource(resource)
                .with_periodic_exporter(figures)
                .build(),
        })
    }

    fn resource(&self) -> Resource {
        let resource = Resource::builder();
        let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty());
        match &self.service {
            Some(service) => resource.with_service_name(service.clone()),
            None if named => resource,
            None => resource.with_service_name("tenure"),
        }
        .build()
    }
}

impl Telemetry {
    /// To the collector that the environment names, under the name it gives.
    pub fn builder() -> TelemetryBuilder {
        TelemetryBuilder::default()
    }

    /// A layer for `tracing-subscriber` that sends spans. It takes all it is given: put a filter
    /// on it, such as `layer().with_filter(LevelFilter::INFO)`, to send less.
    #[must_use]
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        use opentelemetry::trace::TracerProvider as _;
        tracing_opentelemetry::layer().with_tracer(self.tracers.tracer(SCOPE))
    }

    /// The figures of tasks, to be given to
    /// [`TaskScheduling::otel`](tenure_tasks::TaskScheduling::otel).
    #[must_use]
    pub fn metrics(&self) -> OtelMetrics {
        use opentelemetry::metrics::MeterProvider as _;
        OtelMetrics::new(&self.meters.meter(SCOPE))
    }

    /// Sends now what was not sent yet. Blocks: on a runtime, call it where that is allowed.
    pub fn flush(&self) {
        if let Err(error) = self.tracers.force_flush() {
            tracing::debug!(%error, "spans were not sent");
        }
        if let Err(error) = self.meters.force_flush() {
            tracing::debug!(%error, "figures were not sent");
        }
    }

    /// Sends what was not sent yet, for at most `limit` each for spans and figures, and ends.
    /// Blocks as [`Telemetry::flush`] does. What happens afterwards is not sent.
    pub fn shutdown(self, limit: Duration) {
        if let Err(error) = self.tracers.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last spans were not sent");
        }
        if let Err(error) = self.meters.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last figures were not sent");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Sends requests on the thread that asks: the exporters have threads of their own.
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        Self(http::agent(LIMIT))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.as_ref());
        let mut answer = self.0.run(request)?;
        let mut bytes = Vec::new();
        let body = answer.body_mut().as_reader();
        body.take(MOST_ANSWER).read_to_end(&mut bytes)?;
        let (parts, _) = answer.into_parts();
        Ok(Response::from_parts(parts, Bytes::from(bytes)))
    }
}

/// Without the headers, which may hold a secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
