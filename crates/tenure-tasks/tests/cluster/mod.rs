//! A cluster in one process for the tests: nodes over one store, on a clock that is tokio's paused
//! time, with a store that can be cut off, slowed down and counted.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a test that cannot go on ends"
)]

mod faulty;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{
    Clock, Holder, Moment, RunKey, RunRecord, RunState, RunStore, TaskName, Timestamp,
};
use tenure_memory::MemoryStore;
use tenure_tasks::{
    Events, RunnerEvent, RunnerOptions, RunningTasks, StoreLockManager, Task, TaskContext,
    TaskScheduling,
};
use tokio::time::{Instant, timeout};

pub(crate) use faulty::FaultyStore;

pub(crate) const START_MS: i64 = 1_767_225_600_000;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An instant so many milliseconds after the beginning of the test.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + ms)
}

/// Tokio's time, which the tests pause, with a wall clock that can be set and a steady clock that
/// can jump as it does over a suspension.
#[derive(Debug)]
pub(crate) struct TestClock {
    began_at: Instant,
    slept_ms: AtomicU64,
    wall_offset_ms: AtomicI64,
    /// How much of each millisecond of a timer it does not count, in thousandths.
    behind_per_mille: u32,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Self::behind_timers(0)
    }

    /// A clock beside which timers go too fast, so that each wakes so many thousandths early.
    pub(crate) fn behind_timers(behind_per_mille: u32) -> Arc<Self> {
        Arc::new(Self {
            began_at: Instant::now(),
            slept_ms: AtomicU64::new(0),
            wall_offset_ms: AtomicI64::new(0),
            behind_per_mille,
        })
    }

    /// The machine sleeps: both clocks go on, nothing runs.
    pub(crate) fn suspend(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.slept_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn step_wall(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        let counted = self.began_at.elapsed() / 1000 * (1000 - self.behind_per_mille);
        counted + ms(self.slept_ms.load(Ordering::SeqCst))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment::from_origin(secs(3600) + self.elapsed())
    }

    fn wall(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap();
        at(elapsed + self.wall_offset_ms.load(Ordering::SeqCst))
    }
}

/// One execution of a task's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ran {
    pub(crate) task: String,
    pub(crate) tick: Timestamp,
    pub(crate) index: u32,
    pub(crate) attempt: u32,
    pub(crate) node: String,
    pub(crate) started_at: Timestamp,
    pub(crate) fence: u64,
}

/// What ran, on all nodes.
#[derive(Debug, Default)]
pub(crate) struct Log {
    ran: Mutex<Vec<Ran>>,
}

impl Log {
    pub(crate) fn add(&self, node: &str, context: &TaskContext<State>) {
        self.ran.lock().unwrap().push(Ran {
            task: context.task().as_str().to_owned(),
            tick: context.tick(),
            index: context.index(),
            attempt: context.attempt(),
            node: node.to_owned(),
            started_at: context.started_at(),
            fence: context.fence().map_or(0, tenure_core::Fence::get),
        });
    }

    pub(crate) fn all(&self) -> Vec<Ran> {
        self.ran.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.ran.lock().unwrap().len()
    }

    pub(crate) fn ticks(&self, task: &str) -> Vec<Timestamp> {
        let mut ticks: Vec<_> = self
            .all()
            .into_iter()
            .filter(|ran| ran.task == task)
            .map(|ran| ran.tick)
            .collect();
        ticks.sort_unstable();
        ticks
    }

    /// How often each (task, tick, index, attempt) ran.
    pub(crate) fn counts(&self) -> BTreeMap<(String, Timestamp, u32, u32), usize> {
        let mut counts = BTreeMap::new();
        for ran in self.all() {
            *counts
                .entry((ran.task, ran.tick, ran.index, ran.attempt))
                .or_default() += 1;
        }
        counts
    }

    pub(crate) fn assert_none_twice(&self) {
        for (run, count) in self.counts() {
            assert_eq!(count, 1, "{run:?} ran {count} times");
        }
    }

    pub(crate) fn by_node(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for ran in self.all() {
            *counts.entry(ran.node).or_default() += 1;
        }
        counts
    }
}

/// The application state of the tests: the common log and the node's name.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) log: Arc<Log>,
    pub(crate) node: String,
}

impl State {
    pub(crate) fn ran(context: &TaskContext<Self>) {
        let state = context.application().clone();
        state.log.add(&state.node, context);
    }
}

/// A task that only writes down that it ran.
pub(crate) fn logged(name: &str, schedule: &str) -> Task<State> {
    Task::new(name)
        .schedule(schedule)
        .run(|context: TaskContext<State>| async move { State::ran(&context) })
}

/// A task that writes down that it ran and then takes some time.
pub(crate) fn slow(name: &str, schedule: &str, takes: Duration) -> Task<State> {
    Task::new(name)
        .schedule(schedule)
        .run(move |context: TaskContext<State>| async move {
            State::ran(&context);
            timeout(takes, context.cancelled())
                .await
                .is_err()
                .then_some(())
                .ok_or("stopped")
        })
}

/// Nodes over one memory store.
pub(crate) struct Cluster {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<dyn RunStore>,
    pub(crate) log: Arc<Log>,
    pub(crate) options: RunnerOptions,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::on(TestClock::new())
    }

    pub(crate) fn on(clock: Arc<TestClock>) -> Self {
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self {
            clock,
            store,
            log: Arc::default(),
            options: RunnerOptions::default(),
        }
    }

    pub(crate) fn state(&self, node: &str) -> State {
        State {
            log: self.log.clone(),
            node: node.to_owned(),
        }
    }

    /// Starts a node on the cluster's own clock and store.
    pub(crate) async fn node(&self, name: &str, tasks: Vec<Task<State>>) -> RunningTasks {
        self.node_on(name, self.clock.clone(), self.store.clone(), tasks)
            .await
    }

    pub(crate) async fn node_on(
        &self,
        name: &str,
        clock: Arc<dyn Clock>,
        store: Arc<dyn RunStore>,
        tasks: Vec<Task<State>>,
    ) -> RunningTasks {
        TaskScheduling::builder(self.state(name))
            .manager(StoreLockManager::new(store).as_node(Holder::new(name)))
            .clock(clock)
            .options(self.options.clone())
            .tasks(tasks)
            .start()
            .await
            .unwrap()
    }

    /// What is on record of a task's first index.
    pub(crate) async fn record(&self, task: &str, tick: Timestamp) -> RunRecord {
        let key = RunKey::scheduled(TaskName::new(task).unwrap(), tick, 1);
        self.store.run(&key).await.unwrap().unwrap()
    }

    /// The states on record of a task, by tick and index, oldest first.
    pub(crate) async fn states(&self, task: &str) -> Vec<(Timestamp, u32, RunState)> {
        let mut query = tenure_core::HistoryQuery::of(TaskName::new(task).unwrap());
        query.limit = 1000;
        let mut states: Vec<_> = self
            .store
            .history(&query)
            .await
            .unwrap()
            .runs
            .into_iter()
            .map(|run| (run.key.tick, run.key.index, run.state))
            .collect();
        states.sort_unstable();
        states
    }
}

/// Lets the paused time go on.
pub(crate) async fn pass(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}

/// Waits for an event that `wanted` accepts, for at most an hour.
pub(crate) async fn event<T>(
    events: &mut Events,
    mut wanted: impl FnMut(RunnerEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the events ended");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(secs(3600), found)
        .await
        .expect("no such event within an hour")
}

/// Events that have arrived by now.
pub(crate) async fn arrived(events: &mut Events) -> Vec<RunnerEvent> {
    let mut all = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
        all.push(event);
    }
    all
}
