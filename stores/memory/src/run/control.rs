//! What people ask for: pausing, runs out of turn, backfills, pruning.

use tenure_core::{
    Backfill, Enqueue, Enqueued, Note, Pause, Prune, RunKey, RunRecord, RunState, TaskName,
    Timestamp,
};

use super::{HistoryOrder, Now, Run, Runs, key_of};

impl Runs {
    pub(super) fn pause(&mut self, task: &TaskName, pause: &Pause, now: Now) {
        if let Some(task) = self.task_mut(task, now) {
            task.pause = Some(Box::new(pause.clone()));
        }
        self.note(now, Note::paused(task, pause));
    }

    pub(super) fn resume(&mut self, task: &TaskName, by: &str, why: &str, now: Now) -> bool {
        let was_paused = self.pause_of(task, now).is_some();
        if let Some(task) = self.tasks.get_mut(task) {
            task.pause = None;
        }
        if was_paused {
            self.note(now, Note::resumed(task, by, why));
        }
        was_paused
    }

    pub(super) fn enqueue(&mut self, order: &Enqueue, now: Now) -> Enqueued {
        if let Some(run) = self.get(&order.key) {
            return Enqueued::Exists {
                state: run.record.state,
            };
        }
        if order.only_missing {
            let RunKey {
                task, tick, index, ..
            } = &order.key;
            let scheduled = RunKey::scheduled(task.clone(), *tick, *index);
            let state = self.get(&scheduled).map(|run| run.record.state);
            if let Some(state) = state.filter(|state| is_no_gap(*state)) {
                return Enqueued::NotMissing { state };
            }
        }
        let mut record = RunRecord::new(order.key.clone(), RunState::Waiting, now.wall);
        record.due_at = Some(now.wall + order.due_in);
        record.on_crash = order.on_crash;
        record.asked = Some(order.reason.clone()).filter(|asked| !asked.is_empty());
        let mut run = Run::new(record, now.wall);
        run.overlap = order.overlap;
        run.max_running = order.max_running;
        self.put(run, now);
        Enqueued::Waiting
    }

    pub(super) fn save_backfill(
        &mut self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> bool {
        let next = self.backfills.len() as u64;
        match (self.backfills.get_mut(&backfill.id), expected_cursor) {
            (None, None) => {
                self.backfills
                    .insert(backfill.id.clone(), (next, backfill.clone()));
                true
            }
            (Some((_, kept)), Some(expected)) if kept.cursor == expected => {
                kept.cursor = backfill.cursor;
                kept.state = backfill.state;
                true
            }
            _ => false,
        }
    }

    pub(super) fn backfills(&self) -> Vec<Backfill> {
        let mut all: Vec<_> = self.backfills.values().collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter()
            .map(|(_, backfill)| backfill.clone())
            .collect()
    }

    pub(super) fn prune(&mut self, prune: &Prune, now: Now) -> u64 {
        self.bring_in_order(usize::MAX);
        let most = prune.limit.min(1000);
        let mut gone: Vec<HistoryOrder> = Vec::new();
        let of_one = prune.task.as_ref().map(|task| self.by_task.get(task));
        let tasks = match of_one {
            Some(keys) => keys.into_iter().collect(),
            None => self.by_task.values().collect::<Vec<_>>(),
        };
        for keys in tasks {
            let old = keys
                .iter()
                .skip(usize::try_from(prune.keep_newest).unwrap_or(usize::MAX));
            let room = most.saturating_sub(gone.len());
            let mut kept = 0;
            let unneeded = old
                .filter(|at| self.may_go(at, prune, &mut kept, now))
                .take(room)
                .cloned();
            gone.extend(unneeded);
        }
        for at in &gone {
            self.forget(at);
        }
        if prune.task.is_some() {
            return gone.len() as u64;
        }
        for _ in 0..most {
            if self
                .events
                .front()
                .is_none_or(|(at, _)| *at >= prune.before)
            {
                break;
            }
            self.events.pop_front();
        }
        gone.len() as u64
    }

    /// Whether a record may go, of which `newer` newer ones of its task are in the same states.
    fn may_go(&self, at: &HistoryOrder, prune: &Prune, newer: &mut u32, now: Now) -> bool {
        self.get(&key_of(at)).is_some_and(|run| {
            let state = run.record.state;
            let is_meant =
                state.is_final() && (prune.states.is_empty() || prune.states.contains(&state));
            if !is_meant {
                return false;
            }
            let most = prune.keep_most.filter(|_| prune.task.is_some());
            let is_surplus = most.is_some_and(|most| *newer >= most.min(Prune::MOST_KEPT));
            *newer = newer.saturating_add(1);
            let ended = run.record.ended_at;
            let is_old = ended.is_some_and(|ended_at| ended_at < prune.before);
            (is_old || is_surplus) && run.keep_until <= now.wall
        })
    }
}

/// Whether a tick in this state needs no backfill: it ran well, or somebody has it in hand.
fn is_no_gap(state: RunState) -> bool {
    state == RunState::Succeeded || !state.is_final()
}
