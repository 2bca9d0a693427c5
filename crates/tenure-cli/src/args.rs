//! The command line: commands, flags, and how each value is read.
//!
//! Only words and bounds; what the commands do stands in the modules they are named after. A value
//! that cannot be read ends the program with status 64 before anything is touched.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tenure::core::{Timestamp, Ttl, format_duration, parse_duration};
use tenure_bench::Workload;

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
use crate::top::TopArgs;
use crate::watch::WatchArgs;

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
    /// Says what a store promises as it is set up now, and what endangers it
    Doctor(DoctorArgs),
    /// Measures a store beside the least that a client of it could do
    Bench(BenchArgs),
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
}

/// Which store to use.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// Store to use: `sqlite:PATH`, `redis://HOST[:PORT][/DB]` (`rediss://` over TLS,
    /// `redis+sentinel://`, `redis+cluster://`, `redis+quorum://`, `redis+unix:`) or `memory:`
    ///
    /// Without it: `TENURE_STORE`, then the task file's own `store`, then
    /// `$XDG_STATE_HOME/tenure/tenure.db` or `~/.local/state/tenure/tenure.db`.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Asks at the terminal for the password of the URL's user
    #[arg(long)]
    pub(crate) ask_password: bool,
}

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

Exit status: the command's own, else see `tenure --help`.";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
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
    #[arg(long)]
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
    /// The fence of the holder you saw in `tenure locks`; another holder keeps the lock
    #[arg(long, value_name = "N")]
    pub(crate) fence: u64,
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
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only runs of this task
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only runs in this state, such as `failed`; may be repeated
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub(crate) state: Vec<tenure::core::RunState>,
    /// Only ticks from this instant on, such as `2026-11-21T03:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
    /// Only ticks up to this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
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
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// The tick, or any instant after it and before the next; without it the last tick
    #[arg(value_name = "TIME", value_parser = instant)]
    pub(crate) time: Option<Timestamp>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// Which run, by its id or its tick; without it every run of the task that is going on
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
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
    /// Waits for the end, prints what was printed, and ends with 1 unless all ended well; a
    /// duration such as 5m, or `forever`
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    pub(crate) wait: Option<Wait>,
    /// Why, for the run's record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
    /// Prints one JSON object a line for each run
    #[arg(long)]
    pub(crate) json: bool,
}

/// A schedule given on the command line.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// The schedule: 5 to 7 fields, a nickname such as @daily, or `@every 90s`; quote it
    #[arg(value_name = "EXPR")]
    pub(crate) expr: String,
    /// How to read it: `crontab`, `krontab`, `quartz`, `systemd` or `english`; without it, as
    /// crontab, unless the text itself begins with one of these and a colon
    #[arg(long, value_name = "DIALECT")]
    pub(crate) dialect: Option<String>,
    /// The zone its times are read in
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) zone: String,
    /// What to do with times the clocks jump over: `run_after` or `skip`
    #[arg(long, value_name = "POLICY", default_value = "run_after")]
    pub(crate) dst_gap: String,
    /// What to do with times that come twice: `first`, `last` or `both`
    #[arg(long, value_name = "POLICY", default_value = "first")]
    pub(crate) dst_overlap: String,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NextArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
    /// How many ticks
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = tick_count)]
    pub(crate) count: u32,
    /// After which instant, instead of now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Task files, or folders of them (`*.toml`)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Forever,
    AtMost(Duration),
}

/// Shorter, and a command could not be stopped in time on a busy machine.
pub(crate) const MIN_LOCK_TTL: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub(crate) fn lock_ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if ttl < MIN_LOCK_TTL {
        return Err(format!(
            "ttl {} is too short: it must be at least {}, to leave time for stopping the command",
            format_duration(ttl),
            format_duration(MIN_LOCK_TTL),
        ));
    }
    Ttl::new(ttl)
        .map(Ttl::get)
        .map_err(|error| error.to_string())
}

fn wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    let wait = duration(text).map_err(|error| format!("{error}, or `forever`"))?;
    if wait > MAX_WAIT {
        return Err(format!(
            "a wait of {} is too long: at most 365d, or `forever`",
            format_duration(wait)
        ));
    }
    Ok(Wait::AtMost(wait))
}

fn workload(text: &str) -> Result<Workload, String> {
    text.parse()
        .map_err(|error: tenure_bench::UnknownWorkload| error.to_string())
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|rounds| (1..=1000).contains(rounds))
        .ok_or_else(|| "expected a number of rounds from 1 to 1000".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    let allowed = Duration::from_millis(50)..=Duration::from_secs(60);
    if !allowed.contains(&span) {
        return Err(format!(
            "a round of {} must last 50ms to 60s",
            format_duration(span)
        ));
    }
    Ok(span)
}

fn tick_count(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=10_000).contains(count))
        .ok_or_else(|| "expected a number from 1 to 10000".to_owned())
}

fn run_count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "expected a number of runs, at least 1".to_owned())
}

pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let read: Result<Timestamp, _> = text.parse();
    read.map_err(|error| {
        if error.is_range() {
            "out of range: there is no such day or time, or it is after 9999-12-30T22:00:00Z"
        } else {
            "expected an instant with an offset, such as 2026-11-21T03:00:00Z"
        }
        .to_owned()
    })
}

fn state(text: &str) -> Result<tenure::core::RunState, String> {
    use tenure::core::RunState;
    RunState::from_name(text).ok_or_else(|| {
        let names: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn e1_to_e8_times_are_read_strictly() {
        for (text, expected) in [
            ("500ms", Ok(500)),
            ("1.5s", Ok(1500)),
            ("1h61m", Ok(7_260_000)),
            ("0s", Err("too short")),
            ("499ms", Err("at least 500ms")),
            ("25h", Err("at most 24h")),
            ("-5s", Err("negative")),
            ("5", Err("unit is missing")),
            ("1.5", Err("unit is missing")),
            ("5 m", Err("a blank")),
            ("5M", Err("unit is unknown")),
            ("５s", Err("number is missing")),
            ("1m1h", Err("larger units come first")),
            ("9223372036854775808s", Err("too large")),
            ("1e400s", Err("unknown")),
            ("NaN", Err("number is missing")),
            ("inf", Err("number is missing")),
        ] {
            match (lock_ttl(text), expected) {
                (Ok(ttl), Ok(ms)) => assert_eq!(ttl, Duration::from_millis(ms), "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_instant_that_cannot_be_is_told_from_a_text_that_is_none() {
        assert!(instant("2026-11-21T03:00:00+01:00").is_ok());
        for (text, part) in [
            ("9999-12-31T23:59:00Z", "out of range"),
            ("2026-02-29T00:00:00Z", "out of range"),
            ("2026-11-21T25:00:00Z", "out of range"),
            ("2026-11-21T03:00:00", "with an offset"),
            ("yesterday", "with an offset"),
            ("", "with an offset"),
        ] {
            let error = instant(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn e11_e12_a_wait_is_a_bounded_duration_or_forever() {
        assert_eq!(wait("0s"), Ok(Wait::AtMost(Duration::ZERO)));
        assert_eq!(wait("forever"), Ok(Wait::Forever));
        for (text, part) in [
            ("366d", "or `forever`"),
            ("Forever", "or `forever`"),
            ("always", "or `forever`"),
        ] {
            assert!(wait(text).unwrap_err().contains(part), "{text}");
        }
    }
}
