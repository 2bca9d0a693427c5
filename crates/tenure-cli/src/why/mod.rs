//! `tenure why TASK [TIME]`: what became of one tick, from the records: due, claimed by whom,
//! begun how late, ended how; or why it did not run.
//!
//! Reads and decides nothing; what the records come to stands in [`account`].

mod account;

use std::ops::RangeInclusive;
use std::time::Duration;

use tenure::core::{
    Event, EventKind, HistoryQuery, HolderId, Note, RunRecord, RunStore, TaskRecord, Timestamp,
};
use tenure::{Schedule, Zone};
use tokio::runtime::Builder;

use self::account::Account;
use crate::args::WhyArgs;
use crate::control::known;
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::output::{print, print_json};
use crate::store::{Chosen, failure};

/// How much of the store's feed is read, at most.
const MOST_EVENTS: usize = 100_000;
/// Notes of the task that came so long before a tick, or after it, have to do with it.
const AROUND: Duration = Duration::from_secs(60);

pub(crate) fn run(args: WhyArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(explain(args))
}

async fn explain(args: WhyArgs) -> Outcome {
    let store = Chosen::new(&args.store, None)?;
    let runs = store.open_existing().await?.runs();
    let (task, now) = known(&*runs, &args.task, &store).await?;
    let tick = which(&*runs, &task, args.time, now).await?;
    let records = records_of(&*runs, &task, tick).await?;
    let notes = notes_around(&*runs, &task, tick, &records, now).await?;
    let seen = runs.nodes().await;
    let seen = seen.map_err(|error| failure("cannot list nodes", &error))?;
    let account = Account {
        task: &task,
        tick,
        asked: args.time.filter(|time| *time != tick),
        now,
        nodes: &seen,
        records: &records,
        notes: &notes,
    };
    if args.json {
        print_json(&[account.json()])?;
    } else {
        print(&account.text())?;
    }
    Ok(Code::OK)
}

/// The tick that is meant: without a time the last one, else the last at or before it.
async fn which(
    runs: &dyn RunStore,
    task: &TaskRecord,
    time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp, Failure> {
    let name = &task.definition.task;
    let until = time.unwrap_or(now);
    // A record is the best witness, also of ticks of an older schedule and of runs asked for.
    let mut query = HistoryQuery::of(name.clone());
    query.to = Some(until);
    query.limit = 1;
    let page = runs.history(&query).await;
    let page = page.map_err(|error| failure("cannot read the history", &error))?;
    let recorded = page.runs.first().map(|run| run.key.tick);
    let scheduled = schedule_of(task)
        .and_then(|schedule| schedule.previous_at_or_before(until.to_jiff()))
        .map(Timestamp::from);
    recorded.max(scheduled).ok_or_else(|| {
        let message = format!("task `{name}` was never due until {until}");
        Failure::new(Code::DATA, message).help("see `tenure history` and `tenure tasks`")
    })
}

pub(crate) fn schedule_of(task: &TaskRecord) -> Option<Schedule> {
    let zone = Zone::parse(&task.definition.zone).ok()?;
    Schedule::parse_in(&task.definition.schedule, &zone).ok()
}

async fn records_of(
    runs: &dyn RunStore,
    task: &TaskRecord,
    tick: Timestamp,
) -> Result<Vec<RunRecord>, Failure> {
    let mut query = HistoryQuery::of(task.definition.task.clone());
    (query.from, query.to, query.limit) = (Some(tick), Some(tick), 1000);
    let page = runs.history(&query).await;
    let page = page.map_err(|error| failure("cannot read the history", &error))?;
    Ok(page.runs)
}

/// What else the store told about the task, or about the nodes of its runs, around the tick.
async fn notes_around(
    runs: &dyn RunStore,
    task: &TaskRecord,
    tick: Timestamp,
    records: &[RunRecord],
    now: Timestamp,
) -> Result<Vec<(Timestamp, Note)>, Failure> {
    let nodes: Vec<HolderId> = records
        .iter()
        .flat_map(|run| {
            let earlier = run.attempts.iter().map(|attempt| &attempt.node);
            earlier.chain([&run.node]).flatten().map(|node| node.id)
        })
        .collect();
    let last = records.iter().map(|run| run.ended_at.unwrap_or(now)).max();
    let window = tick..=last.unwrap_or(tick).max(tick) + AROUND;
    let mut found = Vec::new();
    let (mut after, mut read) = (None, 0);
    while read < MOST_EVENTS {
        let page = runs.events(after, 1000).await;
        let page = page.map_err(|error| failure("cannot read the events", &error))?;
        read += page.events.len();
        let is_over = page.events.is_empty();
        found.extend(
            (page.events.into_iter()).filter_map(|event| concerns(event, task, &nodes, &window)),
        );
        after = page.next;
        if is_over || after.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The note in an event, if it has to do with the tick.
fn concerns(
    event: Event,
    task: &TaskRecord,
    nodes: &[HolderId],
    window: &RangeInclusive<Timestamp>,
) -> Option<(Timestamp, Note)> {
    let EventKind::Note(note) = event.kind else {
        return None;
    };
    // A pause or a definition holds until another one: those before the tick count as well.
    let is_earlier = event.at < *window.start();
    let is_of_task = note.task.as_ref() == Some(&task.definition.task);
    let is_of_node = note.node.is_some_and(|node| nodes.contains(&node));
    let is_lasting = matches!(note.kind.as_str(), "paused" | "resumed");
    // What names a run of the tick belongs to it, however much later it was said: a node that comes
    // back from the dead may be late by hours.
    let run = format!("{}@{}#", task.definition.task, window.start());
    let counts = if is_earlier {
        is_of_task && is_lasting
    } else if is_of_task && note.text.contains(&run) {
        true
    } else {
        event.at <= *window.end() && (is_of_task || is_of_node)
    };
    counts.then_some((event.at, note))
}
