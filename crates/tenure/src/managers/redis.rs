//! The task manager on Redis, and the lock it gives, in the words of the origin.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{Clock as _, Fence, Holder, StoreError, StoreErrorKind, SystemClock, Timestamp};
use tenure_redis::{RedisOptions, RedisStore};
use tenure_tasks::{
    RunAccess, StoreLockManager, TaskError, TaskExecutionToken, TaskLock, TaskLockManager,
    TaskManager, TaskSpec,
};

use crate::ConnectError;

/// What stands between the parts of a lock's text.
const BETWEEN: &str = "-***-";

/// How long after a failed request in the origin's format it is made again.
const TAKE_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How to make a [`RedisLockManager`], by the origin's keys.
#[derive(Debug, Clone)]
pub struct RedisLockConfig {
    /// The server's host. Default: `localhost`.
    pub host: String,
    /// Its port. Default: 6379.
    pub port: u16,
    /// Who logs in; empty for the server's default user.
    pub username: String,
    /// The password; empty for none. Never shown.
    pub password: Secret,
    /// How long an execution's key lives, for [`RedisLockManager::interop_configured`]. Default:
    /// 100. At least 1. In the default mode the store keeps a record for far longer and this has no
    /// effect.
    pub lock_expiration_ms: u64,
    /// How many connections are opened at once. Default: 10.
    pub connection_pool_initial_size: usize,
    /// How many there may be. Default: as many as are opened at once.
    pub connection_pool_max_size: Option<usize>,
    /// How long a request waits for a connection of the pool. Default: 100. Running out is an
    /// error that is tried again within the task's window and reported, never a silent denial.
    pub connection_acquisition_timeout_ms: u64,
}

impl Default for RedisLockConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 6379,
            username: String::new(),
            password: Secret::default(),
            lock_expiration_ms: 100,
            connection_pool_initial_size: 10,
            connection_pool_max_size: None,
            connection_acquisition_timeout_ms: 100,
        }
    }
}

/// A text that is never shown.
#[derive(Clone, Default)]
pub struct Secret(String);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Runs each task once among all instances that share a Redis or Valkey server.
///
/// By default it claims executions in records that outlive every moment at which they could still
/// be claimed, judged by the server's clock. In [`RedisLockManager::interop`] mode it speaks the
/// origin's wire format instead, so that Kotlin and Rust instances share executions; then what the
/// origin cannot do is not done: no history, recovery or catch-up, and a node whose clock is off by
/// more than the expiration runs an execution again.
#[derive(Debug)]
pub struct RedisLockManager {
    store: RedisStore,
    safe: StoreLockManager,
    interop: Option<Duration>,
    /// What was claimed by hand, by the text of its lock.
    claimed: Mutex<HashMap<String, Box<dyn TaskLock>>>,
}

impl RedisLockManager {
    /// On the servers that `url` names.
    ///
    /// # Errors
    /// [`ConnectError`] if the URL cannot work or the servers cannot be used.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        crate::connect::open_redis(url).await.map(Self::over)
    }

    /// A manager with a name and a state for its tasks, by the origin's configuration.
    ///
    /// # Errors
    /// As [`RedisLockManager::connect`].
    pub async fn configured<S: Send + Sync + 'static>(
        name: Option<&str>,
        application: Arc<S>,
        config: &RedisLockConfig,
    ) -> Result<Self, ConnectError> {
        let invalid = |reason: String| ConnectError::Invalid {
            store: "redis",
            reason,
        };
        let host = if config.host.contains(':') {
            format!("[{}]", config.host)
        } else {
            config.host.clone()
        };
        let url = format!("redis://{host}:{}", config.port);
        let mut options =
            RedisOptions::from_url(&url).map_err(|error| invalid(error.to_string()))?;
        if !config.username.is_empty() {
            options = options.username(&config.username);
        }
        if !config.password.0.is_empty() {
            options = options.password(&config.password.0);
        }
        let initial = config.connection_pool_initial_size;
        let max = config.connection_pool_max_size.unwrap_or(initial);
        let patience = Duration::from_millis(config.connection_acquisition_timeout_ms);
        let store = RedisStore::with(options.pool(initial, max, patience))
            .await
            .map_err(crate::connect::redis_error)?;
        let manager = Self::over(store).with_application(application);
        Ok(match name {
            Some(name) => manager.named(name),
            None => manager,
        })
    }

    /// The origin's manager as it was made there: its configuration, its wire format, and keys that
    /// live for [`RedisLockConfig::lock_expiration_ms`].
    ///
    /// The origin's default of 100 ms is shorter than clocks are often apart; see
    /// [`RedisLockManager::interop`] for what an expiration must be.
    ///
    /// # Errors
    /// As [`RedisLockManager::connect`]; [`ConnectError::Invalid`] for an expiration of 0.
    ///
    /// # Examples
    /// ```no_run
    /// use std::sync::Arc;
    /// use tenure::{RedisLockConfig, RedisLockManager};
    ///
    /// # async fn example() -> Result<(), tenure::ConnectError> {
    /// let config = RedisLockConfig { lock_expiration_ms: 60_000, ..RedisLockConfig::default() };
    /// let manager = RedisLockManager::interop_configured(None, Arc::new(()), &config).await?;
    /// # drop(manager);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn interop_configured<S: Send + Sync + 'static>(
        name: Option<&str>,
        application: Arc<S>,
        config: &RedisLockConfig,
    ) -> Result<Self, ConnectError> {
        if config.lock_expiration_ms == 0 {
            return Err(ConnectError::Invalid {
                store: "redis",
                reason: "lock_expiration_ms: 0 must be at least 1".to_owned(),
            });
        }
        let manager = Self::configured(name, application, config).await?;
        Ok(manager.interop(Duration::from_millis(config.lock_expiration_ms)))
    }

    /// On a store that is connected already.
    #[must_use]
    pub fn over(store: RedisStore) -> Self {
        Self {
            safe: StoreLockManager::new(Arc::new(store.clone())),
            store,
            interop: None,
            claimed: Mutex::default(),
        }
    }

    /// Speaks the origin's wire format: `SET NAME-***-INDEX-***-TIME TIME NX PX expiration`.
    ///
    /// `expiration` must be at least that of the other instances, and longer than their clocks are
    /// apart.
    #[must_use]
    pub fn interop(mut self, expiration: Duration) -> Self {
        self.interop = Some(expiration);
        self
    }

    /// With a name, by which tasks ask for it; without one it is the default manager.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.safe = self.safe.named(name);
        self
    }

    /// The state that this manager's tasks see in place of the scheduling's; of the same type.
    #[must_use]
    pub fn with_application<S: Send + Sync + 'static>(mut self, application: Arc<S>) -> Self {
        self.safe = self.safe.with_application(application);
        self
    }

    /// How this process introduces itself to the store.
    #[must_use]
    pub fn as_node(mut self, node: Holder) -> Self {
        self.safe = self.safe.as_node(node);
        self
    }

    /// Takes an execution's key in the origin's format.
    ///
    /// A request that surely was not carried out is repeated while a key taken at the execution
    /// time would still be there, because until then nobody can take it twice.
    async fn take(
        &self,
        lock: &RedisTaskLock,
        time: &str,
        execution_time: Timestamp,
        expiration: Duration,
    ) -> Result<bool, StoreError> {
        let began = SystemClock.now();
        loop {
            let taken = self
                .store
                .take_name(lock.value.as_bytes(), time.as_bytes(), expiration)
                .await;
            let late = SystemClock.wall().since(execution_time);
            let late = late.max(SystemClock.now().since(began));
            let may_repeat = |error: &StoreError| {
                error.kind() == StoreErrorKind::Unavailable
                    && !error.outcome_is_unknown()
                    && late + TAKE_AGAIN_AFTER < expiration
            };
            match taken {
                Err(error) if may_repeat(&error) => tokio::time::sleep(TAKE_AGAIN_AFTER).await,
                taken => return taken,
            }
        }
    }

    fn claimed(&self) -> MutexGuard<'_, HashMap<String, Box<dyn TaskLock>>> {
        // A panic elsewhere leaves the map whole.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TaskManager for RedisLockManager {
    fn name(&self) -> Option<&str> {
        self.safe.name()
    }

    fn application(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.safe.application()
    }

    async fn init(&self, tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        self.safe.init(tasks).await
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
        let Ok(lock) = token.downcast::<RedisTaskLock>() else {
            return Err(TaskError::ForeignToken { task });
        };
        // In the origin's format a key stays until its end: deleting it would allow the execution
        // again.
        let claimed = self.claimed().remove(&lock.value);
        match claimed {
            Some(claimed) => self.safe.mark_executed(claimed).await,
            None => Ok(()),
        }
    }

    async fn close(&self) {
        if self.interop.is_none() {
            self.safe.close().await;
        }
    }

    fn runs(&self) -> Option<RunAccess> {
        match self.interop {
            Some(_) => None,
            None => self.safe.runs(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TaskLockManager for RedisLockManager {
    async fn acquire_lock_key(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskLock>>, TaskError> {
        let lock = RedisTaskLock::of(task.name().as_str(), concurrency_index, execution_time);
        if let Some(expiration) = self.interop {
            let time = execution_time.to_string();
            let is_ours = self.take(&lock, &time, execution_time, expiration).await?;
            return Ok(is_ours.then(|| Box::new(lock) as Box<dyn TaskLock>));
        }
        let claimed = self
            .safe
            .acquire_lock_key(task, execution_time, concurrency_index)
            .await?;
        Ok(claimed.map(|claimed| {
            let fence = claimed.fence();
            self.claimed().insert(lock.value.clone(), claimed);
            Box::new(RedisTaskLock { fence, ..lock }) as Box<dyn TaskLock>
        }))
    }
}

/// The lock of one execution: `NAME-***-INDEX-***-TIME`, TIME in UTC with milliseconds, and every
/// `-***-` inside NAME written `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedisTaskLock {
    value: String,
    name_len: usize,
    index: u32,
    fence: Option<Fence>,
}

impl RedisTaskLock {
    /// The lock of one execution of a task.
    #[must_use]
    pub fn of(task: &str, concurrency_index: u32, execution_time: Timestamp) -> Self {
        let name = task.replace(BETWEEN, "_");
        let value = format!("{name}{BETWEEN}{concurrency_index}{BETWEEN}{execution_time}");
        Self {
            value,
            name_len: name.len(),
            index: concurrency_index,
            fence: None,
        }
    }
}

impl FromStr for RedisTaskLock {
    type Err = InvalidTaskLock;

    /// Reads a lock back from its text.
    fn from_str(value: &str) -> Result<Self, InvalidTaskLock> {
        let invalid = || InvalidTaskLock(value.chars().take(80).collect());
        let (rest, time) = value.rsplit_once(BETWEEN).ok_or_else(invalid)?;
        let (name, index) = rest.rsplit_once(BETWEEN).ok_or_else(invalid)?;
        time.parse::<Timestamp>().map_err(|_| invalid())?;
        Ok(Self {
            value: value.to_owned(),
            name_len: name.len(),
            index: index.parse().map_err(|_| invalid())?,
            fence: None,
        })
    }
}

/// A text that is no lock of an execution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not NAME-***-INDEX-***-TIME", .0.escape_debug())]
pub struct InvalidTaskLock(String);

impl fmt::Display for RedisTaskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl TaskExecutionToken for RedisTaskLock {
    fn name(&self) -> &str {
        self.value.get(..self.name_len).unwrap_or_default()
    }

    fn concurrency_index(&self) -> u32 {
        self.index
    }
}

impl TaskLock for RedisTaskLock {
    fn value(&self) -> String {
        self.value.clone()
    }

    fn fence(&self) -> Option<Fence> {
        self.fence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_a_a_redis_task_lock_is_one_text_from_which_name_and_index_are_read_back() {
        let time: Timestamp = "2026-11-21T03:00:00.000Z".parse().unwrap();
        for (task, value, name) in [
            ("rates", "rates-***-3-***-2026-11-21T03:00:00.000Z", "rates"),
            (
                "a-***-b-***-c",
                "a_b_c-***-3-***-2026-11-21T03:00:00.000Z",
                "a_b_c",
            ),
            (
                "ä-* -**-",
                "ä-* -**--***-3-***-2026-11-21T03:00:00.000Z",
                "ä-* -**-",
            ),
        ] {
            let lock = RedisTaskLock::of(task, 3, time);
            assert_eq!(lock.value(), value);
            let read: RedisTaskLock = value.parse().unwrap();
            assert_eq!(read, lock);
            assert_eq!((read.name(), read.concurrency_index()), (name, 3));
        }
        for wrong in [
            "",
            "a",
            "a-***-1",
            "a-***-x-***-2026-11-21T03:00:00.000Z",
            "a-***-1-***-now",
        ] {
            assert!(wrong.parse::<RedisTaskLock>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn f7_the_configuration_does_not_show_its_password() {
        let config = RedisLockConfig {
            password: "s3cret".into(),
            ..RedisLockConfig::default()
        };
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn part_a_the_configuration_has_the_origins_defaults() {
        let config = RedisLockConfig::default();
        assert_eq!((config.host.as_str(), config.port), ("localhost", 6379));
        assert_eq!(
            (config.username.as_str(), config.password.0.as_str()),
            ("", "")
        );
        assert_eq!(config.lock_expiration_ms, 100);
        assert_eq!(config.connection_pool_initial_size, 10);
        assert_eq!(
            config.connection_pool_max_size, None,
            "as many as initially"
        );
        assert_eq!(config.connection_acquisition_timeout_ms, 100);
    }
}
