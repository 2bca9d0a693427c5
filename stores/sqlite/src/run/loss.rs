//! Putting back what a node remembers of runs that the file forgot, because it was replaced by an
//! older copy of itself.

use rusqlite::params;
use tenure_core::{HolderId, Kept, Remembered, Restore, Restored, RunState, Seen, Timestamp};

use super::find;
use super::node;
use super::row::RunRow;
use crate::column;
use crate::step::{Fault, Step};

/// What a node that asks now sees of this file's memory.
pub(super) fn seen_by(step: &Step<'_>, node: HolderId) -> Result<Seen, Fault> {
    let moment = node::moment(step)?;
    let own = step.one(
        "SELECT own FROM node WHERE ns = ?1 AND holder = ?2",
        params![step.ns, node.as_bytes()],
        |row| Ok(row.get::<_, i64>(0)?),
    )?;
    let own = u64::try_from(own.unwrap_or_default()).unwrap_or_default();
    Ok(Seen::of(&moment, own))
}

/// Raises the sequence for a call of this node. Tells the sequence and the epoch.
pub(super) fn raise_sequence(step: &Step<'_>, node: HolderId) -> Result<(u64, String), Fault> {
    let (sequence, epoch): (i64, String) = step
        .one(
            "UPDATE namespace SET sequence = sequence + 1 WHERE id = ?1
             RETURNING sequence, epoch",
            [step.ns],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .unwrap_or_default();
    step.run(
        "UPDATE node SET own = ?3 WHERE ns = ?1 AND holder = ?2",
        params![step.ns, node.as_bytes(), sequence],
    )?;
    Ok((u64::try_from(sequence).unwrap_or_default(), epoch))
}

pub(super) fn restore(step: &mut Step<'_>, restore: &Restore) -> Result<Restored, Fault> {
    if !node::is_known(step, restore.node)? {
        return Err(Fault::request(format!(
            "node {} cannot restore runs before its first beat",
            restore.node
        )));
    }
    if let Some(known) = restore.noticed {
        let known = i64::try_from(known).unwrap_or(i64::MAX - 1);
        step.run(
            "UPDATE namespace SET losses = ?2 + 1, loss_told_by = ?3
             WHERE id = ?1 AND losses <= ?2",
            params![step.ns, known, restore.node.as_bytes()],
        )?;
    }
    let told_by = step.one(
        "SELECT loss_told_by FROM namespace WHERE id = ?1 AND loss_told_by IS NOT NULL",
        [step.ns],
        |row| column::holder_id(row, 0),
    )?;
    let due = step.wall + restore.patience;
    let mut put_back = Vec::with_capacity(restore.runs.len());
    for run in &restore.runs {
        put_back.push(put_back_one(step, run, due)?);
    }
    step.hint()?;
    let moment = node::moment(step)?;
    let is_first = told_by == Some(restore.node)
        && restore
            .noticed
            .is_some_and(|known| known.saturating_add(1) == moment.losses);
    Ok(Restored::new(moment, is_first, put_back))
}

fn put_back_one(step: &Step<'_>, told: &Remembered, due: Timestamp) -> Result<bool, Fault> {
    let before = find::find(step, &told.key)?;
    if let Some(run) = &before
        && !told.replaces(&Kept::new(run.state, run.attempt, run.token, run.fence))
    {
        return Ok(false);
    }
    let is_known = match &told.node {
        Some(node) => node::is_known(step, node.id)?,
        None => false,
    };
    let is_new = before.is_none();
    let mut run = before.unwrap_or_else(|| RunRow::new(step, told.key.clone(), told.state));
    run.state = if is_known {
        told.state
    } else {
        told.state_without_node()
    };
    run.attempt = told.attempt;
    run.fence = told.fence;
    run.token = told.token;
    run.node.clone_from(&told.node);
    run.generation.clone_from(&told.generation);
    run.on_crash = told.on_crash;
    run.overlap = told.overlap;
    run.max_running = told.max_running;
    run.claimed = Some(told.claimed_at);
    run.started = (run.state == RunState::Running).then_some(told.claimed_at);
    run.ended = run.state.is_final().then_some(step.wall);
    run.due = (run.state == RunState::Waiting).then_some(due);
    if run.asked.is_none() {
        run.asked.clone_from(&told.asked);
    }
    run.reason.clone_from(&told.reason);
    if let Some(fence) = told.fence {
        step.run(
            "UPDATE namespace SET fence = max(fence, ?2) WHERE id = ?1",
            params![step.ns, i64::try_from(fence.get()).unwrap_or(i64::MAX)],
        )?;
    }
    if is_new {
        run.created = told.claimed_at;
        run.keep_until = step.wall + told.keep_for;
        run.insert(step)?;
    } else {
        run.save(step)?;
    }
    Ok(true)
}
