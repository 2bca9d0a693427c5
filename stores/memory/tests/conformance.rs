//! The memory store passes the whole of both suites.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_conformance::{LeaseHarness, NotShown, RunHarness};
use tenure_core::{HolderId, Key, LeaseStore, ManualClock, RunKey, RunState, RunStore};
use tenure_memory::MemoryStore;

/// One store on a clock that only the suite moves.
struct Memory {
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Memory {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            store: MemoryStore::with_clock(clock.clone()),
            clock,
        }
    }
}

#[async_trait]
impl LeaseHarness for Memory {
    async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(self.store.clone())
    }

    async fn lapse(&self, key: &Key) {
        self.store.lapse(key);
    }

    async fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn sever(&self) {}

    async fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        self.store.raw_holder(key)
    }

    async fn raw_records(&self, key: &Key) -> usize {
        self.store.raw_records(key)
    }

    async fn raw_fence_counters(&self) -> usize {
        self.store.raw_fence_counters()
    }

    async fn step_wall(&self, by_ms: i64) {
        self.clock.step_wall_ms(by_ms);
    }

    async fn lose_fence(&self, _key: &Key) {
        unreachable!("it keeps what it acknowledged");
    }

    fn not_shown(&self) -> &'static [NotShown] {
        &[(
            "r62_fences_grow_after_the_counter_is_lost",
            "the counter and the leases are kept and lost together",
        )]
    }
}

#[async_trait]
impl RunHarness for Memory {
    async fn store(&self) -> Arc<dyn RunStore> {
        Arc::new(self.store.clone())
    }

    async fn lapse_node(&self, node: HolderId) {
        self.store.lapse_node(node);
    }

    async fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn sever(&self) {}

    async fn raw_run(&self, key: &RunKey) -> Option<(RunState, u32)> {
        self.store.raw_run(key)
    }

    async fn raw_keeps_for(&self, key: &RunKey) -> Option<Duration> {
        self.store.raw_keeps_for(key)
    }

    async fn step_wall(&self, by_ms: i64) {
        self.clock.step_wall_ms(by_ms);
    }
}

tenure_conformance::lease_suite!(Memory::new());
tenure_conformance::run_suite!(Memory::new());
