//! Why a lease that was held is not held any more.

use std::time::Duration;

use tenure_core::{Fence, Key, Occupant, format_duration};

/// Why a holder may no longer act on its lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// The store did not confirm the lease in time: it may have ended, so it is not relied on.
    #[error("the trust window ended without a confirmation{}", after(trouble.as_deref()))]
    TrustEnded {
        /// What the last renewal failed with, if one failed.
        trouble: Option<String>,
    },
    /// The store says that the lease is not ours: it lapsed, or was forced.
    #[error("the store says that {}", whose(by.as_ref()))]
    Taken {
        /// Who has the key instead, if anybody.
        by: Option<Occupant>,
    },
    /// The lease was held for as long as was allowed.
    #[error("max_hold ({}) has passed", format_duration(*max_hold))]
    MaxHold {
        /// How long that was.
        max_hold: Duration,
    },
}

fn after(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| format!("; last: {trouble}"))
}

fn whose(by: Option<&Occupant>) -> String {
    by.map_or_else(
        || "the lease has ended".to_owned(),
        |by| format!("the key is held by {by}"),
    )
}

/// A lock that may not be relied on any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lock `{key}` with fence {fence} is lost")]
#[non_exhaustive]
pub struct Lost {
    /// The locked key.
    pub key: Key,
    /// The fence it was held with.
    pub fence: Fence,
    /// Why.
    #[source]
    pub reason: LossReason,
}

impl Lost {
    pub(crate) fn new(key: Key, fence: Fence, reason: LossReason) -> Self {
        Self { key, fence, reason }
    }
}
