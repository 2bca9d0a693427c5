//! The feed of events: a stream that names what changed, and is read with the records as they are.
//!
//! An entry may hold many changes, since a batch writes one. A position is therefore an entry's id
//! and, inside an entry, how many of its changes were read: `1700000000000-0` or
//! `1700000000000-0.17`.

use std::collections::HashMap;

use tenure_core::{
    Cursor, Event, EventKind, EventPage, Note, RunKey, RunRecord, StoreError, StoreErrorKind,
    Timestamp, Token,
};

use super::BASE;
use super::name::{read_field, read_reference, read_tick};
use super::row::{NodeNumber, report};
use super::state::state_of;
use crate::error::shown;
use crate::link::{Call, Script};
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

static NOTE: Script = Script::new(
    "add a note",
    &[BASE, include_str!("../scripts/run_note.lua")],
);

const DOING: &str = "read events";

/// The most entries that are read at once; each holds at least one change.
const ENTRIES: usize = 100;
/// How many times one request reads on because all it read of is gone.
const MOST_STEPS: usize = 50;

/// A position: the two numbers of an entry's id, and how many of its changes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    ms: u64,
    number: u64,
    read: usize,
}

impl Position {
    const WHOLE: usize = usize::MAX;
    const BEGIN: Self = Self {
        ms: 0,
        number: 0,
        read: Self::WHOLE,
    };

    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| -> Option<u64> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        let (id, read) = match text.split_once('.') {
            Some((id, read)) => (id, usize::try_from(digits(read)?).ok()?),
            None => (text, Self::WHOLE),
        };
        let (ms, number) = id.split_once('-')?;
        Some(Self {
            ms: digits(ms)?,
            number: digits(number)?,
            read,
        })
    }

    fn id(self) -> String {
        format!("{}-{}", self.ms, self.number)
    }

    fn cursor(self) -> Cursor {
        if self.read == Self::WHOLE {
            Cursor::new(self.id())
        } else {
            Cursor::new(format!("{}.{}", self.id(), self.read))
        }
    }
}

/// A change as the stream names it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Run(RunKey),
    /// A node did what the word says.
    Node(&'static str, NodeNumber),
    /// A report came too late; `node` is the one it may have come from.
    Late {
        text: String,
        key: RunKey,
        node: Option<NodeNumber>,
    },
    Note(Note),
    /// Written by a newer tenure, or by nobody we know.
    Unknown,
}

impl Change {
    fn read(name: &str, value: &str) -> Self {
        Self::parse(name, value).unwrap_or_else(|| {
            tracing::debug!(name = %shown(name), "an event that cannot be read was left out");
            Self::Unknown
        })
    }

    fn parse(name: &str, value: &str) -> Option<Self> {
        match name {
            "joined" => Some(Self::Node("joined", value.parse().ok()?)),
            "left" => Some(Self::Node("left", value.parse().ok()?)),
            "lost" => Some(Self::Node("lost", value.parse().ok()?)),
            "note" => Some(Self::Note(serde_json::from_str(value).ok()?)),
            "late" => {
                let mut parts = value.splitn(5, ' ');
                let reported = parts.next()?;
                let state = state_of(parts.next()?)?;
                let attempt = parts.next()?;
                let node = parts.next()?.parse().ok();
                let key = read_reference(parts.next()?)?;
                let text = format!(
                    "attempt {reported} of {key} reported its end when the run was {state} in \
                     attempt {attempt}"
                );
                Some(Self::Late { text, key, node })
            }
            tick => Some(Self::Run(read_field(read_tick(tick)?, value)?)),
        }
    }
}

/// Reads the pairs of an entry. No task's name holds a NUL, so it stands between runs.
fn read_entry(pairs: Reply) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let mut parts = pairs.rest();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let name = text_of(DOING, name)?;
        let value = text_of(DOING, value)?;
        changes.extend(value.split('\0').map(|value| Change::read(&name, value)));
    }
    Ok(changes)
}

/// A note as it is kept.
pub(super) fn write_note(note: &Note) -> Result<String, StoreError> {
    serde_json::to_string(note).map_err(|error| {
        let message = "the note cannot be written as JSON";
        StoreError::new(StoreErrorKind::InvalidRequest, message).with_source(error)
    })
}

impl RedisStore {
    pub(super) async fn add_note(&self, note: &Note) -> Result<(), StoreError> {
        let call = self
            .run_call(&NOTE, 1)
            .arg(self.run_names().request(Token::random()))
            .arg(write_note(note)?);
        self.send(call).await.map(drop)
    }

    pub(super) async fn run_events(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let limit = if limit == 0 { 100 } else { limit.min(1000) };
        let mut at = match after {
            None => Position::BEGIN,
            Some(cursor) => Position::parse(cursor.as_str()).ok_or_else(|| {
                let text = shown(cursor.as_str());
                let message =
                    format!("`{text}` is no position of this store; read from the beginning");
                StoreError::new(StoreErrorKind::InvalidRequest, message)
            })?,
        };
        for _ in 0..MOST_STEPS {
            let changes = self.changes(at, limit).await?;
            let Some((last, ..)) = changes.last() else {
                break;
            };
            at = *last;
            let events = self.told(changes).await?;
            if !events.is_empty() {
                return Ok(EventPage::new(events, Some(at.cursor())));
            }
        }
        Ok(EventPage::new(Vec::new(), Some(at.cursor())))
    }

    /// The changes after a position, at most `limit`.
    async fn changes(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Change)>, StoreError> {
        let call = Call::command(DOING, "XRANGE")
            .arg(self.run_names().of("events"))
            .arg(after.id())
            .arg("+")
            .arg("COUNT")
            .arg(limit.min(ENTRIES) + 1);
        let mut changes = Vec::new();
        for entry in Reply::new(DOING, self.send(call).await?)?.rest() {
            let mut entry = Reply::new(DOING, entry)?;
            let id = entry.text()?;
            let id = Position::parse(&id).ok_or_else(|| entry.unknown(&id))?;
            let is_same = (id.ms, id.number) == (after.ms, after.number);
            let read = if is_same { after.read } else { 0 };
            let of_entry = read_entry(entry.nested()?)?;
            let count = of_entry.len();
            for (number, change) in (1..).zip(of_entry).skip(read) {
                let read = if number == count {
                    Position::WHOLE
                } else {
                    number
                };
                changes.push((Position { read, ..id }, change));
                if changes.len() == limit {
                    return Ok(changes);
                }
            }
        }
        Ok(changes)
    }

    /// The events that the changes stand for. A run that changed several times is told once, at its
    /// last change and as it is now; one that is gone by now is left out.
    async fn told(&self, changes: Vec<(Position, Change)>) -> Result<Vec<Event>, StoreError> {
        let mut last: HashMap<&RunKey, usize> = HashMap::new();
        for (at, (_, change)) in changes.iter().enumerate() {
            if let Change::Run(key) = change {
                last.insert(key, at);
            }
        }
        let mut keys: Vec<RunKey> = last.keys().map(|key| (*key).clone()).collect();
        keys.sort_by_key(|key| key.tick);
        let rows = self.rows(&keys).await?;
        let mut found = Vec::with_capacity(keys.len());
        for (key, row) in keys.into_iter().zip(rows) {
            match row {
                Ok(row) => found.extend(row.map(|row| (key, row))),
                // An error would end the feed here for good.
                Err(error) => report(&error),
            }
        }
        let records = self.records(found).await?;
        let mut records: HashMap<RunKey, RunRecord> = records
            .into_iter()
            .map(|record| (record.key.clone(), record))
            .collect();
        let nodes = changes.iter().filter_map(|(_, change)| match change {
            Change::Node(_, node) => Some(*node),
            Change::Late { node, .. } => *node,
            _ => None,
        });
        let who = self.holders(nodes).await?;
        let mut events = Vec::with_capacity(changes.len());
        for (at, (position, change)) in changes.iter().enumerate() {
            let kind = match change {
                Change::Run(key) if last.get(key) == Some(&at) => records
                    .remove(key)
                    .map(|record| EventKind::Run(Box::new(record))),
                Change::Node(word, node) => {
                    let name = who
                        .get(node)
                        .map_or_else(|| "a node".into(), ToString::to_string);
                    let text = match *word {
                        "lost" => format!("{name} was not heard of in time"),
                        word => format!("{name} {word}"),
                    };
                    let mut told = Note::new(format!("node_{word}"), text);
                    told.node = who.get(node).map(|holder| holder.id);
                    Some(EventKind::Note(told))
                }
                Change::Late { text, key, node } => {
                    let mut note = Note::new("late_completion", text).about(key.task.clone());
                    note.node = node.and_then(|node| who.get(&node)).map(|holder| holder.id);
                    Some(EventKind::Note(note))
                }
                Change::Note(note) => Some(EventKind::Note(note.clone())),
                Change::Run(_) | Change::Unknown => None,
            };
            let when = Timestamp::from_millis(i64::try_from(position.ms).unwrap_or(i64::MAX));
            events.extend(kind.map(|kind| Event::new(position.cursor(), when, kind)));
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_written_and_nothing_else_is() {
        for text in ["0-0", "1700000000000-3", "5-0.17"] {
            assert_eq!(Position::parse(text).unwrap().cursor(), Cursor::new(text));
        }
        for text in [
            "",
            "5",
            "-",
            "5-",
            "-1",
            "5-0.",
            "5-0.x",
            "+5-0",
            "5-0-0",
            "9999999999999999999999-0",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }

    #[test]
    fn f38_a_change_that_cannot_be_read_is_left_out() {
        for (name, value) in [
            ("", ""),
            ("joined", "x"),
            ("late", "1 s"),
            ("late", "1 z 1 1 5/s1:t"),
            ("note", "{}"),
            ("5", "s1"),
            ("five", "s1:t"),
        ] {
            assert_eq!(Change::read(name, value), Change::Unknown, "{name} {value}");
        }
        let late = Change::read("late", "1 s 2 * 5/s1:t u");
        assert!(matches!(late, Change::Late { node: None, .. }), "{late:?}");
    }
}
