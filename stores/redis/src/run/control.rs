//! Pausing and backfilling.

use redis::Value;
use serde::{Deserialize, Serialize};
use tenure_core::{
    Backfill, BackfillState, Note, Pause, RequestId, StoreError, StoreErrorKind, TaskName,
    Timestamp, Token,
};

use super::feed::write_note;
use super::row::not_ours;
use super::{BASE, TASK};
use crate::link::{Call, Script};
use crate::reply::{Reply, bytes_of, unexpected};
use crate::store::RedisStore;

static PAUSE: Script = Script::new(
    "pause or resume a task",
    &[BASE, TASK, include_str!("../scripts/run_pause.lua")],
);
static BACKFILL: Script = Script::new(
    "save a backfill",
    &[BASE, include_str!("../scripts/run_backfill.lua")],
);

const STATES: [(BackfillState, &str); 4] = [
    (BackfillState::Running, "running"),
    (BackfillState::Paused, "paused"),
    (BackfillState::Done, "done"),
    (BackfillState::Cancelled, "cancelled"),
];

/// Who wants something, and why.
#[derive(Serialize, Deserialize)]
pub(super) struct Words {
    pub(super) by: String,
    pub(super) why: String,
}

/// A pause as it is kept: `UNTIL_MS|* JSON`.
fn write_pause(pause: &Pause) -> String {
    let words = serde_json::json!({ "by": pause.by, "why": pause.why });
    match pause.until {
        // One that ended long ago is as good as none.
        Some(until) => format!("{} {words}", until.as_millis().max(0)),
        None => format!("* {words}"),
    }
}

/// Reads a pause as it is kept under `place`.
pub(super) fn read_pause(text: &[u8], place: &str) -> Result<Pause, StoreError> {
    parse_pause(text).ok_or_else(|| not_ours("the pause", place, text))
}

fn parse_pause(text: &[u8]) -> Option<Pause> {
    let (until, words) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    let words: Words = serde_json::from_str(words).ok()?;
    let mut pause = Pause::new(words.by, words.why);
    if until != "*" {
        pause.until = Some(Timestamp::from_millis(until.parse().ok()?));
    }
    Some(pause)
}

/// What is kept of a backfill besides its cursor and state.
#[derive(Serialize, Deserialize)]
struct Plan {
    task: TaskName,
    from: Timestamp,
    to: Timestamp,
    only_missing: bool,
    per_minute: u32,
    parallel: u32,
    by: String,
    why: String,
}

impl RedisStore {
    pub(super) async fn pause_task(
        &self,
        task: &TaskName,
        pause: &Pause,
    ) -> Result<(), StoreError> {
        let note = Note::paused(task, pause);
        self.change_pause(task, &write_pause(pause), &note).await?;
        Ok(())
    }

    pub(super) async fn resume_task(
        &self,
        task: &TaskName,
        by: &str,
        why: &str,
    ) -> Result<bool, StoreError> {
        self.change_pause(task, "", &Note::resumed(task, by, why))
            .await
    }

    async fn change_pause(
        &self,
        task: &TaskName,
        pause: &str,
        note: &Note,
    ) -> Result<bool, StoreError> {
        let mut call = self
            .run_call(&PAUSE, 1)
            .arg(self.run_names().request(Token::random()))
            .arg(task.as_str())
            .arg(pause)
            .arg(write_note(note)?);
        self.push_hint(&mut call);
        match self.send(call).await? {
            Value::Int(was_paused) => Ok(was_paused == 1),
            _ => Err(unexpected(PAUSE.doing, "no number")),
        }
    }

    pub(super) async fn keep_backfill(
        &self,
        backfill: &Backfill,
        expected_cursor: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let state = STATES.iter().find(|(known, _)| *known == backfill.state);
        let (_, state) = state.ok_or_else(|| {
            let message = format!(
                "this store does not know the backfill state {:?}; upgrade tenure",
                backfill.state
            );
            StoreError::new(StoreErrorKind::InvalidRequest, message)
        })?;
        let plan = Plan {
            task: backfill.task.clone(),
            from: backfill.from,
            to: backfill.to,
            only_missing: backfill.only_missing,
            per_minute: backfill.per_minute,
            parallel: backfill.parallel,
            by: backfill.by.clone(),
            why: backfill.why.clone(),
        };
        let plan = serde_json::to_string(&plan).map_err(|error| {
            let message = "the backfill cannot be written as JSON";
            StoreError::new(StoreErrorKind::InvalidRequest, message).with_source(error)
        })?;
        let expected = expected_cursor.map(|cursor| cursor.as_millis().to_string());
        let mut call = self
            .run_call(&BACKFILL, 1)
            .arg(self.run_names().of("backfills"))
            .arg(backfill.id.as_str())
            .arg(expected.unwrap_or_default())
            .arg(backfill.cursor.as_millis())
            .arg(*state)
            .arg(Token::random().to_string())
            .arg(plan);
        self.push_hint(&mut call);
        match self.send(call).await? {
            Value::Int(saved) => Ok(saved == 1),
            _ => Err(unexpected(BACKFILL.doing, "no number")),
        }
    }

    pub(super) async fn kept_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        let doing = "read backfills";
        let place = self.run_names().of("backfills");
        let answer = self
            .send(Call::command(doing, "HGETALL").arg(&place))
            .await?;
        let mut parts = fields_of(doing, answer)?.into_iter();
        let mut backfills = Vec::new();
        while let (Some(id), Some(text)) = (parts.next(), parts.next()) {
            let found = parse_backfill(&id, &text);
            backfills.push(found.ok_or_else(|| not_ours("the backfill", &place, &id))?);
        }
        backfills.sort_by_key(|(order, _)| *order);
        Ok(backfills
            .into_iter()
            .map(|(_, backfill)| backfill)
            .collect())
    }
}

/// The fields and values of a hash, one behind the other, however the protocol writes them.
pub(super) fn fields_of(doing: &'static str, value: Value) -> Result<Vec<Vec<u8>>, StoreError> {
    let parts = match value {
        Value::Map(pairs) => pairs
            .into_iter()
            .flat_map(|(field, value)| [field, value])
            .collect(),
        other => Reply::new(doing, other)?.rest().collect::<Vec<_>>(),
    };
    parts
        .into_iter()
        .map(|part| bytes_of(doing, part))
        .collect()
}

/// Reads `ORDER CURSOR STATE TOKEN JSON`.
fn parse_backfill(id: &[u8], text: &[u8]) -> Option<(u64, Backfill)> {
    let id = RequestId::new(std::str::from_utf8(id).ok()?).ok()?;
    let mut parts = std::str::from_utf8(text).ok()?.splitn(5, ' ');
    let order = parts.next()?.parse().ok()?;
    let cursor = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let (state, _) = STATES.iter().find(|(_, known)| *known == name)?;
    let plan: Plan = serde_json::from_str(parts.nth(1)?).ok()?;
    let mut backfill = Backfill::new(id, plan.task, plan.from, plan.to);
    backfill.cursor = Timestamp::from_millis(cursor);
    backfill.only_missing = plan.only_missing;
    backfill.per_minute = plan.per_minute;
    backfill.parallel = plan.parallel;
    backfill.by = plan.by;
    backfill.why = plan.why;
    backfill.state = *state;
    Some((order, backfill))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s59_a_pause_is_read_as_it_was_written() {
        for until in [None, Some(5), Some(i64::MAX)] {
            let mut pause = Pause::new("ann \"a\"", "é\n");
            pause.until = until.map(Timestamp::from_millis);
            let text = write_pause(&pause);
            assert_eq!(read_pause(text.as_bytes(), "pauses").unwrap(), pause);
        }
        for text in ["", "*", "* {}", "x {\"by\":\"\",\"why\":\"\"}"] {
            let error = read_pause(text.as_bytes(), "pauses").unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        }
    }
}
