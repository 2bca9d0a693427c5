//! Keeps what was read for a moment, so that many askers cost the store one question.
//!
//! Failures are not kept. Whoever asks while the answer is being read waits for that answer.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Clock, Moment};
use tokio::sync::Mutex;

use super::ViewError;

pub(crate) struct Kept<T> {
    keep: Duration,
    value: Mutex<Option<(Moment, Arc<T>)>>,
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl<T> Kept<T> {
    pub(crate) fn for_seconds(seconds: u64) -> Self {
        Self {
            keep: Duration::from_secs(seconds),
            value: Mutex::default(),
        }
    }

    pub(crate) async fn forget(&self) {
        *self.value.lock().await = None;
    }

    /// What is kept, or what `read` answers.
    pub(crate) async fn get<F: Future<Output = Result<T, ViewError>>>(
        &self,
        clock: &dyn Clock,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ViewError> {
        let mut value = self.value.lock().await;
        if let Some((at, kept)) = &*value
            && clock.now().since(*at) < self.keep
        {
            return Ok(kept.clone());
        }
        let asked_at = clock.now();
        let fresh = Arc::new(read().await?);
        *value = Some((asked_at, fresh.clone()));
        Ok(fresh)
    }
}
