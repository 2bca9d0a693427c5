//! Tasks that run a while after they ended: one chain for each index, whatever happens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, FaultyStore, State, at, logged, ms, pass, secs, slow};
use tenure_core::{
    Cancel, Cancelling, HistoryQuery, OnCrash, Pause, RequestId, RunKey, RunRecord, RunState,
    StoreErrorKind, TaskName,
};
use tenure_tasks::control::run_now;
use tenure_tasks::{Keep, Retry, RunningTasks, Task, TaskContext};

fn name() -> TaskName {
    TaskName::new("t").unwrap()
}

/// The chain's runs of an index, oldest first.
async fn chain(cluster: &Cluster, index: u32) -> Vec<RunRecord> {
    let mut query = HistoryQuery::of(name());
    query.limit = 1000;
    let page = cluster.store.history(&query).await.unwrap();
    let ours = page.runs.into_iter().rev();
    ours.filter(|run| run.key.is_following() && run.key.index == index)
        .collect()
}

/// That each run of a chain began its delay after the end of the one before, and that the last one
/// waits or is in hand: so each had exactly one successor.
fn assert_one_after_the_other(runs: &[RunRecord], delay: Duration) {
    assert_linked(runs, delay);
    for run in runs.iter().skip(1) {
        let started = run.started_at.unwrap_or(run.key.tick);
        let again = run.attempts.iter().filter_map(|attempt| attempt.started_at);
        let first = again.min().unwrap_or(started);
        assert!(first.since(run.key.tick) <= ms(1_500), "{run:?}");
    }
}

/// The same, however late they began.
fn assert_linked(runs: &[RunRecord], delay: Duration) {
    for (before, after) in runs.iter().zip(runs.iter().skip(1)) {
        assert!(before.state.is_final(), "{before:?}");
        assert_eq!(after.key.tick, before.ended_at.unwrap() + delay);
        let started = after.started_at.unwrap_or(after.key.tick);
        assert!(started >= after.key.tick, "{after:?}");
    }
    assert!(!runs.last().unwrap().state.is_final(), "{runs:?}");
}

async fn replace(cluster: &Cluster, node: &RunningTasks, task: Task<State>) {
    let state = Arc::new(cluster.state("a"));
    node.replace(state, vec![task]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s57_a_delay_counts_from_the_end_and_each_run_has_one_successor_on_two_nodes() {
    let cluster = Cluster::new();
    let task = || vec![slow("t", "@after 10s", secs(7)).concurrency(2)];
    let one = cluster.node("a", task()).await;
    pass(ms(300)).await;
    let two = cluster.node("b", task()).await;
    pass(secs(170)).await;
    for index in [1, 2] {
        let runs = chain(&cluster, index).await;
        // 17 seconds each, and at most a look later.
        assert!((10..=11).contains(&runs.len()), "{}", runs.len());
        assert_eq!(runs[0].key.tick, at(0), "begins when it is first seen");
        assert_one_after_the_other(&runs, secs(10));
        let asked = runs[1].asked.as_deref().unwrap();
        assert!(
            asked.starts_with("due 10s after the end of 2026-01-01T00:00:00"),
            "{asked}"
        );
    }
    cluster.log.assert_none_twice();
    assert_eq!(cluster.states("t").await.len(), {
        chain(&cluster, 1).await.len() + chain(&cluster, 2).await.len()
    });
    one.drain(secs(20)).await;
    two.drain(secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn s57_a_run_that_is_tried_again_is_followed_after_its_last_attempt() {
    let cluster = Cluster::new();
    let task = || {
        Task::new("t")
            .schedule("@after 10s")
            .retry(Retry::fixed(3, secs(4)))
            .run(|context: TaskContext<State>| async move {
                State::ran(&context);
                Err::<(), _>("no")
            })
    };
    let node = cluster.node("a", vec![task()]).await;
    let other = cluster.node("b", vec![task()]).await;
    pass(secs(60)).await;
    let runs = chain(&cluster, 1).await;
    assert_one_after_the_other(&runs, secs(10));
    assert!(runs.len() >= 3, "{runs:?}");
    assert_eq!((runs[0].state, runs[0].attempt), (RunState::Failed, 3));
    // S60: after what a run was due is kept beside why it failed.
    let asked = runs[1].asked.as_deref().unwrap();
    assert!(asked.starts_with("due 10s after the end of ") && asked.ends_with("(failed)"));
    assert_eq!(runs[1].reason.as_deref(), Some("no"));
    cluster.log.assert_none_twice();
    node.drain(secs(1)).await;
    other.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s57_a_chain_goes_on_when_the_node_dies_in_the_middle() {
    for on_crash in [OnCrash::Lose, OnCrash::Retry { max_attempts: 3 }] {
        let cluster = Cluster::new();
        let task = || vec![slow("t", "@after 10s", secs(30)).on_crash(on_crash)];
        // The other's first look comes later, so that the run is this node's.
        let dying = FaultyStore::over(cluster.store.clone());
        let clock = cluster.clock.clone();
        let dead = cluster.node_on("a", clock, dying.clone(), task()).await;
        pass(secs(1)).await;
        assert_eq!(cluster.log.len(), 1);
        dying.go_down();
        let live = cluster.node("b", task()).await;
        pass(secs(180)).await;
        let runs = chain(&cluster, 1).await;
        assert_one_after_the_other(&runs, secs(10));
        let expected = match on_crash {
            OnCrash::Lose => RunState::Lost,
            _ => RunState::Succeeded,
        };
        assert_eq!(runs[0].state, expected);
        assert!(runs.len() >= 4, "{runs:?}");
        live.drain(secs(1)).await;
        drop(dead);
    }
}

#[tokio::test(start_paused = true)]
async fn s57_the_sweep_alone_makes_what_no_node_was_left_to_make() {
    let cluster = Cluster::new();
    let store = FaultyStore::over(cluster.store.clone());
    let clock = cluster.clock.clone();
    let task = || vec![slow("t", "@after 1m", secs(5))];
    let node = cluster
        .node_on("a", clock.clone(), store.clone(), task())
        .await;
    pass(secs(2)).await;
    // It leaves with its run: interrupted, and nobody there to look.
    node.drain(Duration::ZERO).await;
    let runs = chain(&cluster, 1).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, RunState::Interrupted);
    pass(secs(20)).await;
    let node = cluster.node_on("b", clock, store.clone(), task()).await;
    pass(secs(100)).await;
    assert_one_after_the_other(&chain(&cluster, 1).await, secs(60));
    assert_eq!(cluster.log.len(), 2);
    // Without an answer nothing spins.
    store.go_down();
    let before = store.refused_at().len();
    pass(secs(100)).await;
    let asked = store.refused_at().len() - before;
    assert!(asked < 100, "{asked}");
    store.come_back();
    pass(secs(100)).await;
    assert_linked(&chain(&cluster, 1).await, secs(60));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s57_a_pause_holds_a_chain_and_a_cancelled_wait_counts_as_an_end() {
    let cluster = Cluster::new();
    let node = cluster.node("a", vec![logged("t", "@after 10s")]).await;
    pass(secs(1)).await;
    let pause = Pause::new("eve", "enough");
    cluster.store.pause(&name(), &pause).await.unwrap();
    pass(secs(60)).await;
    assert_eq!(cluster.log.len(), 1);
    cluster.store.resume(&name(), "eve", "").await.unwrap();
    pass(secs(2)).await;
    assert_eq!(cluster.log.len(), 2);
    // What somebody asks for stands beside it.
    let asked = RequestId::new("now").unwrap();
    let task = cluster.store.tasks().await.unwrap().remove(0);
    let asked = run_now(&task, at(63_000), &[1], &asked, "eve", "").unwrap();
    cluster.store.enqueue(&asked).await.unwrap();
    let own = RequestId::new(RunKey::FOLLOWING).unwrap();
    let refused = run_now(&task, at(63_000), &[1], &own, "eve", "").unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::InvalidRequest);
    pass(secs(1)).await;
    let runs = chain(&cluster, 1).await;
    assert_eq!((cluster.log.len(), runs.len()), (3, 3));
    let cancel = Cancel::new(runs[2].key.clone(), "eve", "");
    let answer = cluster.store.cancel_run(&cancel).await.unwrap();
    assert_eq!(answer, Cancelling::Cancelled);
    pass(secs(9)).await;
    assert_eq!(cluster.log.len(), 3);
    pass(secs(8)).await;
    let runs = chain(&cluster, 1).await;
    assert_eq!(runs[2].state, RunState::Cancelled);
    assert_eq!(runs[3].key.tick, runs[2].ended_at.unwrap() + secs(10));
    assert_eq!(runs[3].state, RunState::Succeeded);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s53_a_chain_becomes_a_schedule_and_a_schedule_a_chain() {
    let cluster = Cluster::new();
    let node = cluster.node("a", vec![logged("t", "@after 20s")]).await;
    pass(secs(1)).await;
    assert_eq!(chain(&cluster, 1).await.len(), 2);
    replace(&cluster, &node, logged("t", "*/10 * * * * *")).await;
    pass(secs(3)).await;
    let runs = chain(&cluster, 1).await;
    assert_eq!(runs[1].state, RunState::Cancelled);
    let reason = runs[1].reason.as_deref().unwrap();
    assert!(reason.contains("the task has a schedule now"), "{reason}");
    pass(secs(30)).await;
    let ticks = [0, 10_000, 20_000, 30_000].map(at);
    assert_eq!(cluster.log.ticks("t"), ticks);
    // Back: it goes on from the end of the last scheduled run.
    replace(&cluster, &node, logged("t", "@after 20s")).await;
    pass(secs(60)).await;
    let scheduled = cluster.record("t", at(30_000)).await;
    let runs = chain(&cluster, 1).await.split_off(2);
    assert_eq!(runs[0].key.tick, scheduled.ended_at.unwrap() + secs(20));
    assert_one_after_the_other(&runs, secs(20));
    assert_eq!(runs.len(), 4, "{runs:?}");
    // A longer delay holds from the next end on; what waits keeps its time.
    let waits = runs.last().unwrap().key.tick;
    replace(&cluster, &node, logged("t", "@after 5m")).await;
    pass(secs(60)).await;
    let runs = chain(&cluster, 1).await.split_off(5);
    assert_eq!(runs[0].key.tick, waits);
    assert_one_after_the_other(&runs, secs(300));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s53_a_node_with_an_older_delay_leaves_the_chain_alone_and_a_fallen_index_ends() {
    let cluster = Cluster::new();
    let old = || vec![logged("t", "@after 1s").concurrency(2)];
    let first = cluster.node("old", old()).await;
    pass(secs(5)).await;
    let new = cluster.node("new", vec![logged("t", "@after 30s")]).await;
    pass(secs(5)).await;
    let before = cluster.log.len();
    pass(secs(120)).await;
    let all = cluster.log.all().split_off(before);
    assert!(
        all.iter().all(|ran| ran.node == "new" && ran.index == 1),
        "{all:?}"
    );
    assert_eq!(all.len(), 4, "{all:?}");
    let second = chain(&cluster, 2).await;
    assert!(second.iter().all(|run| run.state.is_final()), "{second:?}");
    drop((first, new));
}

#[tokio::test(start_paused = true)]
async fn s57_deleted_records_do_not_make_a_chain_begin_anew() {
    let cluster = Cluster::new();
    let few = || Keep::new().succeeded("1".parse().unwrap());
    let task = || vec![slow("t", "@after 25m", secs(300)).keep(few())];
    let nodes = [
        cluster.node("a", task()).await,
        cluster.node("b", task()).await,
    ];
    pass(secs(30 * 60 * 12 + 60)).await;
    assert_eq!(cluster.log.len(), 13);
    let starts = cluster.log.ticks("t");
    for pair in starts.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart >= secs(1800) && apart <= secs(1802), "{apart:?}");
    }
    let runs = chain(&cluster, 1).await;
    assert!(runs.len() <= 4, "{}", runs.len());
    assert_one_after_the_other(&runs, secs(1500));
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s54_a_renamed_chain_goes_on_where_it_was() {
    let cluster = Cluster::new();
    let node = cluster
        .node("a", vec![logged("before", "@after 30s")])
        .await;
    pass(secs(10)).await;
    replace(&cluster, &node, logged("t", "@after 30s").alias("before")).await;
    pass(secs(85)).await;
    assert_eq!(cluster.log.ticks("before").len(), 2);
    assert_eq!(cluster.log.ticks("t").len(), 2);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s54_a_renamed_chain_that_is_rolled_back_keeps_its_delay_and_runs_under_one_name() {
    let cluster = Cluster::new();
    let old = || vec![logged("before", "@after 30s")];
    let new = || vec![logged("t", "@after 30s").alias("before")];
    let first = cluster.node("a", old()).await;
    pass(secs(10)).await;
    let second = cluster.node("b", new()).await;
    pass(secs(1)).await;
    first.drain(secs(1)).await;
    pass(secs(84)).await;
    let third = cluster.node("c", old()).await;
    pass(secs(1)).await;
    second.drain(secs(1)).await;
    pass(secs(124)).await;
    let (before, after) = (cluster.log.ticks("before"), cluster.log.ticks("t"));
    assert!(
        before.len() >= 3 && after.len() >= 2,
        "{before:?} {after:?}"
    );
    let mut all = [before, after].concat();
    all.sort_unstable();
    for pair in all.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart >= secs(30) && apart <= secs(45), "{all:?}");
    }
    let waits = chain(&cluster, 1).await;
    assert!(waits.iter().all(|run| run.state.is_final()), "{waits:?}");
    drop(third);
}

#[test]
fn s57_a_delay_is_a_part_of_the_definition() {
    let task = |schedule| Task::<()>::new("t").schedule(schedule).run(|_| async {});
    let own = task("@every 10s").check().unwrap();
    let after = task("@after 10s").check().unwrap();
    assert_ne!(own.generation(), after.generation());
    assert_eq!(after.tick_after(at(0)), None);
}
