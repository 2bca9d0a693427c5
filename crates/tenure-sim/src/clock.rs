//! The clocks of a simulated machine: tokio's paused time, made wrong in every way a machine's
//! clocks can be.
//!
//! Each machine has its own zero, so that moments of two machines are never compared by luck. A
//! frozen machine's clocks stand still and jump when it thaws, as over a suspension. It knows no
//! node and no store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Clock, Moment, Timestamp};
use tokio::time::Instant;

/// When a simulation begins unless its plan says otherwise: 2026-01-01T00:00:00Z.
pub const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The simulation's own time: what no simulated machine knows.
pub(crate) fn virtual_now() -> Instant {
    Instant::now() // tidy: allow(clock) paused time: what all clocks here are made of
}

/// One machine's steady clock and wall clock.
#[derive(Debug)]
pub struct SimClock {
    began_at: Instant,
    begins_at: Timestamp,
    booted: Duration,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    wall_ahead_ms: i64,
    /// What the wall clock showed before it was set back.
    highest: Option<Timestamp>,
    /// How much faster than time the steady clock runs, in millionths.
    fast_ppm: i64,
    frozen_at: Option<Duration>,
}

impl SimClock {
    /// True clocks of a machine that was booted `booted` before the simulation began, which was at
    /// `began_at` in virtual time and is called `begins_at`.
    #[must_use]
    pub fn new(began_at: Instant, begins_at: Timestamp, booted: Duration) -> Self {
        Self {
            began_at,
            begins_at,
            booted,
            faults: Mutex::default(),
        }
    }

    /// Sets how far the wall clock is ahead, in milliseconds.
    pub fn set_wall_ahead(&self, by_ms: i64) {
        self.change(|faults| faults.wall_ahead_ms = by_ms);
    }

    /// Steps the wall clock.
    pub fn step_wall(&self, by_ms: i64) {
        let highest = self.highest();
        self.change(|faults| {
            faults.wall_ahead_ms += by_ms;
            faults.highest = Some(highest);
        });
    }

    /// The latest instant that the wall clock has shown, as far as it was stepped by
    /// [`SimClock::step_wall`].
    #[must_use]
    pub fn highest(&self) -> Timestamp {
        let now = self.wall();
        self.change(|faults| faults.highest)
            .map_or(now, |highest| highest.max(now))
    }

    /// Makes both clocks run faster than time by so many millionths, as if since the beginning.
    pub fn set_fast(&self, ppm: i64) {
        self.change(|faults| faults.fast_ppm = ppm);
    }

    /// Both clocks stand still until [`SimClock::thaw`].
    pub fn freeze(&self) {
        let now = self.began_at.elapsed();
        self.change(|faults| faults.frozen_at = Some(faults.frozen_at.unwrap_or(now)));
    }

    /// Both clocks are right again at once.
    pub fn thaw(&self) {
        self.change(|faults| faults.frozen_at = None);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has passed by this machine's steady clock since the beginning.
    fn elapsed(&self) -> (Duration, i64) {
        let now = self.began_at.elapsed();
        self.change(|faults| {
            let elapsed = faults.frozen_at.unwrap_or(now);
            let us = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
            let fast_us =
                us / 1_000_000 * faults.fast_ppm + us % 1_000_000 * faults.fast_ppm / 1_000_000;
            let us = u64::try_from(us.saturating_add(fast_us)).unwrap_or(0);
            (Duration::from_micros(us), faults.wall_ahead_ms)
        })
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        Moment::from_origin(self.booted + self.elapsed().0)
    }

    fn wall(&self) -> Timestamp {
        let (elapsed, ahead_ms) = self.elapsed();
        let ms = (self.begins_at + elapsed).as_millis();
        Timestamp::from_millis(ms.saturating_add(ahead_ms))
    }
}
