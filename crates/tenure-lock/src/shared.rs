//! Locks that several hold at once: read-write locks and semaphores.
//!
//! Both are a [`Lock`] that says how it is shared; the store decides who goes with whom. What each
//! way of asking returns has a type of its own, so that code can say which one it needs.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Key, Sharing};

use crate::key::BadKey;
use crate::locks::Inner;
use crate::{AcquireError, Guard, Lock, LockOptions, ReleaseError, Released};

/// A key that has one writer or any number of readers. Made by [`Locks::rw`](crate::Locks::rw).
///
/// Readers hold the key together, a writer alone; writing takes the very lock that
/// [`Locks::lock`](crate::Locks::lock) makes, so the two exclude each other. One queue serves both:
/// where the store serves in order, nobody is passed by those that came later, so a stream of
/// readers does not keep a writer out; and readers that stand in line together come in together, so
/// a stream of writers does not keep them out either.
///
/// ```
/// # use std::sync::Arc;
/// # use tenure_core::Holder;
/// # use tenure_lock::Locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let locks = Locks::new(Arc::new(tenure_memory::MemoryStore::new()), Holder::new("docs"));
/// let prices = locks.rw("prices");
/// let (one, two) = (prices.read().await?, prices.read().await?); // together
/// assert!(prices.try_write().await?.is_none());
/// one.release().await?;
/// two.release().await?;
/// let guard = prices.write().await?; // alone
/// println!("write with fence {}", guard.fence());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct RwLock {
    lock: Lock,
}

impl RwLock {
    pub(crate) fn new(inner: Arc<Inner>, key: Result<Key, BadKey>, options: LockOptions) -> Self {
        Self {
            lock: Lock::new(inner, key, options),
        }
    }

    /// Takes the lock beside other readers, waiting while a writer has it or waits before.
    ///
    /// Each reader renews itself and ends by itself: one that crashed is gone after its ttl,
    /// whatever the others do.
    ///
    /// # Errors
    /// As [`Lock::acquire`]; [`AcquireError::InvalidOptions`] also if the store keeps no shared
    /// leases: see [`LeasePromises::shared`](tenure_core::LeasePromises).
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn read(&self) -> Result<ReadGuard, AcquireError> {
        self.reading().acquire().await.map(ReadGuard)
    }

    /// Takes the lock beside other readers if nobody writes or waits, with exactly one request.
    ///
    /// # Errors
    /// As [`RwLock::read`], except that it never times out.
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn try_read(&self) -> Result<Option<ReadGuard>, AcquireError> {
        Ok(self.reading().try_acquire().await?.map(ReadGuard))
    }

    /// Takes the lock alone, waiting for its turn.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn write(&self) -> Result<WriteGuard, AcquireError> {
        self.lock.acquire().await.map(WriteGuard)
    }

    /// Takes the lock alone if nobody has it, with exactly one request.
    ///
    /// # Errors
    /// As [`Lock::try_acquire`].
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn try_write(&self) -> Result<Option<WriteGuard>, AcquireError> {
        Ok(self.lock.try_acquire().await?.map(WriteGuard))
    }

    fn reading(&self) -> Lock {
        self.lock.clone().shared(Sharing::READ)
    }
}

/// A key that so many may hold at once. Made by [`Locks::semaphore`](crate::Locks::semaphore).
///
/// The number of permits is not kept apart from those who hold them: each request says how many
/// there are, and in force is what the latest said ([`Sharing::Shared`]). So it can be changed
/// while programs run, by deploying another number; whoever holds a permit keeps it when the
/// number falls.
///
/// ```
/// # use std::sync::Arc;
/// # use tenure_core::Holder;
/// # use tenure_lock::Locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let locks = Locks::new(Arc::new(tenure_memory::MemoryStore::new()), Holder::new("docs"));
/// let uploads = locks.semaphore("uploads", 2);
/// let one = uploads.acquire().await?;
/// let two = uploads.acquire().await?;
/// assert!(uploads.try_acquire().await?.is_none());
/// # drop((one, two));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a semaphore does nothing until a permit is acquired"]
pub struct Semaphore {
    lock: Lock,
}

impl Semaphore {
    pub(crate) fn new(
        inner: Arc<Inner>,
        key: Result<Key, BadKey>,
        options: LockOptions,
        permits: u32,
    ) -> Self {
        let lock = Lock::new(inner, key, options);
        Self {
            // Without any permit nobody could ever hold one, which is refused when one is asked
            // for.
            lock: match NonZeroU32::new(permits) {
                Some(permits) => lock.shared(Sharing::permit(permits)),
                None => lock.without_permits(),
            },
        }
    }

    /// Takes a permit, waiting for its turn while all are taken.
    ///
    /// Each permit renews itself and ends by itself: that of a process that crashed is free after
    /// its ttl, whatever the others do.
    ///
    /// # Errors
    /// As [`Lock::acquire`]; [`AcquireError::InvalidOptions`] also if there are no permits at all,
    /// or if the store keeps no shared leases: see
    /// [`LeasePromises::shared`](tenure_core::LeasePromises).
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn acquire(&self) -> Result<Permit, AcquireError> {
        self.lock.acquire().await.map(Permit)
    }

    /// Takes a permit if one is free and nobody waits, with exactly one request.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`], except that it never times out.
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Permit>, AcquireError> {
        Ok(self.lock.try_acquire().await?.map(Permit))
    }
}

/// The settings of what is a lock inside.
macro_rules! settings {
    ($($name:ident: $whose:literal, $what:literal;)*) => { $(
        impl $name {
            #[doc = concat!("With these settings instead of the defaults", $whose, ".")]
            pub fn with_options(self, options: LockOptions) -> Self {
                Self {
                    lock: self.lock.with_options(options),
                }
            }

            #[doc = concat!("How long the store keeps ", $what, " without a renewal:")]
            /// see [`Lock::ttl`].
            pub fn ttl(self, ttl: Duration) -> Self {
                Self {
                    lock: self.lock.ttl(ttl),
                }
            }

            #[doc = concat!("How long to wait for ", $what, ": see [`Lock::max_wait`].")]
            pub fn max_wait(self, max_wait: Duration) -> Self {
                Self {
                    lock: self.lock.max_wait(max_wait),
                }
            }
        }
    )* };
}

settings! {
    RwLock: ", for readers and writers", "the lock";
    Semaphore: "", "a permit";
}

macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        ///
        /// It renews itself, tells of its loss and gives itself back when it is dropped, as a
        /// [`Guard`] does; all that can be asked of one can be asked of this.
        #[derive(Debug)]
        #[must_use = "dropping it gives the lock back"]
        pub struct $name(Guard);

        impl $name {
            /// Gives it back and says what became of it: see [`Guard::release`].
            ///
            /// # Errors
            /// As [`Guard::release`].
            ///
            /// # Cancel safety
            /// As [`Guard::release`].
            pub async fn release(self) -> Result<Released, ReleaseError> {
                self.0.release().await
            }

            /// The guard by itself, without what its type says.
            pub fn into_guard(self) -> Guard {
                self.0
            }
        }

        impl Deref for $name {
            type Target = Guard;

            fn deref(&self) -> &Guard {
                &self.0
            }
        }
    )* };
}

guards! {
    /// The right to read, beside other readers.
    ///
    /// Its fence is greater than that of every writer before it and smaller than that of every
    /// writer after it. Between readers fences say nothing.
    ReadGuard
    /// The right to write, alone.
    WriteGuard
    /// One of the permits of a semaphore.
    ///
    /// Fences of permits grow with each that is granted, but several are held at once, so a
    /// resource that refuses smaller fences would refuse those that were granted first.
    Permit
}
