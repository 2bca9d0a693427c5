//! Who asks: the process instance behind a lease or a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::token::InvalidToken;

/// The random name of one process instance; a restarted process gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(Token);

impl HolderId {
    /// A new, random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Token::random())
    }

    /// An id from its bytes, for stores and seeded simulations.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Token::from_bytes(bytes))
    }

    /// The bytes, as a store writes them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Its 32 hexadecimal digits: see [`Token::to_hex`].
    #[must_use]
    pub fn to_hex(&self) -> [u8; 32] {
        self.0.to_hex()
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HolderId {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        text.parse().map(Self)
    }
}

impl Serialize for HolderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HolderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A process instance as it introduces itself: an id for the store, the rest for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// What the store compares.
    pub id: HolderId,
    /// A name people recognise, such as the service's.
    pub label: String,
    /// The machine's host name, or empty.
    pub host: String,
    /// The process number, or 0.
    pub pid: u32,
}

impl Holder {
    /// A holder with a random id, this process's number and no host name.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            id: HolderId::random(),
            label: label.into(),
            host: String::new(),
            pid: std::process::id(),
        }
    }

    /// The machine's name, for listings.
    #[must_use]
    pub fn on_host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Another id, for stores that read a holder back and for seeded simulations.
    #[must_use]
    pub fn with_id(mut self, id: HolderId) -> Self {
        self.id = id;
        self
    }

    /// Another process number.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Self {
        self.pid = pid;
        self
    }
}

/// `label (host pid 123)`, without what is not known; control characters are escaped.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = if self.label.is_empty() {
            "unnamed"
        } else {
            &self.label
        };
        write!(f, "{}", label.escape_debug())?;
        match (self.host.is_empty(), self.pid) {
            (true, 0) => Ok(()),
            (true, pid) => write!(f, " (pid {pid})"),
            (false, 0) => write!(f, " ({})", self.host.escape_debug()),
            (false, pid) => write!(f, " ({} pid {pid})", self.host.escape_debug()),
        }
    }
}
