//! Several keys at once, all or nothing.
//!
//! Keys are taken one after the other in the order of their bytes, so that sets that overlap queue
//! up behind each other instead of waiting in a circle. What is held already renews itself; if any
//! of it is lost on the way, everything is given back and the set begins anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tenure_core::{Fence, Key, Sharing};

use crate::key::BadKey;
use crate::locks::Inner;
use crate::options::option_setters;
use crate::{AcquireError, Guard, Lock, LockOptions, LossReason, Lost, ReleaseError, Released};

/// Several keys to be locked together. Made by [`Locks::all`](crate::Locks::all).
#[derive(Debug, Clone)]
#[must_use = "a set of locks does nothing until it is acquired"]
pub struct LockSet {
    inner: Arc<Inner>,
    keys: Result<BTreeSet<Key>, BadKey>,
    options: LockOptions,
    sharing: Sharing,
}

impl LockSet {
    /// The most keys of one set.
    pub const MAX_KEYS: usize = 256;

    pub(crate) fn new(
        inner: Arc<Inner>,
        keys: impl Iterator<Item = Result<Key, BadKey>>,
        options: LockOptions,
    ) -> Self {
        Self {
            inner,
            keys: keys.collect(),
            options,
            sharing: Sharing::Exclusive,
        }
    }

    option_setters!(options);

    /// With these settings instead of the defaults.
    pub fn with_options(mut self, options: LockOptions) -> Self {
        self.options = options;
        self
    }

    /// Takes each key beside others that share it in the same way: see [`Lock::shared`].
    pub fn shared(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Takes all keys, waiting for each in turn; `max_wait` limits the whole.
    ///
    /// # Guarantees
    /// Each guard of the set by itself promises what [`Guard`] says. Either all keys are held on
    /// return, or none; only what could not be given back within `max_wait` is given back in the
    /// background, for which [`Locks::settled`](crate::Locks::settled) waits.
    ///
    /// # Errors
    /// As [`Lock::acquire`], for the key that failed, and [`AcquireError::KeyCount`] for a set
    /// without keys or with more than [`LockSet::MAX_KEYS`].
    ///
    /// # Cancel safety
    /// Safe: everything taken so far is given back in the background.
    pub async fn acquire(&self) -> Result<GuardSet, AcquireError> {
        let keys = self.keys()?;
        let clock = &self.inner.clock;
        let end = self.options.wait().map(|wait| clock.now() + wait);
        loop {
            let mut set = GuardSet::with_room_for(keys.len());
            let mut is_whole = true;
            for key in keys {
                let left = end.map(|end| end.since(clock.now()));
                let lock = self.lock(key, left);
                let got = tokio::select! {
                    biased;
                    guard = lock.acquire() => Some(guard),
                    _ = set.lost() => None,
                };
                match got {
                    Some(Ok(guard)) => set.guards.push(guard),
                    Some(Err(error)) => {
                        set.give_back(end.map(|end| end.since(clock.now()))).await;
                        return Err(error);
                    }
                    None => {
                        is_whole = false;
                        break;
                    }
                }
            }
            if is_whole && set.is_trusted() {
                return Ok(set);
            }
            tracing::warn!("a lock of a set was lost before the set was whole, beginning anew");
            set.give_back(end.map(|end| end.since(clock.now()))).await;
        }
    }

    /// Takes all keys if nobody has any of them, with one request for each. `None`, and nothing is
    /// held, if somebody has one.
    ///
    /// # Errors
    /// As [`LockSet::acquire`], except that it never times out.
    ///
    /// # Cancel safety
    /// As [`LockSet::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<GuardSet>, AcquireError> {
        let keys = self.keys()?;
        let mut set = GuardSet::with_room_for(keys.len());
        for key in keys {
            match self.lock(key, None).try_acquire().await {
                Ok(Some(guard)) => set.guards.push(guard),
                Ok(None) => {
                    set.give_back(None).await;
                    return Ok(None);
                }
                Err(error) => {
                    set.give_back(None).await;
                    return Err(error);
                }
            }
        }
        if set.is_trusted() {
            return Ok(Some(set));
        }
        set.give_back(None).await;
        Ok(None)
    }

    fn lock(&self, key: &Key, max_wait: Option<Duration>) -> Lock {
        let mut options = self.options.clone();
        options.set_max_wait(max_wait);
        Lock::new(self.inner.clone(), Ok(key.clone()), options).shared(self.sharing)
    }

    fn keys(&self) -> Result<&BTreeSet<Key>, AcquireError> {
        let keys = self.keys.as_ref().map_err(Clone::clone)?;
        if keys.is_empty() || keys.len() > Self::MAX_KEYS {
            return Err(AcquireError::KeyCount {
                count: keys.len(),
                limit: Self::MAX_KEYS,
            });
        }
        Ok(keys)
    }
}

/// Several locks that are held together, in the order of their keys' bytes. Dropping it gives all
/// of them back in the background.
#[derive(Debug)]
#[must_use = "dropping the guards gives the locks back"]
pub struct GuardSet {
    guards: Vec<Guard>,
}

impl GuardSet {
    fn with_room_for(count: usize) -> Self {
        Self {
            guards: Vec::with_capacity(count),
        }
    }

    /// The guards, in the order of their keys' bytes.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// The guards by themselves, to be kept and given back apart.
    #[must_use]
    pub fn into_guards(self) -> Vec<Guard> {
        self.guards
    }

    /// The fencing token of `key`. `None` if the set does not have it.
    #[must_use]
    pub fn fence(&self, key: &Key) -> Option<Fence> {
        let guard = self.guards.iter().find(|guard| guard.key() == key)?;
        Some(guard.fence())
    }

    /// Whether every one of the locks may be relied on at this moment.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.guards.iter().all(|guard| guard.is_trusted())
    }

    /// How long all of the locks may be relied on if nothing renews them; zero once one is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let left = self.guards.iter().map(|guard| guard.remaining());
        left.min().unwrap_or_default()
    }

    /// Like [`GuardSet::is_trusted`], for use with `?`.
    ///
    /// # Errors
    /// [`Lost`] for the first lock that is lost.
    pub fn ensure_trusted(&self) -> Result<(), Lost> {
        self.guards
            .iter()
            .try_for_each(|guard| guard.ensure_trusted())
    }

    /// Resolves when any of the locks is lost, with its key and the reason.
    ///
    /// # Cancel safety
    /// Safe; a loss stays lost.
    pub async fn lost(&self) -> (Key, LossReason) {
        let mut losses: FuturesUnordered<_> = self
            .guards
            .iter()
            .map(|guard| async { (guard.key().clone(), guard.lost().await) })
            .collect();
        match losses.next().await {
            Some(loss) => loss,
            // A set without locks loses none.
            None => std::future::pending().await,
        }
    }

    /// Gives all locks back and says what became of each, in the order of their keys' bytes.
    ///
    /// # Cancel safety
    /// As [`Guard::release`].
    pub async fn release(self) -> Vec<(Key, Result<Released, ReleaseError>)> {
        let releases = self.guards.into_iter().map(|guard| async {
            let key = guard.key().clone();
            (key, guard.release().await)
        });
        futures_util::future::join_all(releases).await
    }

    /// Gives all locks back, within `limit`; the rest goes on in the background.
    async fn give_back(self, limit: Option<Duration>) {
        let limit = limit.unwrap_or(Duration::MAX);
        // The outcome is of no interest here: what could not be given back is counted.
        let _ = tokio::time::timeout(limit, self.release()).await;
    }
}
