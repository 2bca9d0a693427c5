//! What figures of tasks have in common, whoever reads them: which tasks have their own, the bounds
//! of histograms, and the words of labels.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tenure_core::{ClaimAnswer, Refusal, TaskName, Timestamp};

use crate::alarm::tells_alarms;

/// How many tasks have figures of their own; what the others do is told of the task `other`.
const MAX_TASKS: usize = 1000;

/// Seconds: from a good timer to a long outage.
pub(crate) const DELAYS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0,
];
pub(crate) const RUNS: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0];
pub(crate) const CALLS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// The tasks that have figures of their own.
#[derive(Debug, Default)]
pub(crate) struct KnownTasks(Mutex<HashSet<TaskName>>);

impl KnownTasks {
    /// Under which name a task is told; `None` for those that only tell alarms.
    pub(crate) fn label_of<'t>(&self, task: &'t TaskName) -> Option<&'t str> {
        if tells_alarms(task) {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = known.len() < MAX_TASKS;
        let is_told = known.contains(task) || (has_room && known.insert(task.clone()));
        Some(if is_told { task.as_str() } else { "other" })
    }
}

pub(crate) fn word_of(answer: &ClaimAnswer) -> &'static str {
    match answer {
        ClaimAnswer::Won(_) => "won",
        ClaimAnswer::Taken { .. } => "taken",
        ClaimAnswer::Waits(_) => "waits",
        ClaimAnswer::Refused(refusal) => match refusal {
            Refusal::TooEarly { .. } => "too_early",
            Refusal::TooLate { .. } => "too_late",
            Refusal::Paused { .. } => "paused",
            Refusal::Overlap { .. } => "overlap",
            Refusal::StaleGeneration { .. } => "stale_generation",
            Refusal::NodeLapsed => "node_lapsed",
            _ => "refused",
        },
        _ => "other",
    }
}

pub(crate) fn seconds_of(at: Timestamp) -> f64 {
    as_float(u64::try_from(at.as_millis()).unwrap_or(0)) / 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people; exact up to two to the power of 53"
)]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}
