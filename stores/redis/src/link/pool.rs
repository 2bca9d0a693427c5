//! A number of connections, each lent to one request at a time.
//!
//! One shared connection is faster and the default. A pool bounds how many requests are under way
//! at once, and says so when it is exhausted: waiting for a connection has a limit of its own, and
//! running into it is an error, never a silent refusal of what was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{StoreError, StoreErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::direct::Direct;
use super::{Hears, from_now};
use crate::options::{PoolSize, RedisOptions};

pub(super) struct Pool {
    options: RedisOptions,
    idle: Mutex<Vec<Arc<Direct>>>,
    permits: Arc<Semaphore>,
    opened: AtomicUsize,
    max: usize,
    patience: Duration,
}

/// A connection on loan, given back when dropped.
pub(super) struct Lent {
    pool: Arc<Pool>,
    direct: Arc<Direct>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Opens the first connections, if the options ask for a pool.
    pub(super) async fn open(options: &RedisOptions) -> Result<Option<Arc<Self>>, StoreError> {
        let Some(size) = options.pool else {
            return Ok(None);
        };
        let pool = Self::closed(options, size);
        for _ in 0..size.initial {
            let direct = pool.dial().await?;
            pool.idle().push(direct);
        }
        Ok(Some(Arc::new(pool)))
    }

    /// A pool of this size in which nothing is open yet.
    pub(super) fn closed(options: &RedisOptions, size: PoolSize) -> Self {
        Self {
            options: options.clone(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(size.max)),
            opened: AtomicUsize::new(0),
            max: size.max,
            patience: size.patience,
        }
    }

    /// A connection that nobody else uses meanwhile.
    pub(super) async fn lend(
        self: &Arc<Self>,
        doing: &str,
        deadline: Instant,
    ) -> Result<Lent, StoreError> {
        let until = deadline.min(from_now(self.patience));
        let Ok(Ok(permit)) =
            tokio::time::timeout_at(until, self.permits.clone().acquire_owned()).await
        else {
            let message = format!(
                "{doing}: none of the pool's {} connections was free within {}; allow more \
                 connections, or a longer wait for one",
                self.max,
                tenure_core::format_duration(self.patience)
            );
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        };
        let idle = self.idle().pop();
        let direct = match idle {
            Some(direct) => Ok(Ok(direct)),
            None => tokio::time::timeout_at(deadline, self.dial()).await,
        };
        let Ok(direct) = direct else {
            let message =
                format!("{doing}: the pool opened no further connection within the request's time");
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        };
        let direct = direct?;
        Ok(Lent {
            pool: self.clone(),
            direct,
            _permit: permit,
        })
    }

    async fn dial(&self) -> Result<Arc<Direct>, StoreError> {
        let direct = Direct::connect(&self.options, Arc::new(Deaf), Vec::new()).await?;
        let opened = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::debug!(opened, max = self.max, "the pool opened a connection");
        Ok(direct)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Direct>>> {
        // A panic elsewhere leaves the list whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for Lent {
    type Target = Arc<Direct>;

    fn deref(&self) -> &Self::Target {
        &self.direct
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.idle().push(self.direct.clone());
    }
}

/// Nothing is pushed to the connections of a pool.
pub(super) struct Deaf;

impl Hears for Deaf {
    fn message(&self, _channel: &[u8], _payload: &[u8]) {}

    fn invalidated(&self, _key: Option<&[u8]>) {}

    fn reconnected(&self) {}

    fn is_idle(&self) -> bool {
        true
    }
}
