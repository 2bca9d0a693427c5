//! How runs and keys are called in the server.
//!
//! Every key of a namespace carries its name in braces, so that in a cluster all of them share one
//! slot and one script may use them together. A run's name has its task at the end, behind parts
//! that hold no colon, so that no two runs share a name, whatever the task is called. What is read
//! back is checked: the server's content is not to be trusted.

use tenure_core::{
    RequestId, RunKey, RunKind, StoreError, StoreErrorKind, TaskName, Timestamp, Token,
};

use crate::link::Call;

/// How many keys stand before those of a script's own, in every run script.
pub(super) const SHARED_KEYS: usize = 11;

/// The names of a namespace's keys.
#[derive(Debug)]
pub(crate) struct Names {
    namespace: String,
    prefix: String,
    shared: [String; SHARED_KEYS],
}

impl Names {
    pub(crate) fn new(namespace: &str) -> Self {
        let prefix = format!("tenure:{{{namespace}}}:r:");
        let shared = [
            "meta", "ids", "alive", "nodes", "lists", "pauses", "slots", "due", "events", "ticks",
            "ends",
        ];
        Self {
            namespace: namespace.to_owned(),
            shared: shared.map(|name| format!("{prefix}{name}")),
            prefix,
        }
    }

    /// The name that is in all of them.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The keys that every script is given, in the order of `run_base.lua`.
    pub(super) fn shared(&self) -> &[String; SHARED_KEYS] {
        &self.shared
    }

    /// A key that a namespace has once.
    pub(super) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The records of one tick.
    pub(super) fn bucket(&self, tick: Timestamp) -> String {
        format!("{}t:{}", self.prefix, tick.as_millis())
    }

    /// What the runs of one tick printed.
    pub(super) fn outputs(&self, tick: Timestamp) -> String {
        format!("{}o:{}", self.prefix, tick.as_millis())
    }

    /// The runs of one task, newest tick first.
    pub(super) fn history(&self, task: &TaskName) -> String {
        format!("{}x:{}", self.prefix, task.as_str())
    }

    /// Adds the name of a history, without memory of its own.
    pub(super) fn push_history(&self, call: &mut Call, task: &TaskName) {
        call.push_joined(&[self.prefix.as_bytes(), b"x:", task.as_str().as_bytes()]);
    }

    /// What one request was answered.
    pub(super) fn request(&self, token: impl std::fmt::Display) -> String {
        format!("{}q:{token}", self.prefix)
    }
}

/// A kind as it stands in names: its letter, and the id of what asked for the run.
fn kind_of(kind: &RunKind) -> Result<(char, &str), StoreError> {
    match kind {
        RunKind::Scheduled => Ok(('s', "")),
        RunKind::Manual(id) => Ok(('m', id.as_str())),
        RunKind::Backfill(id) => Ok(('b', id.as_str())),
        other => Err(StoreError::new(
            StoreErrorKind::InvalidRequest,
            format!("this store does not know runs of kind {other:?}; upgrade tenure"),
        )),
    }
}

/// A run as its scripts know it.
#[derive(Debug, Clone)]
pub(super) struct RunName {
    /// Its tick in milliseconds.
    pub(super) tick: String,
    /// `s1`, `m1:ID`, `b1:ID`: the run among those of its task and tick.
    pub(super) place: String,
    /// The place and the task: the run among those of its tick.
    pub(super) field: String,
    /// The task and the index: what it shares with those that must not overlap with it.
    pub(super) slot: String,
    /// `TICKs`, `TICKmID`, `TICKbID`: the run among those of its slot.
    pub(super) mark: String,
    /// `s`, `m` or `b`.
    pub(super) kind: char,
}

impl RunName {
    pub(super) fn new(key: &RunKey) -> Result<Self, StoreError> {
        let (kind, id) = kind_of(&key.kind)?;
        let tick = key.tick.as_millis().to_string();
        let mut place = format!("{kind}{}", key.index);
        if !id.is_empty() {
            place.push(':');
            place.push_str(id);
        }
        let task = key.task.as_str();
        Ok(Self {
            field: format!("{place}:{task}"),
            slot: slot(&key.task, key.index),
            mark: format!("{tick}{kind}{id}"),
            tick,
            place,
            kind,
        })
    }
}

pub(super) fn slot(task: &TaskName, index: u32) -> String {
    format!("s{index}:{}", task.as_str())
}

/// A token as it shows itself, and many times as fast.
pub(super) fn push_hex(text: &mut String, token: Token) {
    text.push_str(std::str::from_utf8(&token.to_hex()).unwrap_or_default());
}

pub(super) fn hex(token: Token) -> String {
    let mut text = String::with_capacity(32);
    push_hex(&mut text, token);
    text
}

/// What orders the newest tick first.
pub(super) fn score(tick: Timestamp) -> String {
    tick.as_millis().saturating_neg().to_string()
}

/// Reads a field of a tick's bucket.
pub(super) fn read_field(tick: Timestamp, field: &str) -> Option<RunKey> {
    let (place, rest) = field.split_once(':')?;
    let mut letters = place.chars();
    let kind = letters.next()?;
    let index = read_digits(letters.as_str())?.parse().ok()?;
    let (kind, task) = match kind {
        's' => (RunKind::Scheduled, rest),
        'm' | 'b' => {
            let (id, task) = rest.split_once(':')?;
            (requested(kind, id)?, task)
        }
        _ => return None,
    };
    let task = TaskName::new(task).ok()?;
    Some(key(task, tick, index, kind))
}

/// Reads a member of what waits: `FLAG[+RUNS/INDICES ]TICK/FIELD`.
pub(super) fn read_member(member: &str) -> Option<RunKey> {
    let rest = member.get(1..)?;
    match rest.strip_prefix('+') {
        Some(limited) => read_reference(limited.split_once(' ')?.1),
        None => read_reference(rest),
    }
}

/// Reads `TICK/FIELD`.
pub(super) fn read_reference(text: &str) -> Option<RunKey> {
    let (tick, field) = text.split_once('/')?;
    read_field(read_tick(tick)?, field)
}

/// Reads `TICK/PLACE` of a task's history.
pub(super) fn read_place(task: &TaskName, text: &str) -> Option<RunKey> {
    read_reference(&format!("{text}:{}", task.as_str()))
}

/// Reads the mark of a run in the slot of `task` and `index`.
pub(super) fn read_mark(task: &TaskName, index: u32, mark: &str) -> Option<RunKey> {
    let at = mark.find(|c: char| c.is_ascii_alphabetic())?;
    let (tick, rest) = mark.split_at_checked(at)?;
    let kind = match rest {
        "s" => RunKind::Scheduled,
        _ => requested(rest.chars().next()?, rest.get(1..)?)?,
    };
    Some(key(task.clone(), read_tick(tick)?, index, kind))
}

/// Reads the name of a slot.
pub(super) fn read_slot(slot: &str) -> Option<(TaskName, u32)> {
    let key = read_field(Timestamp::EPOCH, slot)?;
    (key.kind == RunKind::Scheduled).then_some((key.task, key.index))
}

pub(super) fn read_tick(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    read_digits(digits)?;
    text.parse().ok().map(Timestamp::from_millis)
}

fn read_digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn requested(kind: char, id: &str) -> Option<RunKind> {
    let id = RequestId::new(id).ok()?;
    match kind {
        'm' => Some(RunKind::Manual(id)),
        'b' => Some(RunKind::Backfill(id)),
        _ => None,
    }
}

fn key(task: TaskName, tick: Timestamp, index: u32, kind: RunKind) -> RunKey {
    let mut key = RunKey::scheduled(task, tick, index);
    key.kind = kind;
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = RunKey> {
        let name = prop_oneof!["[sm/:;@#0-9 *é-]{1,12}", "[^\0]{1,20}"];
        let kind = prop_oneof![
            Just(RunKind::Scheduled),
            "[a-zA-Z0-9._-]{1,6}".prop_map(|id| RunKind::Manual(RequestId::new(id).unwrap())),
            "[a-zA-Z0-9._-]{1,6}".prop_map(|id| RunKind::Backfill(RequestId::new(id).unwrap())),
        ];
        let tick = prop_oneof![any::<i64>(), 0i64..4_000_000_000_000];
        (name, tick, any::<u32>(), kind).prop_map(|(name, ms, index, kind)| {
            let task = TaskName::new(name).unwrap();
            key(task, Timestamp::from_millis(ms), index, kind)
        })
    }

    proptest! {
        #[test]
        fn s36_every_name_of_a_run_is_read_back_as_that_run(key in any_key()) {
            let name = RunName::new(&key).unwrap();
            let reference = format!("{}/{}", name.tick, name.field);
            let place = format!("{}/{}", name.tick, name.place);
            let (task, index) = read_slot(&name.slot).unwrap();
            let read = [
                read_field(key.tick, &name.field),
                read_reference(&reference),
                read_place(&key.task, &place),
                read_mark(&task, index, &name.mark),
            ];
            prop_assert_eq!(read, [(); 4].map(|()| Some(key.clone())));
            prop_assert!(!name.mark.contains([' ', '@']));
        }

        #[test]
        fn f38_no_text_breaks_the_readers(text in "\\PC{0,40}") {
            let task = TaskName::new("t").unwrap();
            let _ = read_field(Timestamp::EPOCH, &text);
            let _ = read_reference(&text);
            let _ = read_mark(&task, 1, &text);
            let _ = read_slot(&text);
        }
    }

    #[test]
    fn s37_every_key_of_a_namespace_has_one_slot_whatever_the_task_is_called() {
        let names = Names::new("a b");
        let slot_of = |key: &str| crate::slots::slot_of(key.as_bytes());
        let slot = slot_of("{a b}");
        for task in ["t", "{x}", "}{", "{}", "tenure:{y}:r:"] {
            let task = TaskName::new(task).unwrap();
            assert_eq!(slot_of(&names.history(&task)), slot, "{task}");
        }
        assert_eq!(slot_of(&names.bucket(Timestamp::EPOCH)), slot);
        assert!(names.shared().iter().all(|key| slot_of(key) == slot));
    }

    #[test]
    fn f38_texts_that_name_no_run_are_refused() {
        for text in [
            "",
            "s",
            "s1",
            "s1:",
            ":t",
            "1:t",
            "s+1:t",
            "s-1:t",
            "s4294967296:t",
            "m1:t",
            "m1::t",
            "b1:a b:t",
            "k1:t",
            "é1:t",
        ] {
            assert_eq!(read_field(Timestamp::EPOCH, text), None, "{text}");
        }
        for text in [
            "/s1:t",
            "x/s1:t",
            "--1/s1:t",
            "+1/s1:t",
            "99999999999999999999/s1:t",
        ] {
            assert_eq!(read_reference(text), None, "{text}");
        }
    }
}
