//! How this crate's own state is locked.
//!
//! Nothing panics while it is locked, so a panic elsewhere leaves it whole, and a poisoned mutex is
//! used on. In a test of races each lock is a point at which another thread may go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the mutex, and locks it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    crate::renewal::races::give_way(mutex);
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
