//! The first page: what runs, what is next, what failed lately, and the hours around now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{HistoryQuery, RunRecord, RunState, TaskName, TaskRecord, Timestamp};
use tenure_tasks::story::follow::due_after;

use super::plan::{Group, next_of, opens_at};
use super::tasks::is_unlisted;
use super::{At, RunMark, RunRow, View, ViewError, millis, segment};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTES: usize = 60;
/// How many runs and tasks the lists show at most.
const LIST: usize = 50;
/// How many runs of the past hour are read at most.
const MOST_PAST: usize = 1000;
/// How many of them the timeline shows one by one.
const MOST_SHOWN: usize = 200;
/// How many ticks of the next hour are computed at most, of all schedules together.
const MOST_NEXT: usize = 100_000;

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

/// The next tick of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Soon {
    /// The task.
    pub task: String,
    /// The name as a segment of a path.
    pub path: String,
    /// The tick.
    pub tick: At,
    /// How many runs it has.
    pub runs: u32,
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

/// A minute to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UpcomingMinute {
    /// When it begins.
    pub at: At,
    /// How many runs are due in it.
    pub runs: u64,
}

/// When a task is due in the next hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskAhead {
    /// The task.
    pub task: String,
    /// Its first tick of each minute that has any.
    pub ticks: Vec<At>,
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
        let waiting = waiting(&groups, &after?, now);
        Ok(Now {
            now: At(now),
            counts,
            running: in_hand,
            next: soon(&groups, &waiting),
            failed: rows(&failed.runs),
            failing,
            timeline: timeline(
                (&past.runs, past.next.is_some()),
                newest,
                (&groups, &waiting),
                now,
            ),
        })
    }
}

/// A task that is due then.
type Due<'s> = (Timestamp, &'s TaskRecord);

/// What runs a while after its run before.
fn waiting<'s>(
    groups: &[Group<'s>],
    after: &BTreeMap<TaskName, Timestamp>,
    now: Timestamp,
) -> Vec<Due<'s>> {
    let tasks = groups.iter().flat_map(|group| &group.tasks);
    let waiting = tasks.filter_map(|task| {
        let due = *after.get(&task.definition.task)?;
        Some((due.max(opens_at(task, now)?), *task))
    });
    waiting.collect()
}

/// When each task is due next: by its schedule, or a while after its run before.
fn soon(groups: &[Group<'_>], waiting: &[Due<'_>]) -> Vec<Soon> {
    let ticks = groups.iter().flat_map(|group| {
        let tick = next_of(&group.schedule, group.after);
        tick.into_iter()
            .flat_map(|tick| group.tasks.iter().map(move |task| (tick, *task)))
    });
    let mut next: Vec<Due<'_>> = ticks.chain(waiting.iter().copied()).collect();
    next.sort_by_key(|(tick, task)| (*tick, &task.definition.task));
    let next = next.into_iter().take(LIST);
    next.map(|(tick, task)| Soon {
        task: task.definition.task.as_str().to_owned(),
        path: segment(task.definition.task.as_str()),
        tick: At(tick),
        runs: task.definition.concurrency,
    })
    .collect()
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
    (groups, waiting): (&[Group<'_>], &[Due<'_>]),
    now: Timestamp,
) -> Timeline {
    let mut from = now - HOUR;
    if is_truncated && let Some(oldest) = past.last() {
        from = oldest.key.tick;
    }
    let shown: BTreeSet<&str> = newest.iter().map(|row| row.task.as_str()).collect();
    let (upcoming, ahead) = upcoming(groups, waiting, &shown, now);
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
        ahead,
    }
}

fn minute(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().div_euclid(60_000) * 60_000)
}

fn minutes_of(past: &[RunRecord], now: Timestamp) -> Vec<TimelineMinute> {
    let first = minute(now) - HOUR;
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

/// What is due in the next hour: how many runs a minute, and when the tasks that are `shown`.
fn upcoming(
    groups: &[Group<'_>],
    waiting: &[Due<'_>],
    shown: &BTreeSet<&str>,
    now: Timestamp,
) -> (Vec<UpcomingMinute>, Vec<TaskAhead>) {
    let first = minute(now);
    let to = now + HOUR;
    let mut minutes: Vec<UpcomingMinute> = (0..=MINUTES as u64)
        .map(|at| UpcomingMinute {
            at: At(first + Duration::from_secs(60 * at)),
            runs: 0,
        })
        .collect();
    let mut ahead: BTreeMap<&str, Vec<At>> = BTreeMap::new();
    let mut show = |task: &TaskRecord, ticks: &[At]| {
        if let Some(name) = shown.get(task.definition.task.as_str())
            && !ticks.is_empty()
        {
            ahead.entry(name).or_default().extend_from_slice(ticks);
        }
    };
    let most = (MOST_NEXT / groups.len().max(1)).clamp(MINUTES, 3600);
    for group in groups {
        let runs = group.runs();
        let (mut after, mut firsts, mut last) = (group.after, Vec::new(), None);
        for _ in 0..most {
            let Some(tick) = next_of(&group.schedule, after).filter(|tick| *tick <= to) else {
                break;
            };
            after = tick;
            let at = usize::try_from(tick.since(first).as_secs() / 60).unwrap_or(usize::MAX);
            if let Some(minute) = minutes.get_mut(at) {
                minute.runs += runs;
            }
            if last.replace(at) != Some(at) {
                firsts.push(At(tick));
            }
        }
        group.tasks.iter().for_each(|task| show(task, &firsts));
    }
    for (due, task) in waiting.iter().filter(|(due, _)| *due <= to) {
        show(task, &[At(*due)]);
    }
    let ahead = ahead.into_iter().map(|(task, ticks)| TaskAhead {
        task: task.to_owned(),
        ticks,
    });
    (minutes, ahead.collect())
}
