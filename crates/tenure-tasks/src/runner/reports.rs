//! What the store is told about runs: how attempts ended, and which ticks nobody will run. Grouped
//! for a few milliseconds, and kept until the store has heard it.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{
    Finish, Finished, Moment, Pass, RunKey, RunState, StoreError, StoreErrorKind, TaskName,
    Timestamp,
};

use super::Runner;
use super::lease::backoff;
use crate::due::Missed;
use crate::event::RunnerEvent;
use crate::table::TaskId;

/// How long an outcome waits for others to share its call.
const GROUP_FOR: Duration = Duration::from_millis(5);

/// How many groups of missed ticks are kept while the store does not answer.
const MAX_GROUPS: usize = 1000;

/// Ticks of one task that nobody will run.
#[derive(Debug)]
pub(super) struct PassGroup {
    pub(super) passes: Vec<Pass>,
    task: TaskName,
    tick: Timestamp,
    /// How many were missed; 0: they were left out by a rule.
    count: u64,
    reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Reports {
    finishes: VecDeque<Finish>,
    in_flight: usize,
    flush_at: Option<Moment>,
    failures: u32,
    groups: Vec<PassGroup>,
    is_passing: bool,
    pass_at: Option<Moment>,
}

impl Reports {
    /// How many outcomes the store has not heard yet.
    pub(super) fn unreported(&self) -> usize {
        self.finishes.len() + self.in_flight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unreported() == 0 && self.groups.is_empty() && !self.is_passing
    }

    /// When something here must be sent.
    pub(super) fn next(&self) -> Option<Moment> {
        let finishes = self.flush_at.filter(|_| self.in_flight == 0);
        let passes = self.pass_at.filter(|_| !self.is_passing);
        finishes.into_iter().chain(passes).min()
    }
}

impl Runner {
    /// Keeps an outcome until the store has heard it.
    pub(super) fn report(&mut self, finish: Finish) {
        let now = self.clock.now();
        let reports = &mut self.reports;
        reports.finishes.push_back(finish);
        if reports.finishes.len() >= self.calls.max_batch && reports.failures == 0 {
            reports.flush_at = Some(now);
        }
        reports.flush_at.get_or_insert(now + GROUP_FOR);
    }

    /// Records ticks that nobody will run. `why` stands in place of the task's own rule.
    pub(super) fn give_up(&mut self, id: TaskId, missed: &Missed, why: Option<&str>) {
        let Some(spec) = self.table.spec(id) else {
            return;
        };
        let Some(newest) = missed.ticks.last().copied() else {
            return;
        };
        let reason_of = |tick: Timestamp| match why {
            Some(why) => why.to_owned(),
            None if tick < missed.open => format!(
                "nobody ran it within its window of {}",
                tenure_core::format_duration(spec.claim_window())
            ),
            None => format!(
                "no node was there in time to run it, and it was left out by catch_up = {}",
                spec.catch_up().as_str()
            ),
        };
        let keep_for = spec.claim_window() * 2 + Duration::from_secs(25 * 3600);
        let mut passes = Vec::new();
        for (place, tick) in missed.ticks.iter().enumerate() {
            let mut reason = reason_of(*tick);
            if place == 0 && missed.more > 0 {
                reason = format!("{reason}; {} or more earlier ticks too", missed.more);
            }
            for index in 1..=spec.concurrency() {
                let key = RunKey::scheduled(spec.name().clone(), *tick, index);
                let mut pass = Pass::missed(key, reason.clone());
                pass.keep_for = keep_for;
                passes.push(pass);
            }
        }
        self.pass_later(PassGroup {
            passes,
            task: spec.name().clone(),
            tick: newest,
            count: missed.count(),
            reason: reason_of(newest),
        });
    }

    /// Records a tick that a rule leaves out.
    pub(super) fn leave_out(&mut self, id: TaskId, tick: Timestamp, reason: &str) {
        let Some(spec) = self.table.spec(id) else {
            return;
        };
        let passes = (1..=spec.concurrency())
            .map(|index| RunKey::scheduled(spec.name().clone(), tick, index))
            .map(|key| Pass::skipped(key, reason))
            .collect();
        self.pass_later(PassGroup {
            passes,
            task: spec.name().clone(),
            tick,
            count: 0,
            reason: reason.to_owned(),
        });
    }

    fn pass_later(&mut self, group: PassGroup) {
        let now = self.clock.now();
        let reports = &mut self.reports;
        if reports.groups.len() >= MAX_GROUPS {
            tracing::warn!(task = %group.task, "too many ticks to record until the store answers");
            return;
        }
        reports.groups.push(group);
        reports.pass_at.get_or_insert(now);
    }

    /// Sends what is due to be sent.
    pub(super) fn flush(&mut self, now: Moment) {
        let reports = &mut self.reports;
        if reports.in_flight == 0 && reports.flush_at.is_some_and(|at| at <= now) {
            let count = reports.finishes.len().min(self.calls.max_batch);
            let finishes: Vec<_> = reports.finishes.drain(..count).collect();
            reports.in_flight = finishes.len();
            reports.flush_at = None;
            if !finishes.is_empty() {
                self.ops.spawn(self.calls.clone().finish(finishes));
            }
        }
        if !reports.is_passing && reports.pass_at.is_some_and(|at| at <= now) {
            reports.pass_at = None;
            let groups = std::mem::take(&mut reports.groups);
            if !groups.is_empty() {
                reports.is_passing = true;
                self.ops.spawn(self.calls.clone().pass(groups));
            }
        }
    }

    pub(super) fn finished(
        &mut self,
        finishes: Vec<Finish>,
        answer: Result<Vec<Finished>, StoreError>,
    ) {
        let now = self.clock.now();
        self.reports.in_flight = self.reports.in_flight.saturating_sub(finishes.len());
        match answer {
            Ok(answers) => {
                self.reports.failures = 0;
                for (finish, answer) in finishes.iter().zip(answers) {
                    self.heard(finish, answer, now);
                }
            }
            Err(error) if error.kind() == StoreErrorKind::InvalidRequest && finishes.len() > 1 => {
                // One of them cannot be kept; alone, each either can or is let go.
                tracing::warn!(%error, "the store refused a batch of outcomes; now one by one");
                for finish in finishes {
                    self.reports.in_flight += 1;
                    self.ops.spawn(self.calls.clone().finish(vec![finish]));
                }
            }
            Err(error) if error.kind() == StoreErrorKind::InvalidRequest => {
                tracing::error!(%error, "the store refused an outcome, which is lost");
                for finish in &finishes {
                    self.in_hand.remove(&finish.run);
                }
                self.trouble("finish", &error);
            }
            Err(error) => {
                self.reports.failures = self.reports.failures.saturating_add(1);
                self.trouble("finish", &error);
                for finish in finishes.into_iter().rev() {
                    self.reports.finishes.push_front(finish);
                }
                let pause = backoff(self.reports.failures, self.rng.f64());
                self.reports.flush_at = Some(now + pause);
                return;
            }
        }
        if !self.reports.finishes.is_empty() {
            self.reports.flush_at.get_or_insert(now);
        }
    }

    fn heard(&mut self, finish: &Finish, answer: Finished, now: Moment) {
        let number = self.in_hand.remove(&finish.run);
        let state = match answer {
            Finished::Late { .. } => None,
            _ if finish.again_after.is_some() => Some(RunState::Waiting),
            _ => Some(finish.outcome.state()),
        };
        if let Some(number) = number {
            self.memory.ended(number, state);
        }
        self.chain_ended(&finish.run.key);
        self.backfill_run_ended(&finish.run.key.kind, now);
        if finish.again_after.is_none() {
            let ended_at = self.time.at(now).unwrap_or(finish.run.key.tick);
            self.follow_run(&finish.run.key, finish.outcome.state(), ended_at);
        }
        match answer {
            Finished::Recorded => {
                if let Some(delay) = finish.again_after {
                    self.take.look_at(now + delay);
                }
            }
            Finished::Late { state, attempt } => {
                tracing::warn!(run = %finish.run.key, attempt = finish.run.attempt, %state,
                    current = attempt, "the run had been given up for lost; its outcome came late");
                self.events.tell(|| RunnerEvent::LateCompletion {
                    key: finish.run.key.clone(),
                    attempt: finish.run.attempt,
                    state,
                });
            }
            Finished::Unknown => {
                let what = format!("it has no record of {}", finish.run.key);
                self.store_forgot(what);
            }
            _ => {}
        }
    }

    pub(super) fn passed(
        &mut self,
        groups: Vec<PassGroup>,
        answer: Result<Vec<Vec<bool>>, StoreError>,
    ) {
        let now = self.clock.now();
        self.reports.is_passing = false;
        match answer {
            Ok(made) => {
                for (group, made) in groups.into_iter().zip(made) {
                    for (pass, is_made) in group.passes.iter().zip(&made) {
                        if *is_made {
                            self.remember_pass(pass);
                        } else {
                            self.claim_if_refused(&pass.key);
                        }
                    }
                    if made.contains(&true) && group.count > 0 {
                        tracing::warn!(task = %group.task, tick = %group.tick, count = group.count,
                            reason = group.reason, "missed");
                        self.events.tell(|| RunnerEvent::Missed {
                            task: group.task,
                            tick: group.tick,
                            count: group.count,
                            reason: group.reason,
                        });
                    }
                }
            }
            Err(error) if error.kind() == StoreErrorKind::InvalidRequest => {
                tracing::error!(%error, "the store refused to record missed ticks");
            }
            Err(error) => {
                self.trouble("pass", &error);
                let later = std::mem::take(&mut self.reports.groups);
                self.reports.groups = groups;
                self.reports.groups.extend(later);
                let pause = backoff(self.reports.failures.max(3), self.rng.f64());
                self.reports.pass_at = Some(now + pause);
            }
        }
        if !self.reports.groups.is_empty() {
            self.reports.pass_at.get_or_insert(now);
        }
    }
}
