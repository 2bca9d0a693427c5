//! The tasks that the store knows, by name.
//!
//! There may be very many, and none is ever taken out. A hashed map of them would be copied each
//! time it grows and stay up to half empty, so only their numbers are hashed; they themselves stand
//! in blocks, which are filled one after the other.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use tenure_core::TaskName;

use super::Task;

/// How many tasks a block has.
const BLOCK: usize = 1024;

#[derive(Debug, Default, Clone)]
pub(super) struct Tasks {
    blocks: Vec<Vec<(TaskName, Task)>>,
    count: u32,
    /// A task's number, by the hash of its name.
    numbers: HashTable<u32>,
    hasher: RandomState,
}

/// Where the task with this number stands: its block, and its place in it.
fn place_of(number: u32) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / BLOCK, number % BLOCK)
}

impl Tasks {
    pub(super) fn get(&self, name: &TaskName) -> Option<&Task> {
        let (block, place) = place_of(self.number(name)?);
        Some(&self.blocks.get(block)?.get(place)?.1)
    }

    pub(super) fn get_mut(&mut self, name: &TaskName) -> Option<&mut Task> {
        let (block, place) = place_of(self.number(name)?);
        Some(&mut self.blocks.get_mut(block)?.get_mut(place)?.1)
    }

    /// Adds a task, unless there is one with this name.
    pub(super) fn add(&mut self, name: &TaskName, task: Task) {
        if self.number(name).is_some() {
            return;
        }
        let number = self.count;
        let (block, _) = place_of(number);
        if block == self.blocks.len() {
            // The first block grows as it is filled, because most stores have few tasks.
            let size = if block == 0 { 0 } else { BLOCK };
            self.blocks.push(Vec::with_capacity(size));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push((name.clone(), task));
        }
        self.count += 1;
        let Self {
            blocks,
            numbers,
            hasher,
            ..
        } = self;
        let again = |number: &u32| {
            let (block, place) = place_of(*number);
            let known = blocks.get(block).and_then(|block| block.get(place));
            known.map_or(0, |(name, _)| hasher.hash_one(name))
        };
        numbers.insert_unique(hasher.hash_one(name), number, again);
    }

    /// All tasks, in the order in which they were first named.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TaskName, &Task)> {
        self.blocks
            .iter()
            .flatten()
            .map(|(name, task)| (name, task))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.blocks.iter_mut().flatten().map(|(_, task)| task)
    }

    fn number(&self, name: &TaskName) -> Option<u32> {
        let is_it = |number: &u32| {
            let (block, place) = place_of(*number);
            let known = self.blocks.get(block).and_then(|block| block.get(place));
            known.is_some_and(|(known, _)| known == name)
        };
        self.numbers
            .find(self.hasher.hash_one(name), is_it)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;
    use tenure_core::Timestamp;

    use super::*;

    #[test]
    fn tasks_are_found_by_name_and_stay_in_order_over_many_blocks() {
        let task = |number: i64| Task {
            first_seen: Timestamp::from_millis(number),
            definitions: SmallVec::new(),
            listed_by: SmallVec::new(),
            last_tick: None,
            listed_until: None,
            pause: None,
        };
        let name = |number: i64| TaskName::new(format!("t{number}")).unwrap();
        let mut tasks = Tasks::default();
        for number in 0..5000 {
            tasks.add(&name(number), task(number));
            tasks.add(&name(number / 2), task(-1));
        }
        for number in [0, 1, 1023, 1024, 4999] {
            let at = Timestamp::from_millis(number);
            assert_eq!(
                tasks.get(&name(number)).map(|task| task.first_seen),
                Some(at)
            );
            tasks.get_mut(&name(number)).unwrap().last_tick = Some(at);
        }
        assert!(tasks.get(&name(5000)).is_none());
        let all: Vec<_> = tasks.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(all, (0..5000).map(name).collect::<Vec<_>>());
        let claimed = tasks.values_mut().filter(|task| task.last_tick.is_some());
        assert_eq!(claimed.count(), 5);
    }
}
