//! Tasks: pages of them, and everything about one.

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{HistoryQuery, RunRecord, TaskName, TaskRecord, Timestamp};
use tenure_tasks::story::follow::{due_of, last_of};

use super::plan::{next_of, opens_at, runs_after};
use super::{At, BackfillRow, Page, Paging, RunMark, RunRow, View, ViewError, segment};

/// How many outcomes a ribbon shows.
const RIBBON: usize = 20;
/// How many next ticks stand in a row, and in the details.
const NEXT_IN_ROW: usize = 3;
const NEXT_IN_DETAIL: usize = 10;

/// Which tasks to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TaskFilter {
    /// All.
    #[default]
    All,
    /// Those that are paused.
    Paused,
    /// Those that no live node lists, and that are not retired yet.
    Unlisted,
    /// Those that are over: a node said so, or no live node has listed them for ten minutes.
    Retired,
    /// Those that run: listed by a live node, and neither paused nor retired.
    Active,
}

/// Which page of the tasks, by name.
#[derive(Debug, Clone, Default)]
pub struct TasksQuery {
    /// Names that contain this text, upper and lower case alike.
    pub contains: Option<String>,
    /// Which of them.
    pub filter: TaskFilter,
    /// Which page.
    pub paging: Paging,
}

/// Why a task does not run for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PauseState {
    /// Who paused it.
    pub by: String,
    /// Why, in their words; may be empty.
    pub why: String,
    /// Until when; `null`: until somebody resumes it.
    pub until: Option<At>,
}

/// A task in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskRow {
    /// Its name.
    pub task: String,
    /// The name as a segment of a path, percent-encoded.
    pub path: String,
    /// The schedule as it was written.
    pub schedule: String,
    /// The schedule in words; `null` if this program cannot read it.
    pub words: Option<String>,
    /// The zone the schedule is read in.
    pub zone: String,
    /// How many runs a tick has.
    pub concurrency: u32,
    /// The current definition.
    pub generation: String,
    /// How many live nodes can run it.
    pub nodes: u32,
    /// Whether no live node lists it any more and it is not retired yet: its nodes may be about to
    /// come back.
    pub is_unlisted: bool,
    /// Whether it is over: a node said so, or no live node has listed it for ten minutes.
    pub is_retired: bool,
    /// Since when no live node lists it.
    pub unlisted_since: Option<At>,
    /// The latest tick on record, of a run that its schedule brought about.
    pub last_tick: Option<At>,
    /// The next ticks that run, at most three; none of a task that is paused until somebody resumes
    /// it.
    pub next: Vec<At>,
    /// Whether it is paused, by whom, until when and why.
    pub pause: Option<PauseState>,
    /// The last outcomes, newest first, at most twenty.
    pub ribbon: Vec<RunMark>,
}

/// Everything about one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskDetail {
    /// The task, as it stands in listings.
    pub task: TaskRow,
    /// The store's clock.
    pub now: At,
    /// When the task was first registered.
    pub first_seen: At,
    /// The rest of the definition, as its program wrote it: JSON or words.
    pub details: String,
    /// The next ticks, at most ten.
    pub next: Vec<At>,
    /// The newest runs, at most fifty; more by listing runs.
    pub runs: Vec<RunRow>,
    /// Its backfills, newest first, at most fifty.
    pub backfills: Vec<BackfillRow>,
}

/// Whether no live node lists a task that is not retired yet.
pub(super) fn is_unlisted(task: &TaskRecord, now: Timestamp) -> bool {
    task.nodes == 0 && !task.is_retired(now)
}

/// When the first of these runs is due that wait for a while after the run before.
fn first_following(runs: &[RunRecord]) -> Option<Timestamp> {
    runs.iter().filter_map(due_of).min()
}

impl TaskFilter {
    fn admits(self, task: &TaskRecord, now: Timestamp) -> bool {
        let is_paused = task.pause.as_ref().is_some_and(|pause| pause.holds_at(now));
        match self {
            Self::All => true,
            Self::Paused => is_paused,
            Self::Unlisted => is_unlisted(task, now),
            Self::Retired => task.is_retired(now),
            Self::Active => task.nodes > 0 && !task.is_retired(now) && !is_paused,
        }
    }
}

impl View {
    /// Tasks by name.
    ///
    /// # Errors
    /// [`ViewError::Invalid`] for a wrong page, [`ViewError::Store`] if the store failed.
    pub async fn tasks(&self, query: &TasksQuery) -> Result<Page<TaskRow>, ViewError> {
        let limit = query.paging.limit()?;
        let after = query.paging.position('t')?;
        let needle = query.contains.as_deref().map(str::to_lowercase);
        let (snapshot, now) = self.snapshot().await?;
        let mut found = snapshot.tasks.iter().filter(|task| {
            let name = task.definition.task.as_str();
            after.is_none_or(|after| name > after)
                && query.filter.admits(task, now)
                && (needle.as_ref()).is_none_or(|needle| name.to_lowercase().contains(needle))
        });
        let some: Vec<&TaskRecord> = found.by_ref().take(limit).collect();
        let has_more = found.next().is_some();
        let next = some.last().filter(|_| has_more);
        let next = next.map(|task| format!("t{}", task.definition.task.as_str()));
        let rows = join_all(some.into_iter().map(|task| self.row(task, now))).await;
        Ok(Page::new(rows.into_iter().collect::<Result<_, _>>()?, next))
    }

    /// Everything about one task.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for a task that the store does not know, [`ViewError::Store`] if it
    /// failed.
    pub async fn task(&self, name: &TaskName) -> Result<TaskDetail, ViewError> {
        let inner = &self.inner;
        let (task, now) = self.known(name).await?;
        let mut query = HistoryQuery::of(name.clone());
        query.limit = 50;
        let (row, page, backfills) = tokio::join!(
            self.row(&task, now),
            inner.runs.history(&query),
            inner.runs.backfills(),
        );
        let mut backfills: Vec<BackfillRow> = (backfills?.iter().rev())
            .filter(|backfill| backfill.task == *name)
            .map(BackfillRow::from)
            .collect();
        backfills.truncate(50);
        let page = page?;
        Ok(TaskDetail {
            task: row?,
            now: At(now),
            first_seen: At(task.first_seen),
            details: task.definition.details.clone(),
            next: self.next_ticks(&task, &page.runs, now, NEXT_IN_DETAIL),
            runs: self.rows(&page.runs, now).await?,
            backfills,
        })
    }

    /// Backfills, newest first, at most [`super::MAX_LIMIT`].
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn backfills(&self) -> Result<Vec<BackfillRow>, ViewError> {
        let all = self.inner.runs.backfills().await?;
        let newest = all.iter().rev().take(super::MAX_LIMIT);
        Ok(newest.map(BackfillRow::from).collect())
    }

    /// When a task runs next, given its newest runs: not before the end of its pause.
    fn next_ticks(
        &self,
        task: &TaskRecord,
        newest: &[RunRecord],
        now: Timestamp,
        count: usize,
    ) -> Vec<At> {
        let (Some(schedule), Some(opens_at)) = (self.inner.plans.of(task), opens_at(task, now))
        else {
            return Vec::new();
        };
        if let Some(due) = first_following(newest) {
            return vec![At(due.max(opens_at))];
        }
        let mut after = runs_after(opens_at, now);
        let mut ticks = Vec::new();
        while ticks.len() < count
            && let Some(tick) = next_of(&schedule, after)
        {
            ticks.push(At(tick));
            after = tick;
        }
        ticks
    }

    async fn row(&self, task: &TaskRecord, now: Timestamp) -> Result<TaskRow, ViewError> {
        let definition = &task.definition;
        let mut query = HistoryQuery::of(definition.task.clone());
        query.limit = RIBBON;
        let page = self.inner.runs.history(&query).await?;
        let rows = self.rows(&page.runs, now).await?;
        let pause = task.pause.as_ref().filter(|pause| pause.holds_at(now));
        Ok(TaskRow {
            task: definition.task.as_str().to_owned(),
            path: segment(definition.task.as_str()),
            schedule: definition.schedule.clone(),
            words: self.inner.plans.of(task).map(|schedule| schedule.explain()),
            zone: definition.zone.clone(),
            concurrency: definition.concurrency,
            generation: definition.generation.to_string(),
            nodes: task.nodes,
            is_unlisted: is_unlisted(task, now),
            is_retired: task.is_retired(now),
            unlisted_since: task.unlisted_since.filter(|_| task.nodes == 0).map(At),
            last_tick: task.last_tick.max(last_of(&page.runs)).map(At),
            next: self.next_ticks(task, &page.runs, now, NEXT_IN_ROW),
            pause: pause.map(|pause| PauseState {
                by: pause.by.clone(),
                why: pause.why.clone(),
                until: pause.until.map(At),
            }),
            ribbon: rows.into_iter().map(RunMark::from).collect(),
        })
    }
}
