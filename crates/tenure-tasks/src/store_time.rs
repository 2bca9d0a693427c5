//! What time it is at the store, told by this machine's steady clock.
//!
//! Each answer that carries the store's clock is a sample: the store read it between the moment
//! the request left and the moment the answer came. The sample with the shortest round trip of the
//! last eight is believed, as far as the others allow: stores tell whole milliseconds, and each
//! answer says between which two instants the next one begins. Local wall clocks play no part, so a
//! step of one moves nothing; a step of the store's clock shows as a sample that contradicts the
//! believed one, and is followed.
//!
//! # Sources
//! F. Cristian, "Probabilistic clock synchronization" (1989).

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{Moment, Timestamp};

const KEPT: usize = 8;

/// A contradiction smaller than this is drift, not a step.
const STEP_US: i64 = 20_000;

/// Two clocks are taken to move apart by less than one part in so many.
const DRIFT: i64 = 20_000;

/// A store's clock is told rounded down to it.
const MILLISECOND: i64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Store time minus steady time, in microseconds.
    offset_us: i64,
    /// How wrong it can be.
    error_us: i64,
    /// When the answer came, by the steady clock.
    answered_at: Moment,
}

impl Sample {
    fn half_trip(self) -> i64 {
        self.error_us.saturating_sub(MILLISECOND)
    }

    /// The smallest and the largest offset that it allows at `now`.
    fn bounds(self, now: Moment) -> (i64, i64) {
        let drift = micros(now).saturating_sub(micros(self.answered_at)) / DRIFT;
        let most = self.error_us.saturating_add(drift);
        let least = self.half_trip().saturating_add(drift);
        (
            self.offset_us.saturating_sub(least),
            self.offset_us.saturating_add(most),
        )
    }
}

#[derive(Debug, Default)]
pub(crate) struct StoreTime {
    samples: VecDeque<Sample>,
    best: Option<Sample>,
}

impl StoreTime {
    /// Learns from one answer. Tells by how many milliseconds the store's clock stepped, if it did.
    pub(crate) fn observe(
        &mut self,
        asked_at: Moment,
        answered_at: Moment,
        now: Timestamp,
    ) -> Option<i64> {
        let (asked_us, answered_us) = (micros(asked_at), micros(answered_at));
        let half_trip = answered_us.saturating_sub(asked_us).max(0) / 2;
        let sample = Sample {
            offset_us: now
                .as_millis()
                .saturating_mul(1000)
                .saturating_sub(asked_us.saturating_add(half_trip)),
            error_us: half_trip.saturating_add(MILLISECOND),
            answered_at,
        };
        let stepped = self.best.and_then(|best| {
            let apart = sample.offset_us.saturating_sub(best.offset_us);
            let allowed = sample.error_us.saturating_add(best.error_us) + STEP_US;
            (apart.saturating_abs() > allowed).then_some(apart / 1000)
        });
        if stepped.is_some() {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
        self.best = self.best_at(answered_at);
        stepped
    }

    fn best_at(&self, now: Moment) -> Option<Sample> {
        let mut best = self.samples.iter().copied().min_by_key(|s| s.error_us)?;
        let bounds = || self.samples.iter().map(|sample| sample.bounds(now));
        let least = bounds().map(|(least, _)| least).max()?;
        let most = bounds().map(|(_, most)| most).min()?;
        // If they contradict each other the later one holds, so that nothing seems due too soon.
        best.offset_us = best.offset_us.max(least).min(most);
        Some(best)
    }

    /// The store's clock at a moment; `None` before the first answer. Rounded down, so that nothing
    /// seems due before it is.
    pub(crate) fn at(&self, moment: Moment) -> Option<Timestamp> {
        let us = micros(moment).saturating_add(self.best?.offset_us);
        Some(Timestamp::from_millis(us.div_euclid(1000)))
    }

    /// How far the store's clock may be from what is believed of it; zero before the first answer.
    pub(crate) fn uncertainty(&self) -> Duration {
        let error_us = self.best.map_or(0, |best| best.error_us);
        Duration::from_micros(error_us.unsigned_abs())
    }

    /// The longest round trip of the last eight; zero before the first answer.
    pub(crate) fn longest_trip(&self) -> Duration {
        let trips = self.samples.iter().map(|sample| sample.half_trip() * 2);
        let longest = trips.max().unwrap_or(0);
        Duration::from_micros(longest.unsigned_abs())
    }

    /// The moment at which the store's clock shows `tick`; `None` before the first answer.
    pub(crate) fn moment_of(&self, tick: Timestamp) -> Option<Moment> {
        let us = tick.as_millis().saturating_mul(1000);
        let us = us.saturating_sub(self.best?.offset_us);
        let us = u64::try_from(us).unwrap_or(0);
        Some(Moment::from_origin(Duration::from_micros(us)))
    }

    /// How long after `moment` the store's clock shows `tick`; zero if it did already.
    pub(crate) fn until(&self, tick: Timestamp, moment: Moment) -> Duration {
        let Some(best) = self.best else {
            return Duration::MAX;
        };
        let steady = tick
            .as_millis()
            .saturating_mul(1000)
            .saturating_sub(best.offset_us);
        let us = steady.saturating_sub(micros(moment));
        Duration::from_micros(u64::try_from(us).unwrap_or(0))
    }
}

fn micros(moment: Moment) -> i64 {
    i64::try_from(moment.since_origin().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn the_shortest_round_trip_of_the_last_eight_is_believed() {
        let mut time = StoreTime::default();
        assert_eq!(time.at(at(0)), None);
        time.observe(at(0), at(100), Timestamp::from_millis(5_010));
        assert_eq!(time.at(at(50)), Some(Timestamp::from_millis(5_010)));
        time.observe(at(200), at(202), Timestamp::from_millis(5_201));
        assert_eq!(time.at(at(201)), Some(Timestamp::from_millis(5_201)));
        time.observe(at(300), at(400), Timestamp::from_millis(5_300));
        assert_eq!(time.at(at(201)), Some(Timestamp::from_millis(5_201)));
        assert_eq!(
            time.until(Timestamp::from_millis(5_301), at(201)),
            Duration::from_millis(100)
        );
        assert_eq!(time.until(Timestamp::EPOCH, at(201)), Duration::ZERO);
        assert_eq!(time.uncertainty(), Duration::from_millis(2));
        assert_eq!(time.longest_trip(), Duration::from_millis(100));
    }

    #[test]
    fn s26_answers_in_whole_milliseconds_tell_the_time_more_exactly_than_that_and_never_early() {
        for fraction in (0..1000).step_by(37) {
            let ahead = 5_000_000_000 + fraction;
            let mut time = StoreTime::default();
            for n in 0_u64..20 {
                let us = n * 100_130;
                let moment = Moment::from_origin(Duration::from_micros(us));
                let shown = (i64::try_from(us).unwrap() + ahead).div_euclid(1000);
                time.observe(moment, moment, Timestamp::from_millis(shown));
            }
            let tick = Timestamp::from_millis(5_010_000);
            let due_us = 5_010_000_000 - ahead;
            let late_us = micros(time.moment_of(tick).unwrap()) - due_us;
            assert!((0..=250).contains(&late_us), "{late_us} us at {fraction}");
        }
    }

    #[test]
    fn s27_a_step_of_the_stores_clock_is_followed_at_the_next_answer() {
        let mut time = StoreTime::default();
        for n in 0..8 {
            let sample = Timestamp::from_millis(1_000_000 + n * 1000);
            assert_eq!(
                time.observe(
                    at(n.cast_unsigned() * 1000),
                    at(n.cast_unsigned() * 1000),
                    sample
                ),
                None
            );
        }
        let stepped = time.observe(at(9_000), at(9_010), Timestamp::from_millis(979_005));
        assert_eq!(stepped, Some(-30_000));
        assert_eq!(time.at(at(9_005)), Some(Timestamp::from_millis(979_005)));
    }
}
