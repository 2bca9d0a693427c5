//! The pool of connections of the origin's configuration, on a real Redis: how large it is, and
//! what becomes of an execution for which no connection was free.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::core::{
    Clock as _, Holder, Key, LeaseStore, RunKey, RunState, RunStore as _, StoreErrorKind,
    SystemClock, TaskName,
};
use tenure::tasks::{RunnerEvent, RunningTasks};
use tenure::{
    Overlap, RedisLockConfig, RedisLockManager, RedisOptions, RedisStore, Schedule, Task,
    TaskContext, TaskLockManager as _, TaskScheduling, Timestamp,
};
use tenure_bed::{Flavour, Redis, Relay, until};
use tokio::task::{JoinHandle, JoinSet};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the pool of these tests says.
const RAN_OUT: &str = "none of the pool's 1 connections was free within 50ms; allow more \
    connections, or a longer wait for one";

async fn server() -> Redis {
    Redis::builder(Flavour::Redis).tcp().start().await
}

/// How many clients the server has, whoever asks among them.
async fn clients(server: &Redis) -> usize {
    let count = server.info("connected_clients").await;
    count.unwrap().parse().unwrap()
}

fn spec(name: &str) -> tenure::tasks::TaskSpec {
    let task = Task::<()>::new(name).schedule("@daily");
    // By hand nobody says that an execution is over.
    let task = task.overlap(Overlap::Allow);
    let task = task.run(|_| std::future::ready(()));
    task.check().unwrap()
}

async fn configured(config: &RedisLockConfig) -> Arc<RedisLockManager> {
    let manager = RedisLockManager::configured(None, Arc::new(()), config).await;
    Arc::new(manager.unwrap())
}

#[tokio::test]
async fn part_a_a_pool_begins_with_ten_connections_and_ends_there_unless_told_otherwise() {
    let server = server().await;
    let relay = Relay::to(&server);
    let config = RedisLockConfig {
        host: "127.0.0.1".to_owned(),
        port: relay.port(),
        connection_acquisition_timeout_ms: 20_000,
        ..RedisLockConfig::default()
    };
    let before = clients(&server).await;
    let manager = configured(&config).await;
    // One more than the pool hears what is pushed.
    assert_eq!(clients(&server).await - before, 10 + 1);
    take_at_once(&relay, &manager, 30).await;
    assert_eq!(clients(&server).await - before, 10 + 1);
}

#[tokio::test]
async fn part_a_a_pool_grows_from_its_initial_size_to_its_maximum_and_no_further() {
    let server = server().await;
    let relay = Relay::to(&server);
    let config = RedisLockConfig {
        host: "127.0.0.1".to_owned(),
        port: relay.port(),
        connection_pool_initial_size: 2,
        connection_pool_max_size: Some(5),
        connection_acquisition_timeout_ms: 20_000,
        ..RedisLockConfig::default()
    };
    let before = clients(&server).await;
    let manager = configured(&config).await;
    assert_eq!(clients(&server).await - before, 2 + 1);
    // One after another they need no third.
    for _ in 0..5 {
        take_at_once(&relay, &manager, 1).await;
    }
    assert_eq!(clients(&server).await - before, 2 + 1);
    take_at_once(&relay, &manager, 20).await;
    assert_eq!(clients(&server).await - before, 5 + 1);
}

/// Takes so many executions at the same time, each of which is answered late.
async fn take_at_once(relay: &Relay, manager: &Arc<RedisLockManager>, count: usize) {
    relay.delay_replies(Duration::from_millis(100));
    let tick = SystemClock.wall();
    let mut taking = JoinSet::new();
    for n in 0..count {
        let manager = manager.clone();
        taking.spawn(async move {
            // Its own each time: an execution that goes on keeps the next one of its task away.
            let task = spec(&format!("task {n} of {}", tick.as_millis()));
            manager.acquire_lock_key(&task, tick, 1).await.unwrap()
        });
    }
    while let Some(taken) = taking.join_next().await {
        assert!(taken.unwrap().is_some());
    }
    relay.heal();
}

/// A store with a pool of one connection, behind a relay.
async fn with_one_connection(relay: &Relay) -> RedisStore {
    let url = format!("{}?timeout=30s", relay.url());
    let options = RedisOptions::from_url(&url).unwrap();
    let options = options.pool(1, 1, Duration::from_millis(50));
    RedisStore::with(options).await.unwrap()
}

/// Has the pool's only connection lent to a request that is answered when the relay heals.
async fn exhaust(relay: &Relay, store: &RedisStore) -> JoinHandle<()> {
    let key = Key::new("nothing").unwrap();
    until("the connection is lent", PATIENCE, async || {
        relay.stall();
        let mut asked = {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.inspect(&key).await })
        };
        // Who asks later is refused later: if the first still asks by then, it has the connection.
        let later = async {
            tokio::task::yield_now().await;
            store.inspect(&key).await.unwrap_err();
            tokio::task::yield_now().await;
        };
        tokio::select! {
            biased;
            refused = &mut asked => {
                let error = refused.unwrap().unwrap_err();
                assert_eq!(error.to_string(), format!("inspect a lease: {RAN_OUT}"));
                relay.heal();
                None
            }
            () = later => Some(tokio::spawn(async move {
                asked.await.unwrap().unwrap();
            })),
        }
    })
    .await
}

#[tokio::test]
async fn part_a_a_pool_that_runs_out_is_an_error_and_never_a_denial() {
    let server = server().await;
    let relay = Relay::to(&server);
    let store = with_one_connection(&relay).await;
    let manager = RedisLockManager::over(store.clone());
    let (task, tick) = (spec("rates"), SystemClock.wall());
    assert!(
        manager
            .acquire_lock_key(&task, tick, 1)
            .await
            .unwrap()
            .is_some()
    );
    let lent = exhaust(&relay, &store).await;
    let next = Timestamp::from_millis(tick.as_millis() + 1);
    let error = manager.acquire_lock_key(&task, next, 1).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, format!("claim runs: {RAN_OUT}"));
    let error = LeaseStore::now(&store).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.outcome_is_unknown());
    relay.heal();
    lent.await.unwrap();
    assert!(
        manager
            .acquire_lock_key(&task, next, 1)
            .await
            .unwrap()
            .is_some()
    );
}

/// What a running manager told, and which ticks it executed.
#[derive(Debug, Default)]
struct Told {
    events: Mutex<Vec<RunnerEvent>>,
    executed: Mutex<Vec<Timestamp>>,
}

impl Told {
    fn find<T>(&self, found: impl FnMut(&RunnerEvent) -> Option<T>) -> Option<T> {
        self.events.lock().unwrap().iter().find_map(found)
    }

    /// What the store was reported to have said.
    fn trouble(&self) -> Option<(&'static str, String)> {
        self.find(|event| match event {
            RunnerEvent::StoreTrouble { call, error, .. } => Some((*call, error.clone())),
            _ => None,
        })
    }

    fn times(&self, tick: Timestamp) -> usize {
        let executed = self.executed.lock().unwrap();
        executed
            .iter()
            .filter(|executed| **executed == tick)
            .count()
    }
}

async fn running(manager: RedisLockManager, every: Duration) -> (RunningTasks, Arc<Told>) {
    let told = Arc::new(Told::default());
    let (sees, runs) = (told.clone(), told.clone());
    let task = Task::new("rates").schedule(Schedule::every(every).unwrap());
    let task = task
        .overlap(Overlap::Allow)
        .run(move |context: TaskContext<()>| {
            runs.executed.lock().unwrap().push(context.tick());
            std::future::ready(())
        });
    let tasks = TaskScheduling::builder(())
        .manager(manager.as_node(Holder::new("instance")))
        .task(task)
        .observe(move |event| sees.events.lock().unwrap().push(event.clone()))
        .start()
        .await;
    (tasks.unwrap(), told)
}

/// The first tick after now of a task that runs so often.
fn next_tick(every: Duration) -> Timestamp {
    let every = i64::try_from(every.as_millis()).unwrap();
    let now = SystemClock.wall().as_millis();
    Timestamp::from_millis((now / every + 1) * every)
}

async fn passed(tick: Timestamp) {
    until("the tick is due", PATIENCE, async || {
        (SystemClock.wall() > tick).then_some(())
    })
    .await;
}

#[tokio::test]
async fn part_a_a_tick_for_which_the_pool_ran_out_is_claimed_in_its_window_and_that_is_recorded() {
    // A tick that is later than the next one is told as missed.
    let every = Duration::from_secs(6);
    let server = server().await;
    let relay = Relay::to(&server);
    let store = with_one_connection(&relay).await;
    let (tasks, told) = running(RedisLockManager::over(store.clone()), every).await;
    until("it is registered", PATIENCE, async || {
        let health = tasks.health();
        health.managers.first()?.is_trusted.then_some(())
    })
    .await;
    let lent = exhaust(&relay, &store).await;
    let tick = next_tick(every);
    passed(tick).await;
    let (_, error) = until("the store's failure is told", PATIENCE, async || {
        told.trouble()
    })
    .await;
    assert!(error.ends_with(RAN_OUT), "{error}");
    let health = tasks.health();
    let trouble = health.managers.first().unwrap().trouble.clone();
    assert!(trouble.unwrap().ends_with(RAN_OUT));
    assert_eq!(told.times(tick), 0);
    relay.heal();
    lent.await.unwrap();
    let run = RunKey::scheduled(TaskName::new("rates").unwrap(), tick, 1);
    let reader = RedisStore::connect(&server.url()).await.unwrap();
    let record = until("the tick is on record", PATIENCE, async || {
        let record = reader.run(&run).await.unwrap()?;
        (record.state == RunState::Succeeded).then_some(record)
    })
    .await;
    assert_eq!(record.attempt, 1);
    assert_eq!(told.times(tick), 1);
    tasks.drain(Duration::from_secs(10)).await;
    // The tick before may have gone by while the connection was being lent: that one is missed.
    let missed = told.find(|event| match event {
        RunnerEvent::Missed { tick: of, .. } => (*of == tick).then(|| event.clone()),
        _ => None,
    });
    assert_eq!(missed, None);
}

#[tokio::test]
async fn part_a_interop_asks_again_within_the_window_when_the_pool_runs_out() {
    let every = Duration::from_secs(2);
    let server = server().await;
    let relay = Relay::to(&server);
    let store = with_one_connection(&relay).await;
    let manager = RedisLockManager::over(store.clone()).interop(PATIENCE);
    let (tasks, told) = running(manager, every).await;
    let lent = exhaust(&relay, &store).await;
    let tick = next_tick(every);
    passed(tick).await;
    // Long enough for the pool to have refused it.
    let refused = LeaseStore::now(&store).await.unwrap_err();
    assert!(refused.to_string().ends_with(RAN_OUT), "{refused}");
    assert_eq!(told.times(tick), 0);
    relay.heal();
    lent.await.unwrap();
    until("the tick is executed", PATIENCE, async || {
        (told.times(tick) > 0).then_some(())
    })
    .await;
    tasks.drain(Duration::from_secs(10)).await;
    assert_eq!(told.times(tick), 1);
    assert_eq!(told.trouble(), None);
}

#[tokio::test]
async fn part_a_interop_reports_an_execution_for_which_the_window_ended_in_an_empty_pool() {
    let every = Duration::from_secs(1);
    let server = server().await;
    let relay = Relay::to(&server);
    let store = with_one_connection(&relay).await;
    let manager = RedisLockManager::over(store.clone()).interop(Duration::from_millis(200));
    let (tasks, told) = running(manager, every).await;
    let lent = exhaust(&relay, &store).await;
    let trouble = until("the failure is told", PATIENCE, async || told.trouble()).await;
    let (call, error) = trouble;
    assert_eq!(call, "attempt_execute");
    assert!(error.contains(RAN_OUT), "{error}");
    let missed = told.find(|event| match event {
        RunnerEvent::Missed { tick, reason, .. } => Some((*tick, reason.clone())),
        _ => None,
    });
    let (tick, reason) = missed.unwrap();
    assert_eq!(reason, "its manager failed; this process did not run it");
    relay.heal();
    lent.await.unwrap();
    tasks.drain(Duration::from_secs(10)).await;
    assert_eq!(told.times(tick), 0);
}
