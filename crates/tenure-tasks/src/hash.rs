//! Numbers that every node computes alike: definitions' generations, jitter, and who goes first.
//!
//! Written out here because the standard library's hasher may differ between builds, and because
//! two programs of different versions must agree. Nothing here is secret or collision-proof.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tenure_core::{HolderId, TaskName, Timestamp};

/// FNV-1a of 64 bits, finished by the mixer of `SplitMix64` so that all bits are good.
///
/// # Sources
/// Fowler, Noll, Vo (FNV-1a); Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ seed)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// A text with its length, so that neighbouring texts cannot flow into each other.
    pub(crate) fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(crate) fn finish(self) -> u64 {
        mix(self.0)
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a tick of a task is to everything that must fall differently for each tick.
pub(crate) fn of_tick(task: &TaskName, tick: Timestamp) -> u64 {
    Hash::new(1)
        .text(task.as_str())
        .number(tick.as_millis().cast_unsigned())
        .finish()
}

/// What a task is to everything that must fall the same for all its ticks.
pub(crate) fn of_task(task: &TaskName) -> u64 {
    Hash::new(6).text(task.as_str()).finish()
}

/// What a namespace is to the jitter of its tasks.
pub(crate) fn of_namespace(name: &str) -> u64 {
    Hash::new(7).text(name).finish()
}

/// A delay below `bound`, the same for the same tick everywhere in a namespace.
pub(crate) fn jitter(
    of_namespace: u64,
    task: &TaskName,
    tick: Timestamp,
    bound: Duration,
) -> Duration {
    let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let drawn = draw(of_namespace, of_tick(task, tick));
    Duration::from_millis(drawn.checked_rem(bound).unwrap_or(0))
}

/// The place of `me` among `nodes` for `key`, from 0: who sweeps first, who cleans up.
pub(crate) fn rank(nodes: &[HolderId], me: HolderId, key: u64) -> usize {
    let weight = |node: HolderId| (weight(node, key), node);
    let mine = weight(me);
    nodes.iter().filter(|node| weight(**node) > mine).count()
}

fn weight(node: HolderId, key: u64) -> u64 {
    draw(of_node(node), key)
}

/// What a node draws for a key: the highest goes first.
pub(crate) fn draw(of_node: u64, key: u64) -> u64 {
    mix(mix(key) ^ of_node)
}

/// What a node is to all its draws.
pub(crate) fn of_node(node: HolderId) -> u64 {
    Hash::new(2).bytes(node.as_bytes()).finish()
}

/// A hasher for maps that are asked once or more for each run, where the standard one shows.
/// Whoever can choose the names of tasks can make it slow, and could as well make the tasks slow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quick;

impl BuildHasher for Quick {
    type Hasher = QuickHasher;

    fn build_hasher(&self) -> QuickHasher {
        QuickHasher(0x9e37_79b9_7f4a_7c15)
    }
}

/// Takes eight bytes at a time, a turn and a multiplication each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuickHasher(u64);

impl QuickHasher {
    fn take(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0xe703_7ed1_a0b4_28db);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.take(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.take(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, number: u8) {
        self.take(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.take(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.take(number);
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn nodes(count: u8) -> Vec<HolderId> {
        (0..count).map(|n| HolderId::from_bytes([n; 16])).collect()
    }

    #[test]
    fn ranks_are_a_permutation() {
        let nodes = nodes(7);
        let ranks: BTreeSet<_> = nodes.iter().map(|me| rank(&nodes, *me, 99)).collect();
        assert_eq!(ranks, (0..7).collect());
    }

    #[test]
    fn s64_the_same_tick_has_the_same_jitter_below_its_bound() {
        let (here, there) = (of_namespace("default"), of_namespace("staging"));
        let task = TaskName::new("t").unwrap();
        let bound = Duration::from_secs(10);
        let mut alike = 0;
        let all: BTreeSet<_> = (0..200)
            .map(|n| {
                let tick = Timestamp::from_millis(n * 60_000);
                let delay = jitter(here, &task, tick, bound);
                assert_eq!(delay, jitter(here, &task.clone(), tick, bound));
                assert!(delay < bound);
                alike += u32::from(delay == jitter(there, &task, tick, bound));
                delay
            })
            .collect();
        assert!(alike < 5, "{alike} delays are those of another namespace");
        assert!(all.len() > 150, "only {} different delays", all.len());
        assert_eq!(
            jitter(here, &task, Timestamp::EPOCH, Duration::ZERO),
            Duration::ZERO
        );
    }
}
