//! Deals the runs of one tick to the nodes that are there: pure, and the same on every node that
//! sees the same nodes and the same runs.
//!
//! Each run has its own order of nodes, drawn from its name, its tick and the nodes' ids (highest
//! rendezvous hash). The first in that order with room left owns the run; room is a node's part of
//! all runs of the tick, by its capacity. So each node gets its part to the last run, and a node
//! that comes or goes moves few runs of the others. Where nodes disagree about who is there, two
//! may think that they own a run, or none: that costs a refused claim or a grace.

use std::cmp::Reverse;

use tenure_core::HolderId;

use crate::hash;

/// A node to deal to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand {
    pub(super) node: HolderId,
    /// Its part of all runs, beside the others' parts.
    pub(super) weight: u32,
    of_node: u64,
}

impl Hand {
    pub(super) fn new(node: HolderId, weight: u32) -> Self {
        Self {
            node,
            weight: weight.max(1),
            of_node: hash::of_node(node),
        }
    }
}

/// A run to deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Differs for each task, and unless the task is to stay where it is, for each tick.
    pub(super) key: u64,
    /// 1 and up: the indices of a tick go round the nodes.
    pub(super) index: u32,
    /// It goes to the first of its order whether there is room or not.
    pub(super) is_sticky: bool,
}

/// The owner of each of `places`, in their order. Without a hand there is no owner.
pub(super) fn deal(hands: &[Hand], places: &[Place]) -> Vec<HolderId> {
    let mut table = Deal::new(hands, places.len());
    let mut order: Vec<usize> = (0..places.len()).collect();
    // What has no choice goes first. The order must be the same wherever it is computed.
    order.sort_unstable_by_key(|at| places.get(*at).map(|place| (!place.is_sticky, *place)));
    let mut owners = vec![None; places.len()];
    for at in order {
        if let (Some(place), Some(owner)) = (places.get(at), owners.get_mut(at)) {
            *owner = table.owner(*place);
        }
    }
    owners.into_iter().flatten().collect()
}

/// The order of nodes of one place, the first being its natural owner.
pub(super) fn order(hands: &[Hand], place: Place) -> Vec<HolderId> {
    let table = Deal::new(hands, 1);
    let order = table.order(place.key);
    let start = table.start(place.index);
    let turned = order.iter().cycle().skip(start).take(order.len());
    turned
        .filter_map(|at| hands.get(*at).map(|hand| hand.node))
        .collect()
}

struct Deal<'a> {
    hands: &'a [Hand],
    /// How many more runs each may get.
    room: Vec<u64>,
    /// All weigh the same, so that whole numbers do.
    is_even: bool,
}

impl<'a> Deal<'a> {
    fn new(hands: &'a [Hand], runs: usize) -> Self {
        let total: u64 = hands.iter().map(|hand| u64::from(hand.weight)).sum();
        let runs = runs as u64;
        let part = |hand: &Hand| {
            let part = runs.saturating_mul(u64::from(hand.weight));
            part.div_ceil(total.max(1))
        };
        let first = hands.first().map(|hand| hand.weight);
        Self {
            hands,
            room: hands.iter().map(part).collect(),
            is_even: hands.iter().all(|hand| Some(hand.weight) == first),
        }
    }

    fn owner(&mut self, place: Place) -> Option<HolderId> {
        let start = self.start(place.index);
        let has_room = |at: &usize| place.is_sticky || self.room.get(*at).is_some_and(|r| *r > 0);
        let found = if start == 0 {
            let all = 0..self.hands.len();
            all.filter(has_room)
                .max_by_key(|at| self.score(*at, place.key))
        } else {
            let order = self.order(place.key);
            let turned = order.iter().copied().cycle().skip(start).take(order.len());
            turned
                .clone()
                .find(has_room)
                .or_else(|| turned.clone().next())
        }?;
        if let Some(room) = self.room.get_mut(found) {
            *room = room.saturating_sub(1);
        }
        self.hands.get(found).map(|hand| hand.node)
    }

    fn order(&self, key: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.hands.len()).collect();
        order.sort_by_cached_key(|at| Reverse(self.score(*at, key)));
        order
    }

    fn start(&self, index: u32) -> usize {
        let place = usize::try_from(index.saturating_sub(1)).unwrap_or(0);
        place.checked_rem(self.hands.len()).unwrap_or(0)
    }

    /// How much a node is meant for a run; the id decides between equals.
    fn score(&self, at: usize, key: u64) -> (u64, Option<HolderId>) {
        let Some(hand) = self.hands.get(at) else {
            return (0, None);
        };
        let drawn = hash::draw(hand.of_node, key);
        let score = if self.is_even {
            drawn
        } else {
            weighted(drawn, hand.weight)
        };
        (score, Some(hand.node))
    }
}

/// Turns an even draw into one that is the highest as often as its weight says.
///
/// # Sources
/// Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005), the logarithmic method.
#[expect(
    clippy::cast_precision_loss,
    reason = "a draw is as good with its first 53 bits"
)]
fn weighted(drawn: u64, weight: u32) -> u64 {
    let share = (drawn as f64 + 1.0) / (u64::MAX as f64 + 2.0);
    let score = f64::from(weight) / -share.ln();
    // Positive numbers are in the order of their bits.
    score.max(0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn hands(weights: &[u32]) -> Vec<Hand> {
        let ids = (1..).map(|n: u8| HolderId::from_bytes([n; 16]));
        let hands = ids.zip(weights);
        hands.map(|(id, weight)| Hand::new(id, *weight)).collect()
    }

    fn places(count: u64) -> Vec<Place> {
        let place = |n: u64| Place {
            key: hash::Hash::new(9).number(n).finish(),
            index: 1,
            is_sticky: false,
        };
        (0..count).map(place).collect()
    }

    fn counts(owners: &[HolderId]) -> BTreeMap<HolderId, usize> {
        let mut counts = BTreeMap::new();
        for owner in owners {
            *counts.entry(*owner).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn s47_each_node_owns_its_part_of_a_tick_to_the_last_run() {
        for (nodes, runs) in [
            (1, 100),
            (3, 100),
            (10, 100),
            (50, 100),
            (50, 10_000),
            (7, 3),
        ] {
            let hands = hands(&vec![5; nodes]);
            let counts = counts(&deal(&hands, &places(runs)));
            let most = counts.values().max().copied().unwrap();
            assert!(
                most as u64 <= runs.div_ceil(nodes as u64),
                "{nodes} {runs}: {counts:?}"
            );
            assert_eq!(counts.values().sum::<usize>() as u64, runs);
        }
    }

    #[test]
    fn s47_nodes_own_runs_in_proportion_to_their_capacity() {
        let hands = hands(&[1, 2, 5]);
        let of_one_tick = counts(&deal(&hands, &places(800)));
        assert_eq!(
            of_one_tick.into_values().collect::<Vec<_>>(),
            [100, 200, 500]
        );
        let alone: Vec<_> = places(8_000)
            .iter()
            .flat_map(|place| deal(&hands, &[*place]))
            .collect();
        let counts: Vec<_> = counts(&alone).into_values().collect();
        for (count, expected) in counts.iter().zip([1_000_usize, 2_000, 5_000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
    }

    #[test]
    fn s29_every_node_deals_alike_whatever_order_it_knows_nodes_and_runs_in() {
        let (hands, places) = (hands(&[1, 1, 2, 3, 1]), places(500));
        let owners = deal(&hands, &places);
        let mut turned = hands.clone();
        turned.rotate_left(2);
        let mut backwards = places.clone();
        backwards.reverse();
        let mut again = deal(&turned, &backwards);
        again.reverse();
        assert_eq!(again, owners);
    }

    #[test]
    fn s47_a_node_that_comes_moves_few_runs_of_the_others() {
        let (all, places) = (hands(&[1; 10]), places(10_000));
        let before = deal(&all[..9], &places);
        let after = deal(&all, &places);
        let newcomer = all[9].node;
        let moved = before.iter().zip(&after);
        let moved = moved.filter(|(a, b)| a != b && **b != newcomer).count();
        assert!(
            moved < 1_000,
            "{moved} of 10000 runs moved between old nodes"
        );
    }

    #[test]
    fn s29_the_indices_of_a_tick_go_round_the_nodes() {
        let hands = hands(&[1; 5]);
        for run in places(50) {
            let of_tick: Vec<_> = (1..=5).map(|index| Place { index, ..run }).collect();
            assert_eq!(counts(&deal(&hands, &of_tick)).len(), 5);
        }
        // Also where the tick has so many runs that every node gets a part of it anyway.
        let all: Vec<_> = places(50)
            .into_iter()
            .flat_map(|run| (1..=3).map(move |index| Place { index, ..run }))
            .collect();
        let owners = deal(&hands, &all);
        let together = owners.chunks(3).filter(|of_task| counts(of_task).len() < 3);
        let together = together.count();
        assert!(
            together <= 10,
            "{together} of 50 tasks have two indices on a node"
        );
    }

    #[test]
    fn a_sticky_task_stays_where_it_is_however_many_runs_there_are() {
        let hands = hands(&[1; 4]);
        let sticky = Place {
            is_sticky: true,
            ..places(1)[0]
        };
        let home = deal(&hands, &[sticky])[0];
        for others in 0..20 {
            let mut all = places(others);
            all.push(sticky);
            assert_eq!(deal(&hands, &all).last(), Some(&home));
        }
        assert_eq!(order(&hands, sticky)[0], home);
    }

    #[test]
    fn nobody_owns_anything_where_nobody_is() {
        assert_eq!(deal(&[], &places(3)), []);
    }
}
