//! What locks tell those who watch: how acquisitions, renewals and releases ended.
//!
//! Observers are called where it happens and hold up whoever it happens to; without observers
//! nothing is computed. This module decides nothing and knows no metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Clock, Fence, Key, Moment};

use crate::attempt::GrantSource;
use crate::{AcquireError, Guard, LossReason};

/// Something that happened to a lock, told to [`Locks::observe`](crate::Locks::observe).
///
/// Each acquisition that was sent to the store ends in one [`LockEvent::Acquired`] or
/// [`LockEvent::NotAcquired`], and each that was acquired in one [`LockEvent::Released`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum LockEvent<'a> {
    /// A lock was acquired.
    Acquired {
        /// The locked key.
        key: &'a Key,
        /// With which fence.
        fence: Fence,
        /// From the call to the grant.
        waited: Duration,
        /// How the grant was learnt of.
        by: GrantedBy,
    },
    /// A lock was asked for and not acquired.
    NotAcquired {
        /// The key that was asked for.
        key: &'a Key,
        /// From the call to its end.
        waited: Duration,
        /// Why not.
        why: NotAcquired,
    },
    /// A renewal was answered, or had no answer in time.
    Renewed {
        /// The locked key.
        key: &'a Key,
        /// The fence it is held with.
        fence: Fence,
        /// How long the request took, which several leases share.
        took: Duration,
        /// What came of it.
        result: RenewalResult,
    },
    /// A lock that was held may not be relied on any more. Told when it is noticed: by the renewal,
    /// by whoever waits for the loss, or by the first question to the guard.
    Lost {
        /// The key.
        key: &'a Key,
        /// The fence it was held with.
        fence: Fence,
        /// Why.
        reason: &'a LossReason,
    },
    /// A lock was given back, by its holder or in the background, or was given up.
    Released {
        /// The key.
        key: &'a Key,
        /// The fence it was held with.
        fence: Fence,
        /// For how long it was held: until it was given back, or lost if that was earlier.
        held: Duration,
        /// What became of it.
        result: ReleaseResult,
    },
}

/// How a program learnt that a lock is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantedBy {
    /// The answer to a request.
    Answer,
    /// The store told the waiter: the lock was handed to it.
    HandOff,
}

/// Why a lock was not acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAcquired {
    /// A single attempt found it held.
    Held,
    /// The wait ran out while someone else held it.
    TimedOut,
    /// The grant came too late to be of use.
    TooLate,
    /// The store failed.
    Failed,
    /// The call was dropped.
    Dropped,
}

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalResult {
    /// The store keeps the lease longer.
    Renewed,
    /// The lease is not the holder's any more.
    Lost,
    /// The store failed or did not answer; it is asked again while the lease is trusted.
    Failed,
}

/// What became of a lock that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseResult {
    /// The key is free.
    Freed,
    /// The key was handed to the next waiter.
    HandedOn,
    /// The lock was shared, and is given back; others hold the key still.
    OthersHold,
    /// The lock was not ours any more.
    Lost,
    /// An answer was lost, and when asked again the store did not know the lease: it was released,
    /// or had been lost before.
    ReleasedOrLost,
    /// It was left to end by itself on purpose: [`Guard::leave`].
    Left,
    /// It could not be given back and ends by itself: see
    /// [`Locks::abandoned`](crate::Locks::abandoned).
    Abandoned,
}

/// Who is called with every event.
type Observer = dyn Fn(&LockEvent<'_>) + Send + Sync;

/// The observers of one [`Locks`](crate::Locks); cheap to clone, and nothing where there are none.
#[derive(Clone, Default)]
pub(crate) struct Watch(Option<Arc<[Arc<Observer>]>>);

impl Watch {
    /// These observers and one more.
    pub(crate) fn and(&self, observer: impl Fn(&LockEvent<'_>) + Send + Sync + 'static) -> Self {
        let before = self.0.iter().flat_map(|all| all.iter().cloned());
        let one: Arc<Observer> = Arc::new(observer);
        Self(Some(before.chain([one]).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn tell(&self, event: &LockEvent<'_>) {
        for observer in self.0.iter().flat_map(|all| all.iter()) {
            observer(event);
        }
    }

    /// Watches an acquisition that begins now; `None` if nobody wants to know of it.
    pub(crate) fn asking<'a>(&'a self, key: &'a Key, clock: &'a dyn Clock) -> Option<Asking<'a>> {
        self.0.as_ref().map(|_| Asking {
            watch: self,
            key,
            clock,
            began: clock.now(),
            is_told: false,
        })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |all| all.len());
        write!(f, "Watch({count} observers)")
    }
}

/// An acquisition under way; one whose call is dropped is told as such.
pub(crate) struct Asking<'a> {
    watch: &'a Watch,
    key: &'a Key,
    clock: &'a dyn Clock,
    began: Moment,
    is_told: bool,
}

impl Asking<'_> {
    pub(crate) fn acquired(&mut self, guard: &Guard) {
        self.tell(|key, waited| LockEvent::Acquired {
            key,
            fence: guard.fence(),
            waited,
            by: match guard.source() {
                GrantSource::Reply => GrantedBy::Answer,
                GrantSource::Push => GrantedBy::HandOff,
            },
        });
    }

    pub(crate) fn not_acquired(&mut self, why: NotAcquired) {
        self.tell(|key, waited| LockEvent::NotAcquired { key, waited, why });
    }

    pub(crate) fn failed(&mut self, error: &AcquireError) {
        self.not_acquired(match error {
            AcquireError::TimedOut { .. } => NotAcquired::TimedOut,
            AcquireError::TooLate { .. } => NotAcquired::TooLate,
            _ => NotAcquired::Failed,
        });
    }

    fn tell<'e>(&'e mut self, event: impl FnOnce(&'e Key, Duration) -> LockEvent<'e>) {
        self.is_told = true;
        let waited = self.clock.now().since(self.began);
        self.watch.tell(&event(self.key, waited));
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.not_acquired(NotAcquired::Dropped);
        }
    }
}
