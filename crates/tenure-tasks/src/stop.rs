//! How running code is told to stop, and why.
//!
//! The first reason stands: whoever asks later changes nothing.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

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

/// A request to stop that may or may not have been made; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    reason: Arc<OnceLock<StopReason>>,
    token: CancellationToken,
    /// A lost lease leaves less time than whatever was asked before.
    hurry: CancellationToken,
}

impl Stop {
    pub(crate) fn ask(&self, reason: StopReason) {
        // The reason is set before the token, so whoever sees the token finds a reason.
        let _ = self.reason.set(reason);
        self.token.cancel();
        if reason == StopReason::LeaseLost {
            self.hurry.cancel();
        }
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// # Cancel safety
    /// Safe.
    pub(crate) async fn asked(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason().unwrap_or(StopReason::Requested)
    }

    /// Resolves when the lease is lost, even if something else was the first reason.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn hurried(&self) {
        self.hurry.cancelled().await;
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
