//! How many runs this node takes on: of one task (`max_running_per_node`), and of all
//! ([`RunnerOptions::max_running`](crate::RunnerOptions::max_running)).
//!
//! A tick that this node has no room for is held, for other nodes to claim, until there is room or
//! its window has closed. What was claimed and not answered counts as running, and so does what a
//! request for waiting runs may bring.
//!
//! The limit on all holds for the managers of a process together: each says in a shared list how
//! many runs it has taken on or is about to, and reserves under that list's lock before it claims.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_core::{Moment, Take, TaskRoom};

use super::Runner;
use super::claiming::Wanted;
use crate::due::Missed;
use crate::table::TaskId;

/// How many runs each manager of a process has taken on.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeRoom(Arc<Mutex<Vec<usize>>>);

impl NodeRoom {
    /// The part of one more manager.
    pub(crate) fn part(&self) -> Part {
        let mut taken = self.taken();
        taken.push(0);
        Part {
            place: taken.len() - 1,
            room: self.clone(),
        }
    }

    /// A panic elsewhere leaves the list whole: every change to it is a single assignment.
    fn taken(&self) -> MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One manager's part of a node's room.
#[derive(Debug)]
pub(crate) struct Part {
    room: NodeRoom,
    place: usize,
}

impl Part {
    /// Reserves up to `wanted` runs besides the manager's `own`, so that all together stay within
    /// `most`. Tells how many there is room for.
    fn reserve(&self, own: usize, wanted: usize, most: usize) -> usize {
        let mut taken = self.room.taken();
        let others = taken.iter().enumerate();
        let others = others.filter(|(place, _)| *place != self.place);
        let others: usize = others.map(|(_, runs)| *runs).sum();
        let granted = most.saturating_sub(own + others).min(wanted);
        if let Some(ours) = taken.get_mut(self.place) {
            *ours = own + granted;
        }
        granted
    }

    /// So many runs are the manager's in fact: what else was reserved is free for the others.
    fn settle(&self, own: usize) {
        if let Some(ours) = self.room.taken().get_mut(self.place) {
            *ours = own;
        }
    }
}

/// A runner that is gone runs nothing.
impl Drop for Part {
    fn drop(&mut self) {
        self.settle(0);
    }
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// The part in what the process takes on; `None` for a manager that is alone.
    part: Option<Part>,
    held: Vec<Wanted>,
    /// How many runs the request for waiting runs that is under way may bring.
    taking: usize,
    taking_of: Vec<(TaskId, usize)>,
}

impl Room {
    /// Shares the limit on all runs with other managers.
    pub(super) fn share(&mut self, part: Part) {
        self.part = Some(part);
    }

    /// Takes out all that is held.
    pub(super) fn take_held(&mut self) -> Vec<Wanted> {
        std::mem::take(&mut self.held)
    }

    /// The request for waiting runs has been answered.
    pub(super) fn has_taken(&mut self) {
        self.taking = 0;
        self.taking_of.clear();
    }
}

impl Runner {
    /// How many of `wanted` more runs this node takes on, whatever their tasks. They are reserved
    /// until [`Runner::settle_room`].
    fn room_in_all(&self, wanted: usize) -> usize {
        let Some(most) = self.options.max_running else {
            return wanted;
        };
        let own = self.taken_on();
        match &self.room.part {
            Some(part) => part.reserve(own, wanted, most),
            None => most.saturating_sub(own).min(wanted),
        }
    }

    fn taken_on(&self) -> usize {
        self.running.len() + self.claims.in_flight() + self.room.taking
    }

    /// Tells the process' other managers how many runs this one has.
    pub(super) fn settle_room(&self) {
        if let (Some(part), Some(_)) = (&self.room.part, self.options.max_running) {
            part.settle(self.taken_on());
        }
    }

    /// How many more runs of a task this node takes on.
    fn room_of(&self, id: TaskId) -> usize {
        let spec = self.table.spec(id);
        let Some((spec, most)) = spec.and_then(|spec| Some((spec, spec.max_running_per_node()?)))
        else {
            return usize::MAX;
        };
        let of_task = self.running.values();
        let running = of_task.filter(|running| running.run.key.task == *spec.name());
        let taking = self.room.taking_of.iter().find(|(task, _)| *task == id);
        let taken =
            running.count() + self.claims.in_flight_of(id) + taking.map_or(0, |(_, runs)| *runs);
        usize::try_from(most)
            .unwrap_or(usize::MAX)
            .saturating_sub(taken)
    }

    pub(super) fn has_room(&self, id: TaskId) -> bool {
        self.room_of(id) > 0 && self.room_in_all(1) > 0
    }

    /// Leaves a tick to other nodes until there is room for it here.
    pub(super) fn hold(&mut self, wanted: Wanted) {
        tracing::debug!(task = wanted.task, tick = %wanted.tick, "no room for it here");
        self.room.held.push(wanted);
    }

    /// Goes on with ticks that there is room for now, and gives up those whose window has closed.
    pub(super) fn look_at_held(&mut self, now: Moment) {
        let Some(store_now) = self.time.at(now).filter(|_| !self.room.held.is_empty()) else {
            return;
        };
        for wanted in self.room.take_held() {
            let Some(spec) = self.table.spec(wanted.task) else {
                continue;
            };
            if wanted.tick + spec.claim_window() < store_now {
                let why = match (spec.max_running_per_node(), self.options.max_running) {
                    (Some(most), _) => format!("max_running_per_node = {most}"),
                    (None, most) => format!("[node] max_running = {}", most.unwrap_or_default()),
                };
                let why = format!("no node had room for it within its window ({why} here)");
                let missed = Missed {
                    ticks: vec![wanted.tick],
                    more: 0,
                    open: wanted.tick,
                };
                self.give_up(wanted.task, &missed, Some(&why));
                self.chain_goes_on(wanted.task, wanted.tick, wanted.index);
            } else if self.has_room(wanted.task) {
                self.claims.queue.push_back(wanted);
            } else {
                self.room.held.push(wanted);
            }
        }
    }

    /// A request for at most `limit` waiting runs that there is room for; nothing if there is none.
    pub(super) fn take_with_room(&mut self, limit: usize) -> Option<Take> {
        let limit = self.room_in_all(limit);
        if limit == 0 {
            return None;
        }
        let mut take = Take::new(self.node.id, limit);
        let mut taking_of = Vec::new();
        for (id, spec) in self.table.limited() {
            let room = self.room_of(id);
            if room < limit {
                take.room.push(TaskRoom::new(spec.name().clone(), room));
            }
            taking_of.push((id, room.min(limit)));
        }
        if self.options.max_running.is_some() {
            self.room.taking = limit;
        }
        self.room.taking_of = taking_of;
        Some(take)
    }
}
