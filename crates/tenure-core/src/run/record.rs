//! What a store keeps of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::key::{Generation, RunKey, RunKind};
use crate::{Fence, Holder, Timestamp};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// In the store, to be taken when due.
    Waiting,
    /// Won by a node that has not begun it.
    Claimed,
    /// Begun.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly, with no attempt left.
    Failed,
    /// Stopped because it took too long, with no attempt left.
    TimedOut,
    /// Stopped because somebody asked for it.
    Cancelled,
    /// Stopped because its node was leaving.
    Interrupted,
    /// Its node died, or could not be heard, while it ran.
    Lost,
    /// Not run, by a rule: overlap, for example.
    Skipped,
    /// Not run, because nobody claimed it in time.
    Missed,
}

impl RunState {
    /// Every state, in the order of a run's life.
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Claimed,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Interrupted,
        Self::Lost,
        Self::Skipped,
        Self::Missed,
    ];

    /// Whether a node has it in hand: claimed or running.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Claimed | Self::Running)
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Claimed | Self::Running)
    }

    /// The state's name in records and JSON, such as `timed_out`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an attempt ended, as its node tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It took too long and was stopped.
    TimedOut,
    /// Somebody asked for it to stop.
    Cancelled,
    /// Its node was leaving and stopped it.
    Interrupted,
    /// Its node could not renew its lease in time and stopped it.
    Lost,
}

impl Outcome {
    /// The state a run is in after its last attempt ended so.
    #[must_use]
    pub fn state(self) -> RunState {
        match self {
            Self::Succeeded => RunState::Succeeded,
            Self::Failed => RunState::Failed,
            Self::TimedOut => RunState::TimedOut,
            Self::Cancelled => RunState::Cancelled,
            Self::Interrupted => RunState::Interrupted,
            Self::Lost => RunState::Lost,
        }
    }
}

/// What becomes of a run whose node dies while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnCrash {
    /// It is reported as lost and not repeated: at most once. The default.
    #[default]
    Lose,
    /// It runs again, until it ends or its attempts are used up: at least once.
    Retry {
        /// The most attempts, the first included; at least 2 makes a difference.
        max_attempts: u32,
    },
}

/// Whether a run may begin while an earlier one of the same task and index is still in hand,
/// anywhere in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// The later run is skipped, and recorded so. The default.
    #[default]
    Skip,
    /// Both run.
    Allow,
    /// The later run waits in the store until the earlier one has ended. Only the newest waits: one
    /// that waited before it is skipped, and recorded as replaced.
    QueueOne,
    /// Later runs wait in the store and begin one after the other, the oldest first.
    QueueAll {
        /// How many may wait; what comes then is skipped. At least 1.
        max: u32,
    },
    /// The earlier run is asked to stop, and the later one waits until it has ended or its node's
    /// lease has. Only the newest waits.
    CancelOther,
}

impl Overlap {
    /// How many runs [`Overlap::QueueAll`] lets wait where nothing else is said.
    pub const DEFAULT_QUEUE_MAX: u32 = 100;
}

/// An attempt that is over, of a run that went on to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// How it ended.
    pub state: RunState,
    /// Who had it.
    pub node: Option<Holder>,
    /// When it began, by the store's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What went wrong.
    pub reason: Option<String>,
}

impl AttemptRecord {
    /// An attempt that ended in `state`.
    #[must_use]
    pub fn new(attempt: u32, state: RunState, ended_at: Timestamp) -> Self {
        Self {
            attempt,
            state,
            node: None,
            started_at: None,
            ended_at,
            reason: None,
        }
    }
}

/// Everything a store keeps of a run. All instants are the store's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// Which run.
    pub key: RunKey,
    /// Where it stands.
    pub state: RunState,
    /// The current attempt, from 1; 0 if it was never claimed.
    pub attempt: u32,
    /// The fencing token of the current attempt; grows with every claim of the task.
    pub fence: Option<Fence>,
    /// Who has it, or had it last.
    pub node: Option<Holder>,
    /// Under which definition it was claimed.
    pub generation: Option<Generation>,
    /// What a crash does to it.
    pub on_crash: OnCrash,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When the current attempt was claimed.
    pub claimed_at: Option<Timestamp>,
    /// When the current attempt began: of a scheduled run no earlier than its tick, even if it was
    /// claimed before.
    pub started_at: Option<Timestamp>,
    /// When the run ended.
    pub ended_at: Option<Timestamp>,
    /// For a waiting run: from when on it may be taken.
    pub due_at: Option<Timestamp>,
    /// Of a run that was put into the store: who asked for it and why, or after what it was due.
    /// Kept whatever becomes of it.
    pub asked: Option<String>,
    /// Why it ended badly, was skipped or missed.
    pub reason: Option<String>,
    /// The exit status of its command, if it was one.
    pub exit_code: Option<i32>,
    /// What it printed, as far as it is kept.
    pub output: Option<String>,
    /// Earlier attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

impl RunRecord {
    /// When its first attempt began that did: from its time until then it waited for a node, and
    /// after it for another attempt.
    #[must_use]
    pub fn first_started_at(&self) -> Option<Timestamp> {
        let earlier = self.attempts.iter().find_map(|it| it.started_at);
        earlier.or(self.started_at)
    }

    /// A record with nothing but its identity, for stores to fill in.
    #[must_use]
    pub fn new(key: RunKey, state: RunState, created_at: Timestamp) -> Self {
        Self {
            key,
            state,
            attempt: 0,
            fence: None,
            node: None,
            generation: None,
            on_crash: OnCrash::Lose,
            created_at,
            claimed_at: None,
            started_at: None,
            ended_at: None,
            due_at: None,
            asked: None,
            reason: None,
            exit_code: None,
            output: None,
            attempts: Vec::new(),
        }
    }

    /// Sets when the current attempt began, for stores: `told` is when they were told that it
    /// begins. A scheduled run may be claimed a moment before its tick, but its code begins no
    /// earlier than the tick. Set [`RunRecord::ended_at`] first: what has ended had begun.
    pub fn set_started(&mut self, told: Option<Timestamp>) {
        let until = self.ended_at.unwrap_or(self.key.tick);
        let tick = self.key.tick.min(until);
        let is_scheduled = self.key.kind == RunKind::Scheduled;
        self.started_at = told.map(|told| if is_scheduled { told.max(tick) } else { told });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskName;

    #[test]
    fn a_run_that_is_tried_again_began_with_its_first_attempt_that_did() {
        let at = Timestamp::from_millis;
        let key = RunKey::scheduled(TaskName::new("t").unwrap(), at(0), 1);
        let mut run = RunRecord::new(key, RunState::Running, at(0));
        assert_eq!(run.first_started_at(), None);
        run.started_at = Some(at(19_000));
        assert_eq!(run.first_started_at(), run.started_at);
        // The node of the first died before it began.
        let mut attempts = [1, 2].map(|n| AttemptRecord::new(n, RunState::Failed, at(10)));
        attempts[1].started_at = Some(at(5));
        run.attempts = attempts.to_vec();
        assert_eq!(run.first_started_at(), Some(at(5)));
    }
}
