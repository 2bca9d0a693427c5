//! What a run store is asked when ticks are due, and what it answers: claims, their window, and why
//! one is not accepted.
//!
//! The rule of the window stands here once for all stores. Whether a run may begin beside others
//! stands in `admission`, what becomes of a run that was won in `attempt`.

use std::sync::Arc;
use std::time::Duration;

use super::admission::MaxRunning;
use super::attempt::{RunRef, StartMode};
use super::key::{Generation, RunKey, TaskName};
use super::loss::Seen;
use super::record::{OnCrash, Overlap, RunState};
use crate::{Fence, Holder, HolderId, Timestamp, Token};

/// One (task, tick, index) to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimItem {
    /// Which task.
    pub task: TaskName,
    /// Which tick.
    pub tick: Timestamp,
    /// Which index, from 1.
    pub index: u32,
    /// The name of this claim; the same for every resend.
    pub token: Token,
    /// Under which definition.
    pub generation: Generation,
    /// How late the tick may be claimed (the task's catch-up window). Also decides how long the
    /// record is kept.
    pub window: Duration,
    /// What to do if an earlier run of the same task and index is in hand.
    pub overlap: Overlap,
    /// How many runs of the task may be in hand at once. `None`: any number.
    pub max_running: Option<MaxRunning>,
    /// What a crash does to the run.
    pub on_crash: OnCrash,
    /// The names the task had before: a tick that is on record under one of them, with the same
    /// index, is taken.
    pub aliases: Arc<[TaskName]>,
}

impl ClaimItem {
    /// A claim with a new token, a window of five minutes and the default rules.
    #[must_use]
    pub fn new(task: TaskName, tick: Timestamp, index: u32, generation: Generation) -> Self {
        Self::with_token(Token::random(), task, tick, index, generation)
    }

    /// The same with a token that was drawn before, for whoever makes very many claims: see
    /// [`Token::many`].
    #[must_use]
    pub fn with_token(
        token: Token,
        task: TaskName,
        tick: Timestamp,
        index: u32,
        generation: Generation,
    ) -> Self {
        Self {
            task,
            tick,
            index,
            token,
            generation,
            window: Duration::from_secs(300),
            overlap: Overlap::default(),
            max_running: None,
            on_crash: OnCrash::default(),
            aliases: Arc::default(),
        }
    }

    /// The run that the same tick and index would have under an earlier name.
    #[must_use]
    pub fn key_under(&self, alias: &TaskName) -> RunKey {
        RunKey::scheduled(alias.clone(), self.tick, self.index)
    }

    /// Which run the claim would make.
    #[must_use]
    pub fn key(&self) -> RunKey {
        RunKey::scheduled(self.task.clone(), self.tick, self.index)
    }

    /// How long the store keeps the record at least, counted from the claim: `2 × window + 1 h`.
    #[must_use]
    pub fn keep_for(&self) -> Duration {
        self.window
            .saturating_mul(2)
            .saturating_add(Duration::from_secs(3600))
    }
}

/// A batch of claims by one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimBatch {
    /// Who claims.
    pub node: HolderId,
    /// What.
    pub items: Vec<ClaimItem>,
    /// How much earlier than the store's clock a tick may be claimed. At most
    /// [`ClaimBatch::MAX_EARLY`] counts.
    pub early: Duration,
    /// How won runs begin.
    pub start: StartMode,
    /// What the node saw of the store's memory. If the store remembers less, or another count of
    /// losses, every item is refused.
    pub seen: Seen,
}

impl ClaimBatch {
    /// The most a claim may be early, whatever a node asks for.
    pub const MAX_EARLY: Duration = Duration::from_secs(1);
    /// Added to every window, for the way from the node to the store.
    pub const SLACK: Duration = Duration::from_secs(2);

    /// A batch that may be 250 ms early and begins at once.
    #[must_use]
    pub fn new(node: HolderId, items: Vec<ClaimItem>) -> Self {
        Self {
            node,
            items,
            early: Duration::from_millis(250),
            start: StartMode::AtOnce,
            seen: Seen::default(),
        }
    }

    /// Whether the window of `item` is open at the store's `now`: the same rule for all stores.
    ///
    /// # Errors
    /// The refusal the store answers with if it is not.
    pub fn window_is_open(&self, item: &ClaimItem, now: Timestamp) -> Result<(), Refusal> {
        let latest = now + self.early.min(Self::MAX_EARLY);
        let earliest = now - item.window - Self::SLACK;
        if item.tick > latest {
            return Err(Refusal::TooEarly {
                by: item.tick.since(latest),
            });
        }
        if item.tick < earliest {
            return Err(Refusal::TooLate {
                by: earliest.since(item.tick),
            });
        }
        Ok(())
    }
}

/// The answer to a batch of claims.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimReply {
    /// The store's clock when it decided.
    pub now: Timestamp,
    /// The store's sequence after this call; one that falls tells of forgotten writes.
    pub sequence: u64,
    /// The store's epoch; one that changes tells of a store made anew.
    pub epoch: String,
    /// One answer an item, in their order.
    pub answers: Vec<ClaimAnswer>,
}

impl ClaimReply {
    /// A reply.
    #[must_use]
    pub fn new(now: Timestamp, sequence: u64, epoch: String, answers: Vec<ClaimAnswer>) -> Self {
        Self {
            now,
            sequence,
            epoch,
            answers,
        }
    }
}

/// The answer to one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimAnswer {
    /// The run is this node's.
    Won(Claim),
    /// A record exists already: another node won, or the tick was passed over. Not an error.
    Taken {
        /// Who has or had it, if anybody.
        by: Option<Holder>,
        /// Where it stands.
        state: RunState,
        /// Since when the record exists.
        since: Timestamp,
        /// The name that the record stands under, if it is another one of the same task than the
        /// claim's.
        under: Option<TaskName>,
    },
    /// The run waits in the store, by its overlap rule, and goes to whoever takes it when what
    /// this refusal names has ended. Not this node's.
    Waits(Refusal),
    /// The store did not accept the claim.
    Refused(Refusal),
}

/// Why a store did not accept a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The tick lies ahead of the store's clock.
    #[error("too early by {by:?}")]
    TooEarly {
        /// By how much.
        by: Duration,
    },
    /// The tick lies behind the window.
    #[error("too late by {by:?}")]
    TooLate {
        /// By how much.
        by: Duration,
    },
    /// The task is paused.
    #[error("paused by {by}")]
    Paused {
        /// By whom.
        by: String,
        /// Why, in their words; may be empty.
        why: String,
    },
    /// An earlier run of the same task and index is still in hand. The tick is recorded as skipped.
    #[error("skipped, because {blocker} is still running")]
    Overlap {
        /// The run that is in hand.
        blocker: RunKey,
    },
    /// As many runs of the task are in hand as it allows. The tick is recorded as skipped.
    #[error("skipped, because {max} runs of the task are in hand, which is its limit")]
    Limit {
        /// The task's limit.
        max: u32,
    },
    /// As many ticks wait already as the task's overlap rule allows. The tick is recorded as
    /// skipped.
    #[error("skipped, because {max} ticks wait already")]
    QueueFull {
        /// How many may wait.
        max: u32,
    },
    /// A newer tick waits, and the task's overlap rule keeps only the newest. The tick is recorded
    /// as skipped.
    #[error("skipped, because the newer {by} waits")]
    Replaced {
        /// The newer run.
        by: RunKey,
    },
    /// The task has a newer definition.
    #[error("generation {current} is current")]
    StaleGeneration {
        /// The current one.
        current: Generation,
    },
    /// The node's lease has ended, or it never beat: it must beat first.
    #[error("the node's lease has ended")]
    NodeLapsed,
    /// The store forgot something that the node knows of, or was told that it did: the node must
    /// [restore](super::RunStore::restore) first.
    #[error("the store forgot what it had acknowledged")]
    StoreForgot,
}

/// A run that a node has in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Which run, which attempt, under which token.
    pub run: RunRef,
    /// The fencing token: grows with every claim of the task.
    pub fence: Fence,
    /// The store's clock when it was claimed.
    pub claimed_at: Timestamp,
    /// What a crash does to the run.
    pub on_crash: OnCrash,
    /// What the run was asked with: its record's [`RunRecord::asked`](super::RunRecord::asked), so
    /// that its node can put it back. `None` for what nobody asked for, such as a scheduled tick.
    pub asked: Option<Arc<str>>,
}

impl Claim {
    /// A claim of a run that nobody asked for.
    #[must_use]
    pub fn new(run: RunRef, fence: Fence, claimed_at: Timestamp, on_crash: OnCrash) -> Self {
        Self {
            run,
            fence,
            claimed_at,
            on_crash,
            asked: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s32_the_window_is_open_to_the_millisecond_and_no_further() {
        let now = Timestamp::from_millis(1_000_000);
        let node = HolderId::random();
        let item = |tick_ms| {
            let mut item = ClaimItem::new(
                TaskName::new("t").unwrap(),
                Timestamp::from_millis(tick_ms),
                1,
                Generation::new("g").unwrap(),
            );
            item.window = Duration::from_secs(60);
            item
        };
        let mut batch = ClaimBatch::new(node, Vec::new());
        for (tick_ms, open) in [
            (1_000_250, true),
            (1_000_251, false),
            (1_000_000 - 62_000, true),
            (1_000_000 - 62_001, false),
        ] {
            let answer = batch.window_is_open(&item(tick_ms), now);
            assert_eq!(answer.is_ok(), open, "{tick_ms}: {answer:?}");
        }
        batch.early = Duration::from_secs(3600);
        let by = Duration::from_millis(1);
        assert_eq!(
            batch.window_is_open(&item(1_001_001), now),
            Err(Refusal::TooEarly { by })
        );
    }
}
