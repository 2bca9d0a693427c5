//! The facts as they are kept, and how a test does them harm.
//!
//! For test harnesses: nothing here goes through the contracts, so a test can hold what a store
//! says against what it keeps.

use std::time::Duration;

use tenure_core::{HolderId, Key, RunKey, RunState};

use crate::run::Runs;
use crate::{MemoryStore, locked};

/// Everything a store kept of its runs at one moment.
#[derive(Debug, Clone)]
pub struct RunMemory(Runs);

impl MemoryStore {
    /// Ends the lease on `key` at once, as if its ttl had run out.
    pub fn lapse(&self, key: &Key) {
        locked(&self.shared.leases).lapse(key, self.lease_now());
    }

    /// Ends the lease of `node` at once, as if its ttl had run out.
    pub fn lapse_node(&self, node: HolderId) {
        locked(&self.shared.runs).lapse_node(node, self.run_now());
    }

    /// Who holds `key` on record, whether or not the lease has run out.
    #[must_use]
    pub fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        locked(&self.shared.leases).raw_holder(key)
    }

    /// How many records there are for `key`: its lease and its waiters.
    #[must_use]
    pub fn raw_records(&self, key: &Key) -> usize {
        locked(&self.shared.leases).raw_records(key)
    }

    /// How many fence counters all keys share.
    #[must_use]
    pub fn raw_fence_counters(&self) -> usize {
        locked(&self.shared.leases).raw_fence_counters()
    }

    /// State and attempt of a run on record.
    #[must_use]
    pub fn raw_run(&self, key: &RunKey) -> Option<(RunState, u32)> {
        locked(&self.shared.runs).raw_run(key)
    }

    /// How long from now a run's record is sure to stay.
    #[must_use]
    pub fn raw_keeps_for(&self, key: &RunKey) -> Option<Duration> {
        locked(&self.shared.runs).raw_keeps_for(key, self.run_now())
    }

    /// What the store keeps of its runs now.
    #[must_use]
    pub fn runs_in_memory(&self) -> RunMemory {
        RunMemory(locked(&self.shared.runs).clone())
    }

    /// Goes back to what the store kept of its runs at an earlier moment, as one does that restarts
    /// without its last writes.
    pub fn go_back_to(&self, memory: &RunMemory) {
        *locked(&self.shared.runs) = memory.0.clone();
    }
}
