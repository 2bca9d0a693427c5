//! Putting back what a node remembers of runs that this store forgot. A store in memory forgets
//! only where a test makes it.

use std::sync::Arc;

use tenure_core::{HolderId, Kept, Remembered, Restore, Restored, RunRecord, RunState, Timestamp};

use super::{Now, Run, Runs};

impl Runs {
    pub(super) fn restore(&mut self, restore: &Restore, now: Now) -> Restored {
        if let Some(known) = restore.noticed
            && self.losses <= known
        {
            self.losses = known + 1;
            self.loss_told_by = Some(restore.node);
        }
        let is_first = self.loss_told_by == Some(restore.node)
            && restore
                .noticed
                .is_some_and(|known| known + 1 == self.losses);
        let due = now.wall + restore.patience;
        let put_back = restore.runs.iter();
        let put_back = put_back.map(|run| self.put_back(run, due, now)).collect();
        Restored::new(self.moment(now), is_first, put_back)
    }

    fn put_back(&mut self, told: &Remembered, due: Timestamp, now: Now) -> bool {
        let mut asked = None;
        if let Some(run) = self.get(&told.key) {
            let record = &run.record;
            let kept = Kept::new(record.state, record.attempt, run.token, record.fence);
            if !told.replaces(&kept) {
                return false;
            }
            asked.clone_from(&record.asked);
        }
        let is_known = told.node.as_ref().is_some_and(|node| self.knows(node.id));
        let state = if is_known {
            told.state
        } else {
            told.state_without_node()
        };
        self.saw_tick(&told.key, now);
        self.fence = self
            .fence
            .max(told.fence.map_or(0, tenure_core::Fence::get));
        let mut record = RunRecord::new(told.key.clone(), state, told.claimed_at);
        record.attempt = told.attempt;
        record.fence = told.fence;
        record.generation.clone_from(&told.generation);
        record.on_crash = told.on_crash;
        record.claimed_at = Some(told.claimed_at);
        record.asked = asked.or_else(|| told.asked.clone());
        record.reason.clone_from(&told.reason);
        match state {
            RunState::Running => record.started_at = Some(told.claimed_at),
            RunState::Waiting => record.due_at = Some(due),
            state if state.is_final() => record.ended_at = Some(now.wall),
            _ => {}
        }
        let mut run = Run::new(record, now.wall + told.keep_for);
        run.node = told.node.clone().map(Arc::new);
        run.overlap = told.overlap;
        run.max_running = told.max_running;
        run.token = told.token;
        run.claimed_with = told.token;
        if let (Some(token), false) = (told.token, state.is_active()) {
            run.ended = Some((told.attempt, token));
        }
        self.put(run, now);
        true
    }

    /// Whether a node's runs would be recovered when its lease ends.
    fn knows(&self, node: HolderId) -> bool {
        self.nodes.contains_key(&node)
    }
}
