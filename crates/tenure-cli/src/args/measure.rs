//! The command line of what looks at a store itself: `doctor` and `bench`.
//!
//! Words and bounds only; [`crate::doctor`] and [`crate::bench`] do it.

use std::time::Duration;

use clap::Args;
use tenure_bench::Workload;

use super::StoreArgs;
use super::value::{rounds, span, workload};

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// What to measure; everything without it: uncontended, quorum, throughput, hand-off,
    /// commands, crash, claims, renewal, tick
    #[arg(value_name = "WORKLOAD", value_parser = workload)]
    pub(crate) workloads: Vec<Workload>,
    /// Measures the workload quorum on these servers, beside everything else on the store; may be
    /// given several times
    #[arg(long, value_name = "URL")]
    pub(crate) quorum: Vec<String>,
    /// How many rounds of each side; their medians are told [default: 7]
    #[arg(long, value_name = "N", value_parser = rounds)]
    pub(crate) rounds: Option<usize>,
    /// How long a round of one side lasts, 50ms to 60s [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) seconds: Option<Duration>,
    /// Short rounds and small numbers: shows that everything runs, and says little
    #[arg(long)]
    pub(crate) quick: bool,
    /// Ends with status 1 if a bar is missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Prints one JSON object a line for each figure
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_HELP: &str = "\
Each workload runs tenure and, where there is one, the raw limit of the store in turns, and tells
the medians and their ratio: `ours`, `limit`, `ratio`, and the bar that the project has set itself.

It writes under a name of its own and removes that at the end; a SQLite store is measured in a new
file beside the one you name. It keeps the store busy for about five minutes: do not run it where
others wait for the store. One fence counter of 17 digits stays on Redis, as after any lock.";
