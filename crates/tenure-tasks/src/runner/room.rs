//! How many runs this node takes on: of one task (`max_running_per_node`), and of all
//! ([`RunnerOptions::max_running`](crate::RunnerOptions::max_running)).
//!
//! A tick that this node has no room for is held, for other nodes to claim, until there is room or
//! its window has closed. What was claimed and not answered counts as running, and so does what a
//! request for waiting runs may bring.

use tenure_core::{Moment, Take, TaskRoom};

use super::Runner;
use super::claiming::Wanted;
use crate::due::Missed;
use crate::table::TaskId;

#[derive(Debug, Default)]
pub(super) struct Room {
    held: Vec<Wanted>,
    /// How many runs the request for waiting runs that is under way may bring.
    taking: usize,
    taking_of: Vec<(TaskId, usize)>,
}

impl Room {
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
    /// How many more runs this node takes on, whatever their tasks.
    fn room_in_all(&self) -> usize {
        let Some(most) = self.options.max_running else {
            return usize::MAX;
        };
        let taken = self.running.len() + self.claims.in_flight() + self.room.taking;
        most.saturating_sub(taken)
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
        self.room_in_all() > 0 && self.room_of(id) > 0
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
        let limit = self.room_in_all().min(limit);
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
