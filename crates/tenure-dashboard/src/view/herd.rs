//! How many runs the next 24 hours hold, and at which minutes they crowd.
//!
//! Bounded: each schedule is followed for so many ticks, and told evenly from there on; the answer
//! then says that it is an estimate. Jitter spreads starts and is not in the store.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{TaskRecord, Timestamp};

use super::plan::Group;
use super::{At, View, ViewError};

const MINUTES: usize = 24 * 60;
/// How many minutes a bucket has.
const BUCKET: usize = 15;
/// How many ticks are computed at most, of all schedules together.
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
    let from = Timestamp::from_millis(now.as_millis().div_euclid(60_000) * 60_000);
    let to = from + Duration::from_secs(24 * 3600);
    let mut minutes = vec![0_u64; MINUTES];
    let most = (MOST_TICKS / groups.len().max(1)).clamp(24, 2 * MINUTES);
    let mut is_estimate = false;
    for group in groups {
        let runs = group.runs();
        let mut last = None;
        let mut count = 0_usize;
        for tick in group
            .schedule
            .ticks_between(group.after.to_jiff(), to.to_jiff())
            .take(most)
        {
            let tick = Timestamp::from(tick);
            count += 1;
            last = Some(tick);
            if let Some(minute) = minutes.get_mut(minute_of(from, tick)) {
                *minute += runs;
            }
        }
        if let Some(last) = last.filter(|_| count == most) {
            is_estimate = true;
            spread(&mut minutes, runs * count as u64, group.after, last, from);
        }
    }
    Herd {
        from: At(from),
        bucket_ms: BUCKET as u64 * 60_000,
        buckets: buckets(&minutes, from),
        peaks: peaks(&minutes, groups, from),
        is_estimate,
    }
}

fn minute_of(from: Timestamp, at: Timestamp) -> usize {
    usize::try_from(at.since(from).as_secs() / 60).unwrap_or(usize::MAX)
}

/// Tells the runs after `last` at the rate of those before it.
fn spread(minutes: &mut [u64], runs: u64, after: Timestamp, last: Timestamp, from: Timestamp) {
    let span = last.since(after).as_secs().max(1);
    let a_minute = (runs * 60).div_ceil(span);
    let rest = minutes.iter_mut().skip(minute_of(from, last) + 1);
    rest.for_each(|minute| *minute += a_minute);
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
