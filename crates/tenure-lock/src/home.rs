//! Where background work runs: in the caller's runtime, or on a thread of our own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use crate::AcquireError;

/// Where renewals and releases in the background run.
#[derive(Debug)]
pub(crate) enum Home {
    /// In the runtime of whoever acquires.
    Caller,
    /// On a thread that is started when it is first needed, and ends with this value.
    Own(Mutex<Option<OwnThread>>),
}

impl Home {
    pub(crate) fn own() -> Self {
        Self::Own(Mutex::new(None))
    }

    /// The same kind of place, for other locks.
    pub(crate) fn anew(&self) -> Self {
        match self {
            Self::Caller => Self::Caller,
            Self::Own(_) => Self::own(),
        }
    }

    /// The runtime for background work. Must be called inside a runtime.
    pub(crate) fn handle(&self) -> Result<Handle, AcquireError> {
        let callers = Handle::try_current().map_err(|_| AcquireError::NoRuntime)?;
        let Self::Own(thread) = self else {
            return Ok(callers);
        };
        let mut thread = thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            return Ok(thread.handle.clone());
        }
        let started = OwnThread::start().map_err(|source| AcquireError::NoThread { source })?;
        let handle = started.handle.clone();
        *thread = Some(started);
        Ok(handle)
    }
}

/// A thread with a runtime of its own; it ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct OwnThread {
    handle: Handle,
    stop: Arc<Notify>,
}

impl OwnThread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name("tenure-renewal".to_owned())
            .spawn(move || runtime.block_on(stopped.notified()))?;
        Ok(Self { handle, stop })
    }
}

/// Does not join: the last owner may be a task on this very thread.
impl Drop for OwnThread {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
