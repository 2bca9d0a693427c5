//! Reads the store's records for the checkers, past every simulated network.

use std::collections::BTreeMap;

use tenure_core::{HistoryQuery, HolderId, RunKey, RunRecord, RunStore as _};
use tenure_memory::MemoryStore;

/// How many pages of a thousand are read; a plan makes far fewer records.
const MAX_PAGES: usize = 1_000;

/// Every record.
pub(crate) async fn all(store: &MemoryStore) -> BTreeMap<RunKey, RunRecord> {
    let mut query = HistoryQuery::all();
    query.limit = 1_000;
    let mut records = BTreeMap::new();
    for _ in 0..MAX_PAGES {
        // The store in memory does not fail at reading.
        let Ok(page) = store.history(&query).await else {
            break;
        };
        records.extend(page.runs.into_iter().map(|run| (run.key.clone(), run)));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    records
}

/// What a node has in hand: run and attempt.
pub(crate) async fn in_hand(store: &MemoryStore, node: HolderId) -> Vec<(RunKey, u32)> {
    let records = all(store).await;
    let mine = records.into_values().filter(|run| {
        run.state.is_active() && run.node.as_ref().is_some_and(|holder| holder.id == node)
    });
    mine.map(|run| (run.key, run.attempt)).collect()
}
