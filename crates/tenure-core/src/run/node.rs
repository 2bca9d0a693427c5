//! Nodes, and the tasks they can run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ability::Abilities;
use super::control::Pause;
use super::key::{Generation, TaskName};
use crate::{Holder, Timestamp};

/// A store's clock and its two memories.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreMoment {
    /// The store's clock.
    pub now: Timestamp,
    /// Grows with every beat, and with every call that claims or registers.
    pub sequence: u64,
    /// Drawn once when the store was made.
    pub epoch: String,
    /// How often nodes told the store that it had forgotten something.
    pub losses: u64,
}

impl StoreMoment {
    /// A moment.
    #[must_use]
    pub fn new(now: Timestamp, sequence: u64, epoch: String) -> Self {
        Self {
            now,
            sequence,
            epoch,
            losses: 0,
        }
    }
}

/// A node's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beat {
    /// Who.
    pub node: Holder,
    /// How long the node counts as alive without another beat.
    pub ttl: Duration,
    /// How far the node's wall clock is ahead of the store's, in milliseconds, as it measured.
    pub clock_ahead_ms: Option<i64>,
    /// How many runs the node takes at once.
    pub capacity: u32,
    /// The program's version, for people.
    pub version: String,
    /// What it can run.
    pub abilities: Abilities,
}

impl Beat {
    /// A sign of life that lasts for `ttl`.
    #[must_use]
    pub fn new(node: Holder, ttl: Duration) -> Self {
        Self {
            node,
            ttl,
            clock_ahead_ms: None,
            capacity: 0,
            version: String::new(),
            abilities: Abilities::default(),
        }
    }
}

/// The answer to a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beaten {
    /// The store's moment.
    pub moment: StoreMoment,
    /// Whether the node's lease had ended before this beat, so that its runs may have been
    /// recovered and its tasks must be registered again. False for a node's first beat.
    pub had_lapsed: bool,
    /// Who is alive, this node included, in the order in which they joined.
    pub alive: Vec<NodeRecord>,
    /// The sequence of this node's last beat, claim or registration before this beat, as the store
    /// remembers it. The next beat must not find it lower than this beat's.
    pub own: u64,
}

impl Beaten {
    /// An answer.
    #[must_use]
    pub fn new(moment: StoreMoment, had_lapsed: bool, alive: Vec<NodeRecord>) -> Self {
        Self {
            moment,
            had_lapsed,
            alive,
            own: 0,
        }
    }
}

/// A node as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeRecord {
    /// Who.
    pub node: Holder,
    /// When it first beat.
    pub joined_at: Timestamp,
    /// When it last beat.
    pub seen_at: Timestamp,
    /// Until when it counts as alive.
    pub expires_at: Timestamp,
    /// How far its wall clock is ahead of the store's, in milliseconds, as it measured.
    pub clock_ahead_ms: Option<i64>,
    /// How many runs it takes at once.
    pub capacity: u32,
    /// The program's version.
    pub version: String,
    /// What it can run.
    #[serde(default, skip_serializing_if = "Abilities::are_unsaid")]
    pub abilities: Abilities,
}

impl NodeRecord {
    /// What a beat at `now` says of a node that joined at `joined_at`.
    #[must_use]
    pub fn of_beat(beat: &Beat, joined_at: Timestamp, now: Timestamp) -> Self {
        Self {
            node: beat.node.clone(),
            joined_at,
            seen_at: now,
            expires_at: now + beat.ttl,
            clock_ahead_ms: beat.clock_ahead_ms,
            capacity: beat.capacity,
            version: beat.version.clone(),
            abilities: beat.abilities.clone(),
        }
    }
}

/// A task as a node can run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Definition {
    /// The task.
    pub task: TaskName,
    /// Differs whenever the definition does.
    pub generation: Generation,
    /// The schedule, as it was written; for people and for other programs.
    pub schedule: String,
    /// The zone the schedule is read in.
    pub zone: String,
    /// How many runs a tick has.
    pub concurrency: u32,
    /// The rest of the definition, for people; no secrets.
    pub details: String,
    /// The number somebody gave it: of two definitions the one with the higher number is newer,
    /// whichever was registered first. 0 where nothing was said; one that [`Definition::ended`] the
    /// task then takes the highest that the task has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u32,
    /// What becomes of the task's other definitions while this one is in force.
    #[serde(default, skip_serializing_if = "OnChange::is_default")]
    pub on_change: OnChange,
    /// The names that the task had before. One that is registered for the first time begins with
    /// the pause, and the first time, of the first of them that the store knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<TaskName>,
    /// Says that there is no such task any more: while this is in force, claims under every other
    /// definition are refused as stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What becomes of a task's other definitions while a new one is in force, as during a rolling
/// deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnChange {
    /// Their claims are refused: only the newest definition fires. The default.
    #[default]
    Newest,
    /// Their claims are accepted too: every tick that any node's definition has is run, each once.
    Union,
}

impl OnChange {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The name in files and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Union => "union",
        }
    }
}

/// Why there is no such task any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// It was taken out.
    Retired,
    /// It goes on under this name.
    Renamed(TaskName),
}

impl Definition {
    /// A definition in UTC with one run a tick.
    #[must_use]
    pub fn new(task: TaskName, generation: Generation, schedule: impl Into<String>) -> Self {
        Self {
            task,
            generation,
            schedule: schedule.into(),
            zone: "UTC".to_owned(),
            concurrency: 1,
            details: String::new(),
            number: 0,
            on_change: OnChange::Newest,
            aliases: Vec::new(),
            ended: None,
        }
    }
}

/// The answer to one registered definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// When the task was first registered by anybody: ticks before it are never caught up.
    pub first_seen: Timestamp,
    /// The latest scheduled tick on record, as a hint for catching up.
    pub last_tick: Option<Timestamp>,
    /// The generation whose claims are accepted now.
    pub current: Generation,
    /// Whether the task is paused.
    pub pause: Option<Pause>,
    /// The store's sequence after this registration.
    pub sequence: u64,
}

impl Registered {
    /// An answer.
    #[must_use]
    pub fn new(first_seen: Timestamp, current: Generation) -> Self {
        Self {
            first_seen,
            last_tick: None,
            current,
            pause: None,
            sequence: 0,
        }
    }
}

/// A task as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskRecord {
    /// The current definition.
    pub definition: Definition,
    /// When the task was first registered.
    pub first_seen: Timestamp,
    /// How many live nodes can run it, in any generation.
    pub nodes: u32,
    /// If no live node can: since when, as far as the store remembers.
    pub unlisted_since: Option<Timestamp>,
    /// The latest scheduled tick on record.
    pub last_tick: Option<Timestamp>,
    /// Whether it is paused.
    pub pause: Option<Pause>,
}

impl TaskRecord {
    /// A task that no live node can run.
    #[must_use]
    pub fn new(definition: Definition, first_seen: Timestamp) -> Self {
        Self {
            definition,
            first_seen,
            nodes: 0,
            unlisted_since: None,
            last_tick: None,
            pause: None,
        }
    }

    /// How long a task is listed by no live node before it counts as retired: long enough for a
    /// deploy that stops everything first.
    pub const RETIRED_AFTER: Duration = Duration::from_secs(600);

    /// Whether the task is retired at the store's `now`: a node said so, or no live node has
    /// listed it for [`TaskRecord::RETIRED_AFTER`]. Its history stays, and it is a task again as
    /// soon as a node lists it.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        if self.definition.ended.is_some() {
            return true;
        }
        let unlisted = self.unlisted_since;
        self.nodes == 0 && unlisted.is_none_or(|since| now.since(since) >= Self::RETIRED_AFTER)
    }
}
