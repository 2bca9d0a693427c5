//! The contract's names: who decides which instance runs a task.
//!
//! A [`TaskManager`] permits or refuses one execution. One that keeps its permissions in a
//! [`RunStore`] says so through [`TaskManager::runs`], and gets the full protocol: batches,
//! heartbeats, recovery, retries across nodes. Any other runs by its two calls alone.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tenure_core::{Fence, Holder, InvalidName, RunStore, StoreError, Timestamp};

use crate::spec::TaskSpec;

/// The internal name of the unnamed manager. No manager may call itself so, and no task may ask
/// for it by name.
pub const DEFAULT_MANAGER: &str = "default";

/// Decides which instance of the application runs which task.
#[async_trait]
pub trait TaskManager: fmt::Debug + Send + Sync + 'static {
    /// The name by which tasks ask for it; `None` for the default manager.
    fn name(&self) -> Option<&str>;

    /// The state its tasks see, if it is not the one given to
    /// [`TaskScheduling::builder`](crate::TaskScheduling::builder). Must be of the same type.
    fn application(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Prepares for these tasks. Called before anything runs, and again before other tasks take
    /// their place; every instance calls it, at any moment, so it must be safe to run at the same
    /// time elsewhere.
    ///
    /// # Errors
    /// [`TaskError`] if it cannot work; nothing is started then.
    async fn init(&self, tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError>;

    /// Asks to execute one (task, execution time, index). Of all instances that ask, one gets a
    /// token; the others get `None`.
    ///
    /// # Errors
    /// [`TaskError`] if there was no answer.
    async fn attempt_execute(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError>;

    /// Says that the execution is over, however it ended.
    ///
    /// # Errors
    /// [`TaskError`] if that could not be recorded.
    async fn mark_executed(&self, token: Box<dyn TaskExecutionToken>) -> Result<(), TaskError>;

    /// Gives up what it holds. Called once, after the last task has ended.
    async fn close(&self);

    /// The store this manager keeps its permissions in, and the name it goes by there. `Some`
    /// asks for the full protocol; [`TaskManager::attempt_execute`] is not called then.
    fn runs(&self) -> Option<RunAccess> {
        None
    }
}

/// A store of runs, and who this process is in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunAccess {
    /// The store.
    pub store: Arc<dyn RunStore>,
    /// This process instance. No two running schedulings may share it.
    pub node: Holder,
}

impl RunAccess {
    /// Access to `store` as `node`.
    #[must_use]
    pub fn new(store: Arc<dyn RunStore>, node: Holder) -> Self {
        Self { store, node }
    }
}

/// The permission to execute one (task, execution time, index).
pub trait TaskExecutionToken: Any + fmt::Debug + Send + Sync {
    /// The task's name.
    fn name(&self) -> &str;
    /// Which of the task's parallel runs, from 1.
    fn concurrency_index(&self) -> u32;
}

/// A manager whose permission is a lock.
///
/// Its [`TaskManager::attempt_execute`] is this trait's [`TaskLockManager::acquire_lock_key`]; the
/// lock it returns is the token.
#[async_trait]
pub trait TaskLockManager: TaskManager {
    /// Takes the lock of one (task, execution time, index), if nobody ever had it.
    ///
    /// # Errors
    /// [`TaskError`] if there was no answer.
    async fn acquire_lock_key(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskLock>>, TaskError>;
}

/// A token that is a lock, unique to one execution.
pub trait TaskLock: TaskExecutionToken {
    /// The lock as text: no two executions share it.
    fn value(&self) -> String;
    /// The number by which a resource refuses late writers, if the lock has one.
    fn fence(&self) -> Option<Fence> {
        None
    }
}

/// Why a manager gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The store failed.
    #[error("the run store failed")]
    Store(#[from] StoreError),
    /// A name is not one the store can keep.
    #[error("a name cannot be used")]
    Name(#[from] InvalidName),
    /// The token was made by another manager.
    #[error("the token of task `{task}` is not this manager's")]
    ForeignToken {
        /// The token's task.
        task: String,
    },
    /// Anything else, in the words of a manager outside this crate.
    #[error("the task manager failed")]
    Manager(#[source] Box<dyn std::error::Error + Send + Sync>),
}
