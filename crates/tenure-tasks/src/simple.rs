//! Runs tasks under a manager that only permits and refuses: one attempt for each (task, tick,
//! index), without heartbeats, recovery, retries or catch-up across nodes.
//!
//! The time is this machine's wall clock: such a manager has no other to offer.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tenure_core::{Clock, Moment, Outcome, Overlap, RunKey, RunState, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::attempt::{Attempt, Ending, Limits, supervise};
use crate::check::{Assigned, Work};
use crate::event::{DelayCause, EventSender, RunnerEvent, SkipCause};
use crate::manager::{TaskError, TaskManager};
use crate::options::RunnerOptions;
use crate::output::last_line;
use crate::replacing::{Replaced, Replacement};
use crate::running::{Command, Drained, Pulse};
use crate::stop::StopReason;
use crate::table::{Table, TaskId};

const LONGEST_NAP: Duration = Duration::from_secs(1);

pub(crate) struct SimpleRunner {
    manager: Arc<dyn TaskManager>,
    name: Option<Arc<str>>,
    clock: Arc<dyn Clock>,
    options: RunnerOptions,
    events: EventSender,
    pulse: Arc<Pulse>,
    commands: mpsc::Receiver<Command>,
    table: Table,
    executions: JoinSet<(u64, Executed)>,
    running: BTreeMap<u64, Running>,
    busy: HashSet<(TaskId, u32)>,
    next_run: u64,
    /// Until when executions may end by themselves; `None` while it does not drain.
    draining_until: Option<Moment>,
    is_stopping: bool,
    drained: Drained,
    replies: Vec<oneshot::Sender<Drained>>,
}

struct Running {
    place: (TaskId, u32),
    attempt: Arc<Attempt>,
    began_at: Moment,
}

/// How one execution went.
enum Executed {
    Refused,
    Failed(TaskError),
    Ended(Ending),
}

impl SimpleRunner {
    pub(crate) fn new(
        assigned: Assigned,
        options: &RunnerOptions,
        clock: &Arc<dyn Clock>,
        events: &EventSender,
        commands: mpsc::Receiver<Command>,
        pulse: Arc<Pulse>,
    ) -> Self {
        let mut table = Table::new(assigned.work);
        let now = clock.wall();
        for id in (0..).take(table.len()) {
            table.enter(id, now);
        }
        {
            let mut shown = pulse.change();
            shown.is_live = true;
            shown.tasks = table.len();
            shown.nodes = 1;
        }
        Self {
            name: assigned.manager.name().map(Arc::from),
            manager: assigned.manager,
            clock: clock.clone(),
            options: options.clone(),
            events: events.clone(),
            pulse,
            commands,
            table,
            executions: JoinSet::new(),
            running: BTreeMap::new(),
            busy: HashSet::new(),
            next_run: 0,
            draining_until: None,
            is_stopping: false,
            drained: Drained::default(),
            replies: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        while !self.step() {
            let nap = self.nap();
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.asked(command),
                Some(executed) = self.executions.join_next() => {
                    if let Ok((id, executed)) = executed {
                        self.executed(id, executed);
                    }
                }
                () = sleep(nap) => {}
            }
        }
        self.close().await;
    }

    pub(crate) async fn close(self) {
        self.manager.close().await;
        self.pulse.change().is_live = false;
        for reply in self.replies {
            // Nobody waits any more if this fails.
            let _ = reply.send(self.drained.clone());
        }
    }

    /// Does what is due; true when everything is over.
    fn step(&mut self) -> bool {
        let now = self.clock.now();
        if let Some(until) = self.draining_until {
            if now >= until && !self.is_stopping {
                self.is_stopping = true;
                for running in self.running.values() {
                    running.attempt.stop.ask(StopReason::Drain);
                }
            }
            return self.running.is_empty();
        }
        let wall = self.clock.wall();
        while let Some(id) = self.table.pop(wall) {
            let Some(evaluation) = self.table.evaluate(id, wall) else {
                continue;
            };
            let Some(work) = self.table.work(id).cloned() else {
                continue;
            };
            let missed = evaluation.due.missed;
            if let Some(tick) = missed.ticks.last().copied() {
                self.events.tell(|| RunnerEvent::Missed {
                    task: work.spec.name().clone(),
                    tick,
                    count: missed.count(),
                    reason: "this process was not there in time".to_owned(),
                });
            }
            for tick in evaluation.due.run {
                for index in 1..=work.spec.concurrency() {
                    self.begin(id, &work, tick, index, wall, now);
                }
            }
        }
        false
    }

    fn nap(&self) -> Duration {
        let until = match self.draining_until {
            Some(until) if !self.is_stopping => until.since(self.clock.now()),
            Some(_) => LONGEST_NAP,
            None => self
                .table
                .first()
                .map_or(LONGEST_NAP, |first| first.since(self.clock.wall())),
        };
        until.min(LONGEST_NAP)
    }

    fn begin(
        &mut self,
        id: TaskId,
        work: &Work,
        tick: Timestamp,
        index: u32,
        wall: Timestamp,
        now: Moment,
    ) {
        let spec = work.spec.clone();
        let key = RunKey::scheduled(spec.name().clone(), tick, index);
        let place = (id, index);
        if spec.overlap() == Overlap::Skip && self.busy.contains(&place) {
            self.events.tell(|| RunnerEvent::Skipped {
                key,
                cause: SkipCause::Overlap,
                reason: "an earlier run is still going on in this process".to_owned(),
            });
            return;
        }
        let due_at = spec.fires_at(tick);
        let attempt = Arc::new(Attempt::new(spec, key, (1, None), due_at));
        attempt.begins_at(wall);
        let limits = Limits {
            wait: Duration::ZERO,
            grace: self.options.stop_grace,
            loss_grace: self.options.stop_grace,
        };
        let run = self.next_run;
        self.next_run += 1;
        self.busy.insert(place);
        let execution = execute(
            self.manager.clone(),
            self.events.clone(),
            work.clone(),
            attempt.clone(),
            limits,
        );
        // A manager that panics has failed at this execution and at no other.
        let execution = AssertUnwindSafe(execution).catch_unwind();
        self.executions.spawn(async move {
            let executed = execution.await.unwrap_or_else(|_| {
                Executed::Failed(TaskError::Manager("the manager panicked".into()))
            });
            (run, executed)
        });
        self.running.insert(
            run,
            Running {
                place,
                attempt,
                began_at: now,
            },
        );
        self.pulse
            .running
            .store(self.running.len(), Ordering::Relaxed);
    }

    fn executed(&mut self, id: u64, executed: Executed) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        self.busy.remove(&running.place);
        self.pulse
            .running
            .store(self.running.len(), Ordering::Relaxed);
        let key = running.attempt.key.clone();
        let ending = match executed {
            Executed::Refused => return,
            Executed::Failed(error) => {
                let error = format!("{error:?}");
                tracing::error!(run = %key, error, "the manager failed");
                self.events.tell(|| RunnerEvent::StoreTrouble {
                    manager: self.name.clone(),
                    call: "attempt_execute",
                    error,
                });
                // Another process may have run it; this one was neither allowed nor refused.
                self.events.tell(|| RunnerEvent::Missed {
                    task: key.task,
                    tick: key.tick,
                    count: 1,
                    reason: "its manager failed; this process did not run it".to_owned(),
                });
                return;
            }
            Executed::Ended(ending) => ending,
        };
        let outcome = crate::runner::outcome_of(&ending, running.attempt.stop.reason());
        if self.draining_until.is_some() {
            match outcome {
                Outcome::Interrupted => self.drained.interrupted.push(key.clone()),
                _ => self.drained.finished += 1,
            }
        }
        let (exit_code, output) = match &ending {
            Ending::Returned(Err(failure)) => (failure.exit_code, failure.output.as_deref()),
            Ending::Returned(Ok(report)) => (report.exit_code, report.output.as_deref()),
            _ => (None, None),
        };
        self.events.tell(|| RunnerEvent::Finished {
            key,
            attempt: 1,
            outcome,
            lateness: running.attempt.lateness(),
            duration: self.clock.now().since(running.began_at),
            reason: (outcome.state() != RunState::Succeeded).then(|| ending.to_string()),
            exit_code,
            again_after: None,
            last_line: last_line(outcome, output),
        });
    }

    /// Runs these tasks from now on. What is new begins with the ticks after this instant.
    fn replace(&mut self, work: Vec<Work>) -> Replaced {
        let now = self.clock.wall();
        let replaced = self.table.compare(&work);
        for name in &replaced.removed {
            if let Some(id) = self.table.id_of(name) {
                self.table.retire(id);
            }
        }
        for work in work {
            self.table.put(work);
        }
        for name in replaced.added.iter().chain(&replaced.changed) {
            if let Some(id) = self.table.id_of(name) {
                self.table.enter(id, now);
            }
        }
        self.pulse.change().tasks = self.table.len();
        self.events.tell(|| RunnerEvent::Replaced {
            manager: self.name.clone(),
            replaced: replaced.clone(),
        });
        replaced
    }

    fn asked(&mut self, command: Command) {
        match command {
            Command::Replace(Replacement { work, reply }) => {
                let replaced = self.replace(work);
                let _ = reply.send(Ok(replaced));
            }
            Command::NextTicks(count, reply) => {
                let _ = reply.send(self.table.upcoming(count));
            }
            Command::OutputOf(run, reply) => {
                let mut attempts = self.running.values().map(|running| &*running.attempt);
                let attempt = attempts.find(|attempt| attempt.key == run);
                let _ = reply.send(attempt.map(|attempt| attempt.output.so_far()));
            }
            Command::Drain(patience, reply) => {
                let until = self.clock.now() + patience;
                self.draining_until = Some(self.draining_until.map_or(until, |old| old.min(until)));
                self.replies.push(reply);
                self.pulse.change().is_live = false;
                self.events.tell(|| RunnerEvent::Draining {
                    manager: self.name.clone(),
                    running: self.running.len(),
                });
            }
        }
    }
}

/// Asks for permission, runs the code, and says that it is over.
async fn execute(
    manager: Arc<dyn TaskManager>,
    events: EventSender,
    work: Work,
    attempt: Arc<Attempt>,
    limits: Limits,
) -> Executed {
    let key = attempt.key.clone();
    let asked = manager.attempt_execute(&work.spec, key.tick, key.index);
    let token = match asked.await {
        Ok(Some(token)) => token,
        Ok(None) => return Executed::Refused,
        Err(error) => return Executed::Failed(error),
    };
    events.tell(|| RunnerEvent::Started {
        key: key.clone(),
        attempt: attempt.number,
        lateness: attempt.lateness(),
        cause: DelayCause::System,
    });
    let ending = supervise(work.code, work.runtime, attempt, limits).await;
    if let Err(error) = manager.mark_executed(token).await {
        tracing::error!(run = %key, ?error, "the manager did not hear that the run is over");
    }
    Executed::Ended(ending)
}
