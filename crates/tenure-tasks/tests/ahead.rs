//! A burst: very many runs that are due at one tick on one node.

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, FaultyStore, State, at, logged, ms, pass, secs, slow};
use tenure_core::{Cancel, RunKey, RunRecord, RunState, TaskName};
use tenure_tasks::{RunningTasks, Task};

/// So many that they are claimed 120 ms before their tick.
const BURST: usize = 6000;

fn burst() -> Vec<Task<State>> {
    let all = (0..BURST).map(|n| logged(&format!("t{n}"), "0 * * * * *"));
    all.collect()
}

/// A node with a burst, 100 ms before the tick of one minute: it has claimed the runs, and has not
/// told that they begin.
async fn claimed_ahead(cluster: &Cluster, name: &str) -> (RunningTasks, Arc<FaultyStore>) {
    let store = FaultyStore::over(cluster.store.clone());
    let clock = cluster.clock.clone();
    let node = cluster.node_on(name, clock, store.clone(), burst()).await;
    pass(ms(59_900)).await;
    assert_eq!((store.claim_keys(), store.start_keys()), (BURST, 0));
    (node, store)
}

async fn record(cluster: &Cluster, task: &str) -> RunRecord {
    cluster.record(task, at(60_000)).await
}

/// How often the runs of the first minute ran, by attempt.
fn ran(cluster: &Cluster) -> (usize, usize) {
    cluster.log.assert_none_twice();
    let all = cluster.log.all();
    let of_tick = all.iter().filter(|ran| ran.tick == at(60_000));
    let (first, later): (Vec<_>, Vec<_>) = of_tick.partition(|ran| ran.attempt == 1);
    (first.len(), later.len())
}

#[tokio::test(start_paused = true)]
async fn s47_a_node_that_is_alone_claims_a_burst_ahead_and_begins_it_at_its_tick() {
    for (tasks, claimed_ahead) in [(2000, 2000), (100, 0)] {
        let cluster = Cluster::new();
        let store = FaultyStore::over(cluster.store.clone());
        let all = (0..tasks).map(|n| logged(&format!("t{n}"), "0 * * * * *"));
        let clock = cluster.clock.clone();
        let node = cluster.node_on("n", clock, store.clone(), all.collect());
        let node = node.await;
        pass(ms(59_800)).await;
        assert_eq!(store.claim_keys(), 0, "a short lead is enough");
        pass(ms(195)).await;
        assert_eq!(store.claim_keys(), claimed_ahead);
        assert_eq!(cluster.log.len(), 0, "nothing begins before its tick");
        pass(ms(15)).await;
        let ran = cluster.log.all();
        assert_eq!(ran.len(), tasks);
        for ran in ran {
            let range = at(60_000)..at(60_005);
            assert!(range.contains(&ran.started_at), "{ran:?}");
        }
        pass(secs(1)).await;
        let states = cluster.states("t7").await;
        assert_eq!(states, [(at(60_000), 1, RunState::Succeeded)]);
        drop(node);
    }
}

#[tokio::test(start_paused = true)]
async fn s47_every_tick_of_a_dense_burst_is_run_once() {
    let cluster = Cluster::new();
    let all = (0..400).map(|n| logged(&format!("t{n}"), "@every 100ms"));
    let _node = cluster.node("n", all.collect()).await;
    pass(ms(1_020)).await;
    cluster.log.assert_none_twice();
    for n in [0, 77, 399] {
        let expected: Vec<_> = (1..=10).map(|tick| at(tick * 100)).collect();
        assert_eq!(cluster.log.ticks(&format!("t{n}")), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn s38_a_run_that_ends_just_before_a_burst_does_not_stand_in_its_way() {
    let cluster = Cluster::new();
    let takes = ms(59_992);
    let mut all = vec![slow("slow", "0 * * * * *", takes)];
    all.extend((0..999).map(|n| logged(&format!("t{n}"), "0 * * * * *")));
    let _node = cluster.node("n", all).await;
    pass(secs(121)).await;
    // It ends 8 ms before the second tick, when the others have been claimed already.
    assert_eq!(cluster.log.ticks("slow"), [at(60_000), at(120_000)]);
    let states = cluster.states("slow").await;
    let skipped = states.iter().any(|state| state.2 == RunState::Skipped);
    assert!(!skipped, "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn s28_a_node_that_froze_with_a_burst_in_hand_does_not_begin_it() {
    let cluster = Cluster::new();
    let all = (0..500).map(|n| logged(&format!("t{n}"), "0 * * * * *"));
    let store = FaultyStore::over(cluster.store.clone());
    let clock = cluster.clock.clone();
    let node = cluster.node_on("n", clock, store.clone(), all.collect());
    let _node = node.await;
    pass(ms(59_997)).await;
    assert_eq!((store.claim_keys(), cluster.log.len()), (500, 0));
    cluster.clock.suspend(secs(60));
    pass(secs(10)).await;
    let of_tick = cluster.log.all();
    let of_tick = of_tick.iter().filter(|ran| ran.tick == at(60_000));
    let first = of_tick.filter(|ran| ran.attempt == 1).count();
    assert_eq!(first, 0);
}

#[tokio::test(start_paused = true)]
async fn s40_what_was_claimed_ahead_by_a_node_that_died_is_run_by_another_although_a_crash_loses() {
    let cluster = Cluster::new();
    let (node, store) = claimed_ahead(&cluster, "first").await;
    drop(node);
    let claimed = record(&cluster, "t7").await;
    assert_eq!(
        (claimed.state, claimed.started_at),
        (RunState::Claimed, None),
        "it provably never began"
    );
    let _other = cluster.node("second", burst()).await;
    // The lease of the first ends, and it is recovered.
    pass(secs(25)).await;
    assert_eq!(ran(&cluster), (0, BURST));
    assert_eq!(store.start_keys(), 0);
    let ended = record(&cluster, "t7").await;
    assert_eq!((ended.state, ended.attempt), (RunState::Succeeded, 2));
    assert_eq!(ended.attempts[0].state, RunState::Lost);
    assert_eq!(ended.attempts[0].started_at, None);
}

#[tokio::test(start_paused = true)]
async fn s40_what_was_told_as_begun_before_its_tick_is_lost_with_its_node_and_not_repeated() {
    let cluster = Cluster::new();
    let (node, store) = claimed_ahead(&cluster, "first").await;
    pass(ms(60)).await;
    assert_eq!((store.start_keys(), cluster.log.len()), (BURST, 0));
    assert_eq!(record(&cluster, "t7").await.state, RunState::Running);
    drop(node);
    let _other = cluster.node("second", burst()).await;
    pass(secs(25)).await;
    assert_eq!(ran(&cluster), (0, 0));
    assert_eq!(record(&cluster, "t7").await.state, RunState::Lost);
}

#[tokio::test(start_paused = true)]
async fn s40_code_begins_only_after_the_store_has_answered_that_it_begins() {
    let cluster = Cluster::new();
    let (_node, store) = claimed_ahead(&cluster, "first").await;
    store.go_down();
    pass(ms(150)).await;
    assert_eq!(cluster.log.len(), 0, "the tick has come, and no answer");
    store.come_back();
    store.lose_start_replies(3);
    pass(secs(8)).await;
    assert_eq!(ran(&cluster), (BURST, 0));
    let ended = record(&cluster, "t7").await;
    assert_eq!((ended.state, ended.attempt), (RunState::Succeeded, 1));
}

/// The code of such runs is with the runtime before their tick.
#[tokio::test(start_paused = true)]
async fn s40_runs_whose_runtime_goes_before_their_tick_fail_at_their_tick_and_say_so() {
    let cluster = Cluster::new();
    let own = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let on_own = |n| logged(&format!("own{n}"), "0 * * * * *").on_runtime(own.handle().clone());
    let mut all: Vec<Task<State>> = (0..500).map(on_own).collect();
    all.extend((0..500).map(|n| logged(&format!("t{n}"), "0 * * * * *")));
    let store = FaultyStore::over(cluster.store.clone());
    let clock = cluster.clock.clone();
    let _node = cluster.node_on("n", clock, store.clone(), all).await;
    pass(ms(59_997)).await;
    assert_eq!((store.claim_keys(), cluster.log.len()), (1000, 0));
    own.shutdown_background();
    pass(secs(1)).await;
    assert_eq!(ran(&cluster), (500, 0));
    let failed = record(&cluster, "own7").await;
    assert_eq!(failed.state, RunState::Failed);
    let reason = failed.reason.unwrap();
    assert!(
        reason.contains("the runtime of the task is gone"),
        "{reason}"
    );
    assert!(
        failed.ended_at.unwrap() >= at(60_000),
        "{:?}",
        failed.ended_at
    );
}

#[tokio::test(start_paused = true)]
async fn s28_a_node_that_froze_with_a_burst_claimed_ahead_finds_that_another_has_it() {
    let cluster = Cluster::new();
    let (_node, store) = claimed_ahead(&cluster, "first").await;
    store.go_down();
    let _other = cluster.node("second", burst()).await;
    pass(secs(25)).await;
    assert_eq!(ran(&cluster), (0, BURST));
    store.come_back();
    pass(secs(20)).await;
    assert_eq!(ran(&cluster), (0, BURST));
}

#[tokio::test(start_paused = true)]
async fn s41_what_was_claimed_ahead_is_handed_on_by_a_node_that_leaves_at_once() {
    let cluster = Cluster::new();
    let (node, _) = claimed_ahead(&cluster, "first").await;
    let _other = cluster.node("second", burst()).await;
    let drained = node.drain(ms(0)).await;
    assert_eq!((drained.finished, drained.unreported), (0, 0));
    assert_eq!(drained.interrupted.len(), BURST);
    pass(secs(10)).await;
    assert_eq!(ran(&cluster), (0, BURST));
}

#[tokio::test(start_paused = true)]
async fn s59_what_was_claimed_ahead_and_is_cancelled_does_not_begin() {
    let cluster = Cluster::new();
    let (_node, _) = claimed_ahead(&cluster, "first").await;
    let key = RunKey::scheduled(TaskName::new("t7").unwrap(), at(60_000), 1);
    let cancel = Cancel::new(key, "ada", "wrong data");
    cluster.store.cancel_run(&cancel).await.unwrap();
    pass(secs(2)).await;
    assert_eq!(ran(&cluster), (BURST - 1, 0));
    let cancelled = record(&cluster, "t7").await;
    assert_eq!(cancelled.state, RunState::Cancelled);
    let reason = cancelled.reason.unwrap();
    assert!(
        reason.contains("ada") && reason.contains("not begun"),
        "{reason}"
    );
}
