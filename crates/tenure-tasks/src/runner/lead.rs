//! How long before a tick its runs are claimed, when very many are due together.
//!
//! A claim takes a while, and the last of ten thousand takes them all. Stores accept claims some
//! time before their tick, and whoever has won waits for the tick itself, so a node that has the
//! tick to itself claims the runs of a burst ahead and only has to begin them when they are due.
//!
//! What is decided ahead is decided by how things are then, so this is not done for few runs, nor
//! for a task that has a run in hand, which may end before the tick.

use std::collections::HashSet;
use std::time::Duration;

use tenure_core::{Moment, Timestamp};

use super::Runner;
use crate::hash::Quick;
use crate::table::TaskId;

/// Fewer runs than these are claimed at their tick.
const MANY: u32 = 256;

/// How long before the tick claims begin, for each run that is due; of more than [`LARGE`] runs for
/// each further one. A store that takes longer has the rest of them late.
const EACH: Duration = Duration::from_micros(20);
const EACH_MORE: Duration = Duration::from_micros(2);
const LARGE: u32 = 10_000;

/// So many runs have the longest lead, 400 ms; more need not be counted.
const MOST: u32 = 110_000;

/// How much earlier than the lead claims may come to the store, because its clock is not known
/// exactly.
const DOUBT: Duration = Duration::from_millis(50);

fn lead_of(count: u32) -> Duration {
    EACH * count.min(LARGE) + EACH_MORE * count.clamp(LARGE, MOST).saturating_sub(LARGE)
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
}

impl Runner {
    /// Up to which instant tasks are looked at now: the present, or that of a burst that is near.
    pub(super) fn horizon(&mut self, store_now: Timestamp) -> Timestamp {
        let first = self.table.first().filter(|first| *first > store_now);
        let Some(first) = first.filter(|first| *first - self.lead.ahead <= store_now) else {
            return store_now;
        };
        if self.lead.at != Some(first) {
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
                many => lead_of(many),
            }
        });
    }

    /// How long it is until tasks must be looked at.
    pub(super) fn until_due(&self, now: Moment) -> Option<Duration> {
        let first = self.table.first()?;
        Some(self.time.until(first - self.lead.ahead, now))
    }
}
