//! What the store says of the last runs of tasks whose schedule is a delay, and how it is told of
//! their next ones.
//!
//! The name of a next run follows from the record of the run before it, so that whoever looks makes
//! the same one. When to look, and at what, is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Cancel, Enqueue, HistoryQuery, Moment, RunKey, RunKind, RunRecord, RunState, StoreError,
    TaskName, TaskRecord, Timestamp, format_duration,
};

use super::calls::{Calls, Done};
use crate::spec::TaskSpec;
use crate::table::TaskId;

/// How long other nodes leave the next run to the one on which the last has ended.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How many pages of records are read to find the last run of a task; the first is a short one.
const MAX_PAGES: usize = 40;

/// A task to look at.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: TaskId,
    pub(super) spec: Arc<TaskSpec>,
    /// A run of it has ended on this node, which had its definition in force.
    pub(super) has_ended_here: bool,
    /// The ends that this node heard of before the store forgot something.
    pub(super) ends: BTreeMap<u32, Last>,
    /// Whether nobody is about to put back a run of it.
    pub(super) may_begin: bool,
}

impl Asked {
    /// How an index's last run ended: what was put back says that it ended then, and this node may
    /// know better.
    fn or_what_was_known(&self, index: u32, last: Option<Last>) -> Option<Last> {
        match (self.ends.get(&index), last) {
            (Some(own), Some(last)) => Some(own.or(last)),
            (own, last) => own.copied().or(last),
        }
    }
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    /// When its next run is due, if that is known.
    pub(super) due_at: Option<Timestamp>,
    /// When to look again, if that is before the usual time.
    pub(super) again_at: Option<Timestamp>,
}

/// What is known of the last run of an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) tick: Timestamp,
    pub(super) state: RunState,
    pub(super) ended_at: Timestamp,
    pub(super) due_at: Option<Timestamp>,
}

impl Last {
    fn of(run: &RunRecord) -> Self {
        Self {
            tick: run.key.tick,
            state: run.state,
            ended_at: run.ended_at.unwrap_or(run.created_at),
            due_at: run.due_at.filter(|_| run.state == RunState::Waiting),
        }
    }

    /// Of two runs the one that stands in the way of a next one, or else the later one.
    fn or(self, other: Self) -> Self {
        let rank = |last: &Self| (!last.state.is_final(), last.tick);
        if rank(&other) > rank(&self) {
            other
        } else {
            self
        }
    }
}

impl Calls {
    /// Looks at some tasks; `began` is a moment and the store's clock then.
    pub(super) async fn follow(self, asked: Vec<Asked>, began: (Moment, Timestamp)) -> Done {
        let answer = self.follow_all(&asked, began).await;
        Done::Followed { asked, answer }
    }

    async fn follow_all(
        &self,
        asked: &[Asked],
        began: (Moment, Timestamp),
    ) -> Result<Vec<Looked>, StoreError> {
        let mut known = None;
        let mut looked = Vec::with_capacity(asked.len());
        for asked in asked {
            looked.push(match asked.spec.schedule().delay() {
                Some(delay) => self.follow_one(asked, delay, began, &mut known).await?,
                None => self.end_chain(&asked.spec, &mut known).await?,
            });
        }
        Ok(looked)
    }

    /// Puts the next run of each index of a task into the store, where there is none.
    async fn follow_one(
        &self,
        asked: &Asked,
        delay: Duration,
        began: (Moment, Timestamp),
        known: &mut Option<Vec<TaskRecord>>,
    ) -> Result<Looked, StoreError> {
        let spec = &*asked.spec;
        let mut looked = Looked {
            due_at: None,
            again_at: None,
        };
        let names: Vec<_> = std::iter::once(spec.name()).chain(spec.aliases()).collect();
        let last = self.last_runs(&names, spec.concurrency(), |_| true);
        let Some(last) = last.await? else {
            tracing::warn!(task = %spec.name(), "too many records; its last run was not found");
            return Ok(looked);
        };
        let now = || began.1 + self.clock.now().since(began.0);
        let (mut runs, mut later) = (Vec::new(), None);
        for index in 1..=spec.concurrency() {
            let mut last = asked.or_what_was_known(index, last.get(&index).copied());
            if last.is_none() && !asked.may_begin {
                continue;
            }
            if let Some(last) = last.filter(|last| !last.state.is_final()) {
                looked.due_at = looked.due_at.into_iter().chain(last.due_at).min();
                continue;
            }
            let mut begins_at = None;
            if !asked.has_ended_here || last.is_none() {
                let again_at = last.map(|last| last.ended_at + GRACE);
                if let Some(again_at) = again_at.filter(|at| *at > now()) {
                    looked.again_at = looked.again_at.into_iter().chain([again_at]).min();
                    continue;
                }
                begins_at = self.in_force(spec, known).await?;
                if begins_at.is_none() {
                    return Ok(looked);
                }
                if later.is_none() {
                    let known = known.as_deref().unwrap_or_default();
                    later = Some(self.runs_under_later_names(spec, known).await?);
                }
                let under_later = later.iter().find_map(|runs| runs.get(&index)).copied();
                if under_later.is_some_and(|run| !run.state.is_final()) {
                    continue;
                }
                last = last.into_iter().chain(under_later).reduce(Last::or);
            }
            let begins_at = begins_at.unwrap_or_else(now);
            runs.push(next_run(spec, delay, index, last.as_ref(), begins_at));
        }
        let due_at = self.put_next(&mut runs, now).await?;
        looked.due_at = looked.due_at.into_iter().chain(due_at).min();
        Ok(looked)
    }

    /// Tells the store of next runs; tells when the first of them is due.
    async fn put_next(
        &self,
        runs: &mut [Enqueue],
        now: impl Fn() -> Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut due_at: Option<Timestamp> = None;
        for chunk in runs.chunks_mut(self.max_batch) {
            let asked_at = now();
            for run in &mut *chunk {
                run.due_in = run.key.tick.since(asked_at);
            }
            self.bounded("enqueue", self.store.enqueue(chunk)).await?;
            // By the store's clock they are due later than they should be by as long as it took.
            let took = now().since(asked_at);
            let due = chunk.iter().map(|run| run.key.tick + took);
            due_at = due_at.into_iter().chain(due).min();
        }
        Ok(due_at)
    }

    /// Cancels what waits of a chain, for a task that has a schedule by now.
    async fn end_chain(
        &self,
        spec: &TaskSpec,
        known: &mut Option<Vec<TaskRecord>>,
    ) -> Result<Looked, StoreError> {
        if self.in_force(spec, known).await?.is_some() {
            self.cancel_waiting(spec.name(), "the task has a schedule now")
                .await?;
        }
        Ok(Looked {
            due_at: None,
            again_at: None,
        })
    }

    /// Cancels what waits of a chain.
    async fn cancel_waiting(&self, name: &TaskName, why: &str) -> Result<(), StoreError> {
        let mut query = HistoryQuery::of(name.clone());
        query.states = vec![RunState::Waiting];
        query.limit = 1000;
        let page = self.bounded("history", self.store.history(&query)).await?;
        for run in page.runs.into_iter().filter(|run| run.key.is_following()) {
            let cancel = Cancel::new(run.key, "tenure", why);
            self.bounded("cancel_run", self.store.cancel_run(&cancel))
                .await?;
        }
        Ok(())
    }

    /// The last runs of each index under names that the task was given later, if it is called as
    /// before again: what waits under those is cancelled, because no node runs it.
    async fn runs_under_later_names(
        &self,
        spec: &TaskSpec,
        known: &[TaskRecord],
    ) -> Result<BTreeMap<u32, Last>, StoreError> {
        let is_later = |record: &&TaskRecord| record.definition.aliases.contains(spec.name());
        let known = known.iter().filter(is_later);
        let names: Vec<&TaskName> = known.map(|record| &record.definition.task).collect();
        for name in &names {
            let why = format!("the task is called {} again", spec.name());
            self.cancel_waiting(name, &why).await?;
        }
        // What was cancelled before it began never ended a delay.
        let has_begun = |run: &RunRecord| run.attempt > 0;
        let last = self.last_runs(&names, spec.concurrency(), has_begun);
        Ok(last.await?.unwrap_or_default())
    }

    /// When the task was first seen, if this definition of it is the one in force. Other nodes'
    /// chains and schedules are theirs. Reads all tasks, once for a whole look.
    async fn in_force(
        &self,
        spec: &TaskSpec,
        known: &mut Option<Vec<TaskRecord>>,
    ) -> Result<Option<Timestamp>, StoreError> {
        if known.is_none() {
            *known = Some(self.tasks().await?);
        }
        let mut known = known.iter().flatten();
        let record = known.find(|record| record.definition.task == *spec.name());
        let ours = record.filter(|record| {
            let definition = &record.definition;
            definition.ended.is_none() && definition.generation == *spec.generation()
        });
        Ok(ours.map(|record| record.first_seen))
    }

    /// The last run of each index under these names, of those that count. `None` if it lies behind
    /// more records than are read.
    async fn last_runs(
        &self,
        names: &[&TaskName],
        indices: u32,
        counts: fn(&RunRecord) -> bool,
    ) -> Result<Option<BTreeMap<u32, Last>>, StoreError> {
        let mut last: BTreeMap<u32, Last> = BTreeMap::new();
        for name in names {
            let mut query = HistoryQuery::of(TaskName::clone(name));
            // Records may be large, and the newest are mostly enough.
            query.limit = usize::try_from(indices).unwrap_or(1).saturating_mul(2) + 8;
            let mut found = BTreeSet::new();
            for page in 0..=MAX_PAGES {
                if page == MAX_PAGES {
                    return Ok(None);
                }
                let read = self.bounded("history", self.store.history(&query)).await?;
                for run in read
                    .runs
                    .iter()
                    .filter(|run| is_of_chain(&run.key, indices) && counts(run))
                {
                    found.insert(run.key.index);
                    let this = Last::of(run);
                    let known = last.entry(run.key.index).or_insert(this);
                    *known = known.or(this);
                }
                query.after = read.next;
                query.limit = 1000;
                let has_all = found.len() >= usize::try_from(indices).unwrap_or(usize::MAX);
                if has_all || query.after.is_none() {
                    break;
                }
            }
        }
        Ok(Some(last))
    }
}

/// Whether the end of a run begins the delay of the next one of its index.
pub(super) fn is_of_chain(key: &RunKey, indices: u32) -> bool {
    key.index <= indices && (key.is_following() || key.kind == RunKind::Scheduled)
}

/// The run after `last`: later than it in any case, whatever the store's clock did meanwhile.
fn next_run(
    spec: &TaskSpec,
    delay: Duration,
    index: u32,
    last: Option<&Last>,
    first_seen: Timestamp,
) -> Enqueue {
    let tick = last.map_or(first_seen, |last| {
        (last.ended_at + delay).max(last.tick + Duration::from_millis(1))
    });
    let tick = spec.fires_at(tick);
    let reason = match last {
        None => "due at once: no run before it is on record".to_owned(),
        Some(last) => format!(
            "due {} after the end of {} ({})",
            format_duration(delay),
            last.tick,
            last.state
        ),
    };
    let key = RunKey::following(spec.name().clone(), tick, index);
    let mut run = Enqueue::new(key, reason);
    run.max_running = spec.limit();
    run.on_crash = spec.on_crash();
    run
}
