//! Counts what locks do and writes it as Prometheus reads it; feature `metrics`.
//!
//! Stands on [`Locks::observe`] alone. No figure has the key as a label: there may be any number of
//! keys, and each would be kept for ever. The table of all metrics is
//! `docs/guide/observability.md`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::event::{GrantedBy, LockEvent, NotAcquired, ReleaseResult, RenewalResult};
use crate::{Locks, LossReason};

/// Seconds: from an answer of a store near by to a long wait.
const WAITS: [f64; 14] = [
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0,
];
const HOLDS: [f64; 12] = [
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0, 600.0, 3600.0,
];
const RENEWALS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

const ACQUISITIONS: [&str; 7] = [
    "granted",
    "handed_on",
    "held",
    "timed_out",
    "too_late",
    "failed",
    "dropped",
];
const RENEWED: [&str; 3] = ["renewed", "lost", "failed"];
const LOSSES: [&str; 3] = ["trust_ended", "taken", "max_hold"];
const RELEASES: [&str; 6] = [
    "freed",
    "handed_on",
    "lost",
    "released_or_lost",
    "left",
    "abandoned",
];

/// One label, of which every value is known beforehand.
type Label = [(&'static str, &'static str); 1];

/// The figures of locks. Clones share them, and several [`Locks`] may count into one.
///
/// No figure tells keys apart: a label for each would grow without end and slow every reader down.
/// To watch one lock by itself, give its `Locks` figures of its own, or use [`Locks::observe`].
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use tenure_core::Holder;
/// # use tenure_lock::{LockMetrics, Locks};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Arc::new(tenure_memory::MemoryStore::new());
/// let metrics = LockMetrics::new();
/// let locks = Locks::new(store, Holder::new("billing")).metrics(&metrics);
/// locks.lock("invoice/42").acquire().await?.release().await?;
/// let text = metrics.text(); // the answer of `/metrics`
/// assert!(text.contains("tenure_lock_acquisitions_total{result=\"granted\"} 1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LockMetrics {
    all: Arc<All>,
}

struct All {
    registry: Registry,
    acquisitions: Counts<7>,
    waits: [(&'static str, Histogram); 2],
    held: Histogram,
    holding: Gauge,
    renewals: Counts<3>,
    renewal_time: Histogram,
    losses: Counts<3>,
    releases: Counts<6>,
}

/// A counter for each value of a label, at hand without looking it up.
struct Counts<const N: usize>([(&'static str, Counter); N]);

impl<const N: usize> Counts<N> {
    fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> Self {
        let family = Family::<Label, Counter>::default();
        registry.register(name, help, family.clone());
        Self(values.map(|value| (value, family.get_or_create_owned(&[(label, value)]))))
    }

    fn count(&self, value: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.inc();
        }
    }
}

impl Locks {
    /// Counts into `metrics` what locks do from now on. Call it before the first lock is taken.
    #[must_use]
    pub fn metrics(self, metrics: &LockMetrics) -> Self {
        let metrics = metrics.clone();
        self.observe(move |event| metrics.see(event))
    }
}

impl LockMetrics {
    /// What an HTTP answer that holds [`LockMetrics::text`] says it is.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Figures, all zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            all: Arc::new(All::new()),
        }
    }

    /// All figures as text in the format of `OpenMetrics`, which Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.append_to(&mut text);
        text
    }

    /// Appends all figures to an answer that holds others, such as those of tasks, so that a
    /// program has one address to be asked at.
    pub fn append_to(&self, text: &mut String) {
        if let Some(open) = text.strip_suffix("# EOF\n") {
            text.truncate(open.len());
        }
        // Writing into a string cannot fail.
        let _ = encode(text, &self.all.registry);
    }

    /// Counts an event. [`Locks::metrics`] does it for every one.
    pub fn see(&self, event: &LockEvent<'_>) {
        let all = &self.all;
        match event {
            LockEvent::Acquired { waited, by, .. } => {
                all.acquisitions.count(match by {
                    GrantedBy::Answer => "granted",
                    GrantedBy::HandOff => "handed_on",
                });
                all.waited("acquired", waited.as_secs_f64());
                all.holding.inc();
            }
            LockEvent::NotAcquired { waited, why, .. } => {
                all.acquisitions.count(match why {
                    NotAcquired::Held => "held",
                    NotAcquired::TimedOut => "timed_out",
                    NotAcquired::TooLate => "too_late",
                    NotAcquired::Failed => "failed",
                    NotAcquired::Dropped => "dropped",
                });
                all.waited("not_acquired", waited.as_secs_f64());
            }
            LockEvent::Renewed { took, result, .. } => {
                all.renewals.count(match result {
                    RenewalResult::Renewed => "renewed",
                    RenewalResult::Lost => "lost",
                    RenewalResult::Failed => "failed",
                });
                all.renewal_time.observe(took.as_secs_f64());
            }
            LockEvent::Lost { reason, .. } => all.losses.count(match reason {
                LossReason::TrustEnded { .. } => "trust_ended",
                LossReason::Taken { .. } => "taken",
                LossReason::MaxHold { .. } => "max_hold",
            }),
            LockEvent::Released { held, result, .. } => {
                all.releases.count(match result {
                    ReleaseResult::Freed => "freed",
                    ReleaseResult::HandedOn => "handed_on",
                    ReleaseResult::OthersHold => "others_hold",
                    ReleaseResult::Lost => "lost",
                    ReleaseResult::ReleasedOrLost => "released_or_lost",
                    ReleaseResult::Left => "left",
                    ReleaseResult::Abandoned => "abandoned",
                });
                all.held.observe(held.as_secs_f64());
                all.holding.dec();
            }
        }
    }
}

impl Default for LockMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LockMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockMetrics").finish_non_exhaustive()
    }
}

impl All {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("tenure_lock");
        let all = &mut registry;
        let acquisitions = Counts::register(
            all,
            "acquisitions",
            "Acquisitions that were asked for, by how they ended",
            "result",
            ACQUISITIONS,
        );
        let renewals = Counts::register(
            all,
            "renewals",
            "Renewals of leases, by what came of them",
            "result",
            RENEWED,
        );
        let losses = Counts::register(
            all,
            "losses",
            "Locks that were lost while they were held, by reason",
            "reason",
            LOSSES,
        );
        let releases = Counts::register(
            all,
            "releases",
            "Locks that were given back or given up, by what became of them",
            "result",
            RELEASES,
        );
        let waits = Family::<Label, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new(WAITS)
        });
        let text = "From asking for a lock to the answer";
        all.register_with_unit("wait", text, Unit::Seconds, waits.clone());
        let waits = ["acquired", "not_acquired"]
            .map(|result| (result, waits.get_or_create_owned(&[("result", result)])));
        let held = Histogram::new(HOLDS);
        let text = "From the grant to the release, or the loss if that was earlier";
        all.register_with_unit("held", text, Unit::Seconds, held.clone());
        let renewal_time = Histogram::new(RENEWALS);
        let text = "How long renewals took; leases that share a request count one by one";
        all.register_with_unit("renewal", text, Unit::Seconds, renewal_time.clone());
        let holding = Gauge::default();
        let text = "Locks that this process holds, or has lost and not yet given back";
        all.register("holding", text, holding.clone());
        Self {
            registry,
            acquisitions,
            waits,
            held,
            holding,
            renewals,
            renewal_time,
            losses,
            releases,
        }
    }

    fn waited(&self, result: &str, seconds: f64) {
        if let Some((_, waits)) = self.waits.iter().find(|(known, _)| *known == result) {
            waits.observe(seconds);
        }
    }
}
