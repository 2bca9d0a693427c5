//! Runs that somebody wants to stop: the store keeps the requests, and this node looks for those
//! that concern what it has in hand, at each hint and after each beat.

use tenure_core::{Cancel, Finish, Outcome, RunRef, StoreError};

use super::Runner;
use crate::attempt::NOT_BEGUN;
use crate::event::RunnerEvent;
use crate::stop::StopReason;

/// Looking for requests to stop.
#[derive(Debug, Default)]
pub(super) struct Cancelling {
    is_busy: bool,
    /// A hint came while a look was under way, which may have been too early to see why.
    must_look_again: bool,
}

impl Runner {
    /// Looks for requests to stop, if there is anything that could be stopped.
    pub(super) fn look_at_cancels(&mut self) {
        if self.running.is_empty() {
            return;
        }
        if self.cancelling.is_busy {
            self.cancelling.must_look_again = true;
            return;
        }
        self.cancelling.is_busy = true;
        let node = self.node.id;
        self.ops.spawn(self.calls.clone().cancels(node));
    }

    pub(super) fn cancels(&mut self, answer: Result<Vec<Cancel>, StoreError>) {
        self.cancelling.is_busy = false;
        match answer {
            Ok(cancels) => {
                for cancel in cancels {
                    self.stop_run(&cancel);
                }
            }
            Err(error) => self.trouble("cancels", &error),
        }
        if std::mem::take(&mut self.cancelling.must_look_again) {
            self.look_at_cancels();
        }
    }

    /// Ends a run that was won and that nobody wants any more.
    pub(super) fn let_go(&mut self, run: RunRef, why: &str) {
        let mut finish = Finish::new(run, Outcome::Cancelled);
        finish.reason = Some(format!("{NOT_BEGUN}{why}"));
        self.report(finish);
    }

    fn stop_run(&mut self, cancel: &Cancel) {
        let mut running = self.running.iter_mut();
        let Some((id, running)) = running.find(|(_, running)| running.run.key == cancel.key) else {
            return;
        };
        if running.cancel.is_some() {
            return;
        }
        let reason = cancel.reason();
        tracing::info!(run = %cancel.key, reason, "told to stop");
        running.cancel = Some(reason);
        let (id, now) = (*id, self.clock.now());
        self.tell_to_stop(id, StopReason::Requested, now);
        self.events.tell(|| RunnerEvent::CancelRequested {
            key: cancel.key.clone(),
            by: cancel.by.clone(),
            why: cancel.why.clone(),
        });
    }
}
