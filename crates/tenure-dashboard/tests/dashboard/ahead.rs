//! What the first page tells of the hour to come, on the store in memory.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Enqueue, Generation, Holder, ManualClock,
    RunKey, RunStore, TaskName, Timestamp,
};
use tenure_dashboard::view::Now;
use tenure_memory::MemoryStore;

use crate::view::dashboard;

/// A store with a node that runs tasks of these schedules, `t0` and so on.
async fn of_schedules(clock: &Arc<ManualClock>, schedules: &[&str]) -> (Arc<MemoryStore>, Holder) {
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let node = Holder::new("worker");
    let beat = Beat::new(node.clone(), Duration::from_secs(36_000));
    store.beat(&beat).await.unwrap();
    define(&store, &node, "g1", schedules).await;
    (store, node)
}

async fn define(store: &MemoryStore, node: &Holder, generation: &str, schedules: &[&str]) {
    let tasks = schedules.iter().enumerate().map(|(at, schedule)| {
        let generation = Generation::new(generation).unwrap();
        Definition::new(nth(at), generation, *schedule)
    });
    let tasks: Vec<_> = tasks.collect();
    store.register(node.id, &tasks).await.unwrap();
}

fn nth(task: usize) -> TaskName {
    TaskName::new(format!("t{task}")).unwrap()
}

/// Claims a run of each of these tasks, now, so that the timeline shows them.
async fn show(store: &MemoryStore, node: &Holder, tasks: &[usize]) -> Timestamp {
    let tick = RunStore::now(store).await.unwrap().now;
    let items = tasks.iter().map(|task| {
        let generation = Generation::new("g1").unwrap();
        ClaimItem::new(nth(*task), tick, 1, generation)
    });
    let claim = ClaimBatch::new(node.id, items.collect());
    let claimed = store.claim(&claim).await.unwrap();
    for answer in &claimed.answers {
        assert!(matches!(answer, ClaimAnswer::Won(_)), "{answer:?}");
    }
    tick
}

/// After how many seconds each of the tasks is due that are shown.
fn ahead(now: &Now, tick: Timestamp) -> Vec<(&str, Vec<u64>)> {
    let ahead = now.timeline.ahead.iter().map(|ahead| {
        let ticks = ahead.ticks.iter().map(|at| at.0.since(tick).as_secs());
        (ahead.task.as_str(), ticks.collect())
    });
    ahead.collect()
}

fn due(now: &Now) -> u64 {
    now.timeline.upcoming.iter().map(|minute| minute.runs).sum()
}

#[tokio::test]
async fn a_task_that_is_due_often_hides_no_other_and_its_whole_hour_is_shown() {
    let clock = Arc::new(ManualClock::default());
    let (store, node) = of_schedules(&clock, &["@every 10s", "0 9 * * *"]).await;
    let tick = show(&store, &node, &[0]).await;
    clock.advance(Duration::from_millis(1));
    let now = dashboard(&store).view().now().await.unwrap();
    let next: Vec<_> = now.next.iter().map(|soon| soon.task.as_str()).collect();
    assert_eq!(next, ["t0", "t1"]);
    // The tick of the first minute that is still to come, and the first of each other; the other
    // task has no run to be shown.
    let expected = [10].into_iter().chain((1..=60).map(|at| 60 * at)).collect();
    assert_eq!(ahead(&now, tick), [("t0", expected)]);
    assert_eq!((due(&now), now.timeline.is_estimate), (360, false));
}

#[tokio::test]
async fn the_whole_hour_is_told_of_tasks_that_are_due_ten_times_a_second() {
    let clock = Arc::new(ManualClock::default());
    let (store, node) = of_schedules(&clock, &["@every 100ms"]).await;
    let tick = show(&store, &node, &[0]).await;
    clock.advance(Duration::from_millis(1));
    let now = dashboard(&store).view().now().await.unwrap();
    assert_eq!(
        ahead(&now, tick),
        [("t0", (0..=60).map(|at| 60 * at).collect())]
    );
    assert_eq!((due(&now), now.timeline.is_estimate), (36_000, true));
    let minutes: Vec<u64> = now.timeline.upcoming.iter().map(|it| it.runs).collect();
    assert!(
        minutes[1..60].iter().all(|runs| *runs == 600),
        "{minutes:?}"
    );
}

#[tokio::test]
async fn a_run_that_follows_is_to_come_unless_it_is_overdue_or_its_task_has_ticks_by_now() {
    let clock = Arc::new(ManualClock::default());
    let (store, node) = of_schedules(&clock, &["@after 10m", "@after 1m", "@after 10m"]).await;
    let tick = show(&store, &node, &[0, 1, 2]).await;
    let following = [(0, 600), (1, 60), (2, 600)].map(|(task, after)| {
        let key = RunKey::following(nth(task), tick, 1);
        let mut following = Enqueue::new(key, "after the run before".to_owned());
        following.due_in = Duration::from_secs(after);
        following
    });
    store.enqueue(&following).await.unwrap();
    define(
        &store,
        &node,
        "g2",
        &["@after 10m", "@after 1m", "0 1 * * *"],
    )
    .await;
    clock.advance(Duration::from_secs(120));
    let now = dashboard(&store).view().now().await.unwrap();
    assert_eq!(
        ahead(&now, tick),
        [("t0", vec![600]), ("t2", vec![3600])],
        "the second is overdue"
    );
    assert_eq!(due(&now), 2);
    let next: Vec<_> = (now.next.iter())
        .map(|soon| (soon.task.as_str(), soon.tick.0.since(tick).as_secs()))
        .collect();
    assert_eq!(next, [("t1", 60), ("t0", 600), ("t2", 3600)]);
}
