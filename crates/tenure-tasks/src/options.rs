//! How a node of the cluster behaves, whatever its tasks are.

use std::time::Duration;

use tenure_core::format_duration;

use crate::config_error::ConfigError;

/// Settings of the runner. The defaults suit clusters of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunnerOptions {
    pub(crate) node_ttl: Duration,
    pub(crate) beat_every: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) sweep_after: Duration,
    pub(crate) take_every: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) keep_history: Option<Duration>,
    pub(crate) capacity: u32,
    pub(crate) event_capacity: usize,
    pub(crate) max_running: Option<usize>,
    pub(crate) version: String,
}

impl RunnerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the store counts this node as alive without hearing from it. Default: 15 s; from
    /// 1 s to one hour.
    ///
    /// Shorter finds lost runs sooner; longer survives longer silences of the store.
    #[must_use]
    pub fn node_ttl(mut self, ttl: Duration) -> Self {
        self.node_ttl = ttl;
        self
    }

    /// How often the node tells the store that it is alive. Default: 5 s. Must be under half of
    /// the ttl.
    #[must_use]
    pub fn beat_every(mut self, every: Duration) -> Self {
        self.beat_every = every;
        self
    }

    /// How long code that was told to stop may take before it is dropped. Default: 2 s; at most
    /// one hour. After a lost lease a tenth of the ttl counts if that is less.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// How long after a tick a node looks for what the other nodes should have claimed, by its
    /// rank up to 500 ms later. Default: 200 ms; from 10 ms to 10 s. Where the store is slow it is
    /// three of its round trips, one second at most.
    ///
    /// Shorter starts the runs of a dead node sooner; longer lets a busy one keep its own.
    #[must_use]
    pub fn sweep_after(mut self, after: Duration) -> Self {
        self.sweep_after = after;
        self
    }

    /// How often the node looks for waiting runs: retries, requested runs, backfills. Stores also
    /// give hints, which are followed at once. Default: 1 s; from 10 ms to one minute.
    #[must_use]
    pub fn take_every(mut self, every: Duration) -> Self {
        self.take_every = every;
        self
    }

    /// How long one call of the store may take. Default: 10 s; from 100 ms to one minute.
    #[must_use]
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// For how long finished records and events are kept if nothing is said.
    pub const KEEP_HISTORY: Duration = Duration::from_secs(30 * 24 * 3600);

    /// How long finished records and events are kept; `None` for ever. Default:
    /// [`RunnerOptions::KEEP_HISTORY`], 30 days; at least one hour. Records that are still needed
    /// to refuse a claim are never deleted.
    #[must_use]
    pub fn keep_history(mut self, keep: Option<Duration>) -> Self {
        self.keep_history = keep;
        self
    }

    /// How large this node's part of the runs is beside the other nodes' parts. Default: no limit,
    /// which counts as the largest of those that name one; from 1.
    ///
    /// Says who asks for a run first, and limits nothing: what other nodes do not claim, this one
    /// does.
    #[must_use]
    pub fn capacity(mut self, part: u32) -> Self {
        self.capacity = part;
        self
    }

    /// How many events a slow reader of [`RunningTasks::events`](crate::RunningTasks::events) may
    /// be behind before it loses some. Default: 4096; from 1 to 1 000 000.
    #[must_use]
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// How many runs the node takes on at once, of all tasks of all managers over stores together;
    /// `None`: any number. Default: `None`; at least 1.
    ///
    /// A node without room leaves ticks to the others, and takes them when it has room again. If no
    /// node had room inside a tick's catch-up window, it is recorded as missed.
    #[must_use]
    pub fn max_running(mut self, runs: Option<usize>) -> Self {
        self.max_running = runs;
        self
    }

    /// The program's version, as other nodes' listings show it.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// How much earlier than the store this node takes its lease for ended.
    pub(crate) fn margin(&self) -> Duration {
        self.node_ttl / 10
    }

    pub(crate) fn check(&self, faults: &mut Vec<ConfigError>) {
        let ms = Duration::from_millis;
        let day = Duration::from_secs(24 * 3600);
        let mut within = |option, value: Duration, least: Duration, most: Duration| {
            if value < least || value > most {
                let problem = format!(
                    "{} must be {} to {}",
                    format_duration(value),
                    format_duration(least),
                    format_duration(most)
                );
                faults.push(ConfigError::Option { option, problem });
            }
        };
        within("node_ttl", self.node_ttl, ms(1000), day / 24);
        within("beat_every", self.beat_every, ms(100), day / 24);
        within("stop_grace", self.stop_grace, Duration::ZERO, day / 24);
        within("sweep_after", self.sweep_after, ms(10), ms(10_000));
        within("take_every", self.take_every, ms(10), ms(60_000));
        within("store_timeout", self.store_timeout, ms(100), ms(60_000));
        if let Some(keep) = self.keep_history {
            within("keep_history", keep, day / 24, day * 36_500);
        }
        if self.beat_every >= self.node_ttl / 2 {
            let problem = format!(
                "{:?} must be under half of node_ttl ({:?})",
                self.beat_every, self.node_ttl
            );
            faults.push(ConfigError::Option {
                option: "beat_every",
                problem,
            });
        }
        if self.capacity == 0 {
            faults.push(ConfigError::Option {
                option: "capacity",
                problem: "0 would leave every run to the others; write at least 1".to_owned(),
            });
        }
        if self.max_running == Some(0) {
            faults.push(ConfigError::Option {
                option: "max_running",
                problem: "0 would run nothing; leave it out for no limit".to_owned(),
            });
        }
        if !(1..=1_000_000).contains(&self.event_capacity) {
            faults.push(ConfigError::Option {
                option: "event_capacity",
                problem: format!("{} must be 1 to 1000000", self.event_capacity),
            });
        }
    }
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            node_ttl: Duration::from_secs(15),
            beat_every: Duration::from_secs(5),
            stop_grace: Duration::from_secs(2),
            sweep_after: Duration::from_millis(200),
            take_every: Duration::from_secs(1),
            store_timeout: Duration::from_secs(10),
            keep_history: Some(Self::KEEP_HISTORY),
            capacity: u32::MAX,
            event_capacity: 4096,
            max_running: None,
            version: String::new(),
        }
    }
}
