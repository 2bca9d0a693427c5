//! Tasks of which another definition is current, so that the store refuses this node's claims.
//!
//! Whoever lists that definition is to deal with their ticks, and may die before it did. So the
//! ticks stay due here: they are claimed again at the next tick and when a node is gone, and as
//! soon as this node's definition is current again, the task's own catch-up rule decides about
//! them. Of another schedule nothing is caught up: its ticks were not in force.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_core::{Ended, Generation, Moment, Note, StoreError, TaskName, TaskRecord, Timestamp};

use super::Runner;
use super::calls::{Calls, Done};
use super::claiming::Wanted;
use crate::due::{Due, Missed, PUNCTUAL};
use crate::event::RunnerEvent;
use crate::spec::{TaskSpec, differs_in_zone_rules};
use crate::table::TaskId;

/// How long a task is left alone at most.
const LOOK: Duration = Duration::from_secs(30);

/// A task whose claims the store refuses because another definition is current.
#[derive(Debug)]
pub(super) struct StaleTask {
    current: Generation,
    /// Whether that definition has the very same schedule; `None` while that is not known.
    is_same_schedule: Option<bool>,
    /// What will have been missed if this node's definition turns out to be current again.
    missed: Option<Missed>,
    /// The latest tick of this node's schedule that another schedule's time left out.
    left_out: Option<Timestamp>,
}

/// What is known of other nodes' definitions.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// They are being read.
    are_read: bool,
    /// Zones for which another node was found to have other rules.
    told_zones: BTreeSet<String>,
}

impl Calls {
    pub(super) async fn definitions(self) -> Done {
        Done::Definitions(self.tasks().await)
    }
}

impl Runner {
    /// A claim was refused because `current` is the task's definition. `before` is where the cursor
    /// was before the tick was dealt with.
    pub(super) fn found_stale(
        &mut self,
        wanted: &Wanted,
        current: Generation,
        before: Timestamp,
        now: Timestamp,
    ) {
        let id = wanted.task;
        let Some(spec) = self.table.spec(id).cloned() else {
            return;
        };
        // Whatever was due so long ago was dealt with by a node that had the current definition and
        // lived on.
        let reach = spec.claim_window() + self.options.node_ttl * 2 + LOOK;
        let next = spec.tick_after(now).map(|next| spec.fires_at(next));
        let look_at = next.map_or(now + LOOK, |next| next.min(now + LOOK));
        match self.stale.get_mut(&id) {
            Some(stale) if stale.current == current => {}
            Some(stale) => {
                stale.current = current;
                stale.is_same_schedule = None;
            }
            None => {
                let name = spec.name().clone();
                tracing::warn!(task = %name, %current, ours = %spec.generation(),
                    "another definition of the task is current; this node leaves it alone");
                self.events.tell(|| RunnerEvent::Stale {
                    task: name,
                    current: current.to_string(),
                });
                let stale = StaleTask {
                    current: current.clone(),
                    is_same_schedule: None,
                    missed: None,
                    left_out: None,
                };
                self.stale.insert(id, stale);
                self.compare_zone_rules(&spec, &current);
            }
        }
        self.table.reopen(id, before.max(now - reach), look_at);
        self.read_definitions_if_needed();
    }

    /// Tells that the definition in force differs from this node's in the rules of its zone alone.
    fn compare_zone_rules(&mut self, spec: &TaskSpec, current: &Generation) {
        let zone = spec.schedule().zone().name();
        if !differs_in_zone_rules(spec.generation(), current)
            || !self.others.told_zones.insert(zone.to_owned())
        {
            return;
        }
        let task = spec.name();
        tracing::warn!(%task, zone, node = %self.node,
            "another node has other rules for the zone; bring the time-zone data to one version");
        let text = format!(
            "{} has other rules for {zone} than the node whose definition of {task} is in force; \
             bring the time-zone data of both to one version",
            self.node
        );
        let note = Note::new("zone_rules", text).of_node(self.node.id);
        self.ops.spawn(self.calls.clone().note(note));
        self.events.tell(|| RunnerEvent::ZoneRules {
            task: task.clone(),
            zone: zone.to_owned(),
        });
    }

    fn read_definitions_if_needed(&mut self) {
        let mut stale = self.stale.values();
        if !self.others.are_read && stale.any(|stale| stale.is_same_schedule.is_none()) {
            self.others.are_read = true;
            self.ops.spawn(self.calls.clone().definitions());
        }
    }

    /// What the store says of all tasks. Without an answer the next refusal asks again.
    pub(super) fn definitions(&mut self, answer: Result<Vec<TaskRecord>, StoreError>) {
        self.others.are_read = false;
        let records = match answer {
            Ok(records) => records,
            Err(error) => return self.trouble("tasks", &error),
        };
        let definition_of = |name: &TaskName| {
            let mut records = records.iter().map(|record| &record.definition);
            records.find(|definition| definition.task == *name)
        };
        for (id, stale) in &mut self.stale {
            let Some(spec) = self.table.spec(*id) else {
                continue;
            };
            let own_name = definition_of(spec.name());
            let in_force = match own_name.and_then(|definition| definition.ended.as_ref()) {
                Some(Ended::Renamed(name)) => definition_of(name),
                Some(_) => None,
                None => own_name,
            };
            stale.is_same_schedule =
                Some(in_force.is_some_and(|other| spec.has_schedule_of(other)));
        }
    }

    /// Leaves to the other schedule what was not due by it. Tells what is to be claimed.
    ///
    /// What is missed waits until this node's definition is current again. A look that finds
    /// nothing to claim moves the cursor past it, so what several looks found is put together.
    pub(super) fn leave_to_others(
        &mut self,
        id: TaskId,
        mut due: Due,
        before: Timestamp,
        now: Timestamp,
    ) -> Due {
        let (Some(stale), Some(spec)) = (self.stale.get_mut(&id), self.table.spec(id)) else {
            return due;
        };
        if stale.is_same_schedule == Some(false) {
            let is_punctual = |tick: &Timestamp| now.since(spec.fires_at(*tick)) <= PUNCTUAL;
            let (run, left_out): (Vec<_>, Vec<_>) = due.run.into_iter().partition(is_punctual);
            let left_out = left_out.into_iter().chain(due.missed.ticks).max();
            stale.left_out = stale.left_out.max(left_out);
            due.run = run;
            due.missed = Missed::default();
        } else {
            let missed = std::mem::take(&mut due.missed);
            stale.missed = Some(missed.found_after(before, stale.missed.take()));
        }
        due
    }

    /// The store decided about a claim of this task by its definition, which so is current again.
    pub(super) fn no_longer_stale(&mut self, id: TaskId) {
        let Some(stale) = self.stale.remove(&id) else {
            return;
        };
        if let Some(spec) = self.table.spec(id) {
            tracing::info!(task = %spec.name(), "this node's definition is current again");
        }
        if let Some(tick) = stale.left_out {
            self.leave_out(id, tick, "another schedule was in force at this tick");
        }
        if let Some(missed) = &stale.missed {
            let why = format!(
                "another definition of the task was current ({}), and no node that has it ran it",
                stale.current
            );
            self.give_up(id, missed, Some(&why));
        }
    }

    /// Looks at stale tasks now: a node is gone, which may have been the last with a newer
    /// definition.
    pub(super) fn look_at_stale(&mut self, now: Moment) {
        let Some(now) = self.time.at(now) else {
            return;
        };
        for id in self.stale.keys() {
            self.table.hasten(*id, now);
        }
    }
}
