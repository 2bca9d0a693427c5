//! Runs in hand: begun when they are won, told to stop when they must, reported when they end.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenure_core::{
    Claim, Fence, Finish, Moment, OnCrash, Outcome, RunKey, RunKind, RunRef, RunState, StartMode,
    Timestamp,
};

use super::watch::{Stage, Waiting};
use super::{Phase, Runner};
use crate::attempt::{Attempt, Ending, NOT_BEGUN, record_end};
use crate::check::Work;
use crate::event::{DelayCause, RunnerEvent};
use crate::output::{bounded, last_line};
use crate::policy::OnLeaseLoss;
use crate::spec::TaskSpec;
use crate::stop::StopReason;
use crate::table::TaskId;

/// The longest that a run which was won waits for its tick, whatever the clocks say.
const MOST_EARLY: Duration = Duration::from_secs(2);

/// An attempt that is going on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) run: RunRef,
    pub(super) attempt: Arc<Attempt>,
    on_crash: OnCrash,
    asked: Option<Arc<str>>,
    pub(super) began_at: Moment,
    /// Why it was told to stop, if somebody asked for it.
    pub(super) cancel: Option<String>,
    pub(super) stage: Stage,
    /// When it must be looked at.
    pub(super) deadline: Option<Moment>,
}

impl Running {
    pub(super) fn run(&self) -> &RunRef {
        &self.run
    }

    pub(super) fn fence(&self) -> Option<Fence> {
        self.attempt.fence
    }

    pub(super) fn on_crash(&self) -> OnCrash {
        self.on_crash
    }

    pub(super) fn asked(&self) -> Option<&str> {
        self.asked.as_deref()
    }
}

/// How a run was won.
#[derive(Debug)]
pub(super) struct Won {
    pub(super) asked_at: Moment,
    pub(super) in_place_of_another: bool,
    /// Whether the store knows that it begins.
    pub(super) start: StartMode,
}

impl Runner {
    /// Begins a run that the store says is ours.
    ///
    /// The store answers the same token with the same run as long as it is in hand, so an answer
    /// that came twice must not begin it twice.
    pub(super) fn won(&mut self, mut claim: Claim, task: Option<TaskId>, won: &Won) {
        let Entry::Vacant(free) = self.in_hand.entry(claim.run.clone()) else {
            tracing::debug!(run = %claim.run.key, "won already");
            return;
        };
        let work = task.and_then(|id| self.table.work(id));
        let window = work.map_or(Duration::ZERO, |work| work.spec.claim_window());
        let state = match won.start {
            StartMode::AtOnce => RunState::Running,
            _ => RunState::Claimed,
        };
        claim.asked = self.memory.asked(claim.asked.take());
        free.insert(self.memory.won(&claim, window, state));
        self.events.tell(|| RunnerEvent::Claimed {
            key: claim.run.key.clone(),
            attempt: claim.run.attempt,
            in_place_of_another: won.in_place_of_another,
        });
        let Some(claim) = self.unless_cancelled(claim) else {
            return;
        };
        let spec = task.and_then(|id| self.table.spec(id));
        if spec.is_some_and(TaskSpec::is_retired) {
            return self.let_go(claim.run, "the task is retired");
        }
        if let Some(why) = self.is_unfollowed(&claim.run.key, task) {
            return self.let_go(claim.run, why);
        }
        let now = self.clock.now();
        // The answer may be old: a node that slept over it must not begin.
        if !self.lease.covers(won.asked_at, now) {
            return self.hand_back(
                claim.run,
                Outcome::Lost,
                "the node's lease could not be trusted",
            );
        }
        // Begun now, it would be stopped at once.
        let is_leaving = match self.phase {
            Phase::Live => false,
            Phase::Draining { until } => until <= now,
            Phase::Stopping { .. } | Phase::Over => true,
        };
        if is_leaving {
            return self.hand_back(claim.run, Outcome::Interrupted, "the node was leaving");
        }
        let Some(work) = task.and_then(|id| self.table.work(id)).cloned() else {
            return self.hand_back(
                claim.run,
                Outcome::Interrupted,
                "the node does not know the task",
            );
        };
        self.begin(claim, work, won, now);
    }

    fn begin(&mut self, claim: Claim, work: Work, won: &Won, now: Moment) {
        let key = claim.run.key.clone();
        let due_at = match key.kind {
            RunKind::Scheduled => work.spec.fires_at(key.tick),
            _ => key.tick,
        };
        let cause = match key.kind {
            _ if claim.run.attempt > 1 => DelayCause::Retry,
            RunKind::Scheduled if self.take.gave(claim.run.token) => DelayCause::Line,
            RunKind::Scheduled => DelayCause::System,
            _ => DelayCause::Request,
        };
        let name = (claim.run.attempt, Some(claim.fence));
        let attempt = Arc::new(Attempt::new(work.spec.clone(), key, name, due_at));
        let id = self.next_run;
        self.next_run += 1;
        self.running.insert(
            id,
            Running {
                run: claim.run,
                attempt,
                on_crash: claim.on_crash,
                asked: claim.asked,
                began_at: now,
                cancel: None,
                stage: Stage::Early(None),
                deadline: None,
            },
        );
        // Nothing starts before its time. What waits for longer than this was not due at all.
        let starts_at = self.time.moment_of(due_at).unwrap_or(now);
        let waiting = Waiting {
            id,
            work,
            asked_at: won.asked_at,
            due_at,
            starts_at: starts_at.min(now + MOST_EARLY),
            cause,
        };
        if won.start != StartMode::AtOnce {
            self.start_later(waiting);
        } else if waiting.starts_at <= now {
            self.launch(&waiting, now);
        } else {
            self.wait_for_its_time(waiting);
        }
        self.show_running();
    }

    pub(super) fn show_running(&self) {
        let count = self.running.len();
        self.pulse.running.store(count, Ordering::Relaxed);
    }

    /// How long code may go on after its lease is lost: it must be gone before the lease can end.
    pub(super) fn loss_grace(&self) -> Duration {
        let patience = self
            .options
            .margin()
            .saturating_sub(Duration::from_millis(200));
        self.options.stop_grace.min(patience)
    }

    /// Gives a run back that was won but not begun. Its code never ran, so another node may run it
    /// whatever the task says about crashes.
    pub(super) fn hand_back(&mut self, run: RunRef, outcome: Outcome, why: &str) {
        tracing::warn!(run = %run.key, why, "won, but not begun");
        let mut finish = Finish::new(run, outcome);
        finish.reason = Some(format!("{NOT_BEGUN}{why}"));
        finish.again_after = Some(Duration::ZERO);
        self.report(finish);
    }

    /// A run that was won and whose code has not begun, unless it is not to begin any more.
    pub(super) fn if_wanted(&mut self, waiting: Waiting, now: Moment) -> Option<Waiting> {
        let stop = self.running.get(&waiting.id)?.attempt.stop.reason();
        // The process may have slept since it was won.
        if !self.lease.covers(waiting.asked_at, now) {
            self.give_back(&waiting, "the node's lease could not be trusted");
            return None;
        }
        if stop.is_none() {
            return Some(waiting);
        }
        let running = self.running.remove(&waiting.id)?;
        if stop == Some(StopReason::Drain) {
            let key = running.run.key.clone();
            self.farewell.drained.interrupted.push(key);
            self.hand_back(running.run, Outcome::Interrupted, "the node was leaving");
        } else {
            let why = running.cancel.as_deref().unwrap_or("stopped on request");
            self.let_go(running.run, why);
        }
        None
    }

    /// Gives back a run whose code has not begun.
    pub(super) fn give_back(&mut self, waiting: &Waiting, why: &str) {
        if let Some(running) = self.running.remove(&waiting.id) {
            self.hand_back(running.run, Outcome::Lost, why);
        }
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, id: u64, ending: Ending) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        if let Some(deadline) = running.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.show_running();
        let now = self.clock.now();
        if self.options.max_running.is_some()
            || running.attempt.spec.max_running_per_node().is_some()
        {
            // There is room for something that waits.
            self.take.look_now(now);
        }
        let store_now = self.time.at(now).unwrap_or(running.attempt.started_at());
        let attempt = &running.attempt;
        let outcome = outcome_of(&ending, attempt.stop.reason());
        record_end(attempt.span(), outcome);
        let is_permanent =
            matches!(&ending, Ending::Returned(Err(failure)) if failure.is_permanent);
        let mut finish = Finish::new(running.run.clone(), outcome);
        finish.reason = reason_of(&ending, outcome, &running);
        if !is_permanent {
            let again = again_after(&attempt.spec, &running, outcome, store_now, self.rng.f64());
            match again {
                Again::After(delay) => finish.again_after = Some(delay),
                Again::Barred(why) => finish.reason = Some(with_why(finish.reason, &why)),
                Again::No => {}
            }
        }
        let printed = attempt.output.take();
        let (exit_code, output) = match ending {
            Ending::Returned(Ok(report)) => (report.exit_code, report.output),
            Ending::Returned(Err(failure)) => (failure.exit_code, failure.output),
            _ => (None, None),
        };
        finish.exit_code = exit_code;
        finish.output = output.as_deref().and_then(bounded).or(printed);
        self.tell_finished(&running, &finish, now);
        if self.phase != Phase::Live {
            match outcome {
                Outcome::Interrupted => self.farewell.drained.interrupted.push(running.run.key),
                _ => self.farewell.drained.finished += 1,
            }
        }
        self.report(finish);
    }

    fn tell_finished(&self, running: &Running, finish: &Finish, now: Moment) {
        let duration = now.since(running.began_at);
        let key = &running.run.key;
        if finish.outcome == Outcome::Succeeded {
            tracing::debug!(run = %key, ?duration, "succeeded");
        } else {
            tracing::warn!(run = %key, attempt = running.run.attempt, outcome = ?finish.outcome,
                reason = finish.reason, again_after = ?finish.again_after, "ended badly");
        }
        self.events.tell(|| RunnerEvent::Finished {
            key: key.clone(),
            attempt: running.run.attempt,
            outcome: finish.outcome,
            lateness: running.attempt.lateness(),
            duration,
            reason: finish.reason.clone(),
            exit_code: finish.exit_code,
            again_after: finish.again_after,
            last_line: last_line(finish.outcome, finish.output.as_deref()),
        });
    }

    /// Tells running code to stop.
    pub(super) fn stop_all(&mut self, reason: StopReason) {
        let now = self.clock.now();
        let goes_on = |running: &Running| {
            let spec = &running.attempt.spec;
            reason == StopReason::LeaseLost && spec.on_lease_loss() == OnLeaseLoss::Continue
        };
        let told = self.running.iter();
        let told = told.filter(|(_, running)| !goes_on(running));
        for id in told.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.tell_to_stop(id, reason, now);
        }
    }

    /// Runs that are still going on, by key.
    pub(super) fn still_running(&self) -> Vec<RunKey> {
        self.running
            .values()
            .map(|running| running.run.key.clone())
            .collect()
    }
}

/// What an ending means for the run. Code that ends well although it was told to stop has ended
/// well, except that it was too slow.
pub(crate) fn outcome_of(ending: &Ending, stop: Option<StopReason>) -> Outcome {
    match (ending, stop) {
        (_, Some(StopReason::Timeout)) => Outcome::TimedOut,
        (Ending::Returned(Ok(_)), _) => Outcome::Succeeded,
        (_, Some(StopReason::Drain)) => Outcome::Interrupted,
        (_, Some(StopReason::LeaseLost)) => Outcome::Lost,
        (_, Some(StopReason::Requested)) => Outcome::Cancelled,
        (_, None) => Outcome::Failed,
    }
}

fn reason_of(ending: &Ending, outcome: Outcome, running: &Running) -> Option<String> {
    let attempt = &running.attempt;
    let what = match outcome {
        Outcome::Succeeded => return None,
        Outcome::TimedOut => format!(
            "took longer than {}",
            tenure_core::format_duration(attempt.spec.timeout().unwrap_or_default())
        ),
        Outcome::Interrupted => "stopped because the node was leaving".to_owned(),
        Outcome::Lost => "stopped because the node's lease could not be renewed".to_owned(),
        Outcome::Cancelled => running
            .cancel
            .clone()
            .unwrap_or_else(|| "stopped on request".to_owned()),
        _ => return Some(ending.to_string()),
    };
    Some(format!("{what}; {ending}"))
}

/// Whether an attempt follows one that ended badly.
#[derive(Debug, PartialEq, Eq)]
enum Again {
    After(Duration),
    /// There are attempts left, and no time.
    Barred(String),
    No,
}

fn with_why(reason: Option<String>, why: &str) -> String {
    reason.map_or_else(|| why.to_owned(), |reason| format!("{reason}; {why}"))
}

/// After what delay the run should be tried again, if it should.
fn again_after(
    spec: &TaskSpec,
    running: &Running,
    outcome: Outcome,
    now: Timestamp,
    chance: f64,
) -> Again {
    let attempt = running.run.attempt;
    match outcome {
        // As a crash would be: only if the task may run more than once.
        Outcome::Interrupted | Outcome::Lost => match running.on_crash {
            OnCrash::Retry { max_attempts } if attempt < max_attempts => {
                Again::After(Duration::ZERO)
            }
            _ => Again::No,
        },
        Outcome::Failed | Outcome::TimedOut => {
            let Some(delay) = spec.retry().delay_after(attempt, chance) else {
                return Again::No;
            };
            match spec.bars_retry_at(&running.run.key, now + delay) {
                Some(why) => Again::Barred(why),
                None => Again::After(delay),
            }
        }
        _ => Again::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{TaskFailure, TaskReport};

    #[test]
    fn what_an_ending_means_depends_on_why_the_code_was_stopped() {
        let well = || Ending::Returned(Ok(TaskReport::new()));
        let badly = || Ending::Returned(Err(TaskFailure::new("no")));
        for (ending, stop, expected) in [
            (well(), None, Outcome::Succeeded),
            (badly(), None, Outcome::Failed),
            (Ending::Panicked("!".into()), None, Outcome::Failed),
            (Ending::NoRuntime, None, Outcome::Failed),
            (well(), Some(StopReason::Timeout), Outcome::TimedOut),
            (
                Ending::Dropped,
                Some(StopReason::Timeout),
                Outcome::TimedOut,
            ),
            (well(), Some(StopReason::Drain), Outcome::Succeeded),
            (badly(), Some(StopReason::Drain), Outcome::Interrupted),
            (Ending::Dropped, Some(StopReason::LeaseLost), Outcome::Lost),
            (badly(), Some(StopReason::Requested), Outcome::Cancelled),
        ] {
            assert_eq!(outcome_of(&ending, stop), expected, "{ending} {stop:?}");
        }
    }
}
