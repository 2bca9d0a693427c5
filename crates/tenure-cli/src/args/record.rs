//! The command line of what looks at, or changes, what a store knows: its locks, tasks and runs.
//!
//! Words and bounds only; the modules named after the commands do it.

use std::ffi::OsString;

use clap::{Args, Subcommand};
use tenure::core::Timestamp;

use super::StoreArgs;
use super::value::{Asked, Wait, asked, run_count, state, wait};
use super::when::{instant, instant_before, times};
use crate::watch::WatchArgs;

#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LocksCommand>,
    #[command(flatten)]
    pub(crate) list: LocksListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LocksListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: Option<OsString>,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Prints one JSON object a line for each key
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocksCommand {
    /// Shows one lock and its queue
    Show(LocksShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LocksShowArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which lock
    #[arg(value_name = "KEY")]
    pub(crate) key: OsString,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which lock
    #[arg(value_name = "KEY")]
    pub(crate) key: OsString,
    /// The fence of the holder you saw in `tenure locks`, or of one of those who share the lock in
    /// `tenure locks show KEY`; another holder keeps it
    #[arg(long, value_name = "N")]
    pub(crate) fence: u64,
    /// Takes it from all who share it, if the one with that fence still does
    #[arg(long)]
    pub(crate) everyone: bool,
    /// Why, for the store's record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Prints one JSON object a line for each task
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only runs of this task
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only runs in this state, such as `failed`; may be repeated
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub(crate) state: Vec<tenure::core::RunState>,
    /// Only ticks from this time on, such as `-1h` or `2026-11-21T03:00:00Z`; a time of day that is
    /// still to come is yesterday's
    #[arg(long, value_name = "TIME", value_parser = instant_before, allow_hyphen_values = true)]
    pub(crate) from: Option<Timestamp>,
    /// Only ticks up to this time; a time of day is today's
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) to: Option<Timestamp>,
    /// How many runs, at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = run_count)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Also prints what each run printed
    #[arg(long)]
    pub(crate) output: bool,
    /// Prints one JSON object a line for each run
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which task; or a run's id, as `tenure history --output` shows it
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// The tick, or any time after it and before the next; without it the last tick. A time of day
    /// that is still to come is yesterday's. A run's id stands for its tick
    #[arg(value_name = "TIME", value_parser = asked, allow_hyphen_values = true)]
    pub(crate) time: Option<Asked>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// Which run, by its id or the TIME of its tick, where a time of day that is still to come is
    /// yesterday's; without it every run of the task that is going on
    #[arg(value_name = "RUN", value_parser = asked)]
    pub(crate) run: Option<Asked>,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
    /// Prints one JSON object a line for each run
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// Which of its parallel runs, from 1; may be repeated. Default: all
    #[arg(long, value_name = "N")]
    pub(crate) index: Vec<u32>,
    /// Waits for the end, prints what was printed, and ends with 1 unless all ended well; for a
    /// duration such as 5m, or `forever`, as without one
    #[arg(long, value_name = "DURATION", value_parser = wait, num_args = 0..=1,
        default_missing_value = "forever")]
    pub(crate) wait: Option<Wait>,
    /// Why, for the run's record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
    /// Prints one JSON object a line for each run
    #[arg(long)]
    pub(crate) json: bool,
}
