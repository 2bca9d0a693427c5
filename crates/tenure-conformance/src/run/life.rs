//! A run from its claim to its end, over one attempt or several.

use std::time::Duration;

use tenure_core::{
    Finish, Finished, Outcome, RunKey, RunRef, RunState, StartMode, Started, Take, Token,
};

use super::actor::{Node, item, request, task};
use super::cases::Shared;

pub(super) async fn s28_a_claimed_run_that_was_handed_over_cannot_be_started(harness: &Shared) {
    let frozen = Node::join_with(harness, "frozen", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let claim = frozen.win_for_later(item("t", frozen.now().await, 1)).await;
    harness.lapse_node(frozen.holder.id).await;
    other.recover().await;
    let taken = other.take(10).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(frozen.start(&claim).await, Started::Refused);
    let late = frozen.finish(&claim, Outcome::Succeeded).await;
    assert!(matches!(late, Finished::Late { .. }), "{late:?}");
    assert_eq!(
        other.finish(&taken[0], Outcome::Succeeded).await,
        Finished::Recorded
    );
}

pub(super) async fn s40_a_late_completion_changes_nothing_and_is_noted(harness: &Shared) {
    let zombie = Node::join(harness, "zombie").await;
    let other = Node::join(harness, "other").await;
    let claim = zombie.win(item("t", zombie.now().await, 1)).await;
    harness.lapse_node(zombie.holder.id).await;
    other.recover().await;
    let before = other.record(&claim.run.key).await;
    assert_eq!(before.state, RunState::Lost);
    let late = zombie.finish(&claim, Outcome::Succeeded).await;
    assert_eq!(
        late,
        Finished::Late {
            state: RunState::Lost,
            attempt: 1
        }
    );
    assert_eq!(other.record(&claim.run.key).await, before);
    let notes = other.notes("late_completion").await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].task, Some(task("t")));
    // By these words the history finds the run that it belongs to.
    let named = format!("attempt 1 of {} ", claim.run.key);
    assert!(notes[0].text.starts_with(&named), "{notes:?}");
}

pub(super) async fn s44_attempts_are_counted_across_nodes(harness: &Shared) {
    let a = Node::join_with(harness, "a", &["t"]).await;
    let b = Node::join_with(harness, "b", &["t"]).await;
    let mut claim = a.win(item("t", a.now().await, 1)).await;
    let mut fence = claim.fence;
    for attempt in 2..=4 {
        let (ender, next) = if attempt % 2 == 0 { (&a, &b) } else { (&b, &a) };
        assert_eq!(
            ender.fail_and_retry(&claim, Duration::ZERO).await,
            Finished::Recorded
        );
        assert_eq!(ender.state(&claim.run.key).await, RunState::Waiting);
        let mut taken = next.take(10).await;
        assert_eq!(taken.len(), 1, "attempt {attempt}: {taken:?}");
        claim = taken.remove(0);
        assert_eq!(claim.run.attempt, attempt);
        assert!(claim.fence > fence, "the fence grows with the attempt");
        fence = claim.fence;
    }
    assert_eq!(
        b.finish(&claim, Outcome::Succeeded).await,
        Finished::Recorded
    );
    let record = a.record(&claim.run.key).await;
    assert_eq!((record.state, record.attempt), (RunState::Succeeded, 4));
    let earlier: Vec<_> = record
        .attempts
        .iter()
        .map(|earlier| (earlier.attempt, earlier.state))
        .collect();
    let failed = RunState::Failed;
    assert_eq!(earlier, [(1, failed), (2, failed), (3, failed)]);
    assert_eq!(record.attempts[0].node, Some(a.holder));
    assert_eq!(
        record.attempts[0].reason.as_deref(),
        Some("it did not work")
    );
}

pub(super) async fn s44_a_retry_is_taken_when_it_is_due_and_not_before(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let claim = node.win(item("t", node.now().await, 1)).await;
    node.fail_and_retry(&claim, Duration::from_secs(60)).await;
    assert_eq!(node.take(10).await, []);
    let due = node
        .record(&claim.run.key)
        .await
        .due_at
        .expect("a due time");
    assert!(due > node.now().await + Duration::from_secs(50));
    let other = node.win(item("u", node.now().await, 1)).await;
    node.register("u", "g1").await;
    node.fail_and_retry(&other, Duration::from_millis(1_500))
        .await;
    assert_eq!(node.take(10).await, []);
    harness.pass_time(Duration::from_secs(2)).await;
    assert_eq!(node.take(10).await.len(), 1);
}

pub(super) async fn a_claimed_run_is_started_once(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let claim = node.win_for_later(item("t", node.now().await, 1)).await;
    assert_eq!(node.state(&claim.run.key).await, RunState::Claimed);
    for _ in 0..2 {
        let started = node.start(&claim).await;
        assert!(matches!(started, Started::Running { .. }), "{started:?}");
    }
    let record = node.record(&claim.run.key).await;
    assert_eq!(record.state, RunState::Running);
    assert!(record.started_at >= record.claimed_at);
    node.finish(&claim, Outcome::Succeeded).await;
    assert_eq!(node.start(&claim).await, Started::Refused);
}

pub(super) async fn a_taken_run_may_begin_later(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    node.enqueue(request("t", node.now().await, "r1")).await;
    let mut take = Take::new(node.holder.id, 10);
    take.start = StartMode::Later;
    let claim = node.store.take(&take).await.unwrap().remove(0);
    assert_eq!(claim.run.token, take.token);
    let record = node.record(&claim.run.key).await;
    assert_eq!((record.state, record.started_at), (RunState::Claimed, None));
    assert_eq!(record.due_at, None);
    let started = node.start(&claim).await;
    assert!(matches!(started, Started::Running { .. }), "{started:?}");
    assert_eq!(node.state(&claim.run.key).await, RunState::Running);
}

pub(super) async fn each_outcome_is_recorded_as_told(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    for (index, (outcome, state)) in [
        (Outcome::Succeeded, RunState::Succeeded),
        (Outcome::Failed, RunState::Failed),
        (Outcome::TimedOut, RunState::TimedOut),
        (Outcome::Cancelled, RunState::Cancelled),
        (Outcome::Interrupted, RunState::Interrupted),
        (Outcome::Lost, RunState::Lost),
    ]
    .into_iter()
    .enumerate()
    {
        let claim = node
            .win(item("t", now, u32::try_from(index).unwrap() + 1))
            .await;
        let mut finish = Finish::new(claim.run.clone(), outcome);
        finish.reason = Some("because".to_owned());
        finish.exit_code = Some(7);
        finish.output = Some("said\n\0é".to_owned());
        assert_eq!(node.report(finish).await, Finished::Recorded);
        let record = node.record(&claim.run.key).await;
        assert_eq!(record.state, state);
        assert_eq!(record.reason.as_deref(), Some("because"));
        assert_eq!(record.exit_code, Some(7));
        assert_eq!(record.output.as_deref(), Some("said\n\0é"));
        assert!(record.ended_at >= record.started_at, "{record:?}");
    }
}

pub(super) async fn a_finish_sent_again_is_recorded_once(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let claim = node.win(item("t", now, 1)).await;
    assert_eq!(
        node.finish(&claim, Outcome::Succeeded).await,
        Finished::Recorded
    );
    let before = node.record(&claim.run.key).await;
    harness.pass_time(Duration::from_millis(50)).await;
    assert_eq!(
        node.finish(&claim, Outcome::Succeeded).await,
        Finished::Recorded
    );
    assert_eq!(node.record(&claim.run.key).await, before);
    let retried = node.win(item("t", now, 2)).await;
    node.fail_and_retry(&retried, Duration::ZERO).await;
    assert_eq!(
        node.fail_and_retry(&retried, Duration::ZERO).await,
        Finished::Recorded
    );
    assert_eq!(node.record(&retried.run.key).await.attempts.len(), 1);
    assert_eq!(node.notes("late_completion").await, []);
}

pub(super) async fn a_finish_of_an_unknown_run_is_answered_so(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let key = RunKey::scheduled(task("nobody"), node.now().await, 1);
    let finish = Finish::new(RunRef::new(key, 1, Token::random()), Outcome::Succeeded);
    assert_eq!(node.report(finish).await, Finished::Unknown);
    let claim = node.win(item("t", node.now().await, 1)).await;
    let mut stranger = claim.clone();
    stranger.run.token = Token::random();
    let answer = node.finish(&stranger, Outcome::Succeeded).await;
    assert!(matches!(answer, Finished::Late { .. }), "{answer:?}");
    assert_eq!(node.state(&claim.run.key).await, RunState::Running);
}

pub(super) async fn output_is_kept_up_to_the_limit(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let claim = node.win(item("t", node.now().await, 1)).await;
    let mut finish = Finish::new(claim.run.clone(), Outcome::Succeeded);
    finish.output = Some("é".repeat(Finish::MAX_OUTPUT));
    assert_eq!(node.report(finish).await, Finished::Recorded);
    let kept = node.record(&claim.run.key).await.output.unwrap_or_default();
    assert!(kept.len() <= Finish::MAX_OUTPUT, "{}", kept.len());
    assert!(kept.len() >= Finish::MAX_OUTPUT / 2, "{}", kept.len());
    assert!(kept.chars().all(|c| c == 'é'));
}
