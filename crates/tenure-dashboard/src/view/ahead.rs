//! What is due in the next hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{TaskName, TaskRecord, Timestamp};

use super::count::{Minutes, minute_of};
use super::plan::{Group, next_of, opens_at};
use super::{At, segment};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// How many ticks of all schedules together are counted one by one at most.
const MOST_TICKS: usize = 100_000;

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
    /// Its first tick of each minute that has any, soonest first.
    pub ticks: Vec<At>,
}

/// A task that is due then.
type Due<'s> = (Timestamp, &'s TaskRecord);

/// What is due, by schedule or a while after a run before.
pub(super) struct Ahead<'a, 's> {
    groups: &'a [Group<'s>],
    waiting: Vec<Due<'s>>,
    now: Timestamp,
}

impl<'a, 's> Ahead<'a, 's> {
    /// Of these tasks. `after` is when the next run of those is due whose schedule is a delay.
    pub(super) fn new(
        groups: &'a [Group<'s>],
        after: &BTreeMap<TaskName, Timestamp>,
        now: Timestamp,
    ) -> Self {
        // A run may still wait from when the schedule of its task was a delay.
        let chains = groups
            .iter()
            .filter(|group| group.schedule.delay().is_some());
        let tasks = chains.flat_map(|group| &group.tasks);
        let waiting = tasks.filter_map(|task| {
            let due = *after.get(&task.definition.task)?;
            Some((due.max(opens_at(task, now)?), *task))
        });
        Self {
            groups,
            waiting: waiting.collect(),
            now,
        }
    }

    /// When each task is due next, soonest first, so many at most.
    pub(super) fn soon(&self, most: usize) -> Vec<Soon> {
        let ticks = self.groups.iter().flat_map(|group| {
            let tick = next_of(&group.schedule, group.after);
            tick.into_iter()
                .flat_map(|tick| group.tasks.iter().map(move |task| (tick, *task)))
        });
        let mut next: Vec<Due<'_>> = ticks.chain(self.waiting.iter().copied()).collect();
        next.sort_by_key(|(tick, task)| (*tick, &task.definition.task));
        let next = next.into_iter().take(most);
        next.map(|(tick, task)| Soon {
            task: task.definition.task.as_str().to_owned(),
            path: segment(task.definition.task.as_str()),
            tick: At(tick),
            runs: task.definition.concurrency,
        })
        .collect()
    }

    /// Of the runs that wait, those that are due in the next hour. What is overdue is not to come.
    fn waiting(&self) -> impl Iterator<Item = Due<'s>> {
        let hour = self.now..=self.now + HOUR;
        let waiting = self.waiting.iter().copied();
        waiting.filter(move |(due, _)| hour.contains(due))
    }

    /// How many runs are due in each minute of the next hour, and whether that is an estimate.
    pub(super) fn minutes(&self) -> (Vec<UpcomingMinute>, bool) {
        let most = (MOST_TICKS / self.groups.len().max(1)).clamp(60, 3600);
        let mut minutes = Minutes::new(minute_of(self.now), self.now + HOUR, most);
        for group in self.groups {
            minutes.add_all(group);
        }
        for (due, task) in self.waiting() {
            minutes.add(due, u64::from(task.definition.concurrency));
        }
        let upcoming = (0..).zip(&minutes.runs).map(|(at, runs)| UpcomingMinute {
            at: At(minutes.from + MINUTE * at),
            runs: *runs,
        });
        (upcoming.collect(), minutes.is_estimate)
    }

    /// When these tasks are due in the next hour, by name.
    pub(super) fn of(&self, shown: &BTreeSet<&str>) -> Vec<TaskAhead> {
        let is_shown = |task: &&&TaskRecord| shown.contains(task.definition.task.as_str());
        let mut ahead = BTreeMap::new();
        for group in self.groups {
            let mut shown = group.tasks.iter().filter(is_shown).peekable();
            if shown.peek().is_none() {
                continue;
            }
            let ticks = self.a_minute_each(group);
            if !ticks.is_empty() {
                ahead.extend(shown.map(|task| (&task.definition.task, ticks.clone())));
            }
        }
        let waiting = self.waiting();
        for (due, task) in waiting.filter(|(_, task)| is_shown(&task)) {
            ahead.insert(&task.definition.task, vec![At(due)]);
        }
        let ahead = ahead.into_iter().map(|(task, ticks)| TaskAhead {
            task: task.as_str().to_owned(),
            ticks,
        });
        ahead.collect()
    }

    /// The first tick of each minute that has any.
    fn a_minute_each(&self, group: &Group<'_>) -> Vec<At> {
        let (mut ticks, mut after) = (Vec::new(), group.after);
        while let Some(tick) = next_of(&group.schedule, after)
            && tick <= self.now + HOUR
        {
            ticks.push(At(tick));
            after = minute_of(tick) + MINUTE - Duration::from_millis(1);
        }
        ticks
    }
}
