//! What is asked and told about runs whose nodes are gone.
//!
//! Whether a node is gone is the store's to say, by its own clock. What a crash does to a run
//! stands in its record.

use std::time::Duration;

use super::record::RunRecord;
use crate::{Holder, HolderId, Timestamp};

/// A request to look for runs whose nodes are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Who asks.
    pub by: HolderId,
    /// How long past the end of its lease a node is still waited for.
    pub grace: Duration,
    /// The most runs to move in one call; the rest is left for the next.
    pub limit: usize,
}

impl Recovery {
    /// A look for at most 256 runs, without grace.
    #[must_use]
    pub fn new(by: HolderId) -> Self {
        Self {
            by,
            grace: Duration::ZERO,
            limit: 256,
        }
    }
}

/// What a recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The store's clock.
    pub now: Timestamp,
    /// The nodes whose end this call was the first to see.
    pub nodes: Vec<Holder>,
    /// The runs this call moved.
    pub runs: Vec<RecoveredRun>,
}

impl Recovered {
    /// What was found.
    #[must_use]
    pub fn new(now: Timestamp, nodes: Vec<Holder>, runs: Vec<RecoveredRun>) -> Self {
        Self { now, nodes, runs }
    }
}

/// A run that a recovery moved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveredRun {
    /// The run as it stands now: `lost`, or `waiting` for another attempt.
    pub record: RunRecord,
    /// The attempt that was lost.
    pub lost_attempt: u32,
    /// Whether user code may have run in that attempt.
    pub had_started: bool,
}

impl RecoveredRun {
    /// A run that was moved.
    #[must_use]
    pub fn new(record: RunRecord, lost_attempt: u32, had_started: bool) -> Self {
        Self {
            record,
            lost_attempt,
            had_started,
        }
    }
}
