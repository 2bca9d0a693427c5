//! The small parts that all views are made of: instants, nodes, states, path segments.
//!
//! Knows how each is written in JSON and in its schema, and nothing of where it comes from.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use tenure_core::{Holder, RunState, Timestamp};

/// What a path segment may hold as it is; everything else is percent-encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Text or bytes as one segment of a path. The segments `.` and `..`, which clients would swallow,
/// are encoded too.
#[must_use]
pub fn segment(text: impl AsRef<[u8]>) -> String {
    let bytes = text.as_ref();
    if bytes == b"." || bytes == b".." {
        return "%2E".repeat(bytes.len());
    }
    percent_encode(bytes, SEGMENT).to_string()
}

/// An instant of the store's clock; in JSON it is RFC 3339 text in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(pub Timestamp);

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for At {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "At".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// The names of all states of a run.
pub(crate) fn state_schema(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = RunState::ALL.iter().map(|state| state.as_str()).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// A process instance that holds a lock or runs tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Node {
    /// Its random name, 32 hexadecimal digits.
    pub id: String,
    /// What it calls itself; data of another program's, to be shown as text only.
    pub label: String,
    /// The machine it runs on, as far as it told.
    pub host: String,
    /// Its process, or 0.
    pub pid: u32,
}

impl From<&Holder> for Node {
    fn from(holder: &Holder) -> Self {
        Self {
            id: holder.id.to_string(),
            label: holder.label.clone(),
            host: holder.host.clone(),
            pid: holder.pid,
        }
    }
}

/// As people read it: label, host, process.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Holder::new(self.label.as_str())
            .on_host(self.host.as_str())
            .with_pid(self.pid)
            .fmt(f)
    }
}

/// Whole milliseconds; what is longer than all time is told as the longest.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e96_any_name_is_one_segment_of_a_path() {
        for (name, expected) in [
            ("plain-1.2_3~", "plain-1.2_3~"),
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a\0b", "a%00b"),
            ("é<", "%C3%A9%3C"),
        ] {
            assert_eq!(segment(name), expected);
        }
        assert_eq!(segment([0xff, b'/']), "%FF%2F");
    }
}
