//! Which generations were found in force, so that the next claims need not look again.
//!
//! What is remembered of a node and a task: the task's newest definition is this generation, the
//! node lists it, and none of the task's definitions says more, such as another name. That does not
//! depend on the time, and the node's own lease is looked at by every claim. It stays true until
//! somebody writes definitions or lists: steps of this thread say so here, and what others
//! committed is seen by the file's version.

use std::collections::HashMap;

use tenure_core::{Generation, HolderId, TaskName};

/// How many nodes of one process are remembered, and how many tasks of each.
const MOST_NODES: usize = 64;
const MOST_TASKS: usize = 200_000;

/// What one connection found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The version of the file, which every commit of another connection changes.
    version: i64,
    nodes: HashMap<HolderId, HashMap<TaskName, Generation>>,
}

impl Checked {
    /// Forgets everything unless the file still has the version under which it was found.
    pub(crate) fn at_version(&mut self, version: i64) {
        if self.version != version {
            self.nodes.clear();
            self.version = version;
        }
    }

    pub(crate) fn is_in_force(
        &self,
        node: HolderId,
        task: &TaskName,
        generation: &Generation,
    ) -> bool {
        let tasks = self.nodes.get(&node);
        tasks.and_then(|tasks| tasks.get(task)) == Some(generation)
    }

    pub(crate) fn found(&mut self, node: HolderId, task: &TaskName, generation: &Generation) {
        if self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(&node) {
            self.nodes.clear();
        }
        let tasks = self.nodes.entry(node).or_default();
        if tasks.len() >= MOST_TASKS {
            tasks.clear();
        }
        tasks.insert(task.clone(), generation.clone());
    }

    /// Somebody's list or the definitions of a task have changed.
    pub(crate) fn forget(&mut self, task: &TaskName) {
        for tasks in self.nodes.values_mut() {
            tasks.remove(task);
        }
    }

    /// Much has changed, or what was found was undone.
    pub(crate) fn forget_all(&mut self) {
        self.nodes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s53_a_generation_is_known_until_its_task_changes_or_others_write() {
        let (one, other) = (HolderId::random(), HolderId::random());
        let [a, b] = ["a", "b"].map(|name| TaskName::new(name).unwrap());
        let [g, h] = ["g", "h"].map(|name| Generation::new(name).unwrap());
        let mut checked = Checked::default();
        let fill = |checked: &mut Checked| {
            checked.at_version(7);
            for task in [&a, &b] {
                checked.found(one, task, &g);
            }
        };
        fill(&mut checked);
        checked.at_version(7);
        assert!(checked.is_in_force(one, &a, &g));
        assert!(!checked.is_in_force(one, &a, &h));
        assert!(!checked.is_in_force(other, &a, &g));
        checked.forget(&a);
        assert!(!checked.is_in_force(one, &a, &g));
        assert!(checked.is_in_force(one, &b, &g));
        checked.at_version(8);
        assert!(!checked.is_in_force(one, &b, &g));
        fill(&mut checked);
        checked.forget_all();
        assert!(!checked.is_in_force(one, &b, &g));
    }
}
