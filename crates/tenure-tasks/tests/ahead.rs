//! A burst: very many runs that are due at one tick on one node.

mod cluster;

use cluster::{Cluster, FaultyStore, at, logged, ms, pass, secs, slow};
use tenure_core::RunState;

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
