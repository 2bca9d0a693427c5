//! A node that claims and runs, as the cases see it.
//!
//! Everything here fails the case when the store answers something else than the name of the
//! function says. It relies on the contract alone and knows no store.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Beat, Beaten, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Enqueue, Enqueued, Event,
    EventKind, Finish, Finished, Generation, Holder, MaxRunning, Note, Outcome, Overlap, Recovered,
    Recovery, Refusal, Registered, RequestId, RunKey, RunRecord, RunState, RunStore, Start,
    StartMode, Started, Take, TaskName, Timestamp,
};

use super::cases::Shared;

/// A node's lease that never ends during a case, however slow the machine is.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

pub(super) fn generation(name: &str) -> Generation {
    Generation::new(name).unwrap()
}

pub(super) fn item(name: &str, tick: Timestamp, index: u32) -> ClaimItem {
    ClaimItem::new(task(name), tick, index, generation("g1"))
}

pub(super) fn definition(name: &str, of: &str) -> Definition {
    Definition::new(task(name), generation(of), "* * * * *")
}

/// A requested run of `name`, named `id`.
pub(super) fn request(name: &str, tick: Timestamp, id: &str) -> Enqueue {
    let id = RequestId::new(id).unwrap();
    Enqueue::new(RunKey::manual(task(name), tick, 1, id), "asked by a case")
}

/// A node with a view of the store of its own.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) store: Arc<dyn RunStore>,
    pub(super) holder: Holder,
}

impl Node {
    /// A node that has not said anything yet.
    pub(super) async fn silent(harness: &Shared, label: &str) -> Self {
        Self {
            store: harness.store().await,
            holder: Holder::new(label).on_host("conformance"),
        }
    }

    /// A node that is alive.
    pub(super) async fn join(harness: &Shared, label: &str) -> Self {
        let node = Self::silent(harness, label).await;
        node.beat().await;
        node
    }

    /// A node that is alive and can run `names` in generation `g1`.
    pub(super) async fn join_with(harness: &Shared, label: &str, names: &[&str]) -> Self {
        let node = Self::join(harness, label).await;
        for name in names {
            node.register(name, "g1").await;
        }
        node
    }

    pub(super) async fn beat(&self) -> Beaten {
        self.store
            .beat(&Beat::new(self.holder.clone(), LONG))
            .await
            .unwrap()
    }

    pub(super) async fn register(&self, name: &str, of: &str) -> Registered {
        let definitions = [definition(name, of)];
        let mut answers = self
            .store
            .register(self.holder.id, &definitions)
            .await
            .unwrap();
        assert_eq!(answers.len(), 1, "one definition, one answer");
        answers.remove(0)
    }

    /// The store's clock.
    pub(super) async fn now(&self) -> Timestamp {
        self.store.now().await.unwrap().now
    }

    pub(super) async fn claim(&self, items: Vec<ClaimItem>) -> Vec<ClaimAnswer> {
        let asked = items.len();
        let batch = ClaimBatch::new(self.holder.id, items);
        let reply = self.store.claim(&batch).await.unwrap();
        assert_eq!(reply.answers.len(), asked, "one answer an item");
        reply.answers
    }

    pub(super) async fn try_claim(&self, item: ClaimItem) -> ClaimAnswer {
        self.claim(vec![item]).await.remove(0)
    }

    pub(super) async fn win(&self, item: ClaimItem) -> Claim {
        match self.try_claim(item).await {
            ClaimAnswer::Won(claim) => claim,
            other => panic!("expected to win, was answered {other:?}"),
        }
    }

    /// Claims a run that must wait; tells for what.
    pub(super) async fn queue(&self, item: ClaimItem) -> Refusal {
        match self.try_claim(item).await {
            ClaimAnswer::Waits(because) => because,
            other => panic!("expected to wait, was answered {other:?}"),
        }
    }

    /// Claims a run that is recorded as skipped; tells why.
    pub(super) async fn is_refused(&self, item: ClaimItem) -> Refusal {
        match self.try_claim(item).await {
            ClaimAnswer::Refused(because) => because,
            other => panic!("expected a refusal, was answered {other:?}"),
        }
    }

    /// Wins a run that does not begin with the claim.
    pub(super) async fn win_for_later(&self, item: ClaimItem) -> Claim {
        let mut batch = ClaimBatch::new(self.holder.id, vec![item]);
        batch.start = StartMode::Later;
        match self.store.claim(&batch).await.unwrap().answers.remove(0) {
            ClaimAnswer::Won(claim) => claim,
            other => panic!("expected to win, was answered {other:?}"),
        }
    }

    pub(super) async fn start(&self, claim: &Claim) -> Started {
        let starts = [Start::new(claim.run.clone())];
        self.store.start(&starts).await.unwrap().remove(0)
    }

    pub(super) async fn finish(&self, claim: &Claim, outcome: Outcome) -> Finished {
        self.report(Finish::new(claim.run.clone(), outcome)).await
    }

    /// Ends an attempt that is to be followed by another.
    pub(super) async fn fail_and_retry(&self, claim: &Claim, after: Duration) -> Finished {
        let mut finish = Finish::new(claim.run.clone(), Outcome::Failed);
        finish.again_after = Some(after);
        finish.reason = Some("it did not work".to_owned());
        self.report(finish).await
    }

    pub(super) async fn report(&self, finish: Finish) -> Finished {
        self.store.finish(&[finish]).await.unwrap().remove(0)
    }

    pub(super) async fn take(&self, limit: usize) -> Vec<Claim> {
        self.store
            .take(&Take::new(self.holder.id, limit))
            .await
            .unwrap()
    }

    pub(super) async fn recover(&self) -> Recovered {
        self.store
            .recover(&Recovery::new(self.holder.id))
            .await
            .unwrap()
    }

    pub(super) async fn enqueue(&self, request: Enqueue) -> Enqueued {
        self.store.enqueue(&[request]).await.unwrap().remove(0)
    }

    pub(super) async fn record(&self, key: &RunKey) -> RunRecord {
        let found = self.store.run(key).await.unwrap();
        found.unwrap_or_else(|| panic!("no record of {key}"))
    }

    pub(super) async fn state(&self, key: &RunKey) -> RunState {
        self.record(key).await.state
    }

    /// Everything that is in the feed, oldest first.
    pub(super) async fn events(&self) -> Vec<Event> {
        let mut all: Vec<Event> = Vec::new();
        loop {
            let after = all.last().map(|event| event.cursor.clone());
            let page = self.store.events(after, 100).await.unwrap();
            if page.events.is_empty() {
                return all;
            }
            all.extend(page.events);
        }
    }

    /// The notes of one kind that are in the feed.
    pub(super) async fn notes(&self, kind: &str) -> Vec<Note> {
        let events = self.events().await.into_iter();
        let notes = events.filter_map(|event| match event.kind {
            EventKind::Note(note) => Some(note),
            _ => None,
        });
        notes.filter(|note| note.kind == kind).collect()
    }
}

/// The same claim, with both runs allowed at once.
pub(super) fn beside(mut item: ClaimItem) -> ClaimItem {
    item.overlap = Overlap::Allow;
    item
}

/// The same claim under another overlap rule.
pub(super) fn with(mut item: ClaimItem, overlap: Overlap) -> ClaimItem {
    item.overlap = overlap;
    item
}

/// The same claim of a task of three indices, of which at most `runs` runs may be in hand.
pub(super) fn limited(mut item: ClaimItem, runs: u32) -> ClaimItem {
    item.max_running = Some(MaxRunning::new(runs, 3));
    item
}

pub(super) fn is_won(answer: &ClaimAnswer) -> bool {
    matches!(answer, ClaimAnswer::Won(_))
}
