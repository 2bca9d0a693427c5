//! Begins an attempt's code as one task of the runtime, and brings its end to the loop that asked
//! for it.
//!
//! Ends wait in one list, so that a loop with other things to do finds many of them at one waking.
//! Nothing here knows a limit on time: whoever began the code watches over it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use tenure_core::Timestamp;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use crate::attempt::{Attempt, Ending, message_of};
use crate::check::Work;

/// The attempts that have ended and that nobody has dealt with yet.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    list: Mutex<Vec<(u64, Ending)>>,
    came: Notify,
}

impl Ends {
    /// Takes all that have come.
    pub(crate) fn take(&self) -> Vec<(u64, Ending)> {
        std::mem::take(&mut *self.list())
    }

    /// Resolves when one came since it last resolved, and was the first in the list.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }

    fn tell(&self, id: u64, ending: Ending) {
        let mut list = self.list();
        let is_first = list.is_empty();
        list.push((id, ending));
        drop(list);
        if is_first {
            self.came.notify_one();
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<(u64, Ending)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Code that was begun. Dropping this drops the code at its next `await`.
#[derive(Debug)]
pub(crate) struct Launched(AbortHandle);

impl Drop for Launched {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Holds code back that the runtime has already, until its time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    opened: OnceLock<Timestamp>,
    opening: Notify,
    passed: AtomicUsize,
}

impl Gate {
    /// Lets the code begin, now by the store's clock.
    pub(crate) fn open(&self, now: Timestamp) {
        let _ = self.opened.set(now);
        self.opening.notify_waiters();
    }

    /// How many have begun. Code that was dropped before never does.
    pub(crate) fn count_passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    /// Resolves when it is open, with the time at which it was opened.
    async fn passed(&self) -> Timestamp {
        let mut opening = std::pin::pin!(self.opening.notified());
        loop {
            // Before the look: an opening in between is not missed.
            opening.as_mut().enable();
            if let Some(at) = self.opened.get() {
                self.passed.fetch_add(1, Ordering::Relaxed);
                return *at;
            }
            opening.as_mut().await;
            opening.set(self.opening.notified());
        }
    }
}

/// Hands the code to its runtime, which begins it in its span, at once or behind a gate. Its end
/// comes to `ends` under `id` exactly once, whatever becomes of the code and of its runtime.
pub(crate) fn launch(
    work: &Work,
    attempt: Arc<Attempt>,
    gate: Option<Arc<Gate>>,
    (id, ends): (u64, Arc<Ends>),
) -> Launched {
    let code = work.code.clone();
    let mut end = End {
        id,
        ends,
        is_told: false,
    };
    // The code is called inside the spawned future, so that a panic of the call itself is caught.
    let running = async move {
        if let Some(gate) = gate {
            attempt.begins_at(gate.passed().await);
        }
        let span = attempt.span().clone();
        let running = async move { code(attempt).await }.instrument(span);
        let ending = match AssertUnwindSafe(running).catch_unwind().await {
            Ok(result) => Ending::Returned(result),
            Err(panic) => Ending::Panicked(message_of(panic.as_ref())),
        };
        end.tell(ending);
    };
    let task = match &work.runtime {
        None => tokio::spawn(running),
        Some(runtime) => runtime.spawn(running),
    };
    Launched(task.abort_handle())
}

/// Tells the end of one attempt, also if its code is dropped before it has ended.
struct End {
    id: u64,
    ends: Arc<Ends>,
    is_told: bool,
}

impl End {
    fn tell(&mut self, ending: Ending) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.ends.tell(self.id, ending);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(if std::thread::panicking() {
            Ending::Panicked("while it was dropped".to_owned())
        } else {
            Ending::NoRuntime
        });
    }
}
