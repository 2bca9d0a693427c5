//! Records that are made without a claim: ticks that nobody will run, and runs that somebody asked
//! for.
//!
//! Neither competes for a tick: a tick that is passed over has no record yet, and a run that was
//! asked for has a kind of its own.

use std::time::Duration;

use super::admission::MaxRunning;
use super::key::RunKey;
use super::record::{OnCrash, Overlap, RunState};

/// A tick that nobody will run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// Which run.
    pub key: RunKey,
    /// [`RunState::Skipped`] or [`RunState::Missed`].
    pub state: RunState,
    /// Why.
    pub reason: String,
    /// How long the record is kept at least.
    pub keep_for: Duration,
}

impl Pass {
    /// A tick that was missed.
    #[must_use]
    pub fn missed(key: RunKey, reason: impl Into<String>) -> Self {
        let keep_for = Duration::from_secs(24 * 3600);
        Self {
            key,
            state: RunState::Missed,
            reason: reason.into(),
            keep_for,
        }
    }

    /// A tick that is left out by a rule.
    #[must_use]
    pub fn skipped(key: RunKey, reason: impl Into<String>) -> Self {
        Self {
            state: RunState::Skipped,
            ..Self::missed(key, reason)
        }
    }
}

/// A run to put into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueue {
    /// Which run; of kind manual or backfill.
    pub key: RunKey,
    /// How long from now it waits before it is due.
    pub due_in: Duration,
    /// Runs beside others of its task and index if this is [`Overlap::Allow`]; under every other
    /// rule it waits for one that is in hand.
    pub overlap: Overlap,
    /// How many runs of the task may be in hand when it begins. `None`: any number.
    pub max_running: Option<MaxRunning>,
    /// What a crash does to it.
    pub on_crash: OnCrash,
    /// Leaves it out if the scheduled run of the same tick and index succeeded or is in hand.
    pub only_missing: bool,
    /// Who asked, and why; kept as [`RunRecord::asked`](super::RunRecord::asked), whatever becomes
    /// of the run. May be empty.
    pub reason: String,
}

impl Enqueue {
    /// A run that is due at once, waits for its like, and is made whatever became of the tick.
    #[must_use]
    pub fn new(key: RunKey, reason: impl Into<String>) -> Self {
        Self {
            key,
            due_in: Duration::ZERO,
            overlap: Overlap::Skip,
            max_running: None,
            on_crash: OnCrash::Lose,
            only_missing: false,
            reason: reason.into(),
        }
    }
}

/// The answer to one run put into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// It waits to be taken.
    Waiting,
    /// It was there already.
    Exists {
        /// Where it stands.
        state: RunState,
    },
    /// The tick was not missing, so nothing was made.
    NotMissing {
        /// Where the scheduled run stands.
        state: RunState,
    },
}
