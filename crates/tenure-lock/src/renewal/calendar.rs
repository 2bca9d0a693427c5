//! Which seats of a roster are due when.
//!
//! Seats that are due at about the same time stand together in one party, so that to enter, to
//! leave and to be renewed costs a seat no search among all others. It knows numbers of seats only.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::Moment;

/// The most seats of a party. Two requests on Redis, which leave and are answered together: to be
/// woken and to send costs as much as to renew a hundred leases.
pub(super) const FULL: usize = 512;

/// When something is to be done: at the latest then, and by so much earlier if that suits others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Moment,
    pub(crate) slack: Duration,
}

impl Due {
    pub(crate) fn exactly(at: Moment) -> Self {
        let slack = Duration::ZERO;
        Self { at, slack }
    }
}

/// Where a seat stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    party: Name,
    index: usize,
}

impl Spot {
    /// Where a seat stands that now joins these, at their end.
    fn last_of(party: Name, seats: &mut Vec<usize>, seat: usize) -> Self {
        let index = seats.len();
        seats.push(seat);
        Self { party, index }
    }

    pub(super) fn due(self) -> Moment {
        self.party.0
    }
}

/// When a party is due, and a number by which it differs from others of that moment.
type Name = (Moment, u32);

/// Seats that are due together.
#[derive(Debug)]
pub(super) struct Party {
    name: Name,
    seats: Vec<usize>,
}

impl Party {
    pub(super) fn due(&self) -> Moment {
        self.name.0
    }

    pub(super) fn seats(&self) -> &[usize] {
        &self.seats
    }

    /// Takes one of them.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.seats.pop()
    }
}

#[derive(Debug, Default)]
pub(super) struct Calendar {
    parties: BTreeMap<Name, Vec<usize>>,
    /// The party that was made last, which nearly always suits the next seat as well.
    newest: Option<Name>,
}

impl Calendar {
    /// Enters a seat that is not in it.
    pub(super) fn add(&mut self, seat: usize, due: Due) -> Spot {
        let least = due.at - due.slack;
        // Nearly always, so it is looked for only once.
        if let Some(newest @ (at, _)) = self.newest
            && least <= at
            && at <= due.at
            && let Some(seats) = self.parties.get_mut(&newest)
            && seats.len() < FULL
        {
            return Spot::last_of(newest, seats, seat);
        }
        let party = self.party(least, due.at);
        Spot::last_of(party, self.parties.entry(party).or_default(), seat)
    }

    /// A party with room that is due between `least` and `most`.
    fn party(&mut self, least: Moment, most: Moment) -> Name {
        let has_room = |seats: &Vec<usize>| seats.len() < FULL;
        let mut those = self.parties.range((least, 0)..=(most, u32::MAX));
        if let Some((name, _)) = those.rfind(|(_, seats)| has_room(seats)) {
            return *name;
        }
        let number = self.newest.map_or(0, |(_, number)| number.wrapping_add(1));
        *self.newest.insert((most, number))
    }

    /// Strikes out a seat. Says which other seat stands in its spot from now on.
    pub(super) fn remove(&mut self, spot: Spot) -> Option<usize> {
        let seats = self.parties.get_mut(&spot.party)?;
        if spot.index < seats.len() {
            seats.swap_remove(spot.index);
        }
        // A party that is empty stays until it comes first: most are soon joined again.
        seats.get(spot.index).copied()
    }

    /// When the first party is due that is not empty.
    pub(super) fn next(&mut self) -> Option<Moment> {
        while let Some(party) = self.parties.first_entry() {
            if !party.get().is_empty() {
                return Some(party.key().0);
            }
            party.remove();
        }
        None
    }

    /// Takes out the first party, empty or not, if it is due by `latest`.
    pub(super) fn take_first(&mut self, latest: Moment) -> Option<Party> {
        let party = self.parties.first_entry()?;
        if party.key().0 > latest {
            return None;
        }
        let (name, seats) = party.remove_entry();
        Some(Party { name, seats })
    }

    /// Puts back what is left of a party.
    pub(super) fn put_back(&mut self, party: Party) {
        if !party.seats.is_empty() {
            self.parties.insert(party.name, party.seats);
        }
    }

    /// Strikes out everything.
    pub(super) fn clear(&mut self) {
        self.parties.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    fn due(ms: u64, slack_ms: u64) -> Due {
        Due {
            at: at(ms),
            slack: Duration::from_millis(slack_ms),
        }
    }

    #[test]
    fn r39_a_seat_joins_those_due_a_little_earlier_and_never_those_due_later() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.add(1, due(1_000, 100)).due(), at(1_000));
        assert_eq!(calendar.add(2, due(1_050, 100)).due(), at(1_000));
        assert_eq!(calendar.add(3, due(999, 100)).due(), at(999));
        assert_eq!(calendar.add(4, due(1_101, 100)).due(), at(1_101));
        assert_eq!(calendar.add(5, due(1_099, 100)).due(), at(1_000));
        assert_eq!(calendar.next(), Some(at(999)));
    }

    #[test]
    fn r39_a_party_is_no_larger_than_a_request() {
        let mut calendar = Calendar::default();
        for seat in 0..2 * FULL {
            calendar.add(seat, due(1_000, 0));
        }
        let mut sizes = Vec::new();
        while let Some(party) = calendar.take_first(at(1_000)) {
            sizes.push(party.seats.len());
        }
        assert_eq!(sizes, [FULL, FULL]);
    }

    #[test]
    fn r36_who_leaves_is_due_no_more_and_the_others_still_are() {
        fastrand::seed(7);
        let mut calendar = Calendar::default();
        let mut spots = HashMap::new();
        for seat in 0..2_000 {
            let when = due(fastrand::u64(1..500), fastrand::u64(..20));
            spots.insert(seat, calendar.add(seat, when));
            if seat % 3 == 0 {
                let leaves = fastrand::usize(..=seat);
                if let Some(spot) = spots.remove(&leaves)
                    && let Some(moved) = calendar.remove(spot)
                {
                    spots.insert(moved, spot);
                }
            }
        }
        let mut last = at(0);
        while let Some(next) = calendar.next() {
            assert!(
                calendar
                    .take_first(next - Duration::from_nanos(1))
                    .is_none()
            );
            let mut party = calendar.take_first(next).unwrap();
            assert!(last <= party.due());
            last = party.due();
            while let Some(seat) = party.pop() {
                let spot = spots.remove(&seat).unwrap();
                assert_eq!(spot.due(), last);
            }
        }
        assert!(spots.is_empty());
    }
}
