//! Taking runs that wait in the store: retries, requested runs, backfills.

use std::collections::{HashMap, HashSet};

use rusqlite::params;
use tenure_core::{Claim, HolderId, Overlap, RunKind, StartMode, Take, TaskName};

use super::MAX_BATCH;
use super::claim::{claims, current_generation, pause_of};
use super::find;
use super::node;
use super::row::{RunRow, run_columns};
use crate::column;
use crate::step::{Fault, Step};

/// Whether there is anything to take or to answer again; spares idle nodes a transaction.
pub(super) fn is_worth_it(step: &Step<'_>, take: &Take) -> Result<bool, Fault> {
    let due = step.one(
        "SELECT 1 FROM run WHERE ns = ?1 AND due_at <= ?2 LIMIT 1",
        params![step.ns, step.wall.as_millis()],
        |_| Ok(()),
    )?;
    Ok(due.is_some() || !taken_before(step, take)?.is_empty())
}

pub(super) fn take(step: &Step<'_>, take: &Take) -> Result<Vec<Claim>, Fault> {
    let Some(node) = node::alive(step, take.node)? else {
        return Ok(Vec::new());
    };
    let before = taken_before(step, take)?;
    if !before.is_empty() {
        return Ok(claims(&before));
    }
    let mut taken = Vec::new();
    for mut run in eligible(step, take)? {
        run.generation = current_generation(step, &run.key.task)?;
        run.give(step, &node, take.token, take.start == StartMode::AtOnce)?;
        run.save(step)?;
        taken.push(run);
    }
    Ok(claims(&taken))
}

/// What an earlier request with this token got.
fn taken_before(step: &Step<'_>, take: &Take) -> Result<Vec<RunRow>, Fault> {
    step.all(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND holder = ?2 AND state IN ('claimed', 'running')
              AND token = ?3 ORDER BY fence"
        ),
        params![step.ns, take.node.as_bytes(), take.token.as_bytes()],
        RunRow::read,
    )
}

/// The runs that this node may take now, the longest due first.
fn eligible(step: &Step<'_>, take: &Take) -> Result<Vec<RunRow>, Fault> {
    let limit = take.limit.min(MAX_BATCH);
    let mut statement = step.prepare(concat!(
        "SELECT ",
        run_columns!(),
        " FROM run WHERE ns = ?1 AND due_at <= ?2 ORDER BY due_at, id"
    ))?;
    let mut rows = statement.query(params![step.ns, step.wall.as_millis()])?;
    let mut may_run: HashMap<TaskName, bool> = HashMap::new();
    // Of this very request: the file knows nothing of them yet.
    let mut in_hand: HashSet<(TaskName, u32, bool)> = HashSet::new();
    let mut chosen: Vec<RunRow> = Vec::new();
    while chosen.len() < limit {
        let Some(row) = rows.next()? else { break };
        let task = column::task(row, 1)?;
        let may = if let Some(may) = may_run.get(&task) {
            *may
        } else {
            let may = can_run(step, take.node, &task)?;
            may_run.insert(task.clone(), may);
            may
        };
        if !may {
            continue;
        }
        let run = RunRow::read(row)?;
        let index = run.key.index;
        let is_scheduled = run.key.kind == RunKind::Scheduled;
        if run.overlap == Overlap::Skip
            && (in_hand.contains(&(task.clone(), index, true))
                || (!is_scheduled && in_hand.contains(&(task.clone(), index, false)))
                || find::blocker(step, &run.key)?.is_some())
        {
            continue;
        }
        in_hand.insert((task, index, is_scheduled));
        chosen.push(run);
    }
    Ok(chosen)
}

/// Whether a node registered a task in its current generation, and the task is not paused.
fn can_run(step: &Step<'_>, node: HolderId, task: &TaskName) -> Result<bool, Fault> {
    let own = step.one(
        "SELECT generation FROM node_task WHERE ns = ?1 AND task = ?2 AND holder = ?3",
        params![step.ns, task.as_str(), node.as_bytes()],
        |row| column::generation(row, 0),
    )?;
    Ok(own.is_some() && own == current_generation(step, task)? && pause_of(step, task)?.is_none())
}
