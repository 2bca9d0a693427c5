//! Task managers that are nothing but a store by its name.
//!
//! Each is the one generic manager of `tenure-tasks` over a store, with constructors that open the
//! store. They differ in nothing else, so what one does all do.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use tenure_core::{Holder, Timestamp};
use tenure_tasks::{
    RunAccess, StoreLockManager, TaskError, TaskExecutionToken, TaskLock, TaskLockManager,
    TaskManager, TaskSpec,
};

macro_rules! manager {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name(StoreLockManager);

        impl $name {
            /// With a name, by which tasks ask for it; without one it is the default manager.
            #[must_use]
            pub fn named(self, name: impl Into<String>) -> Self {
                Self(self.0.named(name))
            }

            /// The state that this manager's tasks see in place of the scheduling's; of the same
            /// type.
            #[must_use]
            pub fn with_application<S: Send + Sync + 'static>(self, application: Arc<S>) -> Self {
                Self(self.0.with_application(application))
            }

            /// How this process introduces itself to the store.
            #[must_use]
            pub fn as_node(self, node: Holder) -> Self {
                Self(self.0.as_node(node))
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl TaskManager for $name {
            fn name(&self) -> Option<&str> {
                self.0.name()
            }

            fn application(&self) -> Option<Arc<dyn Any + Send + Sync>> {
                self.0.application()
            }

            async fn init(&self, tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
                self.0.init(tasks).await
            }

            async fn attempt_execute(
                &self,
                task: &TaskSpec,
                execution_time: Timestamp,
                concurrency_index: u32,
            ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
                self.0
                    .attempt_execute(task, execution_time, concurrency_index)
                    .await
            }

            async fn mark_executed(
                &self,
                token: Box<dyn TaskExecutionToken>,
            ) -> Result<(), TaskError> {
                self.0.mark_executed(token).await
            }

            async fn close(&self) {
                self.0.close().await;
            }

            fn runs(&self) -> Option<RunAccess> {
                self.0.runs()
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl TaskLockManager for $name {
            async fn acquire_lock_key(
                &self,
                task: &TaskSpec,
                execution_time: Timestamp,
                concurrency_index: u32,
            ) -> Result<Option<Box<dyn TaskLock>>, TaskError> {
                self.0
                    .acquire_lock_key(task, execution_time, concurrency_index)
                    .await
            }
        }
    };
}

#[cfg(feature = "memory")]
manager! {
    /// Runs each task once among the schedulings of one process. For tests and single instances.
    MemoryLockManager
}

#[cfg(feature = "memory")]
impl MemoryLockManager {
    /// On a new store that nobody else shares.
    #[must_use]
    pub fn new() -> Self {
        Self::over(tenure_memory::MemoryStore::new())
    }

    /// On a store that several schedulings share.
    #[must_use]
    pub fn over(store: tenure_memory::MemoryStore) -> Self {
        Self(StoreLockManager::new(Arc::new(store)))
    }
}

#[cfg(feature = "memory")]
impl Default for MemoryLockManager {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "sqlite")]
manager! {
    /// Runs each task once among the processes that share a SQLite file.
    SqliteLockManager
}

#[cfg(feature = "sqlite")]
impl SqliteLockManager {
    /// On the file at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// [`ConnectError::Store`](crate::ConnectError::Store) if the file cannot be used.
    pub async fn open(path: impl Into<std::path::PathBuf>) -> Result<Self, crate::ConnectError> {
        let options = tenure_sqlite::SqliteOptions::new(path);
        crate::connect::open_sqlite(options).await.map(Self::over)
    }

    /// On a store that is open already.
    #[must_use]
    pub fn over(store: tenure_sqlite::SqliteStore) -> Self {
        Self(StoreLockManager::new(Arc::new(store)))
    }
}
