//! When tasks run next whose schedule is a delay (`@after`): what waits of them says so.

use std::collections::BTreeMap;

use tenure_core::{
    HistoryQuery, RunRecord, RunState, RunStore, StoreError, TaskName, TaskRecord, Timestamp,
};

use super::schedule_of;

/// How many waiting runs are read, at most, by the thousand.
const MOST_PAGES: usize = 5;

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

/// When a run that waits for its delay to pass is due.
#[must_use]
pub fn due_of(run: &RunRecord) -> Option<Timestamp> {
    let waits = run.state == RunState::Waiting && run.key.is_following();
    run.due_at.filter(|_| waits)
}
