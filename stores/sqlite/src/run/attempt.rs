//! Starting and finishing attempts.

use rusqlite::params;
use tenure_core::{Finish, Finished, Note, RunKind, RunRef, RunState, Start, Started};

use super::cancel;
use super::find;
use super::note::add_note;
use super::row::RunRow;
use crate::step::{Counter, Fault, Step};

pub(super) fn start_all(step: &Step<'_>, starts: &[Start]) -> Result<Vec<Started>, Fault> {
    step.draw_ahead(starts.len());
    let mut answers = Vec::with_capacity(starts.len());
    for one in starts {
        answers.push(if start_as_usual(step, &one.run)? {
            Started::Running { now: step.wall }
        } else {
            start(step, one)?
        });
    }
    Ok(answers)
}

/// Begins a scheduled run in one statement. If it is not claimed as the node believes, nothing is
/// done.
fn start_as_usual(step: &Step<'_>, run: &RunRef) -> Result<bool, Fault> {
    let key = &run.key;
    if key.kind != RunKind::Scheduled {
        return Ok(false);
    }
    let begun = step.run(
        "UPDATE run SET state = 'running', started_at = ?7, changed = ?8, changed_at = ?7
         WHERE ns = ?1 AND task = ?2 AND tick_at = ?3 AND idx = ?4 AND kind = 0 AND request = ''
           AND attempt = ?5 AND token = ?6 AND state = 'claimed'",
        params![
            step.ns,
            key.task.as_str(),
            key.tick.as_millis(),
            key.index,
            run.attempt,
            run.token.as_bytes().as_slice(),
            step.wall.as_millis(),
            step.next(Counter::Feed)?,
        ],
    )?;
    Ok(begun > 0)
}

fn start(step: &Step<'_>, start: &Start) -> Result<Started, Fault> {
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

pub(super) fn finish_all(step: &mut Step<'_>, finishes: &[Finish]) -> Result<Vec<Finished>, Fault> {
    let some_cancel = step.one("SELECT 1 FROM run_cancel LIMIT 1", [], |_| Ok(()))?;
    step.draw_ahead(finishes.len());
    let mut answers = Vec::with_capacity(finishes.len());
    for one in finishes {
        let is_done = some_cancel.is_none() && finish_as_usual(step, one)?;
        answers.push(if is_done {
            Finished::Recorded
        } else {
            finish(step, one)?
        });
    }
    hint_if_anything_waits(step)?;
    Ok(answers)
}

/// Ends the first attempt of a scheduled run that printed nothing, in one statement. If it is no
/// such, or is not in hand as the node believes, nothing is done.
fn finish_as_usual(step: &Step<'_>, finish: &Finish) -> Result<bool, Fault> {
    let (key, run) = (&finish.run.key, &finish.run);
    // Only an attempt before this one can have left its output.
    let is_usual = finish.again_after.is_none()
        && finish.output.is_none()
        && run.attempt == 1
        && key.kind == RunKind::Scheduled;
    if !is_usual {
        return Ok(false);
    }
    let ended = step.run(
        "UPDATE run SET state = ?6, ended_at = ?7, reason = ?8, exit_code = ?9, changed = ?10,
             changed_at = ?7
         WHERE ns = ?1 AND task = ?2 AND tick_at = ?3 AND idx = ?4 AND kind = 0 AND request = ''
           AND attempt = 1 AND token = ?5 AND state IN ('claimed', 'running')",
        params![
            step.ns,
            key.task.as_str(),
            key.tick.as_millis(),
            key.index,
            run.token.as_bytes().as_slice(),
            finish.outcome.state().as_str(),
            step.wall.as_millis(),
            finish.reason,
            finish.exit_code,
            step.next(Counter::Feed)?,
        ],
    )?;
    Ok(ended > 0)
}

fn finish(step: &mut Step<'_>, finish: &Finish) -> Result<Finished, Fault> {
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
    run.reason.clone_from(&finish.reason);
    let cancel = cancel::settle(step, &run)?;
    if let Some(cancel) = cancel.filter(|_| finish.again_after.is_some()) {
        // A run that is asked to stop does not begin again.
        run.state = RunState::Cancelled;
        run.ended = Some(step.wall);
        run.reason = Some(cancel.reason());
    } else if let Some(delay) = finish.again_after {
        let due = step.wall + delay;
        run.wait_again(step, finish.outcome.state(), finish.reason.as_deref(), due)?;
        step.hint()?;
    } else {
        run.state = finish.outcome.state();
        run.ended = Some(step.wall);
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

/// Runs that ended may have been in the way of one that waits.
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
