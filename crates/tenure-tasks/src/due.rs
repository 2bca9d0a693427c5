//! Which ticks of a task to run now, and which to give up.
//!
//! The same routine serves the ordinary tick, the start of a process, the return of a store, a
//! resumed suspension and a clock that was set forward: all it sees is two instants. Pure.

use std::time::Duration;

use tenure_core::Timestamp;

use crate::policy::CatchUp;
use crate::spec::TaskSpec;

/// A tick that is no later than this is in time, whatever the catch-up rule says.
pub(crate) const PUNCTUAL: Duration = Duration::from_secs(2);

/// How many missed ticks are kept one by one; older ones are only counted.
pub(crate) const MISSED_KEPT: usize = 16;

/// How many ticks are looked at; whatever is older is counted as one more.
const WALK: usize = 2000;

/// What is to be done about the ticks between two instants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Due {
    /// To be run, oldest first.
    pub(crate) run: Vec<Timestamp>,
    /// Not to be run.
    pub(crate) missed: Missed,
    /// The latest tick that was looked at; `None` if none is due.
    pub(crate) seen: Option<Timestamp>,
}

/// Ticks that will not be run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Missed {
    /// The newest of them, oldest first.
    pub(crate) ticks: Vec<Timestamp>,
    /// How many older ones there are, or at least are.
    pub(crate) more: u64,
    /// Ticks before this instant were outside the catch-up window.
    pub(crate) open: Timestamp,
}

impl Missed {
    pub(crate) fn count(&self) -> u64 {
        self.more.saturating_add(self.ticks.len() as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ticks.is_empty()
    }
}

/// What to do at `now` about the ticks after `after`.
pub(crate) fn due(spec: &TaskSpec, after: Timestamp, now: Timestamp) -> Due {
    let Some(newest) = newest_due(spec, now).filter(|newest| *newest > after) else {
        return Due::default();
    };
    let open = now - spec.claim_window();
    let backwards = spec
        .schedule
        .ticks_between(after.to_jiff(), newest.to_jiff())
        .rev()
        .map(Timestamp::from);
    let mut ticks: Vec<Timestamp> = Vec::new();
    let mut more = 0;
    for (place, tick) in backwards.enumerate() {
        if place == WALK {
            more += 1;
            break;
        }
        ticks.push(tick);
    }
    let is_punctual = |tick: &Timestamp| now.since(spec.fires_at(*tick)) <= PUNCTUAL;
    // Newest first up to here.
    let in_window = ticks.iter().take_while(|tick| **tick >= open).count();
    let run = if ticks.last().is_some_and(is_punctual) {
        in_window
    } else {
        let wanted = match spec.catch_up() {
            CatchUp::Skip => usize::from(is_punctual(&newest)),
            CatchUp::Latest => 1,
            CatchUp::All => spec.catch_up_max(),
        };
        wanted.min(in_window)
    };
    let mut missed = ticks.split_off(run);
    more += missed.len().saturating_sub(MISSED_KEPT) as u64;
    missed.truncate(MISSED_KEPT);
    missed.reverse();
    ticks.reverse();
    Due {
        run: ticks,
        missed: Missed {
            ticks: missed,
            more,
            open,
        },
        seen: Some(newest),
    }
}

/// The latest tick whose time has come, jitter included. Jitter is shorter than the distance to
/// the next tick, so only the newest can still be waiting for its own.
fn newest_due(spec: &TaskSpec, now: Timestamp) -> Option<Timestamp> {
    let newest = spec.schedule.previous_at_or_before(now.to_jiff())?;
    if spec.fires_at(newest.into()) <= now {
        return Some(newest.into());
    }
    spec.schedule.previous_before(newest).map(Timestamp::from)
}
