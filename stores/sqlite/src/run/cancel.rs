//! Asking runs to stop.

use rusqlite::params;
use tenure_core::{Cancel, Cancelling, HolderId, Note, RunState};

use super::find;
use super::note::add_note;
use super::row::{RunRow, run_columns};
use crate::step::{Fault, Step};

pub(super) fn cancel(step: &mut Step<'_>, cancel: &Cancel) -> Result<Cancelling, Fault> {
    let key = &cancel.key;
    let Some(mut run) = find::find(step, key)? else {
        return Ok(Cancelling::Unknown);
    };
    if run.state.is_final() {
        return Ok(Cancelling::Over { state: run.state });
    }
    let answer = if run.state == RunState::Waiting {
        run.state = RunState::Cancelled;
        run.due = None;
        run.ended = Some(step.wall);
        run.reason = Some(cancel.reason());
        run.kept_back = None;
        run.save(step)?;
        Cancelling::Cancelled
    } else {
        if !ask(step, run.id, cancel)? {
            return Ok(Cancelling::Asked);
        }
        Cancelling::Asked
    };
    let mut text = format!("{} asked to stop {key}", cancel.by);
    if !cancel.why.is_empty() {
        text.push_str(": ");
        text.push_str(&cancel.why);
    }
    let note = Note::new("cancel_requested", text).about(key.task.clone());
    add_note(step, &note)?;
    step.hint()?;
    Ok(answer)
}

/// Keeps a request that a run in hand stop. False if there was one before, which stands.
pub(super) fn ask(step: &Step<'_>, run: i64, cancel: &Cancel) -> Result<bool, Fault> {
    let made = step.run(
        "INSERT INTO run_cancel (run, by, why) VALUES (?1, ?2, ?3) ON CONFLICT (run) DO NOTHING",
        params![run, cancel.by, cancel.why],
    )?;
    Ok(made > 0)
}

/// The request that a run stop, if there is one. It is over with the attempt.
pub(super) fn settle(step: &Step<'_>, run: &RunRow) -> Result<Option<Cancel>, Fault> {
    step.one(
        "DELETE FROM run_cancel WHERE run = ?1 RETURNING by, why",
        [run.id],
        |row| {
            let (by, why): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(Cancel::new(run.key.clone(), by, why))
        },
    )
}

pub(super) fn cancels(step: &Step<'_>, node: HolderId) -> Result<Vec<Cancel>, Fault> {
    step.all(
        concat!(
            "SELECT ",
            run_columns!(),
            ", by, why FROM run CROSS JOIN run_cancel ON run_cancel.run = run.id
              WHERE ns = ?1 AND holder = ?2 AND state IN ('claimed', 'running')"
        ),
        params![step.ns, node.as_bytes()],
        |row| {
            let (by, why): (String, String) = (row.get(31)?, row.get(32)?);
            Ok(Cancel::new(RunRow::read(row)?.key, by, why))
        },
    )
}
