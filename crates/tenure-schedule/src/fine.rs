//! Ticks finer than a second, and local times at a fixed distance from UTC.
//!
//! A calendar picks seconds; the few that have milliseconds or an offset pass through here, where
//! each picked second is opened into its milliseconds. A tick that stands for times in a gap has
//! none of its own and is due at the first instant after the gap.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::calendar::{Calendar, Rare};
use crate::local::local_of;

const NANOS: i32 = 1_000_000;
const LAST_MILLI: u16 = 999;

/// The milliseconds at which it fires, if they are not just 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Millis {
    /// Rising; empty for 0 alone.
    values: Box<[u16]>,
    /// The values count from the start of the minute, not of every second.
    is_of_minute: bool,
}

impl Millis {
    /// The same milliseconds in every second that is picked.
    pub(crate) fn of_second(mut values: Vec<u16>) -> Self {
        values.sort_unstable();
        values.dedup();
        if values == [0] {
            values.clear();
        }
        Self {
            values: values.into(),
            is_of_minute: false,
        }
    }

    /// Milliseconds of the minute; each picked second has at least one.
    pub(crate) fn of_minute(mut values: Vec<u16>) -> Self {
        values.sort_unstable();
        values.dedup();
        if values.iter().all(|value| value % 1000 == 0) {
            values.clear();
        }
        Self {
            values: values.into(),
            is_of_minute: true,
        }
    }

    pub(crate) fn values(&self) -> &[u16] {
        &self.values
    }

    pub(crate) fn is_of_minute(&self) -> bool {
        self.is_of_minute
    }

    fn at_or_after(&self, second: u16, least: u16) -> Option<u16> {
        if self.values.is_empty() {
            return (least == 0).then_some(0);
        }
        let base = self.base(second);
        let place = self.values.partition_point(|value| *value < base + least);
        let found = self.values.get(place)?.checked_sub(base)?;
        (found <= LAST_MILLI).then_some(found)
    }

    fn at_or_before(&self, second: u16, most: u16) -> Option<u16> {
        if self.values.is_empty() {
            return Some(0);
        }
        let base = self.base(second);
        let place = self.values.partition_point(|value| *value <= base + most);
        self.values.get(place.checked_sub(1)?)?.checked_sub(base)
    }

    fn base(&self, second: u16) -> u16 {
        if self.is_of_minute { second * 1000 } else { 0 }
    }
}

impl Rare {
    fn is_fine(&self) -> bool {
        self.offset_minutes != 0 || !self.millis.values().is_empty()
    }
}

impl Calendar {
    /// The first tick after an instant.
    pub(crate) fn next_after(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        // Nothing fires before the epoch; from there on, whole seconds round down.
        let (second, nanos) = if after < Timestamp::UNIX_EPOCH {
            (-1, 999 * NANOS)
        } else {
            (after.as_second(), after.subsec_nanosecond())
        };
        let Some(rare) = self.rare.as_deref().filter(|rare| rare.is_fine()) else {
            return Timestamp::from_second(self.tick_after(zone, second)?).ok();
        };
        let offset = i64::from(rare.offset_minutes) * 60;
        let least = u16::try_from(nanos / NANOS + 1).unwrap_or(0);
        let now = second + offset;
        let within = (least <= LAST_MILLI && self.tick_until(zone, now) == Some(now))
            .then(|| self.milli_at_or_after(rare, zone, now, least))
            .flatten();
        let tick = if let Some(milli) = within {
            instant(second, milli)
        } else {
            // An offset to the east puts local 1970 before the epoch.
            let tick = self.tick_after(zone, now.max(offset - 1))?;
            let milli = self.milli_at_or_after(rare, zone, tick, 0)?;
            instant(tick - offset, milli)
        };
        tick.filter(|tick| *tick > after)
    }

    /// The last tick before an instant, which must be after the epoch.
    pub(crate) fn previous_before(&self, zone: &TimeZone, before: Timestamp) -> Option<Timestamp> {
        let (second, nanos) = (before.as_second(), before.subsec_nanosecond());
        let Some(rare) = self.rare.as_deref().filter(|rare| rare.is_fine()) else {
            return Timestamp::from_second(self.tick_until(zone, second - i64::from(nanos == 0))?)
                .ok();
        };
        let offset = i64::from(rare.offset_minutes) * 60;
        let now = second + offset;
        if nanos > 0 && self.tick_until(zone, now) == Some(now) {
            let most = u16::try_from((nanos - 1) / NANOS).unwrap_or(0);
            if let Some(milli) = self.milli_at_or_before(rare, zone, now, most) {
                return instant(second, milli);
            }
        }
        let tick = self.tick_until(zone, now - 1)?;
        instant(
            tick - offset,
            self.milli_at_or_before(rare, zone, tick, LAST_MILLI)?,
        )
    }

    fn milli_at_or_after(
        &self,
        rare: &Rare,
        zone: &TimeZone,
        tick: i64,
        least: u16,
    ) -> Option<u16> {
        match self.own_second(zone, tick) {
            Some(second) => rare.millis.at_or_after(second, least),
            None => (least == 0).then_some(0),
        }
    }

    fn milli_at_or_before(
        &self,
        rare: &Rare,
        zone: &TimeZone,
        tick: i64,
        most: u16,
    ) -> Option<u16> {
        match self.own_second(zone, tick) {
            Some(second) => rare.millis.at_or_before(second, most),
            None => Some(0),
        }
    }

    /// The second of the minute that a tick shows, or `None` if it stands for a gap.
    fn own_second(&self, zone: &TimeZone, tick: i64) -> Option<u16> {
        let local = local_of(zone, tick)?;
        let is_own = self.at_or_after(local) == Some(local);
        let second = u16::try_from(local.rem_euclid(60)).ok();
        second.filter(|_| is_own)
    }
}

/// The instant so many seconds and milliseconds after the epoch.
fn instant(second: i64, milli: u16) -> Option<Timestamp> {
    Timestamp::new(second, i32::from(milli) * NANOS).ok()
}
