//! What the store's answer to a claim means.

use std::fmt::Write as _;
use std::time::Duration;

use tenure_core::{ClaimAnswer, Holder, Moment, Refusal, RunState, StartMode, Timestamp};

use super::claiming::Wanted;
use super::runs::Won;
use super::{PausedTask, Runner};
use crate::due::Missed;
use crate::event::{RunnerEvent, SkipCause};
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
        start: StartMode,
    ) {
        if let ClaimAnswer::Refused(refusal) = answer {
            return self.refused(wanted, refusal, now);
        }
        self.claims.is_decided(wanted);
        match answer {
            ClaimAnswer::Won(claim) => {
                self.accepted(wanted.task);
                let me = self.node.id;
                if let Some(owner) = wanted.turn.owner
                    && owner != me
                {
                    self.peers.missed(owner, wanted.task, self.clock.now());
                }
                let in_place_of_another = wanted.turn.owner != Some(me);
                let turn = Won {
                    asked_at,
                    in_place_of_another,
                    start,
                };
                self.won(claim, Some(wanted.task), &turn);
            }
            ClaimAnswer::Taken {
                by,
                state,
                since,
                under,
            } => {
                tracing::debug!(
                    task = wanted.task,
                    tick = %wanted.tick,
                    index = wanted.index,
                    %state,
                    by = by.as_ref().map(tracing::field::display),
                    "another node has it"
                );
                self.found_taken(wanted.task, by.as_ref(), since);
                if let Some(mut key) = self.key_of(wanted) {
                    // What is put back after a loss must be what there was.
                    key.task = under.unwrap_or(key.task);
                    self.remember_other(wanted.task, key, state, by, since);
                }
                if state.is_active() {
                    self.chain_waits(wanted);
                } else {
                    self.chain_goes_on(wanted.task, wanted.tick, wanted.index);
                }
            }
            ClaimAnswer::Waits(because) => {
                self.accepted(wanted.task);
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
        let may_come_again = matches!(
            refusal,
            Refusal::TooEarly { .. }
                | Refusal::NodeLapsed
                | Refusal::StoreForgot
                | Refusal::Paused { .. }
                | Refusal::StaleGeneration { .. }
        );
        if may_come_again {
            self.claims.may_come_again(wanted);
        } else {
            self.claims.is_decided(wanted);
        }
        if let Refusal::StaleGeneration { current } = &refusal
            && self.is_becoming(id, current)
        {
            return self.claim_again_soon(wanted);
        }
        let before = if may_come_again {
            // The ticks of the chain stay due and are planned anew.
            self.chains.remove((id, wanted.index), wanted.before)
        } else {
            self.chain_goes_on(id, wanted.tick, wanted.index);
            wanted.before
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
            Refusal::Paused { by, why } => {
                self.table.reopen(id, before, now + PAUSE_LOOK);
                self.paused_by(id, by, why, now);
            }
            Refusal::TooLate { by } => {
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
                    self.remember_other(id, key.clone(), RunState::Skipped, None, now);
                    let reason = refusal.to_string();
                    tracing::info!(run = %key, reason, "skipped");
                    let cause = SkipCause::of(&refusal).unwrap_or(SkipCause::Overlap);
                    self.events
                        .tell(|| RunnerEvent::Skipped { key, cause, reason });
                }
            }
            Refusal::StaleGeneration { current } => self.found_stale(wanted, current, before, now),
            _ => tracing::warn!(%refusal, "the store refused a claim for a reason unknown here"),
        }
    }

    /// The store decided about a claim of this task, so it is neither paused nor stale.
    fn accepted(&mut self, id: TaskId) {
        if !self.stale.is_empty() {
            self.no_longer_stale(id);
        }
        self.resumed(id);
    }

    /// Somebody has a run since then: the task is not paused any more if that came after the pause.
    /// Of its definition this says nothing.
    fn found_taken(&mut self, id: TaskId, by: Option<&Holder>, since: Timestamp) {
        let paused = self.paused.get(&id);
        if by.is_some() && paused.is_some_and(|paused| paused.told_at < since) {
            self.resumed(id);
        }
    }

    fn resumed(&mut self, id: TaskId) {
        let Some(paused) = self.paused.remove(&id) else {
            return;
        };
        // The store forgot something since it last spoke of the pause.
        let is_lost = paused.era != self.memory.era();
        if let Some(spec) = self.table.spec(id) {
            let task = spec.name().clone();
            let by = paused.by.clone();
            if is_lost {
                tracing::warn!(%task, by, "the store forgot the pause");
                self.events.tell(|| RunnerEvent::PauseLost { task, by });
            } else {
                tracing::info!(%task, "resumed");
                self.events.tell(|| RunnerEvent::Resumed { task });
            }
        }
        if let Some(missed) = &paused.missed {
            let mut why = format!("the task was paused by {}", paused.by);
            if !paused.why.is_empty() {
                let _ = write!(why, ": {}", paused.why);
            }
            if is_lost {
                why.push_str("; the store forgot the pause");
            }
            self.give_up(id, missed, Some(&why));
        }
    }

    /// The store says at `told_at` that the task is paused.
    pub(super) fn paused_by(&mut self, id: TaskId, by: String, why: String, told_at: Timestamp) {
        let era = self.memory.era();
        if let Some(paused) = self.paused.get_mut(&id) {
            (paused.told_at, paused.era) = (told_at, era);
            (paused.by, paused.why) = (by, why);
            return;
        }
        if let Some(spec) = self.table.spec(id) {
            tracing::info!(task = %spec.name(), by, "paused");
            self.events.tell(|| RunnerEvent::Paused {
                task: spec.name().clone(),
                by: by.clone(),
            });
        }
        let paused = PausedTask {
            by,
            why,
            told_at,
            era,
            missed: None,
        };
        self.paused.insert(id, paused);
    }

    /// Looks at paused tasks now: something hinted that one may have been resumed.
    pub(super) fn look_at_paused(&mut self, now: Timestamp) {
        for id in self.paused.keys() {
            self.table.hasten(*id, now);
        }
    }
}
