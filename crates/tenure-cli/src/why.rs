//! `tenure why TASK [TIME]`: what became of one tick, from the records: due, claimed by whom,
//! begun how late, ended how; or why it did not run.
//!
//! Reads and decides nothing. What the records do not say is not guessed: a reason is told as a
//! fact only if a record or the store's clock proves it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::core::{
    Event, EventKind, HistoryQuery, HolderId, Note, RunKind, RunRecord, RunState, RunStore,
    TaskRecord, Timestamp,
};
use tenure::{Schedule, Zone};
use tokio::runtime::Builder;

use crate::args::WhyArgs;
use crate::control::known;
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::output::{about, print, print_json};
use crate::store::{Chosen, failure};
use crate::text::visible;

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
    let account = Account {
        task: &task,
        tick,
        now,
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
    let counts = if is_earlier {
        is_of_task && is_lasting
    } else {
        event.at <= *window.end() && (is_of_task || is_of_node)
    };
    counts.then_some((event.at, note))
}

/// What the records say of a tick.
struct Account<'s> {
    task: &'s TaskRecord,
    tick: Timestamp,
    now: Timestamp,
    /// All runs of this tick, in every kind and index.
    records: &'s [RunRecord],
    notes: &'s [(Timestamp, Note)],
}

impl Account<'_> {
    fn scheduled(&self, index: u32) -> Option<&RunRecord> {
        self.records
            .iter()
            .find(|run| run.key.kind == RunKind::Scheduled && run.key.index == index)
    }

    /// The indices that the tick should have, as far as the current definition tells.
    fn missing(&self) -> Vec<u32> {
        let is_asked_for = self
            .records
            .iter()
            .any(|run| run.key.kind != RunKind::Scheduled);
        if is_asked_for && !self.is_scheduled() {
            return Vec::new();
        }
        (1..=self.task.definition.concurrency)
            .filter(|index| self.scheduled(*index).is_none())
            .collect()
    }

    fn is_scheduled(&self) -> bool {
        let at = self.tick.to_jiff();
        schedule_of(self.task)
            .and_then(|schedule| schedule.previous_at_or_before(at))
            .is_some_and(|tick| tick == at)
    }

    /// Who had paused the task at the tick, in the words of the store's own note.
    fn pause_at_tick(&self) -> Option<&str> {
        let last = self
            .notes
            .iter()
            .filter(|(at, note)| {
                *at <= self.tick && matches!(note.kind.as_str(), "paused" | "resumed")
            })
            .max_by_key(|(at, _)| *at);
        last.filter(|(_, note)| note.kind == "paused")
            .map(|(_, note)| note.text.as_str())
    }

    /// Why there is no record of an index, as far as that can be known.
    fn why_none(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.tick > self.now {
            let left = about(self.tick.since(self.now));
            return vec![format!("it is not due yet: in {left}")];
        }
        if self.task.first_seen > self.tick {
            reasons.push(format!(
                "the store first heard of the task later, at {}",
                self.task.first_seen
            ));
        }
        if let Some(pause) = self.pause_at_tick() {
            reasons.push(format!("the task was {}", visible(pause)));
        }
        if !self.is_scheduled() {
            reasons.push(format!(
                "the schedule that is in force now, `{}` in {}, has no such tick",
                visible(&self.task.definition.schedule),
                visible(&self.task.definition.zone)
            ));
        }
        match self.task.nodes {
            0 => reasons.push("no node that can run the task is alive now".to_owned()),
            nodes if reasons.is_empty() => {
                let noun = if nodes == 1 { "node" } else { "nodes" };
                reasons.push(format!(
                    "{nodes} {noun} can run the task now: the tick may still be claimed, or fell \
                     into a time in which none was there and is told when they see it"
                ));
            }
            _ => {}
        }
        reasons
    }

    fn text(&self) -> String {
        let name = &self.task.definition.task;
        let mut text = format!("{name}, tick {}", self.tick);
        if let Some(local) = self.local() {
            let _ = write!(text, " ({local})");
        }
        text.push('\n');
        for run in self.records {
            let _ = writeln!(text, "\n#{}{}: {}", run.key.index, kind_of(run), run.state);
            for (at, what) in self.life(run) {
                let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(at));
            }
        }
        for index in self.missing() {
            let _ = writeln!(text, "\n#{index}: no record");
            for reason in self.why_none() {
                let _ = writeln!(text, "  {reason}");
            }
        }
        let around: Vec<_> = self
            .notes
            .iter()
            .filter(|(at, _)| *at >= self.tick)
            .collect();
        if !around.is_empty() {
            let _ = writeln!(text, "\nmeanwhile");
            for (at, note) in around {
                let what = visible(&note.text);
                let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(*at));
            }
        }
        text
    }

    /// The tick as a clock in the task's zone shows it.
    fn local(&self) -> Option<String> {
        let zone = &self.task.definition.zone;
        if zone == "UTC" {
            return None;
        }
        let local = self.tick.to_jiff().in_tz(zone).ok()?;
        Some(format!("{} {zone}", local.strftime("%a %H:%M:%S %:z")))
    }

    fn offset(&self, at: Timestamp) -> String {
        if at < self.tick {
            format!("-{}", about(self.tick.since(at)))
        } else {
            format!("+{}", about(at.since(self.tick)))
        }
    }

    /// What happened to a run, in its order.
    fn life(&self, run: &RunRecord) -> Vec<(Timestamp, String)> {
        let mut life = Vec::new();
        match (&run.key.kind, &run.reason) {
            (RunKind::Scheduled, _) => life.push((self.tick, "due".to_owned())),
            (_, Some(reason)) => life.push((run.created_at, visible(reason))),
            _ => life.push((run.created_at, "asked for".to_owned())),
        }
        for attempt in &run.attempts {
            let by = attempt
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" on {node}"));
            if let Some(started) = attempt.started_at {
                life.push((started, format!("attempt {} began{by}", attempt.attempt)));
            }
            let reason = attempt.reason.as_deref().map(visible).unwrap_or_default();
            let end = format!("attempt {} {}: {reason}", attempt.attempt, attempt.state);
            life.push((attempt.ended_at, end.trim_end_matches(": ").to_owned()));
        }
        if let Some(claimed) = run.claimed_at {
            let by = run
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" by {node}"));
            let fence = run
                .fence
                .map_or_else(String::new, |fence| format!(", fence {fence}"));
            life.push((
                claimed,
                format!("attempt {} claimed{by}{fence}", run.attempt),
            ));
        }
        if let Some(started) = run.started_at {
            life.push((started, format!("attempt {} began", run.attempt)));
        }
        if let (RunState::Waiting, Some(due)) = (run.state, run.due_at) {
            life.push((due, "may be taken from here on".to_owned()));
        }
        if let Some(ended) = run.ended_at {
            life.push((ended, end_of(run)));
        }
        life.sort_by_key(|(at, _)| *at);
        life
    }

    fn json(&self) -> Value {
        let runs: Vec<Value> = self
            .records
            .iter()
            .map(|run| {
                let life: Vec<Value> = self
                    .life(run)
                    .into_iter()
                    .map(|(at, what)| json!({ "at": at.to_string(), "what": what }))
                    .collect();
                let mut value = crate::tasks::run_json(run, false);
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("timeline".to_owned(), Value::Array(life));
                }
                value
            })
            .collect();
        let missing: Vec<Value> = self
            .missing()
            .into_iter()
            .map(|index| json!({ "index": index, "why": self.why_none() }))
            .collect();
        let notes: Vec<Value> = self
            .notes
            .iter()
            .map(|(at, note)| json!({ "at": at.to_string(), "kind": note.kind, "text": note.text }))
            .collect();
        json!({
            "task": self.task.definition.task.as_str(),
            "tick": self.tick.to_string(),
            "now": self.now.to_string(),
            "runs": runs,
            "without_record": missing,
            "notes": notes,
        })
    }
}

fn kind_of(run: &RunRecord) -> &'static str {
    match run.key.kind {
        RunKind::Manual(_) => ", asked for by hand",
        RunKind::Backfill(_) => ", of a backfill",
        _ => "",
    }
}

/// How a run ended, in words.
fn end_of(run: &RunRecord) -> String {
    let mut text = match run.state {
        RunState::Skipped | RunState::Missed => format!("recorded as {}", run.state),
        state => format!("{state}"),
    };
    if let Some(started) = run.started_at
        && let Some(ended) = run.ended_at
    {
        let _ = write!(text, " after {}", about(ended.since(started)));
    }
    if let Some(code) = run.exit_code {
        let _ = write!(text, ", status {code}");
    }
    // What somebody asked for stands at the beginning already.
    if let (RunKind::Scheduled, Some(reason)) = (&run.key.kind, &run.reason) {
        let _ = write!(text, ": {}", visible(reason));
    }
    text
}
