//! Moves backfills on: which node looks when, and which backfills it takes a step of.
//!
//! One node looks at every hint, the one where a run ended looks then, and all look after a beat,
//! so a backfill goes on as long as anybody lives who can run its task. Of several backfills of one
//! task the oldest goes first. How a step works stands in [`super::expansion`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, Claim, Moment, RequestId, RunKind, StoreError, TaskName, Timestamp,
};

use super::Runner;
use super::expansion::Next;
use crate::hash::Hash;

/// The shortest time between two looks.
const SPACING: Duration = Duration::from_millis(100);

/// What this node knows of backfills.
#[derive(Debug)]
pub(super) struct Backfilling {
    next: Option<Moment>,
    looked_at: Moment,
    is_looking: bool,
    /// The backfills of which a step is under way.
    steps: HashSet<RequestId>,
    cancelled: HashSet<RequestId>,
    /// Where each backfill was at the last look.
    seen: HashMap<RequestId, Timestamp>,
    /// Steps are this node's own to take, whatever other nodes do.
    is_called: bool,
}

impl Backfilling {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next: None,
            looked_at: now,
            is_looking: false,
            steps: HashSet::new(),
            cancelled: HashSet::new(),
            seen: HashMap::new(),
            is_called: false,
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.next.filter(|_| !self.is_looking)
    }

    /// Looks soon, as one of many who do.
    pub(super) fn look_at(&mut self, at: Moment) {
        let at = at.max(self.looked_at + SPACING);
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Looks soon, as the one who knows that there is something to do.
    fn look_myself(&mut self, at: Moment) {
        self.is_called = true;
        self.look_at(at);
    }
}

impl Runner {
    pub(super) fn look_at_backfills(&mut self, now: Moment) {
        if self.backfilling.next().is_none_or(|next| next > now) {
            return;
        }
        self.backfilling.next = None;
        self.backfilling.looked_at = now;
        self.backfilling.is_looking = true;
        self.ops.spawn(self.calls.clone().backfills());
    }

    /// Something may have been asked for: one node looks at once.
    pub(super) fn backfills_hinted(&mut self, now: Moment) {
        if self.looks_first() {
            self.backfilling.look_at(now);
        }
    }

    fn looks_first(&self) -> bool {
        self.peers.rank(Hash::new(6).text("backfill").finish()) == 0
    }

    /// A run of a backfill ended here and the store knows it: there is room for the next.
    pub(super) fn backfill_run_ended(&mut self, kind: &RunKind, now: Moment) {
        if matches!(kind, RunKind::Backfill(_)) {
            self.backfilling.look_myself(now);
        }
    }

    pub(super) fn backfills(&mut self, answer: Result<Vec<Backfill>, StoreError>) {
        self.backfilling.is_looking = false;
        let is_called = std::mem::take(&mut self.backfilling.is_called) || self.looks_first();
        let all = match answer {
            Ok(all) => all,
            Err(error) => return self.trouble("backfills", &error),
        };
        let cancelled = all
            .iter()
            .filter(|backfill| backfill.state == BackfillState::Cancelled);
        self.backfilling.cancelled = cancelled.map(|backfill| backfill.id.clone()).collect();
        let cursors = all
            .iter()
            .filter(|backfill| backfill.state == BackfillState::Running)
            .map(|backfill| (backfill.id.clone(), backfill.cursor));
        let before = std::mem::replace(&mut self.backfilling.seen, cursors.collect());
        let mut tasks: HashSet<TaskName> = HashSet::new();
        for backfill in all {
            if backfill.state != BackfillState::Running || !tasks.insert(backfill.task.clone()) {
                continue;
            }
            // What moved since the last look is in somebody's hands.
            let moves = before.get(&backfill.id) != Some(&backfill.cursor);
            if is_called || !moves {
                self.step_backfill(backfill);
            }
        }
    }

    fn step_backfill(&mut self, backfill: Backfill) {
        let work = self
            .table
            .id_of(&backfill.task)
            .filter(|id| self.table.is_listed(*id))
            .and_then(|id| self.table.work(id));
        let (Some(work), Some(now)) = (work, self.time.at(self.clock.now())) else {
            return;
        };
        let spec = work.spec.clone();
        if self.backfilling.steps.insert(backfill.id.clone()) {
            self.ops
                .spawn(self.calls.clone().expand(backfill, spec, now));
        }
    }

    pub(super) fn expanded(&mut self, id: &RequestId, answer: Result<Next, StoreError>) {
        let now = self.clock.now();
        self.backfilling.steps.remove(id);
        match answer {
            Ok(next) => {
                self.take.look_now(now);
                match next {
                    // Another of the same task may have waited for this one.
                    Next::Now | Next::Over => self.backfilling.look_myself(now),
                    Next::After(pause) => self.backfilling.look_myself(now + pause),
                    Next::Waits => {}
                }
            }
            Err(error) => self.trouble("expand a backfill", &error),
        }
    }

    /// Lets go of a run whose backfill somebody has cancelled meanwhile. Gives back any other.
    pub(super) fn unless_cancelled(&mut self, claim: Claim) -> Option<Claim> {
        let RunKind::Backfill(id) = &claim.run.key.kind else {
            return Some(claim);
        };
        if !self.backfilling.cancelled.contains(id) {
            return Some(claim);
        }
        self.let_go(claim.run, "its backfill was cancelled");
        None
    }
}
