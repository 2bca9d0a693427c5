//! Who else is there, and who should claim what first. Only ever a hint: a wrong view costs a
//! grace, not a run.

use std::collections::HashMap;
use std::time::Duration;

use tenure_core::{Abilities, HolderId, Moment, NodeRecord, Timestamp};

use super::crews::{Crew, Crews, Member};
use super::shares::{self, Place};
use crate::hash;
use crate::table::TaskId;

/// How long a node that did not claim its share of a task is not counted on for that task: short at
/// first, because views of who is alive differ for a while whenever that changes; doubled each time
/// it happens again soon.
const FORGIVE_AFTER: Duration = Duration::from_secs(10);
const FORGIVE_AFTER_MOST: Duration = Duration::from_secs(300);

/// A node that missed so many claims since it was last heard of is not counted on at all.
const MISSES: u32 = 3;

/// Whose turn it is to claim something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Who claims at once.
    pub(super) first: HolderId,
    /// Whose share it is, if that node can be counted on; it is blamed if it does not claim.
    pub(super) owner: Option<HolderId>,
}

#[derive(Debug)]
pub(super) struct Peers {
    me: HolderId,
    /// Everybody who takes runs, this node included.
    crews: Crews,
    seen_at: HashMap<HolderId, Timestamp>,
    misses: HashMap<HolderId, u32>,
    /// Who does not seem to know which task.
    absent: HashMap<(HolderId, TaskId), Absence>,
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
            crews: Crews::new(me),
            seen_at: HashMap::new(),
            misses: HashMap::new(),
            absent: HashMap::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.crews.all().nodes.len()
    }

    pub(super) fn count_in(&self, crew: Crew) -> usize {
        self.crews.of(crew).nodes.len()
    }

    /// Whether there is no other node to share runs with.
    pub(super) fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// Who can run what, as far as nodes say so.
    pub(super) fn crews(&mut self) -> &mut Crews {
        &mut self.crews
    }

    /// The turn of a run that is this node's own.
    pub(super) fn mine(&self) -> Turn {
        Turn {
            first: self.me,
            owner: Some(self.me),
        }
    }

    /// The store told who is alive. Nodes without capacity only watch. Tells whether one is gone.
    pub(super) fn update(&mut self, nodes: &[NodeRecord], own: &Abilities, now: Moment) -> bool {
        let before = self.crews.all().nodes.clone();
        for record in nodes {
            let id = record.node.id;
            if self.seen_at.insert(id, record.seen_at) != Some(record.seen_at) {
                self.misses.remove(&id);
            }
        }
        self.crews.set(self.members(nodes, own));
        let alive = &self.crews.all().nodes;
        self.seen_at.retain(|id, _| alive.contains(id));
        self.misses.retain(|id, _| alive.contains(id));
        // Remembered for a while after it was forgiven, to know a second time from a first.
        self.absent
            .retain(|(id, _), absence| absence.until + absence.span > now && alive.contains(id));
        before.iter().any(|id| !alive.contains(id))
    }

    /// Everybody who takes runs, this node first, with their parts of the work. A node that named
    /// no limit counts as the largest of those that did.
    fn members(&self, nodes: &[NodeRecord], own: &Abilities) -> Vec<Member> {
        let limited = nodes.iter().map(|record| record.capacity);
        let largest = limited.filter(|capacity| *capacity < u32::MAX).max();
        let largest = largest.unwrap_or(1).max(1);
        let me = nodes.iter().find(|record| record.node.id == self.me);
        let mine = me.map_or(largest, |record| record.capacity.min(largest));
        let others = nodes
            .iter()
            .filter(|record| record.node.id != self.me && record.capacity > 0)
            .map(|record| Member {
                node: record.node.id,
                weight: record.capacity.min(largest),
                abilities: record.abilities.clone(),
            });
        let me = Member {
            node: self.me,
            weight: mine,
            abilities: own.clone(),
        };
        std::iter::once(me).chain(others).collect()
    }

    /// Who owns which of the runs of one tick.
    ///
    /// Found among all who can run them, so that nodes that differ about who can be counted on
    /// still agree about everybody else's share.
    pub(super) fn owners(&self, crew: Crew, places: &[Place]) -> Vec<HolderId> {
        shares::deal(&self.crews.of(crew).hands, places)
    }

    /// Who should claim a run first that `owner` owns.
    pub(super) fn turn(
        &self,
        (crew, task): (Crew, TaskId),
        place: Place,
        owner: HolderId,
        now: Moment,
    ) -> Turn {
        if self.is_reliable(owner, task, now) {
            return Turn {
                first: owner,
                owner: Some(owner),
            };
        }
        let order = shares::order(&self.crews.of(crew).hands, place);
        let reliable = |node: &HolderId| self.is_reliable(*node, task, now);
        let stand_in = order.into_iter().find(reliable);
        Turn {
            first: stand_in.unwrap_or(self.me),
            owner: None,
        }
    }

    /// Whether some node was found not to know this task: then nobody knows who does.
    pub(super) fn is_known_nowhere(&self, task: TaskId) -> bool {
        self.absent.keys().any(|(_, absent)| *absent == task)
    }

    fn is_reliable(&self, node: HolderId, task: TaskId, now: Moment) -> bool {
        if node == self.me {
            return true;
        }
        let is_silent = self.misses.get(&node).is_some_and(|count| *count >= MISSES);
        let absence = self.absent.get(&(node, task));
        !is_silent && absence.is_none_or(|absence| absence.until <= now)
    }

    /// `owner` did not claim its share of a task in time.
    pub(super) fn missed(&mut self, owner: HolderId, task: TaskId, now: Moment) {
        let place = (owner, task);
        let span = match self.absent.get(&place) {
            Some(absence) if absence.until > now => return,
            Some(again) => (again.span * 2).min(FORGIVE_AFTER_MOST),
            None => FORGIVE_AFTER,
        };
        let until = now + span;
        self.absent.insert(place, Absence { until, span });
        *self.misses.entry(owner).or_default() += 1;
    }

    /// This node's place in an order that is drawn anew for each `key`, from 0.
    pub(super) fn rank(&self, key: u64) -> usize {
        self.rank_in(Crew::ALL, key)
    }

    /// The same among those of a crew.
    pub(super) fn rank_in(&self, crew: Crew, key: u64) -> usize {
        hash::rank(&self.crews.of(crew).nodes, self.me, key)
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

    /// Whose turn a run is that is alone in its tick.
    fn first(peers: &Peers, task: TaskId, key: u64, index: u32, now: Moment) -> Turn {
        let place = Place {
            key,
            index,
            is_sticky: false,
        };
        let owner = peers.owners(Crew::ALL, &[place])[0];
        peers.turn((Crew::ALL, task), place, owner, now)
    }

    #[test]
    fn s56_a_node_that_never_claims_a_task_is_not_waited_for_again_and_again() {
        let me = HolderId::from_bytes([1; 16]);
        let other = HolderId::from_bytes([2; 16]);
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut peers = Peers::new(me);
        peers.update(&[node(1, 0), node(2, 0)], &Abilities::default(), start);
        let owned_by_other = |peers: &Peers, task, now| {
            (0..100)
                .filter(|tick| first(peers, task, *tick, 1, now).first == other)
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
            peers.update(&[node(1, seen), node(2, seen)], &Abilities::default(), now);
        }
        assert!(owned_by_other(&peers, 8, now) > 20);
        assert!(misses < 20, "waited for it {misses} times in an hour");
    }

    #[test]
    fn the_indices_of_a_tick_go_round_all_nodes_whoever_is_counted_on() {
        let ids = [1, 2, 3].map(|n| HolderId::from_bytes([n; 16]));
        let now = Moment::from_origin(Duration::from_secs(1000));
        let mut peers = Peers::new(ids[0]);
        peers.update(
            &[node(1, 0), node(2, 0), node(3, 0)],
            &Abilities::default(),
            now,
        );
        for tick in 0..100 {
            let mut firsts: Vec<_> = (1..=3)
                .map(|i| first(&peers, 5, tick, i, now).first)
                .collect();
            firsts.sort_unstable();
            assert_eq!(firsts, ids);
        }
        let before: Vec<_> = (0..100)
            .map(|tick| first(&peers, 5, tick, 2, now))
            .collect();
        peers.missed(ids[2], 5, now);
        for (tick, before) in (0..100).zip(before) {
            let after = first(&peers, 5, tick, 2, now);
            if before.first == ids[2] {
                assert!(after.first != ids[2] && after.owner.is_none());
            } else {
                assert_eq!(after, before, "the share of a third node moved");
            }
        }
    }

    #[test]
    fn a_silent_node_is_not_counted_on_until_it_is_heard_of_again() {
        let me = HolderId::from_bytes([1; 16]);
        let other = HolderId::from_bytes([2; 16]);
        let now = Moment::from_origin(Duration::from_secs(1000));
        let mut peers = Peers::new(me);
        peers.update(&[node(1, 0), node(2, 0)], &Abilities::default(), now);
        for task in 0..3 {
            peers.missed(other, task, now);
        }
        assert!((0..100).all(|tick| first(&peers, 9, tick, 1, now).first == me));
        peers.update(&[node(1, 5), node(2, 0)], &Abilities::default(), now);
        assert!((0..100).all(|tick| first(&peers, 9, tick, 1, now).first == me));
        peers.update(&[node(1, 5), node(2, 5)], &Abilities::default(), now);
        assert!((0..100).any(|tick| first(&peers, 9, tick, 1, now).first == other));
    }
}
