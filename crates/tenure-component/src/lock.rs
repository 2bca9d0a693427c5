//! What a component is, and what a lock component does.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ComponentError, ConfigParams, Context, References};

/// The life of a component: configured, given its references, opened, used, closed.
///
/// ```text
///   new ── configure ── set_references ── open ⇄ close
/// ```
#[async_trait]
pub trait Component: fmt::Debug + Send + Sync + 'static {
    /// Takes a configuration in the place of the one it had. What is open goes on as it is; the
    /// next opening uses the new one.
    ///
    /// # Errors
    /// [`Code::InvalidConfig`](crate::Code::InvalidConfig) for a value that cannot work; then
    /// nothing changes.
    fn configure(&self, config: &ConfigParams) -> Result<(), ComponentError>;

    /// Takes what it needs from the components of the program.
    ///
    /// # Errors
    /// [`Code::NoReference`](crate::Code::NoReference) if what it needs is missing or something
    /// else.
    fn set_references(&self, references: &References) -> Result<(), ComponentError>;

    /// Makes it ready for use. Opening what is open changes nothing.
    ///
    /// # Errors
    /// What the component says.
    ///
    /// # Cancel safety
    /// Safe: a dropped call leaves it closed.
    async fn open(&self, context: Option<&Context>) -> Result<(), ComponentError>;

    /// Whether it is ready for use.
    fn is_open(&self) -> bool;

    /// Ends its use and frees what it had opened. Closing what is closed changes nothing.
    ///
    /// # Errors
    /// What the component says.
    ///
    /// # Cancel safety
    /// Safe: a dropped call can be made again.
    async fn close(&self, context: Option<&Context>) -> Result<(), ComponentError>;
}

/// Locks by name, each for a limited time.
///
/// The ttl of a lock is a hard end: nothing renews it, and it ends by itself also when this
/// component is closed or its process dies. Work that may take longer than a ttl, or that must know
/// when it lost the lock, takes the guards of `tenure-lock` instead.
///
/// # Which acquisition a release belongs to
/// Every acquisition has a token of its own, so no release can free a lock that another component
/// has taken meanwhile. Within one component a release only names a key, and the key may have been
/// taken again since; then it takes the oldest acquisition of the key that was not released yet,
/// first among those made under its own trace id. A late release therefore finds its own
/// acquisition, which has ended, and frees nothing.
///
/// The other side of it: where a key is taken again after its ttl ran out and nobody released it,
/// the next release without a trace id of its own counts for the one that ran out. If the newer
/// acquisition then ends by its ttl too, that release is counted as its own after all, so that one
/// forgotten release costs one ttl and not one for ever. With a trace id for each chain of calls
/// nothing is left to guess.
///
/// The trait has no fencing tokens; programs that need them use the guards of `tenure-lock`.
#[async_trait]
pub trait Lock: Component {
    /// Takes the lock on `key` for `ttl` if nobody has it, with a single attempt. Whether it did is
    /// the answer.
    ///
    /// # Errors
    /// [`Code::NotOpened`](crate::Code::NotOpened) if the component is not open,
    /// [`Code::InvalidRequest`](crate::Code::InvalidRequest) for a key or a ttl that no store
    /// takes, [`Code::StoreFailed`](crate::Code::StoreFailed) if the store failed: then nothing is
    /// held, and what was granted all the same is being given back.
    ///
    /// # Cancel safety
    /// Safe. What the store granted to a dropped call is given back in the background.
    async fn try_acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
    ) -> Result<bool, ComponentError>;

    /// Takes the lock on `key` for `ttl`, waiting for at most `timeout` while somebody else has it.
    ///
    /// Where the store keeps a queue, waiters are served in order, and as soon as the lock is
    /// released. A timeout of zero makes a single attempt.
    ///
    /// # Errors
    /// [`Code::LockTimeout`](crate::Code::LockTimeout), with the key in the detail `key`, if the
    /// lock never came free in time; and as [`Lock::try_acquire_lock`].
    ///
    /// # Cancel safety
    /// As [`Lock::try_acquire_lock`].
    async fn acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), ComponentError>;

    /// Gives the lock on `key` back, if this component has it, with a single request. Releasing
    /// what it does not have, or has released before, asks nobody and is no error.
    ///
    /// # Errors
    /// [`Code::NotOpened`](crate::Code::NotOpened) if the component is not open;
    /// [`Code::ReleaseUnknown`](crate::Code::ReleaseUnknown) if the store gave no answer: the
    /// release goes on in the background, and the lock ends with its ttl at the latest;
    /// [`Code::StoreFailed`](crate::Code::StoreFailed) if the store refused.
    ///
    /// # Cancel safety
    /// Safe: the release goes on in the background.
    async fn release_lock(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<(), ComponentError>;
}
