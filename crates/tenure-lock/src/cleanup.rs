//! Giving back in the background what nobody waits for any more.
//!
//! A dropped guard, a dropped call and an unknown outcome all end here: a task asks the store to
//! release or cancel until it answers or until the lease has surely ended by itself. What could not
//! be given back is counted. Dropping never blocks and never fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::{Key, Moment, StoreError, Token};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::event::ReleaseResult;
use crate::guard::{released, result_of};
use crate::lease::HeldLease;
use crate::locks::Inner;
use crate::timing::{Backoff, bounded, sleep_until};

/// How long one call of the background may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How much is being given back, and how much never was.
#[derive(Debug, Default)]
pub(crate) struct Cleanups {
    pending: AtomicUsize,
    abandoned: AtomicU64,
    idle: Notify,
}

impl Cleanups {
    pub(crate) fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// Resolves when nothing is being given back.
    pub(crate) async fn settled(&self) {
        let mut idle = std::pin::pin!(self.idle.notified());
        loop {
            idle.as_mut().enable();
            if self.pending.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.as_mut().await;
            idle.set(self.idle.notified());
        }
    }

    fn begin(&self) {
        self.pending.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        if self.pending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_waiters();
        }
    }
}

/// What is left of an acquisition.
#[derive(Debug, Clone)]
pub(crate) enum Leftover {
    /// A lease that was held.
    Lease(Arc<HeldLease>),
    /// Perhaps a lease, perhaps a place in the queue, perhaps nothing.
    Unknown,
}

/// An acquisition that has to go.
#[derive(Debug)]
pub(crate) struct Cleanup {
    pub(crate) leftover: Leftover,
    pub(crate) key: Key,
    pub(crate) token: Token,
    /// Whether it was asked for before, without an answer.
    pub(crate) is_repeated: bool,
    /// When it has surely ended by itself.
    pub(crate) until: Moment,
}

impl Cleanup {
    /// Starts in the background. Callable anywhere: inside and outside a runtime, while a thread
    /// panics, while a runtime shuts down.
    pub(crate) fn start(self, inner: &Arc<Inner>, home: &Handle) {
        inner.cleanups.begin();
        // The runtime the lock was taken in may be gone, or this thread's may be: one of them will
        // do.
        let mut homes = vec![home.clone()];
        if let Ok(here) = Handle::try_current()
            && here.id() != home.id()
        {
            homes.insert(0, here);
        }
        Job {
            inner: inner.clone(),
            cleanup: Some(self),
            homes,
        }
        .spawn();
    }

    async fn ask(&self, inner: &Inner, is_repeated: bool) -> Result<(), StoreError> {
        match &self.leftover {
            Leftover::Lease(lease) => {
                let call = inner.store.release(&self.key, self.token);
                let answer = bounded(CALL_LIMIT, call).await?;
                lease.tell_released(result_of(released(answer, is_repeated)));
            }
            Leftover::Unknown => {
                let call = inner.store.cancel(&self.key, self.token);
                bounded(CALL_LIMIT, call).await?;
            }
        }
        Ok(())
    }

    /// Nothing more is done about it.
    fn abandon(&self, inner: &Inner) {
        inner.cleanups.abandon();
        if let Leftover::Lease(lease) = &self.leftover {
            lease.tell_released(ReleaseResult::Abandoned);
        }
    }

    /// True if nothing is left.
    async fn run(&self, inner: &Inner) -> bool {
        let mut backoff = Backoff::for_store();
        let mut is_repeated = self.is_repeated;
        loop {
            let Err(error) = self.ask(inner, is_repeated).await else {
                return true;
            };
            is_repeated |= error.outcome_is_unknown();
            let now = inner.clock.now();
            if !error.is_retryable() || now >= self.until {
                tracing::warn!(key = %self.key, %error, "left to end by itself");
                return false;
            }
            let next = (now + backoff.pause()).min(self.until);
            sleep_until(&*inner.clock, next).await;
        }
    }
}

/// A cleanup on its way. If its runtime drops it unfinished, it moves to the next one.
struct Job {
    inner: Arc<Inner>,
    cleanup: Option<Cleanup>,
    homes: Vec<Handle>,
}

impl Job {
    fn spawn(mut self) {
        if let Some(home) = self.homes.pop() {
            // A runtime that has shut down drops the task at once, which brings us to `drop`.
            drop(home.spawn(self.run()));
        }
    }

    async fn run(mut self) {
        let Some(cleanup) = &self.cleanup else { return };
        if !cleanup.run(&self.inner).await {
            cleanup.abandon(&self.inner);
        }
        self.cleanup = None;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.cleanup.is_some() && !self.homes.is_empty() {
            Self {
                inner: self.inner.clone(),
                cleanup: self.cleanup.take(),
                homes: std::mem::take(&mut self.homes),
            }
            .spawn();
            return;
        }
        if let Some(cleanup) = &self.cleanup {
            cleanup.abandon(&self.inner);
        }
        self.inner.cleanups.end();
    }
}
