//! Deleting what is no longer needed, a bounded number at a time.
//!
//! Candidates are looked up by the reading thread, so that a long search keeps nobody from writing;
//! the deletion checks each of them again.

use rusqlite::params;
use tenure_core::{Prune, RunState, TaskName};

use super::node;
use crate::step::{Fault, Step};

const MOST: usize = 1000;

/// Rows that may go now, the longest ended first.
pub(super) fn candidates(step: &Step<'_>, prune: &Prune) -> Result<Vec<i64>, Fault> {
    let states: Vec<_> = RunState::ALL
        .into_iter()
        .filter(|state| state.is_final())
        .filter(|state| prune.states.is_empty() || prune.states.contains(state))
        .map(|state| format!("'{state}'"))
        .collect();
    let states = states.join(", ");
    // A run stays if fewer than `keep_newest` of its task's stand before it in the history.
    let newer = if prune.keep_newest == 0 {
        String::new()
    } else {
        format!(
            " AND EXISTS (SELECT 1 FROM run AS n WHERE n.ns = r.ns AND n.task = r.task
              AND (n.tick_at > r.tick_at OR (n.tick_at = r.tick_at
                   AND (n.idx, n.kind, n.request) < (r.idx, r.kind, r.request)))
              LIMIT 1 OFFSET {})",
            prune.keep_newest - 1
        )
    };
    if let Some(task) = &prune.task {
        return of_task(step, prune, task, &states, &newer);
    }
    let sql = format!(
        "SELECT id FROM run AS r
         WHERE ns = ?1 AND ended_at < ?2 AND keep_until <= ?3 AND state IN ({states}){newer}
         ORDER BY ended_at LIMIT ?4"
    );
    step.all(
        &sql,
        params![
            step.ns,
            prune.before.as_millis(),
            step.wall.as_millis(),
            limit(prune)
        ],
        |row| Ok(row.get(0)?),
    )
}

/// The same of one task, and what is older than the newest that it keeps.
fn of_task(
    step: &Step<'_>,
    prune: &Prune,
    task: &TaskName,
    states: &str,
    newer: &str,
) -> Result<Vec<i64>, Fault> {
    // The oldest that is kept for being among the newest; a row that comes behind it is older.
    let last_kept: Option<(i64, u32, i64, String)> = match prune.keep_most {
        None => None,
        Some(most) => step.one(
            &format!(
                "SELECT tick_at, idx, kind, request FROM run
                 WHERE ns = ?1 AND task = ?2 AND state IN ({states})
                 ORDER BY tick_at DESC, idx, kind, request LIMIT 1 OFFSET ?3"
            ),
            params![
                step.ns,
                task.as_str(),
                most.clamp(1, Prune::MOST_KEPT).saturating_sub(1)
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?,
    };
    let keeps_none = prune.keep_most == Some(0);
    let (tick, idx, kind, request) = last_kept.clone().unwrap_or_default();
    let sql = format!(
        "SELECT id FROM run AS r
         WHERE ns = ?1 AND task = ?2 AND keep_until <= ?4 AND state IN ({states})
           AND (ended_at < ?3 OR ?6 OR (?7 AND (tick_at < ?8
                OR (tick_at = ?8 AND (idx, kind, request) > (?9, ?10, ?11))))){newer}
         ORDER BY tick_at LIMIT ?5"
    );
    step.all(
        &sql,
        params![
            step.ns,
            task.as_str(),
            prune.before.as_millis(),
            step.wall.as_millis(),
            limit(prune),
            keeps_none,
            last_kept.is_some(),
            tick,
            idx,
            kind,
            request,
        ],
        |row| Ok(row.get(0)?),
    )
}

fn limit(prune: &Prune) -> i64 {
    i64::try_from(prune.limit.min(MOST)).unwrap_or_default()
}

/// Deletes candidates that may still go; tells how many.
pub(super) fn delete(step: &Step<'_>, prune: &Prune, candidates: &[i64]) -> Result<u64, Fault> {
    let mut gone = 0;
    for id in candidates {
        let deleted = step.run(
            // A record that has ended never changes.
            "DELETE FROM run WHERE id = ?1 AND ended_at IS NOT NULL AND keep_until <= ?2",
            params![id, step.wall.as_millis()],
        )?;
        if deleted == 0 {
            continue;
        }
        step.run("DELETE FROM run_output WHERE run = ?1", [id])?;
        step.run("DELETE FROM run_attempt WHERE run = ?1", [id])?;
        gone += 1;
    }
    if prune.task.is_some() {
        return Ok(gone);
    }
    // Notes stand in the order of their making, so only the oldest need a look.
    step.run(
        "DELETE FROM note WHERE ns = ?1 AND at < ?2 AND feed IN (
             SELECT feed FROM note WHERE ns = ?1 ORDER BY feed LIMIT ?3)",
        params![step.ns, prune.before.as_millis(), limit(prune)],
    )?;
    node::prune(step)?;
    Ok(gone)
}
