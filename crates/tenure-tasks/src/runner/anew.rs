//! Begins tasks whose schedule has changed: the ticks that the new one would have had before it
//! existed are nobody's.
//!
//! The latest of them is recorded as left out before the store hears of the new schedule. So
//! whoever finds that schedule in the store finds this record too, and takes no tick before it for
//! missed: a node that changes at the same moment, and one that comes much later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Definition, Pass, RunKey, StoreError, TaskName, TaskRecord, Timestamp};
use tenure_schedule::Schedule;

use super::Runner;
use super::calls::Calls;
use crate::due::PUNCTUAL;
use crate::spec::TaskSpec;

impl Calls {
    /// What the store knows of these tasks, under all their names, before it hears of them; at
    /// `now` by its clock. Where the schedule is another, leaves out what it had until now.
    pub(super) async fn known_before(
        &self,
        specs: &[Arc<TaskSpec>],
        now: Option<Timestamp>,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let own: HashMap<&TaskName, &TaskSpec> = specs
            .iter()
            .flat_map(|spec| {
                let names = std::iter::once(spec.name()).chain(spec.aliases());
                names.map(|name| (name, &**spec))
            })
            .collect();
        let mut known = self.tasks().await?;
        known.retain(|record| own.contains_key(&record.definition.task));
        let changed = known.iter().filter_map(|record| {
            let spec = own.get(&record.definition.task)?;
            left_out(spec, record, now? - PUNCTUAL)
        });
        let passes: Vec<Pass> = changed.flatten().collect();
        for chunk in passes.chunks(self.max_batch) {
            self.bounded("pass", self.store.pass(chunk)).await?;
        }
        Ok(known)
    }
}

/// The latest tick of a new schedule until `begin`, to be left out; `None` if the schedule is not
/// new, or the store has a later tick on record.
fn left_out(
    spec: &TaskSpec,
    record: &TaskRecord,
    begin: Timestamp,
) -> Option<impl Iterator<Item = Pass>> {
    let definition = &record.definition;
    if definition.ended.is_some() || spec.has_schedule_of(definition) {
        return None;
    }
    let last = spec.schedule().previous_at_or_before(begin.to_jiff())?;
    let last = Timestamp::from(last);
    if last < record.first_seen || record.last_tick.is_some_and(|tick| last < tick) {
        return None;
    }
    let keep_for = spec.claim_window() * 2 + Duration::from_secs(25 * 3600);
    let name = spec.name().clone();
    Some((1..=spec.concurrency()).map(move |index| {
        let key = RunKey::scheduled(name.clone(), last, index);
        let mut pass = Pass::skipped(key, "the schedule was changed after this tick");
        pass.keep_for = keep_for;
        pass
    }))
}

/// Whether runs of a definition followed one another, so that one may wait in the store.
fn was_chain(definition: &Definition) -> bool {
    Schedule::parse(&definition.schedule).is_ok_and(|schedule| schedule.delay().is_some())
}

impl Runner {
    /// Begins the tasks that had another schedule in the store.
    pub(super) fn begin_anew(&mut self, known: &[TaskRecord]) {
        let Some(now) = self.time.at(self.clock.now()) else {
            return;
        };
        let begin = now - PUNCTUAL;
        for record in known {
            let definition = &record.definition;
            if definition.ended.is_some() {
                continue;
            }
            let id = self.table.id_of(&definition.task);
            let Some((id, spec)) = id.and_then(|id| Some((id, self.table.spec(id)?))) else {
                continue;
            };
            if spec.has_schedule_of(definition) {
                continue;
            }
            if spec.schedule().delay().is_none() && was_chain(definition) {
                self.following.look_at(id, self.clock.now());
            }
            if self.table.cursor(id).is_none_or(|cursor| cursor < begin) {
                self.table.enter(id, begin);
            }
        }
    }

    /// Which of these tasks have another schedule here as yet. How far this node has come with that
    /// one says nothing about the new one, even if others brought that before.
    pub(super) fn scheduled_otherwise(&self, specs: &[Arc<TaskSpec>]) -> HashSet<TaskName> {
        let changes = specs.iter().filter(|spec| {
            let old = self.table.id_of(spec.name());
            let old = old.and_then(|id| self.table.spec(id));
            old.is_some_and(|old| !spec.has_schedule_of(&old.definition()))
        });
        changes.map(|spec| spec.name().clone()).collect()
    }
}
