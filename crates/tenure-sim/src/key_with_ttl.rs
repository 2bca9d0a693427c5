//! The origin's protocol, to show that the simulator finds what is wrong with it: the first who
//! sets a key may run; the key is kept for a fixed time and nobody deletes it.
//!
//! Two nodes whose clocks differ by more than that time both find the key free. Nothing but the
//! demonstration uses this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::Timestamp;
use tenure_tasks::{
    TaskError, TaskExecutionToken, TaskLock, TaskLockManager, TaskManager, TaskSpec,
};
use tokio::time::Instant;

use crate::clock::virtual_now;
use crate::line::Line;

/// Keys that end by themselves: what the origin asks of Redis.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<String, Instant>>);

impl Keys {
    /// Sets a key if it is not there.
    fn set(&self, key: &str, keep: Duration) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = virtual_now();
        if keys.get(key).is_some_and(|ends_at| *ends_at > now) {
            return false;
        }
        keys.insert(key.to_owned(), now + keep);
        true
    }
}

/// One node's manager.
#[derive(Debug)]
pub(crate) struct KeyManager {
    keys: Arc<Keys>,
    line: Arc<Line>,
    keep: Duration,
}

impl KeyManager {
    pub(crate) fn new(keys: Arc<Keys>, line: Arc<Line>, keep: Duration) -> Self {
        Self { keys, line, keep }
    }
}

#[derive(Debug)]
struct KeyLock {
    key: String,
    task: String,
    index: u32,
}

impl TaskExecutionToken for KeyLock {
    fn name(&self) -> &str {
        &self.task
    }

    fn concurrency_index(&self) -> u32 {
        self.index
    }
}

impl TaskLock for KeyLock {
    fn value(&self) -> String {
        self.key.clone()
    }
}

#[async_trait]
impl TaskManager for KeyManager {
    fn name(&self) -> Option<&str> {
        None
    }

    async fn init(&self, _tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        Ok(())
    }

    async fn attempt_execute(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
        let lock = self
            .acquire_lock_key(task, execution_time, concurrency_index)
            .await?;
        Ok(lock.map(|lock| lock as Box<dyn TaskExecutionToken>))
    }

    /// Nothing: the key is left to end by itself.
    async fn mark_executed(&self, _token: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        Ok(())
    }

    async fn close(&self) {}
}

#[async_trait]
impl TaskLockManager for KeyManager {
    async fn acquire_lock_key(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskLock>>, TaskError> {
        self.line.thawed().await;
        let key = format!("{}-{execution_time}-{concurrency_index}", task.name());
        if !self.keys.set(&key, self.keep) {
            return Ok(None);
        }
        Ok(Some(Box::new(KeyLock {
            key,
            task: task.name().as_str().to_owned(),
            index: concurrency_index,
        })))
    }
}
