//! Lengths of time: ticks at equal distances, anchored to the Unix epoch, and delays.
//!
//! Every node computes the same ticks whenever it started, because nothing but the period counts.

use std::time::Duration;

use jiff::Timestamp;

const MILLISECOND: i128 = 1_000_000;
const LEAST_MILLIS: i64 = 100;
const HOUR_MILLIS: i64 = 3_600_000;
/// Ten years of 365.25 days.
const MOST_MILLIS: i64 = 87_660 * HOUR_MILLIS;

/// A distance between ticks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(i64);

impl Period {
    /// `None` if it is too short, too long or not in whole milliseconds.
    pub(crate) fn from_nanos(nanos: i128) -> Option<Self> {
        let millis = i64::try_from(nanos / MILLISECOND).ok()?;
        let is_whole = nanos % MILLISECOND == 0;
        (is_whole && (LEAST_MILLIS..=MOST_MILLIS).contains(&millis)).then_some(Self(millis))
    }

    /// The first multiple of the period after an instant, from the epoch itself on.
    pub(crate) fn tick_after(self, after: Timestamp) -> Option<Timestamp> {
        if after < Timestamp::UNIX_EPOCH {
            return Some(Timestamp::UNIX_EPOCH);
        }
        let passed = after.as_millisecond().div_euclid(self.0);
        instant(passed.checked_add(1)?.checked_mul(self.0)?)
    }

    /// The last multiple of the period before an instant.
    pub(crate) fn tick_before(self, before: Timestamp) -> Option<Timestamp> {
        if before <= Timestamp::UNIX_EPOCH {
            return None;
        }
        let is_whole = i128::from(before.subsec_nanosecond()) % MILLISECOND == 0;
        let last = before.as_millisecond() - i64::from(is_whole);
        instant(last.div_euclid(self.0) * self.0)
    }

    /// The period in its largest unit that needs no fraction: `90s`, `2h`.
    pub(crate) fn text(self) -> String {
        let (number, unit) = self.in_unit(["h", "m", "s", "ms"]);
        format!("{number}{unit}")
    }

    /// The same with the unit spelled out: `90 seconds`.
    pub(crate) fn words(self) -> String {
        let (number, unit) = self.in_unit(["hour", "minute", "second", "millisecond"]);
        if number == 1 {
            unit.to_owned()
        } else {
            format!("{number} {unit}s")
        }
    }

    /// The same with its number always: `1 minute`.
    pub(crate) fn counted(self) -> String {
        let words = self.words();
        if words.starts_with(|first: char| first.is_ascii_digit()) {
            words
        } else {
            format!("1 {words}")
        }
    }

    pub(crate) fn length(self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }

    fn in_unit(self, [hour, minute, second, millisecond]: [&str; 4]) -> (i64, &str) {
        [(HOUR_MILLIS, hour), (60_000, minute), (1_000, second)]
            .into_iter()
            .find(|(millis, _)| self.0 % millis == 0)
            .map_or((self.0, millisecond), |(millis, unit)| {
                (self.0 / millis, unit)
            })
    }
}

/// The instant so many milliseconds after the epoch.
///
/// `Timestamp::from_millisecond` would refuse those within the last second there is.
fn instant(millis: i64) -> Option<Timestamp> {
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).ok()?;
    Timestamp::new(millis.div_euclid(1_000), nanos).ok()
}
