//! What became of a tick, from the records: due, claimed by whom, begun how late, ended how; or why
//! it did not run.
//!
//! A [`Story`] is gathered from a store by reading only. What the records come to in words stands
//! in `life`. What they do not say is not guessed: a reason is told as a fact only if a record or
//! the store's clock proves it. Knows no terminal and no HTML; text from outside is escaped.

pub mod follow;
pub mod gone;
mod life;
pub mod names;

use std::ops::RangeInclusive;
use std::time::Duration;

use tenure_core::{
    Event, EventKind, HistoryQuery, HolderId, Note, RunKind, RunRecord, RunState, RunStore,
    StoreError, TaskName, TaskRecord, Timestamp,
};
use tenure_schedule::{Schedule, Zone};

/// How much of the store's feed is read, at most.
const MOST_EVENTS: usize = 100_000;
/// Notes of the task that came so long before a tick, or after it, have to do with it.
const AROUND: Duration = Duration::from_secs(60);

/// What became of one tick of one task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Story {
    /// The task, as the store knows it.
    pub task: TaskRecord,
    /// The tick.
    pub tick: Timestamp,
    /// The instant that was asked about, if it is no tick.
    pub asked: Option<Timestamp>,
    /// The store's clock.
    pub now: Timestamp,
    /// The runs of the tick, in every kind and index, also under names that the task had before.
    pub runs: Vec<RunStory>,
    /// The indices without a record.
    pub missing: Vec<Missing>,
    /// What else the store told about the task, or about the nodes of its runs; also pauses that
    /// began before the tick.
    pub notes: Vec<(Timestamp, Note)>,
}

/// What happened to one run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunStory {
    /// Its record.
    pub record: RunRecord,
    /// Who else was alive when it was claimed, and did not win it.
    pub alive_besides: Vec<String>,
    /// What happened, in its order, in words.
    pub life: Vec<(Timestamp, String)>,
}

/// A run that a tick should have, and of which there is no record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Missing {
    /// Its index.
    pub index: u32,
    /// Why, as far as that can be known.
    pub why: Vec<String>,
}

/// The schedule of a task as the store keeps it; `None` if this program cannot read it. Policies
/// for clock changes are not in the store, so around one an answer may be off.
#[must_use]
pub fn schedule_of(task: &TaskRecord) -> Option<Schedule> {
    let zone = Zone::parse(&task.definition.zone).ok()?;
    Schedule::parse_in(&task.definition.schedule, &zone).ok()
}

impl Story {
    /// The story of the last tick of `task` at or before `time`; without a time, of the last one.
    /// `None` if it was never due until then.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn of(
        runs: &dyn RunStore,
        task: &TaskRecord,
        time: Option<Timestamp>,
    ) -> Result<Option<Self>, StoreError> {
        let now = runs.now().await?.now;
        let Some(tick) = which(runs, task, time.unwrap_or(now)).await? else {
            return Ok(None);
        };
        let asked = time.filter(|time| *time != tick);
        let story = Self::gather(runs, task, tick, asked, now).await?;
        Ok(Some(story))
    }

    /// The story of this tick, whether or not the schedule has it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn of_tick(
        runs: &dyn RunStore,
        task: &TaskRecord,
        tick: Timestamp,
    ) -> Result<Self, StoreError> {
        let now = runs.now().await?.now;
        Self::gather(runs, task, tick, None, now).await
    }

    async fn gather(
        runs: &dyn RunStore,
        task: &TaskRecord,
        tick: Timestamp,
        asked: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut query = HistoryQuery::all();
        (query.from, query.to) = (Some(tick), Some(tick));
        let records = names::history(runs, &names::all_of(task), &query, 1000).await?;
        let notes = notes_around(runs, task, tick, &records, now).await?;
        let seen = runs.nodes().await?;
        let mut story = Self {
            task: task.clone(),
            tick,
            asked,
            now,
            runs: Vec::new(),
            missing: Vec::new(),
            notes,
        };
        story.runs = records
            .into_iter()
            .map(|record| story.run(record, &seen))
            .collect();
        story.missing = story.without_record();
        Ok(story)
    }

    /// What the store told from the tick on; and if a run of it was skipped or missed, the pause
    /// that was in force at it, however long before that was told.
    pub fn meanwhile(&self) -> impl Iterator<Item = (Timestamp, &Note)> {
        let not_run = |run: &RunStory| {
            let state = run.record.state;
            matches!(state, RunState::Skipped | RunState::Missed)
        };
        let pause = self.pause_at_tick();
        let pause = pause.filter(|_| self.runs.iter().any(not_run));
        let from = self.notes.iter().filter(|(at, _)| *at >= self.tick);
        let from = from.map(|(at, note)| (*at, note));
        let earlier = pause.filter(|(at, _)| *at < self.tick);
        earlier.into_iter().chain(from)
    }

    /// Whether the schedule that is in force now has the tick.
    fn is_scheduled(&self) -> bool {
        let at = self.tick.to_jiff();
        schedule_of(&self.task)
            .and_then(|schedule| schedule.previous_at_or_before(at))
            .is_some_and(|tick| tick == at)
    }

    /// The indices that the tick should have, as far as the current definition tells.
    fn without_record(&self) -> Vec<Missing> {
        let kinds = || self.runs.iter().map(|run| &run.record.key.kind);
        if kinds().any(|kind| *kind != RunKind::Scheduled) && !self.is_scheduled() {
            return Vec::new();
        }
        let has = |index: u32| {
            self.runs.iter().any(|run| {
                run.record.key.kind == RunKind::Scheduled && run.record.key.index == index
            })
        };
        // As many as anybody reads.
        (1..=self.task.definition.concurrency.min(1000))
            .filter(|index| !has(*index))
            .map(|index| Missing {
                index,
                why: self.why_none(),
            })
            .collect()
    }
}

/// The tick that is meant: the last at or before `until`.
async fn which(
    runs: &dyn RunStore,
    task: &TaskRecord,
    until: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    // A record is the best witness, also of ticks of an older schedule and of runs asked for.
    let mut query = HistoryQuery::all();
    query.to = Some(until);
    let found = names::history(runs, &names::all_of(task), &query, 1).await?;
    let recorded = found.first().map(|run| run.key.tick);
    let scheduled = schedule_of(task)
        .and_then(|schedule| schedule.previous_at_or_before(until.to_jiff()))
        .map(Timestamp::from);
    Ok(recorded.max(scheduled))
}

/// What else the store told about the task, or about the nodes of its runs, around the tick.
async fn notes_around(
    runs: &dyn RunStore,
    task: &TaskRecord,
    tick: Timestamp,
    records: &[RunRecord],
    now: Timestamp,
) -> Result<Vec<(Timestamp, Note)>, StoreError> {
    let nodes: Vec<HolderId> = records
        .iter()
        .flat_map(|run| {
            let earlier = run.attempts.iter().map(|attempt| &attempt.node);
            earlier.chain([&run.node]).flatten().map(|node| node.id)
        })
        .collect();
    let last = records.iter().map(|run| run.ended_at.unwrap_or(now)).max();
    let window = tick..=last.unwrap_or(tick).max(tick) + AROUND;
    let names = names::all_of(task);
    let mut found = Vec::new();
    let (mut after, mut read) = (None, 0);
    while read < MOST_EVENTS {
        let page = runs.events(after, 1000).await?;
        read += page.events.len();
        let is_over = page.events.is_empty();
        found.extend(
            (page.events.into_iter()).filter_map(|event| concerns(event, &names, &nodes, &window)),
        );
        after = page.next;
        if is_over || after.is_none() {
            break;
        }
    }
    // Of what ended a pause only the first end after the tick has to do with it.
    let ends = |(at, note): &(Timestamp, Note)| *at > *window.end() && note.kind == "resumed";
    let first = found.iter().filter(|it| ends(it)).map(|(at, _)| *at).min();
    found.retain(|it| !ends(it) || Some(it.0) == first);
    Ok(found)
}

/// The note in an event, if it has to do with the tick.
fn concerns(
    event: Event,
    names: &[TaskName],
    nodes: &[HolderId],
    window: &RangeInclusive<Timestamp>,
) -> Option<(Timestamp, Note)> {
    let EventKind::Note(note) = event.kind else {
        return None;
    };
    // A pause or a definition holds until another one: those before the tick count as well.
    let is_earlier = event.at < *window.start();
    let is_of_task = note.task.as_ref().is_some_and(|task| names.contains(task));
    // What a node says of another task has nothing to do with this one.
    let is_of_node = note.task.is_none() && note.node.is_some_and(|node| nodes.contains(&node));
    let is_lasting = matches!(note.kind.as_str(), "paused" | "resumed");
    // What names a run of the tick belongs to it, however much later it was said: a node that comes
    // back from the dead may be late by hours.
    let names_run = names.iter().any(|name| {
        let run = format!("{name}@{}#", window.start());
        note.text.contains(&run)
    });
    let counts = if is_earlier {
        is_of_task && is_lasting
    } else if is_of_task && (names_run || note.kind == "resumed") {
        true
    } else {
        event.at <= *window.end() && (is_of_task || is_of_node)
    };
    counts.then_some((event.at, note))
}
