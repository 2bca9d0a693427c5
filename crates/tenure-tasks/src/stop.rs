//! How running code is told to stop, and why.
//!
//! The first reason stands: whoever asks later changes nothing.

use std::fmt;
use std::sync::OnceLock;

use tokio::sync::Notify;

/// Why running code should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// It took longer than the task's timeout.
    Timeout,
    /// The process is leaving and the time for finishing is over.
    Drain,
    /// The node can no longer trust its lease; another node may take it for dead.
    LeaseLost,
    /// Somebody asked for it.
    Requested,
}

impl StopReason {
    /// The reason's name in records and JSON, such as `lease_lost`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Drain => "drain",
            Self::LeaseLost => "lease_lost",
            Self::Requested => "requested",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request to stop that may or may not have been made. Without memory of its own, because there
/// is one for each run and most are never made.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    reason: OnceLock<StopReason>,
    /// A lost lease leaves less time than whatever was asked before.
    hurry: OnceLock<()>,
    changed: Notify,
}

impl Stop {
    pub(crate) fn ask(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        if reason == StopReason::LeaseLost {
            let _ = self.hurry.set(());
        }
        // After both: whoever is woken finds what it was woken for.
        self.changed.notify_waiters();
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.hurry.get().is_some()
    }

    /// # Cancel safety
    /// Safe.
    pub(crate) async fn asked(&self) -> StopReason {
        loop {
            // Made before the look, so that what is asked in between wakes it.
            let changed = self.changed.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            changed.await;
        }
    }

    /// Resolves when the lease is lost, even if something else was the first reason.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn hurried(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_hurried() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_stands() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        stop.ask(StopReason::LeaseLost);
        stop.ask(StopReason::Drain);
        assert_eq!(stop.asked().await, StopReason::LeaseLost);
    }
}
