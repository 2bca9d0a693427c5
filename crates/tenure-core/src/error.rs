//! Why a store could not answer.

use std::error::Error;
use std::fmt;

/// What kind of trouble a store met; callers act on this, people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached or is busy; the same call may succeed later.
    Unavailable,
    /// The store refused who we are or what we may do.
    Denied,
    /// The store is set up in a way that cannot work.
    Misconfigured,
    /// The store, or its version, cannot do what was asked.
    Unsupported,
    /// The request breaks one of the contract's limits.
    InvalidRequest,
    /// A record in the store cannot be read, or is newer than this program.
    Corrupt,
    /// The store answered something that is not an answer.
    Protocol,
}

/// A store did not do what it was asked, or may have done it and could not say so.
///
/// An answer is never an error: losing a race, finding a key held or a lease gone are values. When
/// [`StoreError::outcome_is_unknown`], the step may have happened; ask again with the same token.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    unknown: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error of a step that surely did not happen.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            unknown: false,
            source: None,
        }
    }

    /// Marks the step as one that may have happened.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.unknown = true;
        self
    }

    /// Keeps the client library's own error as the source. It must carry no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of trouble.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable)
    }

    /// Whether the step may have happened although no answer came.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        self.unknown
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
