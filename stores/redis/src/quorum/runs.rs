//! A quorum keeps no runs: a claim's record would have to be in every server at once.

use async_trait::async_trait;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimBatch, ClaimReply, Cursor, Definition,
    Durability, Enqueue, Enqueued, EventPage, Finish, Finished, HistoryPage, HistoryQuery,
    HolderId, NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery, Registered, Restore,
    Restored, RunKey, RunPromises, RunRecord, RunStore, Scope, Start, Started, StoreError,
    StoreErrorKind, StoreMoment, Take, TaskName, TaskRecord, Timestamp, Wakes,
};

use super::QuorumStore;

fn unsupported<T>() -> Result<T, StoreError> {
    Err(StoreError::new(
        StoreErrorKind::Unsupported,
        "a quorum keeps locks and no tasks; name one server, sentinels or a cluster for tasks",
    ))
}

macro_rules! refuse {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// Every step is refused as unsupported.
        #[async_trait]
        impl RunStore for QuorumStore {
            fn promises(&self) -> RunPromises {
                let mut promises =
                    RunPromises::new("redis+quorum", Scope::Cluster, Durability::Nothing);
                promises.forgets = "everything: it keeps no runs";
                promises
            }

            fn listen(&self) -> Wakes {
                Wakes::never()
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                unsupported()
            })*
        }
    };
}

refuse! {
    now() -> StoreMoment;
    beat(_beat: &Beat) -> Beaten;
    leave(_node: HolderId) -> ();
    register(_node: HolderId, _definitions: &[Definition]) -> Vec<Registered>;
    withdraw(_node: HolderId, _tasks: &[TaskName]) -> ();
    tasks() -> Vec<TaskRecord>;
    nodes() -> Vec<NodeRecord>;
    claim(_batch: &ClaimBatch) -> ClaimReply;
    restore(_restore: &Restore) -> Restored;
    take(_take: &Take) -> Vec<Claim>;
    start(_starts: &[Start]) -> Vec<Started>;
    finish(_finishes: &[Finish]) -> Vec<Finished>;
    pass(_passes: &[Pass]) -> Vec<bool>;
    recover(_recovery: &Recovery) -> Recovered;
    cancel_run(_cancel: &Cancel) -> Cancelling;
    cancels(_node: HolderId) -> Vec<Cancel>;
    pause(_task: &TaskName, _pause: &Pause) -> ();
    resume(_task: &TaskName, _by: &str, _why: &str) -> bool;
    enqueue(_runs: &[Enqueue]) -> Vec<Enqueued>;
    save_backfill(_backfill: &Backfill, _expected: Option<Timestamp>) -> bool;
    backfills() -> Vec<Backfill>;
    run(_key: &RunKey) -> Option<RunRecord>;
    known(_keys: &[RunKey]) -> Vec<bool>;
    history(_query: &HistoryQuery) -> HistoryPage;
    events(_after: Option<Cursor>, _limit: usize) -> EventPage;
    note(_note: &Note) -> ();
    prune(_prune: &Prune) -> u64;
}
