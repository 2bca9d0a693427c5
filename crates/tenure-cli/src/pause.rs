//! `tenure pause` and `resume`: stopping tasks everywhere, for a while or until somebody lets them
//! go on, and what is then done about the ticks meanwhile.
//!
//! Left alone, each task's own `catch_up` decides about those. A choice at the resumption is made
//! of what the store has anyway: ticks recorded as left out, and a backfill.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tenure::Timestamp;
use tenure::core::{Pass, Pause, RunKey, RunStore, TaskName, TaskRecord};
use tenure::tasks::tells_alarms;
use tokio::runtime::Builder;

use crate::args::{StoreArgs, duration, instant_ahead, times};
use tenure::tasks::control::backfill_of;

use crate::backfill::{MAX_RUNS, begin};
use crate::control::{known, who};
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::output::Telling;
use crate::store::{Chosen, failure};
use crate::text::visible;
use crate::why::schedule_of;

/// How many of the newest ticks are kept from being caught up by a task's own rule, which looks at
/// no more.
const CLOSED: usize = 1000;
/// Longer than any tick can be claimed late.
const KEEP_FOR: Duration = Duration::from_secs(32 * 24 * 3600);
/// How many records are made in one call.
const BATCH: usize = 256;

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK", required_unless_present = "all")]
    task: Option<String>,
    /// Pauses every task the store knows; those that are paused for as long already stay so
    #[arg(long, conflicts_with = "task")]
    all: bool,
    /// Also replaces a pause that would last longer
    #[arg(long, conflicts_with = "all")]
    replace: bool,
    /// How long, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with = "until")]
    pause_for: Option<Duration>,
    /// Until which time; a time of day that is over is tomorrow's
    #[arg(long, value_name = "TIME", value_parser = instant_ahead, allow_hyphen_values = true)]
    until: Option<Timestamp>,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Which task
    #[arg(value_name = "TASK", required_unless_present = "all")]
    task: Option<String>,
    /// Resumes every task that is paused
    #[arg(long, conflicts_with = "task")]
    all: bool,
    /// What to do about the ticks meanwhile, in place of the task's own `catch_up`
    #[arg(long, value_name = "CHOICE")]
    catch_up: Option<Choice>,
    /// Why, for everybody who looks
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

const HELP: &str = "\
Without --catch-up each task's own rule decides, inside its catch-up window. A choice holds for all
ticks since the last one on record: `skip` records them as left out, `latest` runs the last of them,
`all` runs them one after the other, the oldest first. The latter two are backfills, which
`tenure backfills` lists.";

/// What to do about the ticks of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Runs none of them
    Skip,
    /// Runs the last of them
    Latest,
    /// Runs them all
    All,
}

pub(crate) fn pause(args: PauseArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(stop(args))
}

pub(crate) fn resume(args: ResumeArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(go_on(args))
}

/// The tasks that are meant, and the store's time.
async fn meant(
    runs: &dyn RunStore,
    name: Option<&str>,
    store: &Chosen,
) -> Result<(Vec<TaskRecord>, Timestamp), Failure> {
    if let Some(name) = name {
        let (task, now) = known(runs, name, store).await?;
        return Ok((vec![task], now));
    }
    let trouble = |error| failure("cannot list tasks", &error);
    let now = runs.now().await.map_err(trouble)?.now;
    let mut tasks = runs.tasks().await.map_err(trouble)?;
    tasks.retain(|task| !tells_alarms(&task.definition.task));
    Ok((tasks, now))
}

async fn stop(args: PauseArgs) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let (tasks, now) = meant(&*runs, args.task.as_deref(), &store).await?;
    let mut pause = Pause::new(who(tenure.holder()), args.why);
    pause.until = match (args.pause_for, args.until) {
        (Some(length), _) => Some(now + length),
        (None, until) => until,
    };
    if let Some(until) = pause.until
        && until <= now
    {
        let (message, help) = if args.pause_for.is_some() {
            ("--for 0s is over at once".to_owned(), "say how long")
        } else {
            let message = format!("--until {until} is over: it is {now} in the store");
            (message, "give a later instant, or --for")
        };
        return Err(Failure::new(Code::USAGE, message).help(help));
    }
    let mut telling = Telling::default();
    if tasks.is_empty() {
        telling.tell(&format!("{} knows no tasks\n", store.told()));
    }
    for task in tasks {
        let name = task.definition.task;
        let earlier = task.pause.filter(|it| it.holds_at(now));
        if let Some(earlier) = &earlier {
            let shown = visible(&earlier.to_string());
            if args.all && !earlier.ends_before(&pause) {
                telling.tell(&format!("task `{name}` stays paused {shown}\n"));
                continue;
            }
            if !args.replace && pause.ends_before(earlier) {
                let message = format!("task `{name}` is paused {shown}; nothing was changed");
                return Err(Failure::new(Code::CONFLICT, message)
                    .help("what was asked for ends earlier; to replace the pause add --replace"));
            }
        }
        let stopped = runs.pause(&name, &pause).await;
        stopped.map_err(|error| failure("cannot pause the task", &error))?;
        let until = match pause.until {
            Some(until) => format!("until {until}"),
            None => format!("until somebody types `tenure resume {name}`"),
        };
        let replaced = earlier.map_or_else(String::new, |earlier| {
            let shown = visible(&earlier.to_string());
            format!("\n  in place of the pause {shown}")
        });
        telling.tell(&format!(
            "task `{name}` is paused by {} {until}; what runs goes on{replaced}\n",
            visible(&pause.by)
        ));
    }
    telling.end(Code::OK)
}

async fn go_on(args: ResumeArgs) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let (tasks, now) = meant(&*runs, args.task.as_deref(), &store).await?;
    let by = who(tenure.holder());
    let (mut count, mut telling) = (0, Telling::default());
    for task in tasks {
        let name = &task.definition.task;
        let Some(pause) = task.pause.as_ref().filter(|pause| pause.holds_at(now)) else {
            if !args.all {
                telling.tell(&format!("task `{name}` was not paused, and runs on\n"));
            }
            continue;
        };
        let about_ticks = match args.catch_up {
            None => "its `catch_up` decides about the ticks meanwhile".to_owned(),
            Some(choice) => choose(&*runs, &task, choice, (&by, &args.why), now).await?,
        };
        let resumed = runs.resume(name, &by, &args.why).await;
        resumed.map_err(|error| failure("cannot resume the task", &error))?;
        count += 1;
        let whose = match (args.all, pause.why.as_str()) {
            (false, _) => String::new(),
            (true, "") => format!(" (paused by {})", visible(&pause.by)),
            (true, why) => format!(" (paused by {}: {})", visible(&pause.by), visible(why)),
        };
        telling.tell(&format!("task `{name}` runs again{whose}; {about_ticks}\n"));
    }
    if args.all && count == 0 {
        telling.tell("no task was paused\n");
    }
    telling.end(Code::OK)
}

/// Does what was chosen about the ticks meanwhile, while the task still rests; tells what in words.
async fn choose(
    runs: &dyn RunStore,
    task: &TaskRecord,
    choice: Choice,
    (by, why): (&str, &str),
    now: Timestamp,
) -> Result<String, Failure> {
    let name = &task.definition.task;
    let schedule = schedule_of(task).ok_or_else(|| {
        let message = format!("the schedule of task `{name}` cannot be read here");
        Failure::new(Code::DATA, message).help("resume it without --catch-up")
    })?;
    let since = task.last_tick.unwrap_or_default().max(task.first_seen);
    let indices = usize::try_from(task.definition.concurrency.max(1)).unwrap_or(usize::MAX);
    let most = MAX_RUNS / indices;
    // The newest first.
    let ticks: Vec<Timestamp> = schedule
        .ticks_between(since.to_jiff(), now.to_jiff())
        .rev()
        .take(most + 1)
        .map(Timestamp::from)
        .collect();
    let (Some(latest), Some(oldest)) = (ticks.first().copied(), ticks.last().copied()) else {
        return Ok("no tick fell into the pause".to_owned());
    };
    if choice == Choice::All && ticks.len() > most {
        let message = format!("the pause of task `{name}` had more than {MAX_RUNS} runs");
        return Err(Failure::new(Code::USAGE, message)
            .help("resume it with --catch-up latest, and ask for parts with `tenure backfill`"));
    }
    let count = ticks.len();
    let for_it = match why {
        "" => String::new(),
        why => format!(": {why}"),
    };
    if choice == Choice::Skip {
        let reason = format!("left out when {by} resumed the task{for_it}");
        close(runs, name, &ticks, indices, &reason).await?;
        return Ok(format!("{count} ticks meanwhile are left out"));
    }
    let first = if choice == Choice::All {
        oldest
    } else {
        latest
    };
    let backfill = backfill_of(task, first, latest);
    let mut backfill = backfill.map_err(|error| failure("cannot name the backfill", &error))?;
    by.clone_into(&mut backfill.by);
    backfill.why = format!("the ticks of a pause, chosen when it was resumed{for_it}");
    begin(runs, &mut backfill).await?;
    let id = backfill.id;
    let reason = format!("left to backfill {id} when {by} resumed the task{for_it}");
    close(runs, name, &ticks, indices, &reason).await?;
    Ok(match choice {
        Choice::All => format!("{count} ticks meanwhile run as backfill {id}, the oldest first"),
        _ => format!("the last of {count} ticks meanwhile runs as backfill {id}"),
    })
}

/// Records ticks as left out, so that no node catches them up.
async fn close(
    runs: &dyn RunStore,
    task: &TaskName,
    ticks: &[Timestamp],
    indices: usize,
    reason: &str,
) -> Result<(), Failure> {
    let indices = u32::try_from(indices).unwrap_or(u32::MAX);
    let each = ticks.iter().take(CLOSED);
    let mut passes = each.flat_map(|tick| {
        (1..=indices).map(|index| {
            let key = RunKey::scheduled(task.clone(), *tick, index);
            let mut pass = Pass::skipped(key, reason);
            pass.keep_for = KEEP_FOR;
            pass
        })
    });
    loop {
        let some: Vec<Pass> = passes.by_ref().take(BATCH).collect();
        if some.is_empty() {
            return Ok(());
        }
        let made = runs.pass(&some).await;
        made.map_err(|error| failure("cannot record what is left out", &error))?;
    }
}
