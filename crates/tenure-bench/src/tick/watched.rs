//! A store that counts what one node asks of it, and that can be taken away from that node.
//!
//! Everything is passed on as it is. After [`Watched::cut`] nothing is answered any more, as to a
//! node whose network is gone or whose process was killed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tenure::core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimAnswer, ClaimBatch, ClaimReply, Cursor,
    Definition, Enqueue, Enqueued, EventPage, Finish, Finished, HistoryPage, HistoryQuery,
    HolderId, NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery, Registered, Restore,
    Restored, RunKey, RunPromises, RunRecord, RunStore, Start, Started, StoreError, StoreMoment,
    Take, TaskName, TaskRecord, Timestamp, Wakes,
};

/// What a node asked of its store, as far as ticks are concerned.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Runs that were asked for, and those of them that were won.
    pub(super) keys: AtomicUsize,
    pub(super) wins: AtomicUsize,
    /// Calls that claim, and calls that look for what is left.
    pub(super) trips: AtomicUsize,
}

pub(super) struct Watched {
    inner: Arc<dyn RunStore>,
    pub(super) counts: Counts,
    is_cut: AtomicBool,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    pub(super) fn over(inner: Arc<dyn RunStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            counts: Counts::default(),
            is_cut: AtomicBool::new(false),
        })
    }

    /// Answers nothing from now on.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    async fn store(&self) -> &dyn RunStore {
        if self.is_cut.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        &*self.inner
    }
}

macro_rules! watched {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl RunStore for Watched {
            fn promises(&self) -> RunPromises {
                self.inner.promises()
            }

            fn namespace(&self) -> &str {
                self.inner.namespace()
            }

            fn listen(&self) -> Wakes {
                self.inner.listen()
            }

            async fn claim(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
                let counts = &self.counts;
                counts.trips.fetch_add(1, Ordering::Relaxed);
                counts.keys.fetch_add(batch.items.len(), Ordering::Relaxed);
                let reply = self.store().await.claim(batch).await?;
                let won = |answer: &&ClaimAnswer| matches!(answer, ClaimAnswer::Won(_));
                let wins = reply.answers.iter().filter(won).count();
                counts.wins.fetch_add(wins, Ordering::Relaxed);
                Ok(reply)
            }

            async fn known(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
                self.counts.trips.fetch_add(1, Ordering::Relaxed);
                self.store().await.known(keys).await
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                self.store().await.$name($($arg),*).await
            })*
        }
    };
}

watched! {
    now() -> StoreMoment;
    beat(beat: &Beat) -> Beaten;
    leave(node: HolderId) -> ();
    register(node: HolderId, definitions: &[Definition]) -> Vec<Registered>;
    withdraw(node: HolderId, tasks: &[TaskName]) -> ();
    tasks() -> Vec<TaskRecord>;
    nodes() -> Vec<NodeRecord>;
    restore(restore: &Restore) -> Restored;
    take(take: &Take) -> Vec<Claim>;
    start(starts: &[Start]) -> Vec<Started>;
    finish(finishes: &[Finish]) -> Vec<Finished>;
    pass(passes: &[Pass]) -> Vec<bool>;
    recover(recovery: &Recovery) -> Recovered;
    cancel_run(cancel: &Cancel) -> Cancelling;
    cancels(node: HolderId) -> Vec<Cancel>;
    pause(task: &TaskName, pause: &Pause) -> ();
    resume(task: &TaskName, by: &str, why: &str) -> bool;
    enqueue(runs: &[Enqueue]) -> Vec<Enqueued>;
    save_backfill(backfill: &Backfill, expected: Option<Timestamp>) -> bool;
    backfills() -> Vec<Backfill>;
    run(key: &RunKey) -> Option<RunRecord>;
    history(query: &HistoryQuery) -> HistoryPage;
    events(after: Option<Cursor>, limit: usize) -> EventPage;
    note(note: &Note) -> ();
    prune(prune: &Prune) -> u64;
}
