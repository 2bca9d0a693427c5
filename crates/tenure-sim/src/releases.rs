//! What the releases of a program make of the same tasks: which names are one task, and which
//! definition another release replaces.
//!
//! Computed from the plan alone, so that it knows the promises and not the code that keeps them.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::{Generation, RunKey, TaskName};

use crate::code::task_of;
use crate::plan::{Plan, TaskPlan};

/// A task of one release.
#[derive(Debug, Clone)]
struct Definition {
    generation: Generation,
    aliases: Vec<TaskName>,
}

/// All releases of a plan.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    each: Vec<BTreeMap<TaskName, Definition>>,
    /// The names that are one task with each name, itself left out.
    others: BTreeMap<TaskName, BTreeSet<TaskName>>,
    /// Whether it is known in which order definitions were first registered: not if the store may
    /// forget.
    is_ordered: bool,
}

impl Releases {
    pub(crate) fn of(plan: &Plan) -> Self {
        let release = |tasks: &[TaskPlan]| {
            // What is wrong with a task is told where it is started.
            let specs = tasks.iter().filter_map(|task| task_of(task).check().ok());
            let named = specs.map(|spec| {
                let definition = Definition {
                    generation: spec.generation().clone(),
                    aliases: spec.aliases().to_vec(),
                };
                (spec.name().clone(), definition)
            });
            named.collect::<BTreeMap<_, _>>()
        };
        let each: Vec<_> = (0..plan.releases())
            .map(|n| release(plan.release(n)))
            .collect();
        let mut others: BTreeMap<TaskName, BTreeSet<TaskName>> = BTreeMap::new();
        for (name, definition) in each.iter().flatten() {
            for alias in &definition.aliases {
                others
                    .entry(name.clone())
                    .or_default()
                    .insert(alias.clone());
                others
                    .entry(alias.clone())
                    .or_default()
                    .insert(name.clone());
            }
        }
        Self {
            each,
            others,
            is_ordered: !plan.forgets(),
        }
    }

    /// The same run under the other names of its task.
    pub(crate) fn under_other_names<'r>(
        &'r self,
        key: &'r RunKey,
    ) -> impl Iterator<Item = RunKey> + 'r {
        let names = self.others.get(&key.task).into_iter().flatten();
        names.map(|name| RunKey::scheduled(name.clone(), key.tick, key.index))
    }

    /// Whether two names are one task.
    pub(crate) fn are_one(&self, one: &TaskName, other: &TaskName) -> bool {
        let names = self.others.get(one);
        one == other || names.is_some_and(|names| names.contains(other))
    }

    /// Whether nodes of a newer release keep those of an older one from claiming a task.
    pub(crate) fn replaces(&self, newer: usize, older: usize, task: &TaskName) -> bool {
        let of = |release: usize| self.each.get(release);
        let (Some(new), Some(old)) = (of(newer), of(older)) else {
            return false;
        };
        let was_renamed = new.values().any(|other| other.aliases.contains(task));
        let has_changed = match (old.get(task), new.get(task)) {
            (Some(old), Some(new)) => old.generation != new.generation,
            _ => false,
        };
        self.is_ordered && newer > older && (was_renamed || has_changed)
    }
}
