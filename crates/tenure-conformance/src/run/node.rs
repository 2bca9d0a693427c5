//! Nodes: who is alive, who has lapsed, who has left.

use std::time::Duration;

use tenure_core::{Abilities, Ability, Beat, ClaimAnswer, Generation, Refusal, TaskName};

use super::actor::{LONG, Node, item};
use super::cases::Shared;

async fn is_refused_as_lapsed(node: &Node) {
    let answer = node.try_claim(item("t", node.now().await, 1)).await;
    assert_eq!(answer, ClaimAnswer::Refused(Refusal::NodeLapsed));
    assert_eq!(node.take(10).await, []);
}

pub(super) async fn a_node_that_never_beat_wins_nothing(harness: &Shared) {
    let node = Node::silent(harness, "silent").await;
    is_refused_as_lapsed(&node).await;
    let answer = node
        .store
        .register(node.holder.id, &[super::actor::definition("t", "g1")])
        .await;
    assert!(answer.is_err(), "{answer:?}");
}

pub(super) async fn a_lapsed_node_wins_nothing_until_it_beats_again(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    harness.lapse_node(node.holder.id).await;
    is_refused_as_lapsed(&node).await;
    node.beat().await;
    node.win(item("t", node.now().await, 1)).await;
}

pub(super) async fn s41_a_node_that_left_is_not_alive(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    a.store.leave(a.holder.id).await.unwrap();
    let alive: Vec<_> = b
        .beat()
        .await
        .alive
        .into_iter()
        .map(|node| node.node)
        .collect();
    assert_eq!(alive, std::slice::from_ref(&b.holder));
    let notes = b.notes("node_left").await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].node, Some(a.holder.id));
    let found = b.recover().await;
    assert_eq!(
        (found.nodes, found.runs),
        (vec![], vec![]),
        "leaving is not dying"
    );
    a.store.leave(a.holder.id).await.unwrap();
}

pub(super) async fn s21_a_beat_carries_what_a_node_says_of_itself(harness: &Shared) {
    let node = Node::silent(harness, "fast").await;
    let mut beat = Beat::new(node.holder.clone(), LONG);
    beat.clock_ahead_ms = Some(600_000);
    beat.capacity = 7;
    beat.version = "1.2.3-é".into();
    let can = |name: &str| {
        let task = TaskName::new(name).unwrap();
        Ability::of(&task, &Generation::new("g").unwrap())
    };
    beat.abilities = Abilities::of((0..600).map(|n| can(&format!("t{n}"))));
    node.store.beat(&beat).await.unwrap();
    let other = Node::join(harness, "other").await;
    for nodes in [other.store.nodes().await.unwrap(), other.beat().await.alive] {
        let record = nodes.iter().find(|found| found.node == node.holder);
        let record = record.expect("the node that beat");
        assert_eq!(record.clock_ahead_ms, Some(600_000));
        assert_eq!((record.capacity, record.version.as_str()), (7, "1.2.3-é"));
        assert_eq!(record.abilities, beat.abilities);
    }
    beat.clock_ahead_ms = Some(-5);
    beat.abilities = Abilities::of([can("t")]);
    let told = node.store.beat(&beat).await.unwrap().alive.remove(0);
    assert_eq!(told.clock_ahead_ms, Some(-5), "the last beat counts");
    assert_eq!(told.abilities, beat.abilities, "the last beat counts");
}

pub(super) async fn a_node_that_was_given_up_comes_back_whole(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join(harness, "other").await;
    let joined_at = node.beat().await.alive[0].joined_at;
    harness.pass_time(Duration::from_millis(50)).await;
    harness.lapse_node(node.holder.id).await;
    other.recover().await;
    // A registration under way when the lease ended is no error: the next beat tells of the lapse.
    node.register("t", "g1").await;
    assert_eq!(node.take(10).await, []);
    assert!(node.beat().await.had_lapsed);
    let back = node.beat().await.alive.remove(0);
    assert_eq!(
        (back.node, back.joined_at),
        (node.holder.clone(), joined_at)
    );
    node.register("t", "g1").await;
    node.enqueue(super::actor::request("t", node.now().await, "r1"))
        .await;
    assert_eq!(node.take(10).await.len(), 1);
    node.store.leave(node.holder.id).await.unwrap();
    node.store.leave(node.holder.id).await.unwrap();
    assert_eq!(other.notes("node_lost").await.len(), 1);
    assert_eq!(other.notes("node_left").await.len(), 1);
}

pub(super) async fn beats_show_who_is_alive_in_the_order_of_joining(harness: &Shared) {
    let (a, b, c) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
        Node::join(harness, "c").await,
    );
    let labels = |beaten: tenure_core::Beaten| {
        beaten
            .alive
            .into_iter()
            .map(|node| node.node.label)
            .collect::<Vec<_>>()
    };
    a.beat().await;
    assert_eq!(labels(a.beat().await), ["a", "b", "c"]);
    harness.lapse_node(b.holder.id).await;
    let beaten = c.beat().await;
    let record = beaten.alive[0].clone();
    assert_eq!(labels(beaten), ["a", "c"]);
    assert_eq!(record.node, a.holder);
    assert!(record.joined_at <= record.seen_at && record.seen_at < record.expires_at);
    let nodes = c.store.nodes().await.unwrap();
    assert!(nodes.iter().any(|node| node.node == a.holder), "{nodes:?}");
    assert!(nodes.iter().any(|node| node.node == c.holder), "{nodes:?}");
}

pub(super) async fn a_beat_tells_whether_the_lease_had_ended(harness: &Shared) {
    let node = Node::silent(harness, "node").await;
    let other = Node::join(harness, "other").await;
    assert!(!node.beat().await.had_lapsed, "a first beat");
    assert!(!node.beat().await.had_lapsed, "a second beat");
    harness.lapse_node(node.holder.id).await;
    assert!(node.beat().await.had_lapsed, "after a lapse");
    assert!(
        !node.beat().await.had_lapsed,
        "after the beat that told of it"
    );
    harness.lapse_node(node.holder.id).await;
    other.recover().await;
    assert!(node.beat().await.had_lapsed, "after a recovery");
}
