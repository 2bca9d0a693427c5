//! A store that breaks one promise, to see whether it is noticed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Backfill, Beat, Beaten, Cancel, Cancelling, Claim, ClaimAnswer, ClaimBatch, ClaimReply, Cursor,
    Definition, Enqueue, Enqueued, EventPage, Fence, Finish, Finished, HistoryPage, HistoryQuery,
    HolderId, NodeRecord, Note, OnChange, OnCrash, Outcome, Overlap, Pass, Pause, Prune, Recovered,
    Recovery, Registered, Restore, Restored, RunKey, RunPromises, RunRecord, RunRef, RunStore,
    Start, Started, StoreError, StoreMoment, Take, TaskName, TaskRecord, Timestamp, Wakes,
};

/// Which promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tampering {
    /// Answers that a claim is won, and keeps nothing of it.
    ForgetsClaims,
    /// Whoever claims what another node has gets it too.
    AcceptsTwice,
    /// Every fence is the same.
    RepeatsFences,
    /// Takes no notice of the overlap rule.
    AllowsOverlap,
    /// Takes no notice of the tasks' limits.
    IgnoresLimits,
    /// Finds nothing that was lost.
    NeverRecovers,
    /// Marks runs lost and tells nobody.
    RecoversInSilence,
    /// Tells of each lost run again and again.
    TellsTwice,
    /// Counts nodes as dead after a fifth of their ttl.
    EndsLeasesEarly,
    /// Counts nodes as alive for a day.
    NeverEndsLeases,
    /// Answers that a missed tick is recorded, and records nothing.
    ForgetsMissed,
    /// Answers that an end is recorded, and records nothing.
    ForgetsEnds,
    /// Lets runs run again after a crash that must not.
    RetriesWhatMustNotBe,
    /// Takes every claim as late from the fortieth call on.
    RefusesAfterAWhile,
    /// Tells a time that is a second ahead.
    ClaimsEarly,
    /// Knows nothing of the names that tasks had before.
    ForgetsNames,
    /// Lets every definition fire.
    FiresAll,
}

#[derive(Debug)]
pub(crate) struct Tampered {
    inner: Arc<dyn RunStore>,
    tampering: Tampering,
    claims: AtomicUsize,
    forged: Mutex<HashSet<RunRef>>,
    told: Mutex<HashMap<RunKey, Recovered>>,
}

type Answer<T> = Result<T, StoreError>;

impl Tampered {
    pub(crate) fn over(inner: Arc<dyn RunStore>, tampering: Tampering) -> Arc<dyn RunStore> {
        Arc::new(Self {
            inner,
            tampering,
            claims: AtomicUsize::new(0),
            forged: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn does(&self, tampering: Tampering) -> bool {
        self.tampering == tampering
    }

    /// A claim that the store knows nothing of.
    fn forge(&self, key: RunKey, token: tenure_core::Token, now: Timestamp) -> ClaimAnswer {
        let run = RunRef::new(key, 1, token);
        self.forged.lock().unwrap().insert(run.clone());
        ClaimAnswer::Won(Claim::new(run, Fence::new(1), now, OnCrash::Lose))
    }
}

#[async_trait]
impl RunStore for Tampered {
    fn promises(&self) -> RunPromises {
        self.inner.promises()
    }

    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    fn listen(&self) -> Wakes {
        self.inner.listen()
    }

    async fn now(&self) -> Answer<StoreMoment> {
        self.inner.now().await
    }

    async fn beat(&self, beat: &Beat) -> Answer<Beaten> {
        let mut beat = beat.clone();
        match self.tampering {
            Tampering::EndsLeasesEarly => beat.ttl /= 5,
            Tampering::NeverEndsLeases => beat.ttl = Duration::from_secs(86_400),
            _ => {}
        }
        let mut beaten = self.inner.beat(&beat).await?;
        if self.does(Tampering::ClaimsEarly) {
            beaten.moment.now = beaten.moment.now + Duration::from_secs(1);
        }
        Ok(beaten)
    }

    async fn leave(&self, node: HolderId) -> Answer<()> {
        self.inner.leave(node).await
    }

    async fn register(
        &self,
        node: HolderId,
        definitions: &[Definition],
    ) -> Answer<Vec<Registered>> {
        let mut definitions = definitions.to_vec();
        for definition in &mut definitions {
            match self.tampering {
                Tampering::ForgetsNames => {
                    definition.aliases.clear();
                    // An old name that has not ended is a task that its own nodes list.
                    if definition.ended.take().is_some() {
                        definition.on_change = OnChange::Union;
                    }
                }
                Tampering::FiresAll => definition.on_change = OnChange::Union,
                _ => {}
            }
        }
        self.inner.register(node, &definitions).await
    }

    async fn withdraw(&self, node: HolderId, tasks: &[TaskName]) -> Answer<()> {
        self.inner.withdraw(node, tasks).await
    }

    async fn tasks(&self) -> Answer<Vec<TaskRecord>> {
        self.inner.tasks().await
    }

    async fn nodes(&self) -> Answer<Vec<NodeRecord>> {
        self.inner.nodes().await
    }

    async fn claim(&self, batch: &ClaimBatch) -> Answer<ClaimReply> {
        let count = self.claims.fetch_add(1, Ordering::SeqCst);
        let mut batch = batch.clone();
        let forgets = self.does(Tampering::ForgetsClaims) && count % 4 == 3;
        for item in &mut batch.items {
            match self.tampering {
                Tampering::AllowsOverlap => item.overlap = Overlap::Allow,
                Tampering::IgnoresLimits => item.max_running = None,
                Tampering::ForgetsNames => item.aliases = Arc::default(),
                Tampering::RetriesWhatMustNotBe => {
                    item.on_crash = OnCrash::Retry { max_attempts: 5 }
                }
                Tampering::RefusesAfterAWhile if count >= 40 => {
                    item.tick = item.tick - Duration::from_secs(86_400);
                }
                _ => {}
            }
        }
        if forgets {
            let moment = self.inner.now().await?;
            let forged = batch.items.iter();
            let forged = forged.map(|item| self.forge(item.key(), item.token, moment.now));
            let answers = forged.collect();
            return Ok(ClaimReply::new(
                moment.now,
                moment.sequence,
                moment.epoch,
                answers,
            ));
        }
        let mut reply = self.inner.claim(&batch).await?;
        for (item, answer) in batch.items.iter().zip(&mut reply.answers) {
            match answer {
                ClaimAnswer::Taken { .. } if self.does(Tampering::AcceptsTwice) => {
                    *answer = self.forge(item.key(), item.token, reply.now);
                }
                ClaimAnswer::Won(claim) if self.does(Tampering::RepeatsFences) => {
                    claim.fence = Fence::new(7);
                }
                _ => {}
            }
        }
        if self.does(Tampering::ClaimsEarly) {
            reply.now = reply.now + Duration::from_secs(1);
        }
        Ok(reply)
    }

    async fn restore(&self, restore: &Restore) -> Answer<Restored> {
        self.inner.restore(restore).await
    }

    async fn take(&self, take: &Take) -> Answer<Vec<Claim>> {
        self.inner.take(take).await
    }

    async fn start(&self, starts: &[Start]) -> Answer<Vec<Started>> {
        self.inner.start(starts).await
    }

    async fn finish(&self, finishes: &[Finish]) -> Answer<Vec<Finished>> {
        if self.does(Tampering::ForgetsEnds) {
            return Ok(vec![Finished::Recorded; finishes.len()]);
        }
        let mut answers = Vec::new();
        for finish in finishes {
            let is_forged = self.forged.lock().unwrap().contains(&finish.run);
            let one = std::slice::from_ref(finish);
            if is_forged && finish.outcome != Outcome::Lost {
                answers.push(Finished::Recorded);
            } else {
                answers.extend(self.inner.finish(one).await?);
            }
        }
        Ok(answers)
    }

    async fn pass(&self, passes: &[Pass]) -> Answer<Vec<bool>> {
        if self.does(Tampering::ForgetsMissed) {
            return Ok(vec![true; passes.len()]);
        }
        self.inner.pass(passes).await
    }

    async fn recover(&self, recovery: &Recovery) -> Answer<Recovered> {
        if self.does(Tampering::NeverRecovers) {
            let now = self.inner.now().await?.now;
            return Ok(Recovered::new(now, Vec::new(), Vec::new()));
        }
        let mut recovered = self.inner.recover(recovery).await?;
        if self.does(Tampering::RecoversInSilence) {
            // The answer of the first recovery of each run is withheld from node and judge.
            recovered.runs.clear();
        }
        if self.does(Tampering::TellsTwice) {
            let mut told = self.told.lock().unwrap();
            for run in &recovered.runs {
                let one = Recovered::new(recovered.now, Vec::new(), vec![run.clone()]);
                told.insert(run.record.key.clone(), one);
            }
            if recovered.runs.is_empty() {
                recovered
                    .runs
                    .extend(told.values().flat_map(|one| one.runs.clone()));
            }
        }
        Ok(recovered)
    }

    async fn cancel_run(&self, cancel: &Cancel) -> Answer<Cancelling> {
        self.inner.cancel_run(cancel).await
    }

    async fn cancels(&self, node: HolderId) -> Answer<Vec<Cancel>> {
        self.inner.cancels(node).await
    }

    async fn pause(&self, task: &TaskName, pause: &Pause) -> Answer<()> {
        self.inner.pause(task, pause).await
    }

    async fn resume(&self, task: &TaskName, by: &str, why: &str) -> Answer<bool> {
        self.inner.resume(task, by, why).await
    }

    async fn enqueue(&self, runs: &[Enqueue]) -> Answer<Vec<Enqueued>> {
        self.inner.enqueue(runs).await
    }

    async fn save_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Answer<bool> {
        self.inner.save_backfill(backfill, expected_cursor).await
    }

    async fn backfills(&self) -> Answer<Vec<Backfill>> {
        self.inner.backfills().await
    }

    async fn run(&self, key: &RunKey) -> Answer<Option<RunRecord>> {
        self.inner.run(key).await
    }

    async fn known(&self, keys: &[RunKey]) -> Answer<Vec<bool>> {
        self.inner.known(keys).await
    }

    async fn history(&self, query: &HistoryQuery) -> Answer<HistoryPage> {
        self.inner.history(query).await
    }

    async fn events(&self, after: Option<Cursor>, limit: usize) -> Answer<EventPage> {
        self.inner.events(after, limit).await
    }

    async fn note(&self, note: &Note) -> Answer<()> {
        self.inner.note(note).await
    }

    async fn prune(&self, prune: &Prune) -> Answer<u64> {
        self.inner.prune(prune).await
    }
}
