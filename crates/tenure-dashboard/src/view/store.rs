//! The store: what it promises, what endangers it, and how busy and how fast it is.
//!
//! Traffic is what this process asks of the store, counted by a [`StoreMeter`] where the runner
//! makes its calls; what other processes ask is theirs to tell.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use tenure_core::{Clock, Moment, StoreError, SystemClock};
use tenure_tasks::{StoreCall, TaskScheduling};

use super::{At, View, ViewError, millis};

/// Examines a store when it is asked to.
pub(crate) type Doctor =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Verdict, StoreError>> + Send + Sync>;

const SECONDS: usize = 60;
/// Buckets of latencies: below 64 µs, 128 µs, … 2^24 µs (17 s), and above.
const BUCKETS: usize = 20;
const FIRST_BUCKET: u32 = 6;

/// What is found of a store when it is examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// What it promises as it is set up now, in one sentence.
    pub verdict: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `good`, `note`, `warning` or `danger`.
    pub severity: String,
    /// What was looked at.
    pub topic: String,
    /// What was found.
    pub text: String,
}

/// The store as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StoreState {
    /// Its kind, such as `redis`.
    pub store: String,
    /// Its clock.
    pub now: At,
    /// How far this process's wall clock is ahead of it, in milliseconds, give or take half a
    /// round trip.
    pub clock_ahead_ms: i64,
    /// Drawn once when the store was made.
    pub epoch: String,
    /// Grows with every beat and claim of the cluster.
    pub sequence: u64,
    /// How often nodes told the store that it had forgotten something.
    pub losses: u64,
    /// What it promises as it is set up now, and what endangers it.
    pub verdict: Verdict,
    /// Three questions to the store, one after the other, just now: how long each took, in
    /// microseconds.
    pub round_trips_us: Vec<u64>,
    /// What this process's runner asks of it; `null` if nobody counts.
    pub traffic: Option<Traffic>,
}

/// What this process asked of the store in the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Traffic {
    /// Calls a second, the oldest second first; the one that is going on is left out.
    pub per_second: Vec<u32>,
    /// Calls in the last minute.
    pub calls: u64,
    /// Of those, without an answer.
    pub failed: u64,
    /// How long they took.
    pub latency: Option<Latency>,
}

/// How long calls took, in microseconds; each figure is the upper end of its bucket, which is
/// twice as high as its lower end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Latency {
    /// Half of the calls were faster.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// The slowest, exactly.
    pub max_us: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    calls: u32,
    failed: u32,
    max_us: u64,
    buckets: [u32; BUCKETS],
}

/// Counts what a runner asks of its store, for the store's page.
///
/// ```
/// # use tenure_tasks::TaskScheduling;
/// # fn example(tasks: TaskScheduling<()>) -> TaskScheduling<()> {
/// let meter = tenure_dashboard::StoreMeter::new();
/// let tasks = meter.watch(tasks);
/// # tasks
/// # }
/// ```
#[derive(Clone)]
pub struct StoreMeter {
    pub(crate) meter: Arc<Meter>,
}

pub(crate) struct Meter {
    clock: Arc<dyn Clock>,
    is_fed: std::sync::atomic::AtomicBool,
    seconds: Mutex<[Second; SECONDS + 1]>,
}

impl fmt::Debug for StoreMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMeter").finish_non_exhaustive()
    }
}

impl Default for StoreMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreMeter {
    /// A meter that has counted nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            meter: Arc::new(Meter::by(Arc::new(SystemClock))),
        }
    }

    /// Counts what `scheduling` will ask of its stores.
    #[must_use]
    pub fn watch<S: Send + Sync + 'static>(
        &self,
        scheduling: TaskScheduling<S>,
    ) -> TaskScheduling<S> {
        let meter = self.meter.clone();
        meter
            .is_fed
            .store(true, std::sync::atomic::Ordering::Relaxed);
        scheduling.observe_calls(move |call| {
            if let StoreCall::Ended {
                took, is_answered, ..
            } = call
            {
                meter.see(took, is_answered);
            }
        })
    }
}

impl Meter {
    pub(crate) fn by(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            is_fed: false.into(),
            seconds: Mutex::new([Second::default(); SECONDS + 1]),
        }
    }

    fn second_of(now: Moment) -> u64 {
        // 0 is the second of slots that were never used.
        now.since_origin().as_secs() + 1
    }

    fn see(&self, took: Duration, is_answered: bool) {
        let number = Self::second_of(self.clock.now());
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bits = u64::BITS - us.leading_zeros();
        let bucket = (bits.saturating_sub(FIRST_BUCKET) as usize).min(BUCKETS - 1);
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = usize::try_from(number % (SECONDS as u64 + 1)).unwrap_or(0);
        let Some(second) = seconds.get_mut(slot) else {
            return;
        };
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second.calls += 1;
        second.failed += u32::from(!is_answered);
        second.max_us = second.max_us.max(us);
        if let Some(count) = second.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    fn traffic(&self) -> Option<Traffic> {
        if !self.is_fed.load(std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        let now = Self::second_of(self.clock.now());
        let seconds = *self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let first = now.saturating_sub(SECONDS as u64);
        let live: Vec<&Second> = seconds
            .iter()
            .filter(|second| (first..now).contains(&second.number))
            .collect();
        let per_second = (first..now).map(|number| {
            let second = live.iter().find(|second| second.number == number);
            second.map_or(0, |second| second.calls)
        });
        Some(Traffic {
            per_second: per_second.collect(),
            calls: live.iter().map(|second| u64::from(second.calls)).sum(),
            failed: live.iter().map(|second| u64::from(second.failed)).sum(),
            latency: latency(&live),
        })
    }
}

fn latency(seconds: &[&Second]) -> Option<Latency> {
    let mut buckets = [0_u64; BUCKETS];
    for second in seconds {
        for (sum, count) in buckets.iter_mut().zip(second.buckets) {
            *sum += u64::from(count);
        }
    }
    let all: u64 = buckets.iter().sum();
    let max_us = seconds.iter().map(|second| second.max_us).max()?;
    if all == 0 {
        return None;
    }
    let at = |percent: u64| {
        let mut rest = (all * percent).div_ceil(100);
        for (bucket, count) in buckets.iter().enumerate() {
            if rest <= *count {
                return (1_u64 << (bucket + FIRST_BUCKET as usize)).min(max_us);
            }
            rest -= count;
        }
        max_us
    };
    Some(Latency {
        p50_us: at(50),
        p90_us: at(90),
        p99_us: at(99),
        max_us,
    })
}

impl View {
    /// The store as it is, as of two seconds ago at most; its verdict as of a minute ago.
    ///
    /// # Errors
    /// [`ViewError::Store`] if the store failed.
    pub async fn store(&self) -> Result<Arc<StoreState>, ViewError> {
        let inner = &self.inner;
        inner.store.get(&*inner.clock, || self.read_store()).await
    }

    async fn read_store(&self) -> Result<StoreState, ViewError> {
        let inner = &self.inner;
        let mut round_trips_us = Vec::with_capacity(3);
        let (moment, ahead_ms) = loop {
            let asked = inner.clock.now();
            let moment = inner.runs.now().await?;
            let took = inner.clock.now().since(asked);
            let wall = inner.clock.wall().as_millis();
            let half = i64::try_from(millis(took / 2)).unwrap_or(0);
            let ahead_ms = wall - half - moment.now.as_millis();
            round_trips_us.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            if round_trips_us.len() == 3 {
                break (moment, ahead_ms);
            }
        };
        let verdict = inner.verdict.get(&*inner.clock, || self.examine()).await?;
        Ok(StoreState {
            store: inner.runs.promises().store.to_owned(),
            now: At(moment.now),
            clock_ahead_ms: ahead_ms,
            epoch: moment.epoch,
            sequence: moment.sequence,
            losses: moment.losses,
            verdict: (*verdict).clone(),
            round_trips_us,
            traffic: inner.traffic.traffic(),
        })
    }

    async fn examine(&self) -> Result<Verdict, ViewError> {
        match &self.inner.doctor {
            Some(doctor) => Ok(doctor().await?),
            None => Ok(Verdict::of_promises(
                &self.inner.leases.promises(),
                &self.inner.runs.promises(),
            )),
        }
    }
}

impl Verdict {
    /// What a store says of itself, where nothing more can be examined.
    #[must_use]
    pub fn of_promises(
        leases: &tenure_core::LeasePromises,
        runs: &tenure_core::RunPromises,
    ) -> Self {
        let findings = [
            ("reach", leases.scope.in_words()),
            ("locks forget", leases.forgets),
            ("tasks forget", runs.forgets),
        ];
        let findings = findings.into_iter().filter(|(_, text)| !text.is_empty());
        Self {
            verdict: leases.durability.in_words().to_owned(),
            findings: findings
                .map(|(topic, text)| Finding {
                    severity: "note".to_owned(),
                    topic: topic.to_owned(),
                    text: text.to_owned(),
                })
                .collect(),
        }
    }
}
