//! Asking a run to stop.

use super::key::RunKey;
use super::record::RunState;

/// A request that a run stop. A store keeps it until the run ends, and the run's node finds it
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancel {
    /// Which run.
    pub key: RunKey,
    /// Who asks: a person, or the newer run for which the overlap rule asks.
    pub by: String,
    /// Why, in their words; may be empty.
    pub why: String,
}

impl Cancel {
    /// A request of `by` that `key` stop.
    #[must_use]
    pub fn new(key: RunKey, by: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            key,
            by: by.into(),
            why: why.into(),
        }
    }

    /// The request that [`Overlap::CancelOther`](super::Overlap::CancelOther) makes of `key` on
    /// behalf of the newer run `by`.
    #[must_use]
    pub fn by_overlap(key: RunKey, by: &RunKey) -> Self {
        Self::new(key, by.to_string(), "overlap = cancel_other")
    }

    /// The reason that stands in the record of a run that was cancelled so.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.why.is_empty() {
            format!("cancelled by {}", self.by)
        } else {
            format!("cancelled by {}: {}", self.by, self.why)
        }
    }
}

/// The answer to a request that a run stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelling {
    /// A node has it in hand and is asked to stop it; so also if it was asked before.
    Asked,
    /// It waited, and is cancelled now.
    Cancelled,
    /// It is over, so there was nothing to stop.
    Over {
        /// How it ended.
        state: RunState,
    },
    /// The store has no record of the run.
    Unknown,
}
