//! Finding a run, and what stands in its way.

use rusqlite::params;
use tenure_core::{Finish, RunKey, RunKind};

use super::row::{RunRow, kind_of, run_columns};
use crate::step::{Fault, Step};

/// Finds a run by its identity.
pub(super) fn find(step: &Step<'_>, key: &RunKey) -> Result<Option<RunRow>, Fault> {
    let (kind, request) = kind_of(&key.kind)?;
    step.one(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND task = ?2 AND tick_at = ?3 AND idx = ?4
              AND kind = ?5 AND request = ?6"
        ),
        params![
            step.ns,
            key.task.as_str(),
            key.tick.as_millis(),
            key.index,
            kind,
            request
        ],
        RunRow::read,
    )
}

/// The run that stands in the way of another of its task and index, if one is in hand. A scheduled
/// run minds scheduled ones only, so that a requested run never costs a tick; a requested run minds
/// any.
pub(super) fn blocker(step: &Step<'_>, key: &RunKey) -> Result<Option<RunRow>, Fault> {
    step.one(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND task = ?2 AND idx = ?3
              AND state IN ('claimed', 'running') AND (?4 OR kind = 0) ORDER BY id LIMIT 1"
        ),
        params![
            step.ns,
            key.task.as_str(),
            key.index,
            key.kind != RunKind::Scheduled
        ],
        RunRow::read,
    )
}

/// Keeps what the last attempt printed, as far as the contract says.
pub(super) fn keep_output(step: &Step<'_>, run: i64, output: Option<&str>) -> Result<(), Fault> {
    let Some(output) = output else {
        step.run("DELETE FROM run_output WHERE run = ?1", [run])?;
        return Ok(());
    };
    let mut end = output.len().min(Finish::MAX_OUTPUT);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    let kept = output.get(..end).unwrap_or_default();
    step.run(
        "INSERT INTO run_output (run, text) VALUES (?1, ?2)
         ON CONFLICT (run) DO UPDATE SET text = excluded.text",
        params![run, kept],
    )?;
    Ok(())
}
