//! What the program tells besides its output: logs on standard error, and the spans and figures of
//! `tenure run` at a collector of OpenTelemetry, if one is named.
//!
//! A collector is named by a flag, or by the variables that every program of OpenTelemetry reads.
//! It knows nothing of task files: it is set up before one is read.

use std::time::Duration;

use tenure::otel::Telemetry;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Command, RunArgs};
use crate::exit::{Code, Failure, chain};

/// By any of these a collector is named.
const ENDPOINTS: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
];
/// How long the last spans, and the last figures, may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Logs go to standard error: errors only, unless `TENURE_LOG` asks for more. Tells what sends
/// spans and figures, if anything does.
pub(crate) fn begin(command: &Command) -> Result<Option<Telemetry>, Failure> {
    // These cut nodes off on purpose, and tell what the others do.
    let usual = match command {
        Command::Bench(_) | Command::Verify(_) | Command::VerifyClient => "off",
        _ => "error",
    };
    let telemetry = match command {
        Command::Run(args) => telemetry_of(args)?,
        _ => None,
    };
    let filter = EnvFilter::try_from_env("TENURE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_filter(filter);
    let spans = telemetry.as_ref().map(|telemetry| {
        // Not those of the client that sends them.
        let ours = filter_fn(|about| {
            *about.level() <= LevelFilter::INFO && about.target().starts_with("tenure")
        });
        telemetry.layer().with_filter(ours)
    });
    tracing_subscriber::registry().with(spans).with(logs).init();
    Ok(telemetry)
}

fn telemetry_of(args: &RunArgs) -> Result<Option<Telemetry>, Failure> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|text| !text.is_empty());
    let is_off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|it| it.eq_ignore_ascii_case("true"));
    let builder = match &args.otlp {
        Some(url) => Telemetry::builder().endpoint(url),
        None if !is_off && ENDPOINTS.into_iter().any(is_set) => Telemetry::builder(),
        None => return Ok(None),
    };
    builder.build().map(Some).map_err(|error| {
        Failure::new(Code::CONFIG, chain(&error)).help(
            "name the collector by an address such as http://localhost:4318, with --otlp or \
             OTEL_EXPORTER_OTLP_ENDPOINT",
        )
    })
}

/// Sends what was not sent yet. Blocks for a little while if the collector does not answer.
pub(crate) fn end(telemetry: Option<Telemetry>) {
    if let Some(telemetry) = telemetry {
        telemetry.shutdown(LAST_WORDS);
    }
}
