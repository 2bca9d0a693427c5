//! Runs that would stand beside others: lines, limits, and runs that are asked to stop, on several
//! nodes over one store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on ends with a message"
)]

mod cluster;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, State, at, event, logged, ms, pass, secs, slow};
use futures_util::future::join_all;
use tenure_core::{
    Cancel, Cancelling, Enqueue, EventKind, HistoryQuery, MaxRunning, Outcome, Overlap, RequestId,
    RunKey, RunRecord, RunState, TaskName, Timestamp,
};
use tenure_tasks::{CatchUp, RunnerEvent, RunningTasks, StoreLockManager, Task};

fn key(tick: Timestamp) -> RunKey {
    RunKey::scheduled(TaskName::new("t").unwrap(), tick, 1)
}

async fn record(cluster: &Cluster, tick: Timestamp) -> RunRecord {
    let found = cluster.store.run(&key(tick)).await.unwrap();
    found.unwrap_or_else(|| panic!("no record of {tick}"))
}

async fn nodes(
    cluster: &Cluster,
    count: usize,
    task: impl Fn() -> Task<State>,
) -> Vec<RunningTasks> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(cluster.node(&format!("n{number}"), vec![task()]).await);
    }
    nodes
}

/// How many of `takes` long runs were going on at once at most.
fn most_at_once(starts: &[Timestamp], takes: Duration) -> usize {
    let beside = |start: &Timestamp| {
        let others = starts.iter();
        let is_beside = |other: &&Timestamp| **other <= *start && *start < **other + takes;
        others.filter(is_beside).count()
    };
    starts.iter().map(beside).max().unwrap_or_default()
}

fn starts(cluster: &Cluster) -> Vec<Timestamp> {
    cluster.log.all().iter().map(|ran| ran.started_at).collect()
}

#[tokio::test(start_paused = true)]
async fn s39_with_queue_one_the_newest_tick_runs_when_the_slow_one_has_ended() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/10 * * * * *", secs(35)).overlap(Overlap::QueueOne);
    let _nodes = nodes(&cluster, 3, task).await;
    pass(secs(60)).await;
    // The first runs from 10 to 45; of 20, 30 and 40 only the last is left then.
    assert_eq!(cluster.log.ticks("t"), [at(10_000), at(40_000)]);
    let second = &cluster.log.all()[1];
    let waited = second.started_at.since(at(45_000));
    assert!(waited < ms(500), "released at once, not after {waited:?}");
    for replaced in [20_000, 30_000] {
        let record = record(&cluster, at(replaced)).await;
        assert_eq!(record.state, RunState::Skipped);
        let reason = record.reason.unwrap_or_default();
        assert!(reason.starts_with("replaced by"), "{reason}");
    }
    assert_eq!(most_at_once(&starts(&cluster), secs(35)), 1);
}

#[tokio::test(start_paused = true)]
async fn s39_with_queue_all_ticks_run_in_order_and_a_full_line_skips() {
    let cluster = Cluster::new();
    let max = 2;
    let task = move || slow("t", "*/10 * * * * *", secs(25)).overlap(Overlap::QueueAll { max });
    let _nodes = nodes(&cluster, 3, task).await;
    pass(secs(119)).await;
    let ran: Vec<_> = cluster.log.all().iter().map(|ran| ran.tick).collect();
    let mut sorted = ran.clone();
    sorted.sort_unstable();
    assert_eq!(ran, sorted, "the oldest first");
    assert!(ran.len() >= 4, "{ran:?}");
    assert_eq!(most_at_once(&starts(&cluster), secs(25)), 1);
    let states = cluster.states("t").await;
    let skipped: Vec<_> = states
        .iter()
        .filter(|(.., state)| *state == RunState::Skipped)
        .collect();
    assert!(!skipped.is_empty());
    for (tick, ..) in skipped {
        let reason = record(&cluster, *tick).await.reason.unwrap_or_default();
        assert!(reason.starts_with("queue_full"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn s39_queued_ticks_survive_the_restart_of_every_node() {
    let cluster = Cluster::new();
    let max = 10;
    let task = move || {
        slow("t", "*/10 * * * * *", secs(300))
            .overlap(Overlap::QueueAll { max })
            .catch_up(CatchUp::Skip)
    };
    let all = nodes(&cluster, 2, task).await;
    pass(secs(45)).await;
    // All at once, as a machine that goes down: a node that is still there when the run of another
    // has stopped rightly begins the next in line.
    join_all(all.iter().map(|node| node.drain(Duration::ZERO))).await;
    drop(all);
    pass(secs(5)).await;
    let waiting = |states: Vec<(Timestamp, u32, RunState)>| -> Vec<Timestamp> {
        let waiting = states.into_iter();
        let waiting = waiting.filter(|(.., state)| *state == RunState::Waiting);
        waiting.map(|(tick, ..)| tick).collect()
    };
    let queued = [at(20_000), at(30_000), at(40_000)];
    assert_eq!(waiting(cluster.states("t").await), queued);
    let before = cluster.log.len();
    // The same definition, and code that is quick by now: its generation knows nothing of code.
    let quick = move || {
        logged("t", "*/10 * * * * *")
            .overlap(Overlap::QueueAll { max })
            .catch_up(CatchUp::Skip)
    };
    let _new = nodes(&cluster, 2, quick).await;
    pass(secs(3)).await;
    let ran: Vec<_> = cluster.log.all()[before..]
        .iter()
        .map(|ran| ran.tick)
        .filter(|tick| *tick < at(50_000))
        .collect();
    assert_eq!(ran, queued);
}

#[tokio::test(start_paused = true)]
async fn s38_with_cancel_other_the_newer_tick_begins_when_the_older_has_stopped() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/10 * * * * *", secs(100)).overlap(Overlap::CancelOther);
    let all = nodes(&cluster, 3, task).await;
    let mut events: Vec<_> = all.iter().map(RunningTasks::events).collect();
    pass(secs(35)).await;
    assert_eq!(cluster.log.ticks("t"), [at(10_000), at(20_000), at(30_000)]);
    for ran in cluster.log.all() {
        let late = ran.started_at.since(ran.tick);
        assert!(
            late < ms(500),
            "the older stopped at once, not after {late:?}"
        );
    }
    for (older, newer) in [(10_000, 20_000), (20_000, 30_000)] {
        let older = record(&cluster, at(older)).await;
        assert_eq!(older.state, RunState::Cancelled);
        let reason = older.reason.unwrap_or_default();
        assert!(reason.contains(&key(at(newer)).to_string()), "{reason}");
        assert!(reason.contains("cancel_other"), "{reason}");
    }
    let mut asked = 0;
    for events in &mut events {
        for event in cluster::arrived(events).await {
            asked += usize::from(matches!(event, RunnerEvent::CancelRequested { .. }));
        }
    }
    assert_eq!(asked, 2);
}

#[tokio::test(start_paused = true)]
async fn s38_with_cancel_other_a_node_that_is_gone_holds_the_newer_up_until_its_lease_ends() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/10 * * * * *", secs(100)).overlap(Overlap::CancelOther);
    let first = nodes(&cluster, 1, task).await;
    pass(secs(12)).await;
    assert_eq!(cluster.log.len(), 1);
    // Dropped, it says nothing to anybody.
    drop(first);
    let _second = cluster.node("other", vec![task()]).await;
    pass(secs(40)).await;
    let ran = cluster.log.all();
    let next = ran.iter().find(|ran| ran.node == "other").unwrap();
    // Its lease lasts 15 s from a beat that it sent after the tick or at most 5 s before.
    assert!(next.started_at >= at(20_000), "{next:?}");
    assert_eq!(record(&cluster, at(10_000)).await.state, RunState::Lost);
}

#[tokio::test(start_paused = true)]
async fn s38_max_running_holds_for_all_ticks_and_indices_in_the_whole_cluster() {
    let cluster = Cluster::new();
    let task = || {
        slow("t", "*/10 * * * * *", secs(25))
            .concurrency(3)
            .max_running(2)
            .overlap(Overlap::QueueAll { max: 100 })
    };
    let _nodes = nodes(&cluster, 3, task).await;
    pass(secs(120)).await;
    let starts = starts(&cluster);
    assert_eq!(most_at_once(&starts, secs(25)), 2);
    assert!(starts.len() >= 8, "{}", starts.len());
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s38_what_exceeds_max_running_is_skipped_with_the_limit_as_reason() {
    let cluster = Cluster::new();
    let task = || {
        slow("t", "*/10 * * * * *", secs(25))
            .overlap(Overlap::Allow)
            .max_running(2)
    };
    let _nodes = nodes(&cluster, 3, task).await;
    pass(secs(59)).await;
    assert_eq!(most_at_once(&starts(&cluster), secs(25)), 2);
    let third = record(&cluster, at(30_000)).await;
    assert_eq!(third.state, RunState::Skipped);
    let reason = third.reason.unwrap_or_default();
    assert!(reason.starts_with("limit"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn s38_a_full_node_leaves_its_ticks_to_the_others() {
    let cluster = Cluster::new();
    let task = || {
        slow("t", "*/10 * * * * *", secs(1000))
            .concurrency(6)
            .max_running_per_node(2)
    };
    let _full = nodes(&cluster, 2, task).await;
    pass(secs(15)).await;
    let by_node = || -> Vec<usize> { cluster.log.by_node().into_values().collect() };
    assert_eq!(by_node(), [2, 2], "{:?}", cluster.log.by_node());
    let _third = cluster.node("third", vec![task()]).await;
    pass(secs(15)).await;
    assert_eq!(by_node(), [2, 2, 2], "{:?}", cluster.log.by_node());
}

#[tokio::test(start_paused = true)]
async fn s38_a_tick_that_no_node_has_room_for_is_missed_with_that_reason() {
    let cluster = Cluster::new();
    let task = || {
        slow("t", "*/10 * * * * *", secs(1000))
            .concurrency(3)
            .max_running_per_node(1)
            .overlap(Overlap::Allow)
            .catch_up_window(secs(5))
    };
    let _nodes = nodes(&cluster, 2, task).await;
    pass(secs(19)).await;
    assert_eq!(cluster.log.len(), 2);
    let states = cluster.states("t").await;
    let missed: Vec<_> = states
        .iter()
        .filter(|(.., state)| *state == RunState::Missed)
        .collect();
    assert_eq!(missed.len(), 1, "{states:?}");
    let (tick, index, _) = missed[0];
    let key = RunKey::scheduled(TaskName::new("t").unwrap(), *tick, *index);
    let record = cluster.store.run(&key).await.unwrap().unwrap();
    let reason = record.reason.unwrap_or_default();
    assert!(reason.contains("max_running_per_node = 1"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn s46_a_whole_nodes_limit_holds_over_its_tasks_and_what_waited_runs_later() {
    let mut cluster = Cluster::new();
    cluster.options = cluster.options.max_running(Some(2));
    let tasks = (0..5)
        .map(|n| slow(&format!("t{n}"), "0 * * * * *", secs(10)))
        .collect();
    let node = cluster.node("n", tasks).await;
    pass(secs(60 + 45)).await;
    let ran = cluster.log.all();
    let by_task: BTreeMap<_, _> = ran.iter().map(|ran| (ran.task.clone(), ran.tick)).collect();
    assert_eq!(by_task.len(), 5, "all of them ran in the end: {ran:?}");
    assert_eq!(most_at_once(&starts(&cluster), secs(10)), 2);
    assert!(node.health().is_good());
}

#[tokio::test(start_paused = true)]
async fn s38_a_tick_that_a_whole_nodes_limit_keeps_out_is_missed_with_that_limit_as_reason() {
    let mut cluster = Cluster::new();
    cluster.options = tenure_tasks::RunnerOptions::new().max_running(Some(1));
    let tasks =
        ["t", "u"].map(|name| slow(name, "0 * * * * *", secs(1000)).catch_up_window(secs(5)));
    let _node = cluster.node("n", tasks.into()).await;
    pass(secs(60 + 30)).await;
    let ran = cluster.log.all();
    assert_eq!(ran.len(), 1, "{ran:?}");
    let other = if ran[0].task == "t" { "u" } else { "t" };
    let record = cluster.record(other, at(60_000)).await;
    assert_eq!(record.state, RunState::Missed);
    let reason = record.reason.unwrap_or_default();
    assert!(reason.contains("([node] max_running = 1 here)"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn s46_a_whole_nodes_limit_holds_over_all_its_managers_together() {
    let cluster = Cluster::new();
    let other = Arc::new(tenure_memory::MemoryStore::with_clock(
        cluster.clock.clone(),
    ));
    let tasks = (0..6).map(|n| {
        let task = slow(&format!("t{n}"), "0 * * * * *", secs(10));
        if n % 2 == 0 {
            task
        } else {
            task.on_manager("b")
        }
    });
    let node = tenure_tasks::TaskScheduling::builder(cluster.state("n"))
        .manager(StoreLockManager::new(cluster.store.clone()))
        .manager(StoreLockManager::new(other).named("b"))
        .clock(cluster.clock.clone())
        .options(tenure_tasks::RunnerOptions::new().max_running(Some(2)))
        .tasks(tasks)
        .start()
        .await
        .unwrap();
    pass(secs(60 + 55)).await;
    let ran = cluster.log.all();
    let tasks: std::collections::BTreeSet<_> = ran.iter().map(|ran| ran.task.clone()).collect();
    assert_eq!(tasks.len(), 6, "all of them ran in the end: {ran:?}");
    assert_eq!(most_at_once(&starts(&cluster), secs(10)), 2);
    assert!(node.health().is_good());
}

#[tokio::test(start_paused = true)]
async fn s60_requested_runs_obey_the_limits_and_cost_no_tick() {
    let cluster = Cluster::new();
    let task = || {
        slow("t", "*/20 * * * * *", secs(15))
            .max_running(1)
            .max_running_per_node(1)
    };
    let _nodes = nodes(&cluster, 2, task).await;
    pass(secs(15)).await;
    let now = cluster.store.now().await.unwrap().now;
    let id = RequestId::new("r").unwrap();
    let requested = RunKey::manual(TaskName::new("t").unwrap(), now, 1, id);
    let mut request = Enqueue::new(requested.clone(), "asked");
    request.max_running = Some(MaxRunning::new(1, 1));
    cluster.store.enqueue(&[request]).await.unwrap();
    pass(secs(33)).await;
    // It runs from 15 to 30. The tick at 20 found the limit reached by it alone, so it waited.
    let ran = cluster.log.all();
    let ticks: Vec<_> = ran.iter().map(|ran| ran.tick).collect();
    assert_eq!(ticks, [requested.tick, at(20_000)]);
    assert_eq!(most_at_once(&starts(&cluster), secs(15)), 1);
    assert_eq!(
        record(&cluster, at(20_000)).await.state,
        RunState::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_by_hand_wherever_it_runs_and_is_not_tried_again() {
    let cluster = Cluster::new();
    let task =
        || slow("t", "0 * * * * *", secs(1000)).retry(tenure_tasks::Retry::fixed(3, secs(1)));
    let all = nodes(&cluster, 2, task).await;
    pass(secs(65)).await;
    let cancel = Cancel::new(key(at(60_000)), "ann", "it hangs");
    let answer = cluster.store.cancel_run(&cancel).await.unwrap();
    assert_eq!(answer, Cancelling::Asked);
    pass(secs(2)).await;
    let record = record(&cluster, at(60_000)).await;
    assert_eq!((record.state, record.attempt), (RunState::Cancelled, 1));
    let reason = record.reason.unwrap_or_default();
    assert!(reason.starts_with("cancelled by ann: it hangs"), "{reason}");
    let running: usize = all
        .iter()
        .map(|node| node.health().managers[0].running)
        .sum();
    assert_eq!(running, 0);
    let notes = cluster.store.events(None, 1000).await.unwrap();
    let kinds = notes.events.iter().filter_map(|event| match &event.kind {
        EventKind::Note(note) => Some(note.kind.as_str()),
        _ => None,
    });
    let asked = kinds.filter(|kind| *kind == "cancel_requested");
    assert_eq!(asked.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_that_a_run_was_asked_to_stop_and_how_it_ended() {
    let cluster = Cluster::new();
    let node = cluster
        .node("n", vec![slow("t", "0 * * * * *", secs(1000))])
        .await;
    let mut events = node.events();
    pass(secs(61)).await;
    let cancel = Cancel::new(key(at(60_000)), "ann", "");
    cluster.store.cancel_run(&cancel).await.unwrap();
    let by = event(&mut events, |event| match event {
        RunnerEvent::CancelRequested { by, .. } => Some(by),
        _ => None,
    });
    assert_eq!(by.await, "ann");
    let outcome = event(&mut events, |event| match event {
        RunnerEvent::Finished { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert_eq!(outcome.await, Outcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn s58_catch_up_earliest_runs_the_first_tick_of_an_absence_and_counts_the_rest() {
    let cluster = Cluster::new();
    let task = || {
        logged("t", "0 * * * * *")
            .catch_up(CatchUp::Earliest)
            .catch_up_window(secs(600))
    };
    let node = cluster.node("n", vec![task()]).await;
    pass(secs(65)).await;
    node.drain(Duration::ZERO).await;
    drop(node);
    pass(secs(300)).await;
    let _node = cluster.node("n", vec![task()]).await;
    pass(secs(3)).await;
    assert_eq!(cluster.log.ticks("t"), [at(60_000), at(120_000)]);
    let query = HistoryQuery::of(TaskName::new("t").unwrap());
    let runs = cluster.store.history(&query).await.unwrap().runs;
    let missed: Vec<_> = runs
        .iter()
        .filter(|run| run.state == RunState::Missed)
        .collect();
    assert_eq!(missed.len(), 4);
    let reason = missed[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("earliest"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn s39_a_line_goes_on_through_the_loss_of_the_node_at_its_head() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/10 * * * * *", secs(12)).overlap(Overlap::QueueAll { max: 50 });
    let doomed = cluster.node("doomed", vec![task()]).await;
    pass(secs(11)).await;
    let _other = cluster.node("other", vec![task()]).await;
    drop(doomed);
    pass(secs(119)).await;
    let states = cluster.states("t").await;
    let count = |wanted| states.iter().filter(|(.., state)| *state == wanted).count();
    assert_eq!(count(RunState::Lost), 1, "{states:?}");
    assert_eq!(
        count(RunState::Skipped) + count(RunState::Missed),
        0,
        "{states:?}"
    );
    assert_eq!(most_at_once(&starts(&cluster)[1..], secs(12)), 1);
    cluster.log.assert_none_twice();
}
