//! What nodes put back into a store that forgot everything it had acknowledged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, FaultyStore, State, at, logged, ms, pass, secs, slow};
use tenure_core::{
    Backfill, Enqueue, HistoryQuery, OnCrash, RequestId, RunKey, RunRecord, RunState, TaskName,
    Timestamp,
};
use tenure_memory::MemoryStore;
use tenure_tasks::control::run_now;
use tenure_tasks::{Retry, Task, TaskContext};

const WHO: &str = "asked for by ann: ticket 99";
/// A schedule that does not come due in any test.
const NEVER: &str = "0 0 1 1 *";

fn name(task: &str) -> TaskName {
    TaskName::new(task).unwrap()
}

/// A cluster on a store that can forget everything.
fn forgetful() -> (Cluster, Arc<MemoryStore>) {
    let mut cluster = Cluster::new();
    let memory = Arc::new(MemoryStore::with_clock(cluster.clock.clone()));
    cluster.store = memory.clone();
    (cluster, memory)
}

/// Runs the first index of a task now, as `tenure run-now --why` does; tells the run.
async fn ask(cluster: &Cluster, task: &str, tick: Timestamp) -> RunKey {
    let records = cluster.store.tasks().await.unwrap();
    let record = records
        .iter()
        .find(|record| record.definition.task.as_str() == task)
        .unwrap();
    let id = RequestId::new("r1").unwrap();
    let mut runs = run_now(record, tick, &[1], &id, "ann", "ticket 99").unwrap();
    if let Some(run) = runs.first_mut() {
        run.on_crash = OnCrash::Retry { max_attempts: 3 };
    }
    cluster.store.enqueue(&runs).await.unwrap();
    runs.remove(0).key
}

async fn record(cluster: &Cluster, key: &RunKey) -> RunRecord {
    let found = cluster.store.run(key).await.unwrap();
    found.unwrap()
}

/// What the record of a run says: where it stands, at which attempt, and who asked for it.
async fn told(cluster: &Cluster, key: &RunKey) -> (RunState, u32, Option<String>) {
    let record = record(cluster, key).await;
    (record.state, record.attempt, record.asked)
}

fn failing(name: &str) -> Task<State> {
    Task::new(name)
        .schedule(NEVER)
        .retry(Retry::fixed(2, secs(120)))
        .run(|context: TaskContext<State>| async move {
            State::ran(&context);
            Err::<(), _>("no")
        })
}

#[tokio::test(start_paused = true)]
async fn s50_s60_a_run_that_is_put_back_says_who_asked_for_it_and_why() {
    let (cluster, memory) = forgetful();
    let nothing = memory.runs_in_memory();
    let tasks = vec![
        slow("goes-on", NEVER, secs(60)),
        logged("ended", NEVER),
        failing("again"),
        logged("scheduled", "*/10 * * * * *"),
    ];
    let node = cluster.node("a", tasks).await;
    pass(secs(1)).await;
    let mut keys = Vec::new();
    for task in ["goes-on", "ended", "again"] {
        keys.push(ask(&cluster, task, at(500)).await);
    }
    pass(secs(12)).await;
    let mut before = Vec::new();
    for key in &keys {
        before.push(told(&cluster, key).await);
    }
    let who = Some(WHO.to_owned());
    let expected = [
        (RunState::Running, 1, who.clone()),
        (RunState::Succeeded, 1, who.clone()),
        (RunState::Waiting, 1, who.clone()),
    ];
    assert_eq!(before, expected);

    memory.go_back_to(&nothing);
    assert_eq!(cluster.store.run(&keys[0]).await.unwrap(), None);
    pass(secs(10)).await;
    for (key, expected) in keys.iter().zip(expected) {
        assert_eq!(told(&cluster, key).await, expected, "{key}");
    }
    let tick = cluster.record("scheduled", at(10_000)).await;
    assert_eq!((tick.state, tick.asked), (RunState::Succeeded, None));
    // Nor is it forgotten when they go on.
    pass(secs(180)).await;
    assert_eq!(
        told(&cluster, &keys[0]).await,
        (RunState::Succeeded, 1, who.clone())
    );
    assert_eq!(told(&cluster, &keys[2]).await, (RunState::Failed, 2, who));
    cluster.log.assert_none_twice();
    node.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s50_s60_whoever_took_a_run_over_from_a_dead_node_puts_back_who_asked_for_it() {
    let (cluster, memory) = forgetful();
    let nothing = memory.runs_in_memory();
    let task = || vec![slow("t", NEVER, secs(120)).on_crash(OnCrash::Retry { max_attempts: 3 })];
    let dying = FaultyStore::over(cluster.store.clone());
    let clock = cluster.clock.clone();
    let dead = cluster.node_on("a", clock, dying.clone(), task()).await;
    pass(secs(1)).await;
    let key = ask(&cluster, "t", at(500)).await;
    pass(secs(1)).await;
    assert_eq!(record(&cluster, &key).await.state, RunState::Running);
    dying.go_down();
    let node = cluster.node("b", task()).await;
    pass(secs(40)).await;
    let expected = (RunState::Running, 2, Some(WHO.to_owned()));
    assert_eq!(told(&cluster, &key).await, expected);
    memory.go_back_to(&nothing);
    pass(secs(30)).await;
    assert_eq!(told(&cluster, &key).await, expected);
    node.drain(secs(1)).await;
    drop(dead);
}

/// What a node has in hand is put back however long it goes on; what it remembers besides, only as
/// long as somebody could claim it again.
#[tokio::test(start_paused = true)]
async fn s50_s60_a_run_that_goes_on_for_hours_says_after_a_loss_who_asked_for_it() {
    let (cluster, memory) = forgetful();
    let nothing = memory.runs_in_memory();
    let long = slow("long", NEVER, secs(20_000)).catch_up_window(secs(300));
    let tasks = vec![long, logged("short", NEVER)];
    let node = cluster.node("a", tasks).await;
    pass(secs(1)).await;
    let long = ask(&cluster, "long", at(500)).await;
    pass(secs(7_200)).await;
    // What is remembered of the first goes when another comes.
    ask(&cluster, "short", at(7_200_000)).await;
    pass(secs(1)).await;
    memory.go_back_to(&nothing);
    pass(secs(30)).await;
    let expected = (RunState::Running, 1, Some(WHO.to_owned()));
    assert_eq!(told(&cluster, &long).await, expected);
    node.drain(ms(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s50_s57_a_run_of_a_chain_that_is_put_back_says_after_what_it_was_due() {
    let (cluster, memory) = forgetful();
    let nothing = memory.runs_in_memory();
    let node = cluster
        .node("a", vec![slow("t", "@after 10s", secs(7))])
        .await;
    pass(secs(38)).await;
    let chain = async || {
        let mut query = HistoryQuery::of(name("t"));
        query.limit = 1000;
        let page = cluster.store.history(&query).await.unwrap();
        let runs = page.runs.into_iter().rev();
        runs.map(|run| (run.key, run.asked)).collect::<Vec<_>>()
    };
    let before = chain().await;
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(before.iter().all(|(_, asked)| asked.is_some()));
    memory.go_back_to(&nothing);
    pass(secs(20)).await;
    let after = chain().await;
    assert_eq!(after[..3], before);
    assert!(after.iter().all(|(_, asked)| asked.is_some()), "{after:?}");
    node.drain(secs(1)).await;
}

/// The limit of what is put back, as docs/guide/guarantees.md tells it.
#[tokio::test(start_paused = true)]
async fn s50_s61_what_nobody_had_taken_yet_is_forgotten_and_a_backfill_goes_no_further() {
    let (cluster, memory) = forgetful();
    let nothing = memory.runs_in_memory();
    let tasks = vec![
        slow("busy", NEVER, secs(120)),
        slow("past", "* * * * *", secs(20)),
    ];
    let node = cluster.node("a", tasks).await;
    pass(secs(1)).await;
    let taken = ask(&cluster, "busy", at(100)).await;
    pass(secs(1)).await;
    // It stands behind the one that goes on.
    let behind = RunKey::manual(name("busy"), at(200), 1, RequestId::new("r2").unwrap());
    let waits = Enqueue::new(behind.clone(), WHO);
    cluster.store.enqueue(&[waits]).await.unwrap();
    let id = RequestId::new("b1").unwrap();
    let mut backfill = Backfill::new(id, name("past"), at(-600_000), at(-60_000));
    (backfill.by, backfill.why) = ("eve".into(), "no network".into());
    let saved = cluster.store.save_backfill(&backfill, None).await.unwrap();
    assert!(saved);
    pass(secs(30)).await;
    assert_eq!(record(&cluster, &behind).await.state, RunState::Waiting);
    let of_backfill = async || {
        let mut query = HistoryQuery::of(name("past"));
        query.to = Some(at(-60_000));
        let page = cluster.store.history(&query).await.unwrap();
        page.runs
    };
    let before = of_backfill().await;
    let had: Vec<&RunRecord> = before.iter().filter(|run| run.attempt > 0).collect();
    assert_eq!(had.len(), 2, "{before:?}");

    memory.go_back_to(&nothing);
    pass(secs(200)).await;
    assert_eq!(
        told(&cluster, &taken).await,
        (RunState::Succeeded, 1, Some(WHO.to_owned()))
    );
    assert_eq!(cluster.store.run(&behind).await.unwrap(), None);
    assert_eq!(cluster.store.backfills().await.unwrap(), []);
    let after = of_backfill().await;
    assert_eq!(after.len(), 2, "{after:?}");
    for (before, after) in had.into_iter().zip(after) {
        assert_eq!((&after.key, &after.asked), (&before.key, &before.asked));
        let asked = after.asked.unwrap();
        assert!(
            asked.contains("eve") && asked.contains("no network"),
            "{asked}"
        );
    }
    node.drain(secs(1)).await;
}
