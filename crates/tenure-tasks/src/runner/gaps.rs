//! Finds ticks that somebody planned and nobody recorded, although later ones are on record.
//!
//! The store's hint, the latest tick on record, says nothing about the ticks before it: a node that
//! runs late ticks one after another, or waits to send a claim again, may die while a later tick is
//! on record already. So whoever joins reads the records around the hint once.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tenure_core::{Generation, RunKind, RunRecord, TaskName, Timestamp};

use crate::spec::TaskSpec;

/// How far before the latest tick on record gaps are looked for.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(600);

/// How many ticks of one task are looked at.
const MAX_TICKS: usize = 10_000;

/// The scheduled runs on record of some time, by task.
#[derive(Debug, Default)]
pub(super) struct Recent {
    tasks: HashMap<TaskName, OfTask>,
}

#[derive(Debug, Default)]
struct OfTask {
    runs: BTreeSet<(Timestamp, u32)>,
    /// The earliest tick that was claimed under each definition.
    since: Vec<(Generation, Timestamp)>,
}

impl Recent {
    pub(super) fn add(&mut self, record: RunRecord) {
        if record.key.kind != RunKind::Scheduled {
            return;
        }
        let tick = record.key.tick;
        let of_task = self.tasks.entry(record.key.task).or_default();
        of_task.runs.insert((tick, record.key.index));
        let Some(generation) = record.generation else {
            return;
        };
        let mut known = of_task.since.iter_mut();
        match known.find(|(known, _)| *known == generation) {
            Some((_, since)) => *since = tick.min(*since),
            None => of_task.since.push((generation, tick)),
        }
    }

    /// The first tick without all its records, among those before `last` that this very definition
    /// surely had: it was claimed under at an earlier one.
    pub(super) fn first_gap(&self, spec: &TaskSpec, last: Timestamp) -> Option<Timestamp> {
        let of_task = self.tasks.get(spec.name())?;
        let mut since = of_task.since.iter();
        let (_, since) = since.find(|(generation, _)| generation == spec.generation())?;
        let has_all = |tick: Timestamp| {
            (1..=spec.concurrency()).all(|index| of_task.runs.contains(&(tick, index)))
        };
        std::iter::successors(Some(*since), |tick| spec.tick_after(*tick))
            .take(MAX_TICKS)
            .take_while(|tick| *tick <= last)
            .find(|tick| !has_all(*tick))
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{RunKey, RunState};

    use super::*;
    use crate::task::Task;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + s * 1_000)
    }

    #[test]
    fn s24_a_tick_without_a_record_before_others_that_have_one_is_a_gap() {
        let task: Task<()> = Task::new("t").schedule("@every 10s").concurrency(2);
        let spec = task.check().unwrap();
        let record = |s, index, is_ours: bool| {
            let key = RunKey::scheduled(spec.name().clone(), at(s), index);
            let mut record = RunRecord::new(key, RunState::Succeeded, at(s));
            record.generation = is_ours.then(|| spec.generation().clone());
            record
        };
        for (records, expected) in [
            (vec![], None),
            (
                vec![(10, 1, true), (10, 2, true), (20, 1, true), (20, 2, true)],
                None,
            ),
            (
                vec![(10, 1, true), (10, 2, true), (30, 1, true), (30, 2, true)],
                Some(20),
            ),
            (
                vec![(10, 1, true), (10, 2, true), (20, 2, false), (30, 1, true)],
                Some(20),
            ),
            // What an earlier definition left out is none of ours.
            (vec![(10, 1, false), (30, 1, true), (30, 2, true)], None),
        ] {
            let mut recent = Recent::default();
            for (s, index, is_ours) in &records {
                recent.add(record(*s, *index, *is_ours));
            }
            let last = records.iter().map(|(s, ..)| *s).max().unwrap_or(30);
            let gap = recent.first_gap(&spec, at(last));
            assert_eq!(gap, expected.map(at), "{records:?}");
        }
    }
}
