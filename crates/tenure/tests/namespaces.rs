//! Two fleets in one place: what differs between their namespaces, and between nodes does not.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenure::core::Generation;
use tenure::tasks::{
    RunAccess, StoreLockManager, TaskError, TaskExecutionToken, TaskManager, TaskSpec,
};
use tenure::{Task, TaskScheduling, Timestamp};

/// A manager that keeps what it is told of its tasks.
#[derive(Debug)]
struct Told {
    inner: StoreLockManager,
    specs: Arc<Mutex<Vec<Arc<TaskSpec>>>>,
}

#[async_trait]
impl TaskManager for Told {
    fn name(&self) -> Option<&str> {
        self.inner.name()
    }

    async fn init(&self, tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        self.specs.lock().unwrap().extend_from_slice(tasks);
        self.inner.init(tasks).await
    }

    async fn attempt_execute(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
        let inner = &self.inner;
        inner
            .attempt_execute(task, execution_time, concurrency_index)
            .await
    }

    async fn mark_executed(&self, token: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        self.inner.mark_executed(token).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    fn runs(&self) -> Option<RunAccess> {
        self.inner.runs()
    }
}

/// By how much a node in a namespace of the file delays each of a hundred ticks of two tasks; and
/// what the definitions of those are called.
async fn delays_of(file: &Path, namespace: &str) -> (Vec<Duration>, Vec<Generation>) {
    let url = format!("sqlite:{}?namespace={namespace}", file.display());
    let tenure = tenure::connect(&url).await.unwrap();
    let specs = Arc::default();
    let task = |name| {
        let task = Task::new(name).schedule("@hourly");
        let task = task.jitter(Duration::from_secs(600));
        task.run(async |_| Ok::<(), std::convert::Infallible>(()))
    };
    let running = TaskScheduling::builder(())
        .manager(Told {
            inner: tenure.manager(),
            specs: Arc::clone(&specs),
        })
        .task(task("a"))
        .task(task("b"))
        .start()
        .await
        .unwrap();
    drop(running.drain(Duration::ZERO).await);
    let specs = specs.lock().unwrap();
    let mut specs: Vec<_> = specs.iter().collect();
    specs.sort_by_key(|spec| spec.name());
    let ticks = (1..=100).map(|hour| Timestamp::from_millis(hour * 3_600_000));
    let ticks: Vec<_> = ticks.collect();
    let of_spec = |spec: &&Arc<TaskSpec>| {
        let delay = |tick: &Timestamp| spec.fires_at(*tick).since(*tick);
        ticks.iter().map(delay).collect::<Vec<_>>()
    };
    let delays = specs.iter().flat_map(of_spec).collect();
    let generations = specs.iter().map(|spec| spec.generation().clone());
    (delays, generations.collect())
}

#[tokio::test]
async fn s64_jitter_is_the_same_on_every_node_of_a_namespace_and_another_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let (node, definitions) = delays_of(&file, "default").await;
    assert_eq!((node.len(), definitions.len()), (200, 2));
    let second = delays_of(&file, "default").await;
    assert_eq!(second, (node.clone(), definitions.clone()), "a second node");
    let (other, their_definitions) = delays_of(&file, "staging").await;
    assert_eq!(their_definitions, definitions, "the definitions are alike");
    let pairs = node.iter().zip(&other);
    let alike = pairs.filter(|(one, other)| one == other).count();
    assert!(alike < 5, "{alike} of 200 delays are alike");
    for delay in node.iter().chain(&other) {
        assert!(*delay < Duration::from_secs(600), "{delay:?}");
    }
}
