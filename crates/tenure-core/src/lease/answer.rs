//! What a lease store answers.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::request::Sharing;
use crate::{Fence, Holder, Key, Timestamp};

/// A lease as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The fencing token of this acquisition; renewals and resends do not change it.
    pub fence: Fence,
    /// The store's clock when it evaluated the request.
    pub now: Timestamp,
    /// When the lease ends by the store's clock, if nothing renews it. It may last longer, by no
    /// more than the store took to answer, and never shorter.
    pub expires_at: Timestamp,
}

impl Grant {
    /// A grant as a store evaluated it.
    #[must_use]
    pub fn new(fence: Fence, now: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            fence,
            now,
            expires_at,
        }
    }
}

/// The answer to a request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquisition {
    /// The lease is this token's own.
    Granted(Grant),
    /// Somebody else has it, or is ahead in the queue.
    Held(Held),
}

/// Why a request was not granted, and when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The store's clock when it evaluated the request.
    pub now: Timestamp,
    /// Who has the key.
    pub by: Occupant,
    /// How long their lease lasts if nothing renews it. `None` if it never ends by itself. If
    /// several share the key: until the first of theirs ends for a request that goes with them,
    /// until the last for any other.
    pub remaining: Option<Duration>,
    /// This request's place in the queue, if it has one.
    pub place: Option<Place>,
    /// How long to wait for a wake-up before asking again. The caller adds jitter.
    pub ask_again_after: Duration,
}

impl Held {
    /// An answer without a place in the queue that advises to ask again when the lease ends.
    #[must_use]
    pub fn new(now: Timestamp, by: Occupant, remaining: Option<Duration>) -> Self {
        let ask_again_after = remaining.unwrap_or(Duration::from_secs(1));
        Self {
            now,
            by,
            remaining,
            place: None,
            ask_again_after,
        }
    }

    /// With a place in the queue.
    #[must_use]
    pub fn in_place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// With other advice on when to ask again.
    #[must_use]
    pub fn ask_again_after(mut self, after: Duration) -> Self {
        self.ask_again_after = after;
        self
    }
}

/// Who has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupant {
    /// A holder that speaks this contract.
    Holder {
        /// Who it is.
        holder: Holder,
        /// Its fencing token.
        fence: Fence,
        /// Since when, by the store's clock.
        since: Timestamp,
    },
    /// Holders that share it. A [`LeaseView`] says who they are.
    Shared {
        /// How many there are.
        holders: u32,
        /// How many there may be. `None` for any number.
        at_most: Option<NonZeroU32>,
    },
    /// Something of another program's, under the same name in the same store.
    Foreign {
        /// What can be said of it, such as its type; never its whole value.
        what: String,
    },
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holder { holder, fence, .. } => write!(f, "{holder}, fence {fence}"),
            Self::Shared {
                holders: 1,
                at_most: None,
            } => f.write_str("1 reader"),
            Self::Shared {
                holders,
                at_most: None,
            } => write!(f, "{holders} readers"),
            Self::Shared {
                holders,
                at_most: Some(most),
            } => write!(f, "holders of {holders} of {most} permits"),
            Self::Foreign { what } => write!(f, "a foreign owner ({})", what.escape_debug()),
        }
    }
}

/// A place in the queue. It never grows while the waiter keeps asking, where waiters are served in
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// 1 for the next in turn.
    pub position: u32,
    /// How many wait, this one included.
    pub length: u32,
}

impl Place {
    /// The place `position` of `length`.
    #[must_use]
    pub fn new(position: u32, length: u32) -> Self {
        Self { position, length }
    }
}

/// The answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// The lease lasts until the grant's `expires_at`.
    Renewed(Grant),
    /// The lease is no longer this token's: definitive, there is nothing to retry.
    Lost {
        /// The store's clock when it evaluated the request.
        now: Timestamp,
        /// Who has the key instead, if anybody.
        by: Option<Occupant>,
    },
}

/// The answer to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Release {
    /// The key is free.
    Freed,
    /// The key was handed to the next waiter in the same step, or to several that share it.
    HandedOn,
    /// The lease was shared, and is given back; others hold the key still, and nobody new does.
    OthersHold,
    /// This token did not hold the key: the lease had ended, or an earlier release got through.
    NotHeld,
}

/// The answer to a cancellation. Either way nothing of the acquisition is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancellation {
    /// It had neither a lease nor a place.
    Nothing,
    /// It had a place in the queue.
    LeftQueue,
    /// It had been granted the lease, which was given back or handed on.
    Released,
}

/// What an operator saw of a holder; changes with every grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// A mark as the store writes it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The mark as the store wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of several holders of a key, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sharer {
    /// Who it is.
    pub holder: Holder,
    /// Its fencing token.
    pub fence: Fence,
    /// Since when, by the store's clock.
    pub since: Timestamp,
    /// When its lease ends if nothing renews it.
    pub expires_at: Timestamp,
    /// Names this very holding, for a [`super::ForceRequest`] that leaves the others theirs.
    pub mark: Mark,
}

impl Sharer {
    /// One of several holders.
    #[must_use]
    pub fn new(
        holder: Holder,
        fence: Fence,
        since: Timestamp,
        expires_at: Timestamp,
        mark: Mark,
    ) -> Self {
        Self {
            holder,
            fence,
            since,
            expires_at,
            mark,
        }
    }
}

/// A key as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseView {
    /// The key.
    pub key: Key,
    /// The store's clock when it looked.
    pub now: Timestamp,
    /// Who has it. `None` if it is free and only waited for.
    pub occupant: Option<Occupant>,
    /// When the lease ends if nothing renews it. `None` if it is free or never ends by itself. The
    /// end of the last one, if it is shared.
    pub expires_at: Option<Timestamp>,
    /// Names this very holding, for [`super::ForceRequest`]. `None` if the key is free. If it is
    /// shared this means all that hold it, also those that came meanwhile; it changes when a free
    /// key is granted.
    pub mark: Option<Mark>,
    /// Who shares the key, the one that has held it longest first; empty unless it is shared. Of
    /// very many some may be left out: [`Occupant::Shared`] says how many there are.
    pub sharers: Vec<Sharer>,
    /// Who waits, the next in turn first. A listing may leave them out: see `queue_len`.
    pub queue: Vec<Waiter>,
    /// How many wait.
    pub queue_len: u32,
}

impl LeaseView {
    /// A free key that nobody waits for.
    #[must_use]
    pub fn new(key: Key, now: Timestamp) -> Self {
        Self {
            key,
            now,
            occupant: None,
            expires_at: None,
            mark: None,
            sharers: Vec::new(),
            queue: Vec::new(),
            queue_len: 0,
        }
    }

    /// The fencing token of the holder, if it has one. `None` also if several share the key: each
    /// of [`LeaseView::sharers`] has its own.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match self.occupant {
            Some(Occupant::Holder { fence, .. }) => Some(fence),
            _ => None,
        }
    }

    /// The mark of the holder with this fencing token, be it the only one or one of several. `None`
    /// if it does not hold the key, or is not shown.
    #[must_use]
    pub fn mark_of(&self, fence: Fence) -> Option<&Mark> {
        if self.fence() == Some(fence) {
            return self.mark.as_ref();
        }
        let sharer = self.sharers.iter().find(|sharer| sharer.fence == fence)?;
        Some(&sharer.mark)
    }

    /// Sets who has the key.
    #[must_use]
    pub fn held_by(
        mut self,
        occupant: Occupant,
        expires_at: Option<Timestamp>,
        mark: Mark,
    ) -> Self {
        self.occupant = Some(occupant);
        self.expires_at = expires_at;
        self.mark = Some(mark);
        self
    }

    /// Sets who shares the key: `holders` of them, of which `sharers` are shown.
    #[must_use]
    pub fn shared_by(
        mut self,
        (holders, at_most): (u32, Option<NonZeroU32>),
        sharers: Vec<Sharer>,
        expires_at: Option<Timestamp>,
        mark: Mark,
    ) -> Self {
        let occupant = Occupant::Shared { holders, at_most };
        self = self.held_by(occupant, expires_at, mark);
        self.sharers = sharers;
        self
    }

    /// Sets who waits.
    #[must_use]
    pub fn queued(mut self, queue: Vec<Waiter>) -> Self {
        self.queue_len = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        self.queue = queue;
        self
    }
}

/// Somebody in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// Who it is.
    pub holder: Holder,
    /// Since when it waits, by the store's clock.
    pub since: Timestamp,
    /// Beside whom the lease may be held that it waits for.
    pub sharing: Sharing,
}

impl Waiter {
    /// A waiter for an exclusive lease.
    #[must_use]
    pub fn new(holder: Holder, since: Timestamp) -> Self {
        Self {
            holder,
            since,
            sharing: Sharing::Exclusive,
        }
    }

    /// The same, waiting for a lease that is shared so, or for an exclusive one.
    #[must_use]
    pub fn waiting_for(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeasePage {
    /// The keys of this page, in the order of their bytes. Their queues may be left out.
    pub leases: Vec<LeaseView>,
    /// Whether keys follow after the last one of this page.
    pub more: bool,
}

impl LeasePage {
    /// A page.
    #[must_use]
    pub fn new(leases: Vec<LeaseView>, more: bool) -> Self {
        Self { leases, more }
    }
}

/// The answer to a forced release.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forced {
    /// The holder lost the lease; the key is free or handed on.
    Done {
        /// Who lost it.
        from: Occupant,
    },
    /// Somebody else holds the key by now; nothing changed.
    Changed {
        /// The key as it is now.
        current: LeaseView,
    },
    /// Nobody holds the key; nothing changed.
    NotHeld,
}
