//! What names a run: task, kind, tick, index.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, Token};

/// Why a text is not a name of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {reason}")]
pub struct InvalidName {
    what: &'static str,
    reason: String,
}

impl InvalidName {
    fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self {
            what,
            reason: reason.into(),
        }
    }
}

/// A task's name: 1 to 1000 characters of any text, compared exactly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskName(Arc<str>);

impl TaskName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 1000;

    /// A task's name.
    ///
    /// # Errors
    /// [`InvalidName`] if it is empty, longer than [`TaskName::MAX_CHARS`], or holds a NUL.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        let chars = name.chars().count();
        if name.is_empty() {
            return Err(InvalidName::new("a task name", "must not be empty"));
        }
        if chars > Self::MAX_CHARS {
            let reason = format!(
                "may have {} characters, this one has {chars}",
                Self::MAX_CHARS
            );
            return Err(InvalidName::new("a task name", reason));
        }
        if name.contains('\0') {
            return Err(InvalidName::new(
                "a task name",
                "must not hold a NUL character",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Shows the name for people, with control characters escaped.
impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskName({:?})", self.as_str())
    }
}

/// The version of a task's definition: a text that differs whenever the definition does, such as a
/// hash of it. 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Generation(Arc<str>);

/// The name of one request to run now, or of one backfill: 1 to 64 ASCII letters, digits, `-`, `_`
/// and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(Arc<str>);

fn checked(what: &'static str, text: &str) -> Result<Arc<str>, InvalidName> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        let reason = "must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`";
        return Err(InvalidName::new(what, reason));
    }
    Ok(text.into())
}

macro_rules! plain_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The name, checked.
            ///
            /// # Errors
            /// [`InvalidName`] if it holds anything but the characters named above.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                checked($what, text.as_ref()).map(Self)
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plain_name!(Generation, "a generation");
plain_name!(RequestId, "a request id");

impl RequestId {
    /// A random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Token::random().to_string().into())
    }
}

/// Why a run exists. Only scheduled runs compete for the tick.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunKind {
    /// The schedule said so.
    Scheduled,
    /// Somebody asked for it now; the tick is when they asked.
    Manual(RequestId),
    /// Somebody asked for past ticks.
    Backfill(RequestId),
}

/// The identity of a run; the same for all its attempts, so it also serves as idempotency key.
///
/// As text `task@tick#index`, with `+m:id` or `+b:id` behind it for runs somebody asked for. No two
/// identities share a text, whatever the task is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunKey {
    /// The task.
    pub task: TaskName,
    /// The nominal instant, computed from the schedule and never from "now".
    pub tick: Timestamp,
    /// Which of the task's parallel runs of this tick, from 1.
    pub index: u32,
    /// Why it exists.
    pub kind: RunKind,
}

impl RunKey {
    /// A scheduled run.
    #[must_use]
    pub fn scheduled(task: TaskName, tick: Timestamp, index: u32) -> Self {
        Self {
            task,
            tick,
            index,
            kind: RunKind::Scheduled,
        }
    }

    /// A run that somebody asked for at `tick`.
    #[must_use]
    pub fn manual(task: TaskName, tick: Timestamp, index: u32, id: RequestId) -> Self {
        Self {
            task,
            tick,
            index,
            kind: RunKind::Manual(id),
        }
    }

    /// A run that is due a while after the end of the one before it, at `tick`: of kind manual,
    /// with the request id [`RunKey::FOLLOWING`].
    #[must_use]
    pub fn following(task: TaskName, tick: Timestamp, index: u32) -> Self {
        Self::manual(task, tick, index, RequestId(Self::FOLLOWING.into()))
    }

    /// The request id of runs that follow the one before them.
    pub const FOLLOWING: &str = "after";

    /// Whether it is [`RunKey::following`] the run before it, and nobody asked for it.
    #[must_use]
    pub fn is_following(&self) -> bool {
        matches!(&self.kind, RunKind::Manual(id) if id.as_str() == Self::FOLLOWING)
    }

    /// A run of a past tick that belongs to the backfill `id`.
    #[must_use]
    pub fn backfill(task: TaskName, tick: Timestamp, index: u32, id: RequestId) -> Self {
        Self {
            task,
            tick,
            index,
            kind: RunKind::Backfill(id),
        }
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.task.as_str(), self.tick, self.index)?;
        match &self.kind {
            RunKind::Scheduled => Ok(()),
            RunKind::Manual(id) => write!(f, "+m:{id}"),
            RunKind::Backfill(id) => write!(f, "+b:{id}"),
        }
    }
}

impl FromStr for RunKey {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fail = || {
            InvalidName::new(
                "a run id",
                "must look like `task@2026-11-21T03:00:00.000Z#1`",
            )
        };
        let (head, tail) = text.rsplit_once('#').ok_or_else(fail)?;
        let (task, tick) = head.rsplit_once('@').ok_or_else(fail)?;
        let (index, kind) = match tail.split_once('+') {
            None => (tail, RunKind::Scheduled),
            Some((index, id)) => match id.split_once(':') {
                Some(("m", id)) => (index, RunKind::Manual(RequestId::new(id)?)),
                Some(("b", id)) => (index, RunKind::Backfill(RequestId::new(id)?)),
                _ => return Err(fail()),
            },
        };
        Ok(Self {
            task: TaskName::new(task)?,
            tick: tick.parse().map_err(|_| fail())?,
            index: index.parse().map_err(|_| fail())?,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn e13_e16_names_that_are_no_task_names_are_refused_with_the_reason() {
        for (name, message) in [
            (String::new(), "a task name must not be empty"),
            (
                "x".repeat(1001),
                "a task name may have 1000 characters, this one has 1001",
            ),
            (
                "a\0b".to_owned(),
                "a task name must not hold a NUL character",
            ),
        ] {
            assert_eq!(TaskName::new(name).unwrap_err().to_string(), message);
        }
        assert_eq!(TaskName::new("a\nb").unwrap().to_string(), "a\\u{a}b");
        assert!(RequestId::new("a#b").is_err());
    }

    fn any_key() -> impl Strategy<Value = RunKey> {
        let name = prop_oneof!["[@#+:mb0-9 *é-]{1,12}", "[^\0]{1,20}"];
        let kind = prop_oneof![
            Just(RunKind::Scheduled),
            "[a-z.-]{1,5}".prop_map(|id| RunKind::Manual(RequestId::new(id).unwrap())),
            "[a-z.-]{1,5}".prop_map(|id| RunKind::Backfill(RequestId::new(id).unwrap())),
        ];
        (name, 0i64..4_000_000_000_000, 1u32..9, kind).prop_map(|(name, ms, index, kind)| RunKey {
            task: TaskName::new(name).unwrap(),
            tick: Timestamp::from_millis(ms),
            index,
            kind,
        })
    }

    proptest! {
        #[test]
        fn s36_no_two_runs_share_a_text_whatever_the_task_is_called(key in any_key()) {
            prop_assert_eq!(key.to_string().parse::<RunKey>().unwrap(), key);
        }
    }
}
