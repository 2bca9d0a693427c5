//! The check that a protected resource makes: a holder that is late is refused.
//!
//! A lock alone cannot stop a process that was paused past the end of its lease from writing. The
//! resource can, if it remembers the largest fence it has seen. The rule is the same wherever the
//! data is; here it stands for a resource in memory, as SQL and as a Redis script. What the data
//! is, and how it is written, this module does not know.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use tenure_core::{Fence, Token};

/// The statement that makes the table of [`SQL_ADMIT`], for PostgreSQL and SQLite.
pub const SQL_TABLE: &str = include_str!("gate/table.sql");
/// Admits a write in a database: parameters name, fence and owner; one row changed if it is
/// admitted, none if it is refused. Run it first in the transaction of the write and roll that back
/// if it is refused.
pub const SQL_ADMIT: &str = include_str!("gate/admit.sql");
/// Admits a write in Redis or Valkey, and makes it in the same step if a second key is given: keys
/// gate and data, arguments fence, owner and value; 1 if it is admitted, 0 if it is refused.
pub const REDIS_ADMIT: &str = include_str!("gate/admit.lua");

/// What a holder shows with every write: its fence, and which holder it is.
///
/// The fence is what counts. The owner tells two holders apart that got one fence from a store that
/// had lost its newest writes (two primaries in a fail-over): the first of them that writes stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The fence of the acquisition.
    pub fence: Fence,
    /// A number of the acquisition, below 2^63. It gives no power over the lock.
    pub owner: u64,
}

impl Stamp {
    pub(crate) fn new(fence: Fence, token: &Token) -> Self {
        // The token itself would let whoever sees it end the lease: it is folded to half its size.
        let (high, low) = token.as_bytes().split_at(8);
        let owner = high
            .iter()
            .zip(low)
            .fold(0, |owner, (a, b)| (owner << 8) | u64::from(a ^ b));
        Self {
            fence,
            owner: owner >> 1,
        }
    }
}

/// `FENCE-OWNER`, the owner in 16 hexadecimal digits.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.fence, self.owner)
    }
}

/// Admits writes to things in this process's memory, the latest holder's only.
///
/// Never blocks for long: one map under a mutex. It remembers one stamp for each name for as long
/// as it lives, or until [`FenceGate::forget`].
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use tenure_core::Holder;
/// # use tenure_lock::Locks;
/// # use tenure_memory::MemoryStore;
/// use tenure_lock::FenceGate;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let locks = Locks::new(Arc::new(MemoryStore::new()), Holder::new("billing"));
/// let gate = FenceGate::new();
/// let first = locks.lock("invoice/42").acquire().await?;
/// let late = first.stamp();
/// gate.admit("invoice/42", late)?;
/// first.release().await?;
///
/// let second = locks.lock("invoice/42").acquire().await?;
/// gate.admit("invoice/42", second.stamp())?;
/// assert!(gate.admit("invoice/42", late).is_err()); // it was paused, and comes too late
/// # Ok(())
/// # }
/// ```
///
/// # Sources
/// M. Kleppmann, "How to do distributed locking" (2016).
#[derive(Debug, Default)]
pub struct FenceGate {
    last: Mutex<HashMap<String, Stamp>>,
}

impl FenceGate {
    /// A gate that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits a write to `name`, and refuses all earlier holders from then on.
    ///
    /// What is admitted must be written before another write to `name` is admitted: call it under
    /// the lock that guards the data.
    ///
    /// # Errors
    /// [`Refused`] if a later holder, or another one with the same fence, has written, or if the
    /// store gave no fence.
    pub fn admit(&self, name: impl Into<String>, stamp: Stamp) -> Result<(), Refused> {
        let name = name.into();
        if stamp.fence.get() == 0 {
            return Err(Refused { name, last: None });
        }
        // A panic elsewhere leaves the map whole.
        let mut gates = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match gates.get(&name) {
            Some(last) if stamp.fence < last.fence => {}
            Some(last) if stamp.fence == last.fence && stamp.owner != last.owner => {}
            _ => {
                gates.insert(name, stamp);
                return Ok(());
            }
        }
        let last = gates.get(&name).map(|last| last.fence);
        Err(Refused { name, last })
    }

    /// Forgets a name that no longer exists. Late writers to it are admitted again.
    pub fn forget(&self, name: &str) {
        let mut gates = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        gates.remove(name);
    }
}

/// A write was refused: its holder is late.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the write to `{name}` is refused: {}", reason(*.last))]
pub struct Refused {
    /// What was to be written.
    pub name: String,
    /// The largest fence that was admitted; `None` if the holder had no fence to show.
    pub last: Option<Fence>,
}

fn reason(last: Option<Fence>) -> String {
    match last {
        Some(last) => format!("a holder with fence {last} has written since"),
        None => "its store gives no fences".to_owned(),
    }
}
