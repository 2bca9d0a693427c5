//! Locks within one process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_memory::MemoryStore;

use crate::{Component, ComponentError, ConfigParams, Context, Lock, References, StoreLock};

/// Locks for the tasks of one process, in its memory.
///
/// Each [`MemoryLock::new`] has locks of its own; those made with [`MemoryLock::on`] over clones of
/// one store share them. It needs no connection and is open from the beginning.
#[derive(Debug)]
pub struct MemoryLock(StoreLock);

impl MemoryLock {
    /// Locks that nobody else sees.
    #[must_use]
    pub fn new() -> Self {
        Self::on(MemoryStore::new())
    }

    /// Locks in a store that others may share.
    #[must_use]
    pub fn on(store: MemoryStore) -> Self {
        Self(StoreLock::on(Arc::new(store)))
    }
}

impl Default for MemoryLock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Component for MemoryLock {
    fn configure(&self, config: &ConfigParams) -> Result<(), ComponentError> {
        self.0.configure(config)
    }

    fn set_references(&self, references: &References) -> Result<(), ComponentError> {
        self.0.set_references(references)
    }

    async fn open(&self, context: Option<&Context>) -> Result<(), ComponentError> {
        self.0.open(context).await
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    async fn close(&self, context: Option<&Context>) -> Result<(), ComponentError> {
        self.0.close(context).await
    }
}

#[async_trait]
impl Lock for MemoryLock {
    async fn try_acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
    ) -> Result<bool, ComponentError> {
        self.0.try_acquire_lock(context, key, ttl).await
    }

    async fn acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), ComponentError> {
        self.0.acquire_lock(context, key, ttl, timeout).await
    }

    async fn release_lock(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<(), ComponentError> {
        self.0.release_lock(context, key).await
    }
}
