//! What a backfill would find and do: its ticks, and what is on record of each.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tenure_core::{
    HistoryQuery, RunKind, RunState, RunStore, StoreError, TaskName, TaskRecord, Timestamp, visible,
};

use super::MAX_BACKFILL_RUNS;
use crate::story::schedule_of;

/// How many pages of a thousand records are read.
const MAX_PAGES: usize = 500;

/// Why past ticks cannot be surveyed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// This program cannot read the schedule.
    #[error("the schedule `{schedule}` of task `{task}` cannot be read here")]
    Schedule {
        /// The task.
        task: TaskName,
        /// Its schedule.
        schedule: String,
    },
    /// The schedule has no tick in the range.
    #[error("`{schedule}` of task `{task}` has no tick from {from} to {to}")]
    NoTicks {
        /// The task.
        task: TaskName,
        /// Its schedule.
        schedule: String,
        /// The first instant that counts.
        from: Timestamp,
        /// The last one.
        to: Timestamp,
    },
    /// There are more ticks than one backfill may have.
    #[error(
        "too many: from {from} to {to} task `{task}` has more than the {MAX_BACKFILL_RUNS} runs \
         that one backfill may have"
    )]
    TooMany {
        /// The task.
        task: TaskName,
        /// The first instant that counts.
        from: Timestamp,
        /// The last one.
        to: Timestamp,
        /// Until where there are not too many.
        largest_to: Timestamp,
    },
    /// The store failed.
    #[error("cannot read the history")]
    Store(#[from] StoreError),
}

/// What is on record of the ticks in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// The task.
    pub task: TaskName,
    /// The first instant that counts.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// How many ticks there are.
    pub ticks: usize,
    /// How many runs each has.
    pub indices: u32,
    /// Whether ticks that ran well are run again.
    pub is_forced: bool,
    /// How many (tick, index) stand how; `None`: without a record.
    pub counts: BTreeMap<Option<RunState>, usize>,
    /// The first tick.
    pub first: Option<Timestamp>,
    /// The last tick.
    pub last: Option<Timestamp>,
}

impl Survey {
    /// Looks at the ticks from `from` to `to`, both included, of the schedule in force.
    ///
    /// # Errors
    /// [`SurveyError`] if there are no ticks or too many, or if they or their records cannot be
    /// read.
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn of(
        runs: &dyn RunStore,
        task: &TaskRecord,
        from: Timestamp,
        to: Timestamp,
        is_forced: bool,
    ) -> Result<Self, SurveyError> {
        Self::watched(runs, task, from, to, is_forced, &mut |_| {}).await
    }

    /// The same as [`Survey::of`], and tells how far it is: `looked` is called after each thousand
    /// records with the last tick that was looked at. The newest are looked at first.
    ///
    /// # Errors
    /// As [`Survey::of`].
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn watched(
        runs: &dyn RunStore,
        task: &TaskRecord,
        from: Timestamp,
        to: Timestamp,
        is_forced: bool,
        looked: &mut (dyn FnMut(Timestamp) + Send),
    ) -> Result<Self, SurveyError> {
        let ticks = ticks_of(task, from, to)?;
        let indices = task.definition.concurrency;
        let states = states_of(runs, task, from, to, looked).await?;
        let mut counts = BTreeMap::new();
        for tick in &ticks {
            for index in 1..=indices {
                let state = states.get(&(*tick, index)).copied();
                *counts.entry(state).or_default() += 1;
            }
        }
        Ok(Self {
            task: task.definition.task.clone(),
            from,
            to,
            ticks: ticks.len(),
            indices,
            is_forced,
            counts,
            first: ticks.first().copied(),
            last: ticks.last().copied(),
        })
    }

    /// How many runs a backfill of the range comes to.
    #[must_use]
    pub fn to_run(&self) -> usize {
        let wanted = self.counts.iter().filter(|(state, _)| self.runs(**state));
        wanted.map(|(_, count)| count).sum()
    }

    /// Whether a backfill runs a tick that stands so.
    #[must_use]
    pub fn runs(&self, state: Option<RunState>) -> bool {
        self.is_forced || state.is_none_or(Self::is_gap)
    }

    /// Whether a tick whose runs came to this is to be filled.
    #[must_use]
    pub fn is_gap(state: RunState) -> bool {
        state.is_final() && state != RunState::Succeeded
    }
}

/// The ticks of the schedule in force, if they are not too many.
fn ticks_of(
    task: &TaskRecord,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Timestamp>, SurveyError> {
    let definition = &task.definition;
    let (name, text) = (definition.task.clone(), visible(&definition.schedule));
    let Some(schedule) = schedule_of(task) else {
        return Err(SurveyError::Schedule {
            task: name,
            schedule: text,
        });
    };
    let indices = usize::try_from(definition.concurrency.max(1)).unwrap_or(usize::MAX);
    let most = MAX_BACKFILL_RUNS / indices;
    let after = from - Duration::from_millis(1);
    let ticks: Vec<Timestamp> = schedule
        .ticks_between(after.to_jiff(), to.to_jiff())
        .take(most + 1)
        .map(Timestamp::from)
        .collect();
    if ticks.is_empty() {
        return Err(SurveyError::NoTicks {
            task: name,
            schedule: text,
            from,
            to,
        });
    }
    if ticks.len() > most {
        return Err(SurveyError::TooMany {
            task: name,
            from,
            to,
            largest_to: ticks.iter().rev().nth(1).copied().unwrap_or(to),
        });
    }
    Ok(ticks)
}

/// How each tick and index stands: well if any of its runs went well, in hand if any is.
async fn states_of(
    runs: &dyn RunStore,
    task: &TaskRecord,
    from: Timestamp,
    to: Timestamp,
    looked: &mut (dyn FnMut(Timestamp) + Send),
) -> Result<HashMap<(Timestamp, u32), RunState>, StoreError> {
    let mut query = HistoryQuery::of(task.definition.task.clone());
    (query.from, query.to, query.limit) = (Some(from), Some(to), 1000);
    let mut states: HashMap<(Timestamp, u32), RunState> = HashMap::new();
    for _ in 0..MAX_PAGES {
        let page = runs.history(&query).await?;
        if let Some(last) = page.runs.last() {
            looked(last.key.tick);
        }
        for run in page.runs {
            if matches!(run.key.kind, RunKind::Manual(_)) {
                continue;
            }
            let rank = |state: RunState| (state == RunState::Succeeded, !state.is_final());
            let place = (run.key.tick, run.key.index);
            let best = states.entry(place).or_insert(run.state);
            if rank(run.state) > rank(*best) {
                *best = run.state;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(states)
}
