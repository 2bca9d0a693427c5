//! Starting and finishing attempts.

use rusqlite::params;
use tenure_core::{Finish, Finished, Note, RunKind, RunRef, RunState, Start, Started};

use super::cancel;
use super::find;
use super::note::add_note;
use super::row::RunRow;
use crate::step::{Fault, Step};

pub(super) fn start(step: &Step<'_>, start: &Start) -> Result<Started, Fault> {
    let Some(mut run) = find::find(step, &start.run.key)? else {
        return Ok(Started::Refused);
    };
    if !run.is_at(&start.run) {
        return Ok(Started::Refused);
    }
    match run.state {
        RunState::Running => {}
        RunState::Claimed => {
            run.state = RunState::Running;
            run.started = Some(step.wall);
            run.save(step)?;
        }
        _ => return Ok(Started::Refused),
    }
    Ok(Started::Running { now: step.wall })
}

pub(super) fn finish(step: &mut Step<'_>, finish: &Finish) -> Result<Finished, Fault> {
    let Some(mut run) = find::find(step, &finish.run.key)? else {
        return Ok(Finished::Unknown);
    };
    if !run.is_at(&finish.run) {
        return late(step, &run, &finish.run);
    }
    // The token is taken from an attempt that somebody else ended, so this one ended it itself.
    if !run.state.is_active() {
        return Ok(Finished::Recorded);
    }
    find::keep_output(step, run.id, finish.output.as_deref())?;
    run.exit_code = finish.exit_code;
    // A requested run keeps who asked for it, unless there is something worse to tell.
    if finish.reason.is_some() || run.key.kind == RunKind::Scheduled {
        run.reason.clone_from(&finish.reason);
    }
    let cancel = cancel::settle(step, &run)?;
    if let Some(cancel) = cancel.filter(|_| finish.again_after.is_some()) {
        // A run that is asked to stop does not begin again.
        run.state = RunState::Cancelled;
        run.ended = Some(step.wall);
        run.reason = Some(cancel.reason());
        hint_if_anything_waits(step)?;
    } else if let Some(delay) = finish.again_after {
        let due = step.wall + delay;
        run.wait_again(step, finish.outcome.state(), finish.reason.as_deref(), due)?;
        step.hint()?;
    } else {
        run.state = finish.outcome.state();
        run.ended = Some(step.wall);
        hint_if_anything_waits(step)?;
    }
    run.save(step)?;
    Ok(Finished::Recorded)
}

fn late(step: &Step<'_>, run: &RunRow, late: &RunRef) -> Result<Finished, Fault> {
    let text = format!(
        "attempt {} of {} reported its end when the run was {} in attempt {}",
        late.attempt, run.key, run.state, run.attempt
    );
    let mut note = Note::new("late_completion", text).about(run.key.task.clone());
    if let Some(node) = run.node.as_ref().filter(|_| run.attempt == late.attempt) {
        note = note.of_node(node.id);
    }
    add_note(step, &note)?;
    Ok(Finished::Late {
        state: run.state,
        attempt: run.attempt,
    })
}

/// A run that ended may have been in the way of one that waits.
fn hint_if_anything_waits(step: &mut Step<'_>) -> Result<(), Fault> {
    let waits = step.one(
        "SELECT 1 FROM run WHERE ns = ?1 AND due_at <= ?2 LIMIT 1",
        params![step.ns, step.wall.as_millis()],
        |_| Ok(()),
    )?;
    if waits.is_some() {
        step.hint()?;
    }
    Ok(())
}
