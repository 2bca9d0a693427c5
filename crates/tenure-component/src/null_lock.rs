//! The lock that locks nothing: for tests, and for programs that run alone.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Component, ComponentError, ConfigParams, Context, Lock, References};

/// A lock that everybody gets at once. Always open.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullLock;

impl NullLock {
    /// A lock that locks nothing.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Component for NullLock {
    fn configure(&self, _config: &ConfigParams) -> Result<(), ComponentError> {
        Ok(())
    }

    fn set_references(&self, _references: &References) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn open(&self, _context: Option<&Context>) -> Result<(), ComponentError> {
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    async fn close(&self, _context: Option<&Context>) -> Result<(), ComponentError> {
        Ok(())
    }
}

#[async_trait]
impl Lock for NullLock {
    async fn try_acquire_lock(
        &self,
        _context: Option<&Context>,
        _key: &str,
        _ttl: Duration,
    ) -> Result<bool, ComponentError> {
        Ok(true)
    }

    async fn acquire_lock(
        &self,
        _context: Option<&Context>,
        _key: &str,
        _ttl: Duration,
        _timeout: Duration,
    ) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn release_lock(
        &self,
        _context: Option<&Context>,
        _key: &str,
    ) -> Result<(), ComponentError> {
        Ok(())
    }
}
