//! What the servers' answers come to. It asks nobody.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{Fence, Grant, Held, Occupant, Place, Renewal, Timestamp};

use super::node::{Kind, Ours, Vote};
use super::step::Answers;
use crate::lease::Renewed;

/// How many of the first in line look at short intervals whether the key came free, because the
/// word of it may be lost. The others confirm their places.
const LOOKERS: u32 = 8;
const REFRESH: Duration = Duration::from_secs(5);

/// What `needed` voters name at least.
pub(super) fn winner<T: Ord>(votes: impl Iterator<Item = T>, needed: usize) -> Option<T> {
    let (most, count) = most_named(votes)?;
    (count >= needed).then_some(most)
}

/// What most voters name, the least of several, and how many do. A fence that nobody agreed on
/// because it is too great is thus not taken for the one that was agreed on.
pub(super) fn most_named<T: Ord>(votes: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for vote in votes {
        *counts.entry(vote).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count)
}

/// The votes for us.
pub(super) fn ours(votes: &Answers<Vote>) -> impl Iterator<Item = &Ours> {
    votes.ok().filter_map(|vote| match vote {
        Vote::Ours(ours) => Some(ours),
        Vote::Theirs { .. } => None,
    })
}

/// Whether nothing that is still to come changes what the votes come to.
pub(super) fn are_decided(votes: &Answers<Vote>, majority: usize, minority_lost: usize) -> bool {
    let for_us = ours(votes).count();
    if for_us < majority {
        return votes.heard() - for_us >= minority_lost;
    }
    // Somebody asked for this token before; what they agreed on may be with any of the servers.
    let is_new = ours(votes).all(|vote| matches!(vote.kind, Kind::New { .. }));
    let agreed = ours(votes).filter(|vote| vote.kind == Kind::Agreed);
    is_new || winner(agreed.map(|vote| vote.fence), majority).is_some()
}

/// What is left of a lease, by the shortest vote of the majority that lasts longest, and the time
/// by that server's clock.
pub(super) fn lasting(
    votes: impl Iterator<Item = (Timestamp, Duration)>,
    majority: usize,
) -> Option<(Timestamp, Duration)> {
    let mut votes: Vec<_> = votes.collect();
    votes.sort_unstable_by_key(|(now, left)| (Reverse(*left), *now));
    votes.get(majority.checked_sub(1)?).copied()
}

/// The middle one.
pub(super) fn middle<T: Ord + Copy>(many: &mut [T]) -> Option<T> {
    many.sort_unstable();
    many.get(many.len() / 2).copied()
}

/// The fence of a holder, as so many servers name it and say whether it was agreed on.
///
/// Each server has a fence of its own until it hears of the one that a majority agreed on. Of any
/// majority at least one server knows that.
pub(super) fn agreed_first(named: &[(Fence, bool)]) -> Option<Fence> {
    let agreed = named.iter().filter(|(_, is_agreed)| *is_agreed);
    let most = most_named(agreed.map(|(fence, _)| *fence));
    let most = most.or_else(|| most_named(named.iter().map(|(fence, _)| *fence)));
    most.map(|(fence, _)| fence)
}

/// One server's refusal.
struct Refusal<'a> {
    now: Timestamp,
    by: &'a Occupant,
    is_agreed: bool,
    remaining: Option<Duration>,
}

/// The refusal to answer with: that of the holder whom most servers name.
pub(super) fn refusal(
    votes: &Answers<Vote>,
    mut places: Vec<Place>,
    poll: Duration,
    is_fenced: bool,
) -> Option<Held> {
    let mut groups: BTreeMap<String, Vec<Refusal<'_>>> = BTreeMap::new();
    for vote in votes.ok() {
        if let Vote::Theirs {
            now,
            by,
            is_agreed,
            remaining,
            place,
        } = vote
        {
            groups.entry(who(by)).or_default().push(Refusal {
                now: *now,
                by,
                is_agreed: *is_agreed,
                remaining: *remaining,
            });
            places.extend(place);
        }
    }
    let group = groups.into_values().max_by_key(Vec::len)?;
    let first = group.first()?;
    let remaining = group.iter().map(|one| one.remaining);
    let remaining = remaining.collect::<Option<Vec<_>>>();
    let remaining = remaining.and_then(|left| left.into_iter().max());
    let fences = group.iter().map(|one| (fence_of(one.by), one.is_agreed));
    let fence = agreed_first(&fences.collect::<Vec<_>>())?;
    let (now, by) = (first.now, with_fence(first.by.clone(), fence, is_fenced));
    places.sort_unstable_by_key(|place| (place.position, place.length));
    let place = places.get(places.len() / 2).copied();
    let is_near = place.is_none_or(|place| place.position <= LOOKERS);
    // Those who collide come back at different moments.
    let jitter = 0.25 + fastrand::f64();
    let ask_again = if is_near {
        poll.mul_f64(jitter)
    } else {
        REFRESH.mul_f64(jitter.min(1.0))
    };
    let ask_again = remaining.map_or(ask_again, |left| ask_again.min(left));
    // Servers count the end of a lease as still inside it.
    let ask_again = ask_again.saturating_add(Duration::from_millis(1));
    let held = Held::new(now, by, remaining).ask_again_after(ask_again);
    Some(match place {
        Some(place) => held.in_place(place),
        None => held,
    })
}

fn who(by: &Occupant) -> String {
    match by {
        Occupant::Holder { holder, .. } => format!("h{}", holder.id),
        other => format!("f{other}"),
    }
}

fn fence_of(by: &Occupant) -> Fence {
    match by {
        Occupant::Holder { fence, .. } => *fence,
        _ => Fence::NONE,
    }
}

/// With the fence that the servers agreed on, or none where there are none.
pub(super) fn with_fence(mut by: Occupant, agreed: Fence, is_fenced: bool) -> Occupant {
    if let Occupant::Holder { fence, .. } = &mut by {
        *fence = if is_fenced { agreed } else { Fence::NONE };
    }
    by
}

/// What the votes on one renewal come to; `None` if that is open.
pub(super) fn renewed(
    votes: &[&Renewed],
    majority: usize,
    minority_lost: usize,
    is_fenced: bool,
) -> Option<Renewal> {
    let mut grants = Vec::new();
    let mut lost = Vec::new();
    for vote in votes {
        match &vote.renewal {
            Renewal::Renewed(grant) => grants.push((grant, vote.is_agreed)),
            Renewal::Lost { now, by } => lost.push((*now, by, vote.is_agreed)),
            _ => {}
        }
    }
    if grants.len() >= majority {
        let left = grants
            .iter()
            .map(|(one, _)| (one.now, one.expires_at.since(one.now)));
        let (now, left) = lasting(left, majority)?;
        let named = grants
            .iter()
            .map(|(one, is_agreed)| (one.fence, *is_agreed));
        let fence = agreed_first(&named.collect::<Vec<_>>());
        let fence = if is_fenced { fence? } else { Fence::NONE };
        return Some(Renewal::Renewed(Grant::new(fence, now, now + left)));
    }
    if lost.len() < minority_lost {
        return None;
    }
    // Whoever a majority names has it instead; several that each have a few votes have it not.
    let named = lost.iter().filter_map(|(_, by, _)| by.as_ref().map(who));
    let winner = winner(named, majority);
    let now = lost.first()?.0;
    let theirs: Vec<(&Occupant, bool)> = lost
        .iter()
        .filter_map(|(_, by, is_agreed)| by.as_ref().map(|by| (by, *is_agreed)))
        .filter(|(by, _)| Some(who(by)) == winner)
        .collect();
    let fences = theirs
        .iter()
        .map(|(by, is_agreed)| (fence_of(by), *is_agreed));
    let fence = agreed_first(&fences.collect::<Vec<_>>());
    let by = theirs.first().zip(fence);
    let by = by.map(|((by, _), fence)| with_fence((*by).clone(), fence, is_fenced));
    Some(Renewal::Lost { now, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r35_r72_the_fence_of_a_holder_is_the_one_that_was_agreed_on() {
        let own = |fence| (Fence::new(fence), false);
        let agreed = |fence| (Fence::new(fence), true);
        for (named, expected) in [
            (vec![own(3), agreed(7), own(5)], Some(7)),
            (vec![own(3), own(3), agreed(7)], Some(7)),
            (vec![agreed(9), agreed(7), agreed(7)], Some(7)),
            // Nobody knows of an agreement.
            (vec![own(5), own(3), own(5)], Some(5)),
            (vec![own(5), own(3)], Some(3)),
            (vec![], None),
        ] {
            assert_eq!(agreed_first(&named), expected.map(Fence::new), "{named:?}");
        }
    }
}
