//! The number that lets a resource refuse a holder that is late.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fencing token: a number that grows with every grant of a key.
///
/// Give it to the resource the lock protects and let the resource refuse smaller numbers: that is
/// what stops a holder that was paused past the end of its lease. Fences of one key never repeat
/// and never fall, whatever ends the leases in between. Fences of different keys say nothing about
/// each other.
///
/// # Sources
/// C. Gray and D. Cheriton, "Leases" (1989); M. Kleppmann, "How to do distributed locking" (2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// No fence: what every grant of a store carries that promises none. It is under every fence,
    /// so a resource that has seen one refuses it.
    pub const NONE: Self = Self(0);

    /// A fence from the number a store gave.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as a resource stores and compares it. Below 2^53, so that every JSON and Lua
    /// reader keeps it exactly.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
