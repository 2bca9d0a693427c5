//! A lock component over any store of leases.
//!
//! Waiting, queues and giving back are those of `tenure-lock`; this module keeps what a caller who
//! only names a key cannot: which acquisitions are out, and the state of the component.

mod desk;
mod holdings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::LeaseStore;

pub(crate) use self::desk::Desk;
use crate::options::LockSettings;
use crate::{Component, ComponentError, ConfigParams, Context, Lock, References};

/// Locks in a store that was opened by other means. Open from the beginning.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use tenure_component::{Lock, StoreLock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = StoreLock::on(Arc::new(tenure_memory::MemoryStore::new()));
/// assert!(lock.try_acquire_lock(None, "report", Duration::from_secs(30)).await?);
/// lock.release_lock(None, "report").await?;
/// # Ok(())
/// # }
/// ```
pub struct StoreLock {
    store: Arc<dyn LeaseStore>,
    desk: Desk,
}

impl StoreLock {
    /// Locks in `store`.
    #[must_use]
    pub fn on(store: Arc<dyn LeaseStore>) -> Self {
        let desk = Desk::closed();
        desk.open(store.clone());
        Self { store, desk }
    }
}

#[async_trait]
impl Component for StoreLock {
    /// Checks `options.*` as [`RedisLock`](crate::RedisLock) does, so that one configuration serves
    /// either; none of them changes anything here, where there is nothing to connect to.
    fn configure(&self, config: &ConfigParams) -> Result<(), ComponentError> {
        LockSettings::from_config(config)?;
        Ok(())
    }

    fn set_references(&self, _references: &References) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn open(&self, _context: Option<&Context>) -> Result<(), ComponentError> {
        self.desk.open(self.store.clone());
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.desk.is_open()
    }

    async fn close(&self, _context: Option<&Context>) -> Result<(), ComponentError> {
        self.desk.close();
        Ok(())
    }
}

#[async_trait]
impl Lock for StoreLock {
    async fn try_acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
    ) -> Result<bool, ComponentError> {
        self.desk.try_acquire(context, key, ttl).await
    }

    async fn acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), ComponentError> {
        self.desk.acquire(context, key, ttl, timeout).await
    }

    async fn release_lock(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<(), ComponentError> {
        self.desk.release(context, key).await
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLock")
            .field("is_open", &self.is_open())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
