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
        let (mut first, mut last) = (None, None);
        let mut count = 0_usize;
        for tick in group
            .schedule
            .ticks_between(group.after.to_jiff(), to.to_jiff())
            .take(most)
        {
            let tick = Timestamp::from(tick);
            count += 1;
            first = first.or(last.replace(tick));
            if let Some(minute) = minutes.get_mut(minute_of(from, tick)) {
                *minute += runs;
            }
        }
        if let (Some(first), Some(last)) = (first, last)
            && count == most
        {
            is_estimate = true;
            let seen = Seen {
                first,
                last,
                gaps: count as u64 - 1,
            };
            seen.go_on(&mut minutes, runs, from);
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

/// The ticks of a schedule that were counted.
struct Seen {
    first: Timestamp,
    last: Timestamp,
    gaps: u64,
}

impl Seen {
    /// Counts those behind the last, at the rate of those before it, with so many runs each.
    fn go_on(&self, minutes: &mut [u64], runs: u64, from: Timestamp) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let span = millis(self.last.since(self.first)).max(1);
        // A tick at the end of a minute belongs to the next.
        let until = |end: Timestamp| {
            let ticks = millis(end.since(self.last)).saturating_mul(self.gaps);
            ticks.div_ceil(span).saturating_sub(1)
        };
        let mut told = 0;
        for (at, minute) in minutes.iter_mut().enumerate() {
            let all = until(from + Duration::from_secs(60 * (at as u64 + 1)));
            *minute += (all - told) * runs;
            told = all;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_by_its_rate_goes_on_as_it_was_counted() {
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        for (first, every, gaps, runs, a_minute) in [
            (20, 10, 2879_u32, 1, 6),
            (17, 1, 599, 3, 60),
            (0, 60, 99, 2, 1),
        ] {
            let mut minutes = vec![0; MINUTES];
            let tick = |nth: u32| at(first + i64::from(nth) * every);
            for nth in 0..=gaps {
                minutes[minute_of(at(0), tick(nth))] += runs;
            }
            let seen = Seen {
                first: at(first),
                last: tick(gaps),
                gaps: u64::from(gaps),
            };
            seen.go_on(&mut minutes, runs, at(0));
            // The first is whole only if the ticks began with it.
            let all: Vec<u64> = minutes.split_off(1);
            assert!(
                all.iter().all(|of_one| *of_one == a_minute * runs),
                "{every} s: {all:?}"
            );
        }
    }
}
