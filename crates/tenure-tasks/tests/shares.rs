//! Whose turn it is: runs go to the nodes that are there and can run them, and nobody's run is left
//! because those that should have looked after it are gone too.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may stop it like the test itself"
)]

mod cluster;

use std::collections::BTreeMap;

use cluster::{Cluster, FaultyStore, State, logged, ms, pass, secs};
use tenure_tasks::{RunnerOptions, RunningTasks, Task};

async fn nodes(
    cluster: &Cluster,
    names: &[&str],
    tasks: impl Fn() -> Vec<Task<State>>,
) -> Vec<RunningTasks> {
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(cluster.node(name, tasks()).await);
    }
    nodes
}

/// All but one of many nodes are cut off just before a tick: its owner, and nearly always the three
/// that look soon. One cluster could have the survivor among those; eight have not.
#[tokio::test(start_paused = true)]
async fn s47_a_tick_whose_owner_and_first_lookers_are_gone_is_run_by_any_other_node() {
    let mut latest = ms(0);
    for _ in 0..8 {
        let cluster = Cluster::new();
        let cut_off = FaultyStore::over(cluster.store.clone());
        let tasks = || vec![logged("t", "0 * * * * *")];
        let mut all = nodes(&cluster, &["left"], tasks).await;
        for n in 0..19 {
            let (name, clock) = (format!("n{n}"), cluster.clock.clone());
            all.push(
                cluster
                    .node_on(&name, clock, cut_off.clone(), tasks())
                    .await,
            );
        }
        pass(ms(59_000)).await;
        cut_off.go_down();
        pass(secs(8)).await;
        let ran = cluster.log.all();
        assert_eq!(ran.len(), 1, "{ran:?}");
        assert_eq!(ran[0].node, "left");
        latest = latest.max(ran[0].started_at.since(ran[0].tick));
        drop(all);
    }
    // By its place in the order up to half a second later than the five that all wait.
    assert!(latest <= ms(5_600), "{latest:?}");
}

#[tokio::test(start_paused = true)]
async fn s56_nodes_without_tasks_are_nobodys_turn_and_delay_nothing() {
    let cluster = Cluster::new();
    let each_second = || vec![logged("t", "* * * * * *")];
    let watching = nodes(&cluster, &["w1", "w2", "w3"], Vec::new).await;
    let working = nodes(&cluster, &["a", "b", "c"], each_second).await;
    // Each has beaten since the last of them came.
    pass(ms(6_500)).await;
    let before = cluster.log.len();
    pass(secs(30)).await;
    let ran = cluster.log.all().split_off(before);
    assert_eq!(ran.len(), 30);
    for ran in &ran {
        assert!(ran.started_at.since(ran.tick) < ms(20), "{ran:?}");
    }
    assert_eq!(cluster.store.nodes().await.unwrap().len(), 6);
    drop((watching, working));
}

/// Most nodes serve something else: nobody waits for them, and they are not the ones who look after
/// what they do not know.
#[tokio::test(start_paused = true)]
async fn s47_s56_among_many_nodes_that_lack_a_task_none_of_its_ticks_is_late() {
    let cluster = Cluster::new();
    let lack = ["c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let lack = nodes(&cluster, &lack, || vec![logged("u", "0 * * * * *")]).await;
    let both = || vec![logged("t", "0 * * * * *"), logged("u", "0 * * * * *")];
    let know = nodes(&cluster, &["a", "b"], both).await;
    pass(secs(20 * 60 + 30)).await;
    let ran = cluster.log.all();
    assert_eq!(cluster.log.ticks("t").len(), 20);
    assert_eq!(cluster.log.ticks("u").len(), 20);
    let late: Vec<_> = ran
        .iter()
        .map(|ran| ran.started_at.since(ran.tick))
        .filter(|late| *late > ms(20))
        .collect();
    assert_eq!(late, []);
    drop((know, lack));
}

/// Those who look soon are some of those who know the task. Ten times, because by chance they could
/// be among the first of all.
#[tokio::test(start_paused = true)]
async fn s47_what_a_dead_node_owned_starts_within_a_second_though_most_nodes_lack_the_tasks() {
    for _ in 0..10 {
        let cluster = Cluster::new();
        let lack = ["e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];
        let lack = nodes(&cluster, &lack, || vec![logged("u", "0 0 * * * *")]).await;
        let tasks = || -> Vec<_> {
            let names = (0..40).map(|n| format!("t{n}"));
            names.map(|name| logged(&name, "0 * * * * *")).collect()
        };
        let mut know = nodes(&cluster, &["a", "b", "c"], tasks).await;
        let dead = FaultyStore::over(cluster.store.clone());
        let clock = cluster.clock.clone();
        know.push(cluster.node_on("d", clock, dead.clone(), tasks()).await);
        pass(ms(59_000)).await;
        dead.go_down();
        pass(secs(2)).await;
        let ran = cluster.log.all();
        assert_eq!(ran.len(), 40);
        let latest = ran.iter().map(|ran| ran.started_at.since(ran.tick)).max();
        assert!(latest.unwrap() > ms(100), "it owned some: {latest:?}");
        drop((lack, know));
    }
}

/// In the middle of a deploy the nodes that were not reached yet cannot run the new definition.
#[tokio::test(start_paused = true)]
async fn s53_s56_while_few_nodes_have_a_new_definition_none_of_its_ticks_is_late() {
    let cluster = Cluster::new();
    let old = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let old = nodes(&cluster, &old, || vec![logged("t", "30 * * * * *")]).await;
    pass(secs(90)).await;
    let new = nodes(&cluster, &["i", "j"], || vec![logged("t", "0 * * * * *")]).await;
    let before = cluster.log.len();
    pass(secs(10 * 60)).await;
    let ran = cluster.log.all().split_off(before);
    assert_eq!(ran.len(), 10, "{ran:?}");
    for ran in ran {
        assert_eq!(ran.tick.as_millis() % 60_000, 0, "{ran:?}");
        assert!(ran.started_at.since(ran.tick) < ms(20), "{ran:?}");
    }
    drop((old, new));
}

#[tokio::test(start_paused = true)]
async fn s47_nodes_run_as_much_as_they_say_that_they_can() {
    let mut cluster = Cluster::new();
    let tasks = || (0..600).map(|n| logged(&format!("t{n}"), "*/30 * * * * *"));
    let mut all = Vec::new();
    // A node that names no limit counts as the largest of those that do.
    for (name, capacity) in [("one", Some(1)), ("two", Some(2)), ("free", None)] {
        let options = RunnerOptions::new();
        cluster.options = match capacity {
            Some(part) => options.capacity(part),
            None => options,
        };
        all.push(cluster.node(name, tasks().collect()).await);
    }
    pass(ms(25_000)).await;
    assert_eq!(cluster.log.len(), 0);
    pass(secs(6)).await;
    let expected = [("free", 240), ("one", 120), ("two", 240)];
    let expected = expected.map(|(name, runs)| (name.to_owned(), runs));
    assert_eq!(cluster.log.by_node(), BTreeMap::from(expected));
    drop(all);
}
