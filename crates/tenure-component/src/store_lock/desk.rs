//! The one place where lock components take and give back locks: open on a store, or closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Holder, LeaseStore, StoreErrorKind};
use tenure_lock::{AcquireError, Guard, Locks, ReleaseError, Released};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::holdings::{Holdings, Picked};
use crate::{Code, ComponentError, Context};

/// Takes and gives back locks while it is open.
#[derive(Debug)]
pub(crate) struct Desk {
    holder: Holder,
    session: Mutex<Option<Arc<Session>>>,
}

/// The time between an opening and the next closing.
#[derive(Debug)]
struct Session {
    locks: Locks,
    holdings: Mutex<Holdings>,
    is_over: watch::Sender<bool>,
}

impl Desk {
    pub(crate) fn closed() -> Self {
        Self {
            holder: Holder::new(program_name()).on_host(host_name()),
            session: Mutex::new(None),
        }
    }

    /// Opens on `store`, unless it is open.
    pub(crate) fn open(&self, store: Arc<dyn LeaseStore>) {
        let mut session = self.locked();
        if session.is_none() {
            *session = Some(Arc::new(Session {
                locks: Locks::new(store, self.holder.clone()),
                holdings: Mutex::default(),
                is_over: watch::Sender::new(false),
            }));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.locked().is_some()
    }

    /// Ends every wait and lets go of the store. Locks that are held end by their ttl.
    pub(crate) fn close(&self) {
        let session = self.locked().take();
        if let Some(session) = session {
            session.is_over.send_replace(true);
            session.holdings().close();
        }
    }

    pub(crate) async fn try_acquire(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
    ) -> Result<bool, ComponentError> {
        let attempt = async {
            let session = self.session(context)?;
            let lock = session.locks.lock(key).ttl(ttl).no_renewal();
            let guard = session.unless_over(context, lock.try_acquire()).await?;
            guard.map_or(Ok(false), |guard| {
                session.keep(context, guard).map(|()| true)
            })
        };
        let span = Context::span(context, "try_acquire_lock");
        attempt.instrument(span).await
    }

    pub(crate) async fn acquire(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), ComponentError> {
        let attempt = async {
            let session = self.session(context)?;
            let lock = session
                .locks
                .lock(key)
                .ttl(ttl)
                .no_renewal()
                .max_wait(timeout);
            let guard = session.unless_over(context, lock.acquire()).await?;
            session.keep(context, guard)
        };
        let span = Context::span(context, "acquire_lock");
        attempt.instrument(span).await
    }

    pub(crate) async fn release(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<(), ComponentError> {
        let release = async {
            let session = self.session(context)?;
            let picked = session.holdings().pick(key, context.map(Context::trace_id));
            let Some(picked) = picked else { return Ok(()) };
            give_back(context, key, picked).await
        };
        let span = Context::span(context, "release_lock");
        release.instrument(span).await
    }

    fn session(&self, context: Option<&Context>) -> Result<Arc<Session>, ComponentError> {
        let session = self.locked().clone();
        session.ok_or_else(|| not_opened(context))
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        // Every change is a single assignment, so a panic elsewhere left it whole.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// What `taking` says, unless the component is closed before it does.
    async fn unless_over<T>(
        &self,
        context: Option<&Context>,
        taking: impl Future<Output = Result<T, AcquireError>>,
    ) -> Result<T, ComponentError> {
        let mut is_over = self.is_over.subscribe();
        tokio::select! {
            biased;
            _ = is_over.wait_for(|is_over| *is_over) => Err(not_opened(context)),
            taken = taking => taken.map_err(|error| not_acquired(context, error)),
        }
    }

    /// Remembers what was acquired. A lock that was granted while the component was closed is given
    /// back: nobody could release it.
    fn keep(&self, context: Option<&Context>, guard: Guard) -> Result<(), ComponentError> {
        let trace_id = context.map(Context::trace_id);
        match self.holdings().keep(trace_id, guard) {
            Ok(()) => Ok(()),
            Err(guard) => {
                drop(guard);
                Err(not_opened(context))
            }
        }
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn give_back(
    context: Option<&Context>,
    key: &str,
    picked: Picked,
) -> Result<(), ComponentError> {
    if picked.has_lapsed {
        tracing::warn!(
            key = key.escape_debug().to_string(),
            "released after its ttl had run out: others may have had the lock meanwhile"
        );
    }
    let error = match picked.guard.release().await {
        Ok(Released::Lost) if !picked.has_lapsed => {
            tracing::warn!(
                key = key.escape_debug().to_string(),
                "the lock was gone before its ttl had run out"
            );
            return Ok(());
        }
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let code = match error {
        ReleaseError::Unknown { .. } => Code::ReleaseUnknown,
        _ => Code::StoreFailed,
    };
    let failed = ComponentError::new(code, context, error.to_string()).with_detail("key", key);
    Err(match error {
        ReleaseError::Unknown { source, .. } | ReleaseError::Refused { source, .. } => {
            failed.because_of(source)
        }
        other => failed.with_source(other),
    })
}

fn not_opened(context: Option<&Context>) -> ComponentError {
    ComponentError::new(
        Code::NotOpened,
        context,
        "the lock is not open; call open first",
    )
}

fn not_acquired(context: Option<&Context>, error: AcquireError) -> ComponentError {
    let code = match &error {
        AcquireError::TimedOut { .. } => Code::LockTimeout,
        AcquireError::TooLate { .. } => Code::GrantedTooLate,
        AcquireError::InvalidKey { .. } | AcquireError::InvalidOptions { .. } => {
            Code::InvalidRequest
        }
        AcquireError::Store { source, .. } if source.kind() == StoreErrorKind::InvalidRequest => {
            Code::InvalidRequest
        }
        _ => Code::StoreFailed,
    };
    let mut failed = ComponentError::new(code, context, error.to_string());
    match error {
        AcquireError::TimedOut {
            key,
            occupant,
            remaining,
            ..
        } => {
            if let Some(left) = remaining {
                failed = failed.with_detail("remaining_ms", left.as_millis());
            }
            failed
                .with_detail("key", key)
                .with_detail("holder", occupant)
        }
        AcquireError::TooLate { key, .. } => failed.with_detail("key", key),
        AcquireError::InvalidKey { name, source } => {
            failed = failed.with_detail("key", name);
            failed.with_source(source)
        }
        AcquireError::InvalidOptions { key, source } => {
            failed = failed.with_detail("key", key);
            failed.with_source(source)
        }
        AcquireError::Store { key, source } => failed.with_detail("key", key).because_of(source),
        other => failed.with_source(other),
    }
}

/// The name by which others see this process in listings.
fn program_name() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem);
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn host_name() -> String {
    hostname::get()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
