//! The settings of a lock: what they mean, and which go together.
//!
//! Setting one never fails; relations are checked once, when the lock is asked for, and a refusal
//! names both values.

use std::sync::Once;
use std::time::Duration;

use tenure_core::{InvalidTtl, LeasePromises, Ttl, format_duration};

use crate::trust;

/// How a lock is taken, kept and given up.
///
/// The same settings stand as methods on [`Lock`](crate::Lock) and [`LockSet`](crate::LockSet);
/// a value of this type gives many locks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct LockOptions {
    ttl: Duration,
    max_wait: Option<Duration>,
    renewal: RenewalRule,
    max_hold: Option<Duration>,
    min_validity: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RenewalRule {
    ThirdOfTtl,
    Every(Duration),
    Never,
}

/// ttl 10 s, wait for ever, renew every third of the ttl, hold as long as the guard lives.
impl Default for LockOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            max_wait: None,
            renewal: RenewalRule::ThirdOfTtl,
            max_hold: None,
            min_validity: None,
        }
    }
}

/// The setters, once for every type that has them.
macro_rules! option_setters {
    ($($options:ident)*) => {
        /// How long the store keeps the lease without a renewal. Default: 10 s; 50 ms to 24 h.
        ///
        /// Shorter frees the key sooner after a crash; longer survives longer stalls of the store
        /// and of the network.
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self$(.$options)*.set_ttl(ttl);
            self
        }

        /// How long to wait for the lock. Default: for ever. Zero makes exactly one attempt; more
        /// than a year is refused.
        ///
        /// The wait is never overshot: a twentieth of it, 50 ms at most, is kept for giving the
        /// place in the queue back before the call returns.
        pub fn max_wait(mut self, max_wait: std::time::Duration) -> Self {
            self$(.$options)*.set_max_wait(Some(max_wait));
            self
        }

        /// Waits until the lock is granted, however long that takes, also while the store cannot
        /// be reached. This is the default.
        pub fn wait_forever(mut self) -> Self {
            self$(.$options)*.set_max_wait(None);
            self
        }

        /// How often to renew. Default: a third of the ttl. Must be under half of it.
        ///
        /// Shorter costs requests; longer loses the lock sooner when the network stalls.
        pub fn renew_every(mut self, every: std::time::Duration) -> Self {
            self$(.$options)*.set_renewal(Some(every));
            self
        }

        /// Does not renew: the lease ends one ttl after it was granted.
        pub fn no_renewal(mut self) -> Self {
            self$(.$options)*.set_renewal(None);
            self
        }

        /// The longest time the lock is held by renewing it. Default: as long as the guard lives.
        /// Must be at least the ttl.
        ///
        /// After that the guard is lost with [`LossReason::MaxHold`](crate::LossReason::MaxHold),
        /// so that work that is stuck shows, and does not keep everybody else out for ever.
        pub fn max_hold(mut self, max_hold: std::time::Duration) -> Self {
            self$(.$options)*.set_max_hold(max_hold);
            self
        }

        /// How much of the trust window must be left when the lock is returned. Default: a tenth of
        /// the ttl, one second at most. Must be under the trust window of the ttl.
        ///
        /// A grant that arrives later is given back, and the wait goes on.
        pub fn min_validity(mut self, min_validity: std::time::Duration) -> Self {
            self$(.$options)*.set_min_validity(min_validity);
            self
        }
    };
}
pub(crate) use option_setters;

impl LockOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    option_setters!();

    pub(crate) fn wait(&self) -> Option<Duration> {
        self.max_wait
    }

    pub(crate) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    pub(crate) fn set_max_wait(&mut self, max_wait: Option<Duration>) {
        self.max_wait = max_wait;
    }

    pub(crate) fn set_renewal(&mut self, every: Option<Duration>) {
        self.renewal = every.map_or(RenewalRule::Never, RenewalRule::Every);
    }

    pub(crate) fn set_max_hold(&mut self, max_hold: Duration) {
        self.max_hold = Some(max_hold);
    }

    pub(crate) fn set_min_validity(&mut self, min_validity: Duration) {
        self.min_validity = Some(min_validity);
    }

    /// Checks the settings against each other and against what the store promises.
    ///
    /// [`Lock::acquire`](crate::Lock::acquire) does the same; a program that reads settings from a
    /// file calls this early.
    ///
    /// # Errors
    /// [`InvalidOptions`] with the first pair that does not fit.
    pub fn check(&self, promises: &LeasePromises) -> Result<(), InvalidOptions> {
        self.terms(promises).map(|_| ())
    }

    pub(crate) fn terms(&self, promises: &LeasePromises) -> Result<Terms, InvalidOptions> {
        let ttl = Ttl::new(self.ttl)?;
        if ttl.get() < promises.min_ttl {
            return Err(InvalidOptions::TtlTooShortForStore {
                ttl: self.ttl,
                store: promises.store,
                min_ttl: promises.min_ttl,
            });
        }
        let renewal = self.renewal.checked(ttl)?;
        if let Some(max_wait) = self.max_wait.filter(|wait| *wait > LONGEST_WAIT) {
            return Err(InvalidOptions::MaxWaitTooLong { max_wait });
        }
        if let Some(max_hold) = self.max_hold.filter(|hold| *hold < ttl.get()) {
            return Err(InvalidOptions::MaxHoldUnderTtl {
                max_hold,
                ttl: self.ttl,
            });
        }
        let tenth = (ttl.get() / 10).min(Duration::from_secs(1));
        let min_validity = self.min_validity.unwrap_or(tenth);
        let window = trust::window(ttl.get());
        if min_validity >= window {
            return Err(InvalidOptions::MinValidityTooLong {
                min_validity,
                window,
                ttl: self.ttl,
            });
        }
        Ok(Terms {
            renewal,
            max_wait: self.max_wait,
            max_hold: self.max_hold,
            min_validity,
        })
    }
}

/// The longest limited wait; longer is meant as for ever and must say so.
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Settings that fit together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) renewal: RenewalTerms,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) min_validity: Duration,
}

impl Terms {
    pub(crate) fn ttl(&self) -> Ttl {
        self.renewal.ttl
    }
}

/// How long a lease lasts and when it is renewed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenewalTerms {
    pub(crate) ttl: Ttl,
    rule: RenewalRule,
}

impl RenewalTerms {
    /// The interval of renewals. `None` if the lease is not renewed by itself.
    pub(crate) fn every(self) -> Option<Duration> {
        match self.rule {
            RenewalRule::ThirdOfTtl => Some(self.ttl.get() / 3),
            RenewalRule::Every(every) => Some(every),
            RenewalRule::Never => None,
        }
    }

    /// The same rule for another ttl.
    pub(crate) fn with_ttl(self, ttl: Duration) -> Result<Self, InvalidOptions> {
        self.rule.checked(Ttl::new(ttl)?)
    }
}

impl RenewalRule {
    fn checked(self, ttl: Ttl) -> Result<RenewalTerms, InvalidOptions> {
        if let Self::Every(every) = self {
            if every.is_zero() || every >= ttl.get() / 2 {
                return Err(InvalidOptions::RenewEvery {
                    every,
                    ttl: ttl.get(),
                });
            }
            if every > ttl.get() / 3 {
                // Settings are checked with every acquisition; people are told once.
                static TOLD: Once = Once::new();
                TOLD.call_once(|| warn_of_late_renewals(every, ttl.get()));
            }
        }
        Ok(RenewalTerms { ttl, rule: self })
    }
}

fn warn_of_late_renewals(every: Duration, ttl: Duration) {
    tracing::warn!(
        renew_every = %format_duration(every), ttl = %format_duration(ttl),
        "renewing less than three times a ttl: one late renewal may lose the lock"
    );
}

/// Why settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOptions {
    /// The ttl is out of bounds.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
    /// The store keeps no lease as short as this.
    #[error(
        "ttl ({}) must be at least {} on store `{store}`",
        format_duration(*ttl), format_duration(*min_ttl)
    )]
    TtlTooShortForStore {
        /// What was asked for.
        ttl: Duration,
        /// The store's name.
        store: &'static str,
        /// The store's shortest.
        min_ttl: Duration,
    },
    /// Renewals come too seldom, or without a pause.
    #[error(
        "renew_every ({}) must be above zero and under half of ttl ({})",
        format_duration(*every), format_duration(*ttl)
    )]
    RenewEvery {
        /// The interval.
        every: Duration,
        /// The ttl.
        ttl: Duration,
    },
    /// The wait is limited to longer than a year.
    #[error(
        "max_wait ({}) must be at most 366d; to wait without a limit say so: wait_forever",
        format_duration(*max_wait)
    )]
    MaxWaitTooLong {
        /// The limit.
        max_wait: Duration,
    },
    /// The lock would have to be dropped before its first lease ends.
    #[error(
        "max_hold ({}) must be at least ttl ({})",
        format_duration(*max_hold), format_duration(*ttl)
    )]
    MaxHoldUnderTtl {
        /// The longest hold.
        max_hold: Duration,
        /// The ttl.
        ttl: Duration,
    },
    /// A semaphore that lets nobody in.
    #[error("a semaphore needs at least 1 permit, and 0 were given")]
    NoPermits,
    /// The store keeps no leases that several hold at once.
    #[error(
        "store `{store}` has no read-write locks and no semaphores; use another store for them, or \
         an exclusive lock"
    )]
    NotSharedByStore {
        /// The store's name.
        store: &'static str,
    },
    /// No grant could ever be good enough.
    #[error(
        "min_validity ({}) must be under the trust window ({}) of ttl ({})",
        format_duration(*min_validity), format_duration(*window), format_duration(*ttl)
    )]
    MinValidityTooLong {
        /// What must be left.
        min_validity: Duration,
        /// What there is at most.
        window: Duration,
        /// The ttl.
        ttl: Duration,
    },
}

#[cfg(test)]
mod tests {
    use tenure_core::{Durability, Scope};

    use super::*;

    fn promises(min_ttl: Duration) -> LeasePromises {
        let mut promises = LeasePromises::new("etcd", Scope::Cluster, Durability::PowerCut);
        promises.min_ttl = min_ttl;
        promises
    }

    #[test]
    fn e1_e3_e9_e10_e12_options_that_cannot_work_are_refused_with_both_values() {
        let secs = Duration::from_secs;
        let new = LockOptions::new;
        for (options, message) in [
            (
                new().ttl(Duration::ZERO),
                "ttl 0s is too short: it must be at least 50ms",
            ),
            (new().ttl(secs(90_000)), "ttl 1d1h is too long"),
            (
                new().ttl(Duration::from_millis(300)),
                "ttl (300ms) must be at least 1s on store `etcd`",
            ),
            (
                new().ttl(secs(4)).renew_every(secs(3)),
                "renew_every (3s) must be above zero and under half of ttl (4s)",
            ),
            (
                new().ttl(secs(4)).renew_every(Duration::ZERO),
                "renew_every (0s) must be above zero and under half of ttl (4s)",
            ),
            (
                new().max_wait(secs(400 * 86_400)),
                "max_wait (400d) must be at most 366d; to wait without a limit say so",
            ),
            (
                new().max_hold(secs(5)),
                "max_hold (5s) must be at least ttl (10s)",
            ),
            (
                new().min_validity(secs(10)),
                "min_validity (10s) must be under the trust window (9s898ms) of ttl (10s)",
            ),
        ] {
            let error = options.check(&promises(secs(1))).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn options_that_go_together_are_accepted() {
        let options = LockOptions::new()
            .ttl(Duration::from_millis(50))
            .renew_every(Duration::from_millis(10))
            .max_wait(Duration::ZERO)
            .max_hold(Duration::from_secs(1))
            .min_validity(Duration::ZERO);
        assert_eq!(options.check(&promises(Duration::ZERO)), Ok(()));
        assert_eq!(
            LockOptions::new().no_renewal().check(&promises(Ttl::MIN)),
            Ok(())
        );
    }
}
