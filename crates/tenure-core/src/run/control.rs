//! Pausing, backfilling, and reading what happened.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{RequestId, TaskName};
use super::record::{RunRecord, RunState};
use crate::{HolderId, Timestamp};

/// Why a task does not run for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// Why, in their words; may be empty.
    pub why: String,
    /// Until when, by the store's clock. `None`: until somebody resumes it.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// A pause without an end.
    #[must_use]
    pub fn new(by: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            why: why.into(),
            until: None,
        }
    }

    /// Whether it still holds at the store's `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it ends before the other one does.
    #[must_use]
    pub fn ends_before(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (Some(until), Some(other)) => until < other,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Who, until when and why, to go behind "paused". For people; escape it where it acts.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {} ", self.by)?;
        match self.until {
            Some(until) => write!(f, "until {until}")?,
            None => f.write_str("until somebody resumes it")?,
        }
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackfillState {
    /// Its ticks are being put into the store.
    Running,
    /// Somebody stopped it for now.
    Paused,
    /// All its ticks are in the store.
    Done,
    /// Somebody ended it.
    Cancelled,
}

/// A request to run the past ticks of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backfill {
    /// Its name, which is part of its runs' identities.
    pub id: RequestId,
    /// Which task.
    pub task: TaskName,
    /// Ticks after this instant …
    pub from: Timestamp,
    /// … up to this one.
    pub to: Timestamp,
    /// The last tick whose runs are in the store.
    pub cursor: Timestamp,
    /// Leaves out ticks that ran well.
    pub only_missing: bool,
    /// The most runs to put into the store a minute; 0: as fast as they end.
    pub per_minute: u32,
    /// The most of its runs that wait or are in hand at once; 0 counts as 1.
    pub parallel: u32,
    /// Who asked.
    pub by: String,
    /// Why, in their words.
    pub why: String,
    /// How far it is.
    pub state: BackfillState,
}

impl Backfill {
    /// A backfill of `task` for ticks in `(from, to]`.
    #[must_use]
    pub fn new(id: RequestId, task: TaskName, from: Timestamp, to: Timestamp) -> Self {
        Self {
            id,
            task,
            from,
            to,
            cursor: from,
            only_missing: true,
            per_minute: 0,
            parallel: 1,
            by: String::new(),
            why: String::new(),
            state: BackfillState::Running,
        }
    }

    /// This backfill in another state, to be saved with this one's cursor as the expected one.
    ///
    /// Steps the cursor back by a millisecond, so that a node that is moving the backfill on at
    /// this moment finds it elsewhere and does not save the old state over the new one. The tick
    /// that is looked at again for it has its runs already.
    #[must_use]
    pub fn changed_to(&self, state: BackfillState) -> Self {
        Self {
            cursor: self.cursor - Duration::from_millis(1),
            state,
            ..self.clone()
        }
    }
}

/// A position in a listing or a feed: opaque, and only good for the store that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A position as the store writes it. A store checks every cursor it is given.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The position as the store wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which runs to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Of this task only.
    pub task: Option<TaskName>,
    /// With ticks from this instant on.
    pub from: Option<Timestamp>,
    /// With ticks up to this instant.
    pub to: Option<Timestamp>,
    /// In one of these states; empty for all.
    pub states: Vec<RunState>,
    /// The position where the page before ended.
    pub after: Option<Cursor>,
    /// The most runs to answer; 0 means 100, and at most 1000 count.
    pub limit: usize,
}

impl HistoryQuery {
    /// The newest runs of all tasks.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The newest runs of one task.
    #[must_use]
    pub fn of(task: TaskName) -> Self {
        Self {
            task: Some(task),
            ..Self::default()
        }
    }

    /// The limit that counts.
    #[must_use]
    pub fn page_size(&self) -> usize {
        if self.limit == 0 {
            100
        } else {
            self.limit.min(1000)
        }
    }
}

/// One page of runs, newest tick first; of one tick by task, then index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<Cursor>,
}

impl HistoryPage {
    /// A page.
    #[must_use]
    pub fn new(runs: Vec<RunRecord>, next: Option<Cursor>) -> Self {
        Self { runs, next }
    }
}

/// Something to tell people that is not the state of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Note {
    /// What kind of thing, in `snake_case`: `late_completion`, `paused`, `resumed`, `node_joined`,
    /// `node_left`, `node_lost`, `clock_skew`, `store_regressed`, …
    pub kind: String,
    /// The task it is about.
    pub task: Option<TaskName>,
    /// The node it is about.
    pub node: Option<HolderId>,
    /// The rest, in words.
    pub text: String,
}

impl Note {
    /// A note.
    #[must_use]
    pub fn new(kind: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            task: None,
            node: None,
            text: text.into(),
        }
    }

    /// That a task was paused, by whom, until when and why.
    #[must_use]
    pub fn paused(task: &TaskName, pause: &Pause) -> Self {
        let until = pause.until.map(|until| format!(" until {until}"));
        let done = format!("paused by {}{}", pause.by, until.unwrap_or_default());
        Self::new("paused", with_reason(done, &pause.why)).about(task.clone())
    }

    /// That a task was resumed, by whom and why.
    #[must_use]
    pub fn resumed(task: &TaskName, by: &str, why: &str) -> Self {
        Self::new("resumed", with_reason(format!("resumed by {by}"), why)).about(task.clone())
    }

    /// About a task.
    #[must_use]
    pub fn about(mut self, task: TaskName) -> Self {
        self.task = Some(task);
        self
    }

    /// About a node.
    #[must_use]
    pub fn of_node(mut self, node: HolderId) -> Self {
        self.node = Some(node);
        self
    }
}

fn with_reason(mut done: String, why: &str) -> String {
    if !why.is_empty() {
        done.push_str(": ");
        done.push_str(why);
    }
    done
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its position in the feed.
    pub cursor: Cursor,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

impl Event {
    /// An event.
    #[must_use]
    pub fn new(cursor: Cursor, at: Timestamp, kind: EventKind) -> Self {
        Self { cursor, at, kind }
    }
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A run came to stand as this record says.
    Run(Box<RunRecord>),
    /// Something else.
    Note(Note),
}

/// A stretch of the feed, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventPage {
    /// What changed.
    pub events: Vec<Event>,
    /// Where to read on; also when there was nothing.
    pub next: Option<Cursor>,
}

impl EventPage {
    /// A stretch of the feed.
    #[must_use]
    pub fn new(events: Vec<Event>, next: Option<Cursor>) -> Self {
        Self { events, next }
    }
}

/// Which finished records and old events may go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// Records and events that ended before this instant.
    pub before: Timestamp,
    /// Only in one of these states; empty for every final state.
    pub states: Vec<RunState>,
    /// Of each task, keep at least so many of the newest.
    pub keep_newest: u32,
    /// Only records of this task, and no events.
    pub task: Option<TaskName>,
    /// Besides, those that ended later, of which so many newer ones are in these states.
    /// Counts only with a task; at most [`Prune::MOST_KEPT`].
    pub keep_most: Option<u32>,
    /// The most records to delete in one call; at most 1000 count.
    pub limit: usize,
}

impl Prune {
    /// The highest [`Prune::keep_most`] that counts: so many are looked through in one call.
    pub const MOST_KEPT: u32 = 10_000;

    /// Of one task, what ended before `before` in one of these states, and what is older than the
    /// newest `keep_most` in them.
    #[must_use]
    pub fn of(task: TaskName, before: Timestamp, states: &[RunState]) -> Self {
        Self {
            task: Some(task),
            states: states.to_vec(),
            ..Self::before(before)
        }
    }

    /// Everything that ended before `before`.
    #[must_use]
    pub fn before(before: Timestamp) -> Self {
        Self {
            before,
            states: Vec::new(),
            keep_newest: 0,
            task: None,
            keep_most: None,
            limit: 1000,
        }
    }
}
