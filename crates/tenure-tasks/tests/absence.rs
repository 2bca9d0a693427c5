//! Ticks that nobody ran in time: after a stop, an outage, a suspension, a step of the clock.

mod cluster;

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Cluster, FaultyStore, arrived, at, event, logged, ms, pass, secs};
use tenure_core::{HistoryQuery, RunState};
use tenure_tasks::{CatchUp, RunnerEvent, RunnerOptions, Task};

fn minutely(catch_up: CatchUp) -> Task<cluster::State> {
    logged("t", "0 * * * * *").catch_up(catch_up)
}

#[tokio::test(start_paused = true)]
async fn s24_s58_setting_the_stores_clock_an_hour_ahead_catches_up_once_by_the_rule() {
    for (catch_up, expected) in [
        (CatchUp::Skip, vec![]),
        (CatchUp::Latest, vec![3_660_000]),
        // The window of a task every minute is five minutes.
        (
            CatchUp::All,
            vec![3_420_000, 3_480_000, 3_540_000, 3_600_000, 3_660_000],
        ),
    ] {
        let cluster = Cluster::new();
        let node = cluster.node("n", vec![minutely(catch_up)]).await;
        let mut events = node.events();
        pass(ms(90_500)).await;
        assert_eq!(cluster.log.ticks("t"), [at(60_000)]);
        cluster.clock.step_wall(3_600_000);
        pass(ms(25_000)).await;
        let caught_up: Vec<_> = cluster.log.ticks("t").into_iter().skip(1).collect();
        assert_eq!(
            caught_up,
            expected.into_iter().map(at).collect::<Vec<_>>(),
            "{catch_up:?}"
        );
        let told = arrived(&mut events).await;
        let missed: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                RunnerEvent::Missed { count, .. } => Some(*count),
                _ => None,
            })
            .collect();
        // 60 ticks lie between the clock's two readings.
        assert_eq!(missed, [60 - caught_up.len() as u64], "{catch_up:?}");
        assert!(told.iter().any(|event| {
            matches!(event, RunnerEvent::StoreClockStepped { by_ms } if *by_ms == 3_600_000)
        }));
        pass(secs(60)).await;
        cluster.log.assert_none_twice();
        assert_eq!(cluster.log.len(), 2 + caught_up.len());
    }
}

#[tokio::test(start_paused = true)]
async fn s25_after_a_suspension_there_is_one_evaluation_at_once_and_no_burst() {
    let cluster = Cluster::new();
    let task = cluster::slow("long", "0 0 * * * *", secs(10_000));
    let node = cluster
        .node("n", vec![logged("t", "* * * * * *"), task])
        .await;
    let mut events = node.events();
    pass(ms(5_500)).await;
    assert_eq!(cluster.log.len(), 5);
    cluster.clock.suspend(secs(3600));
    pass(ms(1_500)).await;
    let ran = cluster.log.all();
    let after: BTreeSet<_> = ran.iter().skip(5).filter(|ran| ran.task == "t").collect();
    assert!((1..=4).contains(&after.len()), "a burst of {}", after.len());
    assert!(
        after.iter().all(|ran| ran.tick >= at(3_603_000)),
        "{after:?}"
    );
    // It woke at 3605.5 s.
    let is_soon = |ran: &&cluster::Ran| ran.started_at <= at(3_606_500);
    assert!(after.iter().copied().any(|ran| is_soon(&ran)), "{after:?}");
    let told = arrived(&mut events).await;
    assert!(
        told.iter()
            .any(|event| matches!(event, RunnerEvent::LeaseLost { .. }))
    );
    assert!(
        told.iter()
            .any(|event| matches!(event, RunnerEvent::NodeLapsed { .. }))
    );
    pass(secs(10)).await;
    cluster.log.assert_none_twice();
    drop(node);
}

/// Timers do not count the time that a machine sleeps, so no timer is set for longer than a second.
#[tokio::test(start_paused = true)]
async fn s25_a_tick_that_fell_into_a_suspension_begins_within_a_second_of_its_end() {
    let mut cluster = Cluster::new();
    cluster.options = RunnerOptions::new().take_every(secs(60));
    let task = logged("t", "0 30 * * * *").catch_up_window(secs(7200));
    let node = cluster.node("n", vec![task]).await;
    for hour in 0..6 {
        pass(ms(7_300 + 611 * hour)).await;
        cluster.clock.suspend(secs(3600));
        pass(ms(1_050)).await;
        let ran = cluster.log.len() as u64;
        assert_eq!(ran, hour + 1, "not within a second");
    }
    cluster.log.assert_none_twice();
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s25_running_code_is_told_that_the_lease_was_lost_over_a_suspension() {
    let cluster = Cluster::new();
    let node = cluster
        .node("n", vec![cluster::slow("t", "0 * * * * *", secs(20_000))])
        .await;
    let mut events = node.events();
    pass(ms(65_000)).await;
    assert_eq!(cluster.log.len(), 1);
    cluster.clock.suspend(secs(3600));
    let (outcome, reason) = event(&mut events, |event| match event {
        RunnerEvent::Finished {
            outcome, reason, ..
        } => Some((outcome, reason)),
        _ => None,
    })
    .await;
    assert_eq!(outcome, tenure_core::Outcome::Lost);
    assert!(
        reason.unwrap().contains("lease"),
        "the reason names the lease"
    );
}

#[tokio::test(start_paused = true)]
async fn s48_a_store_that_is_down_for_five_minutes_is_not_hammered_and_caught_up_once() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    let mut stores = Vec::new();
    let tasks = || vec![logged("t", "*/10 * * * * *"), logged("u", "*/10 * * * * *")];
    for n in ["a", "b", "c"] {
        let store = FaultyStore::over(cluster.store.clone());
        stores.push(store.clone());
        nodes.push(
            cluster
                .node_on(n, cluster.clock.clone(), store, tasks())
                .await,
        );
    }
    let mut events = nodes[0].events();
    pass(ms(61_000)).await;
    assert_eq!(cluster.log.len(), 12);
    for store in &stores {
        store.go_down();
    }
    let before: Vec<_> = stores.iter().map(|store| store.calls()).collect();
    let refused = |store: &std::sync::Arc<FaultyStore>| -> BTreeSet<_> {
        store.refused_at().into_iter().collect()
    };
    pass(secs(300)).await;
    // Each draws its pauses for itself: they do not come back all at once.
    let asked: Vec<_> = stores.iter().map(refused).collect();
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let together = asked[one].intersection(&asked[other]).count();
        let fewest = asked[one].len().min(asked[other].len());
        assert!(together * 4 < fewest, "{together} of {fewest}");
    }
    for (store, before) in stores.iter().zip(before) {
        let calls = store.calls() - before;
        assert!(calls < 300, "{calls} calls in five minutes");
    }
    assert_eq!(cluster.log.len(), 12);
    assert!(!nodes[0].health().is_good());
    for store in &stores {
        store.come_back();
    }
    pass(ms(8_500)).await;
    // The latest tick before the return was at 360 s.
    for task in ["t", "u"] {
        let ticks = cluster.log.ticks(task);
        assert_eq!(ticks.len(), 7, "{ticks:?}");
        assert_eq!(ticks[6], at(360_000));
    }
    pass(secs(20)).await;
    assert!(nodes[0].health().is_good());
    cluster.log.assert_none_twice();
    let states = cluster.states("t").await;
    let missed = states
        .iter()
        .filter(|(_, _, state)| *state == RunState::Missed)
        .count();
    assert!(missed >= 16, "{missed} ticks are on record as missed");
    let told = arrived(&mut events).await;
    let troubles = told
        .iter()
        .filter(|e| matches!(e, RunnerEvent::StoreTrouble { .. }))
        .count();
    let recovered = told
        .iter()
        .filter(|e| matches!(e, RunnerEvent::StoreRecovered { .. }))
        .count();
    assert_eq!((troubles, recovered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn s57_a_tick_that_fell_into_a_stop_runs_once_within_the_window_and_not_outside() {
    for (stopped, ran_late) in [(secs(100), true), (secs(1000), false)] {
        let cluster = Cluster::new();
        // Every ten minutes; the window is five minutes.
        let tasks = || vec![logged("t", "0 */10 * * * *")];
        let first = cluster.node("first", tasks()).await;
        pass(ms(550_000)).await;
        first.drain(secs(1)).await;
        drop(first);
        pass(stopped).await;
        let second = cluster.node("second", tasks()).await;
        let third = cluster.node("third", tasks()).await;
        pass(secs(30)).await;
        // Stopped at 550 s; the tick at 600 s was 50 s or 950 s ago, that at 1200 s 350 s.
        let expected = if ran_late { vec![at(600_000)] } else { vec![] };
        assert_eq!(cluster.log.ticks("t"), expected);
        let missed: Vec<_> = cluster.states("t").await;
        if ran_late {
            assert_eq!(missed, [(at(600_000), 1, RunState::Succeeded)]);
        } else {
            assert_eq!(
                missed,
                [
                    (at(600_000), 1, RunState::Missed),
                    (at(1_200_000), 1, RunState::Missed)
                ]
            );
        }
        drop((second, third));
    }
}

#[tokio::test(start_paused = true)]
async fn s57_the_first_deployment_of_a_task_does_not_catch_up_the_past() {
    let cluster = Cluster::new();
    pass(secs(90)).await;
    let node = cluster.node("n", vec![minutely(CatchUp::All)]).await;
    pass(secs(25)).await;
    assert_eq!(cluster.log.len(), 0);
    assert_eq!(cluster.states("t").await, []);
    pass(secs(10)).await;
    assert_eq!(cluster.log.ticks("t"), [at(120_000)]);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s11_a_tick_more_than_2_to_the_32_milliseconds_ahead_is_not_run_at_once() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let cluster = Cluster::new();
    // 59 days ahead; 2^32 ms are 49.7 days.
    let node = cluster.node("n", vec![logged("t", "0 0 1 3 *")]).await;
    assert!((DAY * 59).as_millis() > 1 << 32);
    pass(secs(3600)).await;
    assert_eq!(cluster.log.len(), 0);
    // What is left of the time after it was cut to 32 bits would be over by now.
    cluster.clock.suspend(DAY * 10);
    pass(secs(60)).await;
    assert_eq!(cluster.log.len(), 0);
    cluster.clock.suspend(DAY * 48 + secs(22 * 3600));
    pass(secs(3600 - 120)).await;
    assert_eq!(cluster.log.len(), 0);
    pass(secs(61)).await;
    let tick = i64::try_from((DAY * 59).as_millis()).unwrap();
    assert_eq!(cluster.log.ticks("t"), [at(tick)]);
    let late = cluster.log.all()[0].started_at.since(at(tick));
    assert!(late < secs(1), "{late:?}");
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s58_after_three_years_the_next_tick_is_found_at_once_and_the_past_is_counted() {
    let cluster = Cluster::new();
    let tasks = || vec![minutely(CatchUp::All).catch_up_max(3)];
    let node = cluster.node("first", tasks()).await;
    pass(secs(65)).await;
    node.drain(secs(1)).await;
    drop(node);
    assert_eq!(cluster.log.len(), 1);
    let three_years = secs(3 * 365 * 24 * 3600);
    cluster.clock.suspend(three_years);
    let node = cluster.node("second", tasks()).await;
    let mut events = node.events();
    let count = event(&mut events, |event| match event {
        RunnerEvent::Missed { count, .. } => Some(count),
        _ => None,
    })
    .await;
    assert!(count >= 1900, "{count}");
    pass(secs(1)).await;
    let year = i64::try_from(three_years.as_millis()).unwrap();
    let newest = [60_000, 0, -60_000].map(|back| at(year - back));
    assert_eq!(cluster.log.ticks("t")[1..], newest);
    let mut query = HistoryQuery::all();
    query.states = vec![RunState::Missed];
    let missed = cluster.store.history(&query).await.unwrap().runs;
    assert_eq!(missed.len(), 16);
    let oldest = missed.last().unwrap().reason.clone().unwrap();
    assert!(oldest.ends_with("or more earlier ticks too"), "{oldest}");
    let newest = missed[0].reason.as_deref().unwrap();
    assert!(newest.starts_with("no node was there in time"), "{newest}");
    assert!(newest.contains("left out by catch_up = "), "{newest}");
    pass(secs(60)).await;
    cluster.log.assert_none_twice();
    assert_eq!(cluster.log.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_tick_missed_by_some_indices_is_completed_within_the_window() {
    let cluster = Cluster::new();
    let tasks = || vec![logged("t", "0 * * * * *").concurrency(4)];
    let faulty = FaultyStore::over(cluster.store.clone());
    let first = cluster
        .node_on("first", cluster.clock.clone(), faulty.clone(), tasks())
        .await;
    pass(ms(59_900)).await;
    // Dies at the tick: what it has claimed is lost, and reported so.
    let mut events = first.events();
    faulty.claims_take(ms(500));
    event(&mut events, |event| {
        matches!(event, RunnerEvent::Due { .. }).then_some(())
    })
    .await;
    drop(first);
    let second = cluster.node("second", tasks()).await;
    pass(secs(40)).await;
    let states = cluster.states("t").await;
    assert_eq!(states.len(), 4, "{states:?}");
    assert!(
        states.iter().all(|(_, _, state)| state.is_final()),
        "{states:?}"
    );
    drop(second);
}
