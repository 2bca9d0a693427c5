//! What can be written down about a lease, and what such a history can show to be wrong.

use tenure_core::{Fence, Key, Moment, Token};

/// Something that somebody did or learned about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, by the clock that all who write to this history share.
    pub at: Moment,
    /// The key.
    pub key: Key,
    /// What.
    pub step: Step,
}

/// What a [`Record`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A request is about to leave, the first one or a resend.
    Asked {
        /// Whose.
        token: Token,
    },
    /// An answer said that the lease is this token's. A pushed grant counts once a request has
    /// confirmed it.
    Granted {
        /// Whose.
        token: Token,
        /// With which fence.
        fence: Fence,
        /// Until when the holder acts on it without another answer. `None`: until it gives up.
        until: Option<Moment>,
    },
    /// An answer said that the lease is not this token's.
    Lost {
        /// Whose.
        token: Token,
    },
    /// The holder no longer acts on the lease: it is about to release it.
    GaveUp {
        /// Whose.
        token: Token,
    },
    /// Somebody is about to end whatever lease is on the key: an operator, a fault.
    Disturbed,
    /// That has been done.
    Settled,
}

/// What a correct store would not have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Two holders acted on one key at once.
    Overlap {
        /// The fence of the holder that was there.
        first: Fence,
        /// The fence of the one that was granted the key too.
        second: Fence,
    },
    /// A grant's fence is not greater than one that was known when it was asked for.
    FenceFell {
        /// The greatest fence known before.
        known: Fence,
        /// The fence that was granted.
        granted: Fence,
    },
    /// Two acquisitions have the same fence.
    FenceRepeated {
        /// The fence.
        fence: Fence,
    },
    /// The fence of a lease changed although nothing had ended it.
    FenceChanged {
        /// The fence the lease had.
        from: Fence,
        /// The fence it was granted again with.
        to: Fence,
    },
    /// A lease ended although its time was not over, nobody had ended it, and its holder had not
    /// given it up.
    LostForNoReason {
        /// The fence of the lease.
        fence: Fence,
    },
    /// A fence that some readers of JSON or Lua cannot keep exactly, or zero; or any fence of a
    /// store that declares none.
    FenceOutOfRange {
        /// The fence.
        fence: Fence,
    },
}
