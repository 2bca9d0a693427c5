//! Turns what a runner tells into signs that an alarm may be due, in the runner's own loop: nothing
//! here waits, and what nobody asked to be told of costs one comparison.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Outcome, RunKey, RunKind, TaskName, Timestamp};
use tokio::sync::mpsc;

use super::AlarmKind;
use super::rule::AlarmRule;
use super::warden::WardenParts;
use crate::event::RunnerEvent;

/// How many signs may wait for the warden; of more only that there were more is remembered.
const MAX_SIGNS: usize = 4096;

/// Something happened that may be a reason to look.
#[derive(Debug)]
pub(super) enum Sign {
    /// A run of a task says something in one respect.
    Look(AlarmKind, TaskName, Reason),
    Began(RunKey),
    Ended(RunKey),
    StoreLoss(String),
    /// A node died: what it had noticed may be untold.
    NodeLost,
}

/// Why a task is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Reason {
    /// The tick of a run that seems to be bad: told also if later ones were good.
    pub(super) bad: Option<Timestamp>,
    /// A run that is on record as ended by then, or will be soon.
    pub(super) ended: Option<RunKey>,
}

/// What is open, as far as this node knows: good runs of anything else need no look.
pub(super) type OpenSubjects = Arc<Mutex<HashSet<(AlarmKind, TaskName)>>>;

/// Turns a runner's events into signs.
pub(crate) struct Watch {
    rules: Vec<Arc<AlarmRule>>,
    /// Whose store it watches; `None` for the default manager's.
    manager: Option<String>,
    signs: mpsc::Sender<Sign>,
    has_overflowed: Arc<AtomicBool>,
    open: OpenSubjects,
    /// Tasks of other managers, whose wardens watch them.
    others: HashSet<TaskName>,
}

impl Watch {
    /// The watch over the rules of one manager, and what makes its warden.
    pub(crate) fn new(
        rules: &[Arc<AlarmRule>],
        manager: Option<&str>,
        others: HashSet<TaskName>,
    ) -> (Self, WardenParts) {
        let (sender, signs) = mpsc::channel(MAX_SIGNS);
        let parts = WardenParts {
            rules: rules.to_vec(),
            signs,
            has_overflowed: Arc::default(),
            open: Arc::default(),
        };
        let watch = Self {
            rules: rules.to_vec(),
            manager: manager.map(str::to_owned),
            signs: sender,
            has_overflowed: parts.has_overflowed.clone(),
            open: parts.open.clone(),
            others,
        };
        (watch, parts)
    }

    /// Takes note of an event. Waits for nothing.
    pub(crate) fn see(&self, event: &RunnerEvent) {
        match event {
            RunnerEvent::Started { key, lateness, .. } => self.started(key, *lateness),
            RunnerEvent::Finished {
                key,
                outcome,
                again_after: None,
                duration,
                ..
            } => self.finished(key, *outcome, *duration),
            RunnerEvent::Finished { key, .. } => self.ended(key),
            RunnerEvent::Missed { task, tick, .. } => {
                self.look(AlarmKind::Missed, task, Some(*tick), None);
            }
            RunnerEvent::Lost { key, .. } => {
                self.look(AlarmKind::Lost, &key.task, Some(key.tick), None);
            }
            RunnerEvent::NodeLost { .. } => self.send(Sign::NodeLost),
            // One manager's runner tells it, so one warden raises the alarm.
            RunnerEvent::StoreRegressed { manager, what }
                if manager.as_deref() == self.manager.as_deref() =>
            {
                self.send(Sign::StoreLoss(what.clone()));
            }
            _ => {}
        }
    }

    fn started(&self, key: &RunKey, lateness: Duration) {
        let task = &key.task;
        if key.kind == RunKind::Scheduled {
            // Of a later attempt too: the first may have been won late and never begun.
            let mut rules = self.rules.iter();
            let is_late = rules.any(|rule| lateness > rule.late_after);
            self.look(AlarmKind::Late, task, is_late.then_some(key.tick), None);
            self.look(AlarmKind::Missed, task, None, None);
        }
        if self.is_watched(AlarmKind::TooLong, task) {
            self.send(Sign::Began(key.clone()));
        }
    }

    fn finished(&self, key: &RunKey, outcome: Outcome, duration: Duration) {
        let ended = |kind, is_bad: bool| {
            let bad = is_bad.then_some(key.tick);
            self.look(kind, &key.task, bad, Some(key));
        };
        match outcome {
            Outcome::Succeeded => {
                ended(AlarmKind::Failing, false);
                ended(AlarmKind::Lost, false);
            }
            Outcome::Failed | Outcome::TimedOut => {
                ended(AlarmKind::Failing, true);
                ended(AlarmKind::Lost, false);
            }
            Outcome::Lost => ended(AlarmKind::Lost, true),
            _ => {}
        }
        let mut bounds = self.rules.iter().filter_map(|rule| rule.longer_than);
        ended(AlarmKind::TooLong, bounds.any(|bound| duration > bound));
        self.ended(key);
    }

    fn ended(&self, key: &RunKey) {
        if self.is_watched(AlarmKind::TooLong, &key.task) {
            self.send(Sign::Ended(key.clone()));
        }
    }

    fn is_watched(&self, kind: AlarmKind, task: &TaskName) -> bool {
        let is_ours = !self.others.contains(task);
        let mut rules = self.rules.iter();
        is_ours && rules.any(|rule| rule.is_on(kind) && rule.is_about(task))
    }

    /// A good run is a reason to look only if something is open.
    fn look(
        &self,
        kind: AlarmKind,
        task: &TaskName,
        bad: Option<Timestamp>,
        ended: Option<&RunKey>,
    ) {
        if !self.is_watched(kind, task) {
            return;
        }
        let is_open = || locked(&self.open).contains(&(kind, task.clone()));
        if bad.is_some() || is_open() {
            let ended = ended.cloned();
            self.send(Sign::Look(kind, task.clone(), Reason { bad, ended }));
        }
    }

    fn send(&self, sign: Sign) {
        if self.signs.try_send(sign).is_err() {
            self.has_overflowed.store(true, Ordering::Relaxed);
        }
    }
}

/// A panic elsewhere leaves the set whole: every change to it is a single step.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
