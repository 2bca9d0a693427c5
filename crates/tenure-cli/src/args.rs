//! The command line: commands, flags, and how each value is read.
//!
//! Only words and bounds; what the commands do stands in the modules they are named after. Here are
//! the list of commands, the store, and what runs commands; [`record`] asks about what a store
//! knows, [`measure`] about the store itself, [`schedule`] about schedules and files. A value that
//! cannot be read ([`value`]) ends the program with status 64 before anything is touched.

mod measure;
mod record;
mod schedule;
mod value;
mod when;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::measure::{BenchArgs, DoctorArgs, VerifyArgs};
pub(crate) use self::record::{
    CancelArgs, HistoryArgs, LocksArgs, LocksCommand, LocksListArgs, LocksShowArgs, TasksArgs,
    TriggerArgs, UnlockArgs, WhyArgs,
};
pub(crate) use self::schedule::{CheckArgs, ExplainArgs, NextArgs, ScheduleArgs};
pub(crate) use self::value::{Asked, Wait, duration, lock_ttl, wait};
pub(crate) use self::when::{instant, instant_ahead, instant_before, times};
use crate::backfill::{BackfillArgs, BackfillsArgs};
use crate::bench::HELPER as BENCH_HELPER;
use crate::child::GUARDIAN;
use crate::diff::DiffArgs;
use crate::elect::ElectArgs;
use crate::exit;
use crate::manual::{CompletionsArgs, ManArgs};
use crate::pause::{PauseArgs, ResumeArgs};
use crate::simulate::SimulateArgs;
#[cfg(feature = "dashboard")]
use crate::token::TokenArgs;
#[cfg(feature = "dashboard")]
use crate::top::TopArgs;
use crate::verify::CLIENT as VERIFY_CLIENT;

/// Distributed locks and scheduled tasks.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, propagate_version = true, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the tasks of a task file: each tick once, among all processes on one store
    Run(RunArgs),
    /// Runs a command while holding a lock
    Lock(LockArgs),
    /// Keeps a command running on one machine at a time, and starts it elsewhere if that fails
    Elect(ElectArgs),
    /// Lists locks: who holds what, since when, until when, and who waits
    Locks(LocksArgs),
    /// Takes a lock from its holder, if it is still the holder you saw
    Unlock(UnlockArgs),
    /// Lists the tasks a store knows, and when each was and is due
    Tasks(TasksArgs),
    /// Lists runs, the newest tick first: what ran where, how late, how it ended
    History(HistoryArgs),
    /// Says what became of one tick, and why
    Why(WhyArgs),
    /// Shows on the terminal, live, what runs, what is next, what failed, who holds what
    #[cfg(feature = "dashboard")]
    Top(TopArgs),
    /// Stops a task from running anywhere, until it is resumed
    Pause(PauseArgs),
    /// Lets a paused task run again
    Resume(ResumeArgs),
    /// Asks runs of a task to stop, wherever they are
    Cancel(CancelArgs),
    /// Runs a task now, on one of the nodes that can run it
    Trigger(TriggerArgs),
    /// Runs past ticks of a task: those that failed, were missed or never ran
    Backfill(BackfillArgs),
    /// Lists backfills and how far each is; cancels, pauses or resumes one
    Backfills(BackfillsArgs),
    /// Makes a token that opens the dashboard, with one right and perhaps an end
    #[cfg(feature = "dashboard")]
    Token(TokenArgs),
    /// Says what a store promises as it is set up now, and what endangers it
    Doctor(DoctorArgs),
    /// Measures a store beside the least that a client of it could do
    Bench(BenchArgs),
    /// Puts a store to the test: processes that are paused, killed and cut off from it
    Verify(VerifyArgs),
    /// Prints the next ticks of a schedule
    Next(NextArgs),
    /// Says in words what a schedule means
    Explain(ExplainArgs),
    /// Checks task files without running anything
    Check(CheckArgs),
    /// Says what running task files would change, against what a store knows
    Diff(DiffArgs),
    /// Says what the tasks of files would do on a cluster with dying nodes and wrong clocks
    Simulate(SimulateArgs),
    /// Prints what a shell needs to complete tenure's commands and flags
    Completions(CompletionsArgs),
    /// Writes manual pages, one for each command
    Man(ManArgs),
    /// Ends commands whose tenure was killed; started by tenure itself
    #[command(name = GUARDIAN, hide = true)]
    Guard,
    /// Helps a benchmark from a second process; started by tenure itself
    #[command(name = BENCH_HELPER, hide = true)]
    BenchHelper,
    /// Is a client of `tenure verify`; started by tenure itself
    #[command(name = VERIFY_CLIENT, hide = true)]
    VerifyClient,
}

/// Which store to use.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// Store to use: `sqlite:PATH`, `redis://HOST[:PORT][/DB]` (`rediss://` over TLS,
    /// `redis+sentinel://`, `redis+cluster://`, `redis+quorum://`, `redis+unix:`) or `memory:`
    ///
    /// Without it: `TENURE_STORE`, then the `store` of the task file if one is given, and for what
    /// is about tasks and takes no file of `tasks.toml` in this folder, if it is your own; then
    /// `$XDG_STATE_HOME/tenure/tenure.db` or `~/.local/state/tenure/tenure.db`.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Asks at the terminal for the password of the URL's user
    #[arg(long, global = true)]
    pub(crate) ask_password: bool,
}

#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Task files, or folders of them (`*.toml`); their tasks are run together
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Runs no task: serves the dashboard, raises the alarms and prints what happens here
    #[arg(long)]
    pub(crate) watch_only: bool,
    /// Prints one JSON object a line for each event
    #[arg(long)]
    pub(crate) json: bool,
    /// How long running tasks may finish after the first SIGTERM or SIGINT; a second one stops them
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain: Duration,
    /// Ends after this time, draining: for trials and demonstrations
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) run_for: Option<Duration>,
    /// Reads the files again when they change, as at a SIGHUP
    #[arg(long)]
    pub(crate) watch: bool,
    /// Answers /metrics, /readyz and /healthz there, such as 127.0.0.1:9187; without a login
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
    /// Sends spans and figures to the OpenTelemetry collector there [default: where the variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` says; nowhere if it is not set]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Serves the dashboard there [default: 127.0.0.1:9180, or a free port if that is taken];
    /// beyond loopback only with a credential in [dashboard] of a task file
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_dashboard")]
    pub(crate) dashboard: Option<std::net::SocketAddr>,
    /// Serves no dashboard
    #[arg(long)]
    pub(crate) no_dashboard: bool,
    /// Prints only runs that did not end well and troubles of the store, in JSON too
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The task file in it is read by the tests of the guide.
pub(crate) const RUN_HELP: &str = "\
A task file:

  [[task]]
  name = \"greeting\"
  schedule = \"*/10 * * * * *\"            # every 10 s; five fields begin with the minute
  # schedule = \"english: every 10 seconds\"  in words; see `tenure explain`
  shell = \"echo hello from $(hostname)\"  # or command = [\"program\", \"argument\"]

Start it on as many machines or terminals as share the store: each tick runs once. `tenure check
FILE` says what is wrong with a file, `tenure history` what ran where.";

#[derive(Debug, Args)]
#[command(
    override_usage = "tenure lock [OPTIONS] KEY -- CMD [ARGS]...\n       \
                      tenure lock [OPTIONS] --all KEY1,KEY2 -- CMD [ARGS]...",
    after_help = LOCK_HELP
)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How long the store keeps the lock if this process dies; it is renewed while the command runs
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = lock_ttl)]
    pub(crate) ttl: Duration,
    /// How long to wait for the lock: a duration such as 5s, or `forever` (the default)
    #[arg(long, value_name = "DURATION", value_parser = wait, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Wait>,
    /// Tries once
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Takes the lock beside others that do the same, and not beside one that takes it without this
    #[arg(long, conflicts_with = "semaphore")]
    pub(crate) shared: bool,
    /// Takes one of N permits: so many may hold the lock at once that ask for permits
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) semaphore: Option<u32>,
    /// Takes several locks, all or none; in place of KEY, with commas and without blanks
    #[arg(long, value_name = "KEY1,KEY2", value_delimiter = ',')]
    pub(crate) all: Vec<OsString>,
    /// Status to end with if the lock is not had
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) conflict_exit_code: u8,
    /// What to lock: 1 to 512 bytes
    #[arg(
        value_name = "KEY",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) key: Option<OsString>,
    /// The command, run directly and not by a shell
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

const LOCK_HELP: &str = "\
The command gets TENURE_KEY and TENURE_FENCE (with several keys: both with commas between), reads
standard input, and receives the SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 sent here.

It runs in a process group of its own. If the lock can no longer be renewed, the group is told to
end (SIGTERM) when a third of the ttl is left and killed before the ttl is over; the status is 75.
What the command leaves running in its group when it ends is told to end, and killed 5 s later,
before the lock is given back. Processes that left the group are named on standard error.

With --shared the commands of one KEY run together, but not beside one that has the lock alone, with
--semaphore N at most N of them. They wait in one line with those that want it alone; nobody is
passed by who came later. If not all say the same N, the latest is in force, and nobody is stopped.

Exit status: the command's own, else see `tenure --help`.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
