//! Winning runs: claims of scheduled ticks, and taking what waits.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use tenure_core::{
    Admission, Cancel, Claim, ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Crowd, Ended,
    HolderId, MaxRunning, OnChange, Overlap, Refusal, RunKey, RunKind, RunRecord, RunRef, RunState,
    StartMode, Take, TaskName, Timestamp, Token,
};

use super::{Now, Run, Runs, TAKES_KEPT, Task};

impl Runs {
    pub(super) fn claim(&mut self, batch: &ClaimBatch, now: Now) -> ClaimReply {
        let refused = |refusal: Refusal| {
            let items = batch.items.iter();
            items
                .map(|_| ClaimAnswer::Refused(refusal.clone()))
                .collect()
        };
        let answers = if !self.is_alive(batch.node, now) {
            self.sequence += 1;
            refused(Refusal::NodeLapsed)
        } else if self.seen_by(batch.node).is_behind(&batch.seen) {
            // It must not look afterwards as if this node had been answered.
            refused(Refusal::StoreForgot)
        } else {
            self.sequence += 1;
            self.called(batch.node);
            self.claim_all(batch, now)
        };
        ClaimReply::new(now.wall, self.sequence, self.epoch(), answers)
    }

    /// Decides earlier ticks first, so that of two that must not overlap the earlier one wins. The
    /// answers stand in the order of the items.
    fn claim_all(&mut self, batch: &ClaimBatch, now: Now) -> Vec<ClaimAnswer> {
        if batch.items.is_sorted_by_key(|item| item.tick) {
            let items = batch.items.iter();
            return items.map(|item| self.claim_one(batch, item, now)).collect();
        }
        let mut by_tick: Vec<(usize, &ClaimItem)> = batch.items.iter().enumerate().collect();
        by_tick.sort_by_key(|(_, item)| item.tick);
        let mut answers: Vec<(usize, ClaimAnswer)> = by_tick
            .into_iter()
            .map(|(at, item)| (at, self.claim_one(batch, item, now)))
            .collect();
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn claim_one(&mut self, batch: &ClaimBatch, item: &ClaimItem, now: Now) -> ClaimAnswer {
        let key = item.key();
        if let Some(run) = self.get(&key) {
            return repeated(run, item.token);
        }
        let task = self.tasks.get(&item.task);
        if let Some(run) = self.under_another_name(task, item) {
            return taken(run, Some(&run.record.key.task));
        }
        if let Err(refusal) = self.may_claim(batch, item, task, now) {
            return ClaimAnswer::Refused(refusal);
        }
        self.saw_tick(&key, now);
        let mut record = RunRecord::new(key.clone(), RunState::Skipped, now.wall);
        record.generation = Some(item.generation.clone());
        record.on_crash = item.on_crash;
        let mut run = Run::new(record, now.wall + item.keep_for());
        run.claimed_with = Some(item.token);
        run.overlap = item.overlap;
        run.max_running = item.max_running;
        match item.admit(&self.crowd(item)) {
            Admission::Begin => {
                let claim = self.give(run, batch.node, item.token, batch.start, now);
                ClaimAnswer::Won(claim)
            }
            Admission::Wait {
                because,
                replaces,
                cancels,
            } => {
                if replaces {
                    self.replace_queued(&key, now);
                }
                if cancels {
                    self.cancel_other(item, &key);
                }
                run.record.state = RunState::Waiting;
                run.record.due_at = Some(key.tick.min(now.wall));
                run.record.reason = because.obstacle();
                run.kept_back = Some(because.clone());
                self.put(run, now);
                ClaimAnswer::Waits(because)
            }
            Admission::Skip(because) => {
                run.record.reason = because.obstacle();
                run.record.ended_at = Some(now.wall);
                run.kept_back = Some(because.clone());
                self.put(run, now);
                ClaimAnswer::Refused(because)
            }
        }
    }

    /// The same run under a name that the task had before, or one that it went on under and came
    /// back from.
    fn under_another_name(&self, task: Option<&Task>, item: &ClaimItem) -> Option<&Run> {
        let definitions = task.into_iter().flat_map(|task| &task.definitions);
        let renamed_to = definitions.filter_map(|definition| match &definition.ended {
            Some(Ended::Renamed(name)) => Some(name),
            _ => None,
        });
        let mut names = item.aliases.iter().chain(renamed_to);
        names.find_map(|name| self.get(&item.key_under(name)))
    }

    /// What there is around a claim.
    fn crowd(&self, item: &ClaimItem) -> Crowd {
        let slot = (item.task.clone(), item.index);
        let mut crowd = Crowd::default();
        let mut active = self.active_by_slot.get(&slot).into_iter().flatten();
        crowd.blocker = active.find(|key| is_scheduled(key)).cloned();
        if !self.queued.is_empty()
            && let Some(queued) = self.queued.get(&slot)
        {
            crowd.queued = queued.last().cloned();
            crowd.queue_len = u32::try_from(queued.len()).unwrap_or(u32::MAX);
        }
        if let Some(max) = item.max_running {
            for key in self.in_hand_of(&item.task, max) {
                crowd.in_hand += 1;
                crowd.scheduled += u32::from(is_scheduled(key));
            }
        }
        crowd
    }

    /// The runs that a task's limit counts.
    fn in_hand_of(&self, task: &TaskName, max: MaxRunning) -> impl Iterator<Item = &RunKey> {
        (1..=max.indices)
            .filter_map(move |index| self.active_by_slot.get(&(task.clone(), index)))
            .flatten()
    }

    /// Skips what waits for its first attempt, in favour of `newer`.
    fn replace_queued(&mut self, newer: &RunKey, now: Now) {
        let slot = (newer.task.clone(), newer.index);
        let older = self.queued.get(&slot).cloned().unwrap_or_default();
        for key in older {
            let Some(mut run) = self.get(&key).cloned() else {
                continue;
            };
            run.record.state = RunState::Skipped;
            run.record.due_at = None;
            run.record.ended_at = Some(now.wall);
            let because = Refusal::Replaced { by: newer.clone() };
            run.record.reason = because.obstacle();
            run.kept_back = Some(because);
            self.put(run, now);
        }
    }

    /// Asks the run in the way of `newer` to stop: that of its index, or else the task's oldest.
    fn cancel_other(&mut self, item: &ClaimItem, newer: &RunKey) {
        let slot = (newer.task.clone(), newer.index);
        let own = self.active_by_slot.get(&slot).into_iter().flatten();
        let own = own.filter(|key| is_scheduled(key)).min().cloned();
        let oldest = || {
            let all = self.in_hand_of(&item.task, item.max_running?);
            all.filter(|key| is_scheduled(key)).min().cloned()
        };
        if let Some(key) = own.or_else(oldest) {
            let cancel = Cancel::by_overlap(key.clone(), newer);
            self.cancels.entry(key).or_insert(cancel);
        }
    }

    /// Everything that refuses a claim without leaving a record.
    fn may_claim(
        &self,
        batch: &ClaimBatch,
        item: &ClaimItem,
        task: Option<&Task>,
        now: Now,
    ) -> Result<(), Refusal> {
        batch.window_is_open(item, now.wall)?;
        if let Some(pause) = task.and_then(|task| task.pause_at(now)) {
            return Err(Refusal::Paused {
                by: pause.by.clone(),
                why: pause.why.clone(),
            });
        }
        match task.and_then(|task| self.current(task, now)) {
            Some(current)
                if current.generation != item.generation
                    && current.on_change != OnChange::Union =>
            {
                let current = current.generation.clone();
                Err(Refusal::StaleGeneration { current })
            }
            _ => Ok(()),
        }
    }

    /// Whether anything in hand keeps a waiting run from beginning. A scheduled run minds scheduled
    /// ones only, so that a requested run never costs a tick; a requested run minds any. The limit
    /// counts all.
    fn is_kept_back(&self, run: &Run) -> bool {
        let key = &run.record.key;
        let is_full = run.max_running.is_some_and(|max| {
            let in_hand = self.in_hand_of(&key.task, max).count();
            in_hand >= usize::try_from(max.runs).unwrap_or(usize::MAX)
        });
        let slot = (key.task.clone(), key.index);
        let mut active = self.active_by_slot.get(&slot).into_iter().flatten();
        is_full
            || run.overlap != Overlap::Allow
                && active.any(|other| !is_scheduled(key) || is_scheduled(other))
    }

    /// Puts a run into a node's hands as its next attempt.
    fn give(
        &mut self,
        mut run: Run,
        node: HolderId,
        token: Token,
        start: StartMode,
        now: Now,
    ) -> Claim {
        let fence = self.next_fence();
        let record = &mut run.record;
        record.attempt += 1;
        record.fence = Some(fence);
        run.node = self.nodes.get(&node).map(|node| node.holder.clone());
        record.claimed_at = Some(now.wall);
        record.due_at = None;
        record.ended_at = None;
        if run.kept_back.take().is_some() {
            record.reason = None;
        }
        (record.state, record.started_at) = match start {
            StartMode::AtOnce => (RunState::Running, Some(now.wall)),
            _ => (RunState::Claimed, None),
        };
        run.token = Some(token);
        let claim = claim_of(&run, token, now.wall);
        self.put(run, now);
        claim
    }

    pub(super) fn take(&mut self, take: &Take, most: usize, now: Now) -> Vec<Claim> {
        if !self.is_alive(take.node, now) {
            return Vec::new();
        }
        if !self.is_first(take) {
            return self.taken_with(take);
        }
        let limit = take.limit.min(most);
        let mut claims = Vec::new();
        let mut looked_at = None;
        let room = take.room.iter().map(|room| (&room.task, room.runs));
        let mut room: HashMap<&TaskName, usize> = room.collect();
        // Each run that is given may stand in the way of the next, so they are found one by one.
        while claims.len() < limit
            && let Some(place) = self.next_to_take(take.node, looked_at.as_ref(), &room, now)
        {
            if let Some(room) = room.get_mut(&place.1.task) {
                *room = room.saturating_sub(1);
            }
            if let Some(mut run) = self.get(&place.1).cloned() {
                run.record.generation = self.current_generation(&place.1.task, now);
                claims.push(self.give(run, take.node, take.token, take.start, now));
            }
            looked_at = Some(place);
        }
        claims
    }

    /// The run that is due the longest of those that wait behind `after` and that `node` may take.
    fn next_to_take(
        &self,
        node: HolderId,
        after: Option<&(Timestamp, RunKey)>,
        room: &HashMap<&TaskName, usize>,
        now: Now,
    ) -> Option<(Timestamp, RunKey)> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting
            .range((behind, Bound::Unbounded))
            .take_while(|(due, _)| *due <= now.wall)
            .filter(|(_, key)| room.get(&key.task) != Some(&0))
            .find(|(_, key)| self.may_take(node, key, now))
            .cloned()
    }

    /// Whether this request did not arrive before, as far as is remembered; remembers it.
    fn is_first(&mut self, take: &Take) -> bool {
        let Some(node) = self.nodes.get_mut(&take.node) else {
            return true;
        };
        if node.takes.contains(&take.token) {
            return false;
        }
        node.takes.push_back(take.token);
        if node.takes.len() > TAKES_KEPT {
            node.takes.pop_front();
        }
        true
    }

    /// What an earlier sending of the same request took, as far as it is still in hand.
    fn taken_with(&self, take: &Take) -> Vec<Claim> {
        let in_hand = self.active_by_node.get(&take.node).into_iter().flatten();
        in_hand
            .filter_map(|(_, key)| self.get(key))
            .filter(|run| run.token == Some(take.token))
            .map(|run| claim_of(run, take.token, run.record.claimed_at.unwrap_or_default()))
            .collect()
    }

    fn may_take(&self, node: HolderId, key: &RunKey, now: Now) -> bool {
        let Some(run) = self.get(key) else {
            return false;
        };
        let task = self.tasks.get(&key.task);
        let mut listed = task.iter().flat_map(|task| &task.listed_by);
        let listed = listed.find(|(lister, _)| *lister == node);
        let listed = listed.map(|(_, definition)| &definition.generation);
        listed.is_some()
            && listed == self.current_generation(&key.task, now).as_ref()
            && self.pause_of(&key.task, now).is_none()
            && !self.is_kept_back(run)
    }
}

/// The answer to a claim whose run is on record: the first answer again, or that it is taken.
fn repeated(run: &Run, token: Token) -> ClaimAnswer {
    let record = &run.record;
    if run.claimed_with == Some(token) {
        // Nothing keeps it back any more once it was taken or cancelled.
        if let Some(because) = &run.kept_back {
            return if record.state == RunState::Waiting {
                ClaimAnswer::Waits(because.clone())
            } else {
                ClaimAnswer::Refused(because.clone())
            };
        }
        if run.token == Some(token) && record.state.is_active() {
            let claimed_at = record.claimed_at.unwrap_or_default();
            return ClaimAnswer::Won(claim_of(run, token, claimed_at));
        }
    }
    taken(run, None)
}

/// `under`: the name of the record, if it is not that of the claim.
fn taken(run: &Run, under: Option<&TaskName>) -> ClaimAnswer {
    let record = &run.record;
    ClaimAnswer::Taken {
        by: run.node.as_deref().cloned(),
        state: record.state,
        since: record.created_at,
        under: under.cloned(),
    }
}

fn is_scheduled(key: &RunKey) -> bool {
    key.kind == RunKind::Scheduled
}

fn claim_of(run: &Run, token: Token, claimed_at: Timestamp) -> Claim {
    let record = &run.record;
    let fence = record.fence.unwrap_or(tenure_core::Fence::new(0));
    let attempt = RunRef::new(record.key.clone(), record.attempt, token);
    let mut claim = Claim::new(attempt, fence, claimed_at, record.on_crash);
    claim.asked = record.asked.as_deref().map(Arc::from);
    claim
}
