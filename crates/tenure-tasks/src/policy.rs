//! The rules a task may choose: what to do after a failure, after an absence, after a lost lease.
//!
//! Only words and arithmetic; the runner applies them. Overlap and crash rules are part of the
//! store's contract and come from `tenure-core`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What to do about ticks that nobody ran in time: after a stop, an outage, a suspension or a
/// clock that was set forward.
///
/// A tick that is at most two seconds late is not an absence; it runs whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CatchUp {
    /// Go on with the next tick.
    Skip,
    /// Run the latest of them, if it is inside the catch-up window. The default.
    #[default]
    Latest,
    /// Run the earliest of them that is inside the catch-up window.
    Earliest,
    /// Run those inside the catch-up window, oldest first, but no more than the task's
    /// `catch_up_max`; the newest are kept.
    All,
}

impl CatchUp {
    /// The word that stands for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Latest => "latest",
            Self::Earliest => "earliest",
            Self::All => "all",
        }
    }
}

/// Which node asks for a task's runs first, among those that are there.
///
/// A preference and no promise: a run whose node does not ask for it goes to another within a
/// second, as long as one of the nodes that look after its tick is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Affinity {
    /// Another one for each tick and index, so that work is spread by the nodes' capacities. The
    /// default.
    #[default]
    Spread,
    /// The same one for each tick, as long as it is there: for tasks that gain from what an earlier
    /// run left on the machine. Such tasks are not balanced against others.
    Sticky,
}

impl Affinity {
    /// The word that stands for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Sticky => "sticky",
        }
    }
}

/// What happens to running code when its node can no longer trust its lease, so that other nodes
/// may take it for dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnLeaseLoss {
    /// The code is told to stop, and dropped before the lease can end. The default.
    #[default]
    Stop,
    /// The code goes on; the store may refuse its outcome as late.
    Continue,
}

/// How often a run that failed or took too long is tried again, and after what delay.
///
/// Counts attempts, the first included, on whatever node they run. No attempt is begun once the
/// schedule's next tick is due, unless [`Retry::past_next_tick`] says so, and none later than
/// [`Retry::within`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retry {
    attempts: u32,
    pace: Pace,
    goes_past_next_tick: bool,
    within: Option<Duration>,
}

/// What is not said is not shown either: definitions are told apart by this text, and those that
/// say nothing new are to stay what they were.
impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Retry");
        shown
            .field("attempts", &self.attempts)
            .field("pace", &self.pace)
            .field("goes_past_next_tick", &self.goes_past_next_tick);
        if let Some(within) = self.within {
            shown.field("within", &within);
        }
        shown.finish()
    }
}

/// How long all attempts together may be given.
const TIMES: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 24 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pace {
    Fixed(Duration),
    Exponential { first: Duration, most: Duration },
}

impl Retry {
    /// The most attempts a task may ask for.
    pub const MAX_ATTEMPTS: u32 = 1000;

    /// One attempt. The default.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(1, Duration::ZERO)
    }

    /// At most `attempts` attempts, the first included, `delay` apart.
    #[must_use]
    pub const fn fixed(attempts: u32, delay: Duration) -> Self {
        Self {
            attempts,
            pace: Pace::Fixed(delay),
            goes_past_next_tick: false,
            within: None,
        }
    }

    /// At most `attempts` attempts, the first included. The delay is drawn between zero and a bound
    /// that starts at one second and doubles up to ten minutes ("full jitter").
    ///
    /// # Sources
    /// M. Brooker, "Exponential Backoff And Jitter" (2015).
    #[must_use]
    pub const fn exponential(attempts: u32) -> Self {
        Self {
            attempts,
            pace: Pace::Exponential {
                first: Duration::from_secs(1),
                most: Duration::from_secs(600),
            },
            goes_past_next_tick: false,
            within: None,
        }
    }

    /// Other bounds for an exponential delay; a fixed one is left as it is.
    #[must_use]
    pub const fn between(mut self, first: Duration, most: Duration) -> Self {
        if let Pace::Exponential { .. } = self.pace {
            self.pace = Pace::Exponential { first, most };
        }
        self
    }

    /// Goes on trying after the schedule's next tick is due.
    #[must_use]
    pub const fn past_next_tick(mut self) -> Self {
        self.goes_past_next_tick = true;
        self
    }

    /// Begins no further attempt later than so long after the run's tick, whatever else is allowed;
    /// from 1 ms to 366 days. Without it, attempts and the next tick are the only bounds.
    ///
    /// Of a run that somebody asked for, the time counts from when they asked.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// How long after the run's tick the last attempt may begin, if that is said.
    #[must_use]
    pub const fn time(&self) -> Option<Duration> {
        self.within
    }

    /// The most attempts, the first included.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether attempts may begin after the schedule's next tick is due.
    #[must_use]
    pub const fn goes_past_next_tick(&self) -> bool {
        self.goes_past_next_tick
    }

    /// The longest delay before an attempt.
    #[must_use]
    pub const fn longest_delay(&self) -> Duration {
        match self.pace {
            Pace::Fixed(delay) => delay,
            Pace::Exponential { most, .. } => most,
        }
    }

    /// How long to wait after attempt number `failed`, or `None` if it was the last. `chance` is
    /// between 0 and 1.
    #[must_use]
    pub(crate) fn delay_after(&self, failed: u32, chance: f64) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        Some(match self.pace {
            Pace::Fixed(delay) => delay,
            Pace::Exponential { first, most } => {
                let doublings = failed.saturating_sub(1).min(31);
                let bound = first.saturating_mul(1 << doublings).min(most);
                bound.mul_f64(chance.clamp(0.0, 1.0))
            }
        })
    }

    /// Why this rule cannot be used, if it cannot.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.attempts == 0 {
            return Some("0 attempts would never run it; write at least 1");
        }
        if self.attempts > Self::MAX_ATTEMPTS {
            return Some("more than 1000 attempts are not allowed");
        }
        match self.pace {
            Pace::Exponential { first, .. } if first.is_zero() => {
                Some("an exponential delay must begin above zero")
            }
            Pace::Exponential { first, most } if first > most => {
                Some("the first delay is longer than the longest")
            }
            _ if self.within.is_some_and(|time| !TIMES.contains(&time)) => {
                Some("the time for all attempts must be 1ms to 366d")
            }
            _ if self.longest_delay() > Duration::from_secs(24 * 3600) => {
                Some("a delay may be one day at most")
            }
            _ => None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s44_delays_grow_up_to_their_bound_and_end_with_the_attempts() {
        let retry = Retry::exponential(5).between(Duration::from_secs(2), Duration::from_secs(5));
        for (failed, chance, expected) in [
            (1, 1.0, Some(2_000)),
            (2, 1.0, Some(4_000)),
            (3, 1.0, Some(5_000)),
            (3, 0.5, Some(2_500)),
            (4, 0.0, Some(0)),
            (5, 1.0, None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(retry.delay_after(failed, chance), expected, "{failed}");
        }
        let fixed = Retry::fixed(2, Duration::from_secs(3));
        assert_eq!(fixed.delay_after(1, 0.0), Some(Duration::from_secs(3)));
        assert_eq!(fixed.delay_after(2, 0.0), None);
        assert_eq!(Retry::none().delay_after(1, 1.0), None);
    }

    #[test]
    fn s53_a_rule_that_says_nothing_new_is_written_as_before() {
        let retry = Retry::fixed(2, Duration::from_secs(3));
        let before = "Retry { attempts: 2, pace: Fixed(3s), goes_past_next_tick: false }";
        assert_eq!(format!("{retry:?}"), before);
        let within = format!("{:?}", retry.within(Duration::from_secs(60)));
        assert!(within.contains("within: 60s"), "{within}");
    }

    #[test]
    fn s44_a_time_for_all_attempts_that_means_nothing_is_refused() {
        for (time, is_right) in [
            (0, false),
            (1, true),
            (366 * 86_400_000, true),
            (u64::MAX, false),
        ] {
            let retry = Retry::exponential(3).within(Duration::from_millis(time));
            assert_eq!(retry.fault().is_none(), is_right, "{time} ms");
        }
    }

    #[test]
    fn the_attempt_number_never_overflows_the_delay() {
        let retry = Retry::exponential(1000);
        assert_eq!(retry.delay_after(999, 1.0), Some(retry.longest_delay()));
    }
}
