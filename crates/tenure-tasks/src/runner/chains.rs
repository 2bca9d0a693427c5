//! Several ticks of one task that are due together, and must not overlap: run one after another.
//!
//! Claimed together, all but the first would be skipped because the first is in hand. So each
//! index has a chain: its head is claimed, and the next tick only when the head's run is over,
//! wherever it runs. A chain is a plan, not a fact: it is dropped and planned anew whenever claims
//! become impossible. A tick whose window closes while it waits here is recorded as missed then,
//! and not only when its turn comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tenure_core::{Moment, RunKey, RunKind, Timestamp, Token};

use super::Runner;
use super::claiming::Wanted;
use super::peers::Turn;
use crate::due::Missed;
use crate::table::TaskId;

/// How often a run of another node is looked at, to see whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often ticks are looked for whose window has closed.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// A task and one of its indices.
type Place = (TaskId, u32);

#[derive(Debug)]
struct Chain {
    ticks: VecDeque<Timestamp>,
    token: Token,
    turn: Turn,
    before: Timestamp,
    /// The head was found to be in hand elsewhere, or to wait.
    is_waiting: bool,
}

#[derive(Debug, Default)]
pub(super) struct Chains {
    by_place: BTreeMap<Place, Chain>,
    /// When to look at which head, by its tick: a chain may have gone on by then.
    looks: BTreeSet<(Moment, Place, Timestamp)>,
    /// When ticks whose window has closed were looked for.
    expired_at: Option<Moment>,
}

impl Chains {
    /// When a chain must be looked at.
    pub(super) fn next(&self) -> Option<Moment> {
        self.looks.first().map(|(at, ..)| *at)
    }

    pub(super) fn clear(&mut self) {
        self.by_place.clear();
        self.looks.clear();
    }

    /// Forgets a chain, because its ticks are planned anew: after the cursor that is told, which
    /// lies before all of them and before `before`.
    pub(super) fn remove(&mut self, place: Place, before: Timestamp) -> Timestamp {
        let chain = self.by_place.remove(&place);
        chain.map_or(before, |chain| chain.before.min(before))
    }

    /// Forgets all chains; tells where each task's cursor was before its ticks were planned.
    pub(super) fn take(&mut self) -> Vec<(TaskId, Timestamp)> {
        self.looks.clear();
        std::mem::take(&mut self.by_place)
            .into_iter()
            .map(|((task, _), chain)| (task, chain.before))
            .collect()
    }

    /// Takes out the ticks behind a head that `closed` says came too long ago; by task and index,
    /// oldest first.
    fn expire(&mut self, closed: impl Fn(TaskId, Timestamp) -> bool) -> Vec<(Place, Timestamp)> {
        let mut expired = Vec::new();
        for (place, chain) in &mut self.by_place {
            while let Some(tick) = chain.ticks.get(1).copied()
                && closed(place.0, tick)
            {
                chain.ticks.remove(1);
                expired.push((*place, tick));
            }
        }
        expired
    }

    fn head(&self, place: Place) -> Option<Wanted> {
        let chain = self.by_place.get(&place)?;
        let (task, index) = place;
        Some(Wanted {
            task,
            tick: *chain.ticks.front()?,
            index,
            token: chain.token,
            turn: chain.turn,
            before: chain.before,
        })
    }

    fn is_head(&self, place: Place, tick: Timestamp) -> bool {
        let chain = self.by_place.get(&place);
        chain.is_some_and(|chain| chain.ticks.front() == Some(&tick))
    }
}

impl Runner {
    /// Plans `ticks` one after another. Answers the first to claim, unless the index has a chain
    /// already, which then grows.
    pub(super) fn chain(
        &mut self,
        place: (TaskId, u32),
        ticks: &[Timestamp],
        turn: Turn,
        before: Timestamp,
    ) -> Option<Wanted> {
        if let Some(chain) = self.chains.by_place.get_mut(&place) {
            let last = chain.ticks.back().copied().unwrap_or_default();
            chain
                .ticks
                .extend(ticks.iter().filter(|tick| **tick > last));
            return None;
        }
        let token = self.token_for(place.0, *ticks.first()?, place.1);
        let chain = Chain {
            ticks: ticks.iter().copied().collect(),
            token,
            turn,
            before,
            is_waiting: false,
        };
        self.chains.by_place.insert(place, chain);
        self.chains.head(place)
    }

    /// Whether other ticks wait for this run to be over.
    pub(super) fn is_chained(&self, wanted: &Wanted) -> bool {
        let place = (wanted.task, wanted.index);
        self.chains.is_head(place, wanted.tick)
    }

    /// Another node has this run in hand, or it waits: if it heads a chain, the chain waits. Tells
    /// whether that is news.
    pub(super) fn chain_waits(&mut self, wanted: &Wanted) -> bool {
        let place = (wanted.task, wanted.index);
        if !self.chains.is_head(place, wanted.tick) {
            return true;
        }
        let at = self.clock.now() + LOOK_EVERY;
        self.chains.looks.insert((at, place, wanted.tick));
        let chain = self.chains.by_place.get_mut(&place);
        chain.is_none_or(|chain| !std::mem::replace(&mut chain.is_waiting, true))
    }

    /// A run is over: if it heads a chain, the next is claimed.
    pub(super) fn chain_goes_on(&mut self, task: TaskId, tick: Timestamp, index: u32) {
        let place = (task, index);
        if !self.chains.is_head(place, tick) {
            return;
        }
        let chain = self.chains.by_place.get(&place);
        let next = chain.and_then(|chain| chain.ticks.get(1).copied());
        let Some(next) = next else {
            self.chains.by_place.remove(&place);
            return;
        };
        let token = self.token_for(task, next, index);
        if let Some(chain) = self.chains.by_place.get_mut(&place) {
            chain.ticks.pop_front();
            chain.token = token;
            chain.is_waiting = false;
        }
        self.claims.queue.extend(self.chains.head(place));
    }

    /// A run of this node is over and the store knows it.
    pub(super) fn chain_ended(&mut self, key: &RunKey) {
        if key.kind == RunKind::Scheduled
            && !self.chains.by_place.is_empty()
            && let Some(task) = self.table.id_of(&key.task)
        {
            self.chain_goes_on(task, key.tick, key.index);
        }
    }

    /// Records as missed what waits behind heads and can no longer be claimed.
    fn expire_chains(&mut self, now: Moment) {
        let next = self.chains.expired_at.map(|last| last + EXPIRE_EVERY);
        if self.chains.by_place.is_empty() || next.is_some_and(|next| now < next) {
            return;
        }
        let Some(store_now) = self.time.at(now) else {
            return;
        };
        self.chains.expired_at = Some(now);
        let table = &self.table;
        let open = |task| {
            let spec = table.spec(task);
            spec.map_or(store_now, |spec| store_now - spec.claim_window())
        };
        let expired = self.chains.expire(|task, tick| tick < open(task));
        let mut by_task: BTreeMap<TaskId, Missed> = BTreeMap::new();
        for ((task, _), tick) in expired {
            let missed = by_task.entry(task).or_insert_with(|| Missed {
                open: open(task),
                ..Missed::default()
            });
            // Each index has a chain of its own.
            if !missed.ticks.contains(&tick) {
                missed.ticks.push(tick);
            }
        }
        for (task, mut missed) in by_task {
            missed.ticks.sort_unstable();
            self.give_up(task, &missed, None);
        }
    }

    /// Asks again after the heads of chains that wait for other nodes, and lets go of what came too
    /// long ago.
    pub(super) fn look_at_chains(&mut self, now: Moment) {
        self.expire_chains(now);
        while let Some((at, place, tick)) = self.chains.looks.first().copied()
            && at <= now
        {
            self.chains.looks.pop_first();
            // A head that came since was claimed when it became the head.
            if self.chains.is_head(place, tick) {
                self.claims.queue.extend(self.chains.head(place));
            }
        }
    }
}
