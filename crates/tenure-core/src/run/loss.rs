//! What becomes of claims that a store acknowledged and forgot.
//!
//! A store that fails over, or whose file is replaced by an older copy, goes back in time. Its
//! sequence then falls, or what it says of a node's own last claim does, and the node that knows
//! better tells it what it forgot.

use std::time::Duration;

use super::admission::MaxRunning;
use super::key::{Generation, RunKey};
use super::node::StoreMoment;
use super::record::{OnCrash, Overlap, RunState};
use crate::{Fence, Holder, HolderId, Timestamp, Token};

/// What a node saw of a store's memory, by which it notices that the store forgot something.
///
/// The default is to have seen nothing, which no store can have forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Seen {
    /// The greatest sequence that any answer named.
    pub sequence: u64,
    /// The greatest sequence of a beat, claim or registration of this very node that was answered.
    pub own: u64,
    /// How many losses the store was said to have had.
    pub losses: u64,
}

impl Seen {
    /// What one look at a store showed: its moment, and the sequence of the node's own last call.
    #[must_use]
    pub fn of(moment: &StoreMoment, own: u64) -> Self {
        Self {
            sequence: moment.sequence,
            own,
            losses: moment.losses,
        }
    }

    /// Whether a store that shows `self` now has forgotten what it showed in `before`, or was told
    /// since that it forgot something.
    #[must_use]
    pub fn is_behind(&self, before: &Self) -> bool {
        *before != Self::default()
            && (self.sequence < before.sequence
                || self.own < before.own
                || self.losses != before.losses)
    }
}

/// A run as a node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remembered {
    /// Which run.
    pub key: RunKey,
    /// Where it stood when the node last heard.
    pub state: RunState,
    /// Its attempt then.
    pub attempt: u32,
    /// Who had that attempt.
    pub node: Option<Holder>,
    /// The token that it was won with; `None` if another node won it.
    pub token: Option<Token>,
    /// The fencing token of the attempt; `None` if another node won it.
    pub fence: Option<Fence>,
    /// Under which definition it was claimed.
    pub generation: Option<Generation>,
    /// What a crash does to it.
    pub on_crash: OnCrash,
    /// Whether it runs beside its like.
    pub overlap: Overlap,
    /// How many runs of its task may be in hand at once, should it wait for another attempt.
    /// `None`: any number.
    pub max_running: Option<MaxRunning>,
    /// When it was claimed, by the store's clock.
    pub claimed_at: Timestamp,
    /// What it was asked with, if the node knows. A record that is replaced keeps its own.
    pub asked: Option<String>,
    /// Why it ended as it did, if the node knows.
    pub reason: Option<String>,
    /// How long the record is kept at least.
    pub keep_for: Duration,
}

impl Remembered {
    /// A run of which nothing is known but where it stood.
    #[must_use]
    pub fn new(key: RunKey, state: RunState, attempt: u32, claimed_at: Timestamp) -> Self {
        Self {
            key,
            state,
            attempt,
            node: None,
            token: None,
            fence: None,
            generation: None,
            on_crash: OnCrash::default(),
            overlap: Overlap::default(),
            max_running: None,
            claimed_at,
            asked: None,
            reason: None,
            keep_for: Duration::from_secs(2 * 3600),
        }
    }

    /// Whether the node that remembers had the attempt itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this knowledge replaces a record that the store has: the same rule for all stores.
    ///
    /// Hearsay never does. A node's own knowledge does if the store is at an earlier attempt, has
    /// the attempt from hearsay only, has the very attempt in hand that the node knows to be over,
    /// or takes it for one that never began and the node knows better.
    #[must_use]
    pub fn replaces(&self, kept: &Kept) -> bool {
        let is_hearsay = kept.attempt > 0 && kept.fence.is_none();
        let is_same = kept.token == self.token;
        let has_ended = is_same && kept.state.is_active() && !self.state.is_active();
        let has_begun =
            is_same && kept.state == RunState::Claimed && self.state == RunState::Running;
        self.is_own()
            && (kept.attempt < self.attempt
                || kept.attempt == self.attempt && (is_hearsay || has_ended || has_begun))
    }

    /// In which state it is put back if its node is not known to the store: nobody could recover a
    /// run in such a node's hands. Tells the state, and whether the run waits for another attempt.
    #[must_use]
    pub fn state_without_node(&self) -> RunState {
        let may_retry = match self.on_crash {
            OnCrash::Retry { max_attempts } => self.attempt < max_attempts,
            _ => false,
        };
        match (self.state.is_active(), may_retry) {
            (false, _) => self.state,
            (true, true) => RunState::Waiting,
            (true, false) => RunState::Lost,
        }
    }
}

/// What matters of a record that the store has, when a node remembers the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Where it stands.
    pub state: RunState,
    /// Its current attempt; 0 if it was never claimed.
    pub attempt: u32,
    /// The token of the current attempt.
    pub token: Option<Token>,
    /// The fencing token of the current attempt; a record put back by hearsay has none.
    pub fence: Option<Fence>,
}

impl Kept {
    /// What matters of a record.
    #[must_use]
    pub fn new(state: RunState, attempt: u32, token: Option<Token>, fence: Option<Fence>) -> Self {
        Self {
            state,
            attempt,
            token,
            fence,
        }
    }
}

/// A node's word that the store forgot something, with what the node remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restore {
    /// Who remembers. It must have beaten before.
    pub node: HolderId,
    /// How many losses the node knows of, if it noticed this one itself. A loss that nobody told of
    /// before is counted. `None`: the loss is counted already.
    pub noticed: Option<u64>,
    /// What it remembers, oldest first.
    pub runs: Vec<Remembered>,
    /// How long a run waits that another node had in hand which the store does not know, if it is
    /// to be run again: that node may be about to come back.
    pub patience: Duration,
}

impl Restore {
    /// What a node remembers, of a loss that is counted already.
    #[must_use]
    pub fn new(node: HolderId, runs: Vec<Remembered>) -> Self {
        Self {
            node,
            noticed: None,
            runs,
            patience: Duration::from_secs(15),
        }
    }
}

/// The answer to a [`Restore`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The store's moment; its count of losses has this one in it.
    pub moment: StoreMoment,
    /// Whether this node was the first to tell of the loss, and is to tell people. The same for
    /// every resend.
    pub is_first: bool,
    /// For each run, in order, whether its record was missing or behind, and is put back.
    pub put_back: Vec<bool>,
}

impl Restored {
    /// An answer.
    #[must_use]
    pub fn new(moment: StoreMoment, is_first: bool, put_back: Vec<bool>) -> Self {
        Self {
            moment,
            is_first,
            put_back,
        }
    }
}
