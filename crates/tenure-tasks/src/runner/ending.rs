//! The end of a runner: drained in order, or given up.

use std::time::Duration;

use tenure_core::Moment;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Phase, Runner};
use crate::event::RunnerEvent;
use crate::running::Drained;
use crate::stop::StopReason;

/// How long the last outcomes may take to reach the store when everything else is over.
const LAST_REPORTS: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn drain(&mut self, patience: Duration, reply: oneshot::Sender<Drained>) {
        let now = self.clock.now();
        self.farewell.replies.push(reply);
        match self.phase {
            Phase::Live => {
                tracing::info!(running = self.running.len(), ?patience, "draining");
                self.events.tell(|| RunnerEvent::Draining {
                    manager: self.name.clone(),
                    running: self.running.len(),
                });
                self.claims.stop();
                self.room.take_held();
                self.chains.clear();
                self.replacing.clear();
                self.phase = Phase::Draining {
                    until: now + patience,
                };
                self.pulse.change().is_live = false;
            }
            Phase::Draining { until } => {
                self.phase = Phase::Draining {
                    until: until.min(now + patience),
                };
            }
            Phase::Stopping { .. } | Phase::Over => {}
        }
    }

    /// Goes through the end: waits, tells the rest to stop, waits for the last reports.
    pub(super) fn advance(&mut self, now: Moment) {
        let is_done = self.running.is_empty()
            && !self.claims.has_flights()
            && !self.take.is_under_way()
            && self.reports.is_empty();
        match self.phase {
            Phase::Draining { .. } | Phase::Stopping { .. } if is_done => self.end(),
            Phase::Draining { until } if now >= until => {
                self.stop_all(StopReason::Drain);
                self.phase = Phase::Stopping {
                    until: now + self.options.stop_grace + LAST_REPORTS,
                };
            }
            Phase::Stopping { until } if now >= until => self.end(),
            _ => {}
        }
    }

    fn end(&mut self) {
        let left = self.still_running();
        let unreported = self.reports.unreported() + left.len();
        if unreported > 0 {
            tracing::warn!(unreported, "the store did not hear of every outcome");
        }
        self.farewell.drained.unreported = unreported;
        self.farewell.drained.interrupted.extend(left);
        self.phase = Phase::Over;
    }

    /// Leaves the store and closes the manager.
    pub(crate) async fn close(mut self) {
        self.ops.abort_all();
        let leaving = self.calls.store.leave(self.node.id);
        match timeout(LAST_REPORTS.min(self.options.store_timeout), leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not leave the store"),
            Err(_) => tracing::warn!("the store did not hear the farewell in time"),
        }
        self.manager.close().await;
        self.pulse.change().is_live = false;
        // Told last: whoever waits for the end may rely on the store having heard everything.
        for reply in self.farewell.replies {
            // Nobody waits any more if this fails.
            let _ = reply.send(self.farewell.drained.clone());
        }
    }
}
