//! Runs that are asked to stop.

use std::time::Duration;

use tenure_core::{
    Cancel, Cancelling, Claim, Finish, Finished, OnCrash, Outcome, Overlap, Refusal, RunKey,
    RunState,
};

use super::actor::{Node, item, request, with};
use super::cases::Shared;

const SECOND: Duration = Duration::from_secs(1);

async fn ask(node: &Node, key: &RunKey) -> Cancelling {
    let cancel = Cancel::new(key.clone(), "ann", "it hangs");
    node.store.cancel_run(&cancel).await.unwrap()
}

async fn asked(node: &Node) -> Vec<Cancel> {
    node.store.cancels(node.holder.id).await.unwrap()
}

/// Ends a run as its node does that was told to stop it.
async fn stop(node: &Node, claim: &Claim) -> Finished {
    let mut finish = Finish::new(claim.run.clone(), Outcome::Cancelled);
    finish.reason = Some("stopped".to_owned());
    node.report(finish).await
}

pub(super) async fn s38_with_cancel_other_the_older_run_is_asked_to_stop_and_the_newer_waits(
    harness: &Shared,
) {
    let a = Node::join_with(harness, "a", &["t"]).await;
    let b = Node::join_with(harness, "b", &["t"]).await;
    let now = a.now().await;
    let running = a.win(item("t", now - SECOND * 2, 1)).await;
    let claim = |back: u32| with(item("t", now - SECOND * back, 1), Overlap::CancelOther);
    for back in [1, 0] {
        let because = b.queue(claim(back)).await;
        let blocker = running.run.key.clone();
        assert_eq!(because, Refusal::Overlap { blocker });
    }
    let requests = asked(&a).await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].key, running.run.key);
    assert_eq!(
        requests[0].by,
        claim(1).key().to_string(),
        "the first to ask"
    );
    assert_eq!(asked(&b).await, []);
    assert_eq!(b.take(10).await, [], "the older still runs");
    assert_eq!(stop(&a, &running).await, Finished::Recorded);
    assert_eq!(asked(&a).await, []);
    let taken = b.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].run.key, claim(0).key());
    assert_eq!(a.state(&claim(1).key()).await, RunState::Skipped);
    assert_eq!(a.state(&running.run.key).await, RunState::Cancelled);
}

pub(super) async fn s38_with_cancel_other_the_newer_begins_when_the_older_nodes_lease_ends(
    harness: &Shared,
) {
    let dead = Node::join_with(harness, "dead", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let now = other.now().await;
    let mut older = with(item("t", now - SECOND, 1), Overlap::CancelOther);
    older.on_crash = OnCrash::Retry { max_attempts: 3 };
    let running = dead.win(older).await;
    other
        .queue(with(item("t", now, 1), Overlap::CancelOther))
        .await;
    harness.lapse_node(dead.holder.id).await;
    let moved = other.recover().await.runs;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].record.state, RunState::Cancelled, "it gives way");
    let taken = other.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].run.key.tick, now);
    assert!(matches!(stop(&dead, &running).await, Finished::Late { .. }));
}

pub(super) async fn a_run_in_hand_is_asked_to_stop_and_its_node_finds_out(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    let running = a.win(item("t", now, 1)).await;
    let begins_later = a.win_for_later(item("u", now, 1)).await;
    b.win(item("v", now, 1)).await;
    for run in [&running, &begins_later] {
        assert_eq!(ask(&b, &run.run.key).await, Cancelling::Asked);
    }
    let again = Cancel::new(running.run.key.clone(), "bob", "");
    assert_eq!(b.store.cancel_run(&again).await.unwrap(), Cancelling::Asked);
    let mut requests = asked(&a).await;
    requests.sort_by(|a, b| a.key.cmp(&b.key));
    let expected = [&running, &begins_later].map(|claim| {
        let key = claim.run.key.clone();
        Cancel::new(key, "ann", "it hangs")
    });
    assert_eq!(requests, expected, "who asked first is remembered");
    assert_eq!(asked(&b).await, []);
    let notes = a.notes("cancel_requested").await;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].text.contains("ann") && notes[0].text.contains("it hangs"));
    assert_eq!(notes[0].task.as_ref(), Some(&running.run.key.task));
    a.start(&begins_later).await;
    assert_eq!(asked(&a).await.len(), 2, "beginning changes nothing");
    a.finish(&running, Outcome::Succeeded).await;
    stop(&a, &begins_later).await;
    assert_eq!(asked(&a).await, []);
    assert_eq!(a.state(&running.run.key).await, RunState::Succeeded);
    assert_eq!(a.state(&begins_later.run.key).await, RunState::Cancelled);
}

pub(super) async fn a_run_that_waits_is_cancelled_at_once(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t", "u", "v"]).await;
    let now = node.now().await;
    let wanted = request("t", now, "r1");
    node.enqueue(wanted.clone()).await;
    node.win(item("u", now - SECOND, 1)).await;
    let queued = with(item("u", now, 1), Overlap::QueueAll { max: 1 });
    node.queue(queued.clone()).await;
    let failed = node.win(item("v", now, 1)).await;
    node.fail_and_retry(&failed, Duration::ZERO).await;
    for key in [wanted.key, queued.key(), failed.run.key] {
        assert_eq!(ask(&node, &key).await, Cancelling::Cancelled, "{key}");
        let record = node.record(&key).await;
        assert_eq!(record.state, RunState::Cancelled);
        let reason = record.reason.unwrap_or_default();
        assert!(
            reason.contains("ann") && reason.contains("it hangs"),
            "{reason}"
        );
        assert!(record.ended_at.is_some() && record.due_at.is_none());
    }
    assert_eq!(node.take(10).await, []);
    // Its place in the line is free.
    let later = item("u", now + Duration::from_millis(1), 1);
    node.queue(with(later, Overlap::QueueAll { max: 1 })).await;
}

pub(super) async fn a_run_that_is_over_or_unknown_is_not_cancelled(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let claim = node.win(item("t", node.now().await, 1)).await;
    node.finish(&claim, Outcome::Succeeded).await;
    let state = RunState::Succeeded;
    assert_eq!(ask(&node, &claim.run.key).await, Cancelling::Over { state });
    let unknown = item("t", node.now().await - SECOND, 2).key();
    assert_eq!(ask(&node, &unknown).await, Cancelling::Unknown);
    assert_eq!(node.notes("cancel_requested").await, []);
    assert_eq!(node.state(&claim.run.key).await, RunState::Succeeded);
}

pub(super) async fn a_cancelled_run_is_not_tried_again(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let claim = node.win(item("t", node.now().await, 1)).await;
    ask(&node, &claim.run.key).await;
    // It failed before its node heard of the request.
    let answer = node.fail_and_retry(&claim, Duration::ZERO).await;
    assert_eq!(answer, Finished::Recorded);
    let record = node.record(&claim.run.key).await;
    assert_eq!(record.state, RunState::Cancelled);
    let reason = record.reason.unwrap_or_default();
    assert!(reason.contains("ann"), "{reason}");
    assert_eq!(node.take(10).await, []);
    assert_eq!(asked(&node).await, []);
}

pub(super) async fn s40_a_cancelled_run_is_not_recovered_into_another_attempt(harness: &Shared) {
    let dead = Node::join_with(harness, "dead", &["t", "u"]).await;
    let other = Node::join_with(harness, "other", &["t", "u"]).await;
    let now = other.now().await;
    let mut wanted = item("t", now, 1);
    wanted.on_crash = OnCrash::Retry { max_attempts: 3 };
    let retried = dead.win(wanted).await;
    let not_begun = dead.win_for_later(item("u", now, 1)).await;
    for claim in [&retried, &not_begun] {
        ask(&other, &claim.run.key).await;
    }
    harness.lapse_node(dead.holder.id).await;
    assert_eq!(other.recover().await.runs.len(), 2);
    for claim in [&retried, &not_begun] {
        let record = other.record(&claim.run.key).await;
        assert_eq!(record.state, RunState::Cancelled, "{record:?}");
        let reason = record.reason.unwrap_or_default();
        assert!(reason.contains("ann"), "{reason}");
    }
    assert_eq!(other.take(10).await, []);
}

pub(super) async fn a_request_to_stop_wakes_listeners(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join(harness, "other").await;
    let claim = node.win(item("t", node.now().await, 1)).await;
    let mut wakes = node.store.listen();
    ask(&other, &claim.run.key).await;
    // A hint may come late or stand for something else, so the listener looks for itself.
    let deadline = tokio::time::sleep(Duration::from_secs(15)); // tidy: allow(sleep) a deadline
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            _ = wakes.next() => {}
            () = &mut deadline => panic!("no hint within 15 s"),
        }
        if !asked(&node).await.is_empty() {
            break;
        }
    }
}
