//! Claims that the store acknowledged and forgot, and how nodes put them back. To a store, a run
//! that it forgot and one that it never heard of are the same, so no case needs to lose anything.

use std::time::Duration;

use tenure_core::{
    Claim, ClaimAnswer, ClaimBatch, ClaimReply, Definition, Fence, Finished, Generation, Holder,
    MaxRunning, OnCrash, Outcome, Overlap, Refusal, Remembered, Restore, Restored, RunState, Seen,
    StoreErrorKind, Timestamp, Token,
};

use super::actor::{Node, definition, item, request};
use super::cases::Shared;

async fn claim(node: &Node, seen: Seen, tick: Timestamp, index: u32) -> ClaimReply {
    let items = vec![item("t", tick, index)];
    let mut batch = ClaimBatch::new(node.holder.id, items);
    batch.seen = seen;
    node.store.claim(&batch).await.unwrap()
}

fn seen(sequence: u64, own: u64, losses: u64) -> Seen {
    let mut seen = Seen::default();
    (seen.sequence, seen.own, seen.losses) = (sequence, own, losses);
    seen
}

async fn restore(node: &Node, noticed: Option<u64>, runs: Vec<Remembered>) -> Restored {
    let mut restore = Restore::new(node.holder.id, runs);
    restore.noticed = noticed;
    restore.patience = Duration::ZERO;
    let asked = restore.runs.len();
    let restored = node.store.restore(&restore).await.unwrap();
    assert_eq!(restored.put_back.len(), asked, "one answer a run");
    restored
}

/// A run that `node` won, as it remembers it.
fn own(node: &Node, tick: Timestamp, state: RunState) -> Remembered {
    let key = item("t", tick, 1).key();
    let mut run = Remembered::new(key, state, 1, tick);
    run.node = Some(node.holder.clone());
    run.token = Some(Token::random());
    run.fence = Some(Fence::new(7));
    run.generation = Some(Generation::new("g1").unwrap());
    run
}

/// The same as another node saw it.
fn hearsay(run: &Remembered) -> Remembered {
    let mut seen = run.clone();
    (seen.token, seen.fence) = (None, None);
    seen
}

fn claim_of(run: &Remembered) -> Claim {
    let attempt = tenure_core::RunRef::new(run.key.clone(), run.attempt, run.token.unwrap());
    Claim::new(attempt, run.fence.unwrap(), run.claimed_at, run.on_crash)
}

pub(super) async fn s50_a_nodes_last_claim_or_registration_is_told_with_its_beats(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    let other = Node::join(harness, "other").await;
    let beaten = node.beat().await;
    assert!(
        beaten.own > 0 && beaten.own < beaten.moment.sequence,
        "{beaten:?}"
    );
    let last = beaten.moment.sequence;
    assert_eq!(node.beat().await.own, last);
    let registered = node.register("t", "g1").await.sequence;
    assert_eq!(node.beat().await.own, registered);
    let first = claim(&node, Seen::default(), node.now().await, 1).await;
    assert_eq!(first.sequence, registered + 2);
    let second = claim(&other, Seen::default(), node.now().await, 2).await;
    let beaten = node.beat().await;
    assert_eq!(beaten.own, first.sequence);
    assert_eq!(beaten.moment.sequence, second.sequence + 1);
    let definitions: [Definition; 2] = [definition("t", "g1"), definition("u", "g1")];
    let all = node.store.register(node.holder.id, &definitions).await;
    let all: Vec<u64> = all.unwrap().iter().map(|one| one.sequence).collect();
    assert_eq!(all, [second.sequence + 2; 2]);
}

pub(super) async fn s50_a_node_that_remembers_more_than_the_store_wins_nothing(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let other = Node::join(harness, "other").await;
    let tick = node.now().await;
    let first = claim(&node, Seen::default(), tick, 1).await.sequence;
    let second = claim(&other, Seen::default(), tick, 2).await.sequence;
    // The last is a claim that was forgotten and whose place in the sequence another took.
    for forgot in [
        seen(second + 10, first, 0),
        seen(second, first, 1),
        seen(second, second, 0),
    ] {
        let reply = claim(&node, forgot, tick, 3).await;
        let refused = ClaimAnswer::Refused(Refusal::StoreForgot);
        assert_eq!(reply.answers, [refused], "{forgot:?}");
    }
    assert_eq!(
        node.store.run(&item("t", tick, 3).key()).await.unwrap(),
        None
    );
    let last = node.beat().await;
    let now = seen(
        last.moment.sequence,
        last.moment.sequence,
        last.moment.losses,
    );
    let reply = claim(&node, now, tick, 3).await;
    assert!(
        matches!(reply.answers[..], [ClaimAnswer::Won(_)]),
        "{reply:?}"
    );
}

pub(super) async fn s50_a_loss_is_counted_once_and_one_node_is_told_to_tell(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    for loss in 0..3 {
        let (first, second) = if loss == 1 { (&b, &a) } else { (&a, &b) };
        let told = restore(first, Some(loss), Vec::new()).await;
        assert_eq!((told.is_first, told.moment.losses), (true, loss + 1));
        let late = restore(second, Some(loss), Vec::new()).await;
        assert_eq!((late.is_first, late.moment.losses), (false, loss + 1));
        let again = restore(first, Some(loss), Vec::new()).await;
        assert_eq!((again.is_first, again.moment.losses), (true, loss + 1));
        let followed = restore(second, None, Vec::new()).await;
        assert_eq!(
            (followed.is_first, followed.moment.losses),
            (false, loss + 1)
        );
        assert_eq!(b.beat().await.moment.losses, loss + 1);
        assert_eq!(a.store.now().await.unwrap().losses, loss + 1);
    }
    // A loss that took the count of losses with it.
    let told = restore(&b, Some(9), Vec::new()).await;
    assert_eq!((told.is_first, told.moment.losses), (true, 10));
}

pub(super) async fn s50_a_run_that_began_is_not_left_as_one_that_never_did(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    // Its start was forgotten, its claim was not.
    let claimed = own(&node, node.now().await, RunState::Claimed);
    assert_eq!(
        restore(&node, Some(0), vec![claimed.clone()])
            .await
            .put_back,
        [true]
    );
    assert_eq!(node.state(&claimed.key).await, RunState::Claimed);
    let mut running = claimed.clone();
    running.state = RunState::Running;
    assert_eq!(
        restore(&node, None, vec![running.clone()]).await.put_back,
        [true]
    );
    assert_eq!(node.state(&claimed.key).await, RunState::Running);
    // What came before does not undo it, and nor does what another attempt was.
    let mut other = running;
    other.token = Some(Token::random());
    let again = restore(&node, None, vec![claimed.clone(), other]).await;
    assert_eq!(again.put_back, [false, false]);
    assert_eq!(node.state(&claimed.key).await, RunState::Running);
    let ended = node.finish(&claim_of(&claimed), Outcome::Succeeded).await;
    assert_eq!(ended, Finished::Recorded);
}

pub(super) async fn s50_a_forgotten_claim_is_put_back_and_ends_as_its_own(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let tick = a.now().await;
    let run = own(&a, tick, RunState::Running);
    assert_eq!(restore(&a, None, vec![run.clone()]).await.put_back, [true]);
    let record = a.record(&run.key).await;
    assert_eq!((record.state, record.attempt), (RunState::Running, 1));
    assert_eq!((record.fence, record.node), (run.fence, run.node.clone()));
    assert_eq!(record.generation, run.generation);
    let kept = harness.raw_keeps_for(&run.key).await;
    assert!(
        kept.is_some_and(|kept| kept + Duration::from_secs(60) > run.keep_for),
        "{kept:?}"
    );
    let answer = b.try_claim(item("t", tick, 1)).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    // It is in hand again, so that others of its kind wait for it.
    let answer = b
        .try_claim(item("t", tick + Duration::from_millis(1), 1))
        .await;
    let is_overlap = matches!(answer, ClaimAnswer::Refused(Refusal::Overlap { .. }));
    assert!(is_overlap, "{answer:?}");
    assert_eq!(
        a.finish(&claim_of(&run), Outcome::Succeeded).await,
        Finished::Recorded
    );
    assert_eq!(a.record(&run.key).await.state, RunState::Succeeded);
    let later = b.win(item("t", tick + Duration::from_millis(2), 1)).await;
    assert!(Some(later.fence) > run.fence);
}

pub(super) async fn s50_putting_back_again_changes_nothing(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let run = own(&node, node.now().await, RunState::Running);
    let both = vec![run.clone(), hearsay(&run)];
    assert_eq!(
        restore(&node, None, both.clone()).await.put_back,
        [true, false]
    );
    let record = node.record(&run.key).await;
    assert_eq!(restore(&node, None, both).await.put_back, [false, false]);
    assert_eq!(node.record(&run.key).await, record);
}

pub(super) async fn s50_a_record_that_is_there_stays(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let tick = a.now().await;
    let claim = a.win(item("t", tick, 1)).await;
    let told = [
        own(&b, tick, RunState::Running),
        own(&b, tick, RunState::Succeeded),
        hearsay(&own(&b, tick, RunState::Lost)),
    ];
    for run in told {
        assert_eq!(restore(&b, None, vec![run]).await.put_back, [false]);
    }
    assert_eq!(a.finish(&claim, Outcome::Failed).await, Finished::Recorded);
    let mut stale = own(&a, tick, RunState::Running);
    stale.token = Some(claim.run.token);
    assert_eq!(restore(&a, None, vec![stale]).await.put_back, [false]);
    assert_eq!(a.record(&claim.run.key).await.state, RunState::Failed);
}

pub(super) async fn s50_hearsay_gives_way_to_the_word_of_the_winner(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let run = own(&a, a.now().await, RunState::Running);
    assert_eq!(
        restore(&b, None, vec![hearsay(&run)]).await.put_back,
        [true]
    );
    let record = b.record(&run.key).await;
    assert_eq!((record.state, record.fence), (RunState::Running, None));
    assert_eq!(record.node, run.node);
    assert_eq!(restore(&a, None, vec![run.clone()]).await.put_back, [true]);
    assert_eq!(
        a.finish(&claim_of(&run), Outcome::Succeeded).await,
        Finished::Recorded
    );
    // Nothing of it is left in hand.
    b.win(item("t", run.key.tick + Duration::from_millis(1), 1))
        .await;
}

pub(super) async fn s50_an_end_that_was_forgotten_is_put_back(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let claim = node.win(item("t", tick, 1)).await;
    let mut ended = own(&node, tick, RunState::Succeeded);
    ended.token = Some(claim.run.token);
    ended.fence = Some(claim.fence);
    assert_eq!(restore(&node, None, vec![ended]).await.put_back, [true]);
    let record = node.record(&claim.run.key).await;
    assert_eq!(record.state, RunState::Succeeded);
    assert!(record.ended_at.is_some());
    node.win(item("t", tick + Duration::from_millis(1), 1))
        .await;
}

pub(super) async fn s50_a_later_attempt_replaces_an_earlier_one(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    let order = request("t", tick, "r1");
    node.enqueue(order.clone()).await;
    let mut run = own(&node, tick, RunState::Running);
    (run.key, run.attempt) = (order.key, 2);
    assert_eq!(
        restore(&node, None, vec![run.clone()]).await.put_back,
        [true]
    );
    assert_eq!(node.record(&run.key).await.attempt, 2);
    assert_eq!(node.take(10).await, []);
    assert_eq!(
        node.finish(&claim_of(&run), Outcome::Succeeded).await,
        Finished::Recorded
    );
}

pub(super) async fn s50_what_a_node_had_that_the_store_does_not_know_is_lost_or_waits(
    harness: &Shared,
) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    for (index, on_crash, expected) in [
        (1, OnCrash::Lose, RunState::Lost),
        (2, OnCrash::Retry { max_attempts: 2 }, RunState::Waiting),
        (3, OnCrash::Retry { max_attempts: 1 }, RunState::Lost),
    ] {
        let mut run = hearsay(&own(&node, tick, RunState::Running));
        run.key.index = index;
        run.node = Some(Holder::new("a node that is gone"));
        run.on_crash = on_crash;
        assert_eq!(
            restore(&node, None, vec![run.clone()]).await.put_back,
            [true]
        );
        assert_eq!(node.record(&run.key).await.state, expected);
    }
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].run.key.index, taken[0].run.attempt), (2, 2));
}

pub(super) async fn s50_a_run_put_back_is_recovered_when_its_node_dies(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let run = own(&a, a.now().await, RunState::Running);
    restore(&a, None, vec![run.clone()]).await;
    harness.lapse_node(a.holder.id).await;
    let recovered = b.recover().await;
    let keys: Vec<_> = recovered.runs.iter().map(|lost| &lost.record.key).collect();
    assert_eq!(keys, [&run.key]);
    assert_eq!(b.record(&run.key).await.state, RunState::Lost);
}

pub(super) async fn s50_a_node_that_never_beat_puts_nothing_back(harness: &Shared) {
    let node = Node::silent(harness, "node").await;
    let run = own(&node, node.now().await, RunState::Running);
    let restore = Restore::new(node.holder.id, vec![run.clone()]);
    let error = node.store.restore(&restore).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest);
    assert_eq!(node.store.run(&run.key).await.unwrap(), None);
}

/// The same task, limited to one run, has three indices that wait for another attempt.
pub(super) async fn s50_a_run_put_back_keeps_the_limit_of_its_task(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    for index in 1..=3 {
        let mut run = hearsay(&own(&node, tick, RunState::Running));
        run.key.index = index;
        run.node = Some(Holder::new("a node that is gone"));
        run.on_crash = OnCrash::Retry { max_attempts: 2 };
        run.max_running = Some(MaxRunning::new(1, 3));
        assert_eq!(restore(&node, None, vec![run]).await.put_back, [true]);
    }
    for _ in 1..=3 {
        let taken = node.take(10).await;
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!(node.take(10).await, []);
        let ended = node.finish(&taken[0], Outcome::Succeeded).await;
        assert_eq!(ended, Finished::Recorded);
    }
    assert_eq!(node.take(10).await, []);
}

/// What waited in line is put back into the line: a newer tick takes its place.
pub(super) async fn s50_a_tick_put_back_that_waited_stands_in_line_again(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    let in_hand = node.win(item("t", tick - Duration::from_secs(2), 1)).await;
    let waited = item("t", tick - Duration::from_secs(1), 1).key();
    let mut run = Remembered::new(waited.clone(), RunState::Waiting, 0, tick);
    run.overlap = Overlap::QueueOne;
    assert_eq!(restore(&node, None, vec![run]).await.put_back, [true]);
    let mut newer = item("t", tick, 1);
    newer.overlap = Overlap::QueueOne;
    let answer = node.try_claim(newer.clone()).await;
    assert!(matches!(answer, ClaimAnswer::Waits(_)), "{answer:?}");
    assert_eq!(node.record(&waited).await.state, RunState::Skipped);
    node.finish(&in_hand, Outcome::Succeeded).await;
    let taken = node.take(10).await;
    let taken: Vec<_> = taken.into_iter().map(|claim| claim.run.key).collect();
    assert_eq!(taken, [newer.key()]);
}
