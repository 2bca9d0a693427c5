//! Runs that would stand beside an earlier one of the same task and index.

use std::time::Duration;

use tenure_core::{ClaimAnswer, Outcome, Refusal, RunState};

use super::actor::{Node, beside, is_won, item, request};
use super::cases::Shared;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn s38_a_tick_is_skipped_and_recorded_while_an_earlier_one_runs(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    let running = a.win(item("t", now - SECOND, 1)).await;
    let next = item("t", now, 1);
    match b.try_claim(next.clone()).await {
        ClaimAnswer::Refused(Refusal::Overlap { blocker }) => assert_eq!(blocker, running.run.key),
        other => panic!("expected an overlap, was answered {other:?}"),
    }
    let record = b.record(&next.key()).await;
    assert_eq!(record.state, RunState::Skipped);
    let reason = record.reason.unwrap_or_default();
    assert!(reason.contains(&running.run.key.to_string()), "{reason}");
    let again = b.try_claim(next).await;
    assert!(
        matches!(again, ClaimAnswer::Refused(Refusal::Overlap { .. })),
        "a resend gets the first answer, got {again:?}"
    );
}

pub(super) async fn s38_each_index_overlaps_with_itself_only(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    node.win(item("t", now - SECOND, 1)).await;
    let answers = node
        .claim(vec![
            item("t", now, 1),
            item("t", now, 2),
            item("u", now, 1),
        ])
        .await;
    assert_eq!(
        answers.iter().map(is_won).collect::<Vec<_>>(),
        [false, true, true]
    );
}

pub(super) async fn s38_after_the_blocker_ended_the_next_tick_is_won(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    for back in (0..5).rev() {
        let claim = node.win(item("t", now - SECOND * back, 1)).await;
        node.finish(&claim, Outcome::Failed).await;
    }
}

pub(super) async fn s38_with_overlap_allowed_both_run(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    node.win(beside(item("t", now - SECOND, 1))).await;
    node.win(beside(item("t", now, 1))).await;
}

pub(super) async fn s38_a_skipped_tick_is_not_won_later(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let running = node.win(item("t", now - SECOND, 1)).await;
    node.try_claim(item("t", now, 1)).await;
    node.finish(&running, Outcome::Succeeded).await;
    let answer = node.try_claim(item("t", now, 1)).await;
    assert!(
        matches!(
            answer,
            ClaimAnswer::Taken {
                state: RunState::Skipped,
                ..
            }
        ),
        "{answer:?}"
    );
}

pub(super) async fn s38_of_one_batch_the_earlier_tick_wins(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    // As after an absence: several ticks of one slot at once, in whatever order.
    let ticks = [now - SECOND, now - SECOND * 3, now, now - SECOND * 2];
    let items = ticks.iter().map(|tick| item("t", *tick, 1)).collect();
    let answers = node.claim(items).await;
    let blocker = item("t", now - SECOND * 3, 1).key();
    for (tick, answer) in ticks.iter().zip(&answers) {
        if *tick == blocker.tick {
            assert!(is_won(answer), "{answer:?}");
        } else {
            let blocker = blocker.clone();
            assert_eq!(*answer, ClaimAnswer::Refused(Refusal::Overlap { blocker }));
        }
    }
}

pub(super) async fn s38_a_run_that_has_not_begun_stands_in_the_way_too(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let claimed = node.win_for_later(item("t", now - SECOND, 1)).await;
    let answer = node.try_claim(item("t", now, 1)).await;
    let blocker = claimed.run.key;
    assert_eq!(answer, ClaimAnswer::Refused(Refusal::Overlap { blocker }));
}

pub(super) async fn s38_a_retry_waits_while_a_later_tick_runs(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let earlier = node.win(item("t", now - SECOND, 1)).await;
    node.fail_and_retry(&earlier, Duration::ZERO).await;
    let later = node.win(item("t", now, 1)).await;
    assert_eq!(node.take(10).await, [], "the slot is busy");
    assert_eq!(node.state(&earlier.run.key).await, RunState::Waiting);
    node.finish(&later, Outcome::Succeeded).await;
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].run.key, earlier.run.key);
}

pub(super) async fn s60_a_requested_run_does_not_cost_a_tick(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    node.enqueue(request("t", now, "r1")).await;
    assert_eq!(node.take(10).await.len(), 1);
    node.win(item("t", now, 1)).await;
}
