//! What a lease store is asked.

use std::num::NonZeroU32;
use std::time::Duration;

use super::answer::Mark;
use crate::{Holder, Key, StoreError, StoreErrorKind, Token};

/// How long a store keeps a lease without a renewal: 50 ms to 24 hours, whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// The shortest ttl. A store may need longer: [`crate::LeasePromises::min_ttl`].
    pub const MIN: Duration = Duration::from_millis(50);
    /// The longest ttl. Longer holds come from renewal, so that a crash frees the key in bounded
    /// time.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// A ttl, rounded up to a whole millisecond.
    ///
    /// # Errors
    /// [`InvalidTtl`] if `ttl` is under [`Ttl::MIN`] or over [`Ttl::MAX`].
    pub fn new(ttl: Duration) -> Result<Self, InvalidTtl> {
        if ttl < Self::MIN {
            return Err(InvalidTtl::TooShort { ttl });
        }
        if ttl > Self::MAX {
            return Err(InvalidTtl::TooLong { ttl });
        }
        let ms = ttl.as_nanos().div_ceil(1_000_000);
        u32::try_from(ms)
            .map(Self)
            .map_err(|_| InvalidTtl::TooLong { ttl })
    }

    /// The ttl as a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    /// The ttl in milliseconds.
    #[must_use]
    pub fn as_millis(self) -> u32 {
        self.0
    }
}

/// A ttl out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTtl {
    /// Shorter than [`Ttl::MIN`].
    #[error("ttl {} is too short: it must be at least 50ms", shown(*ttl))]
    TooShort {
        /// What was asked for.
        ttl: Duration,
    },
    /// Longer than [`Ttl::MAX`].
    #[error(
        "ttl {} is too long: it may be at most 24h; leases that are renewed last longer",
        shown(*ttl)
    )]
    TooLong {
        /// What was asked for.
        ttl: Duration,
    },
}

/// Below a millisecond the usual form would read `0s`.
fn shown(ttl: Duration) -> String {
    if !ttl.is_zero() && ttl < Duration::from_millis(1) {
        format!("{ttl:?}")
    } else {
        crate::format_duration(ttl)
    }
}

/// Whether a request takes a place in the queue when the key is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// One attempt; leaves no trace if the key is held.
    No,
    /// Takes a place, or keeps the one this token has.
    InLine {
        /// How long the place lasts unless the request is sent again. After that the waiter is
        /// taken for dead and skipped.
        keep: Duration,
    },
}

/// Beside whom a lease may be held.
///
/// Leases of one key go together only if they are shared in the same way. So a key has one holder,
/// or readers, or holders of permits, and each of these kinds waits for the others to end.
///
/// What a store does not promise ([`crate::LeasePromises::shared`]) it refuses, with
/// [`Sharing::refused_by`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sharing {
    /// Beside nobody.
    #[default]
    Exclusive,
    /// Beside others that are shared in the same way.
    Shared {
        /// How many may hold the key at once: the permits of a semaphore. `None` for any number:
        /// the readers of a read-write lock.
        ///
        /// Requests may differ. In force is what the latest new request asked that was granted, or
        /// that took a place while permits were held; where a free key goes to the queue, what the
        /// last of those asked who stand first in line with permits. Whoever holds a permit keeps
        /// it when the limit falls.
        at_most: Option<NonZeroU32>,
    },
}

impl Sharing {
    /// A reader's: beside any number of readers.
    pub const READ: Self = Self::Shared { at_most: None };

    /// A permit's: beside others, `at_most` in all.
    #[must_use]
    pub const fn permit(at_most: NonZeroU32) -> Self {
        Self::Shared {
            at_most: Some(at_most),
        }
    }

    /// Whether the lease may be held beside any other.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    /// How many may hold the key at once. `None` for any number.
    #[must_use]
    pub const fn at_most(self) -> Option<NonZeroU32> {
        match self {
            Self::Exclusive => Some(NonZeroU32::MIN),
            Self::Shared { at_most } => at_most,
        }
    }

    /// Whether two leases may be held at once as far as their kinds decide that, and not how many
    /// there are already.
    #[must_use]
    pub const fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Shared { at_most: ours }, Self::Shared { at_most: theirs }) => {
                ours.is_some() == theirs.is_some()
            }
            _ => false,
        }
    }

    /// What a store answers that keeps no shared leases.
    #[must_use]
    pub fn refused_by(store: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "acquire a lease: store `{store}` keeps no shared leases, so it has no read-write \
                 locks and no semaphores; use another store for them, or an exclusive lock"
            ),
        )
    }
}

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseRequest {
    /// What to lock.
    pub key: Key,
    /// The name of this acquisition; the same for every resend.
    pub token: Token,
    /// Who asks, for listings.
    pub holder: Holder,
    /// How long the lease lasts without a renewal.
    pub ttl: Ttl,
    /// What to do when the key is held.
    pub waiting: Waiting,
    /// Beside whom the lease may be held; the same for every resend.
    pub sharing: Sharing,
}

impl LeaseRequest {
    /// A request with a new token that does not wait.
    #[must_use]
    pub fn new(key: Key, holder: Holder, ttl: Ttl) -> Self {
        Self::under(Token::random(), key, holder, ttl)
    }

    /// A request under a token that is there already, which spares making another.
    #[must_use]
    pub fn under(token: Token, key: Key, holder: Holder, ttl: Ttl) -> Self {
        Self {
            key,
            token,
            holder,
            ttl,
            waiting: Waiting::No,
            sharing: Sharing::Exclusive,
        }
    }

    /// The same request under a given token.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// The same request, taking a place in the queue for `keep`.
    #[must_use]
    pub fn in_line(mut self, keep: Duration) -> Self {
        self.waiting = Waiting::InLine { keep };
        self
    }

    /// The same request for a lease that is shared so.
    #[must_use]
    pub fn shared(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }
}

/// A request to keep a lease longer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewRequest {
    /// The locked key.
    pub key: Key,
    /// The acquisition that holds it.
    pub token: Token,
    /// How long the lease lasts from now, unless it already lasts longer.
    pub ttl: Ttl,
}

impl RenewRequest {
    /// A renewal of the lease that `token` has on `key`.
    #[must_use]
    pub fn new(key: Key, token: Token, ttl: Ttl) -> Self {
        Self { key, token, ttl }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// Keys that begin with these bytes; empty for all.
    pub prefix: Vec<u8>,
    /// Keys after this one: the last of the page before.
    pub after: Option<Key>,
    /// The most keys to answer, 1 to 1000; other values are brought into that range.
    pub limit: usize,
}

impl ListQuery {
    /// The first page of all keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        Self {
            prefix: prefix.as_ref().to_vec(),
            after: None,
            limit: 100,
        }
    }

    /// The page after `key`.
    #[must_use]
    pub fn after(mut self, key: Key) -> Self {
        self.after = Some(key);
        self
    }

    /// With another page size.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// An operator's request to take a lease from its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForceRequest {
    /// The locked key.
    pub key: Key,
    /// The holder as the operator saw it, from [`super::LeaseView::mark`].
    pub expected: Mark,
    /// Who asks.
    pub by: String,
    /// Why, in the operator's words; may be empty.
    pub why: String,
}

impl ForceRequest {
    /// A request by `by` to free `key` if its holder is still `expected`.
    #[must_use]
    pub fn new(key: Key, expected: Mark, by: impl Into<String>) -> Self {
        Self {
            key,
            expected,
            by: by.into(),
            why: String::new(),
        }
    }

    /// With the reason, for the audit record.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r68_r69_readers_go_with_readers_and_permits_with_permits() {
        let permit = |most| Sharing::permit(NonZeroU32::new(most).unwrap());
        let kinds = [Sharing::Exclusive, Sharing::READ, permit(1), permit(7)];
        for (at, one) in kinds.into_iter().enumerate() {
            for (beside, other) in kinds.into_iter().enumerate() {
                let expected = (at == 1 && beside == 1) || (at > 1 && beside > 1);
                assert_eq!(one.goes_with(other), expected, "{one:?} {other:?}");
            }
        }
        assert_eq!(Sharing::default(), Sharing::Exclusive);
        assert_eq!(kinds.map(Sharing::is_shared), [false, true, true, true]);
        let most = kinds.map(|kind| kind.at_most().map(NonZeroU32::get));
        assert_eq!(most, [Some(1), None, Some(1), Some(7)]);
    }

    #[test]
    fn e1_e3_r17_ttls_out_of_bounds_are_refused_and_fractions_round_up() {
        for (ttl, message) in [
            (
                Duration::ZERO,
                "ttl 0s is too short: it must be at least 50ms",
            ),
            (
                Duration::from_nanos(1),
                "ttl 1ns is too short: it must be at least 50ms",
            ),
            (
                Duration::from_millis(u64::MAX),
                "is too long: it may be at most 24h; leases that are renewed last longer",
            ),
        ] {
            let error = Ttl::new(ttl).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(
            Ttl::new(Duration::from_micros(50_001)).unwrap().as_millis(),
            51
        );
        assert_eq!(Ttl::new(Ttl::MAX).unwrap().as_millis(), 86_400_000);
    }
}
