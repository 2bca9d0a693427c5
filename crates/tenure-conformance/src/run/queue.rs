//! Ticks that wait in the store until an earlier run of their task and index has ended.

use std::time::Duration;

use tenure_core::{ClaimAnswer, Outcome, Overlap, Pause, Refusal, RunKey, RunState, Timestamp};

use super::actor::{Node, is_won, item, task, with};
use super::cases::Shared;

const SECOND: Duration = Duration::from_secs(1);
const ALL: Overlap = Overlap::QueueAll { max: 2 };

/// Takes what may be taken; tells its ticks.
async fn taken(node: &Node) -> Vec<Timestamp> {
    let claims = node.take(10).await.into_iter();
    claims.map(|claim| claim.run.key.tick).collect()
}

async fn reason(node: &Node, key: &RunKey) -> String {
    node.record(key).await.reason.unwrap_or_default()
}

pub(super) async fn s39_with_queue_one_the_newest_tick_waits_and_the_older_is_recorded_as_replaced(
    harness: &Shared,
) {
    let a = Node::join_with(harness, "a", &["t"]).await;
    let b = Node::join_with(harness, "b", &["t"]).await;
    let now = a.now().await;
    let running = a.win(item("t", now - SECOND * 4, 1)).await;
    let ticks: Vec<_> = (1..=3_u32).map(|n| now - SECOND * (4 - n)).collect();
    for tick in &ticks {
        let because = b.queue(with(item("t", *tick, 1), Overlap::QueueOne)).await;
        let in_the_way =
            matches!(&because, Refusal::Overlap { blocker } if *blocker == running.run.key);
        assert!(in_the_way, "{because:?}");
    }
    let keys: Vec<_> = ticks.iter().map(|tick| item("t", *tick, 1).key()).collect();
    for (at, by) in [(0, 1), (1, 2)] {
        assert_eq!(a.state(&keys[at]).await, RunState::Skipped);
        let reason = reason(&a, &keys[at]).await;
        assert!(reason.contains(&keys[by].to_string()), "{reason}");
        assert!(a.record(&keys[at]).await.ended_at.is_some());
    }
    assert_eq!(a.state(&keys[2]).await, RunState::Waiting);
    let blocked_by = reason(&a, &keys[2]).await;
    assert!(
        blocked_by.contains(&running.run.key.to_string()),
        "{blocked_by}"
    );
    assert_eq!(taken(&b).await, [], "its like still runs");
    a.finish(&running, Outcome::Succeeded).await;
    let claims = b.take(10).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((&claims[0].run.key, claims[0].run.attempt), (&keys[2], 1));
    b.finish(&claims[0], Outcome::Succeeded).await;
    let record = b.record(&keys[2]).await;
    assert_eq!((record.state, record.reason), (RunState::Succeeded, None));
}

pub(super) async fn s39_with_queue_all_ticks_wait_in_order_up_to_the_bound(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let mut running = node.win(item("t", now - SECOND * 5, 1)).await;
    for back in [4, 3] {
        node.queue(with(item("t", now - SECOND * back, 1), ALL))
            .await;
    }
    let surplus = with(item("t", now - SECOND * 2, 1), ALL);
    let because = node.is_refused(surplus.clone()).await;
    assert_eq!(because, Refusal::QueueFull { max: 2 });
    assert_eq!(node.is_refused(surplus.clone()).await, because, "a resend");
    assert_eq!(node.state(&surplus.key()).await, RunState::Skipped);
    let why = reason(&node, &surplus.key()).await;
    assert!(why.contains("queue_full"), "{why}");
    for back in [4, 3] {
        assert_eq!(node.take(10).await, [], "its like still runs");
        node.finish(&running, Outcome::Failed).await;
        running = node.take(10).await.remove(0);
        assert_eq!(running.run.key.tick, now - SECOND * back);
    }
    // There is room in the line again.
    node.queue(with(item("t", now - SECOND, 1), ALL)).await;
}

pub(super) async fn s39_a_queued_tick_is_released_when_its_blocker_is_lost(harness: &Shared) {
    let dead = Node::join(harness, "dead").await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let now = other.now().await;
    dead.win(item("t", now - SECOND, 1)).await;
    other
        .queue(with(item("t", now, 1), Overlap::QueueOne))
        .await;
    harness.lapse_node(dead.holder.id).await;
    assert_eq!(taken(&other).await, [], "nobody has given the run up yet");
    assert_eq!(other.recover().await.runs.len(), 1);
    assert_eq!(taken(&other).await, [now]);
}

pub(super) async fn s39_a_queued_tick_outlives_the_node_that_claimed_it(harness: &Shared) {
    let (a, b) = (
        Node::join_with(harness, "a", &["t"]).await,
        Node::join_with(harness, "b", &["t"]).await,
    );
    let now = a.now().await;
    let running = a.win(item("t", now - SECOND, 1)).await;
    b.queue(with(item("t", now, 1), Overlap::QueueOne)).await;
    b.store.leave(b.holder.id).await.unwrap();
    harness.sever().await;
    let c = Node::join_with(harness, "c", &["t"]).await;
    assert_eq!(c.recover().await.runs, [], "nobody had it in hand");
    a.finish(&running, Outcome::Succeeded).await;
    a.store.leave(a.holder.id).await.unwrap();
    assert_eq!(taken(&c).await, [now]);
}

pub(super) async fn s39_each_index_has_a_line_of_its_own(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t", "u"]).await;
    let now = node.now().await;
    let first = node.win(item("t", now - SECOND * 2, 1)).await;
    let second = node.win(item("t", now - SECOND * 2, 2)).await;
    for (index, back) in [(1, 1), (2, 1), (2, 0)] {
        let item = item("t", now - SECOND * back, index);
        node.queue(with(item, Overlap::QueueOne)).await;
    }
    assert!(is_won(
        &node
            .try_claim(with(item("u", now, 1), Overlap::QueueOne))
            .await
    ));
    node.finish(&second, Outcome::Succeeded).await;
    assert_eq!(taken(&node).await, [now]);
    node.finish(&first, Outcome::Succeeded).await;
    assert_eq!(taken(&node).await, [now - SECOND]);
}

pub(super) async fn s39_of_one_batch_later_ticks_queue_behind_the_first(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t", "u"]).await;
    let now = node.now().await;
    // The later ones first: the store decides in the order of the ticks.
    let items = |rule| {
        let of = move |name: &str, back: u32| with(item(name, now - SECOND * back, 1), rule);
        vec![of("t", 0), of("t", 1), of("t", 2), of("t", 3)]
    };
    let states = |answers: Vec<ClaimAnswer>| -> Vec<&'static str> {
        let word = |answer: &ClaimAnswer| match answer {
            ClaimAnswer::Won(_) => "won",
            ClaimAnswer::Waits(_) => "waits",
            ClaimAnswer::Refused(_) => "refused",
            _ => "taken",
        };
        answers.iter().map(word).collect()
    };
    let answers = node.claim(items(ALL)).await;
    assert_eq!(states(answers), ["refused", "waits", "waits", "won"]);
    let mut others = items(Overlap::QueueOne);
    for other in &mut others {
        other.task = task("u");
    }
    let keys: Vec<_> = others.iter().map(tenure_core::ClaimItem::key).collect();
    let answers = node.claim(others).await;
    assert_eq!(states(answers), ["waits", "waits", "waits", "won"]);
    let mut kept = Vec::new();
    for key in &keys {
        kept.push(node.state(key).await);
    }
    let expected = [
        RunState::Waiting,
        RunState::Skipped,
        RunState::Skipped,
        RunState::Running,
    ];
    assert_eq!(kept, expected);
}

pub(super) async fn s39_a_tick_that_comes_when_another_waits_stands_behind_it(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let running = node.win(item("t", now - SECOND * 2, 1)).await;
    node.queue(with(item("t", now - SECOND, 1), ALL)).await;
    node.finish(&running, Outcome::Succeeded).await;
    node.queue(with(item("t", now, 1), ALL)).await;
    let next = node.take(1).await.remove(0);
    assert_eq!(next.run.key.tick, now - SECOND);
    assert_eq!(taken(&node).await, []);
    node.finish(&next, Outcome::Succeeded).await;
    assert_eq!(taken(&node).await, [now]);
}

pub(super) async fn s30_a_claim_that_waits_is_answered_so_again(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let running = node.win(item("t", now - SECOND, 1)).await;
    let next = with(item("t", now, 1), Overlap::QueueOne);
    let first = node.queue(next.clone()).await;
    assert_eq!(node.queue(next.clone()).await, first);
    let other = with(item("t", now, 1), Overlap::QueueOne);
    let answer = node.try_claim(other).await;
    let waits = RunState::Waiting;
    assert!(
        matches!(&answer, ClaimAnswer::Taken { by: None, state, .. } if *state == waits),
        "another claim of it: {answer:?}"
    );
    node.finish(&running, Outcome::Succeeded).await;
    assert_eq!(taken(&node).await, [now]);
    let late = node.try_claim(next).await;
    assert!(matches!(late, ClaimAnswer::Taken { .. }), "{late:?}");
}

pub(super) async fn s59_a_queued_tick_of_a_paused_task_goes_on_waiting(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let running = node.win(item("t", now - SECOND, 1)).await;
    node.queue(with(item("t", now, 1), Overlap::QueueOne)).await;
    let pause = Pause::new("ann", "");
    node.store.pause(&task("t"), &pause).await.unwrap();
    node.finish(&running, Outcome::Succeeded).await;
    assert_eq!(taken(&node).await, []);
    node.store.resume(&task("t"), "ann", "").await.unwrap();
    assert_eq!(taken(&node).await, [now]);
}

pub(super) async fn a_record_that_waits_is_kept_as_long_as_one_that_ran(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    node.win(item("t", now - SECOND, 1)).await;
    let queued = with(item("t", now, 1), Overlap::QueueOne);
    node.queue(queued.clone()).await;
    node.queue(with(
        item("t", now + Duration::from_millis(1), 1),
        Overlap::QueueOne,
    ))
    .await;
    let keeps = harness.raw_keeps_for(&queued.key()).await;
    let keeps = keeps.unwrap_or_default() + SECOND * 60;
    assert!(keeps >= queued.keep_for(), "{keeps:?}");
}
