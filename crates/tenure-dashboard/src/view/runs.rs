//! Runs: pages of them, and everything about one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{
    AttemptRecord, Backfill, Cursor, HistoryQuery, OnCrash, RunKey, RunKind, RunRecord, RunState,
    TaskName, Timestamp,
};
use tenure_tasks::story::gone::Gone;
use tenure_tasks::story::{RunStory, Story};

use super::at::state_schema;
use super::{At, Node, Page, Paging, View, ViewError, millis};

/// A run in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunRow {
    /// Its identity, such as `report@2026-11-21T03:00:00.000Z#1`.
    pub id: String,
    /// The identity as a segment of a path, percent-encoded.
    pub path: String,
    /// The task.
    pub task: String,
    /// The nominal instant.
    pub tick: At,
    /// Which of the tick's parallel runs, from 1.
    pub index: u32,
    /// `scheduled`, `manual` or `backfill`; `following` if it waited for the run before to end.
    pub kind: &'static str,
    /// The request or backfill it belongs to.
    pub request: Option<String>,
    /// Where it stands.
    #[schemars(schema_with = "state_schema")]
    pub state: RunState,
    /// The current attempt, from 1; 0 if it was never claimed.
    pub attempt: u32,
    /// The fencing token of the current attempt.
    pub fence: Option<u64>,
    /// Who has it, or had it last.
    pub node: Option<Node>,
    /// When the current attempt was claimed.
    pub claimed_at: Option<At>,
    /// When the current attempt began.
    pub started_at: Option<At>,
    /// When the run ended.
    pub ended_at: Option<At>,
    /// For a waiting run: from when on it may be taken.
    pub due_at: Option<At>,
    /// How long after its tick the first attempt began, in milliseconds.
    pub lateness_ms: Option<u64>,
    /// How long the current attempt took, or has taken so far, in milliseconds.
    pub took_ms: Option<u64>,
    /// Of a run that no tick made: who asked for it and why, or after what it was due.
    pub asked: Option<String>,
    /// Why it ended badly, was skipped or missed.
    pub reason: Option<String>,
    /// The exit status of its command, if it was one.
    pub exit_code: Option<i32>,
    /// Of a run in hand whose node's lease has ended: that it has, and who will notice. `null` in
    /// events, which tell what was so at their time.
    pub node_gone: Option<String>,
}

impl RunRow {
    /// The row of a record, at the store's `now`.
    pub(crate) fn new(run: &RunRecord, now: Timestamp, gone: &Gone) -> Self {
        let (kind, request) = match &run.key.kind {
            _ if run.key.is_following() => ("following", None),
            RunKind::Manual(id) => ("manual", Some(id.to_string())),
            RunKind::Backfill(id) => ("backfill", Some(id.to_string())),
            _ => ("scheduled", None),
        };
        let id = run.key.to_string();
        let until = run
            .ended_at
            .or_else(|| run.state.is_active().then_some(now));
        Self {
            path: super::segment(&id),
            id,
            task: run.key.task.as_str().to_owned(),
            tick: At(run.key.tick),
            index: run.key.index,
            kind,
            request,
            state: run.state,
            attempt: run.attempt,
            fence: run.fence.map(tenure_core::Fence::get),
            node: run.node.as_ref().map(Node::from),
            claimed_at: run.claimed_at.map(At),
            started_at: run.started_at.map(At),
            ended_at: run.ended_at.map(At),
            due_at: run.due_at.map(At),
            lateness_ms: (run.first_started_at()).map(|at| millis(at.since(run.key.tick))),
            took_ms: (run.started_at.zip(until)).map(|(from, to)| millis(to.since(from))),
            asked: run.asked.clone(),
            reason: run.reason.clone(),
            exit_code: run.exit_code,
            node_gone: gone.told(run),
        }
    }
}

/// A run as a mark in a picture: in a task's ribbon, and on the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunMark {
    /// The run's identity as a segment of a path.
    pub path: String,
    /// Its tick.
    pub tick: At,
    /// Where it stands.
    #[schemars(schema_with = "state_schema")]
    pub state: RunState,
    /// How late it began, in milliseconds.
    pub lateness_ms: Option<u64>,
    /// How long it took, or has taken so far, in milliseconds; the last attempt of a run that was
    /// tried again.
    pub took_ms: Option<u64>,
    /// When it ended.
    pub ended_at: Option<At>,
    /// Of a run in hand whose node's lease has ended: that it has, and who will notice.
    pub node_gone: Option<String>,
}

impl From<RunRow> for RunMark {
    fn from(row: RunRow) -> Self {
        Self {
            path: row.path,
            tick: row.tick,
            state: row.state,
            lateness_ms: row.lateness_ms,
            took_ms: row.took_ms,
            ended_at: row.ended_at,
            node_gone: row.node_gone,
        }
    }
}

/// An attempt that is over, of a run that went on to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// How it ended.
    #[schemars(schema_with = "state_schema")]
    pub state: RunState,
    /// Who had it.
    pub node: Option<Node>,
    /// When it began.
    pub started_at: Option<At>,
    /// When it ended.
    pub ended_at: At,
    /// What went wrong.
    pub reason: Option<String>,
}

impl From<&AttemptRecord> for Attempt {
    fn from(attempt: &AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            state: attempt.state,
            node: attempt.node.as_ref().map(Node::from),
            started_at: attempt.started_at.map(At),
            ended_at: At(attempt.ended_at),
            reason: attempt.reason.clone(),
        }
    }
}

/// A line of what happened, in the order of its instants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StoryLine {
    /// When.
    pub at: At,
    /// How long after the tick, in milliseconds; negative: before it.
    pub offset_ms: i64,
    /// What, in words.
    pub what: String,
}

/// Everything about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunDetail {
    /// The run.
    pub run: RunRow,
    /// When its record was made.
    pub created_at: At,
    /// Under which definition it was claimed.
    pub generation: Option<String>,
    /// `lose`, or `retry` if it runs again after a crash.
    pub on_crash: &'static str,
    /// Earlier attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Who else was alive when it was claimed, and did not win it.
    pub against: Vec<String>,
    /// What happened, in words.
    pub story: Vec<StoryLine>,
    /// What else the store told about the task or the nodes meanwhile.
    pub meanwhile: Vec<StoryLine>,
    /// What it printed, as far as it is kept or heard of: the first and the last 64 KiB.
    pub output: Option<String>,
    /// Where the output comes from: `record` once the run has ended, `live` from this process while
    /// it runs here, `elsewhere` while it runs on another node, which alone has it; `none` if there
    /// is nothing yet.
    pub output_from: &'static str,
    /// Whether it can be asked to stop.
    pub can_cancel: bool,
}

/// A request to run past ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BackfillRow {
    /// Its name.
    pub id: String,
    /// Which task.
    pub task: String,
    /// Ticks after this instant …
    pub from: At,
    /// … up to this one.
    pub to: At,
    /// The last tick whose runs are in the store.
    pub cursor: At,
    /// How much of its span is done, 0 to 100.
    pub percent: u8,
    /// Whether ticks that ran well are left out.
    pub only_missing: bool,
    /// The most runs a minute; 0: as fast as they end.
    pub per_minute: u32,
    /// The most of its runs at once.
    pub parallel: u32,
    /// Who asked.
    pub by: String,
    /// Why.
    pub why: String,
    /// `running`, `paused`, `done` or `cancelled`.
    pub state: &'static str,
}

impl From<&Backfill> for BackfillRow {
    fn from(backfill: &Backfill) -> Self {
        use tenure_core::BackfillState as State;
        let whole = millis(backfill.to.since(backfill.from)).max(1);
        let done = millis(backfill.cursor.since(backfill.from)).min(whole);
        Self {
            id: backfill.id.to_string(),
            task: backfill.task.as_str().to_owned(),
            from: At(backfill.from),
            to: At(backfill.to),
            cursor: At(backfill.cursor),
            percent: u8::try_from(u128::from(done) * 100 / u128::from(whole)).unwrap_or(100),
            only_missing: backfill.only_missing,
            per_minute: backfill.per_minute,
            parallel: backfill.parallel.max(1),
            by: backfill.by.clone(),
            why: backfill.why.clone(),
            state: match backfill.state {
                State::Paused => "paused",
                State::Done => "done",
                State::Cancelled => "cancelled",
                _ => "running",
            },
        }
    }
}

/// Which runs to show.
#[derive(Debug, Clone, Default)]
pub struct RunsQuery {
    /// Of this task only.
    pub task: Option<TaskName>,
    /// In one of these states; empty for all.
    pub states: Vec<RunState>,
    /// With ticks from this instant on.
    pub from: Option<Timestamp>,
    /// With ticks up to this instant.
    pub to: Option<Timestamp>,
    /// Which page.
    pub paging: Paging,
}

impl View {
    /// Which of these runs are in the hands of nodes that are gone, as of a second ago at most.
    pub(crate) async fn gone(
        &self,
        runs: impl IntoIterator<Item = &RunRecord>,
    ) -> Result<Arc<Gone>, ViewError> {
        let inner = &self.inner;
        if !runs.into_iter().any(|run| run.state.is_active()) {
            return Ok(Arc::default());
        }
        let look = || async { Ok(Gone::look(&*inner.runs).await?) };
        inner.gone.get(&*inner.clock, look).await
    }

    /// The rows of these records, at the store's `now`.
    pub(crate) async fn rows(
        &self,
        runs: &[RunRecord],
        now: Timestamp,
    ) -> Result<Vec<RunRow>, ViewError> {
        let gone = self.gone(runs).await?;
        let rows = runs.iter().map(|run| RunRow::new(run, now, &gone));
        Ok(rows.collect())
    }

    /// Runs, newest tick first.
    ///
    /// # Errors
    /// [`ViewError::Invalid`] for a wrong page, [`ViewError::Store`] if the store failed.
    pub async fn runs(&self, query: &RunsQuery) -> Result<Page<RunRow>, ViewError> {
        let limit = query.paging.limit()?;
        let after = query.paging.position('r')?;
        let mut history = HistoryQuery::all();
        history.task.clone_from(&query.task);
        history.states.clone_from(&query.states);
        (history.from, history.to) = (query.from, query.to);
        history.limit = limit;
        history.after = after.map(Cursor::new);
        let (_, now) = self.snapshot().await?;
        let page = self.inner.runs.history(&history).await;
        let page = page.map_err(|error| match error.kind() {
            tenure_core::StoreErrorKind::InvalidRequest => {
                ViewError::invalid("after", "is no position that this listing gave")
            }
            _ => error.into(),
        })?;
        let items = self.rows(&page.runs, now).await?;
        let next = page.next.map(|next| format!("r{}", next.as_str()));
        Ok(Page::new(items, next))
    }

    /// Everything about one run.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] if it has no record, [`ViewError::Store`] if the store failed.
    pub async fn run(&self, key: &RunKey) -> Result<RunDetail, ViewError> {
        let inner = &self.inner;
        let record = inner.runs.run(key).await?;
        let record =
            record.ok_or_else(|| ViewError::not_found("run", key.to_string().escape_debug()))?;
        let (snapshot, now) = self.snapshot().await?;
        let story = match snapshot.task(&key.task) {
            Some(task) => Some(Story::of_tick(&*inner.runs, task, key.tick).await?),
            None => None,
        };
        let told = story
            .as_ref()
            .and_then(|story| story.runs.iter().find(|told| told.record.key == *key));
        let offset = |at: Timestamp| at.as_millis().saturating_sub(key.tick.as_millis());
        let line = |at: Timestamp, what: &str| StoryLine {
            at: At(at),
            offset_ms: offset(at),
            what: what.to_owned(),
        };
        let lines = |told: &RunStory| told.life.iter().map(|(at, what)| line(*at, what)).collect();
        let meanwhile = story.iter().flat_map(Story::meanwhile);
        let (output, output_from) = self.output_of(&record).await;
        let gone = self.gone([&record]).await?;
        Ok(RunDetail {
            run: RunRow::new(&record, now, &gone),
            created_at: At(record.created_at),
            generation: record.generation.as_ref().map(ToString::to_string),
            on_crash: match record.on_crash {
                OnCrash::Retry { .. } => "retry",
                _ => "lose",
            },
            attempts: record.attempts.iter().map(Attempt::from).collect(),
            against: told
                .map(|told| told.alive_besides.clone())
                .unwrap_or_default(),
            story: told.map(lines).unwrap_or_default(),
            meanwhile: meanwhile.map(|(at, note)| line(at, &note.text)).collect(),
            output,
            output_from,
            can_cancel: !record.state.is_final(),
        })
    }

    /// What a run printed so far, where that is from, and whether more may come.
    pub(crate) async fn output(
        &self,
        key: &RunKey,
    ) -> Result<(Option<String>, &'static str, bool), ViewError> {
        let record = self.inner.runs.run(key).await?;
        let record =
            record.ok_or_else(|| ViewError::not_found("run", key.to_string().escape_debug()))?;
        let (output, from) = self.output_of(&record).await;
        Ok((output, from, !record.state.is_final()))
    }

    /// What a run printed, and where that is from.
    async fn output_of(&self, record: &RunRecord) -> (Option<String>, &'static str) {
        if let Some(output) = &record.output {
            return (Some(output.clone()), "record");
        }
        if !record.state.is_active() {
            return (None, "none");
        }
        let live = match self.runner() {
            Some(tasks) => tasks.output_of(&record.key).await,
            None => None,
        };
        match live {
            Some(text) => (Some(text), "live"),
            None if self.is_here(record) => (None, "none"),
            None => (None, "elsewhere"),
        }
    }

    fn is_here(&self, record: &RunRecord) -> bool {
        let Some(tasks) = self.runner() else {
            return false;
        };
        let nodes = tasks.health().managers.into_iter().filter_map(|it| it.node);
        let here: Vec<_> = nodes.map(|node| node.id).collect();
        (record.node.as_ref()).is_some_and(|node| here.contains(&node.id))
    }
}
