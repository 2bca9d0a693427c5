//! Claims: who runs a scheduled tick. Every item of a batch is decided in one transaction.

use rusqlite::params;
use tenure_core::{
    Admission, Cancel, Claim, ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Holder, Pause,
    Refusal, RunKey, RunState, StartMode, TaskName,
};

use super::cancel;
use super::definition;
use super::find;
use super::loss;
use super::node;
use super::row::RunRow;
use super::usual::Usual;
use crate::column;
use crate::step::{Fault, Step};

pub(super) fn claim(step: &mut Step<'_>, batch: &ClaimBatch) -> Result<ClaimReply, Fault> {
    let node = node::alive(step, batch.node)?;
    if node.is_some() && loss::seen_by(step, batch.node)?.is_behind(&batch.seen) {
        // The sequence stays: it must not look afterwards as if this node had been answered.
        let refused = batch.items.iter();
        let refused = refused.map(|_| ClaimAnswer::Refused(Refusal::StoreForgot));
        let moment = node::moment(step)?;
        let answers = refused.collect();
        return Ok(ClaimReply::new(
            moment.now,
            moment.sequence,
            moment.epoch,
            answers,
        ));
    }
    // Earlier ticks first, so that of two runs that must not overlap the earlier one wins.
    let mut order: Vec<_> = batch.items.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| (a.tick, &a.task, a.index).cmp(&(b.tick, &b.task, b.index)));
    let mut answers = Vec::with_capacity(batch.items.len());
    let mut usual = match &node {
        Some(node) => Usual::new(step, batch, node)?,
        None => None,
    };
    step.draw_ahead(batch.items.len());
    for (at, item) in order {
        let claim = match &mut usual {
            Some(usual) => usual.claim(step, batch, item)?,
            None => None,
        };
        let answer = match (claim, &node) {
            (Some(claim), _) => ClaimAnswer::Won(claim),
            (None, Some(node)) => decide(step, batch, item, node)?,
            (None, None) => ClaimAnswer::Refused(Refusal::NodeLapsed),
        };
        answers.push((at, answer));
    }
    answers.sort_by_key(|(at, _)| *at);
    let answers = answers.into_iter().map(|(_, answer)| answer).collect();
    let (sequence, epoch) = loss::raise_sequence(step, batch.node)?;
    Ok(ClaimReply::new(step.wall, sequence, epoch, answers))
}

fn decide(
    step: &mut Step<'_>,
    batch: &ClaimBatch,
    item: &ClaimItem,
    node: &Holder,
) -> Result<ClaimAnswer, Fault> {
    let key = item.key();
    if let Some(run) = find::find(step, &key)? {
        return Ok(of_existing(run, item));
    }
    let in_force = definition::in_force(step, &item.task)?;
    for name in item.aliases.iter().chain(&in_force.renamed_to) {
        if let Some(run) = find::find(step, &item.key_under(name))? {
            return Ok(taken(run, true));
        }
    }
    if let Err(refusal) = batch.window_is_open(item, step.wall) {
        return Ok(ClaimAnswer::Refused(refusal));
    }
    if let Some(pause) = pause_of(step, &item.task)? {
        let (by, why) = (pause.by, pause.why);
        return Ok(ClaimAnswer::Refused(Refusal::Paused { by, why }));
    }
    if let Some(current) = in_force.generation
        && current != item.generation
        && !definition::allows_others(step, &item.task, &current)?
    {
        return Ok(ClaimAnswer::Refused(Refusal::StaleGeneration { current }));
    }
    let admission = item.admit(&find::crowd(step, item, &key)?);
    let mut run = RunRow::new(step, key, RunState::Skipped);
    run.generation = Some(item.generation.clone());
    run.on_crash = item.on_crash;
    run.overlap = item.overlap;
    run.max_running = item.max_running;
    run.keep_until = step.wall + item.keep_for();
    match admission {
        Admission::Begin => {
            run.give(step, node, item.token, batch.start == StartMode::AtOnce)?;
            run.insert(step)?;
            Ok(run
                .claim()
                .map_or_else(|| taken(run, false), ClaimAnswer::Won))
        }
        Admission::Wait {
            because,
            replaces,
            cancels,
        } => {
            if replaces {
                replace_queued(step, &run.key)?;
            }
            if cancels && let Some(older) = find::to_cancel(step, item, &run.key)? {
                cancel::ask(step, older.id, &Cancel::by_overlap(older.key, &run.key))?;
            }
            run.state = RunState::Waiting;
            run.due = Some(run.key.tick.min(step.wall));
            keep_back(&mut run, item, &because);
            run.insert(step)?;
            // One may be asked to stop, or what it waits for may be gone.
            step.hint()?;
            Ok(ClaimAnswer::Waits(because))
        }
        Admission::Skip(because) => {
            run.ended = Some(step.wall);
            keep_back(&mut run, item, &because);
            run.insert(step)?;
            Ok(ClaimAnswer::Refused(because))
        }
    }
}

/// Notes why a run does not begin, and by which token a resend is known.
fn keep_back(run: &mut RunRow, item: &ClaimItem, because: &Refusal) {
    run.token = Some(item.token);
    run.reason = because.obstacle();
    run.kept_back = Some(because.clone());
}

/// Skips what waits for its first attempt, in favour of `newer`.
fn replace_queued(step: &Step<'_>, newer: &RunKey) -> Result<(), Fault> {
    for mut run in find::queued(step, newer)? {
        run.state = RunState::Skipped;
        run.due = None;
        run.ended = Some(step.wall);
        let because = Refusal::Replaced { by: newer.clone() };
        run.reason = because.obstacle();
        run.kept_back = Some(because);
        run.save(step)?;
    }
    Ok(())
}

/// The answer to a claim of a run that has a record: to a resend the first one, else who has it.
fn of_existing(run: RunRow, item: &ClaimItem) -> ClaimAnswer {
    if run.token != Some(item.token) {
        return taken(run, false);
    }
    // Nothing keeps it back any more once it was taken or cancelled.
    if let Some(because) = run.kept_back {
        return if run.state == RunState::Waiting {
            ClaimAnswer::Waits(because)
        } else {
            ClaimAnswer::Refused(because)
        };
    }
    // One that is over, or waits again, was ended by this very node, which so knows it had it.
    match run.claim() {
        Some(claim) if run.state.is_active() => ClaimAnswer::Won(claim),
        _ => taken(run, false),
    }
}

fn taken(run: RunRow, is_other_name: bool) -> ClaimAnswer {
    ClaimAnswer::Taken {
        under: is_other_name.then_some(run.key.task),
        by: run.node,
        state: run.state,
        since: run.created,
    }
}

/// The pause that holds now.
pub(super) fn pause_of(step: &Step<'_>, task: &TaskName) -> Result<Option<Pause>, Fault> {
    let pause = step.one(
        "SELECT by, why, until_at FROM pause WHERE ns = ?1 AND task = ?2",
        params![step.ns, task.as_str()],
        |row| {
            let mut pause = Pause::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            pause.until = column::maybe_time(row, 2)?;
            Ok(pause)
        },
    )?;
    Ok(pause.filter(|pause| pause.holds_at(step.wall)))
}

/// The claims of rows that a node has; a row without a holder is none.
pub(super) fn claims(rows: &[RunRow]) -> Vec<Claim> {
    rows.iter().filter_map(RunRow::claim).collect()
}
