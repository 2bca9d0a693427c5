//! The window of the store's clock, and the records that outlive it.

use std::time::Duration;

use tenure_core::{ClaimAnswer, ClaimBatch, Outcome, Refusal};

use super::actor::{Node, beside, is_won, item};
use super::cases::Shared;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn s21_a_tick_ahead_of_the_stores_clock_is_refused_and_blocks_nobody(
    harness: &Shared,
) {
    let fast = Node::join(harness, "fast").await;
    let right = Node::join(harness, "right").await;
    let tick = fast.now().await + MINUTE * 10;
    match fast.try_claim(item("t", tick, 1)).await {
        ClaimAnswer::Refused(Refusal::TooEarly { by }) => {
            assert!(by > MINUTE * 9 && by < MINUTE * 10, "early by {by:?}");
        }
        other => panic!("expected to be too early, was answered {other:?}"),
    }
    let key = item("t", tick, 1).key();
    assert_eq!(harness.raw_run(&key).await, None);
    let now = right.now().await;
    right.win(item("t", now, 1)).await;
}

pub(super) async fn s21_no_claim_is_early_by_more_than_the_bound(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await + MINUTE;
    let mut batch = ClaimBatch::new(node.holder.id, vec![item("t", tick, 1)]);
    batch.early = Duration::from_secs(3600);
    let answer = node.store.claim(&batch).await.unwrap().answers.remove(0);
    assert!(
        matches!(answer, ClaimAnswer::Refused(Refusal::TooEarly { .. })),
        "{answer:?}"
    );
}

pub(super) async fn s22_a_late_node_finds_its_ticks_taken(harness: &Shared) {
    let (quick, slow) = (
        Node::join(harness, "quick").await,
        Node::join(harness, "slow").await,
    );
    let tick = quick.now().await;
    let claim = quick.win(item("t", tick, 1)).await;
    harness.pass_time(Duration::from_secs(1)).await;
    quick.finish(&claim, Outcome::Succeeded).await;
    let answer = slow.try_claim(item("t", tick, 1)).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
}

pub(super) async fn s32_a_tick_behind_the_window_is_refused_and_leaves_no_record(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let mut late = item("t", node.now().await - Duration::from_secs(63), 1);
    late.window = MINUTE;
    let key = late.key();
    let answer = node.try_claim(late).await;
    assert!(
        matches!(answer, ClaimAnswer::Refused(Refusal::TooLate { .. })),
        "{answer:?}"
    );
    assert_eq!(harness.raw_run(&key).await, None);
}

pub(super) async fn s32_a_tick_inside_the_window_is_won(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    for (late_s, window_s) in [(0, 0), (1, 0), (59, 60), (86_000, 86_400)] {
        let name = format!("late by {late_s} s");
        let tick = node.now().await - Duration::from_secs(late_s);
        let mut late = item(&name, tick, 1);
        late.window = Duration::from_secs(window_s);
        node.win(late).await;
    }
    let soon = node.now().await + Duration::from_millis(200);
    node.win(item("early", soon, 1)).await;
}

/// How far around an edge of the window ticks are tried, in milliseconds.
const AROUND_MS: u64 = 40;

pub(super) async fn s32_at_the_edges_each_answer_fits_the_instant_the_store_names(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    for (edge, window) in [("late", MINUTE), ("early", Duration::ZERO)] {
        let now = node.now().await;
        let mut batch = ClaimBatch::new(node.holder.id, Vec::new());
        let at = match edge {
            "late" => now - window - ClaimBatch::SLACK,
            _ => now + batch.early,
        };
        batch.items = (0..=2 * AROUND_MS)
            .map(|ms| {
                let tick = at - Duration::from_millis(AROUND_MS) + Duration::from_millis(ms);
                let mut item = beside(item(edge, tick, 1));
                item.window = window;
                item
            })
            .collect();
        let reply = node.store.claim(&batch).await.unwrap();
        for (item, answer) in batch.items.iter().zip(&reply.answers) {
            // The reply tells by which instant it was decided, so this holds however slow it was.
            match batch.window_is_open(item, reply.now) {
                Ok(()) => assert!(is_won(answer), "{edge}: {}: {answer:?}", item.key()),
                Err(refusal) => assert_eq!(*answer, ClaimAnswer::Refused(refusal), "{edge}"),
            }
        }
    }
}

pub(super) async fn s32_a_record_outlives_every_moment_at_which_its_tick_could_be_claimed(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    for window in [Duration::ZERO, MINUTE * 5, MINUTE * 60 * 24] {
        let mut claimed = item(&format!("{window:?}"), node.now().await, 1);
        claimed.window = window;
        let (key, promised) = (claimed.key(), claimed.keep_for());
        let claim = node.win(claimed).await;
        node.finish(&claim, Outcome::Succeeded).await;
        let kept = harness.raw_keeps_for(&key).await.expect("a record");
        assert!(
            kept + MINUTE >= promised,
            "{key}: kept for {kept:?} of {promised:?}"
        );
    }
}

pub(super) async fn s23_s27_no_step_of_the_clock_lets_a_tick_be_claimed_twice(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let claim = node.win(item("t", tick, 1)).await;
    node.finish(&claim, Outcome::Succeeded).await;
    for step_ms in [-3_600_000, 7_200_000, -3_600_000, 30_000, -30_000] {
        harness.step_wall(step_ms).await;
        node.beat().await;
        let answer = node.try_claim(item("t", tick, 1)).await;
        assert!(!is_won(&answer), "after a step of {step_ms} ms: {answer:?}");
    }
}

pub(super) async fn s27_after_a_step_new_ticks_are_claimed_at_once(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let claim = node.win(item("t", now, 1)).await;
    node.finish(&claim, Outcome::Succeeded).await;
    for step_ms in [30_000, -60_000] {
        harness.step_wall(step_ms).await;
        node.beat().await;
        let tick = node.now().await;
        let claim = node.win(item("t", tick, 1)).await;
        node.finish(&claim, Outcome::Succeeded).await;
    }
}
