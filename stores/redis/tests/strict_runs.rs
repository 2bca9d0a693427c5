//! Strict safety and tasks, on real servers: what a restart or a fail-over does to claims with it
//! and without.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

#[path = "steps/trio.rs"]
mod trio;

use std::time::Duration;

use tenure_bed::{Cluster, Flavour, Redis, RedisBuilder, Sentinel, until};
use tenure_core::{
    Beat, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Enqueue, Generation, Holder,
    Overlap, Remembered, RequestId, Restore, RunKey, RunState, RunStore as _, Start, StartMode,
    Started, StoreError, StoreErrorKind, Take, TaskName, Timestamp,
};
use tenure_redis::{RedisStore, Severity};

use crate::trio::trio;

const LONG: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that runs `t`.
struct Node {
    store: RedisStore,
    me: Holder,
}

impl Node {
    async fn join(url: &str, name: &str) -> Self {
        let store = RedisStore::connect(url).await.unwrap();
        let node = Self {
            store,
            me: Holder::new(name),
        };
        node.beat().await;
        node
    }

    /// Makes itself known, whatever the servers do meanwhile.
    async fn beat(&self) {
        let definition = Definition::new(task(), generation(), "* * * * *");
        until("a beat", PATIENCE, async || {
            let beat = Beat::new(self.me.clone(), LONG);
            self.store.beat(&beat).await.ok()?;
            let definitions = [definition.clone()];
            self.store.register(self.me.id, &definitions).await.ok()
        })
        .await;
    }

    async fn now(&self) -> Timestamp {
        self.store.now().await.unwrap().now
    }

    fn batch(&self, tick: Timestamp, start: StartMode) -> ClaimBatch {
        let mut item = ClaimItem::new(task(), tick, 1, generation());
        item.window = LONG;
        item.overlap = Overlap::Allow;
        let mut batch = ClaimBatch::new(self.me.id, vec![item]);
        batch.start = start;
        batch
    }

    async fn ask(&self, batch: &ClaimBatch) -> Result<ClaimAnswer, StoreError> {
        let reply = self.store.claim(batch).await?;
        Ok(reply.answers[0].clone())
    }

    /// Asks again, as a runner does, until there is an answer; and what was said before that.
    async fn answered(&self, batch: &ClaimBatch) -> (ClaimAnswer, Vec<String>) {
        let mut before = Vec::new();
        let answer = until("an answer", PATIENCE, async || {
            match self.ask(batch).await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    before.push(error.to_string());
                    None
                }
            }
        })
        .await;
        (answer, before)
    }

    async fn wins(&self, batch: &ClaimBatch) -> Claim {
        match self.answered(batch).await.0 {
            ClaimAnswer::Won(claim) => claim,
            other => panic!("{other:?}"),
        }
    }
}

fn task() -> TaskName {
    TaskName::new("t").unwrap()
}

fn generation() -> Generation {
    Generation::new("g1").unwrap()
}

fn strict(url: &str, replicas: u32) -> String {
    format!("{url}?safety=strict&max_ttl=1500ms&replicas={replicas}&timeout=2s")
}

/// Ends the wait that a new server begins with: nobody knows of anything that it forgot.
async fn settled(server: &Redis, node: &Node) {
    let batch = node.batch(node.now().await, StartMode::AtOnce);
    until("the wait begins", PATIENCE, async || {
        let error = node.ask(&batch).await.err()?;
        error
            .to_string()
            .contains("nothing is claimed")
            .then_some(())
    })
    .await;
    server.call(&["DEL", "tenure:strict:claims"]).await;
}

fn assert_unconfirmed(error: &StoreError) {
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.outcome_is_unknown(), "{error}");
    assert!(error.to_string().contains("no quorum: 0 of 2"), "{error}");
}

fn tcp() -> RedisBuilder {
    Redis::builder(Flavour::Redis).tcp()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_s30_a_claim_that_no_majority_has_is_unknown_and_won_when_it_is_asked_again() {
    let (primary, replicas) = trio().await;
    let node = Node::join(&strict(&primary.url(), 2), "node").await;
    let other = Node::join(&strict(&primary.url(), 2), "other").await;
    settled(&primary, &node).await;
    let first = node.batch(node.now().await, StartMode::AtOnce);
    node.wins(&first).await;
    for replica in &replicas {
        replica.pause();
    }
    let alone = node.batch(node.now().await, StartMode::AtOnce);
    assert_unconfirmed(&node.ask(&alone).await.unwrap_err());
    // Nor is it won by asking again while nobody has it.
    assert_unconfirmed(&node.ask(&alone).await.unwrap_err());
    for replica in &replicas {
        replica.resume();
    }
    let claim = node.wins(&alone).await;
    assert_eq!(claim.run.token, alone.items[0].token);
    let theirs = other.batch(alone.items[0].tick, StartMode::AtOnce);
    let (answer, _) = other.answered(&theirs).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_s30_what_is_taken_or_begun_counts_when_a_majority_has_it() {
    let (primary, replicas) = trio().await;
    let node = Node::join(&strict(&primary.url(), 2), "node").await;
    settled(&primary, &node).await;
    let now = node.now().await;
    let id = RequestId::new("r1").unwrap();
    let asked = Enqueue::new(RunKey::manual(task(), now, 1, id), "asked");
    node.store.enqueue(&[asked]).await.unwrap();
    for replica in &replicas {
        replica.pause();
    }
    let mut take = Take::new(node.me.id, 1);
    take.start = StartMode::Later;
    assert_unconfirmed(&node.store.take(&take).await.unwrap_err());
    // The second time it is found taken, which nobody else may know of either.
    assert_unconfirmed(&node.store.take(&take).await.unwrap_err());
    for replica in &replicas {
        replica.resume();
    }
    let taken = until("what was taken", PATIENCE, async || {
        let taken = node.store.take(&take).await.ok()?;
        (!taken.is_empty()).then_some(taken)
    })
    .await;
    for replica in &replicas {
        replica.pause();
    }
    let start = [Start::new(taken[0].run.clone())];
    assert_unconfirmed(&node.store.start(&start).await.unwrap_err());
    for replica in &replicas {
        replica.resume();
    }
    let started = until("the start", PATIENCE, async || {
        node.store.start(&start).await.ok()
    })
    .await;
    assert!(matches!(started[0], Started::Running { .. }), "{started:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_of_two_primaries_plain_lets_both_win_a_tick_and_strict_only_the_newer() {
    for is_strict in [false, true] {
        let (older, [newer, third]) = trio().await;
        let url = |server: &Redis| {
            if is_strict {
                strict(&server.url(), 2)
            } else {
                server.url()
            }
        };
        let left = Node::join(&url(&older), "left").await;
        if is_strict {
            settled(&older, &left).await;
        }
        // As a fail-over does while the older primary is cut off, with clients beside it.
        newer.call(&["REPLICAOF", "NO", "ONE"]).await;
        let port = newer.port().to_string();
        third.call(&["REPLICAOF", "127.0.0.1", &port]).await;
        until("the third follows the newer", PATIENCE, async || {
            let port_is = third.info("master_port").await? == port;
            (port_is && third.info("master_link_status").await? == "up").then_some(())
        })
        .await;
        let right = Node::join(&url(&newer), "right").await;
        let tick = left.now().await;
        let alone = left.ask(&left.batch(tick, StartMode::AtOnce)).await;
        if is_strict {
            assert_unconfirmed(&alone.unwrap_err());
            settled(&newer, &right).await;
        } else {
            assert!(matches!(alone, Ok(ClaimAnswer::Won(_))), "{alone:?}");
        }
        right.wins(&right.batch(tick, StartMode::AtOnce)).await;
    }
}

#[tokio::test]
async fn b5_after_a_restart_plain_lets_a_tick_be_won_again_and_strict_waits_for_what_nodes_know() {
    for is_strict in [false, true] {
        let server = tcp().start().await;
        let url = if is_strict {
            strict(&server.url(), 0)
        } else {
            server.url()
        };
        let (winner, other) = (
            Node::join(&url, "winner").await,
            Node::join(&url, "other").await,
        );
        if is_strict {
            settled(&server, &winner).await;
        }
        let batch = winner.batch(winner.now().await, StartMode::AtOnce);
        let claim = winner.wins(&batch).await;
        server.restart().await;
        other.beat().await;
        let theirs = other.batch(batch.items[0].tick, StartMode::AtOnce);
        if !is_strict {
            let (answer, _) = other.answered(&theirs).await;
            assert!(matches!(answer, ClaimAnswer::Won(_)), "{answer:?}");
            continue;
        }
        let error = other.ask(&theirs).await.unwrap_err();
        assert!(
            error.to_string().contains("nothing is claimed for another"),
            "{error}"
        );
        assert!(!error.outcome_is_unknown(), "{error}");
        // Meanwhile who won it puts it back.
        winner.beat().await;
        let (key, at) = (claim.run.key.clone(), batch.items[0].tick);
        let mut known = Remembered::new(key, RunState::Running, 1, at);
        known.token = Some(claim.run.token);
        known.fence = Some(claim.fence);
        known.node = Some(winner.me.clone());
        known.keep_for = LONG;
        let restore = Restore::new(winner.me.id, vec![known]);
        winner.store.restore(&restore).await.unwrap();
        settled(&server, &other).await;
        let (answer, _) = other.answered(&theirs).await;
        assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_a_tick_that_was_won_before_a_fail_over_is_not_won_after_it() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let url = strict(&sentinel.url(), 2);
    let (winner, other) = (
        Node::join(&url, "winner").await,
        Node::join(&url, "other").await,
    );
    settled(sentinel.primary().await, &winner).await;
    let batch = winner.batch(winner.now().await, StartMode::AtOnce);
    winner.wins(&batch).await;
    sentinel.kill_primary().await;
    let theirs = other.batch(batch.items[0].tick, StartMode::AtOnce);
    let (answer, before) = other.answered(&theirs).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    let waited = before
        .iter()
        .any(|error| error.contains("nothing is claimed"));
    assert!(waited, "{before:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_strict_claims_work_in_a_cluster_and_doctor_says_that_they_are_strict() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let node = Node::join(&strict(&cluster.url(), 1), "node").await;
    let batch = node.batch(node.now().await, StartMode::AtOnce);
    let (answer, before) = node.answered(&batch).await;
    assert!(matches!(answer, ClaimAnswer::Won(_)), "{answer:?}");
    let waited = before
        .iter()
        .any(|error| error.contains("nothing is claimed"));
    assert!(waited, "{before:?}");
    let said = node.store.diagnose().await.unwrap();
    assert!(
        said.verdict.contains("narrows, and does not close"),
        "{said:?}"
    );
    let is_in_danger = said
        .findings
        .iter()
        .any(|one| one.severity == Severity::Danger);
    assert!(!is_in_danger, "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r59_doctor_and_the_docs_say_that_waiting_for_replicas_narrows_and_does_not_close() {
    let (primary, _replicas) = trio().await;
    let words = "narrows, and does not close";
    let one_line = |text: &str| {
        text.replace('*', "")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let node = Node::join(&strict(&primary.url(), 2), "node").await;
    let said = node.store.diagnose().await.unwrap();
    assert!(said.verdict.contains(words), "{}", said.verdict);
    for page in [
        include_str!("../README.md"),
        include_str!("../../../docs/guide/guarantees.md"),
    ] {
        assert!(one_line(page).contains(words), "{words}");
    }
    // Without the wait for replicas nothing is said of it, and a fail-over may lose both.
    let plain = Node::join(&primary.url(), "plain").await;
    let verdict = plain.store.diagnose().await.unwrap().verdict;
    assert!(
        verdict.contains("may lose") || verdict.contains("forgets"),
        "{verdict}"
    );
    assert!(!verdict.contains(words), "{verdict}");
}
