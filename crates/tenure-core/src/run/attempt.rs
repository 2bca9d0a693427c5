//! One attempt of a run, from the moment at which a node has it to the moment at which it says how
//! it ended.
//!
//! Attempts come from claims (`claim`) or are taken from what waits in the store. An attempt is
//! named by run, number and token, and every report of it compares all three. Knows nothing of
//! ticks and windows.

use std::time::Duration;

use super::key::{RunKey, TaskName};
use super::record::{Outcome, RunState};
use crate::{HolderId, Timestamp, Token};

/// Whether a won run begins with the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMode {
    /// Won runs are `claimed`; their node says [`Start`] before user code runs.
    Later,
    /// Won runs are `running`: their node begins them as soon as it has the answer.
    AtOnce,
}

/// One attempt of a run, by which its node reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RunRef {
    /// Which run.
    pub key: RunKey,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The token it was won with.
    pub token: Token,
}

impl RunRef {
    /// An attempt.
    #[must_use]
    pub fn new(key: RunKey, attempt: u32, token: Token) -> Self {
        Self {
            key,
            attempt,
            token,
        }
    }
}

/// A request for runs that wait in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Take {
    /// Who takes.
    pub node: HolderId,
    /// The name of this request; a resend gets the same runs. Each run keeps it as its token.
    pub token: Token,
    /// The most runs to take; at most [`crate::RunPromises::max_batch`] counts.
    pub limit: usize,
    /// The tasks of which no more than so many runs are wanted, each named once; the node has no
    /// room for others.
    pub room: Vec<TaskRoom>,
    /// How taken runs begin.
    pub start: StartMode,
}

impl Take {
    /// A request for at most `limit` runs, which begin at once.
    #[must_use]
    pub fn new(node: HolderId, limit: usize) -> Self {
        Self {
            node,
            token: Token::random(),
            limit,
            room: Vec::new(),
            start: StartMode::AtOnce,
        }
    }
}

/// How many more runs of a task a node has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskRoom {
    /// Which task.
    pub task: TaskName,
    /// The most runs of it to take; may be 0.
    pub runs: usize,
}

impl TaskRoom {
    /// Room for at most `runs` runs of `task`.
    #[must_use]
    pub fn new(task: TaskName, runs: usize) -> Self {
        Self { task, runs }
    }
}

/// Says that a claimed run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// Which attempt.
    pub run: RunRef,
}

impl Start {
    /// The start of `run`.
    #[must_use]
    pub fn new(run: RunRef) -> Self {
        Self { run }
    }
}

/// The answer to a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Started {
    /// It is running (or was already, by this very attempt).
    Running {
        /// The store's clock.
        now: Timestamp,
    },
    /// The attempt is no longer this node's; do not run it.
    Refused,
}

/// Says how an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// Which attempt.
    pub run: RunRef,
    /// How it ended.
    pub outcome: Outcome,
    /// Another attempt, due after this delay. `None`: the run is over.
    pub again_after: Option<Duration>,
    /// What went wrong, if anything.
    pub reason: Option<String>,
    /// The exit status of its command, if it was one.
    pub exit_code: Option<i32>,
    /// What it printed, as far as it is kept; at most [`Finish::MAX_OUTPUT`] bytes are.
    pub output: Option<String>,
}

impl Finish {
    /// How much output a store keeps of one run, in bytes: the first and the last 64 KiB, and a
    /// line between that says how much is missing.
    pub const MAX_OUTPUT: usize = 128 * 1024 + 256;

    /// The end of `run`, with no further attempt.
    #[must_use]
    pub fn new(run: RunRef, outcome: Outcome) -> Self {
        Self {
            run,
            outcome,
            again_after: None,
            reason: None,
            exit_code: None,
            output: None,
        }
    }
}

/// The answer to a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finished {
    /// The outcome stands (or stood already, from this very attempt).
    Recorded,
    /// The run has moved on; this completion came too late and changed nothing.
    Late {
        /// Where the run stands.
        state: RunState,
        /// Its current attempt.
        attempt: u32,
    },
    /// The store has no record of the run.
    Unknown,
}
