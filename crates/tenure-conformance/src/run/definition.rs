//! Which tasks there are, and which of their definitions is in force.

use std::time::Duration;

use tenure_core::{ClaimAnswer, ClaimItem, HistoryQuery, Outcome, Pause, Refusal, Timestamp};

use super::actor::{Node, definition, generation, item, request, task};
use super::cases::Shared;

fn under(of: &str, tick: Timestamp, index: u32) -> ClaimItem {
    ClaimItem::new(task("t"), tick, index, generation(of))
}

async fn is_stale(node: &Node, of: &str, index: u32, current: &str) {
    let answer = node.try_claim(under(of, node.now().await, index)).await;
    let current = generation(current);
    assert_eq!(
        answer,
        ClaimAnswer::Refused(Refusal::StaleGeneration { current })
    );
}

pub(super) async fn s35_s53_claims_under_an_older_generation_are_refused(harness: &Shared) {
    let (old, new) = (
        Node::join(harness, "old").await,
        Node::join(harness, "new").await,
    );
    assert_eq!(old.register("t", "v1").await.current, generation("v1"));
    old.win(under("v1", old.now().await, 1)).await;
    assert_eq!(new.register("t", "v2").await.current, generation("v2"));
    is_stale(&old, "v1", 2, "v2").await;
    new.win(under("v2", new.now().await, 3)).await;
    let page = old.store.history(&HistoryQuery::all()).await.unwrap();
    assert_eq!(
        page.runs.len(),
        2,
        "a stale claim leaves no record: {page:?}"
    );
}

pub(super) async fn s53_the_older_generation_is_current_again_when_the_newer_is_gone(
    harness: &Shared,
) {
    let (old, new) = (
        Node::join(harness, "old").await,
        Node::join(harness, "new").await,
    );
    old.register("t", "v1").await;
    new.register("t", "v2").await;
    new.store.leave(new.holder.id).await.unwrap();
    old.win(under("v1", old.now().await, 1)).await;
    new.beat().await;
    new.register("t", "v2").await;
    is_stale(&old, "v1", 2, "v2").await;
    harness.lapse_node(new.holder.id).await;
    old.recover().await;
    old.win(under("v1", old.now().await, 2)).await;
}

pub(super) async fn s53_a_restart_of_the_old_definition_does_not_win(harness: &Shared) {
    let (old, new) = (
        Node::join(harness, "old").await,
        Node::join(harness, "new").await,
    );
    old.register("t", "v1").await;
    new.register("t", "v2").await;
    let restarted = Node::join(harness, "old again").await;
    assert_eq!(
        restarted.register("t", "v1").await.current,
        generation("v2")
    );
    is_stale(&restarted, "v1", 1, "v2").await;
}

pub(super) async fn s55_a_task_that_a_node_withdrew_is_none_of_its_own(harness: &Shared) {
    let old = Node::join_with(harness, "old", &["t", "u"]).await;
    let new = Node::join(harness, "new").await;
    new.register("t", "g2").await;
    let nodes = async |name: &str| {
        let tasks = old.store.tasks().await.unwrap();
        let found = tasks
            .into_iter()
            .find(|record| record.definition.task == task(name));
        let found = found.unwrap();
        (found.nodes, found.definition.generation)
    };
    assert_eq!(nodes("t").await, (2, generation("g2")));
    let running = new.win(under("g2", new.now().await, 1)).await;
    // Withdrawn twice, and with one that it never listed.
    for _ in 0..2 {
        let names = [task("t"), task("never")];
        new.store.withdraw(new.holder.id, &names).await.unwrap();
    }
    assert_eq!(nodes("t").await, (1, generation("g1")));
    old.enqueue(request("t", old.now().await, "r1")).await;
    assert_eq!(new.take(10).await, []);
    // What it has in hand goes on.
    new.finish(&running, Outcome::Succeeded).await;
    assert_eq!(old.take(10).await.len(), 1);
    old.store
        .withdraw(old.holder.id, &[task("u")])
        .await
        .unwrap();
    assert_eq!(nodes("u").await, (0, generation("g1")));
    assert_eq!(nodes("t").await.0, 1);
    // It may come back.
    new.register("t", "g2").await;
    assert_eq!(nodes("t").await, (2, generation("g2")));
    old.register("u", "g1").await;
    assert_eq!(nodes("u").await, (1, generation("g1")));
}

pub(super) async fn s56_a_node_takes_only_tasks_it_registered(harness: &Shared) {
    let stranger = Node::join_with(harness, "stranger", &["other"]).await;
    let outdated = Node::join(harness, "outdated").await;
    outdated.register("t", "g0").await;
    let able = Node::join_with(harness, "able", &["t"]).await;
    able.enqueue(request("t", able.now().await, "r1")).await;
    assert_eq!(stranger.take(10).await, []);
    assert_eq!(outdated.take(10).await, []);
    assert_eq!(able.take(10).await.len(), 1);
}

pub(super) async fn registering_answers_in_order_and_remembers_the_first_time(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let first = node.register("b", "g1").await;
    harness.pass_time(Duration::from_millis(100)).await;
    let tick = node.now().await;
    node.win(item("b", tick, 1)).await;
    let definitions = [
        definition("c", "g1"),
        definition("b", "g2"),
        definition("a", "g1"),
    ];
    let answers = node
        .store
        .register(node.holder.id, &definitions)
        .await
        .unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1].first_seen, first.first_seen);
    assert_eq!(answers[1].last_tick, Some(tick));
    assert_eq!(answers[1].current, generation("g2"));
    assert_eq!(answers[0].current, generation("g1"));
    assert!(answers[0].first_seen > first.first_seen);
    assert_eq!(answers[0].last_tick, None);
}

pub(super) async fn a_task_is_first_seen_when_it_is_first_registered(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let pause = Pause::new("ann", "not yet");
    node.store.pause(&task("paused"), &pause).await.unwrap();
    node.win(item("claimed", node.now().await, 1)).await;
    harness.pass_time(Duration::from_millis(100)).await;
    let before = node.now().await;
    for name in ["paused", "claimed"] {
        let registered = node.register(name, "g1").await;
        // Ticks before this are never caught up, so an earlier instant would run the past.
        assert!(registered.first_seen >= before, "{name}: {registered:?}");
        assert_eq!(
            node.register(name, "g2").await.first_seen,
            registered.first_seen
        );
    }
}

pub(super) async fn tasks_are_listed_with_their_current_definition(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    a.register("y", "g1").await;
    a.register("x", "g1").await;
    let mut changed = definition("x", "g2");
    changed.schedule = "@daily".into();
    changed.zone = "Europe/Berlin".into();
    changed.concurrency = 3;
    changed.details = "{\"é\": 1}".into();
    b.store
        .register(b.holder.id, std::slice::from_ref(&changed))
        .await
        .unwrap();
    let tasks = a.store.tasks().await.unwrap();
    let names: Vec<_> = tasks
        .iter()
        .map(|task| task.definition.task.as_str())
        .collect();
    assert_eq!(names, ["x", "y"]);
    assert_eq!(tasks[0].definition, changed);
    assert_eq!((tasks[0].nodes, tasks[1].nodes), (2, 1));
    b.store.leave(b.holder.id).await.unwrap();
    let tasks = a.store.tasks().await.unwrap();
    assert_eq!(tasks[0].definition.generation, generation("g1"));
    assert_eq!(tasks[0].nodes, 1);
}

pub(super) async fn a_task_that_nobody_registered_can_be_claimed(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    node.win(item("unknown", node.now().await, 1)).await;
}
