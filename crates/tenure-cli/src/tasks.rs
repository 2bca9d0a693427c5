//! `tenure tasks` and `history`: what a store knows of tasks and their runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::core::{
    HistoryQuery, Pause, RunKind, RunRecord, RunStore, TaskName, TaskRecord, Timestamp,
};
use tenure::tasks::story::follow::{due_after, is_chain, last_after};
use tenure::tasks::story::gone::Gone;
use tenure::tasks::story::names::{self, renamed_to};
use tenure::{Schedule, Zone};
use tokio::runtime::Builder;

use crate::args::{HistoryArgs, TasksArgs};
use crate::control::known;
use crate::exit::{Code, Failure, Outcome};
use crate::late::LateEnds;
use crate::lock::runtime;
use crate::locks::{holder_json, millis};
use crate::output::{about, folded, print_json, table};
use crate::store::{Chosen, failure};
use crate::text::visible;
use crate::versions::Versions;

pub(crate) fn run(args: TasksArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(list(args))
}

pub(crate) fn history(args: HistoryArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(list_runs(args))
}

async fn list(args: TasksArgs) -> Outcome {
    let store = Chosen::of_tasks(&args.store)?;
    let runs = store.open_existing().await?.runs();
    if args.json {
        let (tasks, beside, now) = told(&*runs).await?;
        let lines: Vec<Value> = tasks
            .iter()
            .map(|task| task_json(task, &beside, now))
            .collect();
        print_json(&lines)?;
        return Ok(Code::OK);
    }
    let show = async || {
        let (tasks, beside, now) = told(&*runs).await?;
        Ok(listed(&tasks, &beside, now, &store))
    };
    args.watch.each(show).await
}

/// What records of tasks do not say: when those ran last and run next whose schedule is a delay,
/// and which nodes have other definitions.
struct Beside {
    versions: Versions,
    last: BTreeMap<TaskName, Timestamp>,
    next: BTreeMap<TaskName, Timestamp>,
}

/// What the store tells of tasks, and its time.
async fn told(runs: &dyn RunStore) -> Result<(Vec<TaskRecord>, Beside, Timestamp), Failure> {
    let trouble = |error| failure("cannot list tasks", &error);
    let now = runs.now().await.map_err(trouble)?.now;
    let tasks = runs.tasks().await.map_err(trouble)?;
    let beside = Beside {
        versions: Versions::of(runs, now).await?,
        last: last_after(runs, &tasks).await.map_err(trouble)?,
        next: due_after(runs, &tasks).await.map_err(trouble)?,
    };
    Ok((tasks, beside, now))
}

/// The latest tick of a task's own that is on record.
fn last_of(task: &TaskRecord, beside: &Beside) -> Option<Timestamp> {
    let followed = beside.last.get(&task.definition.task).copied();
    task.last_tick.max(followed)
}

fn listed(tasks: &[TaskRecord], beside: &Beside, now: Timestamp, store: &Chosen) -> String {
    if tasks.is_empty() {
        return folded(&format!(
            "{} knows no tasks; `tenure run FILE` makes them known\n",
            store.told()
        ));
    }
    let rows = tasks
        .iter()
        // Their runs and their pause are shown with the new name.
        .filter(|task| renamed_to(task).is_none())
        .map(|task| {
            let next = match next_of(task, beside, now) {
                Some(next) => format!("{next} (in {})", about(next.since(now))),
                None if task.nodes > 0 && pause_of(task, now).is_none() && is_chain(task) => {
                    "after its run".to_owned()
                }
                None => "–".to_owned(),
            };
            let had = names::all_of(task);
            let last = tasks
                .iter()
                .filter(|other| had.contains(&other.definition.task));
            let last = last
                .filter_map(|other| last_of(other, beside))
                .max()
                .map_or_else(|| "–".to_owned(), |tick| tick.to_string());
            vec![
                task.definition.task.to_string(),
                visible(&task.definition.schedule),
                visible(&task.definition.zone),
                task.definition.concurrency.to_string(),
                last,
                next,
                state_of(task, &beside.versions, now) + &formerly(&had),
            ]
        })
        .collect();
    let heading = [
        "task",
        "schedule",
        "zone",
        "runs",
        "last tick",
        "next tick",
        "state",
    ];
    table(&heading, rows)
}

fn state_of(task: &TaskRecord, versions: &Versions, now: Timestamp) -> String {
    match pause_of(task, now) {
        Some(pause) => {
            let until = pause.until.map(|until| format!(" until {until}"));
            let why = if pause.why.is_empty() {
                String::new()
            } else {
                format!(": {}", visible(&pause.why))
            };
            format!(
                "paused by {}{}{why}",
                visible(&pause.by),
                until.unwrap_or_default()
            )
        }
        _ if task.nodes == 0 || task.definition.ended.is_some() => {
            let what = if task.is_retired(now) {
                "retired"
            } else {
                "nobody runs it"
            };
            let since = task.unlisted_since.map(|since| format!(" since {since}"));
            format!("{what}{}", since.unwrap_or_default())
        }
        _ => versions.nodes_of(task),
    }
}

/// The pause that the task is in.
fn pause_of(task: &TaskRecord, now: Timestamp) -> Option<&Pause> {
    task.pause.as_ref().filter(|pause| pause.holds_at(now))
}

/// The names that a task had before, for people.
fn formerly(names: &[TaskName]) -> String {
    let before: Vec<String> = names.iter().skip(1).map(ToString::to_string).collect();
    if before.is_empty() {
        return String::new();
    }
    format!("; formerly {}", before.join(", "))
}

/// When the task may run next, if anybody runs it and this program can read its schedule; of a task
/// that is paused, at the end of that or after it. The task's policies for clock changes are not in
/// the store, so around one the answer may be off.
fn next_of(task: &TaskRecord, beside: &Beside, now: Timestamp) -> Option<Timestamp> {
    if task.nodes == 0 {
        return None;
    }
    // A tick at the end of a pause runs.
    let from = match pause_of(task, now) {
        Some(pause) => Some(pause.until?),
        None => None,
    };
    let zone = Zone::parse(&task.definition.zone).ok()?;
    let schedule = Schedule::parse_in(&task.definition.schedule, &zone).ok()?;
    if schedule.delay().is_some() {
        let names = names::all_of(task);
        return names
            .iter()
            .filter_map(|name| beside.next.get(name))
            .min()
            .map(|due| from.map_or(*due, |from| from.max(*due)));
    }
    let after = from.map_or(now, |from| from - Duration::from_millis(1));
    schedule.next_after(after.to_jiff()).map(Timestamp::from)
}

fn task_json(task: &TaskRecord, beside: &Beside, now: Timestamp) -> Value {
    json!({
        "task": task.definition.task.as_str(),
        "schedule": task.definition.schedule,
        "zone": task.definition.zone,
        "concurrency": task.definition.concurrency,
        "generation": task.definition.generation.as_str(),
        "nodes": task.nodes,
        "nodes_with_other_definition": beside.versions.others(task).map_or(0, |it| it.count),
        "number": task.definition.number,
        "on_change": task.definition.on_change.as_str(),
        "aliases": task.definition.aliases.iter().map(TaskName::as_str).collect::<Vec<_>>(),
        "renamed_to": renamed_to(task).map(TaskName::as_str),
        "retired": task.is_retired(now),
        "unlisted_since": task.unlisted_since.map(|since| since.to_string()),
        "first_seen": task.first_seen.to_string(),
        "last_tick": last_of(task, beside).map(|tick| tick.to_string()),
        "next_tick": next_of(task, beside, now).map(|tick| tick.to_string()),
        "paused": pause_of(task, now).map(|pause| json!({
            "by": pause.by,
            "why": pause.why,
            "until": pause.until.map(|until| until.to_string()),
        })),
    })
}

async fn list_runs(args: HistoryArgs) -> Outcome {
    let mut query = HistoryQuery::all();
    if let Some(name) = &args.task {
        let name = TaskName::new(name)
            .map_err(|error| Failure::new(Code::USAGE, format!("TASK: {error}")))?;
        query.task = Some(name);
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        let message = format!("--from {from} is later than --to {to}: no tick is between them");
        return Err(Failure::new(Code::USAGE, message).help("exchange the two"));
    }
    query.states = args.state.clone();
    query.from = args.from;
    query.to = args.to;
    let store = Chosen::of_tasks(&args.store)?;
    let runs = store.open_existing().await?.runs();
    let is_known = async |records: &[RunRecord]| match &args.task {
        // Records outlive what the store knows of their task.
        Some(name) if records.is_empty() => known(&*runs, name, &store).await.map(drop),
        _ => Ok(()),
    };
    if args.json {
        let (records, late, gone) = found(&*runs, query, args.limit).await?;
        is_known(&records).await?;
        let lines: Vec<Value> = records
            .iter()
            .map(|run| line_of(run, &late, &gone, args.output))
            .collect();
        print_json(&lines)?;
        return Ok(Code::OK);
    }
    let show = async || {
        let (records, late, gone) = found(&*runs, query.clone(), args.limit).await?;
        is_known(&records).await?;
        if records.is_empty() {
            return Ok(folded(&format!("no such runs in {}\n", store.told())));
        }
        if args.output {
            return Ok(printed(&records));
        }
        let rows = records
            .iter()
            .map(|run| row(run, late.of(run).count(), gone.told(run).as_deref()));
        let heading = ["tick", "task", "#", "state", "late", "took", "node", ""];
        Ok(table(&heading, rows.collect()))
    };
    args.watch.each(show).await
}

/// The runs that are asked for, also under names that their task had before, late ends, and which
/// nodes are gone.
async fn found(
    runs: &dyn RunStore,
    query: HistoryQuery,
    limit: usize,
) -> Result<(Vec<RunRecord>, LateEnds, Gone), Failure> {
    let records = match query.task.clone() {
        None => read(runs, query, limit).await?,
        Some(name) => {
            let trouble = |error| failure("cannot read the history", &error);
            let tasks = runs.tasks().await.map_err(trouble)?;
            let task = names::find(&tasks, &name);
            let names = task.map_or_else(|| vec![name], names::all_of);
            let found = names::history(runs, &names, &query, limit).await;
            found.map_err(trouble)?
        }
    };
    let late = LateEnds::of_runs(runs, &records).await?;
    let gone = Gone::of_runs(runs, &records).await;
    let gone = gone.map_err(|error| failure("cannot look at the nodes", &error))?;
    Ok((records, late, gone))
}

/// What runs printed, each under a line of its own.
fn printed(records: &[RunRecord]) -> String {
    let mut lines = Vec::new();
    for run in records {
        lines.push(format!(
            "== {}: {}",
            visible(&run.key.to_string()),
            run.state
        ));
        let output = run.output.as_deref().unwrap_or_default();
        lines.extend(output.lines().map(visible_line));
    }
    lines.join("\n") + "\n"
}

/// Tabulators are welcome in output; whatever else acts on a terminal is not.
pub(crate) fn visible_line(line: &str) -> String {
    line.split('\t').map(visible).collect::<Vec<_>>().join("\t")
}

async fn read(
    runs: &dyn RunStore,
    mut query: HistoryQuery,
    limit: usize,
) -> Result<Vec<RunRecord>, Failure> {
    let mut records = Vec::new();
    while records.len() < limit {
        query.limit = (limit - records.len()).min(1000);
        let page = runs
            .history(&query)
            .await
            .map_err(|error| failure("cannot read the history", &error))?;
        records.extend(page.runs);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(records)
}

/// A run as a line of the history, for programs.
fn line_of(run: &RunRecord, late: &LateEnds, gone: &Gone, with_output: bool) -> Value {
    let mut line = run_json(run, with_output);
    if let Some(fields) = line.as_object_mut() {
        let late: Vec<Value> = late.of(run).map(crate::late::json).collect();
        fields.insert("late_completions".to_owned(), json!(late));
        fields.insert("node_gone".to_owned(), json!(gone.told(run)));
    }
    line
}

fn row(run: &RunRecord, late_ends: usize, gone: Option<&str>) -> Vec<String> {
    let dash = || "–".to_owned();
    let late = run
        .first_started_at()
        .map(|started| about(started.since(run.key.tick)));
    let took = match (run.started_at, run.ended_at) {
        (Some(started), Some(ended)) => Some(about(ended.since(started))),
        _ => None,
    };
    let kind = match (&run.asked, &run.key.kind) {
        (Some(asked), _) => asked,
        _ if run.key.is_following() => "",
        (None, RunKind::Manual(_)) => "asked for",
        (None, RunKind::Backfill(_)) => "backfill",
        _ => "",
    };
    let attempt = match run.attempt {
        attempt @ 2.. => format!("attempt {attempt}"),
        _ => String::new(),
    };
    let reason = run.reason.as_deref().unwrap_or_default();
    let late_end = match late_ends {
        0 => "",
        _ => "its end came too late",
    };
    let mut said = vec![kind, &attempt, reason, late_end];
    said.extend(gone);
    said.retain(|one| !one.is_empty());
    vec![
        run.key.tick.to_string(),
        run.key.task.to_string(),
        run.key.index.to_string(),
        run.state.to_string(),
        late.unwrap_or_else(dash),
        took.unwrap_or_else(dash),
        run.node.as_ref().map_or_else(dash, ToString::to_string),
        visible(&said.join("; ")),
    ]
}

pub(crate) fn run_json(run: &RunRecord, with_output: bool) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let (kind, request) = match &run.key.kind {
        _ if run.key.is_following() => ("following", None),
        RunKind::Manual(id) => ("manual", Some(id.as_str())),
        RunKind::Backfill(id) => ("backfill", Some(id.as_str())),
        _ => ("scheduled", None),
    };
    let attempts: Vec<Value> = run
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "attempt": attempt.attempt,
                "state": attempt.state.as_str(),
                "node": attempt.node.as_ref().map(holder_json),
                "started_at": time(attempt.started_at),
                "ended_at": attempt.ended_at.to_string(),
                "reason": attempt.reason,
            })
        })
        .collect();
    let mut value = json!({
        "run_id": run.key.to_string(),
        "task": run.key.task.as_str(),
        "tick": run.key.tick.to_string(),
        "index": run.key.index,
        "kind": kind,
        "request": request,
        "state": run.state.as_str(),
        "attempt": run.attempt,
        "fence": run.fence.map(tenure::Fence::get),
        "node": run.node.as_ref().map(holder_json),
        "generation": run.generation.as_ref().map(tenure::core::Generation::as_str),
        "claimed_at": time(run.claimed_at),
        "started_at": time(run.started_at),
        "ended_at": time(run.ended_at),
        "due_at": time(run.due_at),
        "lateness_ms": run.first_started_at().map(|at| millis(at.since(run.key.tick))),
        "asked": run.asked,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "attempts": attempts,
    });
    if let (Some(fields), true) = (value.as_object_mut(), with_output) {
        fields.insert("output".to_owned(), json!(run.output));
    }
    value
}
