//! The names that one task has and had, as the store's definitions tell them, and what is on record
//! under all of them.

use tenure_core::{Ended, HistoryQuery, RunRecord, RunStore, StoreError, TaskName, TaskRecord};

/// How many renamings are followed: more than this is a circle.
const MOST_RENAMINGS: usize = 16;

/// The most runs that one question reads.
const PAGE: usize = 1000;

/// Of all tasks that a store knows, the one that is called `name`, or that went on from it under
/// another name.
#[must_use]
pub fn find<'t>(tasks: &'t [TaskRecord], name: &TaskName) -> Option<&'t TaskRecord> {
    let called = |name: &TaskName| tasks.iter().find(|task| task.definition.task == *name);
    let mut found = called(name)?;
    for _ in 0..MOST_RENAMINGS {
        match renamed_to(found).and_then(called) {
            Some(next) => found = next,
            None => break,
        }
    }
    Some(found)
}

/// The name under which a task goes on, if it was renamed.
#[must_use]
pub fn renamed_to(task: &TaskRecord) -> Option<&TaskName> {
    match &task.definition.ended {
        Some(Ended::Renamed(name)) => Some(name),
        _ => None,
    }
}

/// The names of a task: its own, and those that its definition says it had before.
#[must_use]
pub fn all_of(task: &TaskRecord) -> Vec<TaskName> {
    let definition = &task.definition;
    let mut names = vec![definition.task.clone()];
    names.extend(definition.aliases.iter().cloned());
    names
}

/// The newest runs under any of these names, the newest tick first, at most `limit`; of which runs
/// says the query, but for the task and the limit.
///
/// # Errors
/// [`StoreError`] if the store failed.
/// # Cancel safety
/// Safe: it only reads.
pub async fn history(
    runs: &dyn RunStore,
    names: &[TaskName],
    query: &HistoryQuery,
    limit: usize,
) -> Result<Vec<RunRecord>, StoreError> {
    let mut found = Vec::new();
    for name in names {
        let mut query = query.clone();
        query.task = Some(name.clone());
        let mut left = limit;
        while left > 0 {
            query.limit = left.min(PAGE);
            let page = runs.history(&query).await?;
            left = left.saturating_sub(page.runs.len());
            found.extend(page.runs);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
    }
    // Of one name they stand in their order already.
    if names.len() > 1 {
        found.sort_by(|a, b| {
            let newest_first = b.key.tick.cmp(&a.key.tick);
            newest_first
                .then_with(|| a.key.task.cmp(&b.key.task))
                .then(a.key.index.cmp(&b.key.index))
        });
        found.truncate(limit);
    }
    Ok(found)
}
