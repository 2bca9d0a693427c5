//! What everybody did, one record a step, in the order of one steady clock.
//!
//! All processes of a run are on one machine and read one clock, so the order of their steps is
//! exact. As text it is JSON, one record a line behind a first line that says what was run; such a
//! file is judged again by [`crate::recheck`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was run: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// The version of tenure.
    pub tenure: String,
    /// What the store called itself.
    pub store: String,
    /// From which everything was drawn.
    pub seed: u64,
    /// How many processes there were at a time.
    pub clients: usize,
    /// For how long, in milliseconds.
    pub span_ms: u64,
    /// How long a lease lasts, in milliseconds.
    pub ttl_ms: u64,
    /// How many locks there were.
    pub locks: usize,
    /// Whether grants carry a fencing token.
    pub is_fenced: bool,
    /// The tasks there were, and how many runs a tick has; none if the store keeps locks only.
    pub tasks: BTreeMap<String, u32>,
    /// Those of them whose runs may be repeated after a crash.
    pub repeated: Vec<String>,
    /// Whether connections were disturbed, and why not.
    pub network: Result<(), String>,
}

/// Somebody's step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in nanoseconds of the machine's steady clock.
    pub t: u64,
    /// Who: a client such as `c3`, with the number of its process behind it after a death (`c3.2`);
    /// `resource`, or `lead`.
    pub p: String,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// What was done. An `owner` is one wish for a lock, `lock` the number of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// A request is about to leave.
    Ask {
        /// Which lock.
        lock: u32,
        /// For whom.
        owner: String,
    },
    /// It came back granted.
    Granted {
        /// Which lock.
        lock: u32,
        /// To whom.
        owner: String,
        /// With which fencing token; 0 if there are none.
        fence: u64,
        /// Until when it may be relied on.
        until: u64,
    },
    /// It was not had, which is known.
    NotHad {
        /// Which lock.
        lock: u32,
        /// Who wanted it.
        owner: String,
    },
    /// Nobody knows whether it was had: whoever asked went away, or got no answer.
    Unknown {
        /// Which lock.
        lock: u32,
        /// Who wanted it.
        owner: String,
        /// What was said.
        why: String,
    },
    /// It was renewed.
    Renewed {
        /// Which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// Until when it may be relied on now.
        until: u64,
    },
    /// The guard says that it may be relied on; a write leaves.
    Write {
        /// Under which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// With which fencing token.
        fence: u64,
        /// Until when the guard could be relied on.
        until: u64,
        /// When it was asked.
        asked: u64,
    },
    /// A write leaves, and the guard was not asked: as a program does it that knows no deadline.
    CarelessWrite {
        /// Under which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// With which fencing token.
        fence: u64,
    },
    /// A write arrived at the resource that the lock protects.
    Written {
        /// Under which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// With which fencing token.
        fence: u64,
        /// Whether the resource took it.
        accepted: bool,
    },
    /// The holder is about to give it back.
    Release {
        /// Which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// Until when it could be relied on.
        until: u64,
    },
    /// The holder heard that it is lost.
    Lost {
        /// Which lock.
        lock: u32,
        /// Of whom.
        owner: String,
        /// Until when it could be relied on.
        until: u64,
        /// How long after that it heard, without the time in which the process did not run.
        late_us: u64,
    },
    /// Nothing was done; later records of this client are no older than this.
    Alive,
    /// The process was killed.
    Died,
    /// Something bad was done to a process or to connections.
    Fault {
        /// What.
        what: Fault,
    },
    /// The code of a run begins.
    Start {
        /// Of which task.
        task: String,
        /// Of which tick, in milliseconds since 1970.
        tick: i64,
        /// The how many-th of that tick, from 1.
        index: u32,
        /// At which attempt.
        attempt: u32,
    },
    /// A tick was due while the cluster was watched.
    Due {
        /// Of which task.
        task: String,
        /// Which, in milliseconds since 1970.
        tick: i64,
    },
    /// The store has a record of a run.
    Kept {
        /// Of which task.
        task: String,
        /// Of which tick, in milliseconds since 1970.
        tick: i64,
        /// The how many-th of that tick, from 1.
        index: u32,
        /// The attempt that is its last.
        attempt: u32,
        /// Where it stands.
        state: String,
    },
}

/// What was done on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// A process stood still, shorter than a lease lasts.
    Pause,
    /// A process stood still until its leases were over.
    LongPause,
    /// A process was killed, and another one started.
    Kill,
    /// Connections were cut, and others refused for a moment.
    Cut,
    /// Connections stayed open, and nothing came through.
    Silence,
}

impl Fault {
    /// In words, for many of them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pauses",
            Self::LongPause => "pauses longer than a lease",
            Self::Kill => "kills",
            Self::Cut => "cuts of connections",
            Self::Silence => "silences of connections",
        }
    }
}

impl Record {
    /// That `p` did this at `t`.
    #[must_use]
    pub fn new(t: u64, p: impl Into<String>, step: Step) -> Self {
        let p = p.into();
        Self { t, p, step }
    }
}
