//! A store that can be cut off, slowed down, made to lose replies, and counted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimBatch, ClaimReply, Cursor, Definition,
    Enqueue, Enqueued, EventPage, Finish, Finished, HistoryPage, HistoryQuery, HolderId,
    NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery, Registered, Restore, Restored,
    RunKey, RunPromises, RunRecord, RunStore, Seen, Start, Started, StoreError, StoreErrorKind,
    StoreMoment, Take, TaskName, TaskRecord, Timestamp, Wakes,
};
use tokio::time::Instant;

use super::pass;

type Hook = Box<dyn Fn() + Send + Sync>;

pub(crate) struct FaultyStore {
    inner: Arc<dyn RunStore>,
    is_down: AtomicBool,
    lost_claim_replies: AtomicUsize,
    lost_start_replies: AtomicUsize,
    start_keys: AtomicUsize,
    claim_takes_ms: AtomicU64,
    /// Where the delays of claims are drawn from, and the longest.
    delays: Mutex<Option<(fastrand::Rng, Duration)>>,
    refused_at: Mutex<Vec<Instant>>,
    after_claim: Mutex<Option<Hook>>,
    /// The sequence that the claim before was answered, and what the claim says it has seen.
    seen: Mutex<Vec<(u64, Seen)>>,
    answered: AtomicU64,
    calls: AtomicUsize,
    claim_calls: AtomicUsize,
    claim_keys: AtomicUsize,
    page_calls: AtomicUsize,
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn RunStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_down: AtomicBool::new(false),
            lost_claim_replies: AtomicUsize::new(0),
            lost_start_replies: AtomicUsize::new(0),
            start_keys: AtomicUsize::new(0),
            claim_takes_ms: AtomicU64::new(0),
            delays: Mutex::new(None),
            refused_at: Mutex::new(Vec::new()),
            after_claim: Mutex::new(None),
            seen: Mutex::default(),
            answered: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            claim_calls: AtomicUsize::new(0),
            claim_keys: AtomicUsize::new(0),
            page_calls: AtomicUsize::new(0),
        })
    }

    pub(crate) fn go_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    /// The next claims are made, and their replies lost.
    pub(crate) fn lose_claim_replies(&self, count: usize) {
        self.lost_claim_replies.store(count, Ordering::SeqCst);
    }

    /// The next starts are made, and their replies lost.
    pub(crate) fn lose_start_replies(&self, count: usize) {
        self.lost_start_replies.store(count, Ordering::SeqCst);
    }

    /// How many runs the store was told to begin.
    pub(crate) fn start_keys(&self) -> usize {
        self.start_keys.load(Ordering::SeqCst)
    }

    pub(crate) fn claims_take(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.claim_takes_ms.store(ms, Ordering::SeqCst);
    }

    /// Each claim arrives after a delay of its own, and its reply after another; both together take
    /// `longest` at most.
    pub(crate) fn claims_are_delayed(&self, seed: u64, longest: Duration) {
        let rng = fastrand::Rng::with_seed(seed);
        *self.delays.lock().unwrap() = Some((rng, longest));
    }

    /// When it was asked in vain.
    pub(crate) fn refused_at(&self) -> Vec<Instant> {
        self.refused_at.lock().unwrap().clone()
    }

    fn claim_delays(&self) -> (Duration, Duration) {
        let takes = Duration::from_millis(self.claim_takes_ms.load(Ordering::SeqCst));
        match &mut *self.delays.lock().unwrap() {
            None => (takes / 2, takes.saturating_sub(takes / 2)),
            Some((rng, longest)) => {
                let all = longest.mul_f64(rng.f64());
                let before = all.mul_f64(rng.f64());
                (before, all.saturating_sub(before))
            }
        }
    }

    /// Does something once, between the next claim's decision and its reply.
    pub(crate) fn after_claim(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.after_claim.lock().unwrap() = Some(Box::new(hook));
    }

    /// Of each claim, the sequence that the one before it was answered, and what it says it saw.
    pub(crate) fn seen(&self) -> Vec<(u64, Seen)> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn claim_calls(&self) -> usize {
        self.claim_calls.load(Ordering::SeqCst)
    }

    pub(crate) fn claim_keys(&self) -> usize {
        self.claim_keys.load(Ordering::SeqCst)
    }

    pub(crate) fn page_calls(&self) -> usize {
        self.page_calls.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            self.refused_at.lock().unwrap().push(Instant::now());
            return Err(StoreError::new(StoreErrorKind::Unavailable, "cut off"));
        }
        Ok(())
    }
}

/// Whether there was one left, which is taken.
fn take_one(left: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

fn reply_lost() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "reply lost").with_unknown_outcome()
}

#[async_trait]
impl RunStore for FaultyStore {
    fn promises(&self) -> RunPromises {
        self.inner.promises()
    }

    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    fn listen(&self) -> Wakes {
        self.inner.listen()
    }

    async fn now(&self) -> Result<StoreMoment, StoreError> {
        self.check()?;
        self.inner.now().await
    }

    async fn beat(&self, beat: &Beat) -> Result<Beaten, StoreError> {
        self.check()?;
        self.inner.beat(beat).await
    }

    async fn leave(&self, node: HolderId) -> Result<(), StoreError> {
        self.check()?;
        self.inner.leave(node).await
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Result<Vec<Registered>, StoreError> {
        self.check()?;
        self.inner.register(node, definitions).await
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.withdraw(node, tasks).await
    }

    async fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.check()?;
        self.inner.tasks().await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.check()?;
        self.inner.nodes().await
    }

    async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
        self.claim_calls.fetch_add(1, Ordering::SeqCst);
        self.claim_keys
            .fetch_add(batch.items.len(), Ordering::SeqCst);
        let answered = self.answered.load(Ordering::SeqCst);
        self.seen.lock().unwrap().push((answered, batch.seen));
        self.check()?;
        let (before, after) = self.claim_delays();
        pass(before).await;
        let reply = self.inner.claim(batch).await;
        pass(after).await;
        if let Ok(reply) = &reply {
            self.answered.store(reply.sequence, Ordering::SeqCst);
        }
        if let Some(hook) = self.after_claim.lock().unwrap().take() {
            hook();
        }
        if take_one(&self.lost_claim_replies) {
            return Err(reply_lost());
        }
        reply
    }

    async fn restore(&self, restore: &Restore) -> Result<Restored, StoreError> {
        self.check()?;
        self.inner.restore(restore).await
    }

    async fn take(&self, take: &Take) -> Result<Vec<Claim>, StoreError> {
        self.check()?;
        self.inner.take(take).await
    }

    async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError> {
        self.start_keys.fetch_add(starts.len(), Ordering::SeqCst);
        self.check()?;
        let reply = self.inner.start(starts).await;
        if take_one(&self.lost_start_replies) {
            return Err(reply_lost());
        }
        reply
    }

    async fn finish(&self, finishes: &[Finish]) -> Result<Vec<Finished>, StoreError> {
        self.check()?;
        self.inner.finish(finishes).await
    }

    async fn pass(&self, passes: &[Pass]) -> Result<Vec<bool>, StoreError> {
        self.check()?;
        self.inner.pass(passes).await
    }

    async fn recover(&self, recovery: &Recovery) -> Result<Recovered, StoreError> {
        self.check()?;
        self.inner.recover(recovery).await
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Result<Cancelling, StoreError> {
        self.check()?;
        self.inner.cancel_run(cancel).await
    }

    async fn cancels(&self, node: HolderId) -> Result<Vec<Cancel>, StoreError> {
        self.check()?;
        self.inner.cancels(node).await
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Result<(), StoreError> {
        self.check()?;
        self.inner.pause(task, pause).await
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.resume(task, by, why).await
    }

    async fn enqueue(&self, runs: &[Enqueue]) -> Result<Vec<Enqueued>, StoreError> {
        self.check()?;
        self.inner.enqueue(runs).await
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.save_backfill(backfill, expected_cursor).await
    }

    async fn backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.check()?;
        self.inner.backfills().await
    }

    async fn run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError> {
        self.check()?;
        self.inner.run(key).await
    }

    async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        self.page_calls.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.inner.known(keys).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.page_calls.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        self.inner.history(query).await
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Result<EventPage, StoreError> {
        self.check()?;
        self.inner.events(after, limit).await
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        self.check()?;
        self.inner.note(note).await
    }

    async fn prune(&self, prune: &Prune) -> Result<u64, StoreError> {
        self.check()?;
        self.inner.prune(prune).await
    }
}
