//! `tenure backfill`: asks for the past ticks of a task, and says beforehand what that comes to.
//!
//! The nodes that can run the task do it; nothing here runs anything. What is asked for is kept in
//! the store with who asked and why.

mod list;
mod survey;
mod wait;

use clap::{Args, Subcommand};
use serde_json::json;
use tenure::Timestamp;
use tenure::core::{Backfill, BackfillState, RunStore, TaskRecord};
use tokio::runtime::Builder;

use crate::args::{StoreArgs, Wait, instant, instant_before, times, wait};
use crate::control::{known, who};
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::notice::notice;
use crate::output::Telling;
use crate::progress::Progress;
use crate::store::{Chosen, failure};
use crate::text::visible;

pub(crate) use tenure::tasks::control::MAX_BACKFILL_RUNS as MAX_RUNS;
use tenure::tasks::control::{backfill_of, begin_backfill};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct BackfillArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK")]
    task: String,
    /// The first time whose tick counts, such as `2026-11-21T03:00:00Z`; a time of day that is
    /// still to come is yesterday's
    #[arg(long, value_name = "TIME", value_parser = instant_before, allow_hyphen_values = true)]
    from: Timestamp,
    /// The last time whose tick counts; a time of day is today's [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    /// Only says which ticks would run
    #[arg(long)]
    dry_run: bool,
    /// The most runs to begin in a time, such as `10/min` or `2/s` [default: no limit]
    #[arg(long, value_name = "N/UNIT", value_parser = rate)]
    rate: Option<u32>,
    /// The most runs at once; from 2 on they run beside each other and beside live ones, whatever
    /// the task's `overlap` says
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parallel)]
    parallel: u32,
    /// Also runs the ticks that ran well
    #[arg(long)]
    force: bool,
    /// Waits for the end, and ends with 1 unless all runs ended well; a duration such as 5m, or
    /// `forever`
    #[arg(long, value_name = "DURATION", value_parser = wait, conflicts_with = "dry_run",
        num_args = 0..=1, default_missing_value = "forever")]
    wait: Option<Wait>,
    /// Why, for everybody who looks; kept with each run
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    why: Option<String>,
    /// Prints one JSON object; with --wait another at the end
    #[arg(long)]
    json: bool,
}

const HELP: &str = concat!(
    "\
A tick whose run succeeded, waits or is in hand is left out, also if that run was another
backfill's. All others run, the oldest first: those that failed, were missed or skipped, and those
without a record, which were never due here or whose records were deleted.

Live ticks come first: no run of a backfill costs a tick of the schedule. It goes on as long as any
node that runs the task is alive, and `tenure backfills` shows how far it is.

",
    times!()
);

#[derive(Debug, Args)]
pub(crate) struct BackfillsArgs {
    #[command(subcommand)]
    command: Option<BackfillsCommand>,
    #[command(flatten)]
    list: BackfillsListArgs,
}

#[derive(Debug, Args)]
struct BackfillsListArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Prints one JSON object a line for each backfill
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum BackfillsCommand {
    /// Ends a backfill; what runs goes on, what waits is let go
    Cancel(BackfillChangeArgs),
    /// Stops a backfill for now; what runs goes on
    Pause(BackfillChangeArgs),
    /// Lets a paused backfill go on
    Resume(BackfillChangeArgs),
}

#[derive(Debug, Args)]
struct BackfillChangeArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Which backfill: its id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

pub(crate) fn run(args: BackfillArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(ask(args))
}

pub(crate) fn administer(args: BackfillsArgs) -> Outcome {
    if args.command.is_some() && args.list.json {
        let message = "a backfill is changed without `--json`; only the list has it";
        return Err(Failure::new(Code::USAGE, message)
            .help("leave `--json` out, and look with `tenure backfills --json`"));
    }
    let runtime = runtime(&mut Builder::new_current_thread())?;
    runtime.block_on(async {
        match args.command {
            None => list::list(args.list).await,
            Some(BackfillsCommand::Cancel(args)) => {
                list::change(args, BackfillState::Cancelled).await
            }
            Some(BackfillsCommand::Pause(args)) => list::change(args, BackfillState::Paused).await,
            Some(BackfillsCommand::Resume(args)) => {
                list::change(args, BackfillState::Running).await
            }
        }
    })
}

async fn ask(args: BackfillArgs) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let (task, now) = known(&*runs, &args.task, &store).await?;
    let to = args.to.unwrap_or(now);
    check_range(args.from, to, now)?;
    let survey = {
        let name = visible(task.definition.task.as_str());
        let progress = Progress::share(format!("looking at the records of {name}"), args.json);
        survey::survey(&*runs, &task, args.from, to, args.force, &progress).await?
    };
    let mut backfill = asked(&args, &task, to)?;
    backfill.by = who(tenure.holder());
    let (count, mut telling) = (survey.to_run(), Telling::default());
    if !args.json {
        telling.tell(&survey::text(&survey, &backfill));
    }
    if args.dry_run || count == 0 {
        if args.json {
            telling.tell_json(&[survey::json(&survey, None)]);
        } else if args.dry_run {
            telling.tell("nothing was asked for: this was a dry run\n");
        } else {
            telling.tell("there is nothing to run, so nothing was asked for\n");
        }
        return telling.end(Code::OK);
    }
    let kept = runs.backfills().await;
    let kept = kept.map_err(|error| failure("cannot look at backfills", &error))?;
    begin(&*runs, &mut backfill).await?;
    if args.json {
        telling.tell_json(&[survey::json(&survey, Some(&backfill))]);
    } else {
        telling.tell(&format!(
            "asked for as backfill {}; `tenure backfills` shows how far it is\n",
            backfill.id
        ));
    }
    warn_of_waiting(&task, now, &kept);
    match args.wait {
        Some(wait) => {
            let code = wait::wait(&*runs, &backfill, &task, count, wait, args.json).await?;
            telling.end(code)
        }
        None => telling.end(Code::OK),
    }
}

fn check_range(from: Timestamp, to: Timestamp, now: Timestamp) -> Result<(), Failure> {
    if to > now {
        let message = format!("--to {to} has not come yet: it is {now} in the store");
        return Err(Failure::new(Code::USAGE, message)
            .help("leave --to out for now; the schedule runs the ticks that come"));
    }
    if from > now {
        let message = format!("--from {from} has not come yet: it is {now} in the store");
        return Err(Failure::new(Code::USAGE, message)
            .help("give an instant that is over; the schedule runs the ticks that come"));
    }
    if from > to {
        let message = format!("--from {from} is later than --to {to}: no tick is between them");
        return Err(Failure::new(Code::USAGE, message).help("exchange the two"));
    }
    Ok(())
}

/// What is asked for, in the store's words: its ranges begin after an instant, ours with one.
fn asked(args: &BackfillArgs, task: &TaskRecord, to: Timestamp) -> Result<Backfill, Failure> {
    let backfill = backfill_of(task, args.from, to);
    let mut backfill = backfill.map_err(|error| failure("cannot name the backfill", &error))?;
    backfill.only_missing = !args.force;
    backfill.per_minute = args.rate.unwrap_or(0);
    backfill.parallel = args.parallel;
    backfill.why = args.why.clone().unwrap_or_default();
    Ok(backfill)
}

/// Puts a backfill into the store, under another id if somebody has that one.
pub(crate) async fn begin(runs: &dyn RunStore, backfill: &mut Backfill) -> Result<(), Failure> {
    let begun = begin_backfill(runs, backfill).await;
    begun.map_err(|error| failure("cannot ask for the backfill", &error))
}

/// Says what keeps the runs from beginning now.
fn warn_of_waiting(task: &TaskRecord, now: Timestamp, kept: &[Backfill]) {
    let is_first = |other: &&Backfill| {
        other.task == task.definition.task && other.state == BackfillState::Running
    };
    if let Some(first) = kept.iter().find(is_first) {
        notice(format_args!(
            "backfill {} of the same task goes first",
            first.id
        ));
    }
    if task.pause.as_ref().is_some_and(|pause| pause.holds_at(now)) {
        notice(format_args!(
            "the task is paused: the runs wait until it is resumed"
        ));
    } else if task.nodes == 0 {
        notice(format_args!(
            "no node that runs `{}` is alive: the runs wait for one",
            visible(task.definition.task.as_str())
        ));
    }
}

/// `10/min` or `2/s`, as runs a minute.
fn rate(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "expected a rate from 1/min to 1000/s, such as 10/min or 2/s";
    let (count, unit) = text.split_once('/').ok_or(EXPECTED)?;
    let count: u32 = count.parse().map_err(|_| EXPECTED)?;
    let per_minute = match unit {
        "s" => count.checked_mul(60),
        "min" => Some(count),
        _ => None,
    };
    per_minute
        .filter(|per_minute| (1..=60_000).contains(per_minute))
        .ok_or_else(|| EXPECTED.to_owned())
}

fn parallel(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1000).contains(count))
        .ok_or_else(|| "expected a number of runs from 1 to 1000".to_owned())
}

/// A backfill for programs, without its progress.
fn backfill_json(backfill: &Backfill) -> serde_json::Value {
    json!({
        "id": backfill.id.as_str(),
        "task": backfill.task.as_str(),
        "from": first_instant(backfill).to_string(),
        "to": backfill.to.to_string(),
        "state": list::word_of(backfill.state),
        "only_missing": backfill.only_missing,
        "per_minute": (backfill.per_minute > 0).then_some(backfill.per_minute),
        "parallel": backfill.parallel,
        "by": backfill.by,
        "why": backfill.why,
    })
}

/// The first instant that counts, as the command line says it.
fn first_instant(backfill: &Backfill) -> Timestamp {
    backfill.from + std::time::Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s61_a_rate_is_a_number_of_runs_in_a_second_or_a_minute() {
        for (text, expected) in [
            ("10/min", Some(10)),
            ("2/s", Some(120)),
            ("1000/s", Some(60_000)),
            ("0/s", None),
            ("1001/s", None),
            ("71582789/s", None),
            ("5", None),
            ("5/h", None),
            ("-1/s", None),
            ("1.5/s", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
        assert!(rate("5/h").unwrap_err().contains("such as 10/min"));
    }
}
