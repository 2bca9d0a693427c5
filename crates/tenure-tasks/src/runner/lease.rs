//! Whether this node may act: its lease at the store, as far as it can be trusted from here, and
//! whether the store answers at all.
//!
//! Trust ends at `asked_at + ttl − margin` by the steady clock, where `asked_at` was read before
//! the last beat that was answered left. Nothing else is looked at, so a pause of any length ends
//! trust by itself.

use std::time::Duration;

use tenure_core::{Moment, Timestamp};

use crate::options::RunnerOptions;

/// The first pause after a failure; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Whether the store knows what this node can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registration {
    Needed,
    UnderWay,
    /// Under way, and perhaps forgotten meanwhile.
    Doubtful,
    Done,
}

#[derive(Debug)]
pub(super) struct NodeLease {
    ttl: Duration,
    margin: Duration,
    beat_every: Duration,
    trusted_until: Option<Moment>,
    /// When it was found that the lease had ended and was made anew.
    lapsed_at: Option<Moment>,
    /// Whether the end of trust was not acted upon yet.
    pub(super) is_live: bool,
    pub(super) next_beat: Moment,
    pub(super) is_beating: bool,
    /// What the beat under way says is no longer so.
    is_outdated: bool,
    pub(super) registration: Registration,
    /// Since when the store knows this node.
    joined_at: Option<Timestamp>,
    trouble_since: Option<Moment>,
    failures: u32,
}

impl NodeLease {
    pub(super) fn new(options: &RunnerOptions, now: Moment) -> Self {
        Self {
            ttl: options.node_ttl,
            margin: options.margin(),
            beat_every: options.beat_every,
            trusted_until: None,
            lapsed_at: None,
            is_live: false,
            next_beat: now,
            is_beating: false,
            is_outdated: false,
            registration: Registration::Needed,
            joined_at: None,
            trouble_since: None,
            failures: 0,
        }
    }

    /// A beat that was sent at `asked_at` was answered. Tells how long the store had been in
    /// trouble, if it was.
    pub(super) fn beaten(
        &mut self,
        asked_at: Moment,
        now: Moment,
        chance: f64,
    ) -> Option<Duration> {
        self.is_beating = false;
        self.trusted_until = Some(asked_at + self.ttl - self.margin);
        self.is_live = self.is_trusted(now);
        // Spread by a tenth, so that nodes that started together do not stay together.
        self.next_beat = asked_at + self.beat_every.mul_f64(0.95 + chance / 10.0);
        if std::mem::take(&mut self.is_outdated) {
            self.next_beat = now;
        }
        self.failures = 0;
        self.trouble_since.take().map(|since| now.since(since))
    }

    /// What beats say has changed: the next one leaves at once.
    pub(super) fn outdate(&mut self, now: Moment) {
        self.is_outdated = self.is_beating;
        self.next_beat = now;
    }

    /// The store did not answer something. Tells whether this is news.
    pub(super) fn failed(&mut self, now: Moment, chance: f64) -> bool {
        let is_news = self.trouble_since.is_none();
        self.trouble_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let pause = backoff(self.failures, chance).min(self.beat_every);
        if is_news || !self.is_beating {
            self.next_beat = now + pause;
        }
        is_news
    }

    /// Whether the store says that it knows this node since when it said so before.
    pub(super) fn is_known_since(&mut self, joined_at: Option<Timestamp>) -> bool {
        let before = std::mem::replace(&mut self.joined_at, joined_at);
        before.is_none() || before == joined_at
    }

    /// What was registered may have been forgotten.
    pub(super) fn register_again(&mut self) {
        self.registration = match self.registration {
            Registration::Done | Registration::Needed => Registration::Needed,
            Registration::UnderWay | Registration::Doubtful => Registration::Doubtful,
        };
    }

    /// The store knows what this node can run, unless it forgot it since.
    pub(super) fn registered(&mut self) {
        self.registration = match self.registration {
            Registration::Doubtful => Registration::Needed,
            _ => Registration::Done,
        };
    }

    /// The store said that the lease has ended: nothing counts until the next beat is answered.
    pub(super) fn distrust(&mut self, now: Moment) {
        self.trusted_until = None;
        self.is_live = false;
        self.next_beat = now;
    }

    /// The store had taken the node for dead, and may have given away what it had in hand.
    pub(super) fn lapsed(&mut self, now: Moment) {
        self.lapsed_at = Some(now);
    }

    /// Whether what was asked for at `asked_at` and granted is still in hand. That the lease is
    /// trusted now is not enough: it may have ended in between and been made anew.
    pub(super) fn covers(&self, asked_at: Moment, now: Moment) -> bool {
        self.is_trusted(now) && self.lapsed_at.is_none_or(|at| at < asked_at)
    }

    pub(super) fn is_trusted(&self, now: Moment) -> bool {
        self.trusted_until.is_some_and(|until| now < until)
    }

    pub(super) fn trusted_until(&self) -> Option<Moment> {
        self.trusted_until
    }

    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble_since.is_some()
    }

    /// Whether runs may be claimed now.
    pub(super) fn may_claim(&self, now: Moment) -> bool {
        self.registration == Registration::Done && !self.is_in_trouble() && self.is_trusted(now)
    }
}

/// A pause before attempt number `failures + 1`: drawn between half and all of a bound that
/// doubles, up to ten seconds.
pub(super) fn backoff(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let bound = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(Duration::from_secs(10));
    bound.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn s43_trust_ends_before_the_lease_counted_from_when_the_beat_was_sent() {
        let mut lease = NodeLease::new(&RunnerOptions::default(), at(0));
        assert!(!lease.is_trusted(at(0)));
        lease.beaten(at(1_000), at(4_000), 0.5);
        assert!(lease.is_trusted(at(1_000 + 13_499)));
        assert!(!lease.is_trusted(at(1_000 + 13_500)));
        assert_eq!(lease.next_beat, at(6_000));
    }

    #[test]
    fn s28_what_was_asked_for_before_a_lapse_is_not_in_hand_after_it() {
        let mut lease = NodeLease::new(&RunnerOptions::default(), at(0));
        lease.beaten(at(0), at(0), 0.5);
        assert!(lease.covers(at(1_000), at(2_000)));
        lease.beaten(at(20_000), at(20_010), 0.5);
        lease.lapsed(at(20_010));
        assert!(!lease.covers(at(1_000), at(20_020)));
        assert!(lease.covers(at(20_011), at(20_020)));
        assert!(!lease.covers(at(20_011), at(60_000)));
    }

    #[test]
    fn s53_a_beat_that_no_longer_says_what_is_so_is_followed_by_another() {
        let mut lease = NodeLease::new(&RunnerOptions::default(), at(0));
        lease.beaten(at(0), at(0), 0.5);
        lease.outdate(at(1_000));
        assert_eq!(lease.next_beat, at(1_000));
        lease.beaten(at(1_000), at(1_010), 0.5);
        assert_eq!(lease.next_beat, at(6_000));
        lease.is_beating = true;
        lease.outdate(at(6_005));
        lease.beaten(at(6_000), at(6_010), 0.5);
        assert_eq!(lease.next_beat, at(6_010));
    }

    #[test]
    fn s48_pauses_grow_and_a_good_beat_ends_them() {
        let mut lease = NodeLease::new(&RunnerOptions::default(), at(0));
        lease.beaten(at(0), at(0), 0.0);
        lease.registration = Registration::Done;
        assert!(lease.may_claim(at(1)));
        assert!(lease.failed(at(10), 1.0));
        assert!(!lease.may_claim(at(11)));
        assert_eq!(lease.next_beat, at(210));
        assert!(!lease.failed(at(210), 1.0));
        assert_eq!(lease.next_beat, at(610));
        for _ in 0..20 {
            lease.failed(at(1_000), 1.0);
        }
        assert_eq!(lease.next_beat, at(6_000));
        assert_eq!(
            lease.beaten(at(6_000), at(6_010), 0.0),
            Some(Duration::from_secs(6))
        );
        assert!(lease.may_claim(at(6_011)));
    }
}
