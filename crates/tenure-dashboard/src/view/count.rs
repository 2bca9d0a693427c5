//! How many runs are due in each minute.
//!
//! Bounded: a schedule is followed for so many ticks, and told evenly from there on. Jitter spreads
//! starts and is not in the store.

use std::time::Duration;

use tenure_core::Timestamp;

use super::plan::Group;

/// The minutes that are counted, and what was found.
pub(crate) struct Minutes {
    /// When the first begins.
    pub(crate) from: Timestamp,
    /// The last instant that counts.
    to: Timestamp,
    /// How many ticks of one schedule are computed at most.
    most: usize,
    /// How many runs are due in each.
    pub(crate) runs: Vec<u64>,
    /// Whether frequent schedules were counted by their rate.
    pub(crate) is_estimate: bool,
}

/// When the minute of this instant begins.
pub(crate) fn minute_of(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(60_000) * 60_000)
}

impl Minutes {
    /// Nothing is counted yet. `from` is the beginning of a minute.
    pub(crate) fn new(from: Timestamp, to: Timestamp, most: usize) -> Self {
        let minutes = usize::try_from(to.since(from).as_secs() / 60).unwrap_or(0);
        Self {
            from,
            to,
            most: most.max(2),
            runs: vec![0; minutes + 1],
            is_estimate: false,
        }
    }

    /// Runs that are due then.
    pub(crate) fn add(&mut self, at: Timestamp, runs: u64) {
        let minute = usize::try_from(at.since(self.from).as_secs() / 60);
        if let Ok(minute) = minute
            && let Some(counted) = self.runs.get_mut(minute)
        {
            *counted += runs;
        }
    }

    /// The runs of these tasks.
    pub(crate) fn add_all(&mut self, group: &Group<'_>) {
        let runs = group.runs();
        let (mut first, mut last) = (None, None);
        let mut count = 0_usize;
        let ticks = (group.schedule).ticks_between(group.after.to_jiff(), self.to.to_jiff());
        for tick in ticks.take(self.most) {
            let tick = Timestamp::from(tick);
            count += 1;
            first = first.or(Some(tick));
            last = Some(tick);
            self.add(tick, runs);
        }
        if let (Some(first), Some(last)) = (first, last)
            && count == self.most
        {
            let rate = Rate {
                first,
                last,
                gaps: count as u64 - 1,
            };
            self.go_on(&rate, runs);
        }
    }

    /// Counts the ticks behind those of this rate, as if they went on so, with so many runs each.
    fn go_on(&mut self, rate: &Rate, runs: u64) {
        let mut told = 0;
        let end = self.to + Duration::from_millis(1);
        for (at, minute) in self.runs.iter_mut().enumerate() {
            let behind = self.from + Duration::from_secs(60 * (at as u64 + 1));
            let all = rate.until(behind.min(end));
            *minute += (all - told) * runs;
            told = all;
        }
        self.is_estimate |= told > 0;
    }
}

/// The ticks of a schedule that were computed.
struct Rate {
    first: Timestamp,
    last: Timestamp,
    gaps: u64,
}

impl Rate {
    /// How many follow them before `end`, which does not count.
    fn until(&self, end: Timestamp) -> u64 {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let span = millis(self.last.since(self.first)).max(1);
        let ticks = millis(end.since(self.last)).saturating_mul(self.gaps);
        ticks.div_ceil(span).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1000)
    }

    #[test]
    fn what_is_told_by_its_rate_goes_on_as_it_was_counted() {
        for (first, every, gaps, runs, a_minute) in [
            (20, 10, 2879_u32, 1, 6),
            (17, 1, 599, 3, 60),
            (0, 60, 99, 2, 1),
        ] {
            let tick = |nth: u32| at(first + i64::from(nth) * every);
            let day = at(24 * 3600 - 1);
            let mut minutes = Minutes::new(at(0), day, 1);
            for nth in 0..=gaps {
                minutes.add(tick(nth), runs);
            }
            let rate = Rate {
                first: at(first),
                last: tick(gaps),
                gaps: u64::from(gaps),
            };
            minutes.go_on(&rate, runs);
            // The first is whole only if the ticks began with it.
            let all = minutes.runs.split_off(1);
            assert_eq!(all.len(), 24 * 60 - 1);
            assert!(
                all.iter().all(|of_one| *of_one == a_minute * runs),
                "{every} s: {all:?}"
            );
        }
    }

    #[test]
    fn what_is_told_by_its_rate_ends_with_the_span() {
        let mut minutes = Minutes::new(at(0), at(90), 1);
        let rate = Rate {
            first: at(0),
            last: at(10),
            gaps: 1,
        };
        minutes.go_on(&rate, 1);
        // Of 20 to 50, and of 60 to 90.
        assert_eq!(minutes.runs, [4, 4]);
        assert!(minutes.is_estimate);
    }
}
