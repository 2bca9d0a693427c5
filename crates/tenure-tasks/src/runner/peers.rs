//! Who else is there, and who should claim what first. Only ever a hint: a wrong view costs a
//! grace, not a run.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tenure_core::{HolderId, Moment, NodeRecord, Timestamp};

use crate::hash;
use crate::table::TaskId;

/// How long a node that did not claim its share of a task is not counted on for that task: short at
/// first, because views of who is alive differ for a while whenever that changes; doubled each time
/// it happens again soon.
const FORGIVE_AFTER: Duration = Duration::from_secs(10);
const FORGIVE_AFTER_MOST: Duration = Duration::from_secs(300);

/// A node that missed so many claims since it was last heard of is not counted on at all.
const MISSES: u32 = 3;

#[derive(Debug)]
pub(super) struct Peers {
    me: HolderId,
    /// Everybody who takes runs, this node included.
    alive: Vec<HolderId>,
    /// Those of `alive` that are counted on.
    reliable: Vec<HolderId>,
    seen_at: HashMap<HolderId, Timestamp>,
    misses: HashMap<HolderId, u32>,
    /// Who does not seem to know which task.
    absent: HashMap<(HolderId, TaskId), Absence>,
    absent_tasks: HashSet<TaskId>,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    until: Moment,
    span: Duration,
}

impl Peers {
    pub(super) fn new(me: HolderId) -> Self {
        Self {
            me,
            alive: vec![me],
            reliable: vec![me],
            seen_at: HashMap::new(),
            misses: HashMap::new(),
            absent: HashMap::new(),
            absent_tasks: HashSet::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.alive.len()
    }

    /// The store told who is alive. Nodes without capacity only watch.
    pub(super) fn update(&mut self, nodes: &[NodeRecord], now: Moment) {
        self.alive.clear();
        self.alive.push(self.me);
        for record in nodes {
            let id = record.node.id;
            if id != self.me && record.capacity > 0 {
                self.alive.push(id);
            }
            if self.seen_at.insert(id, record.seen_at) != Some(record.seen_at) {
                self.misses.remove(&id);
            }
        }
        let alive = &self.alive;
        self.seen_at.retain(|id, _| alive.contains(id));
        self.misses.retain(|id, _| alive.contains(id));
        // Remembered for a while after it was forgiven, to know a second time from a first.
        self.absent
            .retain(|(id, _), absence| absence.until + absence.span > now && alive.contains(id));
        self.absent_tasks = self
            .absent
            .iter()
            .filter(|(_, absence)| absence.until > now)
            .map(|((_, task), _)| *task)
            .collect();
        self.choose_reliable();
    }

    /// Who should claim this index of this tick first.
    pub(super) fn owner(&self, task: TaskId, of_tick: u64, index: u32, now: Moment) -> HolderId {
        let owner = if self.absent_tasks.contains(&task) {
            let present: Vec<_> = self
                .reliable
                .iter()
                .copied()
                .filter(|id| {
                    let absence = self.absent.get(&(*id, task));
                    absence.is_none_or(|absence| absence.until <= now)
                })
                .collect();
            hash::owner(&present, of_tick, index)
        } else {
            hash::owner(&self.reliable, of_tick, index)
        };
        owner.unwrap_or(self.me)
    }

    /// `owner` did not claim its share of a task in time.
    pub(super) fn missed(&mut self, owner: HolderId, task: TaskId, now: Moment) {
        let again = self.absent.get(&(owner, task));
        let span = again.map_or(FORGIVE_AFTER, |again| {
            (again.span * 2).min(FORGIVE_AFTER_MOST)
        });
        let until = now + span;
        self.absent.insert((owner, task), Absence { until, span });
        self.absent_tasks.insert(task);
        *self.misses.entry(owner).or_default() += 1;
        self.choose_reliable();
    }

    /// This node's place in an order that is drawn anew for each `key`, from 0.
    pub(super) fn rank(&self, key: u64) -> usize {
        hash::rank(&self.alive, self.me, key)
    }

    fn choose_reliable(&mut self) {
        let misses = &self.misses;
        let me = self.me;
        self.reliable.clear();
        self.reliable.extend(
            self.alive
                .iter()
                .filter(|id| **id == me || misses.get(*id).is_none_or(|count| *count < MISSES)),
        );
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{Beat, Holder};

    use super::*;

    fn node(n: u8, seen_ms: i64) -> NodeRecord {
        let holder = Holder::new("n").with_id(HolderId::from_bytes([n; 16]));
        let mut beat = Beat::new(holder, Duration::from_secs(15));
        beat.capacity = 1;
        let seen = Timestamp::from_millis(seen_ms);
        NodeRecord::of_beat(&beat, seen, seen)
    }

    #[test]
    fn s56_a_node_that_never_claims_a_task_is_not_waited_for_again_and_again() {
        let me = HolderId::from_bytes([1; 16]);
        let other = HolderId::from_bytes([2; 16]);
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut peers = Peers::new(me);
        peers.update(&[node(1, 0), node(2, 0)], start);
        let owned_by_other = |peers: &Peers, task, now| {
            (0..100)
                .filter(|tick| peers.owner(task, *tick, 1, now) == other)
                .count()
        };
        assert!(owned_by_other(&peers, 7, start) > 20);
        let (mut now, mut misses) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            if owned_by_other(&peers, 7, now) > 0 {
                peers.missed(other, 7, now);
                misses += 1;
            }
            assert_eq!(owned_by_other(&peers, 7, now), 0);
            now = now + Duration::from_secs(1);
            let seen = i64::try_from(now.since(start).as_millis()).unwrap();
            peers.update(&[node(1, seen), node(2, seen)], now);
        }
        assert!(owned_by_other(&peers, 8, now) > 20);
        assert!(misses < 20, "waited for it {misses} times in an hour");
    }

    #[test]
    fn a_silent_node_is_not_counted_on_until_it_is_heard_of_again() {
        let me = HolderId::from_bytes([1; 16]);
        let other = HolderId::from_bytes([2; 16]);
        let now = Moment::from_origin(Duration::from_secs(1000));
        let mut peers = Peers::new(me);
        peers.update(&[node(1, 0), node(2, 0)], now);
        for task in 0..3 {
            peers.missed(other, task, now);
        }
        assert!((0..100).all(|tick| peers.owner(9, tick, 1, now) == me));
        peers.update(&[node(1, 5), node(2, 0)], now);
        assert!((0..100).all(|tick| peers.owner(9, tick, 1, now) == me));
        peers.update(&[node(1, 5), node(2, 5)], now);
        assert!((0..100).any(|tick| peers.owner(9, tick, 1, now) == other));
    }
}
