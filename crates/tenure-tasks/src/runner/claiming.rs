//! From due ticks to won runs: who asks first, batches, resends, and what each answer means.
//!
//! A (task, tick, index) that this node owns is claimed at once; what others own is claimed after
//! a short grace, if nobody has it by then. A claim without an answer is sent again with its old
//! token until it has one: only the store knows whether it was won.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tenure_core::{
    ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, HolderId, Moment, Note, Refusal, RunKey,
    StoreError, StoreErrorKind, Timestamp, Token,
};

use super::lease::backoff;
use super::{PausedTask, Runner};
use crate::due::Missed;
use crate::event::RunnerEvent;
use crate::hash;
use crate::table::{Evaluation, TaskId};

/// How many claims may be under way at once.
const MAX_FLIGHTS: usize = 8;

/// From so many on, what is left of a tick is read before it is claimed.
const SURVEY_FROM: usize = 64;

/// How much later each further rank looks for what is left, and how often that is added at most.
const RANK_STEP: Duration = Duration::from_millis(50);
const MAX_RANKS: u32 = 10;

/// How often a paused task is looked at if the store gives no hint that it was resumed.
const PAUSE_LOOK: Duration = Duration::from_secs(5);

/// A run to be claimed.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) task: TaskId,
    pub(super) tick: Timestamp,
    pub(super) index: u32,
    token: Token,
    /// Who should have claimed it first, if that is another node.
    owner: Option<HolderId>,
    /// Where the task's cursor was before this tick was dealt with.
    before: Timestamp,
}

impl Wanted {
    fn place(&self) -> (TaskId, Timestamp, u32) {
        (self.task, self.tick, self.index)
    }
}

/// A batch on its way to the store, or waiting to be sent again.
#[derive(Debug)]
pub(super) struct Flight {
    wanted: Vec<Wanted>,
    pub(super) batch: ClaimBatch,
    failures: u32,
    /// The highest sequence known when it left: the answer's must be higher.
    sequence: u64,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    queue: VecDeque<Wanted>,
    sweeps: BTreeMap<Moment, Vec<Wanted>>,
    unresolved: BTreeMap<Moment, Flight>,
    /// Everything that was sent and not answered.
    in_flight: HashSet<(TaskId, Timestamp, u32)>,
    flights: usize,
    failures: u32,
}

impl Claims {
    /// When something here must be done, apart from what waits for an answer.
    pub(super) fn next(&self) -> Option<Moment> {
        let sweep = self.sweeps.keys().next().copied();
        // Without room nothing is sent; an answer makes room and wakes the loop.
        let resend = self.unresolved.keys().next().copied();
        let resend = resend.filter(|_| self.flights < MAX_FLIGHTS);
        sweep.into_iter().chain(resend).min()
    }

    pub(super) fn has_flights(&self) -> bool {
        self.flights > 0
    }

    /// Forgets everything that was not sent.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        self.sweeps.clear();
        self.unresolved.clear();
    }
}

impl Runner {
    /// Plans the claims of every task that is due.
    pub(super) fn evaluate_due(&mut self, now: Moment) {
        let Some(store_now) = self.time.at(now) else {
            return;
        };
        let mut others = Vec::new();
        while let Some(id) = self.table.pop(store_now) {
            if let Some(evaluation) = self.table.evaluate(id, store_now) {
                self.plan(id, evaluation, now, &mut others);
            }
        }
        if let Some(last) = others.last() {
            let key = hash::Hash::new(5).number(last.tick.as_millis().cast_unsigned());
            let rank = u32::try_from(self.peers.rank(key.finish())).unwrap_or(MAX_RANKS);
            let grace = self.options.sweep_after + RANK_STEP * rank.min(MAX_RANKS);
            self.claims
                .sweeps
                .entry(now + grace)
                .or_default()
                .extend(others);
        }
    }

    fn plan(&mut self, id: TaskId, evaluation: Evaluation, now: Moment, others: &mut Vec<Wanted>) {
        let Evaluation { due, before, next } = evaluation;
        if due.seen.is_none() {
            return;
        }
        let Some(work) = self.table.work(id) else {
            return;
        };
        let spec = work.spec.clone();
        for tick in due.run {
            self.events.tell(|| RunnerEvent::Due {
                task: spec.name().clone(),
                tick,
            });
            let of_tick = hash::of_tick(spec.name(), tick);
            for index in 1..=spec.concurrency() {
                let owner = self.peers.owner(id, of_tick, index, now);
                let is_mine = owner == self.node.id;
                let wanted = Wanted {
                    task: id,
                    tick,
                    index,
                    token: Token::random(),
                    owner: (!is_mine).then_some(owner),
                    before,
                };
                if is_mine {
                    self.claims.queue.push_back(wanted);
                } else {
                    others.push(wanted);
                }
            }
        }
        self.events.tell(|| RunnerEvent::Next {
            task: spec.name().clone(),
            tick: next,
        });
        if !due.missed.is_empty() {
            match self.paused.get_mut(&id) {
                // Whether these are missed is only known when the task runs again.
                Some(paused) => paused.missed = Some(due.missed),
                None => self.give_up(id, &due.missed, None),
            }
        }
    }

    /// Claims what other nodes should have claimed by now.
    pub(super) fn sweep(&mut self, now: Moment) {
        while let Some(first) = self.claims.sweeps.first_entry()
            && *first.key() <= now
        {
            let wanted = first.remove();
            if wanted.len() < SURVEY_FROM {
                self.claims.queue.extend(wanted);
                continue;
            }
            let with_keys = wanted
                .into_iter()
                .filter_map(|wanted| Some((self.key_of(&wanted)?, wanted)))
                .map(|(key, wanted)| (wanted, key))
                .collect();
            self.ops.spawn(self.calls.clone().survey(with_keys));
        }
    }

    /// Gives back what was planned and not sent, to be planned anew when claims are possible again:
    /// then the catch-up rules decide about it.
    pub(super) fn put_back(&mut self) {
        let Some(now) = self.time.at(self.clock.now()) else {
            return;
        };
        let sweeps = std::mem::take(&mut self.claims.sweeps)
            .into_values()
            .flatten();
        let planned: Vec<_> = self.claims.queue.drain(..).chain(sweeps).collect();
        for wanted in planned {
            self.table.reopen(wanted.task, wanted.before, now);
        }
    }

    pub(super) fn surveyed(&mut self, left: Vec<Wanted>) {
        self.claims.queue.extend(left);
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn dispatch(&mut self, now: Moment) {
        while self.claims.flights < MAX_FLIGHTS
            && let Some(first) = self.claims.unresolved.first_entry()
            && *first.key() <= now
        {
            let flight = first.remove();
            self.send(flight);
        }
        while self.claims.flights < MAX_FLIGHTS && !self.claims.queue.is_empty() {
            let mut wanted = Vec::new();
            while wanted.len() < self.calls.max_batch
                && let Some(next) = self.claims.queue.pop_front()
            {
                // Never a second claim of the same run while the first is under way.
                if self.claims.in_flight.insert(next.place()) {
                    wanted.push(next);
                }
            }
            if wanted.is_empty() {
                break;
            }
            let items = wanted
                .iter()
                .filter_map(|wanted| self.item(wanted))
                .collect();
            self.send(Flight {
                wanted,
                batch: ClaimBatch::new(self.node.id, items),
                failures: 0,
                sequence: 0,
            });
        }
    }

    fn send(&mut self, mut flight: Flight) {
        flight.sequence = self.memory.sequence;
        self.claims.flights += 1;
        self.ops.spawn(self.calls.clone().claim(flight));
    }

    fn item(&self, wanted: &Wanted) -> Option<ClaimItem> {
        let spec = self.table.spec(wanted.task)?;
        let mut item = ClaimItem::new(
            spec.name().clone(),
            wanted.tick,
            wanted.index,
            spec.generation().clone(),
        );
        item.token = wanted.token;
        item.window = spec.claim_window();
        item.overlap = spec.overlap();
        item.on_crash = spec.on_crash();
        Some(item)
    }

    fn key_of(&self, wanted: &Wanted) -> Option<RunKey> {
        let task = self.table.spec(wanted.task)?.name().clone();
        Some(RunKey::scheduled(task, wanted.tick, wanted.index))
    }

    pub(super) fn claimed(
        &mut self,
        flight: Flight,
        asked_at: Moment,
        answered_at: Moment,
        answer: Result<ClaimReply, StoreError>,
    ) {
        self.claims.flights = self.claims.flights.saturating_sub(1);
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => return self.claim_failed(flight, &error),
        };
        self.claims.failures = 0;
        self.observe(asked_at, answered_at, reply.now);
        self.remember(flight.sequence, reply.sequence, &reply.epoch);
        for wanted in &flight.wanted {
            self.claims.in_flight.remove(&wanted.place());
        }
        for (wanted, answer) in flight.wanted.into_iter().zip(reply.answers) {
            self.decided(wanted, answer, reply.now);
        }
    }

    fn decided(&mut self, wanted: Wanted, answer: ClaimAnswer, now: Timestamp) {
        if let ClaimAnswer::Refused(refusal) = answer {
            return self.refused(&wanted, refusal, now);
        }
        self.accepted(wanted.task);
        match answer {
            ClaimAnswer::Won(claim) => {
                if let Some(owner) = wanted.owner {
                    self.peers.missed(owner, wanted.task, self.clock.now());
                }
                self.won(claim, wanted.owner.is_some());
            }
            ClaimAnswer::Taken { by, state, .. } => {
                tracing::debug!(
                    task = wanted.task,
                    tick = %wanted.tick,
                    index = wanted.index,
                    %state,
                    by = by.map(tracing::field::display),
                    "another node has it"
                );
            }
            _ => tracing::warn!("the store gave an answer this version does not know"),
        }
    }

    fn refused(&mut self, wanted: &Wanted, refusal: Refusal, now: Timestamp) {
        let id = wanted.task;
        match refusal {
            Refusal::TooEarly { by } => self.table.reopen(id, wanted.before, now + by),
            Refusal::NodeLapsed => {
                self.lapsed();
                self.lease.distrust(self.clock.now());
                self.table.reopen(id, wanted.before, now);
            }
            Refusal::Paused { by } => {
                self.table.reopen(id, wanted.before, now + PAUSE_LOOK);
                self.paused_by(id, by);
            }
            Refusal::TooLate { by } => {
                self.accepted(id);
                let missed = Missed {
                    ticks: vec![wanted.tick],
                    more: 0,
                    open: now,
                };
                self.give_up(
                    id,
                    &missed,
                    Some(format!("claimed {by:?} after its window")),
                );
            }
            Refusal::Overlap { .. } => {
                self.accepted(id);
                if let Some(key) = self.key_of(wanted) {
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
        self.stale.remove(&id);
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
            self.give_up(id, missed, Some(why));
        }
    }

    fn paused_by(&mut self, id: TaskId, by: String) {
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

    fn claim_failed(&mut self, mut flight: Flight, error: &StoreError) {
        self.claims.failures = self.claims.failures.saturating_add(1);
        self.trouble("claim", error);
        let now = self.clock.now();
        if error.outcome_is_unknown() {
            flight.failures = flight.failures.saturating_add(1);
            let mut at = now + backoff(flight.failures, self.rng.f64());
            while self.claims.unresolved.contains_key(&at) {
                at = at + Duration::from_nanos(1);
            }
            self.claims.unresolved.insert(at, flight);
            return;
        }
        let not_before =
            self.time.at(now).unwrap_or_default() + backoff(self.claims.failures, self.rng.f64());
        for wanted in flight.wanted {
            self.claims.in_flight.remove(&wanted.place());
            if error.kind() == StoreErrorKind::InvalidRequest {
                // The same request would fail for ever.
                let missed = Missed {
                    ticks: vec![wanted.tick],
                    more: 0,
                    open: wanted.tick,
                };
                self.give_up(
                    wanted.task,
                    &missed,
                    Some(format!("the claim failed: {error}")),
                );
            } else {
                self.table.reopen(wanted.task, wanted.before, not_before);
            }
        }
    }

    /// Compares what the store remembers with what it remembered before.
    pub(super) fn remember(&mut self, at_least: u64, sequence: u64, epoch: &str) {
        let memory = &mut self.memory;
        let is_new = memory.epoch.is_empty();
        let what = if !is_new && memory.epoch != epoch {
            Some("the store was made anew".to_owned())
        } else if sequence < at_least {
            Some(format!("its sequence fell from {at_least} to {sequence}"))
        } else {
            None
        };
        if is_new || what.is_some() {
            epoch.clone_into(&mut memory.epoch);
            memory.sequence = sequence;
        }
        memory.sequence = memory.sequence.max(sequence);
        if let Some(what) = what {
            tracing::error!(what, "the store forgot what it had acknowledged");
            let note = Note::new("store_regressed", what.clone()).of_node(self.node.id);
            self.ops.spawn(self.calls.clone().note(note));
            self.events.tell(|| RunnerEvent::StoreRegressed { what });
        }
    }
}
