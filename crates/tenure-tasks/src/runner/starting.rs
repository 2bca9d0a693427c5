//! Runs that were claimed well before their tick: told to the store as begun, many at once, shortly
//! before it.
//!
//! Until then the store knows them as claimed. If the node dies, they provably never began, and the
//! store gives them to another node whatever a crash does to their tasks. So the code of such a run
//! begins only after the store has answered that it runs, and that the attempt is still this
//! node's.
//!
//! ```text
//!   claimed ──shortly before its tick──▶ told ──answered──▶ early ──its tick──▶ going
//!      │                                 │  │
//!      │                                 │  └─refused──▶ gone
//!      │                                 └──no answer──▶ told again
//!      └──not wanted, or not trusted any more──▶ given back
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tenure_core::{Moment, Start, StartMode, Started, StoreError, StoreErrorKind};

use super::Runner;
use super::claiming::Wanted;
use super::lease::backoff;
use super::watch::Waiting;

/// A run that waits longer than this for its time is not begun by its claim.
const SOON: Duration = Duration::from_millis(50);

/// How long before its time a run is told as begun at most, where telling all of them takes longer
/// than [`SOON`].
const MOST_AHEAD: Duration = Duration::from_millis(250);

/// What telling a run is taken to take before anything is known of it, and at least.
const EACH: Duration = Duration::from_micros(8);
const LEAST: Duration = Duration::from_micros(1);

/// Of fewer it is not learned how long telling takes.
const MANY: u32 = 256;

/// How many requests may be under way at once, and how many while the store gives no answer.
const MAX_FLIGHTS: usize = 4;
const MAX_TRIES: usize = 1;

/// The longest pause before the store is told again: these runs are late already.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long before their time so many runs are told, if telling each takes `each`: twice as long,
/// because whatever is left at their time delays all of them.
fn ahead_of(count: usize, each: Duration) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let all = (each * 2).max(LEAST).saturating_mul(count);
    all.clamp(SOON, MOST_AHEAD)
}

/// The requests of a burst while they are made.
#[derive(Debug)]
struct Telling {
    /// What begins until then is told now.
    until: Moment,
    begun_at: Moment,
    told: u32,
    answered_at: Moment,
}

impl Telling {
    /// How long each took; unknown if there were few.
    fn each(&self) -> Option<Duration> {
        let took = self.answered_at.since(self.begun_at);
        (self.told >= MANY).then(|| took / self.told)
    }
}

#[derive(Default)]
pub(super) struct Starting {
    /// By when their code may begin.
    claimed: BTreeMap<Moment, Vec<Waiting>>,
    count: usize,
    /// What the store did not answer and is told again.
    again: VecDeque<Vec<Waiting>>,
    flights: usize,
    failures: u32,
    /// Nothing is told before this, because the store did not answer.
    not_before: Option<Moment>,
    telling: Option<Telling>,
    /// How long telling a run took in the burst before; `None` before the first.
    each: Option<Duration>,
}

impl Starting {
    /// Keeps a run until it is time to tell of it.
    fn add(&mut self, waiting: Waiting) {
        self.count += 1;
        self.claimed
            .entry(waiting.starts_at)
            .or_default()
            .push(waiting);
    }

    /// When something here must be done, apart from what waits for an answer.
    pub(super) fn next(&self) -> Option<Moment> {
        // Without room nothing is sent; an answer makes room and wakes the loop.
        if !self.has_room() {
            return None;
        }
        let next = match self.again.front() {
            Some(first) => first.first().map(|run| run.starts_at - MOST_AHEAD),
            None => self.next_claimed(),
        };
        next.map(|next| self.not_before.map_or(next, |pause| next.max(pause)))
    }

    fn has_room(&self) -> bool {
        let most = if self.failures > 0 {
            MAX_TRIES
        } else {
            MAX_FLIGHTS
        };
        self.flights < most
    }

    fn next_claimed(&self) -> Option<Moment> {
        let first = *self.claimed.keys().next()?;
        Some(match &self.telling {
            Some(telling) if first <= telling.until => telling.begun_at,
            _ => first - ahead_of(self.count, self.each.unwrap_or(EACH)),
        })
    }

    /// The next runs to tell of, at most so many.
    fn due(&mut self, most: usize, now: Moment) -> Option<Vec<Waiting>> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        if let Some(first) = self.again.pop_front() {
            return Some(first);
        }
        let mut first = self.claimed.first_entry()?;
        let starts_at = *first.key();
        let rest = first.get().len().min(most);
        let rest = first.get_mut().split_off(rest);
        let due = std::mem::replace(first.get_mut(), rest);
        if first.get().is_empty() {
            first.remove();
        }
        self.count = self.count.saturating_sub(due.len());
        if self
            .telling
            .as_ref()
            .is_none_or(|telling| telling.until < starts_at)
        {
            self.learn();
            self.telling = Some(Telling {
                until: starts_at + SOON,
                begun_at: now,
                told: 0,
                answered_at: now,
            });
        }
        Some(due)
    }

    fn answered(&mut self, count: usize, answered_at: Moment) {
        self.failures = 0;
        self.not_before = None;
        if let Some(telling) = &mut self.telling {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            telling.told = telling.told.saturating_add(count);
            telling.answered_at = answered_at;
        }
    }

    fn failed(&mut self, waiting: Vec<Waiting>, now: Moment, chance: f64) {
        self.again.push_back(waiting);
        // Those that were under way together fail together.
        if self.not_before.is_none_or(|pause| pause <= now) {
            self.failures = self.failures.saturating_add(1);
            let pause = backoff(self.failures, chance).min(LONGEST_PAUSE);
            self.not_before = Some(now + pause);
        }
    }

    fn learn(&mut self) {
        let each = self.telling.take().and_then(|telling| telling.each());
        self.each = each.or(self.each);
    }
}

impl Runner {
    /// How the runs of a batch are claimed that is sent now: as begun, unless one of them waits
    /// for its time for a while.
    ///
    /// A claim that was refused once may have been made by a copy of that request since, and not as
    /// begun, so such a one is told too.
    pub(super) fn start_of(&self, wanted: &[Wanted], now: Moment) -> StartMode {
        let soon = self.time.at(now).map(|now| now + SOON);
        let waits = |wanted: &Wanted| {
            let spec = self.table.spec(wanted.task);
            let at = spec.map_or(wanted.tick, |spec| spec.fires_at(wanted.tick));
            soon.is_none_or(|soon| at > soon)
        };
        let is_told = |wanted: &Wanted| waits(wanted) || self.claims.was_refused(wanted);
        if wanted.iter().any(is_told) {
            StartMode::Later
        } else {
            StartMode::AtOnce
        }
    }

    /// Keeps a run that was claimed, and not as begun.
    pub(super) fn start_later(&mut self, waiting: Waiting) {
        self.starting.add(waiting);
    }

    /// Tells the store of runs that are about to begin.
    pub(super) fn tell_starts(&mut self, now: Moment) {
        while let Some(due) = self.starting.due(self.calls.max_batch, now) {
            let asked = due.len();
            let mut waiting = Vec::with_capacity(due.len());
            for run in due {
                waiting.extend(self.if_wanted(run, now));
            }
            let runs = waiting.iter().filter_map(|run| self.running.get(&run.id));
            let starts: Vec<_> = runs
                .map(|running| Start::new(running.run.clone()))
                .collect();
            if starts.len() < asked {
                self.show_running();
            }
            if !starts.is_empty() {
                self.starting.flights += 1;
                self.ops.spawn(self.calls.clone().start(starts, waiting));
            }
        }
    }

    pub(super) fn started(
        &mut self,
        waiting: Vec<Waiting>,
        asked_at: Moment,
        answer: Result<Vec<Started>, StoreError>,
    ) {
        let now = self.clock.now();
        self.starting.flights = self.starting.flights.saturating_sub(1);
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => return self.start_failed(waiting, &error, now),
        };
        self.starting.answered(answers.len(), now);
        for (mut run, answer) in waiting.into_iter().zip(answers) {
            if matches!(answer, Started::Running { .. }) {
                // It was in hand then, whatever became of the node since it was claimed.
                run.asked_at = asked_at;
                let running = self.running.get(&run.id);
                let number = running.and_then(|running| self.in_hand.get(&running.run));
                if let Some(number) = number {
                    self.memory.began(*number);
                }
                self.wait_for_its_time(run);
            } else {
                self.is_gone(&run);
            }
        }
    }

    fn start_failed(&mut self, waiting: Vec<Waiting>, error: &StoreError, now: Moment) {
        self.trouble("start", error);
        if error.kind() == StoreErrorKind::InvalidRequest {
            // The same request would fail for ever.
            for run in waiting {
                let why = format!("the store refused to begin it: {error}");
                self.give_back(&run, &why);
            }
            return self.show_running();
        }
        self.starting.failed(waiting, now, self.rng.f64());
    }

    /// A run was taken from this node before it began.
    fn is_gone(&mut self, waiting: &Waiting) {
        let Some(running) = self.running.remove(&waiting.id) else {
            return;
        };
        let key = &running.run.key;
        tracing::warn!(run = %key, "another node has it; it was not begun here");
        if let Some(number) = self.in_hand.remove(&running.run) {
            self.memory.ended(number, None);
        }
        self.chain_ended(key);
        self.show_running();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s40_a_run_is_told_as_begun_as_late_as_the_number_of_them_allows() {
        let us = Duration::from_micros;
        for (count, each, ms) in [
            (1, us(4), 50),
            (5_000, us(4), 50),
            (10_000, us(4), 80),
            (20_000, us(4), 160),
            (100_000, us(2), 250),
            (100_000, us(1), 200),
            (10_000, us(200), 250),
            (100_000, us(0), 100),
        ] {
            assert_eq!(ahead_of(count, each).as_millis(), ms, "{count} {each:?}");
        }
    }
}
