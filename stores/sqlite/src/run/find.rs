//! Finding a run, and what stands in its way.

use rusqlite::params;
use tenure_core::{ClaimItem, Crowd, Finish, MaxRunning, Overlap, RunKey, RunKind, TaskName};

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

/// The scheduled runs of a task and index that wait for their first attempt, the oldest tick first.
pub(super) fn queued(step: &Step<'_>, key: &RunKey) -> Result<Vec<RunRow>, Fault> {
    step.all(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND task = ?2 AND idx = ?3
              AND state = 'waiting' AND kind = 0 AND attempt = 0 ORDER BY tick_at"
        ),
        params![step.ns, key.task.as_str(), key.index],
        RunRow::read,
    )
}

/// How many runs of a task its limit counts, and how many of them are scheduled.
pub(super) fn in_hand(
    step: &Step<'_>,
    task: &TaskName,
    max: MaxRunning,
) -> Result<(u32, u32), Fault> {
    let counts = step.one(
        "SELECT count(*), count(CASE kind WHEN 0 THEN 1 END) FROM run
         WHERE ns = ?1 AND task = ?2 AND idx BETWEEN 1 AND ?3 AND state IN ('claimed', 'running')",
        params![step.ns, task.as_str(), max.indices],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(counts.unwrap_or_default())
}

/// What there is around a claim.
pub(super) fn crowd(step: &Step<'_>, item: &ClaimItem, key: &RunKey) -> Result<Crowd, Fault> {
    let mut crowd = Crowd::default();
    if item.overlap != Overlap::Allow {
        crowd.blocker = blocker(step, key)?.map(|run| run.key);
    }
    let may_wait = !matches!(item.overlap, Overlap::Allow | Overlap::Skip);
    if may_wait || item.max_running.is_some() {
        let queued = queued(step, key)?;
        crowd.queue_len = u32::try_from(queued.len()).unwrap_or(u32::MAX);
        crowd.queued = queued.into_iter().next_back().map(|run| run.key);
    }
    if let Some(max) = item.max_running {
        (crowd.in_hand, crowd.scheduled) = in_hand(step, &item.task, max)?;
    }
    Ok(crowd)
}

/// The run in the way of `newer` that is to stop: that of its index, or else the task's oldest.
pub(super) fn to_cancel(
    step: &Step<'_>,
    item: &ClaimItem,
    newer: &RunKey,
) -> Result<Option<RunRow>, Fault> {
    let own = blocker(step, newer)?;
    let (None, Some(max)) = (&own, item.max_running) else {
        return Ok(own);
    };
    step.one(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND task = ?2 AND idx BETWEEN 1 AND ?3
              AND state IN ('claimed', 'running') AND kind = 0 ORDER BY tick_at, idx LIMIT 1"
        ),
        params![step.ns, item.task.as_str(), max.indices],
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
