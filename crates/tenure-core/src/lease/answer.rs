//! What a lease store answers.

use std::fmt;
use std::time::Duration;

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
    /// How long their lease lasts if nothing renews it. `None` if it never ends by itself.
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
    /// The key was handed to the next waiter in the same step.
    HandedOn,
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
    /// When the lease ends if nothing renews it. `None` if it is free or never ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Names this very holding, for [`super::ForceRequest`]. `None` if the key is free.
    pub mark: Option<Mark>,
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
            queue: Vec::new(),
            queue_len: 0,
        }
    }

    /// The fencing token of the holder, if it has one.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        match self.occupant {
            Some(Occupant::Holder { fence, .. }) => Some(fence),
            _ => None,
        }
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
}

impl Waiter {
    /// A waiter.
    #[must_use]
    pub fn new(holder: Holder, since: Timestamp) -> Self {
        Self { holder, since }
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
