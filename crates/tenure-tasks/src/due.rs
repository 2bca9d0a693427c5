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

    /// What was found after `before`, together with what had been found at earlier looks: of that
    /// only what came no later, because the rest was looked at again.
    pub(crate) fn found_after(mut self, before: Timestamp, earlier: Option<Self>) -> Self {
        let Some(mut earlier) = earlier else {
            return self;
        };
        let kept = earlier.ticks.iter().take_while(|tick| **tick <= before);
        earlier.ticks.truncate(kept.count());
        if earlier.is_empty() {
            return self;
        }
        earlier.ticks.append(&mut self.ticks);
        let surplus = earlier.ticks.len().saturating_sub(MISSED_KEPT);
        earlier.ticks.drain(..surplus);
        Self {
            ticks: earlier.ticks,
            more: earlier.more + self.more + surplus as u64,
            open: self.open.max(earlier.open),
        }
    }
}

/// What to do at `now` about the ticks after `after`.
pub(crate) fn due(spec: &TaskSpec, after: Timestamp, now: Timestamp) -> Due {
    let Some(newest) = newest_due(spec, now).filter(|newest| *newest > after) else {
        return Due::default();
    };
    let open = now - spec.claim_window();
    let backwards = spec
        .schedule()
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
            CatchUp::Earliest => return earliest(spec, ticks, more, in_window, now),
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

/// The earliest of the ticks inside the window, and nothing else; of `ticks`, which stand newest
/// first, so many are `in_window`.
fn earliest(
    spec: &TaskSpec,
    mut ticks: Vec<Timestamp>,
    mut more: u64,
    in_window: usize,
    now: Timestamp,
) -> Due {
    let seen = ticks.first().copied();
    let chosen = in_window.checked_sub(1).map(|place| ticks.remove(place));
    more += ticks.len().saturating_sub(MISSED_KEPT) as u64;
    ticks.truncate(MISSED_KEPT);
    ticks.reverse();
    Due {
        run: chosen.into_iter().collect(),
        missed: Missed {
            ticks,
            more,
            open: now - spec.claim_window(),
        },
        seen,
    }
}

/// The latest tick whose time has come, jitter included. Jitter is shorter than the distance to
/// the next tick, so only the newest can still be waiting for its own.
fn newest_due(spec: &TaskSpec, now: Timestamp) -> Option<Timestamp> {
    let newest = spec.schedule().previous_at_or_before(now.to_jiff())?;
    if spec.fires_at(newest.into()) <= now {
        return Some(newest.into());
    }
    spec.schedule().previous_before(newest).map(Timestamp::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::Task;

    const START: i64 = 1_767_225_600_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(START + ms)
    }

    fn spec(schedule: &str, catch_up: CatchUp, window_s: u64, max: usize) -> TaskSpec {
        Task::<()>::new("t")
            .schedule(schedule)
            .catch_up(catch_up)
            .catch_up_window(Duration::from_secs(window_s))
            .catch_up_max(max)
            .check()
            .unwrap()
    }

    #[test]
    fn s24_the_catch_up_rule_decides_about_ticks_that_are_late() {
        let tick = |n: i64| at(n * 60_000);
        for (catch_up, max, run, missed) in [
            (CatchUp::Skip, 10, vec![], vec![1, 2, 3, 4, 5]),
            (CatchUp::Latest, 10, vec![5], vec![1, 2, 3, 4]),
            (CatchUp::Earliest, 10, vec![3], vec![1, 2, 4, 5]),
            (CatchUp::All, 10, vec![3, 4, 5], vec![1, 2]),
            (CatchUp::All, 2, vec![4, 5], vec![1, 2, 3]),
        ] {
            let spec = spec("* * * * *", catch_up, 150, max);
            let due = due(&spec, at(0), at(325_000));
            assert_eq!(
                due.run,
                run.into_iter().map(tick).collect::<Vec<_>>(),
                "{catch_up:?}"
            );
            let expected: Vec<_> = missed.into_iter().map(tick).collect();
            assert_eq!(due.missed.ticks, expected, "{catch_up:?}");
            assert_eq!(due.seen, Some(tick(5)));
        }
    }

    #[test]
    fn s58_catching_up_all_runs_the_ten_newest_unless_told_otherwise() {
        let task = Task::<()>::new("t").schedule("* * * * *");
        let task = task.catch_up(CatchUp::All);
        let task = task.catch_up_window(Duration::from_secs(3600));
        let due = due(&task.check().unwrap(), at(0), at(15 * 60_000));
        let ticks = |numbers: std::ops::RangeInclusive<i64>| -> Vec<_> {
            numbers.map(|number| at(number * 60_000)).collect()
        };
        assert_eq!(due.run, ticks(6..=15));
        assert_eq!(due.missed.ticks, ticks(1..=5));
    }

    #[test]
    fn s24_what_an_earlier_look_found_is_kept_unless_it_was_looked_at_again() {
        let missed = |ticks: &[i64], more| Missed {
            ticks: ticks.iter().map(|tick| at(*tick)).collect(),
            more,
            open: at(0),
        };
        for (earlier, before, found, expected) in [
            (
                missed(&[1, 2], 3),
                2,
                missed(&[5], 0),
                missed(&[1, 2, 5], 3),
            ),
            (missed(&[1, 2], 3), 2, missed(&[], 0), missed(&[1, 2], 3)),
            // The cursor went back: what is found now is all there is.
            (
                missed(&[1, 2], 3),
                0,
                missed(&[1, 2, 5], 3),
                missed(&[1, 2, 5], 3),
            ),
            (
                missed(&[1, 2], 0),
                1,
                missed(&[2, 5], 0),
                missed(&[1, 2, 5], 0),
            ),
            (missed(&[1, 2], 0), 0, missed(&[], 0), missed(&[], 0)),
        ] {
            let told = format!("{earlier:?} {before} {found:?}");
            let merged = found.found_after(at(before), Some(earlier));
            assert_eq!(merged, expected, "{told}");
        }
        let many: Vec<i64> = (0..20).collect();
        let merged = missed(&[30], 2).found_after(at(20), Some(missed(&many, 1)));
        assert_eq!((merged.ticks.len(), merged.more), (MISSED_KEPT, 8));
        assert_eq!(merged.count(), 24);
    }

    #[test]
    fn s24_ticks_that_are_hardly_late_run_whatever_the_rule_says() {
        for catch_up in [
            CatchUp::Skip,
            CatchUp::Latest,
            CatchUp::Earliest,
            CatchUp::All,
        ] {
            let spec = spec("@every 500ms", catch_up, 60, 1);
            let due = due(&spec, at(0), at(1_600));
            assert_eq!(due.run, [at(500), at(1_000), at(1_500)], "{catch_up:?}");
            assert!(due.missed.is_empty());
        }
    }

    #[test]
    fn s63_every_tick_of_a_year_is_run_once_however_often_somebody_looks() {
        let spec = spec("0 * * * *", CatchUp::Latest, 300, 10);
        let (mut cursor, mut ran) = (at(0), 0);
        for minute in 1..=365 * 24 * 60_i64 {
            let now = at(minute * 60_000);
            let due = due(&spec, cursor, now);
            cursor = due.seen.unwrap_or(cursor);
            ran += due.run.len();
        }
        assert_eq!(ran, 365 * 24);
    }

    fn any_rule() -> impl Strategy<Value = CatchUp> {
        prop_oneof![
            Just(CatchUp::Skip),
            Just(CatchUp::Latest),
            Just(CatchUp::All)
        ]
    }

    proptest! {
        /// Against the obvious: all multiples of the period between the two instants.
        #[test]
        fn every_tick_is_run_or_missed_and_none_is_forgotten_or_made_up(
            period_ms in 100_i64..5_000,
            after_ms in 0_i64..100_000,
            absence_ms in 0_i64..400_000,
            window_s in 1_u64..120,
            max in 1_usize..20,
            catch_up in any_rule(),
        ) {
            let spec = spec(&format!("@every {period_ms}ms"), catch_up, window_s, max);
            let (after, now) = (at(after_ms), at(after_ms + absence_ms));
            let due = due(&spec, after, now);
            let first = after.as_millis().div_euclid(period_ms) + 1;
            let last = now.as_millis().div_euclid(period_ms);
            let tick = |n| Timestamp::from_millis(n * period_ms);
            let all: Vec<_> = (first..=last).map(tick).collect();
            prop_assert_eq!(due.seen, all.last().copied());

            let told = due.run.len() as u64 + due.missed.count();
            if all.len() <= WALK {
                prop_assert_eq!(told, all.len() as u64);
            } else {
                prop_assert_eq!(told, WALK as u64 + 1);
            }
            // What runs is the newest, in order, inside the window.
            let newest = &all[all.len() - due.run.len()..];
            prop_assert_eq!(&due.run, newest);
            let open = now - Duration::from_secs(window_s);
            prop_assert!(due.run.iter().all(|tick| *tick >= open));
            // What is missed comes just before it.
            let end = all.len() - due.run.len();
            let missed = &all[end - due.missed.ticks.len()..end];
            prop_assert_eq!(&due.missed.ticks, missed);

            let in_window = all.iter().filter(|tick| **tick >= open).count();
            let is_late = all.first().is_some_and(|first| now.since(*first) > PUNCTUAL);
            let expected = match (is_late, catch_up) {
                (false, _) => in_window,
                (true, CatchUp::Skip) => {
                    let is_wanted = |t: &Timestamp| now.since(*t) <= PUNCTUAL && *t >= open;
                    usize::from(all.last().is_some_and(is_wanted))
                }
                (true, CatchUp::Latest) => in_window.min(1),
                (true, _) => in_window.min(max),
            };
            if all.len() <= WALK {
                prop_assert_eq!(due.run.len(), expected);
            }
        }

        #[test]
        fn s64_with_jitter_nothing_is_due_before_its_own_time_and_nothing_is_lost(
            jitter_s in 1_u64..200,
            steps in prop::collection::vec(1_i64..90_000, 1..40),
        ) {
            let spec = Task::<()>::new("t")
                .schedule("* * * * *")
                .jitter(Duration::from_secs(jitter_s))
                .check()
                .unwrap();
            let (mut cursor, mut now_ms) = (at(0), 0);
            let mut dealt_with = Vec::new();
            for step in steps {
                now_ms += step;
                let due = due(&spec, cursor, at(now_ms));
                for tick in &due.run {
                    prop_assert!(spec.fires_at(*tick) <= at(now_ms));
                    prop_assert!(spec.fires_at(*tick).since(*tick) < Duration::from_secs(60));
                }
                dealt_with.extend(due.missed.ticks);
                dealt_with.extend(due.run);
                cursor = due.seen.unwrap_or(cursor);
            }
            let expected: Vec<_> = (1..10_000)
                .map(|n| at(n * 60_000))
                .take_while(|tick| spec.fires_at(*tick) <= at(now_ms))
                .collect();
            prop_assert_eq!(dealt_with, expected);
        }
    }
}
