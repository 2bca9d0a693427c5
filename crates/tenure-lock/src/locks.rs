//! The front of the crate: a store, a holder and defaults, from which locks are made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{
    Clock, Fence, ForceRequest, Forced, Holder, Key, LeasePage, LeasePromises, LeaseStore,
    LeaseView, ListQuery, Mark, StoreError, SystemClock,
};

use crate::cleanup::Cleanups;
use crate::event::{LockEvent, Watch};
use crate::home::Home;
use crate::key::checked;
use crate::renewal::Renewals;
use crate::timing::bounded;
use crate::tokens::Tokens;
use crate::{AdminError, IntoKey, Lock, LockOptions, LockSet, RwLock, Semaphore};

/// The most keys that [`Locks::list`] answers.
const LIST_LIMIT: usize = 10_000;

/// Locks over one store, for one holder.
///
/// Cheap to clone. Making one does nothing and needs no runtime; background work starts with the
/// first lock that is held, and stops when the last clone and the last guard are gone.
#[derive(Debug, Clone)]
pub struct Locks {
    inner: Arc<Inner>,
    defaults: LockOptions,
}

/// What all clones, guards and background tasks share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) holder: Holder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) renewals: Renewals,
    pub(crate) cleanups: Cleanups,
    pub(crate) home: Home,
    pub(crate) watch: Watch,
    pub(crate) tokens: Tokens,
    /// What the store promised at first. What may change while it runs is asked for anew.
    pub(crate) promises: LeasePromises,
    /// What the store answered in place of an answer when a waiter last asked.
    trouble: Mutex<Option<String>>,
    /// Whether there is any, so that whoever met none need not look.
    is_troubled: AtomicBool,
}

impl Inner {
    /// Keeps what a waiter met, or that it met nothing, for [`Locks::trouble`].
    pub(crate) fn met(&self, error: Option<&StoreError>) {
        if error.is_none() && !self.is_troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = error.map(ToString::to_string);
        self.is_troubled.store(error.is_some(), Ordering::Relaxed);
    }

    /// Awaits a store's answer for at most `limit`. Where the store keeps a shorter limit itself,
    /// that is enough, and no timer is set for what nearly always is answered at once.
    pub(crate) async fn bounded<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answers_within = self.promises.answers_within;
        if answers_within.is_some_and(|own| own <= limit) {
            return call.await;
        }
        bounded(limit, call).await
    }

    fn new(
        store: Arc<dyn LeaseStore>,
        holder: Holder,
        clock: Arc<dyn Clock>,
        home: Home,
        watch: Watch,
    ) -> Arc<Self> {
        Arc::new(Self {
            renewals: Renewals::new(store.clone(), clock.clone()),
            cleanups: Cleanups::default(),
            promises: store.promises(),
            store,
            holder,
            clock,
            home,
            watch,
            tokens: Tokens::default(),
            trouble: Mutex::default(),
            is_troubled: AtomicBool::new(false),
        })
    }
}

impl Locks {
    /// Locks on `store`, held in the name of `holder`.
    #[must_use]
    pub fn new(store: Arc<dyn LeaseStore>, holder: Holder) -> Self {
        Self {
            inner: Inner::new(
                store,
                holder,
                Arc::new(SystemClock),
                Home::Caller,
                Watch::default(),
            ),
            defaults: LockOptions::new(),
        }
    }

    /// With another clock than the machine's, for tests. Call it before the first lock is taken:
    /// guards keep the clock they were made with.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let (home, watch) = (self.inner.home.anew(), self.inner.watch.clone());
        self.made_anew(clock, home, watch)
    }

    /// Calls `observer` with what happens to locks from now on: acquisitions, renewals, losses and
    /// releases. Can be called several times; call it before the first lock is taken, since locks
    /// that are held already are not told of.
    ///
    /// The observer is called where things happen, on the path of an acquisition among others: it
    /// must be quick and must not block or panic. For figures there are `LockMetrics`, with the
    /// feature `metrics`.
    ///
    /// # Examples
    /// ```
    /// # use tenure_lock::{LockEvent, Locks};
    /// # fn example(locks: Locks) -> Locks {
    /// locks.observe(|event| {
    ///     if let LockEvent::Lost { key, reason, .. } = event {
    ///         eprintln!("{key} is lost: {reason}");
    ///     }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn observe(self, observer: impl Fn(&LockEvent<'_>) + Send + Sync + 'static) -> Self {
        let (clock, home) = (self.inner.clock.clone(), self.inner.home.anew());
        let watch = self.inner.watch.and(observer);
        self.made_anew(clock, home, watch)
    }

    fn made_anew(self, clock: Arc<dyn Clock>, home: Home, watch: Watch) -> Self {
        let (store, holder) = (self.inner.store.clone(), self.inner.holder.clone());
        Self {
            inner: Inner::new(store, holder, clock, home, watch),
            defaults: self.defaults,
        }
    }

    /// Renews, and releases in the background, on a thread of its own, so that leases are kept
    /// while the program's own runtime is busy. Call it before the first lock is taken.
    ///
    /// The store must be able to answer without the program's runtime: a client whose connection
    /// is driven by that runtime stalls with it. The thread starts with the first lock and ends
    /// when the last clone and the last guard are gone.
    #[must_use]
    pub fn renew_on_own_thread(self) -> Self {
        let (clock, watch) = (self.inner.clock.clone(), self.inner.watch.clone());
        self.made_anew(clock, Home::own(), watch)
    }

    /// With other defaults for the locks made from now on.
    #[must_use]
    pub fn with_defaults(mut self, defaults: LockOptions) -> Self {
        self.defaults = defaults;
        self
    }

    /// A lock on `key`. Nothing happens until it is acquired; a name that cannot be a key is
    /// reported then.
    ///
    /// ```
    /// # fn show(locks: &tenure_lock::Locks) {
    /// let lock = locks.lock("invoice/42").ttl(std::time::Duration::from_secs(30));
    /// # }
    /// ```
    pub fn lock(&self, key: impl IntoKey) -> Lock {
        Lock::new(self.inner.clone(), checked(key), self.defaults.clone())
    }

    /// A read-write lock on `key`: any number of readers, or one writer. Nothing happens until it
    /// is acquired.
    pub fn rw(&self, key: impl IntoKey) -> RwLock {
        RwLock::new(self.inner.clone(), checked(key), self.defaults.clone())
    }

    /// A semaphore on `key` with so many permits, at least 1. Nothing happens until one is
    /// acquired.
    pub fn semaphore(&self, key: impl IntoKey, permits: u32) -> Semaphore {
        let (key, defaults) = (checked(key), self.defaults.clone());
        Semaphore::new(self.inner.clone(), key, defaults, permits)
    }

    /// Several keys at once, all or nothing, up to [`LockSet::MAX_KEYS`] of them.
    ///
    /// They are taken in the order of their bytes, whatever order they are named in, so that two
    /// sets never wait for each other in a circle. A key that is named twice is taken once.
    pub fn all<K: IntoKey>(&self, keys: impl IntoIterator<Item = K>) -> LockSet {
        let keys = keys.into_iter().map(checked);
        LockSet::new(self.inner.clone(), keys, self.defaults.clone())
    }

    /// Lists who holds and who waits for the keys that begin with `prefix`, in the order of their
    /// bytes: up to 10 000 of them, more can be read with [`LeaseStore::list`].
    ///
    /// # Errors
    /// [`AdminError::Store`] if the store failed.
    pub async fn list(&self, prefix: impl AsRef<[u8]>) -> Result<LeasePage, AdminError> {
        let mut query = ListQuery::prefix(prefix).limit(1000);
        let mut leases = Vec::new();
        loop {
            let page = self.inner.store.list(&query).await;
            let page = page.map_err(AdminError::Store)?;
            leases.extend(page.leases);
            let last = leases.last().map(|view: &LeaseView| view.key.clone());
            match last {
                Some(last) if page.more && leases.len() < LIST_LIMIT => query = query.after(last),
                _ => return Ok(LeasePage::new(leases, page.more)),
            }
        }
    }

    /// Shows who holds `key` and who waits for it. `None` if nobody does either.
    ///
    /// # Errors
    /// [`AdminError::InvalidKey`] for a name that cannot be a key, [`AdminError::Store`] if the
    /// store failed.
    pub async fn inspect(&self, key: impl IntoKey) -> Result<Option<LeaseView>, AdminError> {
        let key = checked(key)?;
        let view = self.inner.store.inspect(&key).await;
        view.map_err(AdminError::Store)
    }

    /// Takes `key` from its holder, if that is still the one with the fence `seen`. Of several that
    /// share it only that one loses it. The store records who asked and why.
    ///
    /// The holder learns of it at once where the store pushes and the guard is renewed, otherwise
    /// at its next renewal or the end of its trust window, and may act on the key until then: only
    /// the fence, checked by the resource, keeps it out. A foreign owner has no fence and can only
    /// be removed with [`LeaseStore::force`].
    ///
    /// # Errors
    /// As [`Locks::inspect`].
    pub async fn force(
        &self,
        key: impl IntoKey,
        seen: Fence,
        by: impl Into<String>,
        why: impl Into<String>,
    ) -> Result<Forced, AdminError> {
        let one = |view: &LeaseView| view.mark_of(seen).cloned();
        self.force_seen(checked(key)?, one, by.into(), why.into())
            .await
    }

    /// Takes `key` from all who share it, if the one with the fence `seen` is still among them;
    /// otherwise as [`Locks::force`].
    ///
    /// # Errors
    /// As [`Locks::inspect`].
    pub async fn force_all(
        &self,
        key: impl IntoKey,
        seen: Fence,
        by: impl Into<String>,
        why: impl Into<String>,
    ) -> Result<Forced, AdminError> {
        let whole = |view: &LeaseView| view.mark_of(seen).and(view.mark.clone());
        self.force_seen(checked(key)?, whole, by.into(), why.into())
            .await
    }

    async fn force_seen(
        &self,
        key: Key,
        meant: impl FnOnce(&LeaseView) -> Option<Mark>,
        by: String,
        why: String,
    ) -> Result<Forced, AdminError> {
        let view = self.inner.store.inspect(&key).await;
        let Some(view) = view.map_err(AdminError::Store)? else {
            return Ok(Forced::NotHeld);
        };
        if view.mark.is_none() {
            return Ok(Forced::NotHeld);
        }
        let Some(mark) = meant(&view) else {
            return Ok(Forced::Changed { current: view });
        };
        let request = ForceRequest::new(key, mark, by).because(why);
        let forced = self.inner.store.force(&request).await;
        forced.map_err(AdminError::Store)
    }

    /// How many leases and places in queues could not be given back, because the store or the
    /// runtime was gone, and were left to end by themselves.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.inner.cleanups.abandoned()
    }

    /// Resolves when nothing is being released in the background: what a program waits for, with a
    /// limit of its own, after dropping its guards and before it exits.
    ///
    /// # Cancel safety
    /// Safe; the releases go on.
    pub async fn settled(&self) {
        self.inner.cleanups.settled().await;
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LeaseStore> {
        &self.inner.store
    }

    /// What the store answered in place of an answer when a waiter last asked; `None` if it
    /// answered. A wait without a limit goes on meanwhile, so this is what to show its user.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.inner.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In whose name locks are held.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.inner.holder
    }
}
