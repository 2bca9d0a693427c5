//! The one error of this crate: a code that programs compare, a category, the trace id of the call
//! and details.
//!
//! The codes and categories are the origin's where it has them, so that what reads them elsewhere
//! (gateways, dashboards, other languages' services) goes on working.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use tenure_core::{StoreError, StoreErrorKind};

use crate::Context;

/// What went wrong, as programs compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// `LOCK_TIMEOUT`: somebody else held the lock until the timeout.
    LockTimeout,
    /// `NOT_OPENED`: the component is not open, or was closed meanwhile.
    NotOpened,
    /// `NO_CONNECTION`: no connection is configured, or none could be discovered.
    NoConnection,
    /// `NO_CREDENTIAL`: no credential store has the credential that the configuration names.
    NoCredential,
    /// `INVALID_CONFIG`: a value, or a combination of values, that cannot work.
    InvalidConfig,
    /// `REF_ERROR`: a component that is needed was not put into the references.
    NoReference,
    /// `CANNOT_CREATE`: no factory makes what the descriptor names.
    CannotCreate,
    /// `CANNOT_CONNECT`: no server answered in time, or it refused.
    CannotConnect,
    /// `DISCOVERY_FAILED`: it could not be found out where the servers are.
    DiscoveryFailed,
    /// `INVALID_REQUEST`: a key, a ttl or a timeout that no store takes. Nothing was sent.
    InvalidRequest,
    /// `GRANTED_TOO_LATE`: the lock was granted, but too little of the ttl was left; it was given
    /// back.
    GrantedTooLate,
    /// `STORE_FAILED`: the store failed. A lock that was granted all the same is being given back.
    StoreFailed,
    /// `RELEASE_UNKNOWN`: the store gave no answer, so the release may have happened. It goes on in
    /// the background.
    ReleaseUnknown,
}

impl Code {
    /// The code as it is written down.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LockTimeout => "LOCK_TIMEOUT",
            Self::NotOpened => "NOT_OPENED",
            Self::NoConnection => "NO_CONNECTION",
            Self::NoCredential => "NO_CREDENTIAL",
            Self::InvalidConfig => "INVALID_CONFIG",
            Self::NoReference => "REF_ERROR",
            Self::CannotCreate => "CANNOT_CREATE",
            Self::CannotConnect => "CANNOT_CONNECT",
            Self::DiscoveryFailed => "DISCOVERY_FAILED",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::GrantedTooLate => "GRANTED_TOO_LATE",
            Self::StoreFailed => "STORE_FAILED",
            Self::ReleaseUnknown => "RELEASE_UNKNOWN",
        }
    }

    fn category(self) -> Category {
        match self {
            Self::LockTimeout => Category::Conflict,
            Self::NotOpened => Category::InvalidState,
            Self::NoConnection | Self::NoCredential | Self::InvalidConfig => {
                Category::Misconfiguration
            }
            Self::NoReference | Self::CannotCreate => Category::NotFound,
            Self::InvalidRequest => Category::BadRequest,
            Self::CannotConnect
            | Self::DiscoveryFailed
            | Self::GrantedTooLate
            | Self::StoreFailed
            | Self::ReleaseUnknown => Category::NoResponse,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of trouble it is, which says who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// The caller asked for something that cannot be.
    BadRequest,
    /// Somebody else was first.
    Conflict,
    /// The component is not in the state that the call needs.
    InvalidState,
    /// The configuration must change.
    Misconfiguration,
    /// A server did not answer; the same call may succeed later.
    NoResponse,
    /// A component was not found.
    NotFound,
    /// A server refused who we are or what we may do.
    Unauthorized,
    /// None of the above.
    Internal,
}

impl Category {
    /// The category as it is written down.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Conflict => "Conflict",
            Self::InvalidState => "InvalidState",
            Self::Misconfiguration => "Misconfiguration",
            Self::NoResponse => "NoResponse",
            Self::NotFound => "NotFound",
            Self::Unauthorized => "Unauthorized",
            Self::Internal => "Internal",
        }
    }

    fn of_store(kind: StoreErrorKind) -> Self {
        match kind {
            StoreErrorKind::Unavailable => Self::NoResponse,
            StoreErrorKind::Denied => Self::Unauthorized,
            StoreErrorKind::Misconfigured | StoreErrorKind::Unsupported => Self::Misconfiguration,
            StoreErrorKind::InvalidRequest => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call of a component failed.
///
/// Its text ends with the code and the trace id; neither it nor its sources hold a secret.
#[derive(Debug)]
pub struct ComponentError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    category: Category,
    message: String,
    trace_id: Option<String>,
    details: BTreeMap<&'static str, String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ComponentError {
    /// An error of the call made in `context`.
    #[must_use]
    pub fn new(code: Code, context: Option<&Context>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            category: code.category(),
            message: message.into(),
            trace_id: context.map(|context| context.trace_id().to_owned()),
            details: BTreeMap::new(),
            source: None,
        }))
    }

    /// With a fact that programs may need, such as the key.
    #[must_use]
    pub fn with_detail(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.details.insert(name, value.to_string());
        self
    }

    /// With the error behind it, which must hold no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what the store met, and takes the category from it.
    #[must_use]
    pub(crate) fn because_of(mut self, source: StoreError) -> Self {
        self.0.category = Category::of_store(source.kind());
        self.with_source(source)
    }

    /// What went wrong.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn category(&self) -> Category {
        self.0.category
    }

    /// The trace id of the call, if it was made with a [`Context`].
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// One of the details, such as `key`.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.0.details.get(name).map(String::as_str)
    }

    /// All details, in the order of their names.
    pub fn details(&self) -> impl Iterator<Item = (&str, &str)> {
        let details = self.0.details.iter();
        details.map(|(name, value)| (*name, value.as_str()))
    }
}

impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.0.message, self.0.code)?;
        if let Some(trace_id) = &self.0.trace_id {
            write!(f, ", trace id {}", shown(trace_id))?;
        }
        f.write_str(")")
    }
}

impl Error for ComponentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.0.source.as_deref();
        source.map(|source| source as &(dyn Error + 'static))
    }
}

/// At most 80 characters, with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_context_an_error_says_its_code_and_trace_id_and_keeps_its_details() {
        let context = Context::from_trace_id("abc\n123");
        let error = ComponentError::new(Code::LockTimeout, Some(&context), "lock `k` is held")
            .with_detail("key", "k");
        assert_eq!(
            error.to_string(),
            "lock `k` is held (LOCK_TIMEOUT, trace id abc\\n123)"
        );
        assert_eq!(error.trace_id(), Some("abc\n123"));
        assert_eq!(error.category(), Category::Conflict);
        assert_eq!(error.details().collect::<Vec<_>>(), [("key", "k")]);
        let error = ComponentError::new(Code::NotOpened, None, "the lock is not open");
        assert_eq!(error.to_string(), "the lock is not open (NOT_OPENED)");
    }

    #[test]
    fn the_trouble_of_a_store_decides_the_category() {
        for (kind, category) in [
            (StoreErrorKind::Unavailable, Category::NoResponse),
            (StoreErrorKind::Denied, Category::Unauthorized),
            (StoreErrorKind::Misconfigured, Category::Misconfiguration),
            (StoreErrorKind::Corrupt, Category::Internal),
        ] {
            let error = ComponentError::new(Code::StoreFailed, None, "cannot acquire lock `k`")
                .because_of(StoreError::new(kind, "why"));
            assert_eq!(error.category(), category, "{kind:?}");
            assert_eq!(error.source().unwrap().to_string(), "why");
        }
    }
}
