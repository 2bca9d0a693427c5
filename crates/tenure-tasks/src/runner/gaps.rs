//! Finds ticks that somebody planned and nobody recorded, although later ones are on record.
//!
//! The store's hint, the latest tick on record, says nothing about the ticks before it: a node that
//! runs late ticks one after another, or waits to send a claim again, may die while a later tick is
//! on record already. So whoever joins reads the records around the hint once.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tenure_core::{Definition, Generation, RunKind, RunRecord, TaskName, Timestamp};

use crate::spec::TaskSpec;

/// How far before the latest tick on record gaps are looked for.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(600);

/// How many ticks of one task are looked at.
const MAX_TICKS: usize = 10_000;

/// The scheduled runs on record of some time, by task.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// All scheduled runs of this instant and later are here.
    from: Timestamp,
    tasks: HashMap<TaskName, OfTask>,
    /// What was current before this node brought its own definitions.
    replaced: HashMap<TaskName, Definition>,
}

#[derive(Debug, Default)]
struct OfTask {
    runs: BTreeSet<(Timestamp, u32)>,
    /// The earliest tick that was claimed under each definition.
    since: Vec<(Generation, Timestamp)>,
}

impl Recent {
    /// To be filled with what is on record from `from` on.
    pub(super) fn since(from: Timestamp) -> Self {
        Self {
            from,
            tasks: HashMap::new(),
            replaced: HashMap::new(),
        }
    }

    /// Of what is not on record before the earliest that was added, nothing is known.
    pub(super) fn is_cut_off(&mut self) {
        let runs = self.tasks.values().flat_map(|of_task| &of_task.runs);
        let earliest = runs.map(|(tick, _)| *tick).min();
        // Others of the same instant may be missing.
        self.from = earliest.map_or(self.from, |tick| tick + Duration::from_millis(1));
    }

    /// These definitions were current before this node brought its own: ticks of theirs that were
    /// left out are its own if the schedule is the same.
    pub(super) fn replaces<'d>(&mut self, known: impl Iterator<Item = &'d Definition>) {
        let named = known.map(|definition| (definition.task.clone(), definition.clone()));
        self.replaced = named.collect();
    }

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
    /// surely had: it was claimed under at an earlier one, or this process, which has the task,
    /// has dealt with those up to `cursor` only.
    pub(super) fn first_gap(
        &self,
        spec: &TaskSpec,
        last: Timestamp,
        cursor: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let names = || std::iter::once(spec.name()).chain(spec.aliases());
        let of_names: Vec<_> = names().filter_map(|name| self.tasks.get(name)).collect();
        if of_names.is_empty() {
            return None;
        }
        let claimed = of_names.iter().flat_map(|of_task| &of_task.since);
        let claimed = claimed
            .filter(|(generation, _)| self.is_like(spec, generation))
            .min_by_key(|(_, since)| *since);
        let known = cursor.map(|cursor| cursor.max(self.from - Duration::from_millis(1)));
        let own = known.and_then(|known| spec.tick_after(known));
        let since = claimed
            .map(|(_, since)| *since)
            .into_iter()
            .chain(own)
            .min()?;
        let has_all = |tick: Timestamp| {
            let is_there = |index| of_names.iter().any(|of| of.runs.contains(&(tick, index)));
            (1..=spec.concurrency()).all(is_there)
        };
        std::iter::successors(Some(since), |tick| spec.tick_after(*tick))
            .take(MAX_TICKS)
            .take_while(|tick| *tick <= last)
            .find(|tick| !has_all(*tick))
    }

    /// Whether ticks under this generation were ticks of the task as it is here.
    fn is_like(&self, spec: &TaskSpec, generation: &Generation) -> bool {
        let names = std::iter::once(spec.name()).chain(spec.aliases());
        let mut replaced = names.filter_map(|name| self.replaced.get(name));
        generation == spec.generation()
            || replaced.any(|definition| {
                definition.generation == *generation && spec.has_schedule_of(definition)
            })
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
        for (records, cursor, expected) in [
            (vec![], None, None),
            (vec![], Some(0), None),
            (
                vec![(10, 1, true), (10, 2, true), (20, 1, true), (20, 2, true)],
                None,
                None,
            ),
            (
                vec![(10, 1, true), (10, 2, true), (30, 1, true), (30, 2, true)],
                None,
                Some(20),
            ),
            (
                vec![(10, 1, true), (10, 2, true), (20, 2, false), (30, 1, true)],
                None,
                Some(20),
            ),
            // What an earlier definition left out is none of ours.
            (
                vec![(10, 1, false), (30, 1, true), (30, 2, true)],
                None,
                None,
            ),
            // Nobody claimed before, and a process has been there all the time.
            (vec![(30, 1, true), (30, 2, true)], Some(10), Some(20)),
            (vec![(30, 1, true), (30, 2, true)], Some(20), None),
            // What came before the records that were read is no gap.
            (vec![(30, 1, true), (30, 2, true)], Some(-100), Some(10)),
        ] {
            let mut recent = Recent::since(at(5));
            for (s, index, is_ours) in &records {
                recent.add(record(*s, *index, *is_ours));
            }
            let last = records.iter().map(|(s, ..)| *s).max().unwrap_or(30);
            let gap = recent.first_gap(&spec, at(last), cursor.map(at));
            assert_eq!(gap, expected.map(at), "{records:?} {cursor:?}");
        }
    }

    #[test]
    fn s24_what_was_not_read_is_no_gap() {
        let task: Task<()> = Task::new("t").schedule("@every 10s");
        let spec = task.check().unwrap();
        let mut recent = Recent::since(at(0));
        for s in [50, 30] {
            let key = RunKey::scheduled(spec.name().clone(), at(s), 1);
            recent.add(RunRecord::new(key, RunState::Succeeded, at(s)));
        }
        assert_eq!(recent.first_gap(&spec, at(50), Some(at(0))), Some(at(10)));
        recent.is_cut_off();
        assert_eq!(recent.first_gap(&spec, at(50), Some(at(0))), Some(at(40)));
    }
}
