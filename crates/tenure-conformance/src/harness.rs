//! How the suites meet a store, and how they do it harm.
//!
//! A harness value is one empty namespace that no other test shares; every case makes its own. What
//! a harness does, it does to the raw records or to the server, never through the code under test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{HolderId, Key, LeaseStore, RunKey, RunState, RunStore};

/// A namespace for leases.
#[async_trait]
pub trait LeaseHarness: Send + Sync + 'static {
    /// Opens the namespace, with connections of its own, as another process would.
    async fn store(&self) -> Arc<dyn LeaseStore>;

    /// Ends the lease on `key` at once, as if its ttl had run out.
    async fn lapse(&self, key: &Key);

    /// Lets at least `by` pass on the store's clock and on waiters' places. A store whose clock can
    /// be moved moves it; any other waits. Cases ask for two seconds at most.
    async fn pass_time(&self, by: Duration);

    /// Cuts the connections of every store opened so far, as a failing network would. A store
    /// without connections does what comes nearest, or nothing.
    async fn sever(&self);

    /// Reads who holds `key` from the raw record.
    async fn raw_holder(&self, key: &Key) -> Option<HolderId>;

    /// Counts the raw records that exist for `key` apart from fence counters: lease, waiters.
    async fn raw_records(&self, key: &Key) -> usize;

    /// Counts the fence counters of the whole namespace.
    async fn raw_fence_counters(&self) -> usize;

    /// Steps the wall clock that the store reads; negative steps go back.
    async fn step_wall(&self, by_ms: i64);

    /// Makes the fence counter of `key` forget, as a store that lost data does.
    async fn lose_fence(&self, key: &Key);

    /// The cases that cannot be shown here.
    fn not_shown(&self) -> &'static [NotShown] {
        &[]
    }
}

/// A case that cannot be shown on a namespace, because nobody can do to it what the case needs; and
/// the reason. What a store does not promise is no reason: its promises say that.
pub type NotShown = (&'static str, &'static str);

/// Why the case `name` is not shown, if that is declared.
pub(crate) fn declared(name: &str, cases: &[&str], not_shown: &[NotShown]) -> Option<&'static str> {
    for (case, why) in not_shown {
        assert!(
            cases.contains(case),
            "declared as not shown, but no case: `{case}`"
        );
        assert!(!why.is_empty(), "`{case}` is not shown for no reason");
    }
    let found = not_shown.iter().find(|(case, _)| *case == name);
    found.map(|(_, why)| *why)
}

/// A namespace for runs.
#[async_trait]
pub trait RunHarness: Send + Sync + 'static {
    /// Opens the namespace, with connections of its own, as another process would.
    async fn store(&self) -> Arc<dyn RunStore>;

    /// Ends the lease of `node` at once, as if its ttl had run out.
    async fn lapse_node(&self, node: HolderId);

    /// Lets at least `by` pass on the store's clock. A store whose clock can be moved moves it; any
    /// other waits. Cases ask for two seconds at most.
    async fn pass_time(&self, by: Duration);

    /// Cuts the connections of every store opened so far, as a failing network would. A store
    /// without connections does what comes nearest, or nothing.
    async fn sever(&self);

    /// Reads state and attempt of a run from the raw record.
    async fn raw_run(&self, key: &RunKey) -> Option<(RunState, u32)>;

    /// How long from now the raw record is sure to stay, if it exists.
    async fn raw_keeps_for(&self, key: &RunKey) -> Option<Duration>;

    /// Steps the store's wall clock, as a fail-over to a server with another clock does; negative
    /// steps go back.
    async fn step_wall(&self, by_ms: i64);

    /// The cases that cannot be shown here.
    fn not_shown(&self) -> &'static [NotShown] {
        &[]
    }
}
