//! The suites that every store must pass, on a file of its own for each case.
#![allow(
    clippy::unwrap_used,
    reason = "a harness has nobody to report to but the test"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tempfile::TempDir;
use tenure_conformance::{LeaseHarness, NotShown, RunHarness};
use tenure_core::{
    Clock, HolderId, Key, LeaseStore, ManualClock, RunKey, RunKind, RunState, RunStore, Timestamp,
};
use tenure_sqlite::{SqliteOptions, SqliteStore};

tenure_conformance::lease_suite!(SqliteHarness::new());
tenure_conformance::run_suite!(SqliteHarness::new());

/// One file with two namespaces, of which the suite sees one.
struct SqliteHarness {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl SqliteHarness {
    fn new() -> Self {
        let harness = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::default()),
        };
        // A neighbour, so that a statement that forgets the namespace is found out.
        drop(harness.open("neighbour"));
        harness
    }

    fn open(&self, namespace: &str) -> SqliteStore {
        let options = SqliteOptions::new(self.folder.path().join("suite.db"))
            .namespace(namespace)
            .with_clock(self.clock.clone());
        SqliteStore::open(options).unwrap()
    }

    fn raw(&self) -> (Connection, i64) {
        let raw = Connection::open(self.folder.path().join("suite.db")).unwrap();
        raw.busy_timeout(Duration::from_secs(10)).unwrap();
        let ns = raw
            .query_row("SELECT id FROM namespace WHERE name = 'suite'", [], |row| {
                row.get(0)
            })
            .unwrap();
        (raw, ns)
    }

    fn raw_column(&self, key: &RunKey, column: &str) -> Option<rusqlite::types::Value> {
        let (raw, ns) = self.raw();
        let (kind, request) = match &key.kind {
            RunKind::Manual(id) => (1, id.as_str()),
            RunKind::Backfill(id) => (2, id.as_str()),
            _ => (0, ""),
        };
        raw.query_row(
            &format!(
                "SELECT {column} FROM run WHERE ns = ?1 AND task = ?2 AND tick_at = ?3
                 AND idx = ?4 AND kind = ?5 AND request = ?6"
            ),
            params![
                ns,
                key.task.as_str(),
                key.tick.as_millis(),
                key.index,
                kind,
                request
            ],
            |row| row.get(0),
        )
        .optional()
        .unwrap()
    }
}

#[async_trait]
impl LeaseHarness for SqliteHarness {
    async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(self.open("suite"))
    }

    async fn lapse(&self, key: &Key) {
        let (raw, ns) = self.raw();
        raw.execute(
            "UPDATE lease SET expires_ms = 0 WHERE ns = ?1 AND key = ?2",
            params![ns, key.as_bytes()],
        )
        .unwrap();
    }

    async fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn sever(&self) {}

    async fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        let (raw, ns) = self.raw();
        raw.query_row(
            "SELECT holder FROM lease WHERE ns = ?1 AND key = ?2",
            params![ns, key.as_bytes()],
            |row| row.get::<_, [u8; 16]>(0),
        )
        .optional()
        .unwrap()
        .map(HolderId::from_bytes)
    }

    async fn raw_records(&self, key: &Key) -> usize {
        let (raw, ns) = self.raw();
        raw.query_row(
            "SELECT (SELECT count(*) FROM lease WHERE ns = ?1 AND key = ?2)
                  + (SELECT count(*) FROM waiter WHERE ns = ?1 AND key = ?2)",
            params![ns, key.as_bytes()],
            |row| row.get::<_, u32>(0),
        )
        .unwrap() as usize
    }

    async fn raw_fence_counters(&self) -> usize {
        let (raw, ns) = self.raw();
        raw.query_row(
            "SELECT count(fence) FROM namespace WHERE id = ?1",
            [ns],
            |row| row.get::<_, u32>(0),
        )
        .unwrap() as usize
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
impl RunHarness for SqliteHarness {
    async fn store(&self) -> Arc<dyn RunStore> {
        Arc::new(self.open("suite"))
    }

    async fn lapse_node(&self, node: HolderId) {
        let (raw, ns) = self.raw();
        raw.execute(
            "UPDATE node SET expires_ms = 0 WHERE ns = ?1 AND holder = ?2",
            params![ns, node.as_bytes()],
        )
        .unwrap();
    }

    async fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn sever(&self) {}

    async fn raw_run(&self, key: &RunKey) -> Option<(RunState, u32)> {
        use rusqlite::types::Value;
        let Value::Text(state) = self.raw_column(key, "state")? else {
            return None;
        };
        let Value::Integer(attempt) = self.raw_column(key, "attempt")? else {
            return None;
        };
        Some((
            RunState::from_name(&state).unwrap(),
            u32::try_from(attempt).unwrap(),
        ))
    }

    async fn raw_keeps_for(&self, key: &RunKey) -> Option<Duration> {
        use rusqlite::types::Value;
        let Value::Integer(until) = self.raw_column(key, "keep_until")? else {
            return None;
        };
        Some(Timestamp::from_millis(until).since(self.clock.wall()))
    }

    async fn step_wall(&self, by_ms: i64) {
        self.clock.step_wall_ms(by_ms);
    }
}
