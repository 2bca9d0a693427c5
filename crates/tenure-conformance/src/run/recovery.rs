//! What becomes of the runs of nodes that are gone.

use std::time::Duration;

use tenure_core::{Beat, Finished, OnCrash, Outcome, Recovery, RunState};

use super::actor::{LONG, Node, item};
use super::cases::Shared;

pub(super) async fn s40_a_run_whose_node_lapsed_is_lost_and_reported_once(harness: &Shared) {
    let dead = Node::join(harness, "dead").await;
    let other = Node::join(harness, "other").await;
    let claim = dead.win(item("t", dead.now().await, 1)).await;
    harness.lapse_node(dead.holder.id).await;
    let found = other.recover().await;
    assert_eq!(found.nodes, std::slice::from_ref(&dead.holder));
    assert_eq!(found.runs.len(), 1, "{found:?}");
    let lost = &found.runs[0];
    assert_eq!(lost.record.key, claim.run.key);
    assert_eq!(lost.record.state, RunState::Lost);
    assert_eq!((lost.lost_attempt, lost.had_started), (1, true));
    assert!(lost.record.ended_at.is_some());
    let again = other.recover().await;
    assert_eq!((again.nodes, again.runs), (vec![], vec![]));
    assert_eq!(
        harness.raw_run(&claim.run.key).await,
        Some((RunState::Lost, 1))
    );
    let notes = other.notes("node_lost").await;
    assert_eq!(notes.len(), 1, "{notes:?}");
}

pub(super) async fn s40_with_retry_on_crash_it_waits_for_another_attempt(harness: &Shared) {
    let dead = Node::join_with(harness, "dead", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let mut wanted = item("t", dead.now().await, 1);
    wanted.on_crash = OnCrash::Retry { max_attempts: 2 };
    let first = dead.win(wanted).await;
    harness.lapse_node(dead.holder.id).await;
    let found = other.recover().await;
    assert_eq!(found.runs[0].record.state, RunState::Waiting);
    let second = other.take(10).await.remove(0);
    assert_eq!(
        (second.run.key.clone(), second.run.attempt),
        (first.run.key.clone(), 2)
    );
    assert!(second.fence > first.fence);
    let late = dead.finish(&first, Outcome::Succeeded).await;
    assert_eq!(
        late,
        Finished::Late {
            state: RunState::Running,
            attempt: 2
        }
    );
    assert_eq!(
        other.finish(&second, Outcome::Succeeded).await,
        Finished::Recorded
    );
    let record = other.record(&first.run.key).await;
    assert_eq!(record.attempts.len(), 1);
    assert_eq!(record.attempts[0].state, RunState::Lost);
    assert_eq!(record.attempts[0].node, Some(dead.holder));
}

pub(super) async fn s40_attempts_used_up_end_as_lost(harness: &Shared) {
    let watcher = Node::join(harness, "watcher").await;
    let mut wanted = item("t", watcher.now().await, 1);
    wanted.on_crash = OnCrash::Retry { max_attempts: 3 };
    let key = wanted.key();
    for attempt in 1..=3 {
        let dead = Node::join_with(harness, "dead", &["t"]).await;
        if attempt == 1 {
            dead.win(wanted.clone()).await;
        } else {
            assert_eq!(dead.take(10).await.len(), 1, "attempt {attempt}");
        }
        harness.lapse_node(dead.holder.id).await;
        let found = watcher.recover().await;
        assert_eq!(found.runs[0].lost_attempt, attempt);
    }
    let record = watcher.record(&key).await;
    assert_eq!((record.state, record.attempt), (RunState::Lost, 3));
}

pub(super) async fn s40_of_many_recoveries_at_once_one_reports_a_run(harness: &Shared) {
    let dead = Node::join(harness, "dead").await;
    let now = dead.now().await;
    for index in 1..=20 {
        dead.win(item("t", now, index)).await;
    }
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let node = Node::join(harness, &format!("n{number}")).await;
        racers.spawn(async move {
            let mut found = Vec::new();
            for _ in 0..5 {
                found.push(node.recover().await);
            }
            found
        });
        if number == 3 {
            harness.lapse_node(dead.holder.id).await;
        }
    }
    let found: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    let mut indices: Vec<u32> = found
        .iter()
        .flat_map(|found| found.runs.iter().map(|run| run.record.key.index))
        .collect();
    indices.sort_unstable();
    assert_eq!(indices, (1..=20).collect::<Vec<_>>());
    assert_eq!(
        found.iter().map(|found| found.nodes.len()).sum::<usize>(),
        1
    );
}

pub(super) async fn s28_a_run_that_never_started_is_handed_over_under_any_rule(harness: &Shared) {
    let dead = Node::join_with(harness, "dead", &["t"]).await;
    let other = Node::join_with(harness, "other", &["t"]).await;
    let claim = dead.win_for_later(item("t", dead.now().await, 1)).await;
    assert_eq!(claim.on_crash, OnCrash::Lose);
    harness.lapse_node(dead.holder.id).await;
    let found = other.recover().await;
    assert_eq!(found.runs[0].record.state, RunState::Waiting);
    assert!(!found.runs[0].had_started);
    let taken = other.take(10).await;
    assert_eq!(taken.len(), 1);
    assert!(taken[0].run.attempt > claim.run.attempt);
}

pub(super) async fn s41_a_node_that_left_wins_nothing_and_its_runs_are_recovered(harness: &Shared) {
    let leaving = Node::join(harness, "leaving").await;
    let other = Node::join(harness, "other").await;
    let now = leaving.now().await;
    let done = leaving.win(item("t", now, 1)).await;
    let left_behind = leaving.win(item("t", now, 2)).await;
    leaving.finish(&done, Outcome::Interrupted).await;
    leaving.store.leave(leaving.holder.id).await.unwrap();
    let answer = leaving.try_claim(item("t", now, 3)).await;
    assert!(!super::actor::is_won(&answer), "{answer:?}");
    let found = other.recover().await;
    assert_eq!(found.runs.len(), 1, "{found:?}");
    assert_eq!(found.runs[0].record.key, left_behind.run.key);
    assert_eq!(other.state(&done.run.key).await, RunState::Interrupted);
    assert_eq!(other.state(&left_behind.run.key).await, RunState::Lost);
}

pub(super) async fn a_recovery_leaves_the_living_alone(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let claim = a.win(item("t", a.now().await, 1)).await;
    let found = b.recover().await;
    assert_eq!((found.nodes, found.runs), (vec![], vec![]));
    assert_eq!(
        a.finish(&claim, Outcome::Succeeded).await,
        Finished::Recorded
    );
}

pub(super) async fn a_recovery_waits_for_the_grace(harness: &Shared) {
    let dead = Node::silent(harness, "dead").await;
    let other = Node::join(harness, "other").await;
    // Long enough for a claim on a slow machine, and over after the time that passes.
    let short = Beat::new(dead.holder.clone(), Duration::from_millis(1_500));
    dead.store.beat(&short).await.unwrap();
    let claim = dead.win(item("t", dead.now().await, 1)).await;
    harness.pass_time(Duration::from_millis(1_600)).await;
    let mut patient = Recovery::new(other.holder.id);
    patient.grace = LONG;
    let found = other.store.recover(&patient).await.unwrap();
    assert_eq!((found.nodes, found.runs), (vec![], vec![]));
    assert_eq!(other.state(&claim.run.key).await, RunState::Running);
    assert_eq!(other.recover().await.runs.len(), 1);
}

pub(super) async fn a_recovery_moves_at_most_what_it_was_asked_to(harness: &Shared) {
    let dead = Node::join(harness, "dead").await;
    let other = Node::join(harness, "other").await;
    let now = dead.now().await;
    for index in 1..=5 {
        dead.win(item("t", now, index)).await;
    }
    harness.lapse_node(dead.holder.id).await;
    let mut recovery = Recovery::new(other.holder.id);
    recovery.limit = 2;
    let mut moved = Vec::new();
    for _ in 0..4 {
        moved.push(other.store.recover(&recovery).await.unwrap().runs.len());
    }
    assert_eq!(moved, [2, 2, 1, 0]);
}
