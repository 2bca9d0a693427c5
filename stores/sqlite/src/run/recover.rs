//! Recovery: what becomes of runs whose nodes' leases ended.

use rusqlite::params;
use tenure_core::{Holder, Note, OnCrash, Recovered, RecoveredRun, Recovery, RunState, Timestamp};

use super::cancel;
use super::note::add_note;
use super::row::{RunRow, run_columns};
use crate::column;
use crate::step::{Fault, Step, millis};

/// The most runs to move in one transaction, whatever is asked.
const MOST: usize = 1000;

/// Whether any node's end is new, or has left runs behind; spares a transaction.
pub(super) fn is_worth_it(step: &Step<'_>, recovery: &Recovery) -> Result<bool, Fault> {
    let found = step.one(
        "SELECT 1 FROM node AS n
         WHERE n.ns = ?1 AND n.expires_ms <= ?2 AND (n.expires_ms <= ?3 OR n.ended = 2)
           AND (n.ended = 0 OR EXISTS (
             SELECT 1 FROM run AS r
             WHERE r.ns = ?1 AND r.holder = n.holder AND r.state IN ('claimed', 'running')))
         LIMIT 1",
        params![step.ns, step.now.as_millis(), deadline(step, recovery)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Nodes whose leases ended before this are given up; those that said that they leave, at once.
fn deadline(step: &Step<'_>, recovery: &Recovery) -> i64 {
    step.now.as_millis().saturating_sub(millis(recovery.grace))
}

pub(super) fn recover(step: &mut Step<'_>, recovery: &Recovery) -> Result<Recovered, Fault> {
    let gone = step.all(
        "SELECT holder, label, host, pid, ended FROM node
         WHERE ns = ?1 AND expires_ms <= ?2 AND (expires_ms <= ?3 OR ended = 2)
         ORDER BY expires_ms",
        params![step.ns, step.now.as_millis(), deadline(step, recovery)],
        |row| Ok((column::holder(row, 0)?, row.get::<_, i64>(4)? != 0)),
    )?;
    let mut nodes = Vec::new();
    let mut runs = Vec::new();
    for (node, was_seen) in gone {
        if !was_seen {
            mark_ended(step, &node)?;
            nodes.push(node.clone());
        }
        let room = recovery.limit.min(MOST).saturating_sub(runs.len());
        if room == 0 {
            continue;
        }
        let left = step.all(
            concat!(
                "SELECT ",
                run_columns!(),
                " FROM run WHERE ns = ?1 AND holder = ?2 AND state IN ('claimed', 'running')
                  ORDER BY id LIMIT ?3"
            ),
            params![
                step.ns,
                node.id.as_bytes(),
                i64::try_from(room).unwrap_or(i64::MAX)
            ],
            RunRow::read,
        )?;
        for run in left {
            runs.push(give_up(step, run)?);
        }
    }
    if !runs.is_empty() {
        step.hint()?;
    }
    Ok(Recovered::new(step.wall, nodes, runs))
}

fn mark_ended(step: &Step<'_>, node: &Holder) -> Result<(), Fault> {
    step.run(
        "UPDATE node SET ended = 1 WHERE ns = ?1 AND holder = ?2",
        params![step.ns, node.id.as_bytes()],
    )?;
    let text = format!("{node} was not heard of in time");
    add_note(step, &Note::new("node_lost", text).of_node(node.id))
}

/// Takes a run from a node that is gone.
fn give_up(step: &Step<'_>, mut run: RunRow) -> Result<RecoveredRun, Fault> {
    let lost_attempt = run.attempt;
    let had_started = run.state == RunState::Running;
    let may_retry = match run.on_crash {
        OnCrash::Retry { max_attempts } => run.attempt < max_attempts,
        _ => false,
    };
    let reason = match &run.node {
        Some(node) => format!("{node} was lost"),
        None => "its node was lost".to_owned(),
    };
    let cancel = cancel::settle(step, &run)?;
    if let Some(cancel) = cancel.filter(|_| may_retry || !had_started) {
        run.state = RunState::Cancelled;
        run.ended = Some(step.wall);
        run.reason = Some(format!("{}; {reason}", cancel.reason()));
    } else if may_retry || !had_started {
        // What was claimed and not begun provably never ran, so it may go to another node.
        let due: Timestamp = step.wall;
        run.wait_again(step, RunState::Lost, Some(&reason), due)?;
    } else {
        run.state = RunState::Lost;
        run.ended = Some(step.wall);
        run.reason = Some(reason);
    }
    // By its token a late completion would be taken for the attempt's own.
    run.token = None;
    run.save(step)?;
    let record = run.into_record(step)?;
    Ok(RecoveredRun::new(record, lost_attempt, had_started))
}
