//! The scheduling matrix of the origin's own test, in real time: five instances, four ticks,
//! several periods, two tasks, several concurrencies. Each (task, tick) is executed exactly
//! `concurrency` times, whatever the store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{Clock as _, Holder, Overlap, RunStore, SystemClock, Timestamp};
use tenure_memory::MemoryStore;
use tenure_schedule::Schedule;
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_tasks::{CatchUp, RunningTasks, StoreLockManager, Task, TaskContext, TaskScheduling};
use tokio::time::{Instant, interval, timeout};

const INSTANCES: usize = 5;
const TICKS: usize = 4;
const TASKS: [&str; 2] = ["Test Task 1", "Test Task 2"];

/// How often each index of each (task, tick) was executed.
type Executions = Arc<Mutex<BTreeMap<(String, Timestamp), BTreeMap<u32, usize>>>>;

async fn instance(
    n: usize,
    store: Arc<dyn RunStore>,
    period: Duration,
    concurrency: u32,
    executions: &Executions,
) -> RunningTasks {
    let task = |name: &str| {
        let executions = executions.clone();
        Task::new(name)
            .schedule(Schedule::every(period).unwrap())
            .concurrency(concurrency)
            // The origin has no rule about overlaps; on a busy machine a run may be that late.
            .overlap(Overlap::Allow)
            .catch_up(CatchUp::All)
            .catch_up_max(1000)
            .run(move |context: TaskContext<usize>| {
                let run = (context.task().as_str().to_owned(), context.tick());
                *executions
                    .lock()
                    .unwrap()
                    .entry(run)
                    .or_default()
                    .entry(context.index())
                    .or_default() += 1;
                std::future::ready(())
            })
    };
    TaskScheduling::builder(n)
        .manager(StoreLockManager::new(store).as_node(Holder::new(format!("instance {n}"))))
        .tasks(TASKS.map(task))
        .start()
        .await
        .unwrap()
}

/// Runs one cell of the matrix. `store` opens the store anew, as another process would.
async fn cell(store: impl Fn() -> Arc<dyn RunStore>, period_ms: u64, concurrency: u32) {
    let period = Duration::from_millis(period_ms);
    let executions = Executions::default();
    let mut instances = Vec::new();
    for n in 0..INSTANCES {
        instances.push(instance(n, store(), period, concurrency, &executions).await);
    }
    let begun = SystemClock.wall();
    let expected: BTreeMap<u32, usize> = (1..=concurrency).map(|index| (index, 1)).collect();
    // Enough: the first ticks that all instances were there for are complete, and more have come.
    let is_enough = || {
        let executions = executions.lock().unwrap();
        TASKS.iter().all(|task| {
            let mut ticks = executions
                .iter()
                .filter(|((name, tick), _)| name == task && *tick > begun);
            let complete = ticks.by_ref().take(TICKS);
            let complete = complete.filter(|(_, indices)| indices.len() == expected.len());
            complete.count() == TICKS && ticks.next().is_some()
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut looks = interval(Duration::from_millis(20));
    while !is_enough() {
        looks.tick().await;
        assert!(
            Instant::now() < deadline,
            "no {TICKS} ticks of {period:?} in a minute"
        );
    }
    // What was claimed is finished, what was not claimed stays unclaimed.
    let drains = instances
        .iter()
        .map(|instance| instance.drain(Duration::from_secs(10)));
    let drained = timeout(
        Duration::from_secs(60),
        futures_util::future::join_all(drains),
    );
    for drained in drained.await.unwrap() {
        assert_eq!(drained.interrupted, []);
        assert_eq!(drained.unreported, 0);
    }
    let executions = executions.lock().unwrap();
    for task in TASKS {
        let ticks: Vec<_> = executions
            .iter()
            .filter(|((name, tick), _)| name == task && *tick > begun)
            .take(TICKS)
            .collect();
        assert_eq!(ticks.len(), TICKS);
        for ((_, tick), indices) in ticks {
            assert_eq!(
                *indices, expected,
                "{task}, {tick}, {period:?} × {concurrency}"
            );
        }
        // No later one was executed twice either, though the drain may have cut it.
        let twice = executions.values().flatten().find(|(_, count)| **count > 1);
        assert_eq!(twice, None);
    }
}

macro_rules! matrix {
    ($($name:ident: $period:literal ms, $concurrency:literal;)*) => {
        mod memory {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let shared = MemoryStore::new();
                    cell(|| Arc::new(shared.clone()), $period, $concurrency).await;
                }
            )*
        }

        mod sqlite {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let path = folder.path().join("tenure.db");
                    let open = || -> Arc<dyn RunStore> {
                        Arc::new(SqliteStore::open(SqliteOptions::new(&path)).unwrap())
                    };
                    cell(open, $period, $concurrency).await;
                }
            )*
        }
    };
}

matrix! {
    origin_200_ms_one_at_a_time: 200 ms, 1;
    origin_200_ms_three_at_a_time: 200 ms, 3;
    origin_200_ms_six_at_a_time: 200 ms, 6;
    origin_400_ms_one_at_a_time: 400 ms, 1;
    origin_400_ms_three_at_a_time: 400 ms, 3;
    origin_400_ms_six_at_a_time: 400 ms, 6;
    origin_800_ms_one_at_a_time: 800 ms, 1;
    origin_800_ms_three_at_a_time: 800 ms, 3;
    origin_800_ms_six_at_a_time: 800 ms, 6;
}
