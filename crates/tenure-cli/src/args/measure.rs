//! The command line of what looks at a store itself: `doctor`, `bench` and `verify`.
//!
//! Words and bounds only; [`crate::doctor`], [`crate::bench`] and [`crate::verify`] do it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tenure_bench::Workload;

use super::StoreArgs;
use super::value::{clients, lease, minutes, rounds, span, workload};

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

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// For how long, 0.1 to 1440
    #[arg(long, value_name = "N", default_value = "5", value_parser = minutes)]
    pub(crate) minutes: Duration,
    /// How many processes take locks and run tasks, 2 to 64
    #[arg(long, value_name = "N", default_value = "8", value_parser = clients)]
    pub(crate) clients: usize,
    /// How long a lease lasts, 500ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = lease)]
    pub(crate) ttl: Duration,
    /// Draws the faults of an earlier run again; what they meet is never quite the same
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Writes down what everybody did: a new file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Judges a file that `--record` has written, and does nothing else
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["store", "minutes", "clients", "ttl", "seed", "record"]
    )]
    pub(crate) history: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_HELP: &str = "\
Processes on this machine take locks of the store and run tasks on it, while they are paused, killed
and, where the store is one server without TLS, cut off from it. What each of them saw is judged:

  C1  two holders of a lock at once              C5  a guard that was trusted after its end
  C2  a stale write that a fence let pass        C7  a run that began twice, a tick that was lost
  C3  a fence that did not grow

None of these may be seen. Two controls tell in the same run what would have gone wrong without
deadlines and without fences: if they saw nothing, nothing was proven.

Nothing is done to the server. All is written under a name of its own and removed at the end; a
SQLite store is tried in a new file beside the one you name. The store is kept busy meanwhile.";
