//! What the store's answer to a claim means.

use std::time::Duration;

use tenure_core::{ClaimAnswer, Moment, Refusal, RunState, Timestamp};

use super::claiming::Wanted;
use super::{PausedTask, Runner};
use crate::due::Missed;
use crate::event::RunnerEvent;
use crate::table::TaskId;

/// How often a paused task is looked at if the store gives no hint that it was resumed.
const PAUSE_LOOK: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn decided(
        &mut self,
        wanted: &Wanted,
        answer: ClaimAnswer,
        asked_at: Moment,
        now: Timestamp,
    ) {
        if let ClaimAnswer::Refused(refusal) = answer {
            return self.refused(wanted, refusal, now);
        }
        self.accepted(wanted.task);
        match answer {
            ClaimAnswer::Won(claim) => {
                let me = self.node.id;
                if let Some(owner) = wanted.turn.owner
                    && owner != me
                {
                    self.peers.missed(owner, wanted.task, self.clock.now());
                }
                let in_place_of_another = wanted.turn.owner != Some(me);
                self.won(claim, Some(wanted.task), asked_at, in_place_of_another);
            }
            ClaimAnswer::Taken { by, state, since } => {
                tracing::debug!(
                    task = wanted.task,
                    tick = %wanted.tick,
                    index = wanted.index,
                    %state,
                    by = by.as_ref().map(tracing::field::display),
                    "another node has it"
                );
                if let Some(key) = self.key_of(wanted) {
                    self.remember_other(key, state, by, since);
                }
                if state.is_active() {
                    self.chain_waits(wanted);
                } else {
                    self.chain_goes_on(wanted.task, wanted.tick, wanted.index);
                }
            }
            ClaimAnswer::Waits(because) => {
                // Whoever takes it later ends it; a chain waits for that as for any other node.
                let is_news = self.chain_waits(wanted);
                if let Some(key) = self.key_of(wanted).filter(|_| is_news) {
                    let reason = because.obstacle().unwrap_or_else(|| because.to_string());
                    tracing::info!(run = %key, reason, "waits");
                    self.events.tell(|| RunnerEvent::Queued { key, reason });
                }
            }
            _ => tracing::warn!("the store gave an answer this version does not know"),
        }
    }

    fn refused(&mut self, wanted: &Wanted, refusal: Refusal, now: Timestamp) {
        let id = wanted.task;
        if let Refusal::StaleGeneration { current } = &refusal
            && self.is_becoming(id, current)
        {
            return self.claim_again_soon(wanted);
        }
        let before = match refusal {
            // The ticks of the chain stay due and are planned anew.
            Refusal::TooEarly { .. }
            | Refusal::NodeLapsed
            | Refusal::StoreForgot
            | Refusal::Paused { .. } => self.chains.remove((id, wanted.index), wanted.before),
            _ => {
                self.chain_goes_on(id, wanted.tick, wanted.index);
                wanted.before
            }
        };
        match refusal {
            Refusal::TooEarly { by } => self.table.reopen(id, before, now + by),
            Refusal::NodeLapsed => {
                self.lapsed();
                self.lease.distrust(self.clock.now());
                self.table.reopen(id, before, now);
            }
            // Put back what is remembered first, then plan anew.
            Refusal::StoreForgot => self.table.reopen(id, before, now),
            Refusal::Paused { by } => {
                self.table.reopen(id, before, now + PAUSE_LOOK);
                self.paused_by(id, by);
            }
            Refusal::TooLate { by } => {
                self.accepted(id);
                let missed = Missed {
                    ticks: vec![wanted.tick],
                    more: 0,
                    open: now,
                };
                let why = format!("claimed {by:?} after its window");
                self.give_up(id, &missed, Some(&why));
            }
            Refusal::Overlap { .. }
            | Refusal::Limit { .. }
            | Refusal::QueueFull { .. }
            | Refusal::Replaced { .. } => {
                self.accepted(id);
                if let Some(key) = self.key_of(wanted) {
                    self.remember_other(key.clone(), RunState::Skipped, None, now);
                    let reason = refusal.to_string();
                    tracing::info!(run = %key, reason, "skipped");
                    self.events.tell(|| RunnerEvent::Skipped { key, reason });
                }
            }
            Refusal::StaleGeneration { current } => {
                if self.stale.insert(id)
                    && let Some(spec) = self.table.spec(id)
                {
                    let current = current.to_string();
                    tracing::warn!(task = %spec.name(), current, ours = %spec.generation(),
                        "another definition of the task is current; this node leaves it alone");
                    self.events.tell(|| RunnerEvent::Stale {
                        task: spec.name().clone(),
                        current,
                    });
                }
            }
            _ => tracing::warn!(%refusal, "the store refused a claim for a reason unknown here"),
        }
    }

    /// The store decided about a claim of this task, so it is neither paused nor stale.
    fn accepted(&mut self, id: TaskId) {
        if !self.stale.is_empty() {
            self.stale.remove(&id);
        }
        let Some(paused) = self.paused.remove(&id) else {
            return;
        };
        if let Some(spec) = self.table.spec(id) {
            tracing::info!(task = %spec.name(), "resumed");
            self.events.tell(|| RunnerEvent::Resumed {
                task: spec.name().clone(),
            });
        }
        if let Some(missed) = &paused.missed {
            let why = format!("the task was paused by {}", paused.by);
            self.give_up(id, missed, Some(&why));
        }
    }

    pub(super) fn paused_by(&mut self, id: TaskId, by: String) {
        if let Some(paused) = self.paused.get_mut(&id) {
            // Its ticks will be found again when it is looked at again.
            paused.missed = None;
            paused.by = by;
            return;
        }
        if let Some(spec) = self.table.spec(id) {
            tracing::info!(task = %spec.name(), by, "paused");
            self.events.tell(|| RunnerEvent::Paused {
                task: spec.name().clone(),
                by: by.clone(),
            });
        }
        self.paused.insert(id, PausedTask { by, missed: None });
    }

    /// Looks at paused tasks now: something hinted that one may have been resumed.
    pub(super) fn look_at_paused(&mut self, now: Timestamp) {
        for id in self.paused.keys() {
            self.table.hasten(*id, now);
        }
    }
}
