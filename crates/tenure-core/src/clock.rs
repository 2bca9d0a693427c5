//! Where the time comes from: the one place that asks the operating system.
//!
//! Trust in a lease ends by a clock that never steps and that counts while the machine is
//! suspended. Code that needs the time is given a [`Clock`]; tests give it a [`ManualClock`].

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Moment, Timestamp};

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The steady clock: never steps, never falls, counts suspension. For trust windows and waits.
    fn now(&self) -> Moment;
    /// The wall clock, for schedules and display only; it may step at any moment.
    fn wall(&self) -> Timestamp;
}

/// The machine's clocks: `CLOCK_BOOTTIME` where the system has one, and the wall clock.
///
/// # Sources
/// Linux `clock_gettime(2)`: `CLOCK_MONOTONIC` stands still while the machine is suspended,
/// `CLOCK_BOOTTIME` does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment::from_origin(Duration::from_nanos(monotonic_nanos()))
    }

    fn wall(&self) -> Timestamp {
        // A wall clock before 1970 reads as the epoch: nothing is due then, and nothing breaks.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::EPOCH + since
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Boottime;
// Elsewhere the monotonic clock is the best there is; on Apple's systems it counts suspension.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// Nanoseconds of the steady clock.
pub(crate) fn monotonic_nanos() -> u64 {
    let time = rustix::time::clock_gettime(STEADY);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// A clock that stands still until it is told to move: for tests and simulations.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now().since(before), Duration::from_secs(5));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    steady_ns: AtomicU64,
    wall_offset_ms: AtomicI64,
}

impl ManualClock {
    /// A clock whose wall time is `wall` and whose steady time starts at one hour.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        let clock = Self {
            steady_ns: AtomicU64::new(3_600_000_000_000),
            wall_offset_ms: AtomicI64::new(0),
        };
        clock
            .wall_offset_ms
            .store(wall.as_millis() - clock.steady_ms(), Ordering::SeqCst);
        clock
    }

    /// Moves both clocks forward, as time does.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.steady_ns.fetch_add(ns, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an operator or NTP does; negative steps go back.
    pub fn step_wall_ms(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    fn steady_ms(&self) -> i64 {
        i64::try_from(self.steady_ns.load(Ordering::SeqCst) / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// Starts at 2026-01-01T00:00:00Z.
impl Default for ManualClock {
    fn default() -> Self {
        Self::starting_at(Timestamp::from_millis(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment::from_origin(Duration::from_nanos(self.steady_ns.load(Ordering::SeqCst)))
    }

    fn wall(&self) -> Timestamp {
        let offset = self.wall_offset_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(self.steady_ms().saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_stepping_the_wall_clock_leaves_the_steady_clock_alone() {
        let clock = ManualClock::default();
        let (steady, wall) = (clock.now(), clock.wall());
        clock.step_wall_ms(-3_600_000);
        assert_eq!(clock.now(), steady);
        assert_eq!(clock.wall(), wall - Duration::from_secs(3600));
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let first = SystemClock.now();
        assert!(SystemClock.now() >= first);
        assert!(SystemClock.wall() > Timestamp::from_millis(1_700_000_000_000));
    }
}
