//! Alarms on several nodes over real stores: whoever notices, each is told once a cluster.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::tasks::{Alarm, AlarmKind, AlarmRule, AlarmState, RunningTasks, StoreLockManager};
use tenure::{Task, TaskScheduling};
use tenure_bed::until;
#[cfg(feature = "redis")]
use tenure_bed::{Flavour, Redis};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the nodes have in common besides their store.
#[derive(Debug, Clone, Default)]
struct Shared {
    is_bad: Arc<AtomicBool>,
    runs: Arc<Mutex<Vec<bool>>>,
    told: Arc<Mutex<Vec<Alarm>>>,
}

impl Shared {
    async fn node(&self, manager: StoreLockManager) -> RunningTasks {
        let told = self.told.clone();
        let rule = AlarmRule::new("pager")
            .on([AlarmKind::Failing, AlarmKind::Lost])
            .after(2)
            .call(move |alarm| {
                told.lock().unwrap().push(alarm);
                std::future::ready(Ok(()))
            });
        let shared = self.clone();
        let task = Task::new("t").schedule("@every 400ms").run(move |_| {
            let is_bad = shared.is_bad.load(Ordering::SeqCst);
            shared.runs.lock().unwrap().push(is_bad);
            async move { if is_bad { Err("no") } else { Ok(()) } }
        });
        TaskScheduling::builder(())
            .manager(manager)
            .task(task)
            .alarm(rule)
            .start()
            .await
            .unwrap()
    }

    fn states(&self) -> Vec<AlarmState> {
        let told = self.told.lock().unwrap();
        told.iter().map(|alarm| alarm.state).collect()
    }

    /// Waits until so many further runs of this sort were made.
    async fn further(&self, count: usize, is_bad: bool) {
        let made = || {
            let runs = self.runs.lock().unwrap();
            runs.iter().filter(|it| **it == is_bad).count()
        };
        let enough = made() + count;
        until("further runs", PATIENCE, async || {
            (made() >= enough).then_some(())
        })
        .await;
    }

    async fn tells(&self, expected: &[AlarmState]) {
        let told = async || (self.states().len() >= expected.len()).then_some(());
        until("an alarm", PATIENCE, told).await;
        assert_eq!(self.states(), expected);
    }
}

/// Three nodes, each with a connection of its own; the one that told first dies in between.
async fn told_once(shared: Shared, mut nodes: Vec<RunningTasks>) {
    use AlarmState::{Raised, Recovered};
    shared.further(2, false).await;
    shared.is_bad.store(true, Ordering::SeqCst);
    shared.tells(&[Raised]).await;
    shared.further(4, true).await;
    assert_eq!(
        shared.states(),
        [Raised],
        "nothing more is told while it lasts"
    );
    drop(nodes.pop());
    shared.is_bad.store(false, Ordering::SeqCst);
    shared.tells(&[Raised, Recovered]).await;
    shared.further(3, false).await;
    shared.is_bad.store(true, Ordering::SeqCst);
    shared.tells(&[Raised, Recovered, Raised]).await;
    for node in nodes {
        node.drain(Duration::from_secs(10)).await;
    }
    shared.tells(&[Raised, Recovered, Raised]).await;
}

#[cfg(feature = "memory")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_s44_an_alarm_is_told_once_by_three_nodes_in_memory() {
    let store = Arc::new(tenure::MemoryStore::new());
    let shared = Shared::default();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(shared.node(StoreLockManager::new(store.clone())).await);
    }
    told_once(shared, nodes).await;
}

async fn on(url: &str) {
    let shared = Shared::default();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let tenure = tenure::connect(url).await.unwrap();
        nodes.push(shared.node(tenure.manager()).await);
    }
    told_once(shared, nodes).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_s44_an_alarm_is_told_once_by_three_nodes_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    on(&format!("sqlite:{}", folder.path().join("t.db").display())).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_s44_an_alarm_is_told_once_by_three_nodes_on_redis() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    on(&server.url()).await;
}
