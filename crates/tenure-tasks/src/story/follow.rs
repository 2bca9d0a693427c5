//! When tasks ran last and run next whose schedule is a delay (`@after`): their runs say so.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tenure_core::{
    HistoryQuery, RunRecord, RunState, RunStore, StoreError, TaskName, TaskRecord, Timestamp,
};

use super::schedule_of;

/// How many waiting runs are read, at most, by the thousand.
const MOST_PAGES: usize = 5;
/// How many of a task's newest runs are looked at for the last of its chain; others may have been
/// asked for by hand.
const NEWEST: usize = 20;
/// How many tasks are asked about at once.
const TOGETHER: usize = 64;

/// Whether the runs of a task follow one another, so that it has no ticks of its own.
#[must_use]
pub fn is_chain(task: &TaskRecord) -> bool {
    // Very many tasks are asked about, and few are.
    task.definition.schedule.contains("@after")
        && schedule_of(task).is_some_and(|schedule| schedule.delay().is_some())
}

/// When the next run of each task is due whose schedule is a delay, as far as one waits. One in
/// hand has none waiting before it ends. Asks the store nothing if there is no such task.
///
/// # Errors
/// [`StoreError`] if the store failed.
/// # Cancel safety
/// Safe: it only reads.
pub async fn due_after(
    runs: &dyn RunStore,
    tasks: &[TaskRecord],
) -> Result<BTreeMap<TaskName, Timestamp>, StoreError> {
    let mut due = BTreeMap::new();
    if !tasks.iter().any(is_chain) {
        return Ok(due);
    }
    let mut query = HistoryQuery::all();
    query.states = vec![RunState::Waiting];
    query.limit = 1000;
    for _ in 0..MOST_PAGES {
        let page = runs.history(&query).await?;
        for (run, at) in page.runs.iter().filter_map(|run| Some((run, due_of(run)?))) {
            let first = due.entry(run.key.task.clone()).or_insert(at);
            *first = at.min(*first);
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(due)
}

/// The tick of the last run of each task whose schedule is a delay, as far as it had one that was
/// taken, and not only asked for by hand. The store's own last tick counts scheduled runs alone.
/// Asks the store nothing if there is no such task.
///
/// # Errors
/// [`StoreError`] if the store failed.
/// # Cancel safety
/// Safe: it only reads.
pub async fn last_after(
    runs: &dyn RunStore,
    tasks: &[TaskRecord],
) -> Result<BTreeMap<TaskName, Timestamp>, StoreError> {
    let chains: Vec<&TaskName> = tasks
        .iter()
        .filter(|task| is_chain(task))
        .map(|task| &task.definition.task)
        .collect();
    let mut last = BTreeMap::new();
    for some in chains.chunks(TOGETHER) {
        let asked = some.iter().map(async |name| {
            let mut query = HistoryQuery::of((*name).clone());
            query.states = RunState::ALL
                .into_iter()
                .filter(|state| *state != RunState::Waiting)
                .collect();
            query.limit = NEWEST;
            runs.history(&query).await
        });
        for (name, page) in some.iter().zip(try_join_all(asked).await?) {
            last.extend(last_of(&page.runs).map(|tick| ((*name).clone(), tick)));
        }
    }
    Ok(last)
}

/// The newest tick among these runs of those that followed another one and wait no longer.
#[must_use]
pub fn last_of(runs: &[RunRecord]) -> Option<Timestamp> {
    let taken = runs.iter().map(|run| (&run.key, run.state));
    taken
        .filter(|(key, state)| *state != RunState::Waiting && key.is_following())
        .map(|(key, _)| key.tick)
        .max()
}

/// When a run that waits for its delay to pass is due.
#[must_use]
pub fn due_of(run: &RunRecord) -> Option<Timestamp> {
    let waits = run.state == RunState::Waiting && run.key.is_following();
    run.due_at.filter(|_| waits)
}
