//! Backfills: what they run, how fast, beside what, and what they survive.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

mod cluster;

use std::collections::BTreeMap;

use cluster::{Cluster, at, logged, ms, pass, secs, slow};
use tenure_core::{
    Backfill, BackfillState, Enqueue, HistoryQuery, Overlap, RequestId, RunKey, RunKind, RunRecord,
    RunState, TaskName, Timestamp,
};
use tenure_tasks::CatchUp;

fn name() -> TaskName {
    TaskName::new("t").unwrap()
}

/// A backfill of the ten minutes before the test began.
fn past(id: &str) -> Backfill {
    let mut backfill = Backfill::new(RequestId::new(id).unwrap(), name(), at(-600_000), at(0));
    backfill.by = "eve".into();
    backfill.why = "the provider was down".into();
    backfill
}

async fn ask(cluster: &Cluster, backfill: &Backfill) {
    let saved = cluster.store.save_backfill(backfill, None).await.unwrap();
    assert!(saved);
}

async fn state(cluster: &Cluster, id: &str) -> BackfillState {
    let all = cluster.store.backfills().await.unwrap();
    let found = all.iter().find(|backfill| backfill.id.as_str() == id);
    found.unwrap().state
}

async fn until_done(cluster: &Cluster, id: &str) {
    for _ in 0..2000 {
        if state(cluster, id).await == BackfillState::Done
            && runs_of(cluster, id)
                .await
                .iter()
                .all(|run| run.state.is_final())
        {
            return;
        }
        pass(ms(500)).await;
    }
    panic!("backfill {id} did not end");
}

async fn runs_of(cluster: &Cluster, id: &str) -> Vec<RunRecord> {
    let kind = RunKind::Backfill(RequestId::new(id).unwrap());
    let mut query = HistoryQuery::of(name());
    query.limit = 1000;
    let page = cluster.store.history(&query).await.unwrap();
    let ours = page.runs.into_iter().filter(|run| run.key.kind == kind);
    ours.collect()
}

/// The most executions that went on at once, each of which took `takes`.
fn most_at_once(starts: &[Timestamp], takes: std::time::Duration) -> usize {
    let beside = |at: Timestamp| {
        let going_on = starts
            .iter()
            .filter(|start| **start <= at && at < **start + takes);
        going_on.count()
    };
    starts.iter().map(|start| beside(*start)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn s61_a_range_twice_runs_nothing_that_succeeded_unless_it_is_forced() {
    let cluster = Cluster::new();
    let tasks = || vec![logged("t", "*/10 * * * * *").concurrency(2)];
    let _nodes = [
        cluster.node("a", tasks()).await,
        cluster.node("b", tasks()).await,
    ];
    ask(&cluster, &past("first")).await;
    until_done(&cluster, "first").await;
    let ran = runs_of(&cluster, "first").await;
    assert_eq!(ran.len(), 120, "60 ticks with two indices");
    assert!(ran.iter().all(|run| run.state == RunState::Succeeded));
    let asked = ran[0].asked.as_deref().unwrap();
    assert_eq!(asked, "backfill first by eve: the provider was down");
    cluster.log.assert_none_twice();

    ask(&cluster, &past("second")).await;
    until_done(&cluster, "second").await;
    assert_eq!(runs_of(&cluster, "second").await, []);

    let mut forced = past("third");
    forced.only_missing = false;
    forced.from = at(-100_000);
    ask(&cluster, &forced).await;
    until_done(&cluster, "third").await;
    assert_eq!(runs_of(&cluster, "third").await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn s61_a_backfill_runs_what_failed_or_was_missed_and_leaves_out_what_ran_well() {
    let cluster = Cluster::new();
    let task = || vec![logged("t", "*/10 * * * * *").catch_up(CatchUp::Skip)];
    let node = cluster.node("a", task()).await;
    pass(secs(31)).await;
    node.drain(secs(1)).await;
    pass(secs(64)).await;
    let _again = cluster.node("b", task()).await;
    pass(secs(20)).await;
    // 10, 20, 30 ran; 40 to 90 were missed; 100 and 110 ran.
    let mut backfill = past("b");
    (backfill.from, backfill.to, backfill.cursor) = (at(0), at(110_000), at(0));
    ask(&cluster, &backfill).await;
    until_done(&cluster, "b").await;
    let mut ticks: Vec<_> = runs_of(&cluster, "b")
        .await
        .iter()
        .map(|run| run.key.tick)
        .collect();
    ticks.sort_unstable();
    assert_eq!(ticks, [40, 50, 60, 70, 80, 90].map(|s| at(s * 1000)));
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s61_a_backfill_obeys_its_own_cap_and_does_not_hold_up_live_ticks() {
    let cluster = Cluster::new();
    let tasks = || vec![slow("t", "*/10 * * * * *", secs(4))];
    let _nodes = [
        cluster.node("a", tasks()).await,
        cluster.node("b", tasks()).await,
        cluster.node("c", tasks()).await,
    ];
    for (id, parallel) in [("one", 1), ("three", 3)] {
        let mut backfill = past(id);
        backfill.only_missing = false;
        backfill.parallel = parallel;
        ask(&cluster, &backfill).await;
        until_done(&cluster, id).await;
        let runs = runs_of(&cluster, id).await;
        assert_eq!(runs.len(), 60);
        let starts: Vec<_> = runs.iter().filter_map(|run| run.started_at).collect();
        let most = most_at_once(&starts, secs(4));
        assert_eq!(most, usize::try_from(parallel).unwrap(), "{id}");
    }
    let live: Vec<_> = (cluster.log.all().into_iter())
        .filter(|ran| ran.tick > at(0))
        .collect();
    assert!(live.len() > 30, "{}", live.len());
    for ran in &live {
        assert!(ran.started_at.since(ran.tick) < secs(1), "{ran:?}");
    }
    let mut query = HistoryQuery::of(name());
    query.states = vec![RunState::Skipped, RunState::Missed];
    let page = cluster.store.history(&query).await.unwrap();
    assert_eq!(page.runs, [], "no live tick was left out");
}

#[tokio::test(start_paused = true)]
async fn s61_a_backfill_keeps_to_its_rate_whichever_nodes_run_it() {
    let cluster = Cluster::new();
    let tasks = || vec![logged("t", "*/10 * * * * *")];
    let _nodes = [
        cluster.node("a", tasks()).await,
        cluster.node("b", tasks()).await,
    ];
    let mut backfill = past("b");
    backfill.per_minute = 30;
    backfill.parallel = 10;
    ask(&cluster, &backfill).await;
    until_done(&cluster, "b").await;
    let runs = runs_of(&cluster, "b").await;
    assert_eq!(runs.len(), 60);
    let mut made: Vec<_> = runs.iter().map(|run| run.created_at).collect();
    made.sort_unstable();
    for pair in made.windows(2) {
        assert!(pair[1].since(pair[0]) >= secs(2), "{pair:?}");
    }
    let took = made[59].since(made[0]);
    assert!(took < secs(180), "as fast as it may: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn s61_a_backfill_survives_the_restart_of_every_node() {
    let cluster = Cluster::new();
    let tasks = || vec![slow("t", "*/10 * * * * *", secs(2))];
    let mut backfill = past("b");
    backfill.to = at(-300_000);
    ask(&cluster, &backfill).await;
    // Nobody is there to do it.
    pass(secs(30)).await;
    assert_eq!(state(&cluster, "b").await, BackfillState::Running);
    for generation in 0..10 {
        let nodes = [
            cluster.node(&format!("a{generation}"), tasks()).await,
            cluster.node(&format!("b{generation}"), tasks()).await,
        ];
        pass(secs(15)).await;
        for node in &nodes {
            node.drain(secs(5)).await;
        }
    }
    let _last = cluster.node("last", tasks()).await;
    until_done(&cluster, "b").await;
    let mut ran: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for run in cluster.log.all().iter().filter(|ran| ran.tick <= at(0)) {
        *ran.entry(run.tick).or_default() += 1;
    }
    assert_eq!(ran.len(), 30);
    assert!(ran.values().all(|count| *count == 1), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn s61_a_tick_that_could_still_be_claimed_is_not_run_twice() {
    let cluster = Cluster::new();
    let task = || vec![logged("t", "*/10 * * * * *").catch_up(CatchUp::All)];
    let first = cluster.node("a", task()).await;
    pass(secs(11)).await;
    first.drain(secs(1)).await;
    pass(secs(60)).await;
    // The ticks from 20 to 70 are inside the window, and nobody dealt with them.
    let mut backfill = past("b");
    (backfill.from, backfill.to, backfill.cursor) = (at(0), at(60_000), at(0));
    ask(&cluster, &backfill).await;
    let _node = cluster.node("b", task()).await;
    until_done(&cluster, "b").await;
    pass(secs(20)).await;
    cluster.log.assert_none_twice();
    let ticks = cluster.log.ticks("t");
    let expected = (1..=ticks.len()).map(|n| at(i64::try_from(n).unwrap() * 10_000));
    assert_eq!(ticks, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn s61_a_cancelled_backfill_stops_and_what_waits_is_let_go() {
    let cluster = Cluster::new();
    let _node = cluster
        .node("a", vec![slow("t", "-", secs(3)), slow("u", "-", secs(3))])
        .await;
    // Two of one task: the second waits for the first.
    let task = |id: &str| {
        let mut backfill = past(id);
        backfill.parallel = 2;
        backfill
    };
    // A schedule without ticks has nothing to run: the backfill is over at once.
    ask(&cluster, &task("none")).await;
    until_done(&cluster, "none").await;
    assert_eq!(runs_of(&cluster, "none").await, []);

    let other = Cluster::new();
    let _node = other
        .node("a", vec![slow("t", "* * * * *", secs(30))])
        .await;
    ask(&other, &task("first")).await;
    ask(&other, &task("second")).await;
    pass(secs(8)).await;
    assert_eq!(runs_of(&other, "first").await.len(), 2);
    assert_eq!(runs_of(&other, "second").await, []);
    let all = other.store.backfills().await.unwrap();
    let cancelled = all[0].changed_to(BackfillState::Cancelled);
    let saved = other
        .store
        .save_backfill(&cancelled, Some(all[0].cursor))
        .await;
    assert!(saved.unwrap());
    // A run of it that was put into the store at the last moment.
    let id = RequestId::new("first").unwrap();
    let late = RunKey::backfill(name(), at(-60_000), 1, id);
    let mut order = Enqueue::new(late.clone(), "late");
    (order.overlap, order.due_in) = (Overlap::Allow, secs(6));
    other.store.enqueue(&[order]).await.unwrap();
    pass(secs(40)).await;
    assert_eq!(state(&other, "first").await, BackfillState::Cancelled);
    let late = other.store.run(&late).await.unwrap().unwrap();
    assert_eq!(late.state, RunState::Cancelled, "{late:?}");
    let runs = runs_of(&other, "first").await;
    assert_eq!(runs.len(), 3);
    assert!(!runs_of(&other, "second").await.is_empty());
}
