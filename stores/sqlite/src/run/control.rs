//! Pausing and backfilling.

use rusqlite::params;
use tenure_core::{Backfill, BackfillState, Note, Pause, TaskName, Timestamp};

use super::claim::pause_of;
use super::note::add_note;
use crate::column;
use crate::step::{Counter, Fault, Step};

/// Writes a pause down, and tells nobody.
pub(super) fn keep_pause(step: &Step<'_>, task: &TaskName, pause: &Pause) -> Result<(), Fault> {
    step.run(
        "INSERT INTO pause (ns, task, by, why, until_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (ns, task) DO UPDATE SET
             by = excluded.by, why = excluded.why, until_at = excluded.until_at",
        params![
            step.ns,
            task.as_str(),
            pause.by,
            pause.why,
            pause.until.map(Timestamp::as_millis)
        ],
    )?;
    Ok(())
}

pub(super) fn pause(step: &mut Step<'_>, task: &TaskName, pause: &Pause) -> Result<(), Fault> {
    keep_pause(step, task, pause)?;
    add_note(step, &Note::paused(task, pause))?;
    step.hint()
}

pub(super) fn resume(
    step: &mut Step<'_>,
    task: &TaskName,
    by: &str,
    why: &str,
) -> Result<bool, Fault> {
    let was_paused = pause_of(step, task)?.is_some();
    step.run(
        "DELETE FROM pause WHERE ns = ?1 AND task = ?2",
        params![step.ns, task.as_str()],
    )?;
    if was_paused {
        add_note(step, &Note::resumed(task, by, why))?;
        step.hint()?;
    }
    Ok(was_paused)
}

const STATES: [(BackfillState, &str); 4] = [
    (BackfillState::Running, "running"),
    (BackfillState::Paused, "paused"),
    (BackfillState::Done, "done"),
    (BackfillState::Cancelled, "cancelled"),
];

fn state_name(state: BackfillState) -> Result<&'static str, Fault> {
    let name = STATES.iter().find(|(known, _)| *known == state);
    name.map(|(_, name)| *name).ok_or_else(|| {
        Fault::request(format!(
            "this store does not know the backfill state {state:?}; upgrade tenure"
        ))
    })
}

pub(super) fn save_backfill(
    step: &Step<'_>,
    backfill: &Backfill,
    expected_cursor: Option<Timestamp>,
) -> Result<bool, Fault> {
    let state = state_name(backfill.state)?;
    if let Some(expected) = expected_cursor {
        let moved = step.run(
            "UPDATE backfill SET cursor_at = ?4, state = ?5
             WHERE ns = ?1 AND id = ?2 AND cursor_at = ?3",
            params![
                step.ns,
                backfill.id.as_str(),
                expected.as_millis(),
                backfill.cursor.as_millis(),
                state
            ],
        )?;
        return Ok(moved > 0);
    }
    let made = step.run(
        "INSERT INTO backfill (ns, id, made, task, from_at, to_at, cursor_at, only_missing,
                               per_minute, by, why, state, parallel)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (ns, id) DO NOTHING",
        params![
            step.ns,
            backfill.id.as_str(),
            step.next(Counter::Feed)?,
            backfill.task.as_str(),
            backfill.from.as_millis(),
            backfill.to.as_millis(),
            backfill.cursor.as_millis(),
            backfill.only_missing,
            backfill.per_minute,
            backfill.by,
            backfill.why,
            state,
            backfill.parallel,
        ],
    )?;
    Ok(made > 0)
}

pub(super) fn backfills(step: &Step<'_>) -> Result<Vec<Backfill>, Fault> {
    step.all(
        "SELECT id, task, from_at, to_at, cursor_at, only_missing, per_minute, by, why, state,
                parallel
         FROM backfill WHERE ns = ?1 ORDER BY made",
        [step.ns],
        |row| {
            let (from, to) = (column::time(row, 2)?, column::time(row, 3)?);
            let mut backfill =
                Backfill::new(column::request(row, 0)?, column::task(row, 1)?, from, to);
            backfill.cursor = column::time(row, 4)?;
            backfill.only_missing = row.get(5)?;
            backfill.per_minute = row.get(6)?;
            backfill.by = row.get(7)?;
            backfill.why = row.get(8)?;
            backfill.state = column::word(row, 9, "a backfill state", |name| {
                let state = STATES.iter().find(|(_, known)| *known == name);
                state.map(|(state, _)| *state)
            })?;
            backfill.parallel = row.get(10)?;
            Ok(backfill)
        },
    )
}
