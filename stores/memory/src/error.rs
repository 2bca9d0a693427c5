//! The few ways in which a memory store can refuse.

use tenure_core::{StoreError, StoreErrorKind};

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
    let message = "the node's lease has ended or it never beat; beat first, then register";
    StoreError::new(StoreErrorKind::InvalidRequest, message)
}
