//! The manager over any [`RunStore`]: `MemoryLockManager`, `SqliteLockManager` and the like are
//! this one with a store.
//!
//! Started by [`TaskScheduling`](crate::TaskScheduling) it only lends its store: the runner does
//! the rest. Used by hand, each permission is one claim, and the node is kept alive by the calls.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{
    Beat, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Clock, Fence, Finish, Finished, Holder,
    Moment, Outcome, Refusal, RunStore, StoreError, SystemClock, Timestamp,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::manager::{
    RunAccess, TaskError, TaskExecutionToken, TaskLock, TaskLockManager, TaskManager,
};
use crate::spec::TaskSpec;

/// How long a node that is used by hand counts as alive after each call.
const TTL: Duration = Duration::from_secs(15);

/// How long the store may take to hear that the node leaves.
const FAREWELL: Duration = Duration::from_secs(5);

/// A lock manager over a store of runs.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tenure_core::RunStore;
/// use tenure_tasks::StoreLockManager;
///
/// fn reports(store: Arc<dyn RunStore>) -> StoreLockManager {
///     StoreLockManager::new(store).named("reports")
/// }
/// ```
#[derive(Debug)]
pub struct StoreLockManager {
    access: RunAccess,
    name: Option<String>,
    application: Option<Application>,
    clock: Arc<dyn Clock>,
    /// When the node last beat by hand.
    beaten_at: Mutex<Option<Moment>>,
}

#[derive(Clone)]
struct Application(Arc<dyn Any + Send + Sync>);

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Application(..)")
    }
}

impl StoreLockManager {
    /// The default manager over `store`. This process goes by its program's and its host's name.
    #[must_use]
    pub fn new(store: Arc<dyn RunStore>) -> Self {
        Self {
            access: RunAccess::new(store, this_process()),
            name: None,
            application: None,
            clock: Arc::new(SystemClock),
            beaten_at: Mutex::new(None),
        }
    }

    /// A manager that tasks ask for by name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The state that this manager's tasks see in place of the scheduling's; of the same type.
    #[must_use]
    pub fn with_application<S: Send + Sync + 'static>(mut self, application: Arc<S>) -> Self {
        self.application = Some(Application(application));
        self
    }

    /// How this process introduces itself to the store.
    #[must_use]
    pub fn as_node(mut self, node: Holder) -> Self {
        self.access.node = node;
        self
    }

    /// A clock for use by hand, other than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn RunStore> {
        &self.access.store
    }

    /// How this process introduces itself to the store.
    #[must_use]
    pub fn node(&self) -> &Holder {
        &self.access.node
    }

    /// Beats if the last beat is old.
    async fn keep_alive(&self) -> Result<(), StoreError> {
        let mut beaten_at = self.beaten_at.lock().await;
        let now = self.clock.now();
        if beaten_at.is_none_or(|at| now.since(at) >= TTL / 3) {
            self.access
                .store
                .beat(&Beat::new(self.access.node.clone(), TTL))
                .await?;
            *beaten_at = Some(now);
        }
        Ok(())
    }

    async fn claim(&self, item: &ClaimItem) -> Result<Option<ClaimAnswer>, StoreError> {
        self.keep_alive().await?;
        let batch = ClaimBatch::new(self.access.node.id, vec![item.clone()]);
        let reply = self.access.store.claim(&batch).await?;
        Ok(reply.answers.into_iter().next())
    }
}

#[async_trait]
impl TaskManager for StoreLockManager {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn application(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.application.clone().map(|application| application.0)
    }

    /// Asks the store for its time, which fails if it cannot be used. The runner registers the
    /// tasks; by hand they need not be.
    async fn init(&self, _tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        self.access.store.now().await?;
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

    async fn mark_executed(&self, token: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        let task = token.name().to_owned();
        let token: Box<dyn Any> = token;
        let Ok(lock) = token.downcast::<StoreTaskLock>() else {
            return Err(TaskError::ForeignToken { task });
        };
        let finish = Finish::new(lock.claim.run, Outcome::Succeeded);
        let answers = self.access.store.finish(&[finish]).await?;
        if !answers.contains(&Finished::Recorded) {
            tracing::warn!(task, "an execution ended too late to be recorded");
        }
        Ok(())
    }

    async fn close(&self) {
        let leaving = timeout(FAREWELL, self.access.store.leave(self.access.node.id));
        match leaving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not leave the store; the lease ends by itself");
            }
            Err(_) => tracing::debug!("no answer to the farewell; the lease ends by itself"),
        }
    }

    fn runs(&self) -> Option<RunAccess> {
        Some(self.access.clone())
    }
}

#[async_trait]
impl TaskLockManager for StoreLockManager {
    async fn acquire_lock_key(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskLock>>, TaskError> {
        let mut item = ClaimItem::new(
            task.name().clone(),
            execution_time,
            concurrency_index,
            task.generation().clone(),
        );
        item.window = task.claim_window();
        item.overlap = task.overlap();
        item.on_crash = task.on_crash();
        item.aliases = task.terms.aliases.clone();
        let mut answer = self.claim(&item).await?;
        if let Some(ClaimAnswer::Refused(Refusal::NodeLapsed)) = answer {
            *self.beaten_at.lock().await = None;
            answer = self.claim(&item).await?;
        }
        Ok(match answer {
            Some(ClaimAnswer::Won(claim)) => Some(Box::new(StoreTaskLock { claim })),
            _ => None,
        })
    }
}

/// The lock of one execution: a claim in the store.
#[derive(Debug, Clone)]
pub struct StoreTaskLock {
    claim: Claim,
}

impl StoreTaskLock {
    /// The claim that was won.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }
}

impl TaskExecutionToken for StoreTaskLock {
    fn name(&self) -> &str {
        self.claim.run.key.task.as_str()
    }

    fn concurrency_index(&self) -> u32 {
        self.claim.run.key.index
    }
}

impl TaskLock for StoreTaskLock {
    /// The run's identity and attempt.
    fn value(&self) -> String {
        format!("{} attempt {}", self.claim.run.key, self.claim.run.attempt)
    }

    fn fence(&self) -> Option<Fence> {
        Some(self.claim.fence)
    }
}

/// This process, by the names of its program and its host.
fn this_process() -> Holder {
    let program = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let host = hostname::get().unwrap_or_default();
    Holder::new(program.unwrap_or_default()).on_host(host.to_string_lossy())
}
