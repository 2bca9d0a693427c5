//! From planned runs to won runs: batches, resends, and what is left of other nodes' shares.
//!
//! A (task, tick, index) that this node owns is claimed at once; what others own is read after a
//! grace, and claimed if nobody has it by then. A claim without an answer is sent again with its
//! old token until it has one: only the store knows whether it was won.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tenure_core::{
    ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Moment, Refusal, RunKey, StoreError,
    StoreErrorKind, Timestamp, Token,
};

use super::Runner;
use super::lease::backoff;
use super::peers::Turn;
use crate::due::Missed;
use crate::hash::Quick;
use crate::table::TaskId;

/// How many claims may be under way at once.
const MAX_FLIGHTS: usize = 8;

/// How many tokens of refused claims are remembered.
const MOST_REFUSED: usize = 20_000;

/// How many tokens are drawn at once.
const TOKENS: usize = 128;

/// A run to be claimed.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) task: TaskId,
    pub(super) tick: Timestamp,
    pub(super) index: u32,
    pub(super) token: Token,
    pub(super) turn: Turn,
    /// Where the task's cursor was before this tick was dealt with.
    pub(super) before: Timestamp,
}

impl Wanted {
    fn place(&self) -> (TaskId, Timestamp, u32) {
        (self.task, self.tick, self.index)
    }

    /// The same, the oldest ticks first.
    fn claim(&self) -> (Timestamp, TaskId, u32) {
        (self.tick, self.task, self.index)
    }
}

/// A batch on its way to the store, or waiting to be sent again.
#[derive(Debug)]
pub(super) struct Flight {
    wanted: Vec<Wanted>,
    pub(super) batch: ClaimBatch,
    failures: u32,
    /// How many losses of the store had been noticed when it left.
    era: u32,
}

/// Tokens to come, drawn many at once.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Token>);

impl Tokens {
    pub(super) fn next(&mut self) -> Token {
        if self.0.is_empty() {
            self.0 = Token::many(TOKENS);
        }
        self.0.pop().unwrap_or_else(Token::random)
    }
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) queue: VecDeque<Wanted>,
    sweeps: BTreeMap<Moment, Vec<Wanted>>,
    unresolved: BTreeMap<Moment, Flight>,
    /// Everything that was sent and not answered.
    in_flight: HashSet<(TaskId, Timestamp, u32), Quick>,
    /// The tokens of claims that the store refused for now. A copy of such a request may still be
    /// on its way and win, so the same is claimed with the same token: then its node hears of it.
    refused: BTreeMap<(Timestamp, TaskId, u32), Token>,
    flights: usize,
    failures: u32,
}

impl Claims {
    /// The store refused a claim that may be made again.
    pub(super) fn may_come_again(&mut self, wanted: &Wanted) {
        self.refused.insert(wanted.claim(), wanted.token);
        while self.refused.len() > MOST_REFUSED {
            self.refused.pop_first();
        }
    }

    /// The store decided about a claim.
    pub(super) fn is_decided(&mut self, wanted: &Wanted) {
        if !self.refused.is_empty() {
            self.refused.remove(&wanted.claim());
        }
    }

    /// Whether the store refused this claim once.
    pub(super) fn was_refused(&self, wanted: &Wanted) -> bool {
        !self.refused.is_empty() && self.refused.contains_key(&wanted.claim())
    }

    /// When something here must be done, apart from what waits for an answer.
    pub(super) fn next(&self) -> Option<Moment> {
        let sweep = self.sweeps.keys().next().copied();
        // Without room nothing is sent; an answer makes room and wakes the loop.
        let resend = self.unresolved.keys().next().copied();
        let resend = resend.filter(|_| self.flights < MAX_FLIGHTS);
        sweep.into_iter().chain(resend).min()
    }

    /// How many runs are due here and not decided yet.
    pub(super) fn backlog(&self) -> usize {
        self.queue.len() + self.in_flight.len()
    }

    pub(super) fn has_flights(&self) -> bool {
        self.flights > 0
    }

    /// Has these looked at later, if nobody has claimed them by then.
    pub(super) fn look_later(&mut self, at: Moment, wanted: Vec<Wanted>) {
        if !wanted.is_empty() {
            self.sweeps.entry(at).or_default().extend(wanted);
        }
    }

    /// The tasks of which something is to be claimed, at once or later.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        let planned = self.queue.iter().chain(self.sweeps.values().flatten());
        let planned = planned.map(|wanted| wanted.task);
        planned.chain(self.in_flight.iter().map(|(task, ..)| *task))
    }

    /// How many claims were sent and not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The same of one task.
    pub(super) fn in_flight_of(&self, task: TaskId) -> usize {
        self.in_flight.iter().filter(|(id, ..)| *id == task).count()
    }

    /// Forgets everything that was not sent.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        self.sweeps.clear();
        self.unresolved.clear();
    }
}

impl Runner {
    /// The token of a claim to be made: that of the last time, if it was refused then.
    pub(super) fn token_for(&mut self, task: TaskId, tick: Timestamp, index: u32) -> Token {
        let refused = &self.claims.refused;
        let again = if refused.is_empty() {
            None
        } else {
            refused.get(&(tick, task, index)).copied()
        };
        again.unwrap_or_else(|| self.tokens.next())
    }

    /// A tick that nobody was to run has a record already. A copy of a claim that was refused here
    /// may have made it: then the same claim is answered with the run.
    pub(super) fn claim_if_refused(&mut self, key: &RunKey) {
        let Some(task) = self.table.id_of(&key.task) else {
            return;
        };
        let refused = (key.tick, task, key.index);
        if let Some(token) = self.claims.refused.get(&refused).copied() {
            let turn = self.peers.mine();
            self.claims.queue.push_back(Wanted {
                task,
                tick: key.tick,
                index: key.index,
                token,
                turn,
                before: key.tick,
            });
        }
    }

    /// Reads what other nodes should have claimed by now, to claim what they did not.
    pub(super) fn sweep(&mut self, now: Moment) {
        while let Some(first) = self.claims.sweeps.first_entry()
            && *first.key() <= now
        {
            // Where it matters what became of a run, and not only that there is one, it is claimed:
            // the answer says so.
            let (asked, read): (Vec<_>, Vec<_>) = first.remove().into_iter().partition(|wanted| {
                self.is_chained(wanted)
                    || self.paused.contains_key(&wanted.task)
                    || self.stale.contains_key(&wanted.task)
                    || self.claims.refused.contains_key(&wanted.claim())
            });
            self.claims.queue.extend(asked);
            if read.is_empty() {
                continue;
            }
            let with_keys = read
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
        let planned = self.claims.queue.drain(..).chain(sweeps);
        let planned: Vec<_> = planned.chain(self.room.take_held()).collect();
        let planned = planned
            .into_iter()
            .map(|wanted| (wanted.task, wanted.before));
        for (task, before) in planned.chain(self.chains.take()).collect::<Vec<_>>() {
            self.table.reopen(task, before, now);
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
                // Never a second claim of the same run while the first is under way, and none of a
                // task that was taken out.
                if !self.table.is_listed(next.task) {
                    continue;
                }
                if !self.has_room(next.task) {
                    self.hold(next);
                } else if self.claims.in_flight.insert(next.place()) {
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
            let mut batch = ClaimBatch::new(self.node.id, items);
            // What is taken for due here may not be so there yet.
            batch.early += self.time.uncertainty();
            batch.early = batch.early.max(self.lead.early());
            batch.start = self.start_of(&wanted, now);
            self.send(Flight {
                wanted,
                batch,
                failures: 0,
                era: 0,
            });
        }
    }

    fn send(&mut self, mut flight: Flight) {
        flight.era = self.memory.era();
        flight.batch.seen = self.memory.seen();
        self.claims.flights += 1;
        self.ops.spawn(self.calls.clone().claim(flight));
    }

    fn item(&self, wanted: &Wanted) -> Option<ClaimItem> {
        let spec = self.table.spec(wanted.task)?;
        let mut item = ClaimItem::with_token(
            wanted.token,
            spec.name().clone(),
            wanted.tick,
            wanted.index,
            spec.generation().clone(),
        );
        item.window = spec.claim_window();
        item.overlap = spec.overlap();
        item.max_running = spec.limit();
        item.on_crash = spec.on_crash();
        item.aliases = spec.terms.aliases.clone();
        Some(item)
    }

    pub(super) fn key_of(&self, wanted: &Wanted) -> Option<RunKey> {
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
        let is_forgetful =
            |answer: &ClaimAnswer| matches!(answer, ClaimAnswer::Refused(Refusal::StoreForgot));
        if reply.answers.iter().any(is_forgetful) {
            if flight.era == self.memory.era() {
                self.store_forgot("it remembers less than it had acknowledged".to_owned());
            }
        } else {
            self.memory.answered(flight.era, reply.sequence);
        }
        for wanted in &flight.wanted {
            self.claims.in_flight.remove(&wanted.place());
        }
        if let Some(first) = flight.wanted.first() {
            self.lead
                .answered(first.tick, flight.wanted.len(), answered_at);
        }
        for (wanted, answer) in flight.wanted.iter().zip(reply.answers) {
            self.decided(wanted, answer, asked_at, reply.now, flight.batch.start);
        }
        if flight.era != self.memory.era() {
            self.answered_late();
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
                let why = format!("the claim failed: {error}");
                self.give_up(wanted.task, &missed, Some(&why));
                self.chain_goes_on(wanted.task, wanted.tick, wanted.index);
            } else {
                let place = (wanted.task, wanted.index);
                let before = self.chains.remove(place, wanted.before);
                self.table.reopen(wanted.task, before, not_before);
            }
        }
    }
}
