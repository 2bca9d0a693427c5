//! How long before a tick its runs are claimed, when very many are due together.
//!
//! A claim takes a while, and the last of ten thousand takes them all. Stores accept claims some
//! time before their tick, and whoever has won waits for the tick itself, so a node that has the
//! tick to itself claims the runs of a burst ahead and only has to begin them when they are due.
//! Those that wait for a while are not begun by their claim (`starting`).
//!
//! What is decided ahead is decided by how things are then, so this is not done for few runs, nor
//! for a task that has a run in hand, which may end before the tick; and no longer before the tick
//! than the claims of the bursts before took.

use std::collections::HashSet;
use std::time::Duration;

use tenure_core::{Moment, Timestamp};

use super::Runner;
use crate::hash::Quick;
use crate::table::TaskId;

/// Fewer runs than these are claimed at their tick.
const MANY: u32 = 256;

/// How long before the tick claims begin at most, for each run that is due; of more than [`LARGE`]
/// runs for each further one. A store that takes longer has the rest of them late.
const EACH: Duration = Duration::from_micros(20);
const EACH_MORE: Duration = Duration::from_micros(6);
const LARGE: u32 = 10_000;

/// However fast a store was, the next burst may find it busier.
const LEAST: Duration = Duration::from_micros(4);

/// So many runs have the longest lead, 800 ms; more need not be counted.
const MOST: u32 = 110_000;

/// How much earlier than the lead claims may come to the store, because its clock is not known
/// exactly.
const DOUBT: Duration = Duration::from_millis(50);

/// The lead of so many runs, if claiming each takes `each`: half as much again, for a burst that
/// finds the store busier than the last one did.
fn lead_of(count: u32, each: Duration) -> Duration {
    let most = EACH * count.min(LARGE) + EACH_MORE * count.clamp(LARGE, MOST).saturating_sub(LARGE);
    most.min((each * 3 / 2).max(LEAST) * count)
}

/// The claims of a burst while they are made.
#[derive(Debug)]
struct Claiming {
    begun_at: Moment,
    claimed: u32,
    answered_at: Moment,
}

impl Claiming {
    /// How long each took; unknown if there were few.
    fn each(&self) -> Option<Duration> {
        let took = self.answered_at.since(self.begun_at);
        (self.claimed >= MANY).then(|| took / self.claimed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The instant whose runs are claimed ahead, or were last.
    at: Option<Timestamp>,
    /// How long before.
    used: Duration,
    /// The tasks that had a run in hand when that began.
    busy: HashSet<TaskId, Quick>,
    /// How long before the next instant its claims begin.
    ahead: Duration,
    claiming: Option<Claiming>,
    /// How long claiming a run took in the bursts before; `None` before the first.
    each: Option<Duration>,
}

impl Lead {
    /// How much before its tick a claim that is sent now may come.
    pub(super) fn early(&self) -> Duration {
        self.used + DOUBT
    }

    /// Whether the run of a task is left until its tick.
    pub(super) fn leaves(&self, task: TaskId) -> bool {
        self.busy.contains(&task)
    }

    /// So many claims of one instant were answered.
    pub(super) fn answered(&mut self, tick: Timestamp, count: usize, answered_at: Moment) {
        if let Some(claiming) = self.claiming.as_mut().filter(|_| self.at == Some(tick)) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            claiming.claimed = claiming.claimed.saturating_add(count);
            claiming.answered_at = claiming.answered_at.max(answered_at);
        }
    }

    /// Learns from the last burst: of a slower one all, of a faster one half.
    fn learn(&mut self) {
        let Some(took) = self.claiming.take().and_then(|claiming| claiming.each()) else {
            return;
        };
        let before = self.each.unwrap_or(took);
        self.each = Some(took.max((before + took) / 2));
    }
}

impl Runner {
    /// Up to which instant tasks are looked at now: the present, or that of a burst that is near.
    pub(super) fn horizon(&mut self, store_now: Timestamp, now: Moment) -> Timestamp {
        let first = self.table.first().filter(|first| *first > store_now);
        let Some(first) = first.filter(|first| *first - self.lead.ahead <= store_now) else {
            return store_now;
        };
        if self.lead.at != Some(first) {
            self.lead.claiming = Some(Claiming {
                begun_at: now,
                claimed: 0,
                answered_at: now,
            });
            self.lead.at = Some(first);
            self.lead.used = self.lead.ahead;
            let names = self.in_hand.keys().map(|run| &run.key.task);
            let busy = names.filter_map(|name| self.table.id_of(name));
            self.lead.busy = busy.chain(self.claims.tasks()).collect();
        }
        first
    }

    /// Decides how long before the next instant its claims begin.
    pub(super) fn look_ahead(&mut self) {
        let first = self.table.first().filter(|_| self.peers.is_alone());
        if first.is_some() && first == self.lead.at {
            // The rest of those that are being claimed.
            return;
        }
        if self.claims.backlog() == 0 {
            self.lead.learn();
        }
        self.lead.ahead = first.map_or(Duration::ZERO, |first| {
            // Runs that a moment ago were left until their tick are not claimed ahead again, and
            // what follows so soon would find most of the tasks busy.
            let used = self.lead.used;
            let is_soon = |last: Timestamp| last < first && first <= last + used;
            if self.lead.at.is_some_and(is_soon) {
                return Duration::ZERO;
            }
            match self.table.crowd(first, MOST) {
                few if few < MANY => Duration::ZERO,
                many => lead_of(many, self.lead.each.unwrap_or(EACH)),
            }
        });
    }

    /// How long it is until tasks must be looked at.
    pub(super) fn until_due(&self, now: Moment) -> Option<Duration> {
        let first = self.table.first()?;
        Some(self.time.until(first - self.lead.ahead, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn s47_the_lead_is_as_short_as_the_bursts_before_allow_and_never_longer_than_its_bound() {
        for (count, each, ms) in [
            (256, EACH, 5),
            (10_000, EACH, 200),
            (100_000, EACH, 740),
            (u32::MAX, EACH, 800),
            (10_000, us(6), 90),
            (10_000, us(0), 40),
            (256, us(1_000), 5),
        ] {
            assert_eq!(lead_of(count, each).as_millis(), ms, "{count} {each:?}");
        }
    }

    #[test]
    fn s47_a_slower_burst_is_believed_at_once_and_a_faster_one_by_half() {
        let tick = Timestamp::from_millis(60_000);
        let begun_at = Moment::from_origin(Duration::from_secs(1));
        let mut lead = Lead::default();
        for (claimed, took_us, expected) in [
            (100, 100, None),
            (1_000, 8_000, Some(us(8))),
            (1_000, 12_000, Some(us(12))),
            (1_000, 4_000, Some(us(8))),
        ] {
            lead.at = Some(tick);
            lead.claiming = Some(Claiming {
                begun_at,
                claimed: 0,
                answered_at: begun_at,
            });
            lead.answered(tick, claimed, begun_at + us(took_us));
            // Of another instant.
            let later = tick + Duration::from_secs(1);
            lead.answered(later, 5_000, begun_at + us(900_000));
            lead.learn();
            assert_eq!(lead.each, expected, "{claimed} in {took_us} us");
        }
    }
}
