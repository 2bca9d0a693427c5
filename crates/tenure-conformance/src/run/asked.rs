//! What a run was asked with, which its record keeps beside whatever else becomes of it, and which
//! whoever takes it is told.

use std::time::Duration;

use tenure_core::{
    Cancel, Claim, Enqueue, Fence, Finish, HistoryQuery, OnCrash, Outcome, Overlap, Remembered,
    RequestId, Restore, RunKey, RunState, StartMode, Take, Token,
};

use super::actor::{Node, item, request, task};
use super::cases::Shared;

/// What the record of a run says: who asked for it, and why it ended so.
async fn told(node: &Node, key: &RunKey) -> (Option<String>, Option<String>) {
    let record = node.record(key).await;
    (record.asked, record.reason)
}

pub(super) async fn s60_what_a_run_was_asked_with_is_kept_whatever_its_end(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join(harness, "other").await;
    let now = node.now().await;
    let who = Some("asked by a case".to_owned());
    for (at, (outcome, reason)) in [
        (Outcome::Succeeded, None),
        (Outcome::Succeeded, Some("a process stays".to_owned())),
        (Outcome::Failed, Some("status 3".to_owned())),
        (Outcome::TimedOut, Some("after 2s".to_owned())),
        (Outcome::Cancelled, Some("cancelled by ann".to_owned())),
        (Outcome::Lost, None),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = request("t", now, &format!("r{at}"));
        node.enqueue(asked.clone()).await;
        assert_eq!(told(&node, &asked.key).await, (who.clone(), None));
        let claim = node.take(10).await.remove(0);
        assert_eq!(told(&node, &asked.key).await, (who.clone(), None));
        let mut finish = Finish::new(claim.run, outcome);
        finish.reason.clone_from(&reason);
        node.report(finish).await;
        assert_eq!(told(&node, &asked.key).await, (who.clone(), reason));
    }
    let waits = request("t", now, "cancelled");
    node.enqueue(waits.clone()).await;
    let cancel = Cancel::new(waits.key.clone(), "ann", "");
    node.store.cancel_run(&cancel).await.unwrap();
    let cancelled = Some("cancelled by ann".to_owned());
    assert_eq!(told(&node, &waits.key).await, (who.clone(), cancelled));
    let mut unsaid = request("t", now, "unsaid");
    unsaid.reason = String::new();
    node.enqueue(unsaid.clone()).await;
    assert_eq!(told(&node, &unsaid.key).await, (None, None));
    node.take(10).await;
    let mut lost = request("t", now, "lost");
    lost.overlap = Overlap::Allow;
    node.enqueue(lost.clone()).await;
    assert_eq!(node.take(10).await.len(), 1);
    harness.lapse_node(node.holder.id).await;
    other.recover().await;
    let (asked, reason) = told(&other, &lost.key).await;
    assert_eq!(asked, who);
    assert!(reason.is_some_and(|reason| reason.contains("lost")));
    // A listing tells the same as the single record.
    let page = other.store.history(&HistoryQuery::all()).await.unwrap();
    let listed = page.runs.iter().filter(|run| run.asked == who).count();
    assert_eq!(listed, page.runs.len() - 1, "{page:?}");
}

pub(super) async fn s60_what_a_run_was_asked_with_is_kept_by_a_retry_and_a_recovery(
    harness: &Shared,
) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let mut asked = request("t", node.now().await, "r1");
    asked.on_crash = OnCrash::Retry { max_attempts: 9 };
    node.enqueue(asked.clone()).await;
    let who = Some("asked by a case".to_owned());
    let first = node.take(10).await.remove(0);
    node.fail_and_retry(&first, Duration::ZERO).await;
    let record = node.record(&asked.key).await;
    assert_eq!(record.asked, who);
    assert_eq!(record.attempts.len(), 1, "{record:?}");
    assert_eq!(
        record.attempts[0].reason,
        Some("it did not work".to_owned())
    );
    assert_eq!(node.take(10).await.len(), 1);
    harness.lapse_node(node.holder.id).await;
    other.recover().await;
    let third = other.take(10).await.remove(0);
    assert_eq!(third.run.attempt, 3);
    other.finish(&third, Outcome::Succeeded).await;
    let record = other.record(&asked.key).await;
    // How an earlier attempt ended is not why a run ended well.
    assert_eq!((record.asked, record.reason), (who, None));
    let numbers: Vec<u32> = record.attempts.iter().map(|one| one.attempt).collect();
    assert_eq!(numbers, [1, 2]);
}

pub(super) async fn s50_a_run_put_back_keeps_what_it_was_asked_with(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let there = request("t", now, "there");
    node.enqueue(there.clone()).await;
    let forgotten = request("t", now, "forgotten");
    let remembered = |key: &RunKey, asked: &str| {
        let mut run = Remembered::new(key.clone(), RunState::Failed, 2, now);
        (run.node, run.fence) = (Some(node.holder.clone()), Some(Fence::new(7)));
        run.token = Some(Token::random());
        (run.asked, run.reason) = (Some(asked.to_owned()), Some("status 3".to_owned()));
        run
    };
    let runs = vec![
        remembered(&there.key, "asked otherwise"),
        remembered(&forgotten.key, "asked by eve"),
    ];
    let restore = Restore::new(node.holder.id, runs);
    let restored = node.store.restore(&restore).await.unwrap();
    assert_eq!(restored.put_back, [true, true]);
    for (key, asked) in [
        (there.key, "asked by a case"),
        (forgotten.key, "asked by eve"),
    ] {
        assert_eq!(
            told(&node, &key).await,
            (Some(asked.to_owned()), Some("status 3".to_owned()))
        );
    }
}

/// What each claim tells of its run: who asked for it.
fn told_with(claims: &[Claim]) -> Vec<Option<&str>> {
    claims.iter().map(|claim| claim.asked.as_deref()).collect()
}

pub(super) async fn s60_a_claim_tells_what_its_run_was_asked_with_at_every_attempt(
    harness: &Shared,
) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let mut asked = request("t", node.now().await, "r1");
    asked.on_crash = OnCrash::Retry { max_attempts: 9 };
    asked.reason = String::from("asked for by \"ann\": die Brücke\n2 ✓");
    node.enqueue(asked.clone()).await;
    let mut take = Take::new(node.holder.id, 10);
    take.start = StartMode::Later;
    let who = [Some(asked.reason.as_str())];
    let first = node.store.take(&take).await.unwrap();
    assert_eq!(told_with(&first), who);
    // A resend gets the same answer.
    assert_eq!(node.store.take(&take).await.unwrap(), first);
    // It never began: handed over. Then it began and its node died; then it failed.
    harness.lapse_node(node.holder.id).await;
    other.recover().await;
    assert_eq!(told_with(&other.take(10).await), who);
    node.beat().await;
    node.register("t", "g1").await;
    harness.lapse_node(other.holder.id).await;
    node.recover().await;
    let third = node.take(10).await;
    assert_eq!((third[0].run.attempt, told_with(&third)), (3, who.to_vec()));
    node.fail_and_retry(&third[0], Duration::ZERO).await;
    let fourth = node.take(10).await;
    assert_eq!(
        (fourth[0].run.attempt, told_with(&fourth)),
        (4, who.to_vec())
    );
    assert_eq!(node.record(&asked.key).await.asked.as_deref(), who[0]);
}

pub(super) async fn s60_a_claim_tells_what_a_run_was_asked_with_that_waited(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let blocker = node.win(item("t", now, 1)).await;
    // One stands behind its like, one was put back, and one belongs to a backfill.
    node.enqueue(request("t", now, "waits")).await;
    let forgotten = request("t", now, "forgotten").key;
    let mut run = Remembered::new(forgotten, RunState::Waiting, 1, now);
    run.asked = Some("asked by eve".to_owned());
    let mut restore = Restore::new(node.holder.id, vec![run]);
    restore.patience = Duration::ZERO;
    assert_eq!(node.store.restore(&restore).await.unwrap().put_back, [true]);
    let id = RequestId::new("b1").unwrap();
    let key = RunKey::backfill(task("t"), now - Duration::from_secs(60), 1, id);
    node.enqueue(Enqueue::new(key, "backfill b1 by ann")).await;
    assert_eq!(node.take(10).await, []);
    node.finish(&blocker, Outcome::Succeeded).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let claims = node.take(10).await;
        told.extend(told_with(&claims).into_iter().flatten().map(str::to_owned));
        node.finish(&claims[0], Outcome::Succeeded).await;
    }
    told.sort_unstable();
    assert_eq!(
        told,
        ["asked by a case", "asked by eve", "backfill b1 by ann"]
    );
}

pub(super) async fn s60_a_claim_of_what_nobody_asked_for_tells_of_nobody(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let mut unsaid = request("t", now, "unsaid");
    unsaid.reason = String::new();
    node.enqueue(unsaid).await;
    let claims = node.take(10).await;
    assert_eq!(told_with(&claims), [None]);
    node.finish(&claims[0], Outcome::Succeeded).await;
    let mut first = item("t", now - Duration::from_secs(2), 1);
    first.on_crash = OnCrash::Retry { max_attempts: 9 };
    let won = node.win(first.clone()).await;
    assert_eq!(won.asked, None);
    assert_eq!(node.win(first).await, won);
    // One that waited for it in line, and then its own next attempt.
    let mut queued = item("t", now - Duration::from_secs(1), 1);
    queued.overlap = Overlap::QueueOne;
    node.queue(queued).await;
    node.fail_and_retry(&won, Duration::ZERO).await;
    for _ in 0..2 {
        let claims = node.take(1).await;
        assert_eq!(told_with(&claims), [None]);
        node.finish(&claims[0], Outcome::Succeeded).await;
    }
}
