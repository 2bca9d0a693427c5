//! How long before a tick its runs are claimed, when very many are due together.
//!
//! A claim takes a while, and the last of ten thousand takes them all. A store accepts a claim up
//! to 250 ms before its tick, and whoever has won waits for the tick itself, so a node that has the
//! tick to itself claims the runs of a burst ahead and only has to begin them when they are due.
//!
//! What is decided ahead is decided by how things are then, so this is not done for few runs, nor
//! for a task that has a run in hand, which may end before the tick.

use std::collections::HashSet;
use std::time::Duration;

use tenure_core::{Moment, Timestamp};

use super::{MANY, Runner};
use crate::hash::Quick;
use crate::table::TaskId;

/// How long before the tick claims begin, for each run that is due.
const EACH: Duration = Duration::from_micros(20);

/// The longest lead. Stores refuse what is 250 ms early, and clocks are not known exactly.
const LONGEST: Duration = Duration::from_millis(200);

/// So many runs have the longest lead; more need not be counted.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The instant whose runs are claimed ahead, or were last.
    at: Option<Timestamp>,
    /// The tasks that had a run in hand when that began.
    busy: HashSet<TaskId, Quick>,
    /// How long before the next instant its claims begin.
    ahead: Duration,
}

impl Lead {
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
            let is_soon = |last: Timestamp| last < first && first <= last + LONGEST;
            if self.lead.at.is_some_and(is_soon) {
                return Duration::ZERO;
            }
            let count = self.table.crowd(first, MOST);
            if count < MANY {
                return Duration::ZERO;
            }
            u32::try_from(count).map_or(LONGEST, |count| LONGEST.min(EACH * count))
        });
    }

    /// How long it is until tasks must be looked at.
    pub(super) fn until_due(&self, now: Moment) -> Option<Duration> {
        let first = self.table.first()?;
        Some(self.time.until(first - self.lead.ahead, now))
    }
}
