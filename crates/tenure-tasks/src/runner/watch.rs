//! Watches over running attempts: begins their code when it is time, tells it to stop when it must,
//! and drops it when it does not.
//!
//! ```text
//!   early ──its time──▶ going ──returns or panics───────────────────────────▶ ended
//!                         │                                                     ▲
//!                         └──timeout, or told──▶ told ──returns─────────────────┤
//!                                                 └──time is up──▶ dropped ─────┘
//! ```
//!
//! All attempts share the loop's one timer, so that an attempt without a limit costs none. What an
//! ending means for the run is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Moment, Timestamp};
use tokio::time::sleep;

use super::Runner;
use crate::attempt::{DROP_PATIENCE, Ending};
use crate::check::Work;
use crate::ends::{Gate, Launched, launch};
use crate::event::{DelayCause, RunnerEvent};
use crate::stop::StopReason;

/// Where an attempt stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its code has not begun, because its tick has not come yet. The runtime may have it already.
    Early(Option<Launched>),
    Going(Launched),
    /// It was told to stop, and may take a moment to do so.
    Told(Launched),
    /// It did not, and is dropped at its next `await`, which blocking code never reaches.
    Dropped,
}

/// When to look at which attempt.
pub(super) type Deadlines = BTreeSet<(Moment, u64)>;

/// Attempts whose code must not begin yet, by when it may.
pub(super) type Early = BTreeMap<Moment, Ready>;

/// Attempts whose code the runtime has, behind one gate.
#[derive(Default)]
pub(super) struct Ready {
    gate: Arc<Gate>,
    waiting: Vec<Waiting>,
}

/// An attempt that is in hand, and what beginning it takes.
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) work: Work,
    /// When it was asked for.
    pub(super) asked_at: Moment,
    /// When it is due by the store's clock, and why it was not begun then, if it was not.
    pub(super) due_at: Timestamp,
    /// The moment at which its code may begin here.
    pub(super) starts_at: Moment,
    pub(super) cause: DelayCause,
}

/// So many attempts that begin at once are a burst.
const MANY_AT_ONCE: usize = 1000;

/// How long nothing else is done at most while the code of a burst begins: code that blocks the
/// runtime's threads keeps the rest from beginning.
const MOST_TIME_TO_BEGIN: Duration = Duration::from_millis(25);

/// How often it is looked whether all of a burst has begun.
const BEGINS: Duration = Duration::from_millis(1);

/// Very many attempts whose code was let go at once. Whatever the loop does before it has begun
/// makes the last of them late, even what must be noted of each.
pub(super) struct Burst {
    gate: Arc<Gate>,
    waiting: Vec<Waiting>,
    let_go_at: Moment,
}

impl Runner {
    /// Waits until the code of bursts has begun, which the runtime does on this thread too, and
    /// takes note of it.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn see_bursts_begin(&mut self) {
        while let Some(burst) = self.bursts.front() {
            let until = burst.let_go_at + MOST_TIME_TO_BEGIN;
            while burst.gate.count_passed() < burst.waiting.len() && self.clock.now() < until {
                sleep(BEGINS).await;
            }
            let Some(burst) = self.bursts.pop_front() else {
                break;
            };
            for waiting in &burst.waiting {
                self.launch(waiting, burst.let_go_at);
            }
            self.show_running();
        }
    }

    /// Hands the code of an attempt to the runtime, behind a gate that opens at its time: to hand
    /// over the code of very many then would make the last of them late.
    pub(super) fn wait_for_its_time(&mut self, waiting: Waiting) {
        let Some(running) = self.running.get_mut(&waiting.id) else {
            return;
        };
        let ready = self.early.entry(waiting.starts_at).or_default();
        let (attempt, end) = (running.attempt.clone(), (waiting.id, self.ends.clone()));
        let launched = launch(&waiting.work, attempt, Some(ready.gate.clone()), end);
        running.stage = Stage::Early(Some(launched));
        ready.waiting.push(waiting);
    }

    /// Begins the code of those attempts whose time has come.
    fn begin_early(&mut self, mut now: Moment) {
        while let Some(first) = self.early.first_entry()
            && *first.key() <= now
        {
            let Ready { gate, waiting } = first.remove();
            let wanted: Vec<_> = waiting
                .into_iter()
                .filter_map(|waiting| self.if_wanted(waiting, now))
                .collect();
            let due_at = wanted.first().map(|waiting| waiting.due_at);
            if let Some(store_now) = self.time.at(now).or(due_at) {
                gate.open(store_now);
            }
            if wanted.len() < MANY_AT_ONCE {
                for waiting in &wanted {
                    self.launch(waiting, now);
                }
                self.show_running();
            } else {
                self.bursts.push_back(Burst {
                    gate,
                    waiting: wanted,
                    let_go_at: now,
                });
            }
            // The rest of them may be a moment later, as the store's answers told the time, and
            // that moment may have passed.
            now = self.clock.now();
        }
    }

    /// Begins the code of an attempt, or takes note that it began when its gate opened.
    pub(super) fn launch(&mut self, waiting: &Waiting, now: Moment) {
        let id = waiting.id;
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        running.began_at = now;
        let attempt = running.attempt.clone();
        attempt.begins_at(self.time.at(now).unwrap_or(waiting.due_at));
        self.events.tell(|| RunnerEvent::Started {
            key: attempt.key.clone(),
            attempt: attempt.number,
            lateness: attempt.lateness(),
            cause: waiting.cause,
        });
        let limit = attempt.spec.timeout();
        let launched = match std::mem::replace(&mut running.stage, Stage::Early(None)) {
            Stage::Early(Some(launched)) => launched,
            _ => launch(&waiting.work, attempt, None, (id, self.ends.clone())),
        };
        running.stage = Stage::Going(launched);
        if running.attempt.stop.reason().is_some() {
            self.told_to_stop(id, now);
        } else if limit.is_some() {
            self.look_at_run(id, limit.map(|limit| now + limit));
        }
    }

    /// Tells an attempt to stop, and gives it a while.
    pub(super) fn tell_to_stop(&mut self, id: u64, reason: StopReason, now: Moment) {
        if let Some(running) = self.running.get(&id) {
            running.attempt.stop.ask(reason);
            self.told_to_stop(id, now);
        }
    }

    fn told_to_stop(&mut self, id: u64, now: Moment) {
        let (grace, loss_grace) = (self.options.stop_grace, self.loss_grace());
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        let is_hurried = running.attempt.stop.is_hurried();
        let hurried = is_hurried.then(|| now + loss_grace);
        let until = match std::mem::replace(&mut running.stage, Stage::Early(None)) {
            Stage::Going(launched) => {
                running.stage = Stage::Told(launched);
                let until = now + grace;
                hurried.map_or(until, |hurried| until.min(hurried))
            }
            Stage::Told(launched) => {
                running.stage = Stage::Told(launched);
                match (running.deadline, hurried) {
                    (Some(until), Some(hurried)) => until.min(hurried),
                    _ => return,
                }
            }
            // It finds the request when it begins, or is beyond requests.
            other => {
                running.stage = other;
                return;
            }
        };
        self.look_at_run(id, Some(until));
    }

    /// Does what is due about running attempts.
    pub(super) fn watch_runs(&mut self, now: Moment) {
        self.begin_early(now);
        if self.deadlines.first().is_none_or(|(at, _)| *at > now) {
            return;
        }
        // What has ended before its time was up has not been too slow.
        self.take_ends(now);
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            let Some(running) = self.running.get_mut(&id) else {
                continue;
            };
            running.deadline = None;
            match std::mem::replace(&mut running.stage, Stage::Early(None)) {
                // Not watched over: it has its own place until it begins.
                early @ Stage::Early(_) => running.stage = early,
                Stage::Going(launched) => {
                    running.stage = Stage::Going(launched);
                    self.tell_to_stop(id, StopReason::Timeout, now);
                }
                Stage::Told(launched) => {
                    drop(launched);
                    running.stage = Stage::Dropped;
                    self.look_at_run(id, Some(now + DROP_PATIENCE));
                }
                Stage::Dropped => self.ended(id, Ending::Dropped),
            }
        }
    }

    /// Deals with attempts that have ended.
    pub(super) fn take_ends(&mut self, now: Moment) {
        self.ends_taken_at = now;
        for (id, ending) in self.ends.take() {
            let Some(running) = self.running.get_mut(&id) else {
                continue;
            };
            // It ends when it would have begun, which is by then.
            if let Stage::Early(early) = &mut running.stage {
                *early = None;
                continue;
            }
            let is_dropped = matches!(running.stage, Stage::Dropped);
            let ending = match ending {
                Ending::Returned(result) => Ending::Returned(result),
                _ if is_dropped => Ending::Dropped,
                other => other,
            };
            self.ended(id, ending);
        }
    }

    /// Looks at an attempt at this moment, and at no other.
    pub(super) fn look_at_run(&mut self, id: u64, at: Option<Moment>) {
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut running.deadline, at) {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.extend(at.map(|at| (at, id)));
    }
}
