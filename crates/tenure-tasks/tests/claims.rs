//! Who runs what: exactly once, wherever clocks are wrong, replies get lost or processes freeze.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may stop it like the test itself"
)]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Cluster, FaultyStore, TestClock, arrived, at, event, logged, ms, pass, secs, slow};
use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock as _, Definition, Generation, Holder, HolderId,
    OnCrash, Overlap, RunKey, RunState, RunStore, TaskName,
};
use tenure_tasks::{Affinity, CatchUp, RunnerEvent, RunnerOptions, Task, TaskContext};

#[tokio::test(start_paused = true)]
async fn s29_many_nodes_with_concurrency_run_each_tick_and_index_exactly_once() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for n in 0..10 {
        let tasks = vec![
            logged("a", "* * * * * *").concurrency(3),
            logged("b", "*/2 * * * * *").concurrency(2),
        ];
        nodes.push(cluster.node(&format!("n{n}"), tasks).await);
        pass(ms(37 * n % 300)).await;
    }
    pass(secs(60)).await;
    let ticks: BTreeSet<_> = cluster.log.ticks("a").into_iter().collect();
    for node in nodes {
        node.drain(secs(1)).await;
    }
    cluster.log.assert_none_twice();
    let complete: BTreeSet<_> = cluster.log.ticks("a").into_iter().collect();
    assert!(ticks.len() >= 59, "{}", ticks.len());
    // The last tick may have been cut by the drain; every other has all its indices.
    for tick in complete.iter().rev().skip(1) {
        let indices: BTreeSet<_> = cluster
            .log
            .all()
            .into_iter()
            .filter(|ran| ran.task == "a" && ran.tick == *tick)
            .map(|ran| ran.index)
            .collect();
        assert_eq!(indices, BTreeSet::from([1, 2, 3]), "{tick}");
    }
}

/// 50 nodes claim the pairs of 200 ticks when they are due, each after a delay of its own.
#[tokio::test(start_paused = true)]
async fn s29_fifty_nodes_that_are_up_to_five_seconds_late_win_30_000_pairs_once_each() {
    const TASKS: u32 = 50;
    let cluster = Cluster::new();
    let (begun, mut rng) = (tokio::time::Instant::now(), fastrand::Rng::with_seed(29));
    let generation = Generation::new("g").unwrap();
    let names: Vec<_> = (0..TASKS)
        .map(|n| TaskName::new(format!("t{n}")).unwrap())
        .collect();
    let definitions: Vec<_> = names
        .iter()
        .map(|name| Definition::new(name.clone(), generation.clone(), "* * * * * *"))
        .collect();
    let mut nodes = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (store, holder) = (cluster.store.clone(), Holder::new(format!("n{n}")));
        let beat = Beat::new(holder.clone(), secs(3600));
        store.beat(&beat).await.unwrap();
        store.register(holder.id, &definitions).await.unwrap();
        let (names, generation) = (names.clone(), generation.clone());
        let mut rng = rng.fork();
        nodes.spawn(async move {
            let mut won = Vec::new();
            for tick in 1..=200_i64 {
                let due = begun + secs(tick.unsigned_abs());
                tokio::time::sleep_until(due + secs(5).mul_f64(rng.f64())).await;
                // A tenth of the tasks, in any order: about five nodes compete for each pair.
                let mine = (0..5).map(|_| names[rng.usize(..names.len())].clone());
                let mine: BTreeSet<_> = mine.collect();
                let mut items: Vec<_> = mine
                    .into_iter()
                    .flat_map(|name| (1..=3).map(move |index| (name.clone(), index)))
                    .map(|(name, index)| {
                        let mut item =
                            ClaimItem::new(name, at(tick * 1000), index, generation.clone());
                        item.overlap = Overlap::Allow;
                        item
                    })
                    .collect();
                rng.shuffle(&mut items);
                won.extend(wins(&*store, holder.id, items).await);
            }
            // Whatever nobody drew is made up for within the window.
            tokio::time::sleep_until(begun + secs(210)).await;
            for name in names.into_iter().skip(n % 5).step_by(5) {
                for tick in 1..=200_i64 {
                    let items = (1..=3).map(|index| {
                        let tick = at(tick * 1000);
                        let mut item =
                            ClaimItem::new(name.clone(), tick, index, generation.clone());
                        item.overlap = Overlap::Allow;
                        item
                    });
                    won.extend(wins(&*store, holder.id, items.collect()).await);
                }
            }
            won
        });
    }
    let won: Vec<_> = nodes.join_all().await.into_iter().flatten().collect();
    let pairs: BTreeSet<_> = won.iter().collect();
    assert_eq!((won.len(), pairs.len()), (30_000, 30_000));
}

async fn wins(store: &dyn RunStore, node: HolderId, items: Vec<ClaimItem>) -> Vec<RunKey> {
    let reply = store.claim(&ClaimBatch::new(node, items.clone())).await;
    let answers = reply.unwrap().answers;
    let both = items.into_iter().zip(answers);
    both.filter_map(|(item, answer)| matches!(answer, ClaimAnswer::Won(_)).then(|| item.key()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn s29_fifty_runners_whose_claims_take_up_to_five_seconds_run_each_pair_once() {
    let mut cluster = Cluster::new();
    // Answers that take so long must not be given up.
    cluster.options = RunnerOptions::new().store_timeout(secs(10));
    let task = || {
        let task = logged("t", "* * * * * *").concurrency(3);
        task.overlap(Overlap::Allow)
            .catch_up(CatchUp::All)
            .catch_up_max(1000)
    };
    let mut nodes = Vec::new();
    for n in 0..50 {
        let store = FaultyStore::over(cluster.store.clone());
        store.claims_are_delayed(n, secs(5));
        let (name, clock) = (format!("n{n}"), cluster.clock.clone());
        nodes.push(cluster.node_on(&name, clock, store, vec![task()]).await);
    }
    pass(secs(200 + 30)).await;
    cluster.log.assert_none_twice();
    let ticks = cluster.log.ticks("t").into_iter();
    assert_eq!(ticks.filter(|tick| *tick <= at(200_000)).count(), 600);
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn three_nodes_share_a_task_with_three_indices_evenly() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for n in ["a", "b", "c"] {
        nodes.push(
            cluster
                .node(n, vec![logged("t", "* * * * * *").concurrency(3)])
                .await,
        );
    }
    // From the second beat on, everybody knows of everybody.
    // A wrong view on the way there is forgotten within ten more seconds.
    pass(ms(30_500)).await;
    let before = cluster.log.by_node();
    pass(secs(30)).await;
    let after = cluster.log.by_node();
    for (node, count) in after {
        assert_eq!(
            count - before.get(&node).copied().unwrap_or(0),
            30,
            "{node}"
        );
    }
    assert!(
        cluster
            .log
            .all()
            .iter()
            .all(|ran| ran.started_at.since(ran.tick) < ms(600))
    );
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s13_a_period_of_100_ms_on_three_nodes_gives_600_runs_a_minute() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for n in ["a", "b", "c"] {
        nodes.push(cluster.node(n, vec![logged("t", "@every 100ms")]).await);
    }
    pass(secs(62)).await;
    cluster.log.assert_none_twice();
    let in_minute = cluster.log.ticks("t").into_iter();
    let in_minute = in_minute.filter(|tick| *tick > at(1_000) && *tick <= at(61_000));
    assert_eq!(in_minute.count(), 600);
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s21_s22_nodes_whose_clocks_are_ten_minutes_off_run_in_time_and_are_named() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for (name, off_ms) in [("right", 0), ("ahead", 600_000), ("behind", -600_000)] {
        // Its own wall clock is off; the store's is the cluster's.
        let clock = cluster::TestClock::new();
        clock.step_wall(off_ms);
        let tasks = vec![logged("t", "* * * * * *")];
        nodes.push(
            cluster
                .node_on(name, clock, cluster.store.clone(), tasks)
                .await,
        );
    }
    pass(ms(30_500)).await;
    cluster.log.assert_none_twice();
    assert_eq!(cluster.log.len(), 30);
    assert!(
        cluster
            .log
            .all()
            .iter()
            .all(|ran| ran.started_at.since(ran.tick) < ms(600))
    );
    assert_eq!(
        cluster.log.by_node().len(),
        3,
        "{:?}",
        cluster.log.by_node()
    );
    let feed = cluster.store.events(None, 1000).await.unwrap().events;
    let skewed: Vec<_> = feed
        .into_iter()
        .filter_map(|event| match event.kind {
            tenure_core::EventKind::Note(note) if note.kind == "clock_skew" => Some(note.text),
            _ => None,
        })
        .collect();
    assert!(
        skewed
            .iter()
            .any(|text| text.contains("ahead (") && text.contains(" 600000 ms"))
    );
    assert!(
        skewed
            .iter()
            .any(|text| text.contains("behind (") && text.contains("-600000 ms"))
    );
}

#[tokio::test(start_paused = true)]
async fn s23_setting_a_nodes_clock_back_or_forth_runs_nothing_again_and_misses_nothing() {
    let cluster = Cluster::new();
    let clock = cluster::TestClock::new();
    let tasks = vec![logged("t", "* * * * * *")];
    let node = cluster
        .node_on("n", clock.clone(), cluster.store.clone(), tasks)
        .await;
    for by_ms in [-3_600_000, 7_200_000, -600_000] {
        pass(ms(10_000)).await;
        clock.step_wall(by_ms);
    }
    pass(ms(500)).await;
    cluster.log.assert_none_twice();
    assert_eq!(cluster.log.len(), 30);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s23_s27_setting_the_stores_clock_back_runs_nothing_again() {
    let cluster = Cluster::new();
    let node = cluster.node("n", vec![logged("t", "* * * * * *")]).await;
    pass(ms(20_500)).await;
    assert_eq!(cluster.log.len(), 20);
    cluster.clock.step_wall(-30_000);
    pass(ms(20_000)).await;
    assert_eq!(
        cluster.log.len(),
        20,
        "ran again what it ran before the step"
    );
    // The stall is as long as the step: 30 s after it the clock says 20.5 s again.
    pass(ms(10_600)).await;
    assert_eq!(
        cluster.log.len(),
        21,
        "{:?}",
        cluster.log.all().split_off(19)
    );
    pass(ms(15_000)).await;
    cluster.log.assert_none_twice();
    let ticks: Vec<_> = (1..=36).map(|n| at(n * 1000)).collect();
    assert_eq!(cluster.log.ticks("t"), ticks);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s26_nothing_starts_before_its_time() {
    let cluster = Cluster::new();
    let node = cluster.node("n", vec![logged("t", "@every 250ms")]).await;
    pass(secs(10)).await;
    for ran in cluster.log.all() {
        assert!(ran.started_at >= ran.tick, "{ran:?}");
    }
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s26_a_timer_that_wakes_five_milliseconds_early_starts_nothing_early_or_twice() {
    // A second of the timers is 995 ms of the clock, so that one who sleeps a second wakes 5 ms
    // before its end.
    let clock = TestClock::behind_timers(5);
    let cluster = Cluster::on(clock.clone());
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = begun.clone();
    let looks = clock.clone();
    let task =
        Task::new("t")
            .schedule("* * * * * *")
            .run(move |context: TaskContext<cluster::State>| {
                let now = looks.wall();
                seen.lock().unwrap().push((context.tick(), now));
                std::future::ready(())
            });
    let node = cluster.node("n", vec![task]).await;
    pass(secs(60)).await;
    let begun = begun.lock().unwrap().clone();
    let ticks: Vec<_> = begun.iter().map(|(tick, _)| *tick).collect();
    let each: Vec<_> = (1..=59).map(|n| at(n * 1000)).collect();
    assert_eq!(ticks, each, "each second of the clock, once");
    for (tick, now) in begun {
        assert!(now >= tick && now.since(tick) < ms(20), "{tick} at {now}");
    }
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s12_a_second_that_the_clocks_repeat_or_stretch_has_each_tick_once() {
    let cluster = Cluster::new();
    let nodes = [
        cluster.node("a", vec![logged("t", "* * * * * *")]).await,
        cluster.node("b", vec![logged("t", "* * * * * *")]).await,
    ];
    // Around a leap second one machine's clock says a second twice, as the store's does.
    pass(ms(10_300)).await;
    cluster.clock.step_wall(-1000);
    pass(ms(10_000)).await;
    // Another day it is spread: ten seconds take eleven.
    for _ in 0..110 {
        pass(ms(100)).await;
        cluster.clock.step_wall(-9);
    }
    pass(ms(10_000)).await;
    cluster.log.assert_none_twice();
    // 41 300 ms have passed, of which the clocks counted 39 310.
    let each: Vec<_> = (1..=39).map(|n| at(n * 1000)).collect();
    assert_eq!(cluster.log.ticks("t"), each);
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s28_a_node_that_froze_between_winning_and_starting_does_not_start() {
    for (on_crash, attempts) in [
        (OnCrash::Lose, vec![]),
        (OnCrash::Retry { max_attempts: 2 }, vec![2]),
    ] {
        let cluster = Cluster::new();
        let frozen = cluster::TestClock::new();
        let faulty = FaultyStore::over(cluster.store.clone());
        let task = || logged("t", "30 * * * * *").on_crash(on_crash);
        let node = cluster
            .node_on("frozen", frozen.clone(), faulty.clone(), vec![task()])
            .await;
        let mut events = node.events();
        let clocks = (frozen.clone(), cluster.clock.clone());
        faulty.after_claim(move || {
            clocks.0.suspend(secs(60));
            clocks.1.suspend(secs(60));
        });
        let key = event(&mut events, |event| match event {
            RunnerEvent::Claimed {
                key, attempt: 1, ..
            } => Some(key),
            _ => None,
        })
        .await;
        assert_eq!(key.tick, at(30_000));
        // The other node finds the frozen one gone before it has said a word.
        let other = cluster.node("other", vec![task()]).await;
        pass(secs(15)).await;
        let ran: Vec<_> = cluster.log.all();
        let of_tick = ran.iter().filter(|ran| ran.tick == at(30_000));
        // Never begun, so it may be handed over even if it must run at most once.
        assert!(of_tick.clone().all(|ran| ran.attempt > 1), "{ran:?}");
        if !attempts.is_empty() {
            assert_eq!(of_tick.map(|ran| ran.attempt).collect::<Vec<_>>(), attempts);
        }
        cluster.log.assert_none_twice();
        drop((node, other));
    }
}

#[tokio::test(start_paused = true)]
async fn s30_a_lost_reply_is_asked_for_again_and_the_run_happens_once() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let node = cluster
        .node_on(
            "n",
            cluster.clock.clone(),
            faulty.clone(),
            vec![logged("t", "*/10 * * * * *")],
        )
        .await;
    let mut events = node.events();
    faulty.lose_claim_replies(2);
    pass(secs(35)).await;
    assert_eq!(cluster.log.ticks("t"), [at(10_000), at(20_000), at(30_000)]);
    cluster.log.assert_none_twice();
    let states = cluster.states("t").await;
    assert!(
        states
            .iter()
            .all(|(_, _, state)| *state == RunState::Succeeded),
        "{states:?}"
    );
    let told = arrived(&mut events).await;
    assert!(
        told.iter()
            .any(|event| matches!(event, RunnerEvent::StoreTrouble { .. }))
    );
    assert!(
        told.iter()
            .any(|event| matches!(event, RunnerEvent::StoreRecovered { .. }))
    );
}

/// What the store must not have forgotten travels with the claim itself, so that a store that did
/// gives nothing away before its node has noticed.
#[tokio::test(start_paused = true)]
async fn s50_each_claim_says_what_its_node_was_answered_before() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let tasks = vec![logged("t", "* * * * * *")];
    let clock = cluster.clock.clone();
    let node = cluster.node_on("n", clock, faulty.clone(), tasks).await;
    pass(ms(10_500)).await;
    let said = faulty.seen();
    assert_eq!(said.len(), 10);
    for (before, claim) in &said {
        assert!(claim.sequence > 0 && claim.sequence >= *before, "{said:?}");
    }
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s31_finishing_at_once_does_not_let_another_node_run_the_tick() {
    let cluster = Cluster::new();
    let early = cluster
        .node("early", vec![logged("t", "*/5 * * * * *")])
        .await;
    // The second node's claims arrive two seconds after the first node's runs have ended.
    let faulty = FaultyStore::over(cluster.store.clone());
    faulty.claims_take(secs(2));
    let late = cluster
        .node_on(
            "late",
            cluster.clock.clone(),
            faulty,
            vec![logged("t", "*/5 * * * * *")],
        )
        .await;
    pass(secs(61)).await;
    cluster.log.assert_none_twice();
    assert!(cluster.log.len() >= 11, "{}", cluster.log.len());
    drop((early, late));
}

/// Counts what is logged at warning level and above.
#[derive(Clone, Default)]
struct Loud(Arc<AtomicUsize>);

impl tracing::Subscriber for Loud {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn s34_losing_claims_is_silent() {
    let loud = Loud::default();
    let _guard = tracing::subscriber::set_default(loud.clone());
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    let mut all_events = Vec::new();
    for n in ["a", "b", "c", "d"] {
        let node = cluster
            .node(n, vec![logged("t", "* * * * * *").concurrency(2)])
            .await;
        all_events.push(node.events());
        nodes.push(node);
    }
    pass(secs(20)).await;
    for node in &nodes {
        node.drain(secs(1)).await;
    }
    drop(nodes);
    let mut refused = 0;
    for mut events in all_events {
        for event in arrived(&mut events).await {
            refused += usize::from(matches!(
                event,
                RunnerEvent::StoreTrouble { .. }
                    | RunnerEvent::Missed { .. }
                    | RunnerEvent::Lost { .. }
            ));
        }
    }
    assert_eq!(refused, 0);
    assert_eq!(loud.0.load(Ordering::SeqCst), 0);
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s47_a_storm_costs_about_one_claim_for_each_run() {
    const TASKS: usize = 10_000;
    const NODES: usize = 10;
    let cluster = Cluster::new();
    let tasks = || {
        (0..TASKS)
            .map(|n| logged(&format!("t{n}"), "0 * * * * *"))
            .collect()
    };
    let mut nodes = Vec::new();
    let mut stores = Vec::new();
    for n in 0..NODES {
        let store = FaultyStore::over(cluster.store.clone());
        stores.push(store.clone());
        nodes.push(
            cluster
                .node_on(&format!("n{n}"), cluster.clock.clone(), store, tasks())
                .await,
        );
    }
    pass(secs(55)).await;
    let before: Vec<_> = stores.iter().map(|store| store.calls()).collect();
    assert_eq!(cluster.log.len(), 0);
    pass(ms(5_000 + 1_000)).await;
    cluster.log.assert_none_twice();
    assert_eq!(cluster.log.len(), TASKS);
    // By then those that are not among the first have looked for what is left, too.
    pass(ms(6_000)).await;
    let keys: usize = stores.iter().map(|store| store.claim_keys()).sum();
    assert!(
        keys <= TASKS * 12 / 10,
        "{keys} keys claimed for {TASKS} runs"
    );
    let chunks = TASKS.div_ceil(256);
    for store in &stores {
        let trips = store.claim_calls() + store.page_calls();
        assert!(
            trips <= 2 * chunks,
            "{trips} round trips for {chunks} chunks"
        );
    }
    assert!(
        before.iter().all(|calls| *calls < 200),
        "{before:?} calls while nothing was due"
    );
    let shares = cluster.log.by_node();
    assert!(
        shares.values().all(|count| *count == TASKS / NODES),
        "{shares:?}"
    );
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s47_one_run_costs_one_claim_whatever_the_number_of_nodes() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    let mut stores = Vec::new();
    for n in 0..12 {
        let store = FaultyStore::over(cluster.store.clone());
        stores.push(store.clone());
        let tasks = vec![logged("t", "0 * * * * *")];
        let name = format!("n{n}");
        let node = cluster.node_on(&name, cluster.clock.clone(), store, tasks);
        nodes.push(node.await);
    }
    pass(secs(60 + 10)).await;
    assert_eq!(cluster.log.len(), 1);
    let keys: usize = stores.iter().map(|store| store.claim_keys()).sum();
    assert_eq!(keys, 1);
    for store in &stores {
        assert!(store.claim_calls() + store.page_calls() <= 2);
    }
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s47_two_nodes_both_ask_at_once_for_the_few_runs_of_a_tick() {
    let cluster = Cluster::new();
    let dead = FaultyStore::over(cluster.store.clone());
    let mut nodes = Vec::new();
    for (name, store) in [("a", cluster.store.clone()), ("b", dead.clone())] {
        let tasks = vec![logged("t", "* * * * * *")];
        nodes.push(
            cluster
                .node_on(name, cluster.clock.clone(), store, tasks)
                .await,
        );
    }
    pass(secs(11)).await;
    // Its ticks are not late, although nobody knows yet that it is gone.
    dead.go_down();
    let before = cluster.log.len();
    pass(secs(60)).await;
    let ran = cluster.log.all().split_off(before);
    assert_eq!(ran.len(), 60);
    assert!(
        ran.iter()
            .all(|ran| ran.started_at.since(ran.tick) < ms(50)),
        "{ran:?}"
    );
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn a_sticky_task_runs_on_one_node_until_that_node_is_gone() {
    let cluster = Cluster::new();
    let mut nodes = BTreeMap::new();
    for name in ["a", "b", "c", "d"] {
        let task = logged("t", "* * * * * *").affinity(Affinity::Sticky);
        nodes.insert(name.to_owned(), cluster.node(name, vec![task]).await);
    }
    pass(secs(20)).await;
    let before = cluster.log.len();
    pass(secs(30)).await;
    let settled = cluster.log.all().split_off(before);
    let homes: BTreeSet<_> = settled.iter().map(|ran| ran.node.clone()).collect();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let home = homes.into_iter().next().unwrap();
    nodes.remove(&home).unwrap().drain(secs(1)).await;
    let before = cluster.log.len();
    pass(secs(30)).await;
    let moved = cluster.log.all().split_off(before);
    assert!(moved.len() >= 29 && moved.iter().all(|ran| ran.node != home));
    let last: BTreeSet<_> = moved
        .iter()
        .rev()
        .take(15)
        .map(|ran| ran.node.clone())
        .collect();
    assert_eq!(last.len(), 1, "{last:?}");
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s47_a_run_of_a_dead_node_starts_elsewhere_within_a_second() {
    let cluster = Cluster::new();
    let dead = FaultyStore::over(cluster.store.clone());
    let mut nodes = Vec::new();
    for n in 0..12 {
        let store: Arc<dyn RunStore> = if n == 0 {
            dead.clone()
        } else {
            cluster.store.clone()
        };
        let tasks = (0..100).map(|n| logged(&format!("t{n}"), "0 * * * * *"));
        let name = format!("n{n}");
        let node = cluster.node_on(&name, cluster.clock.clone(), store, tasks.collect());
        nodes.push(node.await);
    }
    pass(ms(59_000)).await;
    dead.go_down();
    pass(secs(10)).await;
    cluster.log.assert_none_twice();
    let ran = cluster.log.all();
    assert_eq!(ran.len(), 100);
    let latest = ran.iter().map(|ran| ran.started_at.since(ran.tick)).max();
    assert!(
        latest > Some(ms(100)) && latest <= Some(secs(1)),
        "{latest:?}"
    );
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s49_a_store_that_takes_three_seconds_gets_no_second_claim_and_lateness_is_told() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    faulty.claims_take(secs(3));
    let task = logged("t", "* * * * * *").overlap(Overlap::Allow);
    let node = cluster
        .node_on("n", cluster.clock.clone(), faulty.clone(), vec![task])
        .await;
    let mut events = node.events();
    let lateness = event(&mut events, |event| match event {
        RunnerEvent::Started { lateness, .. } => Some(lateness),
        _ => None,
    })
    .await;
    assert!((ms(2_900)..ms(3_200)).contains(&lateness), "{lateness:?}");
    pass(secs(20)).await;
    cluster.log.assert_none_twice();
    assert!(cluster.log.len() >= 19, "{}", cluster.log.len());
    // One claim for each tick, no more.
    assert!(
        faulty.claim_keys() <= cluster.log.len() + 4,
        "{}",
        faulty.claim_keys()
    );
}

#[tokio::test(start_paused = true)]
async fn s56_a_node_that_lacks_a_task_neither_runs_nor_delays_it() {
    let cluster = Cluster::new();
    let knows = cluster
        .node(
            "knows",
            vec![logged("t", "* * * * * *"), logged("u", "* * * * * *")],
        )
        .await;
    let lacks = cluster
        .node("lacks", vec![logged("u", "* * * * * *")])
        .await;
    pass(secs(20)).await;
    let ran = cluster.log.all();
    let of_t: Vec<_> = ran.iter().filter(|ran| ran.task == "t").collect();
    assert!(of_t.len() >= 19);
    assert!(of_t.iter().all(|ran| ran.node == "knows"));
    let delayed = of_t
        .iter()
        .filter(|ran| ran.started_at.since(ran.tick) > ms(20))
        .count();
    assert!(delayed <= 3, "{delayed} runs were delayed");
    drop((knows, lacks));
}

#[tokio::test(start_paused = true)]
async fn a_dead_nodes_share_starts_within_a_second() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for n in ["a", "b", "c"] {
        nodes.push(
            cluster
                .node(n, vec![logged("t", "* * * * * *").concurrency(3)])
                .await,
        );
    }
    pass(ms(10_500)).await;
    drop(nodes.pop());
    pass(secs(30)).await;
    cluster.log.assert_none_twice();
    let counts: BTreeMap<_, usize> =
        cluster
            .log
            .ticks("t")
            .into_iter()
            .fold(BTreeMap::new(), |mut counts, tick| {
                *counts.entry(tick).or_default() += 1;
                counts
            });
    assert!(counts.values().all(|count| *count == 3), "{counts:?}");
    let worst = cluster
        .log
        .all()
        .iter()
        .map(|ran| ran.started_at.since(ran.tick))
        .max();
    assert!(worst.unwrap() < secs(1), "{worst:?}");
}

#[tokio::test(start_paused = true)]
async fn s38_overlap_is_decided_for_the_whole_cluster_and_names_the_blocker() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/2 * * * * *", ms(4_500));
    let mut nodes = Vec::new();
    let mut all_events = Vec::new();
    for n in ["a", "b", "c"] {
        let node = cluster.node(n, vec![task()]).await;
        all_events.push(node.events());
        nodes.push(node);
    }
    pass(ms(20_500)).await;
    let ticks = cluster.log.ticks("t");
    assert_eq!(ticks, [2_000, 8_000, 14_000, 20_000].map(at));
    let key = RunKey::scheduled(TaskName::new("t").unwrap(), at(4_000), 1);
    let record = cluster.store.run(&key).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Skipped);
    assert!(
        record
            .reason
            .unwrap()
            .contains("t@2026-01-01T00:00:02.000Z#1")
    );
    let mut skipped = Vec::new();
    for mut events in all_events {
        skipped.extend(
            arrived(&mut events)
                .await
                .into_iter()
                .filter_map(|event| match event {
                    RunnerEvent::Skipped { key, .. } => Some(key.tick),
                    _ => None,
                }),
        );
    }
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [4_000, 6_000, 10_000, 12_000, 16_000, 18_000].map(at)
    );
}

#[tokio::test(start_paused = true)]
async fn s64_jitter_moves_the_start_by_the_same_delay_on_every_node_and_not_the_tick() {
    let cluster = Cluster::new();
    let task = || logged("t", "*/10 * * * * *").jitter(secs(8));
    let nodes = [
        cluster.node("a", vec![task()]).await,
        cluster.node("b", vec![task()]).await,
    ];
    let spec = task().check().unwrap();
    pass(secs(121)).await;
    cluster.log.assert_none_twice();
    assert!(cluster.log.len() >= 11);
    let mut delays = BTreeSet::new();
    for ran in cluster.log.all() {
        assert_eq!(ran.tick.as_millis() % 10_000, 0);
        let starts_at = spec.fires_at(ran.tick);
        assert!(ran.started_at >= starts_at && ran.started_at.since(starts_at) < ms(600));
        assert!(starts_at.since(ran.tick) < secs(8));
        delays.insert(starts_at.since(ran.tick));
    }
    assert!(delays.len() > 6, "{delays:?}");
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn s28_a_node_does_not_begin_what_it_won_before_it_lapsed() {
    let mut cluster = Cluster::new();
    cluster.options = RunnerOptions::new().store_timeout(secs(60));
    let task = || logged("t", "0 * * * * *").on_crash(OnCrash::Retry { max_attempts: 3 });
    let slow = FaultyStore::over(cluster.store.clone());
    let first = cluster
        .node_on("first", cluster.clock.clone(), slow.clone(), vec![task()])
        .await;
    // The claim is decided after 25 s, and its answer takes as long again.
    slow.claims_take(secs(50));
    pass(secs(86)).await;
    let running = [(at(60_000), 1, RunState::Running)];
    assert_eq!(cluster.states("t").await, running);
    // Meanwhile the node cannot renew its lease, and its run is given to another.
    slow.go_down();
    let second = cluster.node("second", vec![task()]).await;
    let mut events = second.events();
    let attempt = event(&mut events, |event| match event {
        RunnerEvent::Started { attempt, .. } => Some(attempt),
        _ => None,
    });
    assert_eq!(attempt.await, 2);
    // It comes back and is trusted again, and only then hears that it had won.
    slow.come_back();
    let mut told = first.events();
    let key = event(&mut told, |event| match event {
        RunnerEvent::Claimed { key, .. } => Some(key),
        _ => None,
    });
    assert_eq!(key.await.tick, at(60_000));
    pass(secs(5)).await;
    let ran = cluster.log.all();
    let of_tick = ran.iter().filter(|ran| ran.tick == at(60_000));
    let nodes: Vec<_> = of_tick.map(|ran| ran.node.as_str()).collect();
    assert_eq!(nodes, ["second"], "{ran:?}");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn s47_where_the_store_is_slow_nodes_wait_longer_for_what_others_claim() {
    let cluster = Cluster::new();
    let (mut stores, mut nodes) = (Vec::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let store = FaultyStore::over(cluster.store.clone());
        // It decides after half of this, which is longer than the usual grace.
        store.claims_take(ms(600));
        let tasks = (0..60).map(|n| logged(&format!("t{n}"), "*/3 * * * * *"));
        let clock = cluster.clock.clone();
        let node = cluster.node_on(name, clock, store.clone(), tasks.collect());
        nodes.push(node.await);
        stores.push(store);
    }
    // By now each node knows the others, and how slow the store is.
    pass(ms(17_900)).await;
    let keys = || stores.iter().map(|store| store.claim_keys()).sum::<usize>();
    let before = keys();
    pass(secs(12)).await;
    assert_eq!(
        keys() - before,
        4 * 60,
        "each run of four ticks is claimed once"
    );
    cluster.log.assert_none_twice();
}
