//! The way between one node and the store, which delays, loses and duplicates.
//!
//! A request travels by itself once it was sent: the node may have given it up, or may be dead,
//! when it arrives. What the store decides is shown to the judge at the moment of the decision.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimAnswer, ClaimBatch, ClaimReply, Cursor,
    Definition, Enqueue, Enqueued, EventPage, Finish, Finished, HistoryPage, HistoryQuery,
    HolderId, NodeRecord, Note, Pass, Pause, Prune, Recovered, Recovery, Registered, Restore,
    Restored, RunKey, RunPromises, RunRecord, RunStore, Start, Started, StoreError, StoreErrorKind,
    StoreMoment, Take, TaskName, TaskRecord, Timestamp, Wakes,
};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::judge::Judge;
use crate::line::{Cut, Line};

/// How long a client waits for an answer that never comes.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// The store as one node sees it.
#[derive(Debug)]
pub(crate) struct Link {
    server: Arc<dyn RunStore>,
    line: Arc<Line>,
}

/// A call of the store, to be made when it arrives, and perhaps twice.
type Ask<T> =
    Arc<dyn Fn(Arc<dyn RunStore>, Arc<Judge>) -> BoxFuture<'static, Answer<T>> + Send + Sync>;
type Answer<T> = Result<T, StoreError>;

impl Link {
    pub(crate) fn new(server: Arc<dyn RunStore>, line: Arc<Line>) -> Self {
        Self { server, line }
    }

    async fn call<T: Send + 'static>(&self, ask: Ask<T>) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(travel(self.server.clone(), self.line.clone(), ask, reply));
        if let Ok(answer) = answer.await {
            return answer;
        }
        sleep(CLIENT_PATIENCE).await;
        Err(unavailable("no answer").with_unknown_outcome())
    }
}

fn unavailable(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

/// One request on its way, and its answer on the way back. A reply that is dropped never comes.
async fn travel<T: Send + 'static>(
    server: Arc<dyn RunStore>,
    line: Arc<Line>,
    ask: Ask<T>,
    reply: oneshot::Sender<Answer<T>>,
) {
    line.thawed().await;
    if line.is_dead() {
        return;
    }
    let fate = line.draw();
    // Nobody waits any more if a reply cannot be given; then it is as good as lost.
    match line.cut_now() {
        Some(Cut::Refuses) => {
            let _ = reply.send(Err(unavailable("connection refused")));
            return;
        }
        Some(Cut::Swallows) => return,
        _ => {}
    }
    if !fate.there.is_zero() {
        sleep(fate.there).await;
    }
    if fate.loses_request {
        if fate.breaks {
            let _ = reply.send(Err(unavailable("connection lost").with_unknown_outcome()));
        }
        return;
    }
    line.judge.called();
    let answer = ask(server.clone(), line.judge.clone()).await;
    if let Some(after) = fate.again_after {
        let judge = line.judge.clone();
        tokio::spawn(async move {
            sleep(after).await;
            ask(server, judge).await
        });
    }
    if !fate.back.is_zero() {
        sleep(fate.back).await;
    }
    line.thawed().await;
    if fate.loses_answer || line.cut_now().is_some() {
        if fate.breaks {
            let _ = reply.send(Err(unavailable("connection lost").with_unknown_outcome()));
        }
        return;
    }
    let _ = reply.send(answer);
}

/// A call that is passed on as it is.
macro_rules! passed_on {
    ($self:ident, |$server:ident| $call:expr) => {
        $self
            .call(Arc::new(move |$server, _| Box::pin($call)))
            .await
    };
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RunStore for Link {
    fn promises(&self) -> RunPromises {
        self.server.promises()
    }

    fn namespace(&self) -> &str {
        self.server.namespace()
    }

    fn listen(&self) -> Wakes {
        self.server.listen()
    }

    async fn now(&self) -> Answer<StoreMoment> {
        passed_on!(self, |server| async move { server.now().await })
    }

    async fn beat(&self, beat: &Beat) -> Answer<Beaten> {
        let beat = Arc::new(beat.clone());
        passed_on!(self, |server| {
            let beat = beat.clone();
            async move { server.beat(&beat).await }
        })
    }

    async fn leave(&self, node: HolderId) -> Answer<()> {
        passed_on!(self, |server| async move { server.leave(node).await })
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Answer<Vec<Registered>> {
        let definitions: Arc<[Definition]> = definitions.into();
        passed_on!(self, |server| {
            let definitions = definitions.clone();
            async move { server.register(node, &definitions).await }
        })
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Answer<()> {
        let tasks: Arc<[TaskName]> = tasks.into();
        passed_on!(self, |server| {
            let tasks = tasks.clone();
            async move { server.withdraw(node, &tasks).await }
        })
    }

    async fn tasks(&self) -> Answer<Vec<TaskRecord>> {
        passed_on!(self, |server| async move { server.tasks().await })
    }

    async fn nodes(&self) -> Answer<Vec<NodeRecord>> {
        passed_on!(self, |server| async move { server.nodes().await })
    }

    async fn claim(&self, batch: &ClaimBatch) -> Answer<ClaimReply> {
        let batch = Arc::new(batch.clone());
        let ask: Ask<ClaimReply> = Arc::new(move |server, judge| {
            let batch = batch.clone();
            Box::pin(async move {
                let reply = server.claim(&batch).await?;
                let won = reply.answers.iter().filter_map(|answer| match answer {
                    ClaimAnswer::Won(claim) => Some(claim),
                    _ => None,
                });
                // Within a call earlier ticks are decided first; the answers stand as asked.
                let mut won: Vec<_> = won.collect();
                won.sort_by_key(|claim| claim.fence);
                for claim in won {
                    judge.won(batch.node, claim);
                }
                Ok(reply)
            })
        });
        self.call(ask).await
    }

    async fn restore(&self, restore: &Restore) -> Answer<Restored> {
        let restore = Arc::new(restore.clone());
        passed_on!(self, |server| {
            let restore = restore.clone();
            async move { server.restore(&restore).await }
        })
    }

    async fn take(&self, take: &Take) -> Answer<Vec<Claim>> {
        let take = Arc::new(take.clone());
        let ask: Ask<Vec<Claim>> = Arc::new(move |server, judge| {
            let take = take.clone();
            Box::pin(async move {
                let claims = server.take(&take).await?;
                for claim in &claims {
                    judge.won(take.node, claim);
                }
                Ok(claims)
            })
        });
        self.call(ask).await
    }

    async fn start(&self, starts: &[Start]) -> Answer<Vec<Started>> {
        let starts: Arc<[Start]> = starts.into();
        passed_on!(self, |server| {
            let starts = starts.clone();
            async move { server.start(&starts).await }
        })
    }

    async fn finish(&self, finishes: &[Finish]) -> Answer<Vec<Finished>> {
        let finishes: Arc<[Finish]> = finishes.into();
        let ask: Ask<Vec<Finished>> = Arc::new(move |server, judge| {
            let finishes = finishes.clone();
            Box::pin(async move {
                let answers = server.finish(&finishes).await?;
                for (finish, answer) in finishes.iter().zip(&answers) {
                    if *answer == Finished::Recorded {
                        judge.reported(&finish.run);
                    }
                }
                Ok(answers)
            })
        });
        self.call(ask).await
    }

    async fn pass(&self, passes: &[Pass]) -> Answer<Vec<bool>> {
        let passes: Arc<[Pass]> = passes.into();
        passed_on!(self, |server| {
            let passes = passes.clone();
            async move { server.pass(&passes).await }
        })
    }

    async fn recover(&self, recovery: &Recovery) -> Answer<Recovered> {
        let recovery = Arc::new(recovery.clone());
        let ask: Ask<Recovered> = Arc::new(move |server, judge| {
            let recovery = recovery.clone();
            Box::pin(async move {
                let recovered = server.recover(&recovery).await?;
                for run in &recovered.runs {
                    judge.lost(run);
                }
                Ok(recovered)
            })
        });
        self.call(ask).await
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Answer<Cancelling> {
        let cancel = Arc::new(cancel.clone());
        passed_on!(self, |server| {
            let cancel = cancel.clone();
            async move { server.cancel_run(&cancel).await }
        })
    }

    async fn cancels(&self, node: HolderId) -> Answer<Vec<Cancel>> {
        passed_on!(self, |server| async move { server.cancels(node).await })
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Answer<()> {
        let asked = Arc::new((task.clone(), pause.clone()));
        passed_on!(self, |server| {
            let asked = asked.clone();
            async move { server.pause(&asked.0, &asked.1).await }
        })
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Answer<bool> {
        let asked = Arc::new((task.clone(), by.to_owned(), why.to_owned()));
        passed_on!(self, |server| {
            let asked = asked.clone();
            async move { server.resume(&asked.0, &asked.1, &asked.2).await }
        })
    }

    async fn enqueue(&self, runs: &[Enqueue]) -> Answer<Vec<Enqueued>> {
        let runs: Arc<[Enqueue]> = runs.into();
        passed_on!(self, |server| {
            let runs = runs.clone();
            async move { server.enqueue(&runs).await }
        })
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Answer<bool> {
        let backfill = Arc::new(backfill.clone());
        passed_on!(self, |server| {
            let backfill = backfill.clone();
            async move { server.save_backfill(&backfill, expected_cursor).await }
        })
    }

    async fn backfills(&self) -> Answer<Vec<Backfill>> {
        passed_on!(self, |server| async move { server.backfills().await })
    }

    async fn run(&self, key: &RunKey) -> Answer<Option<RunRecord>> {
        let key = Arc::new(key.clone());
        passed_on!(self, |server| {
            let key = key.clone();
            async move { server.run(&key).await }
        })
    }

    async fn known(&self, keys: &[RunKey]) -> Answer<Vec<bool>> {
        let keys: Arc<[RunKey]> = keys.into();
        passed_on!(self, |server| {
            let keys = keys.clone();
            async move { server.known(&keys).await }
        })
    }

    async fn history(&self, query: &HistoryQuery) -> Answer<HistoryPage> {
        let query = Arc::new(query.clone());
        passed_on!(self, |server| {
            let query = query.clone();
            async move { server.history(&query).await }
        })
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Answer<EventPage> {
        passed_on!(self, |server| {
            let after = after.clone();
            async move { server.events(after, limit).await }
        })
    }

    async fn note(&self, note: &Note) -> Answer<()> {
        let note = Arc::new(note.clone());
        passed_on!(self, |server| {
            let note = note.clone();
            async move { server.note(&note).await }
        })
    }

    async fn prune(&self, prune: &Prune) -> Answer<u64> {
        let prune = Arc::new(prune.clone());
        passed_on!(self, |server| {
            let prune = prune.clone();
            async move { server.prune(&prune).await }
        })
    }
}
