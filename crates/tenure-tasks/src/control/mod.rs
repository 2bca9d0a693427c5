//! What operators do to tasks through a store, from any machine: run now, run past ticks.
//!
//! The store keeps each request with who asked and why, and the nodes that can run the task act on
//! it. Nothing here runs anything. Pausing and resuming are calls of the store itself.

mod survey;

use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, Definition, Enqueue, MaxRunning, Note, RequestId, RunKey, RunStore,
    StoreError, StoreErrorKind, TaskRecord, Timestamp,
};

pub use self::survey::{Survey, SurveyError};

/// The most runs of one backfill.
pub const MAX_BACKFILL_RUNS: usize = 100_000;
/// The setting by which a definition's details tell the task's limit in the whole cluster.
pub const MAX_RUNNING: &str = "max_running";
/// How often a change is tried while the nodes move a backfill on.
const ATTEMPTS: usize = 20;

/// The limit of a task that a store knows, as its definition tells it; nothing if it has none, or
/// if a program defined it that tells of none.
#[must_use]
pub fn limit_of(definition: &Definition) -> Option<MaxRunning> {
    let settings: serde_json::Value = serde_json::from_str(&definition.details).ok()?;
    let runs = settings.get(MAX_RUNNING)?.as_u64()?;
    let runs = u32::try_from(runs).ok()?;
    Some(MaxRunning::new(runs, definition.concurrency))
}

/// The runs to put into the store so that `task` runs now, one for each of `indices`; for all of
/// them if none is named. Runs under the same `id` and `tick` are the same runs.
///
/// # Errors
/// [`StoreError`] if `id` is [`RunKey::FOLLOWING`], by which runs follow the one before them.
pub fn run_now(
    task: &TaskRecord,
    tick: Timestamp,
    indices: &[u32],
    id: &RequestId,
    by: &str,
    why: &str,
) -> Result<Vec<Enqueue>, StoreError> {
    if id.as_str() == RunKey::FOLLOWING {
        let reason = format!("the request id `{id}` is tenure's own, for `@after`; give another");
        return Err(StoreError::new(StoreErrorKind::InvalidRequest, reason));
    }
    let reason = match why {
        "" => format!("asked for by {by}"),
        why => format!("asked for by {by}: {why}"),
    };
    let all: Vec<u32> = (1..=task.definition.concurrency).collect();
    let indices = if indices.is_empty() { &all } else { indices };
    let runs = indices.iter().map(|index| {
        let key = RunKey::manual(task.definition.task.clone(), tick, *index, id.clone());
        let mut run = Enqueue::new(key, reason.clone());
        run.max_running = limit_of(&task.definition);
        run
    });
    Ok(runs.collect())
}

/// A backfill of the ticks from `first` to `to`, both included, under an id that can be typed.
///
/// # Errors
/// [`StoreError`] if the id that was drawn is none, which does not happen.
pub fn backfill_of(
    task: &TaskRecord,
    first: Timestamp,
    to: Timestamp,
) -> Result<Backfill, StoreError> {
    let after = first - Duration::from_millis(1);
    let name = task.definition.task.clone();
    Ok(Backfill::new(short_id()?, name, after, to))
}

/// An id that can be typed.
fn short_id() -> Result<RequestId, StoreError> {
    let id: String = RequestId::random().as_str().chars().take(8).collect();
    RequestId::new(id)
        .map_err(|error| StoreError::new(StoreErrorKind::InvalidRequest, error.to_string()))
}

/// Puts a backfill into the store, under another id if somebody has that one.
///
/// # Errors
/// [`StoreError`] if the store failed; the backfill may then be in the store.
pub async fn begin_backfill(
    runs: &dyn RunStore,
    backfill: &mut Backfill,
) -> Result<(), StoreError> {
    let mut attempts = 5;
    while !runs.save_backfill(backfill, None).await? {
        attempts -= 1;
        if attempts == 0 {
            let message = "no free id was found for the backfill";
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        backfill.id = short_id()?;
    }
    let text = format!(
        "backfill {} asked for by {}: {}",
        backfill.id, backfill.by, backfill.why
    );
    let note = Note::new("backfill_asked", text).about(backfill.task.clone());
    runs.note(&note).await
}

/// What became of an order to change a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackfillChange {
    /// It stands as it was asked to.
    Done {
        /// What was done by whom and why, in words.
        text: String,
    },
    /// It stood so already.
    Already,
    /// It is over; nothing changed.
    Over {
        /// How it ended.
        state: BackfillState,
    },
    /// It moved on each time it was about to be changed. The same order may succeed later.
    Busy,
    /// The store has no such backfill.
    Unknown,
}

/// Puts a backfill into another state, however fast the nodes move it on meanwhile.
///
/// # Errors
/// [`StoreError`] if the store failed; the change may have happened.
pub async fn change_backfill(
    runs: &dyn RunStore,
    id: &RequestId,
    state: BackfillState,
    by: &str,
    why: &str,
) -> Result<BackfillChange, StoreError> {
    for _ in 0..ATTEMPTS {
        let all = runs.backfills().await?;
        let Some(backfill) = all.iter().find(|backfill| backfill.id == *id) else {
            return Ok(BackfillChange::Unknown);
        };
        if backfill.state == state {
            return Ok(BackfillChange::Already);
        }
        if matches!(
            backfill.state,
            BackfillState::Done | BackfillState::Cancelled
        ) {
            let state = backfill.state;
            return Ok(BackfillChange::Over { state });
        }
        let changed = backfill.changed_to(state);
        if !runs.save_backfill(&changed, Some(backfill.cursor)).await? {
            continue;
        }
        let (kind, done) = match state {
            BackfillState::Cancelled => ("backfill_cancelled", "cancelled"),
            BackfillState::Paused => ("backfill_paused", "paused"),
            _ => ("backfill_resumed", "resumed"),
        };
        let mut text = format!("backfill {id} {done} by {by}");
        if !why.is_empty() {
            text = format!("{text}: {why}");
        }
        let note = Note::new(kind, text.clone()).about(backfill.task.clone());
        runs.note(&note).await?;
        return Ok(BackfillChange::Done { text });
    }
    Ok(BackfillChange::Busy)
}
