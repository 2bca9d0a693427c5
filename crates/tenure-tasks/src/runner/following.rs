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

use tenure_core::{Moment, RunKey, RunState, StoreError, Timestamp};

use super::Runner;
use super::successors::{Asked, GRACE, Last, Looked, is_of_chain};
use crate::hash::Hash;
use crate::table::TaskId;

/// How many tasks one look is about.
const MOST: usize = 32;

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
