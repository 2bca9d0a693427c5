//! What a run was asked with, which its record keeps beside whatever else becomes of it.

use std::time::Duration;

use tenure_core::{
    Cancel, Fence, Finish, HistoryQuery, OnCrash, Outcome, Overlap, Remembered, Restore, RunKey,
    RunState, Token,
};

use super::actor::{Node, request};
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
