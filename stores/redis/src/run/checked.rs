//! What claims found of generations, so that the next ones need not look again.
//!
//! A claim must be refused if another generation of its task is in force. That one is in force is
//! true as long as nobody changes the registry and its node is not given up; the store names both
//! in one word, and a claim that brings the right word along is decided without a look at
//! generations. With a wrong word it is sent again without: nothing here is trusted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_core::{ClaimItem, Generation, HolderId, TaskName};

/// How many nodes of one process are remembered, and how many tasks of each.
const MOST_NODES: usize = 64;
const MOST_TASKS: usize = 200_000;

/// What each node's claims found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    nodes: Mutex<HashMap<HolderId, Found>>,
}

/// Generations that were in force when the store's word was `seen`.
#[derive(Debug, Default)]
struct Found {
    seen: String,
    tasks: HashMap<TaskName, Generation>,
}

impl Checked {
    /// The word under which all these claims' generations were found in force; empty if there is
    /// none.
    pub(super) fn word_for(&self, node: HolderId, items: &[ClaimItem]) -> String {
        let nodes = locked(&self.nodes);
        let Some(found) = nodes.get(&node) else {
            return String::new();
        };
        let is_known = |item: &ClaimItem| found.tasks.get(&item.task) == Some(&item.generation);
        if items.iter().all(is_known) {
            found.seen.clone()
        } else {
            String::new()
        }
    }

    /// Remembers generations that were found in force.
    pub(super) fn found<'i>(
        &self,
        node: HolderId,
        seen: &str,
        items: impl Iterator<Item = &'i ClaimItem>,
    ) {
        let mut nodes = locked(&self.nodes);
        if nodes.len() >= MOST_NODES && !nodes.contains_key(&node) {
            nodes.clear();
        }
        let found = nodes.entry(node).or_default();
        if found.seen != seen || found.tasks.len() >= MOST_TASKS {
            found.tasks.clear();
            seen.clone_into(&mut found.seen);
        }
        for item in items {
            found
                .tasks
                .insert(item.task.clone(), item.generation.clone());
        }
    }
}

/// A panic elsewhere leaves the maps whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tenure_core::Timestamp;

    use super::*;

    #[test]
    fn s53_a_word_is_given_only_for_generations_that_were_found_under_it() {
        let item = |task: &str, generation: &str| {
            let generation = Generation::new(generation).unwrap();
            ClaimItem::new(
                TaskName::new(task).unwrap(),
                Timestamp::EPOCH,
                1,
                generation,
            )
        };
        let (checked, node) = (Checked::default(), HolderId::random());
        let both = [item("a", "g1"), item("b", "g1")];
        let (a, b) = both.split_at(1);
        assert_eq!(checked.word_for(node, a), "");
        checked.found(node, "1", a.iter());
        assert_eq!(checked.word_for(node, a), "1");
        assert_eq!(checked.word_for(HolderId::random(), a), "");
        assert_eq!(checked.word_for(node, &[item("a", "g2")]), "");
        assert_eq!(checked.word_for(node, &both), "");
        checked.found(node, "2", b.iter());
        assert_eq!(checked.word_for(node, a), "");
        assert_eq!(checked.word_for(node, b), "2");
    }
}
