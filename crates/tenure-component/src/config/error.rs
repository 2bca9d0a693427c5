//! Why a configuration cannot be used.

use std::io;
use std::path::PathBuf;

use crate::error::shown;
use crate::{Code, ComponentError, Context};

/// Why a configuration cannot be read, or a value in it cannot be used.
///
/// Messages name keys, never the values of keys that hold secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A piece of a text such as `a=1;b=2` has no `=`.
    #[error("setting {number} of the text has no `=`; write key=value;key=value")]
    NoValue {
        /// Which one, counted from 1. What it says is not shown: it may be a secret.
        number: usize,
    },
    /// A key that cannot be one.
    #[error("`{}` is not a key: {reason}", shown(.key))]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A document gives a key two values.
    #[error("`{}` is set twice; keep one", shown(.key))]
    Twice {
        /// The key.
        key: String,
    },
    /// A value that is not what the key needs.
    #[error("`{}` is {}, which is not {expected}", shown(.key), shown(.value))]
    Value {
        /// The whole key.
        key: String,
        /// The value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// Values that do not go together, or a secret one that is wrong and not shown.
    #[error("{reason}")]
    Combination {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A document that does not follow its format.
    #[error("line {line}, column {column}: not valid {format}: {reason}")]
    Syntax {
        /// `TOML`, `JSON` or `YAML`.
        format: &'static str,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the reader said.
        reason: String,
    },
    /// A document that is not a table of settings.
    #[error("the {format} document is not a table of settings")]
    NotATable {
        /// `TOML`, `JSON` or `YAML`.
        format: &'static str,
    },
    /// A document with tables in tables in tables.
    #[error("`{}` stands deeper than {limit} levels", shown(.key))]
    TooDeep {
        /// Where it went too deep.
        key: String,
        /// The deepest level.
        limit: usize,
    },
    /// More text than any configuration has.
    #[error("the configuration has {len} bytes, of {limit} at most")]
    TooLong {
        /// How long it is.
        len: u64,
        /// The most there may be.
        limit: u64,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", shown(&path.to_string_lossy()))]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A path that does not lead to a usable file.
    #[error("`{}` {reason}", shown(&path.to_string_lossy()))]
    NotUsable {
        /// Which.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// What a file says cannot be used.
    #[error("in `{}`: {source}", shown(&path.to_string_lossy()))]
    InFile {
        /// Which.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<ConfigError>,
    },
}

impl ConfigError {
    pub(crate) fn combination(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Combination { reason }
    }

    /// As the error of a call.
    pub(crate) fn in_context(self, context: Option<&Context>) -> ComponentError {
        ComponentError::new(Code::InvalidConfig, context, self.to_string()).with_source(self)
    }
}

impl From<ConfigError> for ComponentError {
    fn from(error: ConfigError) -> Self {
        error.in_context(None)
    }
}
