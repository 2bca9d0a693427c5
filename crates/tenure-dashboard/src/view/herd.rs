//! How many runs the next 24 hours hold, and at which minutes they crowd.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{TaskRecord, Timestamp};

use super::count::{Minutes, minute_of};
use super::plan::Group;
use super::{At, View, ViewError};

const MINUTES: usize = 24 * 60;
/// How many minutes a bucket has.
const BUCKET: usize = 15;
/// How many ticks of all schedules together are counted one by one at most.
const MOST_TICKS: usize = 300_000;
const PEAKS: usize = 5;
const NAMED: usize = 5;

/// The load of the next 24 hours.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Herd {
    /// When the first bucket begins.
    pub from: At,
    /// How long a bucket is, in milliseconds.
    pub bucket_ms: u64,
    /// The buckets, one after the other.
    pub buckets: Vec<HerdBucket>,
    /// The busiest minutes, the busiest first; at most five.
    pub peaks: Vec<Peak>,
    /// Whether frequent schedules were counted by their rate.
    pub is_estimate: bool,
}

/// A quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HerdBucket {
    /// When it begins.
    pub at: At,
    /// How many runs are due in it.
    pub runs: u64,
    /// How many are due in its busiest minute.
    pub busiest_minute: u64,
}

/// A minute at which many runs are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Peak {
    /// When it begins.
    pub at: At,
    /// How many runs are due in it.
    pub runs: u64,
    /// Some of the tasks, at most five.
    pub tasks: Vec<String>,
}

impl View {
    /// The load of the next 24 hours, as of a minute ago at most.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn herd(&self) -> Result<std::sync::Arc<Herd>, ViewError> {
        let inner = &self.inner;
        let (snapshot, now) = self.snapshot().await?;
        inner
            .herd
            .get(&*inner.clock, || async {
                // Some hundred thousand searches may take a while: not on a thread that serves.
                let view = self.clone();
                let counted = tokio::task::spawn_blocking(move || {
                    herd_of(&view.inner.plans.groups(&snapshot.tasks, now), now)
                });
                counted
                    .await
                    .map_err(|_| ViewError::invalid("herd", "could not be counted"))
            })
            .await
    }
}

fn herd_of(groups: &[Group<'_>], now: Timestamp) -> Herd {
    let from = minute_of(now);
    let last = from + Duration::from_secs(24 * 3600) - Duration::from_millis(1);
    let most = (MOST_TICKS / groups.len().max(1)).clamp(24, 2 * MINUTES);
    let mut minutes = Minutes::new(from, last, most);
    for group in groups {
        minutes.add_all(group);
    }
    Herd {
        from: At(from),
        bucket_ms: BUCKET as u64 * 60_000,
        buckets: buckets(&minutes.runs, from),
        peaks: peaks(&minutes.runs, groups, from),
        is_estimate: minutes.is_estimate,
    }
}

fn buckets(minutes: &[u64], from: Timestamp) -> Vec<HerdBucket> {
    let buckets = minutes.chunks(BUCKET).enumerate();
    buckets
        .map(|(at, minutes)| HerdBucket {
            at: At(from + Duration::from_secs(60 * (at * BUCKET) as u64)),
            runs: minutes.iter().sum(),
            busiest_minute: minutes.iter().copied().max().unwrap_or(0),
        })
        .collect()
}

fn peaks(minutes: &[u64], groups: &[Group<'_>], from: Timestamp) -> Vec<Peak> {
    let mut busiest: Vec<(usize, u64)> = minutes.iter().copied().enumerate().collect();
    busiest.sort_by_key(|(at, runs)| (std::cmp::Reverse(*runs), *at));
    let busiest = busiest
        .into_iter()
        .take(PEAKS)
        .filter(|(_, runs)| *runs > 1);
    busiest
        .map(|(at, runs)| {
            let at = from + Duration::from_secs(60 * at as u64);
            Peak {
                at: At(at),
                runs,
                tasks: due_in(groups, at),
            }
        })
        .collect()
}

/// Some of the tasks that are due in the minute from `at` on, those of the largest groups first.
fn due_in(groups: &[Group<'_>], at: Timestamp) -> Vec<String> {
    let before = at - Duration::from_millis(1);
    let end = at + Duration::from_secs(60);
    let mut due: Vec<&Group<'_>> = groups
        .iter()
        .filter(|group| {
            let next = super::plan::next_of(&group.schedule, before.max(group.after));
            next.is_some_and(|tick| tick < end)
        })
        .collect();
    due.sort_by_key(|group| std::cmp::Reverse(group.runs()));
    let name = |task: &&TaskRecord| task.definition.task.as_str().to_owned();
    let tasks = due.iter().flat_map(|group| group.tasks.iter().map(name));
    tasks.take(NAMED).collect()
}
