//! `tenure why` for ticks that did not run, and for outcomes that a command cannot be brought to.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use tenure::Timestamp;
use tenure::core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Enqueue, Finish, Generation, Holder,
    Outcome, Pass, RequestId, RunKey, RunStore, TaskName,
};
use tokio::runtime::Builder;

use crate::program::{Place, ok, until};

fn tells(place: &Place, task: &str, time: &str, parts: &[&str]) {
    let told = ok(place.run(["why", task, time]));
    for part in parts {
        assert!(told.contains(part), "`{part}`: {told}");
    }
}

fn task() -> TaskName {
    TaskName::new("t").unwrap()
}

/// A node that claims by hand.
struct Node {
    store: Arc<dyn RunStore>,
    holder: Holder,
}

impl Node {
    async fn join(store: Arc<dyn RunStore>, label: &str) -> Self {
        let holder = Holder::new(label);
        let node = Self { store, holder };
        node.beat(Duration::from_secs(600)).await;
        let generation = Generation::new("g").unwrap();
        let definition = Definition::new(task(), generation, "* * * * *");
        let registered = node.store.register(node.holder.id, &[definition]).await;
        registered.unwrap();
        node
    }

    async fn beat(&self, lease: Duration) {
        let mut beat = Beat::new(self.holder.clone(), lease);
        beat.capacity = 1;
        self.store.beat(&beat).await.unwrap();
    }

    /// Claims the latest tick.
    async fn claim(&self, tick: Timestamp) -> ClaimAnswer {
        let item = ClaimItem::new(task(), tick, 1, Generation::new("g").unwrap());
        let batch = ClaimBatch::new(self.holder.id, vec![item]);
        self.store.claim(&batch).await.unwrap().answers.remove(0)
    }
}

fn minute(now: Timestamp, back: i64) -> Timestamp {
    Timestamp::from_millis((now.as_millis().div_euclid(60_000) - back) * 60_000)
}

#[test]
fn s44_why_tells_of_each_tick_that_did_not_run_or_was_stopped() {
    let place = Place::new();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (cancelled, missed, open, gone) = runtime.block_on(async {
        let tenure = tenure::connect(&place.store()).await.unwrap();
        let store = tenure.runs();
        let winner = Node::join(store.clone(), "winner").await;
        let loser = Node::join(store.clone(), "loser").await;
        let now = store.now().await.unwrap().now;
        // Claimed against another node, and stopped because somebody asked for it.
        let cancelled = minute(now, 0);
        let ClaimAnswer::Won(claim) = winner.claim(cancelled).await else {
            panic!("nobody else was there yet");
        };
        assert!(matches!(
            loser.claim(cancelled).await,
            ClaimAnswer::Taken { .. }
        ));
        let mut finish = Finish::new(claim.run, Outcome::Cancelled);
        finish.reason = Some("stopped on request".to_owned());
        store.finish(&[finish]).await.unwrap();
        let missed = minute(now, 2);
        let key = RunKey::scheduled(task(), missed, 1);
        let pass = Pass::missed(key, "nobody ran it within its window of 5m");
        store.pass(&[pass]).await.unwrap();
        // Asked for, and nobody takes it.
        let request = RunKey::manual(task(), minute(now, 4), 1, RequestId::random());
        store
            .enqueue(&[Enqueue::new(request, "asked for by eve")])
            .await
            .unwrap();
        for node in [&winner, &loser] {
            store.leave(node.holder.id).await.unwrap();
        }
        (cancelled, missed, minute(now, 4), minute(now, 60))
    });
    let at = |tick: Timestamp| tick.to_string();
    tells(
        &place,
        "t",
        &at(cancelled),
        &[
            "#1: cancelled",
            "attempt 1 claimed by winner",
            "cancelled after ",
            ": stopped on request",
        ],
    );
    tells(
        &place,
        "t",
        &at(missed),
        &["#1: missed", "recorded as missed: nobody ran it within"],
    );
    tells(
        &place,
        "t",
        &at(open),
        &[
            "#1, asked for by hand: waiting",
            "asked for by eve",
            "waits: no node that can run the task is alive",
        ],
    );
    tells(
        &place,
        "t",
        &at(gone),
        &["#1: no record", "the store first heard of the task later"],
    );
    let later = cancelled + Duration::from_secs(600);
    tells(
        &place,
        "t",
        &at(later),
        &["#1: no record", "it is not due yet: in "],
    );
    // Between two ticks there is none.
    let between = missed + Duration::from_secs(30);
    let told = ok(place.run(["why", "t", &at(between)]));
    let next = missed + Duration::from_secs(60);
    for part in [
        format!("t, tick {missed}\n"),
        format!("no tick is at {between}: this is the last before it, and the next is {next}\n"),
    ] {
        assert!(told.contains(&part), "`{part}`: {told}");
    }
    // Paused, with who and why, for what waits and for what does not run.
    ok(place.run(["pause", "t", "--why", "the disk is full"]));
    tells(
        &place,
        "t",
        &at(open),
        &["waits: the task is paused by ", ": the disk is full"],
    );
}

#[test]
fn s44_a_run_whose_node_is_gone_is_not_told_as_running_alone() {
    let place = Place::new();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let tick = runtime.block_on(async {
        let tenure = tenure::connect(&place.store()).await.unwrap();
        let store = tenure.runs();
        let node = Node::join(store.clone(), "dies").await;
        let tick = minute(store.now().await.unwrap().now, 0);
        assert!(matches!(node.claim(tick).await, ClaimAnswer::Won(_)));
        // Its last words: a lease so short from the start might be over before the claim.
        node.beat(Duration::from_secs(1)).await;
        tick.to_string()
    });
    let ended = "its node's lease ended at ";
    let alone = "no node is alive, the next that starts will notice";
    let told = until("the lease to end", || {
        let told = ok(place.run(["why", "t", &tick]));
        told.contains(ended).then_some(told)
    });
    assert!(
        told.contains("#1: running") && told.contains(alone),
        "{told}"
    );
    let history = ok(place.run(["history", "t"]));
    assert!(history.contains(ended), "{history}");
    let json: Value = serde_json::from_str(&ok(place.run(["history", "t", "--json"]))).unwrap();
    assert!(
        json["node_gone"].as_str().unwrap().contains(alone),
        "{json}"
    );
    let picture = ok(place.run(["top", "--once"]));
    assert!(
        picture.contains(" 0 running, 1 whose node is gone;"),
        "{picture}"
    );
    assert!(
        picture
            .lines()
            .any(|line| line.contains("│t ") && line.contains(" gone ")),
        "{picture}"
    );
    // Another one is alive: it is what will notice.
    runtime.block_on(async {
        let tenure = tenure::connect(&place.store()).await.unwrap();
        Node::join(tenure.runs(), "lives").await;
    });
    let told = ok(place.run(["why", "t", &tick]));
    assert!(told.contains("a node that is alive will notice"), "{told}");
}

#[test]
fn s44_why_says_against_whom_a_run_was_claimed_and_who_paused_a_tick() {
    let place = Place::new();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (tick, far) = runtime.block_on(async {
        let tenure = tenure::connect(&place.store()).await.unwrap();
        let store = tenure.runs();
        let loser = Node::join(store.clone(), "loser").await;
        let winner = Node::join(store.clone(), "winner").await;
        let tick = minute(store.now().await.unwrap().now, 0);
        assert!(matches!(winner.claim(tick).await, ClaimAnswer::Won(_)));
        assert!(matches!(loser.claim(tick).await, ClaimAnswer::Taken { .. }));
        (tick, tick + Duration::from_secs(3600))
    });
    let told = ok(place.run(["why", "t", &tick.to_string()]));
    assert!(told.contains("#1: running"), "{told}");
    assert!(told.contains("; alive besides: loser"), "{told}");
    let json = ok(place.run(["why", "t", &tick.to_string(), "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["runs"][0]["alive_besides"].as_array().unwrap().len(),
        1
    );
    // A tick to come falls into a pause.
    ok(place.run(["pause", "t", "--why", "the disk is full"]));
    let paused = ok(place.run(["why", "t", &far.to_string()]));
    assert!(paused.contains("it is not due yet"), "{paused}");
    assert!(paused.contains("the disk is full"), "{paused}");
}
