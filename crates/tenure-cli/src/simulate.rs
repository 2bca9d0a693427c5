//! `tenure simulate FILE`: what the tasks of a file would do on a cluster in some stretch of
//! time, with nodes that die and clocks that are wrong. Nothing of the file is run.
//!
//! Turns the file and the flags into a plan, lets `tenure-sim` live through it, and tells what
//! is on record then. Knows nothing of how a cluster is simulated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tenure::core::{Clock as _, OnCrash, RunState, SystemClock, Timestamp};
use tenure_sim::{Fault, Plan, Report, TaskPlan, simulate};

use crate::args::{duration, instant, times};
use crate::exit::{Code, Failure, Outcome};
use crate::file::{Crash, TaskEntry, TaskFiles};
use crate::output::{about, print, print_json, print_table};
use crate::progress::Progress;
use crate::run::tell_problems;
use crate::text::{counted, visible};

/// The longest stretch of time that is simulated.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long a killed node stays away.
const AWAY: Duration = Duration::from_secs(30);
/// What the program itself uses.
const NODE_TTL: Duration = Duration::from_secs(15);
const TAKE_EVERY: Duration = Duration::from_secs(1);
/// How often a run is tried whose task lets a crash repeat it and says no more.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct SimulateArgs {
    /// Task files; nothing of them is run
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Beginning of the simulated time; a time of day is today's [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) from: Option<Timestamp>,
    /// Its end; a time of day is today's [default: an hour later]
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) to: Option<Timestamp>,
    /// How many nodes run the files, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = nodes)]
    pub(crate) nodes: usize,
    /// How long each run takes
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(crate) takes: Duration,
    /// Sets a node's clock wrong, such as 2=90s or 2=-90s; may be repeated
    #[arg(long, value_name = "NODE=DURATION", value_parser = skew)]
    pub(crate) skew: Vec<Skew>,
    /// Kills a node so long after the beginning, such as 1@10m, for half a minute; may be repeated
    #[arg(long, value_name = "NODE@DURATION", value_parser = kill)]
    pub(crate) kill: Vec<Kill>,
    /// Where all chance comes from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node whose clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    pub(crate) node: usize,
    pub(crate) ahead_ms: i64,
}

/// A node that dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) node: usize,
    pub(crate) after: Duration,
}

pub(crate) fn run(args: &SimulateArgs) -> Outcome {
    let files = TaskFiles::read(&args.files)?;
    tell_problems(&files);
    if !files.are_sound() {
        return Ok(Code::CONFIG);
    }
    let from = args.from.unwrap_or_else(|| SystemClock.wall());
    let to = args.to.unwrap_or(from + Duration::from_secs(3600));
    let plan = plan_of(args, &files.tasks, from, to)?;
    let began_at = SystemClock.now();
    let doing = format!(
        "simulating {} for {}",
        counted(plan.nodes as u64, "node"),
        about(to.since(from))
    );
    let progress = Progress::endless(doing, args.json);
    let report = simulate(&plan)
        .map_err(|error| Failure::new(Code::SYSTEM, format!("cannot simulate: {error}")))?;
    drop(progress);
    let took = SystemClock.now().since(began_at);
    let rows = count(&files.tasks, &report, to);
    if args.json {
        tell_json(&plan, &report, &rows, took)?;
    } else {
        tell(&plan, &report, &rows, took)?;
    }
    Ok(if report.is_good() {
        Code::OK
    } else {
        Code::BUG
    })
}

fn plan_of(
    args: &SimulateArgs,
    tasks: &[TaskEntry],
    from: Timestamp,
    to: Timestamp,
) -> Result<Plan, Failure> {
    let length = to.since(from);
    if length.is_zero() || length > LONGEST {
        let message = format!("--to {to} must be after --from {from}, by a year at most");
        return Err(Failure::new(Code::USAGE, message));
    }
    let enabled = tasks.iter().filter(|task| task.enabled);
    let tasks = enabled.map(|task| task_plan(task, args.takes)).collect();
    let mut plan = Plan::calm(args.seed, args.nodes, tasks, length);
    plan.begins_at = from;
    plan.node_ttl = NODE_TTL;
    plan.take_every = TAKE_EVERY;
    for skew in &args.skew {
        let node = place(skew.node, args.nodes, "--skew")?;
        plan = plan.with(Duration::ZERO, Fault::Skew(node, skew.ahead_ms));
    }
    for kill in &args.kill {
        let node = place(kill.node, args.nodes, "--kill")?;
        plan = plan.with(kill.after, Fault::Kill(node));
        plan = plan.with(kill.after + AWAY, Fault::Restart(node));
    }
    Ok(plan)
}

/// A node's place from its number.
fn place(node: usize, nodes: usize, flag: &str) -> Result<usize, Failure> {
    if !(1..=nodes).contains(&node) {
        let message = format!("{flag} names node {node}, and there are nodes 1 to {nodes}");
        return Err(Failure::new(Code::USAGE, message).help("say more with --nodes"));
    }
    Ok(node - 1)
}

fn task_plan(task: &TaskEntry, takes: Duration) -> TaskPlan {
    let mut plan = TaskPlan::new(task.name.as_str(), task.schedule.clone());
    plan.takes = (takes, takes);
    plan.concurrency = task.concurrency;
    plan.overlap = task.beside.overlap;
    plan.max_running = task.beside.max_running;
    plan.max_running_per_node = task.beside.max_running_per_node;
    plan.catch_up = task.catch_up;
    plan.window = task.catch_up_window;
    plan.jitter = task.jitter;
    plan.on_crash = match task.on_crash {
        Crash::Lose => OnCrash::Lose,
        Crash::Retry => OnCrash::Retry {
            max_attempts: ATTEMPTS,
        },
    };
    plan
}

type Counts = BTreeMap<RunState, u64>;

/// How the runs of each task stand, of ticks up to `to`.
fn count(tasks: &[TaskEntry], report: &Report, to: Timestamp) -> BTreeMap<String, Counts> {
    let names = tasks.iter().map(|task| task.name.as_str().to_owned());
    let mut rows: BTreeMap<String, Counts> = names.map(|name| (name, Counts::new())).collect();
    for record in report.records.iter().filter(|run| run.key.tick <= to) {
        let counts = rows.entry(record.key.task.as_str().to_owned()).or_default();
        *counts.entry(record.state).or_default() += 1;
    }
    rows
}

/// What happens to which node and when, in words, in the order of the flags.
fn faults(plan: &Plan) -> Vec<(Timestamp, usize, String)> {
    let told = plan.faults.iter().filter_map(|(after, fault)| {
        let (node, what) = match *fault {
            Fault::Skew(node, ahead_ms) => {
                let off = about(Duration::from_millis(ahead_ms.unsigned_abs()));
                let side = if ahead_ms < 0 { "behind" } else { "ahead" };
                (node, format!("its clock is {off} {side}"))
            }
            Fault::Kill(node) => (node, "killed".to_owned()),
            Fault::Restart(node) => (node, "started again".to_owned()),
            _ => return None,
        };
        Some((plan.begins_at + *after, node + 1, what))
    });
    told.collect()
}

const SHOWN: [RunState; 5] = [
    RunState::Succeeded,
    RunState::Skipped,
    RunState::Missed,
    RunState::Lost,
    RunState::TimedOut,
];

fn tell(
    plan: &Plan,
    report: &Report,
    rows: &BTreeMap<String, Counts>,
    took: Duration,
) -> Result<(), Failure> {
    for (at, node, what) in faults(plan) {
        print(&format!("node {node} from {at}: {what}\n"))?;
    }
    let of = |counts: &Counts, state: RunState| counts.get(&state).copied().unwrap_or(0);
    let table = rows.iter().map(|(task, counts)| {
        let all: u64 = counts.values().sum();
        let shown = SHOWN.map(|state| of(counts, state));
        let others = all - shown.iter().sum::<u64>();
        let numbers = [all].into_iter().chain(shown).chain([others]);
        std::iter::once(visible(task))
            .chain(numbers.map(|number| number.to_string()))
            .collect()
    });
    let states = SHOWN.map(RunState::as_str);
    let heading = [&["task", "runs"][..], &states, &["other"]].concat();
    print_table(&heading, table.collect())?;
    for violation in &report.violations {
        print(&format!("broken promise, {violation}\n"))?;
    }
    let hours = report.node_time.as_secs_f64() / 3600.0;
    print(&format!(
        "{} executions, {hours:.1} node-hours, simulated in {:.1} s\n",
        report.counts.executions,
        took.as_secs_f64()
    ))
}

fn tell_json(
    plan: &Plan,
    report: &Report,
    rows: &BTreeMap<String, Counts>,
    took: Duration,
) -> Result<(), Failure> {
    let tasks = rows.iter().map(|(task, counts)| {
        let counts = counts.iter().map(|(state, count)| (state.as_str(), count));
        json!({ "task": task, "runs": counts.collect::<BTreeMap<_, _>>() })
    });
    let violations = report.violations.iter().map(ToString::to_string);
    let faults = faults(plan).into_iter();
    let faults =
        faults.map(|(at, node, what)| json!({ "at": at.to_string(), "node": node, "what": what }));
    print_json(&[json!({
        "seed": plan.seed,
        "from": plan.begins_at.to_string(),
        "nodes": plan.nodes,
        "faults": faults.collect::<Vec<_>>(),
        "tasks": tasks.collect::<Vec<_>>(),
        "executions": report.counts.executions,
        "violations": violations.collect::<Vec<_>>(),
        "node_seconds": report.node_time.as_secs_f64(),
        "took_seconds": took.as_secs_f64(),
    })])
}

fn nodes(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|nodes| (1..=100).contains(nodes))
        .ok_or_else(|| "expected a number of nodes from 1 to 100".to_owned())
}

fn skew(text: &str) -> Result<Skew, String> {
    let expected = || "expected a node and how far its clock is ahead, such as 2=-90s".to_owned();
    let (node, ahead) = text.split_once('=').ok_or_else(expected)?;
    let (sign, ahead) = match ahead.strip_prefix('-') {
        Some(behind) => (-1, behind),
        None => (1, ahead),
    };
    let ahead_ms = i64::try_from(duration(ahead)?.as_millis()).map_err(|_| expected())?;
    Ok(Skew {
        node: node.parse().map_err(|_| expected())?,
        ahead_ms: sign * ahead_ms,
    })
}

fn kill(text: &str) -> Result<Kill, String> {
    let expected = || "expected a node and a time from the beginning, such as 1@10m".to_owned();
    let (node, after) = text.split_once('@').ok_or_else(expected)?;
    Ok(Kill {
        node: node.parse().map_err(|_| expected())?,
        after: duration(after)?,
    })
}
