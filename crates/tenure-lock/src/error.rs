//! Why a lock was not acquired, extended or given back: one enum an operation.

use std::time::Duration;

use tenure_core::{InvalidKey, Key, Occupant, StoreError, about_duration, format_duration};

use crate::key::BadKey;
use crate::{InvalidOptions, Lost};

/// Why a lock was not acquired.
///
/// A lock that is held is an error only where a limited wait ran out; a single attempt answers
/// `None`. What kind of trouble a store met is told by [`StoreError::kind`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The wait ran out while someone else held the lock.
    #[error(
        "lock `{key}` still held by {occupant} after {}{}",
        format_duration(*waited), lasts(*remaining)
    )]
    TimedOut {
        /// The key that was asked for.
        key: Key,
        /// Who had it at the last look.
        occupant: Box<Occupant>,
        /// How long their lease lasted then if nothing renewed it; `None` if it never ends by
        /// itself.
        remaining: Option<Duration>,
        /// How long was waited.
        waited: Duration,
    },
    /// The lock was granted, but the answer came so late that too little of the lease was left. The
    /// grant was given back.
    #[error(
        "lock `{key}` was granted too late to be of use: {} of trust left of a ttl of {}, \
         min_validity is {}; use a longer ttl",
        format_duration(*validity), format_duration(*ttl), format_duration(*min_validity)
    )]
    TooLate {
        /// The key that was asked for.
        key: Key,
        /// How much of the trust window was left.
        validity: Duration,
        /// How much would have been enough.
        min_validity: Duration,
        /// The ttl that was asked for.
        ttl: Duration,
    },
    /// The name cannot be a key.
    #[error("`{name}` cannot be locked")]
    InvalidKey {
        /// The name as given, shortened.
        name: String,
        /// What is wrong with it.
        source: InvalidKey,
    },
    /// The options contradict each other, or the store cannot serve them.
    #[error("the options of lock `{key}` cannot work")]
    InvalidOptions {
        /// The key that was asked for.
        key: Key,
        /// What is wrong with them.
        source: InvalidOptions,
    },
    /// A set of keys that cannot be locked together.
    #[error("{count} keys cannot be locked together: a set has 1 to {limit} keys")]
    KeyCount {
        /// How many distinct keys there were.
        count: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The store failed. If the lock was granted all the same, it is being given back in the
    /// background, and ends by itself within one ttl at the latest.
    #[error("cannot acquire lock `{key}`")]
    Store {
        /// The key that was asked for.
        key: Key,
        /// What the store met.
        source: StoreError,
    },
    /// The caller runs outside a tokio runtime, so nothing could wait or renew.
    #[error("locks need a tokio runtime with time enabled; call this inside one")]
    NoRuntime,
    /// The thread for renewals could not be started.
    #[error("cannot start the thread that renews locks")]
    NoThread {
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl From<BadKey> for AcquireError {
    fn from(bad: BadKey) -> Self {
        Self::InvalidKey {
            name: bad.name,
            source: bad.source,
        }
    }
}

/// Why a lease was not extended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The new ttl is out of bounds, or too short for the guard's renewal interval.
    #[error("cannot extend lock `{key}`")]
    InvalidOptions {
        /// The locked key.
        key: Key,
        /// What is wrong with the new ttl.
        source: InvalidOptions,
    },
    /// The lease is lost: nothing can extend it.
    #[error("cannot extend lock `{}`", .0.key)]
    Lost(#[source] Lost),
}

/// Why it is unknown, or sure, that a lock was not released. The lease ends by itself within one
/// ttl.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The store gave no answer, so the release may have happened. It goes on in the background.
    #[error("cannot tell whether lock `{key}` was released")]
    Unknown {
        /// The locked key.
        key: Key,
        /// What the store met last.
        source: StoreError,
    },
    /// The store refused, and asking again is of no use.
    #[error("the store refused to release lock `{key}`")]
    Refused {
        /// The locked key.
        key: Key,
        /// Why.
        source: StoreError,
    },
}

/// Why a body did not run to its end under the lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The lock was not acquired, so the body did not start.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// The lease was lost while the body ran, and the body was dropped.
    #[error("the work under lock `{}` was stopped", .0.key)]
    Lost(#[source] Lost),
}

/// Why a question about keys was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The name cannot be a key.
    #[error("`{name}` is not a key")]
    InvalidKey {
        /// The name as given, shortened.
        name: String,
        /// What is wrong with it.
        source: InvalidKey,
    },
    /// The store failed.
    #[error("cannot ask the store about locks")]
    Store(#[source] StoreError),
}

impl From<BadKey> for AdminError {
    fn from(bad: BadKey) -> Self {
        Self::InvalidKey {
            name: bad.name,
            source: bad.source,
        }
    }
}

/// For how long a lease lasts, behind what was said of its holder.
fn lasts(remaining: Option<Duration>) -> String {
    match remaining {
        Some(left) => format!("; its lease lasts {} if not renewed", about_duration(left)),
        None => "; its lease does not end by itself".to_owned(),
    }
}
