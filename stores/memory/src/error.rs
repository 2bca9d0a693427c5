//! The few ways in which a memory store can refuse.

use tenure_core::{RunKey, RunState, StoreError, StoreErrorKind};

pub(crate) fn batch_too_large(len: usize, most: usize) -> StoreError {
    let message = format!("a batch may hold {most} items, this one holds {len}; send it in parts");
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}

pub(crate) fn bad_cursor(text: &str) -> StoreError {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    let message = format!("`{shown}` is not a position of this store; begin without one");
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}

pub(crate) fn node_unknown() -> StoreError {
    let message = "the node never beat, or was given up long ago; beat first, then register";
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}

pub(crate) fn not_passed(key: &RunKey, state: RunState) -> StoreError {
    let key = key.to_string().escape_debug().to_string();
    let message = format!("{key} can be passed over as skipped or missed, not as {state}");
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}

pub(crate) fn not_requested(key: &RunKey) -> StoreError {
    let key = key.to_string().escape_debug().to_string();
    let message =
        format!("{key} is a scheduled run: claim it, or ask for a manual or backfill run");
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}
