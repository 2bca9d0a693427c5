//! A lock that a program can ask for.

use std::sync::Arc;

use tenure_core::{Key, SharedLeases, Sharing};

use crate::attempt::Plan;
use crate::event::NotAcquired;
use crate::key::BadKey;
use crate::locks::Inner;
use crate::options::option_setters;
use crate::wait::{try_once, wait_for_turn};
use crate::{AcquireError, Guard, InvalidOptions, LockOptions, RunError, SharedGuard};

/// One key to be locked, and how. Made by [`Locks::lock`](crate::Locks::lock); can be acquired any
/// number of times.
#[derive(Debug, Clone)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct Lock {
    inner: Arc<Inner>,
    key: Result<Key, BadKey>,
    options: LockOptions,
    /// `None` if there are no permits at all.
    sharing: Option<Sharing>,
}

impl Lock {
    pub(crate) fn new(inner: Arc<Inner>, key: Result<Key, BadKey>, options: LockOptions) -> Self {
        Self {
            inner,
            key,
            options,
            sharing: Some(Sharing::Exclusive),
        }
    }

    /// Of a semaphore that lets nobody in, which is refused when it is asked for.
    pub(crate) fn without_permits(mut self) -> Self {
        self.sharing = None;
        self
    }

    option_setters!(options);

    /// With these settings instead of the defaults.
    pub fn with_options(mut self, options: LockOptions) -> Self {
        self.options = options;
        self
    }

    /// Takes the lock beside others that share it in the same way. Default: beside nobody.
    ///
    /// [`RwLock`](crate::RwLock) and [`Semaphore`](crate::Semaphore) say the same with types. A
    /// store that keeps no shared leases is told by the error of the acquisition.
    pub fn shared(mut self, sharing: Sharing) -> Self {
        self.sharing = Some(sharing);
        self
    }

    /// Takes the lock, waiting for its turn while someone else holds it: for ever, or for at most
    /// [`Lock::max_wait`]. The guard renews itself until it is dropped.
    ///
    /// A store that cannot be reached is asked again, in growing pauses, as long as the wait lasts;
    /// without a limit that is for ever. An error that asking again cannot mend ends the wait at
    /// once. Where the store serves waiters in order (see
    /// [`LeasePromises::order`](tenure_core::LeasePromises)), the place in the queue is kept.
    ///
    /// # Guarantees
    /// See [`Guard`].
    ///
    /// # Errors
    /// [`AcquireError::TimedOut`] if the lock never came free in time, [`AcquireError::TooLate`] if
    /// it did and the answer took too long, [`AcquireError::Store`] if the store failed;
    /// [`AcquireError::InvalidKey`], [`AcquireError::InvalidOptions`] and
    /// [`AcquireError::NoRuntime`] before anything is sent.
    ///
    /// # Cancel safety
    /// Safe. Whatever the store granted to a dropped call, a lease or a place, is given back in the
    /// background.
    ///
    /// # Examples
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use tenure_core::Holder;
    /// # use tenure_lock::Locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = Locks::new(Arc::new(tenure_memory::MemoryStore::new()), Holder::new("docs"));
    /// let lock = locks.lock("report").ttl(Duration::from_secs(30));
    /// let lock = lock.max_wait(Duration::from_secs(5));
    /// let guard = lock.acquire().await?;
    /// println!("the lock is ours, with fence {}", guard.fence());
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Sources
    /// C. Gray and D. Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file
    /// cache consistency" (1989), for the trust window.
    pub async fn acquire(&self) -> Result<Guard, AcquireError> {
        let plan = self.plan()?;
        let mut asking = self.inner.watch.asking(&plan.key, &*self.inner.clock);
        let acquired = wait_for_turn(&self.inner, &plan).await;
        if let Some(asking) = &mut asking {
            match &acquired {
                Ok(guard) => asking.acquired(guard),
                Err(error) => asking.failed(error),
            }
        }
        acquired
    }

    /// Takes the lock if nobody has it, with exactly one request. `None` if somebody has.
    ///
    /// # Errors
    /// As [`Lock::acquire`], except that it never times out: a request without an answer is given
    /// up after 5 s, and cancelled in the background.
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>, AcquireError> {
        let plan = self.plan()?;
        let mut asking = self.inner.watch.asking(&plan.key, &*self.inner.clock);
        let acquired = try_once(&self.inner, &plan).await;
        if let Some(asking) = &mut asking {
            match &acquired {
                Ok(Ok(guard)) => asking.acquired(guard),
                Ok(Err(_)) => asking.not_acquired(NotAcquired::Held),
                Err(error) => asking.failed(error),
            }
        }
        Ok(acquired?.ok())
    }

    /// Takes the lock, runs `body` under it and gives the lock back.
    ///
    /// If the lease is lost the body is dropped at its next point of suspension, and its result is
    /// not returned. A body that keeps a clone of its guard keeps the lock beyond its own end.
    /// When the body has ended its value is returned at once or when the store has answered; a
    /// release that got no answer goes on in the background.
    ///
    /// # Errors
    /// [`RunError::Acquire`] if the body did not start. [`RunError::Lost`] if the lease was lost
    /// before the body ended.
    ///
    /// # Cancel safety
    /// Safe: the body is dropped and the lock given back in the background.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use tenure_core::Holder;
    /// # use tenure_lock::Locks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = Locks::new(Arc::new(tenure_memory::MemoryStore::new()), Holder::new("docs"));
    /// let lock = locks.lock("report");
    /// let text = lock.run(|guard| async move { format!("fence {}", guard.fence()) }).await?;
    /// assert!(text.starts_with("fence "));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<F, Fut, T>(&self, body: F) -> Result<T, RunError>
    where
        F: FnOnce(SharedGuard) -> Fut,
        Fut: Future<Output = T>,
    {
        let guard = self.acquire().await?;
        let done = {
            let mut body = std::pin::pin!(body(guard.share()));
            tokio::select! {
                biased;
                reason = guard.lost() => Err(reason),
                value = body.as_mut() => Ok(value),
            }
        };
        let lost = |source| RunError::Lost(source);
        match done {
            // A body that blocked past the window ends in the same poll in which it is noticed.
            Ok(value) => {
                guard.ensure_trusted().map_err(lost)?;
                if let Err(error) = guard.release().await {
                    tracing::warn!(%error, "the work is done, the lock may be held for a while");
                }
                Ok(value)
            }
            Err(reason) => Err(lost(crate::Lost::new(
                guard.key().clone(),
                guard.fence(),
                reason,
            ))),
        }
    }

    fn plan(&self) -> Result<Plan, AcquireError> {
        let key = self.key.clone()?;
        let promises = &self.inner.promises;
        let terms = self.options.terms(promises);
        let planned = terms.and_then(|terms| {
            let sharing = self.sharing.ok_or(InvalidOptions::NoPermits)?;
            if sharing.is_shared() && promises.shared != SharedLeases::Kept {
                let store = promises.store;
                return Err(InvalidOptions::NotSharedByStore { store });
            }
            Ok((terms, sharing))
        });
        match planned {
            Ok((terms, sharing)) => Ok(Plan {
                key,
                terms,
                sharing,
            }),
            Err(source) => Err(AcquireError::InvalidOptions { key, source }),
        }
    }
}
