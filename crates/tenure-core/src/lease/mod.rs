//! The contract of a store that keeps leases.
//!
//! Each method is one atomic step inside the store, judged by the store's clock. The contract is
//! small on purpose: waiting, retrying, renewing and losing live above it, once, for all stores.
//!
//! A lease's life, as the store sees it:
//!
//! ```text
//!            acquire                     release, cancel, force, lapse
//!   free ───────────────→ held by A ───────────────────────────────────→ free
//!                             │   somebody waits: handed on in the same step
//!                             └───────────────────────────────────→ held by B (claim window)
//! ```
//!
//! A key may also be held by several at once, where all of them asked for a lease that is shared
//! ([`Sharing`]) and the store keeps such leases. Each of them has a token, a ttl and a fence of
//! its own, and lives or dies by itself. One queue serves all: whoever is first in line is granted
//! the key as soon as it goes with those that hold it, and then the next, so that readers who stand
//! together are granted together; nobody joins the holders while others wait.

mod answer;
mod request;

use std::fmt;

use async_trait::async_trait;

pub use self::answer::{
    Acquisition, Cancellation, Forced, Grant, Held, LeasePage, LeaseView, Mark, Occupant, Place,
    Release, Renewal, Sharer, Waiter,
};
pub use self::request::{
    ForceRequest, InvalidTtl, LeaseRequest, ListQuery, RenewRequest, Sharing, Ttl, Waiting,
};
use crate::{Key, LeasePromises, StoreError, Timestamp, Token, Wakes};

/// Keeps leases. Each method is one atomic step inside the store.
///
/// # Guarantees
/// For every key, as far as [`LeaseStore::promises`] reaches:
/// - at most one token holds it at any instant of the store's clock, or several whose requests all
///   said that the lease may be shared, and no more than the limit in force let in;
/// - each grant's fence is greater than those of all earlier grants, whatever ended them;
/// - a request sent again with its token changes nothing and gets the same answer;
/// - nobody but its token, a [`ForceRequest`] and the store's clock ends a lease.
///
/// # Errors
/// Every method fails with [`StoreError`] if the store gave no answer; whether the step happened is
/// then told by [`StoreError::outcome_is_unknown`].
///
/// # Cancel safety
/// Dropping a call leaves its outcome unknown, as a lost reply does: the step happens or not, never
/// by half. Call [`LeaseStore::cancel`] to make sure that nothing is left of an acquisition.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can and cannot promise; the suite and the docs read it.
    fn promises(&self) -> LeasePromises;

    /// Listens for word of `token` on `key`: a pushed grant, or a hint to ask again.
    ///
    /// Local and immediate; listen before the first [`LeaseStore::acquire`], since a push may
    /// overtake its reply. Must be called inside the asynchronous runtime.
    ///
    /// Go on listening while the request waits in line: a grant that is pushed where nobody
    /// listens may be given to the next in line at once. A holder goes on listening at rest
    /// ([`Wakes::rest`]) to hear that its lease was taken.
    fn listen(&self, key: &Key, token: Token) -> Wakes;

    /// Grants the lease if it is free and it is this request's turn.
    ///
    /// - Free, and nobody waits ahead: granted.
    /// - Shared by others, this request goes with them ([`Sharing::goes_with`]), fewer than it
    ///   allows hold the key, and nobody waits: granted.
    /// - Free, but others wait: it goes to the first live waiter, and this request is answered as
    ///   if it had found the key held.
    /// - Held by this token: granted again, with the same fence. This is how a lost reply is
    ///   repaired and how a waiter collects a grant it was not told of. The lease is then kept for
    ///   at least the request's ttl from now.
    /// - Held by another: [`Acquisition::Held`]. With [`Waiting::InLine`] the request takes a place
    ///   in the queue or keeps the one it has, until [`Waiting::InLine`]'s `keep` has passed
    ///   without another request.
    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError>;

    /// Extends leases that are still their tokens' own. Answers stand in the order of the requests.
    ///
    /// A renewal never shortens a lease, never re-creates one and never changes its fence. One
    /// renewal that fails does not fail its neighbours.
    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError>;

    /// Gives the lease back, and hands it to the first live waiter in the same step, or to the
    /// first several that share it.
    ///
    /// Releasing what this token does not hold changes nothing and is answered
    /// [`Release::NotHeld`].
    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError>;

    /// Ends whatever `token` has on `key`: its place in the queue, and the lease if it was granted.
    ///
    /// After an answer, no acquisition of this token is left, even if one was being granted at the
    /// same time, or one of its requests arrives later by another connection; a grant that raced is
    /// handed on. The token is not used again.
    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError>;

    /// Shows who holds `key` and who waits. `None` if nobody does either.
    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError>;

    /// Lists keys that are held or waited for, in the order of their bytes, a page at a time.
    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError>;

    /// Takes the lease from its holder, if the holder is still the one the operator saw. With the
    /// mark of a key that is shared it takes all leases, with that of one of the sharers that one.
    ///
    /// The lease goes to the first live waiter, or is free. A holder that still listens is told at
    /// once to ask again ([`Wake::Changed`](crate::Wake::Changed)) by a store that pushes; others
    /// learn of it at their next renewal. The store records who asked and why as a note of kind
    /// `lease_forced` in its events, where it keeps runs as well.
    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError>;

    /// The store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}
