//! What goes wrong, in the contract's words: client error to [`StoreError`].

use std::path::Path;

use rusqlite::ErrorCode;
use tenure_core::{StoreError, StoreErrorKind};

/// Why options cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL does not begin with `sqlite:`.
    #[error("`{url}` is no SQLite URL; write sqlite:PATH, for example sqlite:tenure.db")]
    Scheme {
        /// The beginning of the URL.
        url: String,
    },
    /// The URL has a `#`.
    #[error("`{url}` has a `#`; write %23 if it belongs to the path")]
    Fragment {
        /// The beginning of the URL.
        url: String,
    },
    /// The path cannot be a file's.
    #[error("the path of the SQLite file {reason}")]
    Path {
        /// Why.
        reason: &'static str,
    },
    /// A parameter that does not exist.
    #[error(
        "unknown parameter `{name}`{}; known are synchronous, namespace, patience, poll",
        .nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
    )]
    Unknown {
        /// Its name.
        name: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// A parameter that stands twice.
    #[error("parameter `{name}` stands twice; keep one")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// A value that a parameter cannot have.
    #[error("{name} `{value}`: {reason}")]
    Parameter {
        /// The parameter.
        name: String,
        /// Its value, shortened.
        value: String,
        /// What is allowed.
        reason: String,
    },
}

impl From<OptionsError> for StoreError {
    fn from(error: OptionsError) -> Self {
        Self::new(StoreErrorKind::Misconfigured, error.to_string())
    }
}

/// A client error met while doing a step on the file at `path`. The step did not happen.
pub(crate) fn of_step(path: &Path, error: rusqlite::Error) -> StoreError {
    let error = without_statement(error);
    let (kind, what) = match &error {
        rusqlite::Error::SqliteFailure(failure, Some(text))
            if failure.code == ErrorCode::Unknown && is_of_schema(text) =>
        {
            (
                StoreErrorKind::Corrupt,
                "is damaged, its tables are not as tenure made them; stop every process that uses \
                 it, then restore a backup or move it away",
            )
        }
        rusqlite::Error::SqliteFailure(failure, _) => of_code(failure.code),
        // A column of another type, a null where there must be none: the record is not ours.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => (
            StoreErrorKind::Corrupt,
            "holds a record that cannot be read; stop and restore a backup",
        ),
        _ => (StoreErrorKind::Protocol, "gave an answer that is not one"),
    };
    StoreError::new(kind, format!("`{}` {what}", path.display())).with_source(error)
}

/// The same error without the text of our own statement, which tells a user nothing.
fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            rusqlite::Error::SqliteFailure(error, Some(msg))
        }
        other => other,
    }
}

/// Whether SQLite misses a part of tenure's schema, for which it has no code of its own.
fn is_of_schema(text: &str) -> bool {
    ["no such table", "no such column", "has no column named"]
        .iter()
        .any(|part| text.contains(part))
}

fn of_code(code: ErrorCode) -> (StoreErrorKind, &'static str) {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => (
            StoreErrorKind::Unavailable,
            "is locked by another process; try again",
        ),
        ErrorCode::DiskFull => (
            StoreErrorKind::Unavailable,
            "cannot grow because the disk is full; free some space",
        ),
        ErrorCode::SystemIoFailure => (
            StoreErrorKind::Unavailable,
            "cannot be read or written; check the disk",
        ),
        ErrorCode::ReadOnly => (
            StoreErrorKind::Denied,
            "is read-only for this user; grant write access to the file and its folder",
        ),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => (
            StoreErrorKind::Denied,
            "may not be used by this user; grant read and write access",
        ),
        ErrorCode::CannotOpen => (
            StoreErrorKind::Misconfigured,
            "cannot be opened; check that the folder exists and is writable",
        ),
        ErrorCode::NotADatabase => (
            StoreErrorKind::Misconfigured,
            "is not a SQLite database; choose another path",
        ),
        ErrorCode::DatabaseCorrupt => (
            StoreErrorKind::Corrupt,
            "is damaged; stop every process that uses it and restore a backup",
        ),
        ErrorCode::OutOfMemory | ErrorCode::TooBig => (
            StoreErrorKind::Unavailable,
            "needs more memory than there is",
        ),
        _ => (StoreErrorKind::Protocol, "refused a statement of tenure's"),
    }
}

/// A record in the file that this program cannot understand.
pub(crate) fn unreadable(what: &str, value: &str) -> StoreError {
    let value: String = value
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("the store holds {what} `{value}`, which this version cannot read; newer tenure?"),
    )
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use rusqlite::ffi;

    use super::*;

    #[test]
    fn e87_each_trouble_of_sqlite_has_its_kind_and_a_next_step() {
        use StoreErrorKind::{Corrupt, Denied, Misconfigured, Protocol, Unavailable};
        for (code, kind, step) in [
            (ffi::SQLITE_BUSY, Unavailable, "try again"),
            (ffi::SQLITE_LOCKED, Unavailable, "try again"),
            (ffi::SQLITE_FULL, Unavailable, "free some space"),
            (ffi::SQLITE_IOERR, Unavailable, "check the disk"),
            (ffi::SQLITE_IOERR_FSYNC, Unavailable, "check the disk"),
            (ffi::SQLITE_NOMEM, Unavailable, "memory"),
            (ffi::SQLITE_CORRUPT, Corrupt, "restore a backup"),
            (ffi::SQLITE_NOTADB, Misconfigured, "choose another path"),
            (ffi::SQLITE_CANTOPEN, Misconfigured, "folder exists"),
            (ffi::SQLITE_READONLY, Denied, "grant write access"),
            (ffi::SQLITE_PERM, Denied, "grant read and write access"),
            (ffi::SQLITE_MISUSE, Protocol, "refused a statement"),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let error = of_step(Path::new("t.db"), error);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(step), "{error}");
            assert!(error.to_string().starts_with("`t.db`"), "{error}");
            assert!(error.source().is_some() && !error.outcome_is_unknown());
        }
    }
}

/// The source of the error for a path without a store, where none was to be made
/// ([`SqliteOptions::existing_only`](crate::SqliteOptions::existing_only)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no store was to be made")]
pub struct NoStore;
