//! The contract of a store that keeps runs.
//!
//! A run is one (task, tick, index). Its record is made once, by an insert that only one node can
//! win, and it outlives every moment at which its tick could still be claimed:
//!
//! - **Window.** A claim is accepted only if
//!   `now − window − slack ≤ tick ≤ now + early`, by the store's clock, in the claim's own step.
//! - **Record.** A record is kept for at least `2 × window + 1 h`.
//!
//! Together they make a second claim of one tick impossible, whatever the nodes' clocks say, how
//! late they are or how long they sleep. The attempt number is what a late completion is refused
//! by.
//!
//! ```text
//!       enqueue, retry, recovery, a claim that queues
//!                     │
//!                  waiting ──take──┐
//!                                  ▼
//!   (nothing) ──────claim──────→ claimed ──start──→ running ──finish──→ succeeded, failed, …
//!        │                         └────────────┬──────┘
//!        └─pass─→ skipped, missed       recover └─→ lost (or waiting again)
//! ```
//!
//! A run that waits may also be replaced by a newer one (skipped) or cancelled. A run in hand that
//! somebody wants to stop is ended by its node, which finds the request in the store.

mod ability;
mod admission;
mod attempt;
mod cancel;
mod claim;
mod control;
mod key;
mod loss;
mod node;
mod record;
mod recovery;
mod unclaimed;

use std::fmt;

use async_trait::async_trait;

pub use self::ability::{Abilities, Ability};
pub use self::admission::{Admission, Crowd, MaxRunning};
pub use self::attempt::{Finish, Finished, RunRef, Start, StartMode, Started, Take, TaskRoom};
pub use self::cancel::{Cancel, Cancelling};
pub use self::claim::{Claim, ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Refusal};
pub use self::control::{
    Backfill, BackfillState, Cursor, Event, EventKind, EventPage, HistoryPage, HistoryQuery, Note,
    Pause, Prune,
};
pub use self::key::{Generation, InvalidName, RequestId, RunKey, RunKind, TaskName};
pub use self::loss::{Kept, Remembered, Restore, Restored, Seen};
pub use self::node::{
    Beat, Beaten, Definition, Ended, NodeRecord, OnChange, Registered, StoreMoment, TaskRecord,
};
pub use self::record::{AttemptRecord, OnCrash, Outcome, Overlap, RunRecord, RunState};
pub use self::recovery::{Recovered, RecoveredRun, Recovery};
pub use self::unclaimed::{Enqueue, Enqueued, Pass};
use crate::{HolderId, RunPromises, StoreError, Timestamp, Wakes};

/// The namespace of a store that was given none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Keeps runs. Each method is one atomic step inside the store, or, where it says so, one step per
/// item.
///
/// # Guarantees
/// As far as [`RunStore::promises`] reaches, each scheduled (task, tick, index) is claimed at most
/// once, and each attempt of a run is finished at most once. Batches may hold at most
/// [`RunPromises::max_batch`] items; larger ones are refused whole.
///
/// # Errors
/// Every method fails with [`StoreError`] if the store gave no answer; whether the step happened is
/// then told by [`StoreError::outcome_is_unknown`]. Requests that carry a token may be sent again
/// and get the first answer.
///
/// # Cancel safety
/// Dropping a call leaves its outcome unknown, as a lost reply does.
#[async_trait]
pub trait RunStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can and cannot promise; the suite and the docs read it.
    fn promises(&self) -> RunPromises;

    /// The name by which these runs are told apart from others in the same place: what two stores
    /// must have in common to be one, besides the place. It does not change.
    ///
    /// A store that has no names for that is [`DEFAULT_NAMESPACE`], as all are unless told
    /// otherwise.
    fn namespace(&self) -> &str {
        DEFAULT_NAMESPACE
    }

    /// Listens for hints that something waits to be taken, or that a task was paused or resumed.
    ///
    /// Local and immediate. Must be called inside the asynchronous runtime.
    fn listen(&self) -> Wakes;

    /// The store's clock, sequence and epoch.
    async fn now(&self) -> Result<StoreMoment, StoreError>;

    // Nodes and definitions.

    /// Says that a node is alive until its ttl has passed, and reads who else is. Grows the store's
    /// sequence.
    async fn beat(&self, beat: &Beat) -> Result<Beaten, StoreError>;

    /// Says that a node is leaving: its lease ends now. What it still runs is then recovered.
    async fn leave(&self, node: HolderId) -> Result<(), StoreError>;

    /// Says which tasks, in which definitions, a node can run. Replaces what it said before of the
    /// same tasks; answers stand in the order given. The node must have beaten before. Grows the
    /// store's sequence.
    ///
    /// The current generation of a task is, among those that live nodes list, the one with the
    /// highest [`Definition::number`], and of those the one registered first most recently; claims
    /// under another are refused, unless the current one says [`OnChange::Union`].
    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError>;

    /// Says that a node can no longer run these tasks: it takes no waiting runs of them, and what
    /// it registered of them no longer counts. What it has in hand goes on. Tasks that it did not
    /// list are left as they are.
    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Result<(), StoreError>;

    /// Every task the store knows, by name.
    async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError>;

    /// Every node that is alive, or was until lately, by its join.
    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError>;

    // Runs.

    /// Claims scheduled ticks. Every item is decided, all in one atomic step.
    ///
    /// An item is won if its tick is inside the window, its task is not paused, its generation is
    /// current (or the current one allows others), no record of the run exists, neither under the
    /// task's name nor under one of its aliases nor under a name that a definition renamed the task
    /// to ([`Ended::Renamed`]), and its overlap rule and the task's limit allow it, as
    /// [`ClaimItem::admit`] says. A run that must wait is recorded as `waiting`, due when it was
    /// claimed; one that is refused for overlap, a limit or a full queue, as `skipped`; no other
    /// refusal leaves a record. The reply grows the store's sequence by one. A task that nobody
    /// registered has no generation to compare. A node whose lease has ended wins nothing, and nor
    /// does one that remembers more than the store does ([`ClaimBatch::seen`]), which leaves the
    /// sequence as it is.
    async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError>;

    /// Puts back runs that the store acknowledged and forgot, as a node remembers them: the same
    /// tokens, the same attempts. A record that is there is left alone unless
    /// [`Remembered::replaces`] says otherwise, so a resend changes nothing. Each run is one step.
    ///
    /// A run in the hands of a node that the store does not know ends as lost, or waits for
    /// another attempt if a crash lets it. A node that never beat is refused.
    async fn restore(&self, restore: &Restore) -> Result<Restored, StoreError>;

    /// Takes runs that wait in the store and are due: retries, queued ticks, requested runs,
    /// backfills. Only of tasks that the node registered in their current generation and that are
    /// not paused, the longest due first, none that must not overlap with what is in hand, and none
    /// that would exceed its task's limit. The same token gets the same runs, as far as they are
    /// still in hand, if it got any. A lapsed node gets none. Each is told with what it was asked
    /// with, at every attempt.
    async fn take(&self, take: &Take) -> Result<Vec<Claim>, StoreError>;

    /// Says that claimed runs begin now. Each is one step; answers stand in order.
    async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError>;

    /// Says how runs ended. Each is one step; answers stand in order. An attempt that is no longer
    /// the current one changes nothing but leaves a `late_completion` in the events.
    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StoreError>;

    /// Records ticks that nobody will run, and why. True for each record this call made: those
    /// that exist already are left alone.
    async fn pass(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError>;

    /// Finds runs whose nodes' leases ended and marks them lost, or makes them wait again: for
    /// `on_crash = retry` with attempts left, and for those that were claimed but provably never
    /// started. Each lost run is reported by one call on one node only.
    async fn recover(&self, recovery: &Recovery) -> Result<Recovered, StoreError>;

    /// Asks for a run to stop. One that waits is cancelled at once. For one in hand the request is
    /// kept until it ends, its node is woken, and neither a retry nor a recovery lets it begin
    /// again: it then ends as `cancelled`. Leaves a note of kind `cancel_requested`, once.
    async fn cancel_run(&self, cancel: &Cancel) -> Result<Cancelling, StoreError>;

    /// The runs in a node's hands that are asked to stop.
    async fn cancels(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError>;

    // Control.

    /// Stops a task from being claimed and taken, at once and on all nodes. What runs goes on.
    async fn pause(&self, task: &TaskName, pause: &Pause) -> Result<(), StoreError>;

    /// Lets a paused task run again, and leaves a note of kind `resumed` that says by whom and, if
    /// it is not empty, why. False if the task was not paused: then there is no note.
    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Result<bool, StoreError>;

    /// Puts runs into the store to be taken: run-now and backfill. Each run once: one that exists
    /// is answered with what became of it.
    async fn enqueue(&self, runs: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError>;

    /// Creates a backfill, or moves its cursor and state on from `expected_cursor`. False if the
    /// cursor is elsewhere by now (or, for a new one, if the backfill exists).
    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Every backfill that is kept, oldest first.
    async fn backfills(&self) -> Result<Vec<Backfill>, StoreError>;

    // Reading.

    /// One run.
    async fn run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError>;

    /// Which of these runs have a record, in the order given: whatever became of them, nobody can
    /// claim those any more.
    ///
    /// One read, however many they are; at most [`RunPromises::max_batch`]. As it is written here
    /// it reads them one by one, which is right for any store and slow.
    async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            known.push(self.run(key).await?.is_some());
        }
        Ok(known)
    }

    /// Runs by task, tick and state, newest tick first, a page at a time.
    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError>;

    /// What changed after `after` (`None`: from the oldest kept), oldest first, at most `limit`.
    async fn events(&self, after: Option<Cursor>, limit: usize) -> Result<EventPage, StoreError>;

    /// Adds a note to the events.
    async fn note(&self, note: &Note) -> Result<(), StoreError>;

    /// Deletes finished records and old events that are no longer needed, a bounded number; tells
    /// how many records went. Never one that is still needed to refuse a claim.
    async fn prune(&self, prune: &Prune) -> Result<u64, StoreError>;
}
