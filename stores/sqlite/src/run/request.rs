//! Records made without a claim: ticks that are passed over, and runs that somebody asked for.

use tenure_core::{Enqueue, Enqueued, Pass, RunKey, RunKind, RunState};

use super::find;
use super::row::RunRow;
use crate::step::{Fault, Step};

pub(super) fn check_pass(pass: &Pass) -> Result<(), Fault> {
    if matches!(pass.state, RunState::Skipped | RunState::Missed) {
        return Ok(());
    }
    Err(Fault::request(format!(
        "a tick can be passed over as skipped or missed, not as {}",
        pass.state
    )))
}

pub(super) fn pass(step: &Step<'_>, pass: &Pass) -> Result<bool, Fault> {
    if find::find(step, &pass.key)?.is_some() {
        return Ok(false);
    }
    let mut run = RunRow::new(step, pass.key.clone(), pass.state);
    run.ended = Some(step.wall);
    run.reason = Some(pass.reason.clone());
    run.keep_until = step.wall + pass.keep_for;
    run.insert(step)?;
    Ok(true)
}

pub(super) fn check_enqueue(enqueue: &Enqueue) -> Result<(), Fault> {
    if matches!(enqueue.key.kind, RunKind::Manual(_) | RunKind::Backfill(_)) {
        return Ok(());
    }
    Err(Fault::request(format!(
        "{} is a scheduled run; only manual and backfill runs can be put into the store",
        enqueue.key
    )))
}

pub(super) fn enqueue(step: &Step<'_>, enqueue: &Enqueue) -> Result<Enqueued, Fault> {
    let key = &enqueue.key;
    if let Some(run) = find::find(step, key)? {
        return Ok(Enqueued::Exists { state: run.state });
    }
    if enqueue.only_missing {
        let scheduled = RunKey::scheduled(key.task.clone(), key.tick, key.index);
        if let Some(run) = find::find(step, &scheduled)?
            && (run.state == RunState::Succeeded || !run.state.is_final())
        {
            return Ok(Enqueued::NotMissing { state: run.state });
        }
    }
    let mut run = RunRow::new(step, key.clone(), RunState::Waiting);
    run.due = Some(step.wall + enqueue.due_in);
    run.overlap = enqueue.overlap;
    run.max_running = enqueue.max_running;
    run.on_crash = enqueue.on_crash;
    run.asked = Some(enqueue.reason.clone()).filter(|asked| !asked.is_empty());
    run.insert(step)?;
    Ok(Enqueued::Waiting)
}
