//! The first page: what runs, what is next, what failed lately, and the hours around now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{HistoryQuery, RunRecord, RunState, TaskName, TaskRecord, Timestamp};
use tenure_tasks::story::follow::due_after;

use super::ahead::{Ahead, Soon, TaskAhead, UpcomingMinute};
use super::count::minute_of;
use super::tasks::is_unlisted;
use super::{At, RunMark, RunRow, View, ViewError, millis};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTES: usize = 60;
/// How many runs and tasks the lists show at most.
const LIST: usize = 50;
/// How many runs of the past hour are read at most.
const MOST_PAST: usize = 1000;
/// How many of them the timeline shows one by one.
const MOST_SHOWN: usize = 200;

/// What happens now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Now {
    /// The store's clock.
    pub now: At,
    /// How many there are of what.
    pub counts: NowCounts,
    /// What is in hand, newest tick first, at most 50.
    pub running: Vec<RunRow>,
    /// When tasks are due next, soonest first, each task once, at most 50.
    pub next: Vec<Soon>,
    /// What ended badly or was missed in the last 24 hours, newest first, at most 50.
    pub failed: Vec<RunRow>,
    /// Of their tasks, those that have not succeeded since, by name.
    pub failing: Vec<String>,
    /// The hour before and the hour after.
    pub timeline: Timeline,
}

/// How many there are of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NowCounts {
    /// Tasks that the store knows.
    pub tasks: usize,
    /// Of those, paused.
    pub paused: usize,
    /// Of those, such that no live node lists them and that are not retired yet.
    pub unlisted: usize,
    /// Of those, retired: a node said so, or no live node has listed them for ten minutes.
    pub retired: usize,
    /// Nodes that are alive.
    pub nodes: usize,
    /// Runs in hand, counted up to 50.
    pub running: usize,
    /// Of those, such that their node's lease has ended, which no other node has noticed yet.
    pub node_gone: usize,
}

/// The last and the next hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Timeline {
    /// When the past that is shown begins: an hour ago, or later if there were too many runs.
    pub from: At,
    /// Whether the past is cut short by the limit of 1000 runs.
    pub is_truncated: bool,
    /// The runs of the past, newest first; the newest 200 at most, the minutes count all.
    pub runs: Vec<TimelineRun>,
    /// The past, a minute each, oldest first.
    pub past: Vec<TimelineMinute>,
    /// The next hour, a minute each.
    pub upcoming: Vec<UpcomingMinute>,
    /// Whether frequent schedules were counted there by their rate.
    pub is_estimate: bool,
    /// When the tasks of `runs` are due in the next hour, by name.
    pub ahead: Vec<TaskAhead>,
}

/// A run on the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimelineRun {
    /// The task.
    pub task: String,
    /// How it went.
    #[serde(flatten)]
    pub mark: RunMark,
}

/// A minute of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimelineMinute {
    /// When it begins.
    pub at: At,
    /// Runs whose tick was in it and that ended well.
    pub succeeded: u32,
    /// That ended badly, were lost or missed.
    pub failed: u32,
    /// That were skipped, cancelled or interrupted.
    pub left_out: u32,
    /// That wait or are in hand.
    pub open: u32,
    /// The greatest lateness among them, in milliseconds.
    pub latest_ms: u64,
}

impl View {
    /// What happens now, as of a second ago at most.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn now(&self) -> Result<Arc<Now>, ViewError> {
        let inner = &self.inner;
        inner.now.get(&*inner.clock, || self.read_now()).await
    }

    async fn read_now(&self) -> Result<Now, ViewError> {
        let inner = &self.inner;
        let (snapshot, now) = self.snapshot().await?;
        let of = |states: &[RunState], from: Option<Timestamp>, limit| {
            let mut query = HistoryQuery::all();
            query.states = states.to_vec();
            (query.from, query.limit) = (from, limit);
            query
        };
        let running = of(&[RunState::Claimed, RunState::Running], None, LIST);
        let bad = [
            RunState::Failed,
            RunState::TimedOut,
            RunState::Lost,
            RunState::Missed,
        ];
        let failed = of(&bad, Some(now - 24 * HOUR), LIST);
        let mut past = of(&[], Some(now - HOUR), MOST_PAST);
        past.to = Some(now);
        let (running, failed, past, nodes, after) = tokio::join!(
            inner.runs.history(&running),
            inner.runs.history(&failed),
            inner.runs.history(&past),
            inner.runs.nodes(),
            due_after(&*inner.runs, &snapshot.tasks),
        );
        let (running, failed, past) = (running?, failed?, past?);
        let failing = self.failing(&failed.runs, &past.runs).await?;
        let alive = nodes?.iter().filter(|node| node.expires_at > now).count();
        let gone = self.gone(running.runs.iter().chain(&past.runs)).await?;
        let rows = |runs: &[RunRecord]| -> Vec<RunRow> {
            let rows = runs.iter().map(|run| RunRow::new(run, now, &gone));
            rows.collect()
        };
        let in_hand = rows(&running.runs);
        let newest = rows(past.runs.get(..MOST_SHOWN).unwrap_or(&past.runs));
        let groups = inner.plans.groups(&snapshot.tasks, now);
        let is_paused =
            |task: &TaskRecord| task.pause.as_ref().is_some_and(|pause| pause.holds_at(now));
        let count = |is: &dyn Fn(&TaskRecord) -> bool| {
            let tasks = snapshot.tasks.iter();
            tasks.filter(|task| is(task)).count()
        };
        let counts = NowCounts {
            tasks: snapshot.tasks.len(),
            paused: count(&is_paused),
            unlisted: count(&|task| is_unlisted(task, now)),
            retired: count(&|task| task.is_retired(now)),
            nodes: alive,
            running: in_hand.len(),
            node_gone: (in_hand.iter().filter(|run| run.node_gone.is_some())).count(),
        };
        let ahead = Ahead::new(&groups, &after?, now);
        Ok(Now {
            now: At(now),
            counts,
            running: in_hand,
            next: ahead.soon(LIST),
            failed: rows(&failed.runs),
            failing,
            timeline: timeline((&past.runs, past.next.is_some()), newest, &ahead, now),
        })
    }
}

impl View {
    /// Of the tasks of these runs that went badly, those that have not succeeded since. `past` is
    /// known already; of what is not found there the store is asked.
    async fn failing(
        &self,
        failed: &[RunRecord],
        past: &[RunRecord],
    ) -> Result<Vec<String>, ViewError> {
        let mut last: BTreeMap<&TaskName, Timestamp> = BTreeMap::new();
        for run in failed {
            let tick = last.entry(&run.key.task).or_insert(run.key.tick);
            *tick = run.key.tick.max(*tick);
        }
        let went_well = |run: &RunRecord| run.state == RunState::Succeeded;
        for run in past.iter().filter(|run| went_well(run)) {
            if last
                .get(&run.key.task)
                .is_some_and(|bad| run.key.tick > *bad)
            {
                last.remove(&run.key.task);
            }
        }
        let looks = last.into_iter().map(async |(task, bad)| {
            let mut query = HistoryQuery::of(task.clone());
            query.states = vec![RunState::Succeeded];
            query.from = Some(bad + Duration::from_millis(1));
            query.limit = 1;
            let since = self.inner.runs.history(&query).await?;
            Ok(since.runs.is_empty().then(|| task.as_str().to_owned()))
        });
        let looks: Result<Vec<_>, ViewError> = join_all(looks).await.into_iter().collect();
        Ok(looks?.into_iter().flatten().collect())
    }
}

fn timeline(
    (past, is_truncated): (&[RunRecord], bool),
    newest: Vec<RunRow>,
    ahead: &Ahead<'_, '_>,
    now: Timestamp,
) -> Timeline {
    let mut from = now - HOUR;
    if is_truncated && let Some(oldest) = past.last() {
        from = oldest.key.tick;
    }
    let shown: BTreeSet<&str> = newest.iter().map(|row| row.task.as_str()).collect();
    let of_shown = ahead.of(&shown);
    let (upcoming, is_estimate) = ahead.minutes();
    let newest = newest.into_iter().map(|mut row| TimelineRun {
        task: std::mem::take(&mut row.task),
        mark: row.into(),
    });
    Timeline {
        from: At(from),
        is_truncated,
        runs: newest.collect(),
        past: minutes_of(past, now),
        upcoming,
        is_estimate,
        ahead: of_shown,
    }
}

fn minutes_of(past: &[RunRecord], now: Timestamp) -> Vec<TimelineMinute> {
    let first = minute_of(now) - HOUR;
    let mut minutes: Vec<TimelineMinute> = (0..=MINUTES as u64)
        .map(|at| TimelineMinute {
            at: At(first + Duration::from_secs(60 * at)),
            succeeded: 0,
            failed: 0,
            left_out: 0,
            open: 0,
            latest_ms: 0,
        })
        .collect();
    for run in past {
        let at = usize::try_from(run.key.tick.since(first).as_secs() / 60).unwrap_or(usize::MAX);
        let Some(minute) = minutes.get_mut(at) else {
            continue;
        };
        match run.state {
            RunState::Succeeded => minute.succeeded += 1,
            RunState::Failed | RunState::TimedOut | RunState::Lost | RunState::Missed => {
                minute.failed += 1;
            }
            state if state.is_final() => minute.left_out += 1,
            _ => minute.open += 1,
        }
        if let Some(started) = run.first_started_at() {
            minute.latest_ms = minute.latest_ms.max(millis(started.since(run.key.tick)));
        }
    }
    minutes
}
