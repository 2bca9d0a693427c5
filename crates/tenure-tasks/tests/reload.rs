//! Tasks that are replaced while they run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, FaultyStore, State, at, event, logged, ms, pass, secs, slow};
use tenure_core::{Ability, Clock as _, Enqueue, RequestId, RunKey, RunState, TaskName, Timestamp};
use tenure_tasks::{
    CatchUp, ReplaceError, Replaced, RunnerEvent, RunningTasks, StoreLockManager, Task,
    TaskScheduling,
};

fn name(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

async fn replace(
    cluster: &Cluster,
    node: &str,
    running: &RunningTasks,
    tasks: Vec<Task<State>>,
) -> Replaced {
    let state = Arc::new(cluster.state(node));
    running.replace(state, tasks).await.unwrap()
}

fn seconds(first: i64, last: i64) -> Vec<Timestamp> {
    (first..=last).map(|s| at(s * 1000)).collect()
}

#[tokio::test(start_paused = true)]
async fn s62_added_tasks_begin_removed_ones_end_and_no_other_tick_is_dropped_or_run_twice() {
    let cluster = Cluster::new();
    let steady = || logged("steady", "* * * * * *");
    let node = cluster
        .node("a", vec![steady(), slow("gone", "*/5 * * * * *", secs(3))])
        .await;
    let mut events = node.events();
    pass(ms(6_300)).await;
    let replaced = replace(
        &cluster,
        "a",
        &node,
        vec![steady(), logged("new", "*/2 * * * * *")],
    )
    .await;
    assert_eq!(replaced.added, [name("new")]);
    assert_eq!(replaced.removed, [name("gone")]);
    assert_eq!((replaced.changed.len(), replaced.unchanged), (0, 1));
    let told = event(&mut events, |event| match event {
        RunnerEvent::Replaced { replaced, .. } => Some(replaced),
        _ => None,
    });
    assert_eq!(told.await, replaced);
    assert_eq!(node.health().managers[0].tasks, 2);
    pass(secs(14)).await;
    assert_eq!(cluster.log.ticks("steady"), seconds(1, 20));
    let new: Vec<_> = (4..=10).map(|n| at(n * 2000)).collect();
    assert_eq!(
        cluster.log.ticks("new"),
        new,
        "no tick from before it was there"
    );
    // What ran goes on to its end, and nothing of it runs any more.
    assert_eq!(
        cluster.states("gone").await,
        [(at(5_000), 1, RunState::Succeeded)]
    );
    let tasks = cluster.store.tasks().await.unwrap();
    let gone = tasks
        .iter()
        .find(|task| task.definition.task == name("gone"));
    assert_eq!(gone.unwrap().nodes, 0, "retired");
    // What somebody asks for of it waits, and is not taken and handed back for ever.
    let key = RunKey::manual(name("gone"), at(20_000), 1, RequestId::random());
    let asked = Enqueue::new(key.clone(), "asked");
    cluster.store.enqueue(&[asked]).await.unwrap();
    pass(secs(5)).await;
    let run = cluster.store.run(&key).await.unwrap().unwrap();
    assert_eq!((run.state, run.attempt), (RunState::Waiting, 0));
    // It comes back, and takes it.
    replace(&cluster, "a", &node, vec![steady(), logged("gone", "-")]).await;
    pass(secs(2)).await;
    let run = cluster.store.run(&key).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Succeeded);
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s53_s56_what_a_node_can_run_is_said_at_once_when_its_tasks_were_replaced() {
    let cluster = Cluster::new();
    let node = cluster
        .node("a", vec![logged("t", "0 1 * * *").details("version 1")])
        .await;
    // In the middle between two beats.
    pass(ms(7_500)).await;
    replace(
        &cluster,
        "a",
        &node,
        vec![logged("t", "0 1 * * *").details("version 2")],
    )
    .await;
    pass(ms(200)).await;
    let tasks = cluster.store.tasks().await.unwrap();
    let now = &tasks.first().unwrap().definition;
    let nodes = cluster.store.nodes().await.unwrap();
    let said = &nodes.first().unwrap().abilities;
    assert!(said.may_have(Ability::of(&now.task, &now.generation)));
}

#[tokio::test(start_paused = true)]
async fn s62_tasks_are_replaced_again_and_again_while_ticks_are_claimed_slowly() {
    let cluster = Cluster::new();
    let store = FaultyStore::over(cluster.store.clone());
    store.claims_take(ms(130));
    // Another command each time: the same ticks, another generation.
    let tasks = |version: usize| {
        vec![
            logged("steady", "* * * * * *"),
            logged("changes", "* * * * * *").details(format!("version {version}")),
            slow("overlaps", "*/2 * * * * *", ms(700)).details(format!("version {version}")),
        ]
    };
    let mut nodes = Vec::new();
    for label in ["a", "b"] {
        let node = cluster.node_on(label, cluster.clock.clone(), store.clone(), tasks(0));
        nodes.push((label, node.await));
    }
    for version in 1..=60 {
        // At another moment of the second each time, one node a little before the other.
        pass(ms(970)).await;
        for (label, node) in &nodes {
            pass(ms(10)).await;
            let replaced = replace(&cluster, label, node, tasks(version)).await;
            assert_eq!(replaced.changed.len(), 2);
        }
    }
    pass(ms(2_500)).await;
    cluster.log.assert_none_twice();
    let last = cluster.log.ticks("steady").last().unwrap().as_millis() - at(0).as_millis();
    let last = last / 1000;
    assert!(last >= 60, "{last}");
    assert_eq!(cluster.log.ticks("steady"), seconds(1, last));
    assert_eq!(cluster.log.ticks("changes"), seconds(1, last));
    let even: Vec<_> = (1..=last / 2).map(|n| at(n * 2000)).collect();
    assert_eq!(cluster.log.ticks("overlaps"), even);
    let states = cluster.states("changes").await;
    assert!(
        states
            .iter()
            .all(|(.., state)| *state == RunState::Succeeded),
        "{states:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn s53_a_changed_schedule_is_followed_from_now_on_and_its_past_is_not_caught_up() {
    let cluster = Cluster::new();
    let hourly = logged("t", "30 * * * *").catch_up(CatchUp::All);
    let node = cluster.node("a", vec![hourly]).await;
    pass(secs(30 * 60 + 20)).await;
    assert_eq!(cluster.log.ticks("t"), [at(30 * 60_000)]);
    pass(secs(600)).await;
    let often = || logged("t", "*/5 * * * *").catch_up(CatchUp::All);
    let replaced = replace(&cluster, "a", &node, vec![often()]).await;
    assert_eq!(replaced.changed, [name("t")]);
    pass(secs(300)).await;
    assert_eq!(cluster.log.ticks("t"), [30, 45].map(|n| at(n * 60_000)));
    // A node that comes later does not take them for missed either.
    let _later = cluster.node("b", vec![often()]).await;
    pass(secs(300)).await;
    let ran = cluster.log.ticks("t");
    assert_eq!(ran, [30, 45, 50].map(|n| at(n * 60_000)));
}

#[tokio::test(start_paused = true)]
async fn s62_wrong_tasks_change_nothing() {
    let cluster = Cluster::new();
    let node = cluster.node("a", vec![logged("t", "* * * * * *")]).await;
    pass(ms(2_500)).await;
    let state = Arc::new(cluster.state("a"));
    let wrong = vec![logged("t", "61 * * * *"), logged("t", "* * * * *")];
    let error = node.replace(state, wrong).await.unwrap_err();
    assert!(matches!(&error, ReplaceError::Config(faults) if faults.as_slice().len() == 2));
    pass(secs(3)).await;
    assert_eq!(cluster.log.ticks("t"), seconds(1, 5));
}

#[tokio::test(start_paused = true)]
async fn s62_a_replacement_waits_for_its_store_and_goes_on_when_nobody_waits_for_it() {
    let cluster = Cluster::new();
    let store = FaultyStore::over(cluster.store.clone());
    let tasks = vec![logged("old", "*/2 * * * * *")];
    let node = cluster
        .node_on("a", cluster.clock.clone(), store.clone(), tasks)
        .await;
    pass(ms(4_500)).await;
    let state = Arc::new(cluster.state("a"));
    // Dropped before it can have been heard of.
    let asked = node.replace(state, vec![logged("new", "*/2 * * * * *")]);
    let dropped = tokio::time::timeout(ms(0), asked).await;
    drop(dropped);
    pass(secs(10)).await;
    assert_eq!(cluster.log.ticks("old"), [2, 4].map(|s| at(s * 1000)));
    assert_eq!(cluster.log.ticks("new").first(), Some(&at(6_000)));
    // Cut off: it is heard of when the store is back.
    store.go_down();
    pass(secs(3)).await;
    let waiting = async {
        let state = Arc::new(cluster.state("a"));
        let again = || vec![logged("again", "*/2 * * * * *")];
        while node.replace(state.clone(), again()).await.is_err() {
            pass(secs(1)).await;
        }
    };
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(secs(5), &mut waiting).await.is_err());
    store.come_back();
    waiting.await;
    let before = cluster.log.ticks("new").len();
    pass(secs(10)).await;
    assert!(cluster.log.ticks("again").len() >= 4);
    assert_eq!(cluster.log.ticks("new").len(), before);
    cluster.log.assert_none_twice();
    node.drain(secs(1)).await;
    let state = Arc::new(cluster.state("a"));
    let ended = node.replace(state, Vec::new()).await;
    assert!(matches!(
        ended,
        Err(ReplaceError::Ended | ReplaceError::Manager { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn e64_a_reload_that_failed_is_shown_and_counted_until_one_goes_well() {
    let cluster = Cluster::new();
    let metrics = tenure_tasks::Metrics::new();
    let node = TaskScheduling::builder(cluster.state("n"))
        .manager(StoreLockManager::new(cluster.store.clone()))
        .clock(cluster.clock.clone())
        .task(logged("t", "* * * * * *"))
        .metrics(&metrics)
        .start()
        .await
        .unwrap();
    let mut events = node.events();
    assert_eq!(node.health().reload_failed, None);
    let wrong = [logged("t", "61 * * * *")];
    let state = Arc::new(cluster.state("n"));
    node.replace(state.clone(), wrong).await.unwrap_err();
    node.reload_failed("a task file cannot be read");
    let health = node.health();
    let failed = health.reload_failed.clone().unwrap();
    assert_eq!(failed.attempts, 2);
    assert_eq!(failed.error, "a task file cannot be read");
    assert!(failed.since <= cluster.clock.wall());
    assert!(health.is_good(), "the old tasks run: {health:?}");
    assert_eq!(health.impairments(), []);
    let text = metrics.text(&health);
    assert!(
        text.contains("\ntenure_reload_failures_total 2\n"),
        "{text}"
    );
    assert!(text.contains("\ntenure_tasks_outdated 1\n"), "{text}");
    let told = event(&mut events, |event| match event {
        RunnerEvent::ReloadFailed { error } => Some(error),
        _ => None,
    });
    let told = told.await;
    assert!(told.contains("61"), "{told}");
    let right = [logged("t", "*/2 * * * * *")];
    node.replace(state, right).await.unwrap();
    let health = node.health();
    assert_eq!(health.reload_failed, None);
    let text = metrics.text(&health);
    assert!(text.contains("\ntenure_tasks_outdated 0\n"), "{text}");
}

/// That nothing of the new schedule is on record of the time before it was brought but one tick
/// that was left out, and that what came after it ran.
async fn assert_begun_anew(cluster: &Cluster, brought_at: i64, until: i64, what: &str) {
    let begin = at(brought_at - 2_000);
    let states = cluster.states("t").await;
    let missed = states
        .iter()
        .filter(|(.., state)| *state == RunState::Missed);
    assert_eq!(missed.count(), 0, "{what}: {states:?}");
    let new: Vec<_> = states
        .iter()
        .filter(|(tick, ..)| tick.as_millis() % 2_000 == 0 && *tick > at(60_000))
        .collect();
    let early = new.iter().filter(|(tick, ..)| *tick <= begin);
    assert!(
        early.clone().count() <= 1 && early.clone().all(|(.., s)| *s == RunState::Skipped),
        "{what}: {states:?}"
    );
    for tick in (brought_at / 2_000 + 1)..(until / 2_000) {
        let is_there = new.contains(&&(at(tick * 2_000), 1, RunState::Succeeded));
        assert!(is_there, "{what}: {tick} in {states:?}");
    }
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s53_nodes_that_change_a_schedule_at_once_or_later_catch_up_nothing_from_before_it() {
    for old in ["0 0 3 * * *", "*/30 * * * * *", "@after 20s"] {
        for catch_up in [CatchUp::All, CatchUp::Latest] {
            let task = |schedule: &str| vec![logged("t", schedule).catch_up(catch_up)];
            // So long after the first node the second hears of it.
            for later in [0, 1, 7_000] {
                let what = format!("{old}, {catch_up:?}, {later} ms");
                let cluster = Cluster::new();
                let a = cluster.node("a", task(old)).await;
                let b = cluster.node("b", task(old)).await;
                pass(ms(65_300)).await;
                let second = async {
                    pass(ms(later)).await;
                    replace(&cluster, "b", &b, task("*/2 * * * * *")).await
                };
                let first = replace(&cluster, "a", &a, task("*/2 * * * * *"));
                tokio::join!(first, second);
                pass(secs(12)).await;
                let now = 77_300 + i64::try_from(later).unwrap();
                assert_begun_anew(&cluster, 65_300, now, &what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s53_nodes_that_start_together_with_a_new_schedule_catch_up_nothing_from_before_it() {
    for catch_up in [CatchUp::All, CatchUp::Latest] {
        let task = |schedule: &str| vec![logged("t", schedule).catch_up(catch_up)];
        let cluster = Cluster::new();
        let old = cluster.node("a", task("*/30 * * * * *")).await;
        pass(ms(40_300)).await;
        old.drain(secs(1)).await;
        pass(secs(25)).await;
        let (b, c) = tokio::join!(
            cluster.node("b", task("*/2 * * * * *")),
            cluster.node("c", task("*/2 * * * * *")),
        );
        pass(secs(12)).await;
        assert_begun_anew(&cluster, 65_300, 77_300, &format!("{catch_up:?}")).await;
        drop((b, c));
    }
}
