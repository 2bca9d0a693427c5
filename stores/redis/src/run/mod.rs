//! Runs on Redis: one bucket a tick, one script a step.
//!
//! A step is a script over keys of one namespace, which all share a slot; time, windows and leases
//! of nodes are judged by the server's clock inside it. Scripts give the same answer to the same
//! request, because a request may be sent twice. Reading is done from here, in plain commands of
//! bounded size. `scripts/run_base.lua` lists the keys, `scripts/run_record.lua` says how records
//! are written.
//!
//! # Sources
//! The window and the record that outlives it are those of this project's scheduling protocol; the
//! contract tells them in `tenure_core::RunStore`.

mod attempt;
mod cancel;
mod checked;
mod claim;
mod control;
mod feed;
mod history;
mod holder;
mod keep;
mod loss;
mod name;
mod node;
mod prune;
mod read;
mod recover;
mod request;
mod row;
mod rule;
mod state;
mod strict;
mod take;
mod tasks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimBatch, ClaimReply, Cursor, Definition,
    Durability, Enqueue, Enqueued, EventDetail, EventPage, Finish, Finished, HistoryPage,
    HistoryQuery, HolderId, Key, NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery,
    Registered, Restore, Restored, RunKey, RunPromises, RunRecord, RunStore, Scope, Start,
    StartMode, Started, StoreError, StoreErrorKind, StoreMoment, Take, TaskName, TaskRecord,
    Timestamp, Token, Wakes,
};

use self::checked::Checked;
use self::holder::Holders;
use self::name::{Names, SHARED_KEYS};
use crate::link::{Call, Script};
use crate::store::{RedisStore, Shared};

const BASE: &str = include_str!("../scripts/run_base.lua");
const RECORD: &str = include_str!("../scripts/run_record.lua");
const TASK: &str = include_str!("../scripts/run_task.lua");
const TAKER: &str = include_str!("../scripts/run_taker.lua");

/// The most items of one batch: what a script does in about a millisecond.
const MAX_BATCH: usize = 256;
/// How often listeners look where the server may not tell them.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// No span that a script counts with is longer, in milliseconds: its numbers are exact to 2^53.
const LONGEST_MS: u64 = 1 << 48;

/// What a store keeps of runs on this side.
#[derive(Debug)]
pub(crate) struct Runs {
    names: Names,
    holders: Holders,
    checked: Checked,
    /// Whether the channel of hints was asked for.
    listens: AtomicBool,
    /// Where the last call that deleted old records stopped.
    pruned_to: Mutex<Option<Timestamp>>,
}

impl Runs {
    pub(crate) fn new(namespace: &str) -> Self {
        Self {
            names: Names::new(namespace),
            holders: Holders::default(),
            checked: Checked::default(),
            listens: AtomicBool::new(false),
            pruned_to: Mutex::default(),
        }
    }
}

/// A span as scripts count it.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis())
        .unwrap_or(u64::MAX)
        .min(LONGEST_MS)
}

fn check_size(items: usize) -> Result<(), StoreError> {
    if items <= MAX_BATCH {
        return Ok(());
    }
    let message = format!("a batch may hold {MAX_BATCH} items, this one has {items}; split it");
    Err(StoreError::new(StoreErrorKind::InvalidRequest, message))
}

/// The state in which a won run begins.
fn first_state(start: StartMode) -> &'static str {
    match start {
        StartMode::AtOnce => "r",
        _ => "c",
    }
}

impl RedisStore {
    fn run_names(&self) -> &Names {
        &self.shared.runs.names
    }

    /// A call of a run script, with the keys that all of them have. Its own come next.
    fn run_call(&self, script: &'static Script, own_keys: usize) -> Call {
        self.with_shared_keys(script.call(SHARED_KEYS + own_keys))
    }

    fn with_shared_keys(&self, mut call: Call) -> Call {
        for key in self.run_names().shared() {
            call.push(key);
        }
        call
    }

    async fn send(&self, call: Call) -> Result<Value, StoreError> {
        self.shared.link.run(call).await
    }

    /// The command and the channel by which a script tells listeners to look.
    fn hint(&self) -> [&str; 2] {
        // In a cluster the channel is in the slot of the keys.
        let command = if self.shared.link.joins_slots() {
            "PUBLISH"
        } else {
            "SPUBLISH"
        };
        [command, &self.shared.ears.runs_channel]
    }

    fn push_hint(&self, call: &mut Call) {
        for part in self.hint() {
            call.push(part);
        }
    }

    fn listen_for_runs(&self) -> Wakes {
        // Runners all listen for the same thing, so one name serves them.
        let Ok(name) = Key::new("runs") else {
            return Wakes::never();
        };
        let wakes = self.shared.ears.runs.listen(&name, Token::random());
        if !self.shared.runs.listens.swap(true, Ordering::Relaxed) {
            tokio::spawn(hear_hints(Arc::downgrade(&self.shared)));
        }
        wakes
    }
}

/// Has the server tell us of hints. Where it does not let us, listeners are sent to look now and
/// then, as long as there are any.
async fn hear_hints(store: Weak<Shared>) {
    let mut was_heard = false;
    while let Some(shared) = store.upgrade() {
        let runs = &shared.ears.runs;
        let subscribed = shared.link.subscribe(&shared.ears.runs_channel);
        let heard = tokio::time::timeout(shared.options.timeout, subscribed).await;
        let is_heard = heard.unwrap_or(false);
        if !is_heard || !was_heard {
            // What was published before was not heard.
            runs.changed_everywhere();
        }
        // In a cluster a subscription does not follow its slot to another node.
        if is_heard && shared.link.joins_slots() {
            return;
        }
        was_heard = is_heard;
        let listens = &shared.runs.listens;
        if runs.is_empty() {
            listens.store(false, Ordering::Relaxed);
            if runs.is_empty() || listens.swap(true, Ordering::Relaxed) {
                return;
            }
        }
        drop(shared);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[async_trait]
impl RunStore for RedisStore {
    fn promises(&self) -> RunPromises {
        let mut promises = RunPromises::new("redis", Scope::Cluster, Durability::Nothing);
        promises.max_batch = MAX_BATCH;
        promises.events = EventDetail::Latest;
        promises.forgets = "what was claimed since the last write to disk or to a replica, when \
                            the server restarts or fails over: the sequence then falls or the \
                            epoch changes. Runs that ended, 30 days later, or sooner where there \
                            are more than about 300 000; never while their tick could be claimed";
        if self.shared.strict.is_some() {
            promises.forgets = "what was claimed, if the majority that had it has no part in the \
                                next primary: then nothing is claimed for a while, and nodes put \
                                back what they know. Runs that ended, 30 days later, or sooner \
                                where there are more than about 300 000; never while their tick \
                                could be claimed";
        }
        promises
    }

    fn namespace(&self) -> &str {
        self.run_names().namespace()
    }

    fn listen(&self) -> Wakes {
        self.listen_for_runs()
    }

    async fn now(&self) -> Result<StoreMoment, StoreError> {
        self.run_moment().await
    }

    async fn beat(&self, beat: &Beat) -> Result<Beaten, StoreError> {
        self.beat_node(beat).await
    }

    async fn leave(&self, node: HolderId) -> Result<(), StoreError> {
        self.leave_node(node).await
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError> {
        // Very many in one script would hold up everybody.
        let mut registered = Vec::with_capacity(definitions.len());
        for part in definitions.chunks(MAX_BATCH) {
            registered.extend(self.register_some(node, part).await?);
        }
        Ok(registered)
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Result<(), StoreError> {
        for part in tasks.chunks(MAX_BATCH) {
            self.withdraw_some(node, part).await?;
        }
        Ok(())
    }

    async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.task_records().await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.node_records().await
    }

    async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
        check_size(batch.items.len())?;
        self.claim_batch(batch).await
    }

    async fn restore(&self, restore: &Restore) -> Result<Restored, StoreError> {
        check_size(restore.runs.len())?;
        self.restore_runs(restore).await
    }

    async fn take(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        self.take_waiting(take).await
    }

    async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError> {
        check_size(starts.len())?;
        self.start_runs(starts).await
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StoreError> {
        check_size(finishes.len())?;
        self.finish_runs(finishes).await
    }

    async fn pass(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError> {
        check_size(passes.len())?;
        self.pass_ticks(passes).await
    }

    async fn recover(&self, recovery: &Recovery) -> Result<Recovered, StoreError> {
        self.recover_runs(recovery).await
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Result<Cancelling, StoreError> {
        self.ask_to_stop(cancel).await
    }

    async fn cancels(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError> {
        self.asked_to_stop(node).await
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Result<(), StoreError> {
        self.pause_task(task, pause).await
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Result<bool, StoreError> {
        self.resume_task(task, by, why).await
    }

    async fn enqueue(&self, runs: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError> {
        check_size(runs.len())?;
        self.enqueue_runs(runs).await
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.keep_backfill(backfill, expected_cursor).await
    }

    async fn backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.kept_backfills().await
    }

    async fn run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError> {
        self.one_run(key).await
    }

    async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        check_size(keys.len())?;
        self.known_runs(keys).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.run_history(query).await
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Result<EventPage, StoreError> {
        self.run_events(after.as_ref(), limit).await
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        self.add_note(note).await
    }

    async fn prune(&self, prune: &Prune) -> Result<u64, StoreError> {
        self.prune_runs(prune).await
    }
}
