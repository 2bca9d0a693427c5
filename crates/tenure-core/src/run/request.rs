//! What a run store is asked about runs, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use super::admission::MaxRunning;
use super::key::{Generation, RunKey, TaskName};
use super::loss::Seen;
use super::record::{OnCrash, Outcome, Overlap, RunRecord, RunState};
use crate::{Fence, Holder, HolderId, Timestamp, Token};

/// Whether a won run begins with the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMode {
    /// Won runs are `claimed`; their node says [`Start`] before user code runs.
    Later,
    /// Won runs are `running`: their node begins them as soon as it has the answer.
    AtOnce,
}

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
}

impl Claim {
    /// A claim.
    #[must_use]
    pub fn new(run: RunRef, fence: Fence, claimed_at: Timestamp, on_crash: OnCrash) -> Self {
        Self {
            run,
            fence,
            claimed_at,
            on_crash,
        }
    }
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
    /// How much output a store keeps of one run, in bytes.
    pub const MAX_OUTPUT: usize = 128 * 1024;

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
    /// Who asked, and why; kept as the record's reason.
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
