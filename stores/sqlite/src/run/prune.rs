//! Deleting what is no longer needed, a bounded number at a time.
//!
//! Candidates are looked up by the reading thread, so that a long search keeps nobody from writing;
//! the deletion checks each of them again.

use rusqlite::params;
use tenure_core::{Prune, RunState};

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

fn limit(prune: &Prune) -> i64 {
    i64::try_from(prune.limit.min(MOST)).unwrap_or_default()
}

/// Deletes candidates that may still go; tells how many.
pub(super) fn delete(step: &Step<'_>, prune: &Prune, candidates: &[i64]) -> Result<u64, Fault> {
    let mut gone = 0;
    for id in candidates {
        let deleted = step.run(
            "DELETE FROM run WHERE id = ?1 AND ended_at < ?2 AND keep_until <= ?3",
            params![id, prune.before.as_millis(), step.wall.as_millis()],
        )?;
        if deleted == 0 {
            continue;
        }
        step.run("DELETE FROM run_output WHERE run = ?1", [id])?;
        step.run("DELETE FROM run_attempt WHERE run = ?1", [id])?;
        gone += 1;
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
