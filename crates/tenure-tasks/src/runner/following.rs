//! Tasks whose schedule is a delay (`@after`): puts the next run of each index into the store when
//! the one before has ended.
//!
//! Such a run waits in the store like one that somebody asked for, under a name that follows from
//! the record of the run before it. So whoever looks, on whatever node and however often, makes the
//! same run once. The node on which a run ended looks at once; every node looks again and again, so
//! that a chain goes on whoever dies. A run of the task's own schedule from before counts as a run
//! before; what somebody asked for stands beside the chain.
//!
//! Where the store forgot things, the node on which a run ended knows when that was, and the others
//! begin no chain until everybody has had the time to put back what they know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Cancel, Enqueue, HistoryQuery, Moment, RunKey, RunKind, RunRecord, RunState, StoreError,
    TaskName, TaskRecord, Timestamp, format_duration,
};

use super::Runner;
use super::calls::{Calls, Done};
use crate::hash::Hash;
use crate::spec::TaskSpec;
use crate::table::TaskId;

/// How long other nodes leave the next run to the one on which the last has ended.
const GRACE: Duration = Duration::from_secs(2);

/// How many tasks one look is about.
const MOST: usize = 32;

/// How many pages of records are read to find the last run of a task; the first is a short one.
const MAX_PAGES: usize = 40;

/// When to look at which task.
#[derive(Debug, Default)]
pub(super) struct Following {
    looks: BTreeSet<(Moment, TaskId)>,
    planned: BTreeMap<TaskId, Moment>,
    /// Those of which a run has ended here.
    ended: BTreeSet<TaskId>,
    /// How the last run of an index ended here, and how many losses of the store were known then.
    ends: BTreeMap<(TaskId, u32), (Last, u32)>,
    is_busy: bool,
    /// Some task has been a chain here: most nodes have none, and very many runs end on them.
    is_used: bool,
}

impl Following {
    pub(super) fn next(&self) -> Option<Moment> {
        let first = self.looks.first().map(|(at, _)| *at);
        first.filter(|_| !self.is_busy)
    }

    /// Looks at a task at `at`, or earlier if that was planned.
    pub(super) fn look_at(&mut self, id: TaskId, at: Moment) {
        if let Some(planned) = self.planned.get(&id).copied() {
            if planned <= at {
                return;
            }
            self.looks.remove(&(planned, id));
        }
        self.planned.insert(id, at);
        self.looks.insert((at, id));
    }

    fn pop(&mut self, now: Moment) -> Option<TaskId> {
        let (at, id) = *self.looks.first()?;
        if at > now {
            return None;
        }
        self.looks.pop_first();
        self.planned.remove(&id);
        Some(id)
    }
}

/// A task to look at.
#[derive(Debug)]
pub(super) struct Asked {
    id: TaskId,
    spec: Arc<TaskSpec>,
    /// A run of it has ended on this node, which had its definition in force.
    has_ended_here: bool,
    /// The ends that this node heard of before the store forgot something.
    ends: BTreeMap<u32, Last>,
    /// Whether nobody is about to put back a run of it.
    may_begin: bool,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    /// When its next run is due, if that is known.
    due_at: Option<Timestamp>,
    /// When to look again, if that is before the usual time.
    again_at: Option<Timestamp>,
}

/// What is known of the last run of an index.
#[derive(Debug, Clone, Copy)]
struct Last {
    tick: Timestamp,
    state: RunState,
    ended_at: Timestamp,
    due_at: Option<Timestamp>,
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
            let last = last.get(&index).copied();
            // What was put back says that it ended then.
            let own = asked.ends.get(&index);
            let last = match (own, last) {
                (Some(own), Some(last)) => Some(own.or(last)),
                (own, last) => own.copied().or(last),
            };
            if last.is_none() && !asked.may_begin {
                continue;
            }
            let last = last.as_ref();
            if let Some(last) = last.filter(|last| !last.state.is_final()) {
                looked.due_at = looked.due_at.into_iter().chain(last.due_at).min();
                continue;
            }
            if !asked.has_ended_here || last.is_none() {
                let again_at = last.map(|last| last.ended_at + GRACE);
                if let Some(again_at) = again_at.filter(|at| *at > now()) {
                    looked.again_at = looked.again_at.into_iter().chain([again_at]).min();
                    continue;
                }
                if self.in_force(spec, known).await?.is_none() {
                    return Ok(looked);
                }
            }
            let mut last = last.copied();
            if !asked.has_ended_here || last.is_none() {
                if later.is_none() {
                    let known = known.as_deref().unwrap_or_default();
                    later = Some(self.runs_under_later_names(spec, known).await?);
                }
                let of_index = later.iter().find_map(|runs| runs.get(&index)).copied();
                if of_index.is_some_and(|run| !run.state.is_final()) {
                    continue;
                }
                last = last.map(|last| of_index.map_or(last, |later| last.or(later)));
                last = last.or(of_index);
            }
            let first_seen = match last {
                Some(_) => None,
                None => self.in_force(spec, known).await?,
            };
            let first_seen = first_seen.unwrap_or_else(now);
            runs.push(next_run(spec, delay, index, last.as_ref(), first_seen));
        }
        for chunk in runs.chunks_mut(self.max_batch) {
            let asked_at = now();
            for run in &mut *chunk {
                run.due_in = run.key.tick.since(asked_at);
            }
            self.bounded("enqueue", self.store.enqueue(chunk)).await?;
            // By the store's clock they are due later than they should be by as long as it took.
            let took = now().since(asked_at);
            let due = chunk.iter().map(|run| run.key.tick + took);
            looked.due_at = looked.due_at.into_iter().chain(due).min();
        }
        Ok(looked)
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
fn is_of_chain(key: &RunKey, indices: u32) -> bool {
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

impl Runner {
    /// A task entered: if it is a chain, it is looked at, and now and then from now on.
    pub(super) fn follow_if_chain(&mut self, id: TaskId) {
        let spec = self.table.spec(id);
        if spec.is_some_and(|spec| spec.schedule().delay().is_some()) {
            self.following.is_used = true;
            self.following.look_at(id, self.clock.now());
        }
    }

    /// A run is over and the store knows it.
    pub(super) fn follow_run(&mut self, key: &RunKey, state: RunState, ended_at: Timestamp) {
        let id = self
            .following
            .is_used
            .then(|| self.table.id_of(&key.task))
            .flatten();
        let Some((id, spec)) = id.and_then(|id| Some((id, self.table.spec(id)?))) else {
            return;
        };
        if spec.schedule().delay().is_some() && is_of_chain(key, spec.concurrency()) {
            self.following.ended.insert(id);
            self.following.look_at(id, self.clock.now());
            let last = Last {
                tick: key.tick,
                state,
                ended_at,
                due_at: None,
            };
            let end = (last, self.memory.era());
            self.following.ends.insert((id, key.index), end);
        }
    }

    /// The store has heard again what this node knows: looks at the tasks whose runs ended here,
    /// before anybody takes what was put back for a run that has just ended.
    pub(super) fn follow_after_loss(&mut self) {
        let ids: BTreeSet<TaskId> = self.following.ends.keys().map(|(id, _)| *id).collect();
        let now = self.clock.now();
        for id in ids {
            self.following.look_at(id, now);
        }
    }

    /// What this node knows of a task's last runs and the store may have forgotten.
    fn ends_before_loss(&self, id: TaskId) -> BTreeMap<u32, Last> {
        let ends = self.following.ends.range((id, 0)..=(id, u32::MAX));
        ends.filter(|(_, (_, era))| *era != self.memory.era())
            .map(|((_, index), (last, _))| (*index, *last))
            .collect()
    }

    /// Why a run of a chain is not to run any more, if so.
    pub(super) fn is_unfollowed(&self, key: &RunKey, task: Option<TaskId>) -> Option<&'static str> {
        let spec = task.and_then(|id| self.table.spec(id))?;
        match spec.schedule().delay() {
            _ if !key.is_following() => None,
            None => Some("the task has a schedule now"),
            Some(_) if key.index > spec.concurrency() => Some("the task has no such index now"),
            Some(_) => None,
        }
    }

    pub(super) fn follow_if_due(&mut self, now: Moment) {
        if self.following.next().is_none_or(|next| next > now) {
            return;
        }
        let Some(store_now) = self.time.at(now) else {
            return;
        };
        let may_begin = self.memory.all_have_told(now, self.options.node_ttl);
        let mut asked = Vec::new();
        while asked.len() < MOST
            && let Some(id) = self.following.pop(now)
        {
            let has_ended_here = self.following.ended.remove(&id);
            let work = self.table.work(id).filter(|_| self.table.is_listed(id));
            let Some(spec) = work.map(|work| work.spec.clone()) else {
                self.following.ends.retain(|(of, _), _| *of != id);
                continue;
            };
            asked.push(Asked {
                id,
                spec,
                has_ended_here,
                ends: self.ends_before_loss(id),
                may_begin,
            });
        }
        if !asked.is_empty() {
            self.following.is_busy = true;
            self.ops
                .spawn(self.calls.clone().follow(asked, (now, store_now)));
        }
    }

    pub(super) fn followed(&mut self, asked: &[Asked], answer: Result<Vec<Looked>, StoreError>) {
        let now = self.clock.now();
        self.following.is_busy = false;
        let looked = match answer {
            Ok(looked) => looked,
            Err(error) => {
                self.trouble("follow", &error);
                for asked in asked {
                    if asked.has_ended_here {
                        self.following.ended.insert(asked.id);
                    }
                    self.following
                        .look_at(asked.id, now + self.options.beat_every);
                }
                return;
            }
        };
        for (asked, looked) in asked.iter().zip(looked) {
            if asked.spec.schedule().delay().is_none() {
                continue;
            }
            let hash = Hash::new(8).text("follow").text(asked.spec.name().as_str());
            let rank = u32::try_from(self.peers.rank(hash.finish())).unwrap_or(u32::MAX);
            let usual = now + self.options.beat_every * (1 + rank.min(3));
            let again_at = looked.again_at.and_then(|at| self.time.moment_of(at));
            let next = again_at.map_or(usual, |at| at.clamp(now + GRACE / 10, usual));
            self.following.look_at(asked.id, next);
            // Others find it when they look for whatever waits.
            let due_at = looked.due_at.and_then(|due| self.time.moment_of(due));
            if let Some(due_at) = due_at.filter(|due| *due < usual + GRACE)
                && (rank == 0 || asked.has_ended_here)
            {
                self.take.look_at(due_at.max(now));
            }
        }
    }
}
