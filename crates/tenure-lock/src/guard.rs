//! What a program gets when it has the lock, and gives back.
//!
//! A [`Guard`] owns the lease; clones made with [`Guard::share`] own it together, and the last one
//! gives it back. What can be asked of a held lock stands once, in [`GuardView`].

mod release;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Fence, Key, Moment, Wakes};
use tokio::runtime::Handle;

pub use self::release::Released;
pub(crate) use self::release::{released, result_of};
use crate::attempt::GrantSource;
use crate::cleanup::{Cleanup, Leftover};
use crate::event::ReleaseResult;
use crate::gate::Stamp;
use crate::lease::{HeldLease, Standing};
use crate::locks::Inner;
use crate::renewal::Roster;
use crate::{ExtendError, LossReason, Lost, ReleaseError};

/// A lock that is held. Dropping it gives the lock back in the background.
///
/// Moves freely between tasks and threads. What can be asked of it stands under [`GuardView`].
///
/// # Guarantees
/// While [`GuardView::is_trusted`] says so, no other holder has this key, as long as the store
/// keeps what it answered and clock rates differ by less than one in a hundred. A process that was
/// paused can still write late: give [`GuardView::fence`] to the resource and let it refuse smaller
/// numbers.
///
/// Dropping never blocks and works anywhere: outside a runtime, while a thread panics, while a
/// runtime shuts down. If the lease cannot be given back it ends by itself within one ttl, and
/// [`Locks::abandoned`](crate::Locks::abandoned) counts it.
#[must_use = "dropping a guard gives the lock back"]
pub struct Guard(Arc<GuardView>);

/// One of several owners of a held lock; the lock is given back when the last one is gone.
///
/// This is how a lock is used again by code that runs under it: whoever relies on the lock says so
/// by keeping one of these.
#[derive(Clone)]
pub struct SharedGuard(Arc<GuardView>);

/// What can be asked of a lock that is held.
pub struct GuardView {
    inner: Arc<Inner>,
    lease: Arc<HeldLease>,
    roster: Arc<Roster>,
    home: Handle,
    /// By which the store says that something happened to the lease.
    _wakes: Wakes,
    source: GrantSource,
    /// A release may have been sent, and what became of it is unknown.
    is_asked: bool,
    is_given_back: bool,
}

impl Guard {
    pub(crate) fn new(view: GuardView) -> Self {
        Self(Arc::new(view))
    }

    /// Another owner of the same lock, for code that runs under it.
    #[must_use]
    pub fn share(&self) -> SharedGuard {
        SharedGuard(self.0.clone())
    }

    /// Gives the lock back and says what became of it.
    ///
    /// If the store does not answer, it is asked again until the lease has ended or 5 s have
    /// passed. Owners made with [`Guard::share`] keep the lock: then nothing is released.
    ///
    /// # Errors
    /// [`ReleaseError::Unknown`] if the store gave no answer in that time; asking goes on in the
    /// background. [`ReleaseError::Refused`] if it refused.
    ///
    /// # Cancel safety
    /// Safe: the release goes on in the background.
    pub async fn release(self) -> Result<Released, ReleaseError> {
        GuardView::release(self.0).await
    }

    /// Stops renewing and leaves the lease in the store, where it ends by itself within one ttl;
    /// nobody else has the key before. Owners made with [`Guard::share`] keep the lock: then
    /// nothing happens.
    ///
    /// For locks that outlive their holder on purpose, such as "not again within the hour".
    pub fn leave(self) {
        if let Some(mut last) = Arc::into_inner(self.0) {
            // A renewal on its way still counts; none follows it.
            last.roster.let_go(&last.lease);
            last.is_given_back = true;
            last.lease.tell_released(ReleaseResult::Left);
        }
    }

    /// How it was learnt that the lock is ours.
    pub(crate) fn source(&self) -> GrantSource {
        self.0.source
    }
}

impl SharedGuard {
    /// Gives up this share, and the lock if it is the last one.
    ///
    /// # Errors
    /// As [`Guard::release`].
    ///
    /// # Cancel safety
    /// As [`Guard::release`].
    pub async fn release(self) -> Result<Released, ReleaseError> {
        GuardView::release(self.0).await
    }
}

impl GuardView {
    pub(crate) fn new(
        inner: Arc<Inner>,
        lease: Arc<HeldLease>,
        roster: Arc<Roster>,
        home: Handle,
        wakes: Wakes,
        source: GrantSource,
    ) -> Self {
        Self {
            inner,
            lease,
            roster,
            home,
            _wakes: wakes,
            source,
            is_asked: false,
            is_given_back: false,
        }
    }

    /// The locked key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.lease.key
    }

    /// The fencing token of this acquisition; renewals do not change it.
    ///
    /// Hand it to the resource with every write, and let the resource refuse smaller numbers.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.lease.fence
    }

    /// The fence and a number of this holder, for a resource that checks both: see
    /// [`FenceGate`](crate::FenceGate).
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp::new(self.lease.fence, &self.lease.token)
    }

    /// Whether the lock may be relied on at this moment. Compares the clock, without any input or
    /// output, so the answer is right even if the process has just been paused or the machine
    /// suspended.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.lease.is_trusted()
    }

    /// Like [`GuardView::is_trusted`], for use with `?` before each step that matters.
    ///
    /// # Errors
    /// [`Lost`] with the reason.
    pub fn ensure_trusted(&self) -> Result<(), Lost> {
        match self.lease.standing() {
            Standing::Trusted(left) if !left.is_zero() => Ok(()),
            Standing::Lost(reason) => Err(self.lease.loss(reason)),
            // An owner that still asks has not given it back, so this is a window just over.
            Standing::Trusted(_) | Standing::Ended => {
                Err(self.lease.loss(LossReason::TrustEnded { trouble: None }))
            }
        }
    }

    /// How long the lock may be relied on if nothing renews it; zero once it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        match self.lease.standing() {
            Standing::Trusted(left) => left,
            Standing::Lost(_) | Standing::Ended => Duration::ZERO,
        }
    }

    /// Until when the lock may be relied on if nothing renews it, by the clock of
    /// [`Locks`](crate::Locks); once it is lost, until when it could be.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.lease.until()
    }

    /// Resolves when the lock is lost, no later than the end of the trust window, whatever the
    /// store does; looks at the clock at least once a second, so that a suspended machine notices.
    ///
    /// # Cancel safety
    /// Safe; a loss stays lost.
    pub async fn lost(&self) -> LossReason {
        self.lease.lost().await
    }

    /// Something to wait for the loss with that does not keep the lock: for a task of its own.
    #[must_use]
    pub fn loss_watch(&self) -> LossWatch {
        LossWatch(self.lease.clone())
    }

    /// Sets how long the lease lasts, renews it at once and says how much of it may be relied on.
    ///
    /// Later renewals use the new ttl as well; with the default interval they come every third of
    /// it. A ttl that is shorter than what the lease still has shortens nothing. A guard that does
    /// not renew itself is renewed this once.
    ///
    /// # Errors
    /// [`ExtendError::InvalidOptions`] for a ttl that is out of bounds or less than twice the
    /// interval of renewals. [`ExtendError::Lost`] if the lease is lost, or the store did not
    /// answer before the trust window ended.
    ///
    /// # Cancel safety
    /// Safe; the ttl stays set, and the renewal goes on.
    pub async fn extend(&self, ttl: Duration) -> Result<Duration, ExtendError> {
        let invalid = |source| ExtendError::InvalidOptions {
            key: self.lease.key.clone(),
            source,
        };
        let renewal = self.lease.renewal().with_ttl(ttl).map_err(invalid)?;
        let version = self.lease.set_renewal(renewal);
        let now = self.inner.clock.now();
        self.roster.renew_now(&self.lease, now);
        let mut changed = std::pin::pin!(self.lease.changes());
        loop {
            changed.as_mut().enable();
            match self.lease.standing() {
                Standing::Trusted(left) if self.lease.confirmed() >= version => return Ok(left),
                Standing::Trusted(_) => {}
                Standing::Lost(reason) => return Err(ExtendError::Lost(self.lease.loss(reason))),
                Standing::Ended => std::future::pending().await,
            }
            tokio::select! {
                () = changed.as_mut() => changed.set(self.lease.changes()),
                reason = self.lost() => return Err(ExtendError::Lost(self.lease.loss(reason))),
            }
        }
    }
}

/// Waits for the loss of a lock without keeping it.
#[derive(Clone)]
pub struct LossWatch(Arc<HeldLease>);

impl LossWatch {
    /// As [`GuardView::lost`]; pends for ever if the lock was given back by its owner.
    pub async fn lost(&self) -> LossReason {
        self.0.lost().await
    }

    /// As [`GuardView::is_trusted`]; false once the lock was given back.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.0.is_trusted()
    }

    /// As [`GuardView::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.0.until()
    }
}

impl Drop for GuardView {
    fn drop(&mut self) {
        if self.is_given_back {
            return;
        }
        let before = self.roster.let_go(&self.lease);
        if matches!(before, Standing::Lost(LossReason::Taken { .. })) {
            self.lease.tell_released(ReleaseResult::Lost);
            return;
        }
        let cleanup = Cleanup {
            leftover: Leftover::Lease(self.lease.clone()),
            key: self.lease.key.clone(),
            token: self.lease.token,
            is_repeated: self.is_asked,
            until: self.lapses_by(self.inner.clock.now()),
        };
        cleanup.start(&self.inner, &self.home);
    }
}

impl Deref for Guard {
    type Target = GuardView;

    fn deref(&self) -> &GuardView {
        &self.0
    }
}

impl Deref for SharedGuard {
    type Target = GuardView;

    fn deref(&self) -> &GuardView {
        &self.0
    }
}

impl fmt::Debug for GuardView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lease.fmt(f)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.0.lease).finish()
    }
}

impl fmt::Debug for SharedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedGuard").field(&self.0.lease).finish()
    }
}

impl fmt::Debug for LossWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LossWatch").field(&self.0).finish()
    }
}
