//! The task manager on a real Redis: the contract's rows, the origin's scheduling matrix, and the
//! origin's wire format beside clients that know nothing of tenure.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::core::{Clock, Holder, Moment, RunKey, RunState, SystemClock};
use tenure::tasks::RunningTasks;
use tenure::{
    CatchUp, Overlap, RedisLockConfig, RedisLockManager, RedisTaskLock, Schedule, Task,
    TaskContext, TaskLockManager, TaskManager, TaskScheduling, Timestamp,
};
use tenure_bed::{Flavour, Redis};
use tokio::time::{Instant, interval, timeout};

const INSTANCES: usize = 5;
const TICKS: usize = 4;
const TASKS: [&str; 2] = ["Test Task 1", "Test Task 2"];

/// The machine's clocks, with the wall clock off by so many milliseconds.
#[derive(Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now(&self) -> Moment {
        SystemClock.now()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.wall().as_millis() + self.0)
    }
}

/// Which instances executed each index of each (task, tick).
type Executions = BTreeMap<(String, Timestamp), BTreeMap<u32, Vec<usize>>>;

/// What one cell of the matrix is about.
#[derive(Clone, Copy)]
struct Cell {
    period: Duration,
    concurrency: u32,
    /// How far each instance's clock is off.
    skew_ms: [i64; INSTANCES],
    interop: Option<Duration>,
    /// Whether the instance that is astray and another one execute each tick both.
    is_repeated: bool,
}

/// The instance whose clock is 5 s off.
const ASTRAY: usize = 3;
/// It and another are behind, or ahead.
const BEHIND: [i64; INSTANCES] = [0, 150, 0, -5000, 0];
const AHEAD: [i64; INSTANCES] = [0, -150, 0, 5000, 0];

async fn instance(
    n: usize,
    url: &str,
    cell: Cell,
    executions: &Arc<Mutex<Executions>>,
) -> RunningTasks {
    let task = |name: &str| {
        let executions = executions.clone();
        Task::new(name)
            .schedule(Schedule::every(cell.period).unwrap())
            .concurrency(cell.concurrency)
            // The origin has no rule about overlaps; on a busy machine a run may be that late.
            .overlap(Overlap::Allow)
            .catch_up(CatchUp::All)
            .catch_up_max(1000)
            .run(move |context: TaskContext<usize>| {
                let run = (context.task().as_str().to_owned(), context.tick());
                let mut executions = executions.lock().unwrap();
                let indices = executions.entry(run).or_default();
                indices.entry(context.index()).or_default().push(n);
                std::future::ready(())
            })
    };
    let manager = RedisLockManager::connect(url).await.unwrap();
    let mut manager = manager.as_node(Holder::new(format!("instance {n}")));
    if let Some(expiration) = cell.interop {
        manager = manager.interop(expiration);
    }
    TaskScheduling::builder(n)
        .manager(manager)
        .tasks(TASKS.map(task))
        .clock(Arc::new(Skewed(cell.skew_ms[n])))
        .start()
        .await
        .unwrap()
}

/// What was executed of the first ticks that all instances were there for, and of all the others.
async fn run(cell: Cell) -> (Executions, Executions) {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let executions = Arc::new(Mutex::new(Executions::default()));
    let mut instances = Vec::new();
    for n in 0..INSTANCES {
        instances.push(instance(n, &server.url(), cell, &executions).await);
    }
    // Ticks that every instance was there for, whatever its clock says.
    let ahead = cell.skew_ms.iter().copied().max().unwrap().max(0);
    let behind = cell.skew_ms.iter().copied().min().unwrap().min(0);
    let begun = Timestamp::from_millis(SystemClock.wall().as_millis() + ahead);
    let last = |executions: &Executions| {
        let ends = TASKS.map(|task| {
            let of_task = executions.keys().filter(|(name, _)| name == task);
            let mut ticks = of_task.map(|(_, tick)| *tick).filter(|tick| *tick > begun);
            ticks.nth(TICKS - 1)
        });
        ends.into_iter().max().flatten()
    };
    // Enough: these ticks are complete, and lie behind whoever comes to them last.
    let beyond = i64::try_from(cell.period.as_millis().max(500)).unwrap();
    let is_enough = || {
        let executions = executions.lock().unwrap();
        let judged = executions.iter().filter(|((_, tick), _)| *tick > begun);
        let slowest = Timestamp::from_millis(SystemClock.wall().as_millis() + behind);
        let complete = |indices: &BTreeMap<u32, Vec<usize>>| {
            let is_repeated = |by: &Vec<usize>| by.contains(&ASTRAY) && by.len() > 1;
            indices.len() == usize::try_from(cell.concurrency).unwrap()
                && (!cell.is_repeated || indices.values().all(is_repeated))
        };
        last(&executions).is_some_and(|last| {
            let mut judged = judged.filter(|((_, tick), _)| *tick <= last);
            slowest.as_millis() > last.as_millis() + beyond
                && judged.all(|(_, indices)| complete(indices))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut looks = interval(Duration::from_millis(20));
    while !is_enough() {
        looks.tick().await;
        assert!(Instant::now() < deadline, "no {TICKS} ticks in a minute");
    }
    for instance in &instances {
        let drained = timeout(
            Duration::from_secs(60),
            instance.drain(Duration::from_secs(10)),
        );
        assert_eq!(drained.await.unwrap().interrupted, []);
    }
    let all = std::mem::take(&mut *executions.lock().unwrap());
    let last = last(&all).unwrap();
    let is_judged = |tick: Timestamp| begun < tick && tick <= last;
    let (judged, others): (Executions, Executions) =
        all.into_iter().partition(|((_, tick), _)| is_judged(*tick));
    assert!(judged.len() >= TICKS * TASKS.len(), "{judged:?}");
    (judged, others)
}

/// Each index of each tick was executed once, and the others not twice.
async fn exact(cell: Cell) -> Executions {
    let (judged, others) = run(cell).await;
    let indices: Vec<u32> = (1..=cell.concurrency).collect();
    for (tick, by) in &judged {
        assert!(by.keys().eq(&indices), "{tick:?} was executed by {by:?}");
        assert!(
            by.values().all(|by| by.len() == 1),
            "{tick:?} was executed by {by:?}"
        );
    }
    let mut others = others.values().flatten();
    assert_eq!(others.find(|(_, by)| by.len() > 1), None);
    judged
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

macro_rules! matrix {
    ($($name:ident: $period:literal ms, $concurrency:literal;)*) => {
        mod safe {
            use super::*;
            $(
                /// One instance's clock is 150 ms off and one's 5 s, one ahead and one behind.
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let cell = |skew_ms| Cell {
                        period: ms($period),
                        concurrency: $concurrency,
                        skew_ms,
                        interop: None,
                        is_repeated: false,
                    };
                    tokio::join!(exact(cell(BEHIND)), exact(cell(AHEAD)));
                }
            )*
        }

        mod interop {
            use super::*;
            $(
                /// Keys that live longer than the clocks are apart, as the origin needs it: whose
                /// clock is 5 s behind finds every key, whose is 5 s ahead takes each.
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let cell = |skew_ms| Cell {
                        period: ms($period),
                        concurrency: $concurrency,
                        skew_ms,
                        interop: Some(ms(60_000)),
                        is_repeated: false,
                    };
                    let (behind, ahead) = tokio::join!(exact(cell(BEHIND)), exact(cell(AHEAD)));
                    let by = |executions: Executions| -> BTreeSet<usize> {
                        let indices = executions.into_values().flatten();
                        indices.flat_map(|(_, by)| by).collect()
                    };
                    assert!(!by(behind).contains(&ASTRAY));
                    assert_eq!(by(ahead), BTreeSet::from([ASTRAY]));
                }
            )*
        }
    };
}

/// What the origin's protocol does with its own default, and the positive control of the matrix: a
/// clock that is off by more than a key lives is noticed there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_a_keys_of_100_ms_let_a_clock_that_is_5_s_off_execute_every_tick_again() {
    for skew_ms in [BEHIND, AHEAD] {
        let cell = Cell {
            period: ms(400),
            concurrency: 3,
            skew_ms,
            interop: Some(ms(100)),
            is_repeated: true,
        };
        let (judged, _) = run(cell).await;
        for (tick, by) in judged {
            for by in by.values() {
                let astray = by.iter().filter(|n| **n == ASTRAY).count();
                assert!(
                    astray == 1 && by.len() > 1,
                    "{tick:?} was executed by {by:?}"
                );
            }
        }
    }
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

fn spec(name: &str) -> tenure::tasks::TaskSpec {
    let task = Task::<()>::new(name)
        .schedule("@daily")
        .run(|_| std::future::ready(()));
    task.check().unwrap()
}

#[tokio::test]
async fn part_a_the_origins_wire_format_is_spoken_byte_for_byte() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let manager = RedisLockManager::connect(&server.url()).await.unwrap();
    let manager = manager.interop(ms(60_000));
    let time: Timestamp = "2026-11-21T03:00:00.000Z".parse().unwrap();
    let text = "2026-11-21T03:00:00.000Z";
    let task = spec("a-***-b");
    // Ours excludes theirs.
    let ours = manager.acquire_lock_key(&task, time, 2).await.unwrap();
    let ours = ours.unwrap();
    let key = format!("a_b-***-2-***-{text}");
    assert_eq!(ours.value(), key);
    assert_eq!((ours.name(), ours.concurrency_index()), ("a_b", 2));
    assert_eq!(server.call(&["GET", &key]).await.to_string(), text);
    let left = server.call(&["PTTL", &key]).await.int().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    let theirs = ["SET", &key, text, "NX", "PX", "100"];
    assert_eq!(server.call(&theirs).await.to_string(), "");
    // The end of the execution deletes nothing: it could be claimed again.
    manager.mark_executed(ours).await.unwrap();
    assert_eq!(server.call(&["EXISTS", &key]).await.int(), Some(1));
    // Theirs excludes ours.
    let key = format!("a_b-***-3-***-{text}");
    let theirs = ["SET", &key, text, "NX", "PX", "60000"];
    assert_eq!(server.call(&theirs).await.to_string(), "OK");
    let refused = manager.acquire_lock_key(&task, time, 3).await.unwrap();
    assert!(refused.is_none());
}

#[tokio::test]
async fn part_a_a_claim_by_hand_is_a_lock_that_outlives_its_task() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let config = RedisLockConfig {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        connection_pool_initial_size: 2,
        ..RedisLockConfig::default()
    };
    let manager = RedisLockManager::configured(Some("reports"), Arc::new(7_u8), &config)
        .await
        .unwrap();
    assert_eq!(manager.name(), Some("reports"));
    let application = manager.application().unwrap();
    assert_eq!(application.downcast_ref::<u8>(), Some(&7));
    let task = spec("rates");
    manager.init(&[]).await.unwrap();
    let tick = SystemClock.wall();
    let lock = manager
        .acquire_lock_key(&task, tick, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        lock.value(),
        RedisTaskLock::of("rates", 1, tick).to_string()
    );
    assert!(lock.fence().is_some());
    // However short the task: nobody else gets the execution.
    manager.mark_executed(lock).await.unwrap();
    let other = RedisLockManager::connect(&server.url()).await.unwrap();
    assert!(
        other
            .acquire_lock_key(&task, tick, 1)
            .await
            .unwrap()
            .is_none()
    );
    let key = RunKey::scheduled(task.name().clone(), tick, 1);
    let record = manager
        .runs()
        .unwrap()
        .store
        .run(&key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    manager.close().await;
}

#[tokio::test]
async fn part_a_the_expiration_of_the_configuration_is_that_of_the_origins_keys() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let config = |lock_expiration_ms| RedisLockConfig {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        lock_expiration_ms,
        ..RedisLockConfig::default()
    };
    let made = |ms| async move {
        RedisLockManager::interop_configured(Some("reports"), Arc::new(7_u8), &config(ms)).await
    };
    let manager = made(345_678).await.unwrap();
    assert_eq!(manager.name(), Some("reports"));
    let time: Timestamp = "2026-11-21T03:00:00.000Z".parse().unwrap();
    let lock = manager.acquire_lock_key(&spec("rates"), time, 1).await;
    let key = lock.unwrap().unwrap().value();
    let left = server.call(&["PTTL", &key]).await.int().unwrap();
    assert!((300_000..=345_678).contains(&left), "{left}");
    let refused = made(0).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("lock_expiration_ms: 0 must be"),
        "{refused}"
    );
}
