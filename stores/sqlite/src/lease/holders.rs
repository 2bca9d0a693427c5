//! Those who hold a key at one moment, and who may join them.
//!
//! Pure: it reads rows that were loaded and writes nothing.

use std::num::NonZeroU32;

use tenure_core::{LeaseView, Mark, Occupant, Sharing, Timestamp, Token};

use super::row::LeaseRow;

/// The leases on a key, all shared in one way if there are several; the oldest grant comes first.
#[derive(Debug, Default)]
pub(super) struct Holders(pub(super) Vec<LeaseRow>);

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How the key is held, with the limit that is in force.
    pub(super) fn sharing(&self) -> Sharing {
        self.0
            .first()
            .map_or(Sharing::Exclusive, |lease| lease.sharing)
    }

    /// Whether a lease that is shared so may be granted beside those there are, at most so many.
    pub(super) fn has_room_for(&self, sharing: Sharing, at_most: Option<NonZeroU32>) -> bool {
        self.is_empty()
            || (self.sharing().goes_with(sharing)
                && at_most.is_none_or(|most| count(self.0.len()) < most.get()))
    }

    pub(super) fn own(&mut self, token: Token) -> Option<&mut LeaseRow> {
        self.0.iter_mut().find(|lease| lease.token == token)
    }

    pub(super) fn occupant(&self) -> Option<Occupant> {
        match self.sharing() {
            Sharing::Shared { at_most } => Some(Occupant::Shared {
                holders: count(self.0.len()),
                at_most,
            }),
            _ => self.0.first().map(LeaseRow::occupant),
        }
    }

    /// Until when the key is held, as far as it matters to a lease that is shared so.
    pub(super) fn until(&self, sharing: Sharing) -> Option<Timestamp> {
        let ends = self.0.iter().map(|lease| lease.expires);
        if self.sharing().goes_with(sharing) {
            ends.min()
        } else {
            ends.max()
        }
    }

    fn mark(&self) -> Option<Mark> {
        let first = self.0.first()?;
        Some(if first.sharing.is_shared() {
            Mark::new(format!("shared:{}", first.begun))
        } else {
            first.mark()
        })
    }

    /// Whom an operator means: all, or one of them.
    pub(super) fn meant_by(&self, mark: &Mark) -> Option<(Vec<Token>, Occupant)> {
        if self.mark().as_ref() == Some(mark) {
            let all = self.0.iter().map(|lease| lease.token).collect();
            return Some((all, self.occupant()?));
        }
        let one = self.0.iter().find(|lease| lease.mark() == *mark)?;
        Some((vec![one.token], one.occupant()))
    }

    /// Adds to a view who holds the key.
    pub(super) fn shown_in(&self, view: LeaseView) -> LeaseView {
        let (Some(occupant), Some(mark)) = (self.occupant(), self.mark()) else {
            return view;
        };
        let until = self.until(Sharing::Exclusive);
        match occupant {
            Occupant::Shared { holders, at_most } => {
                let sharers = self.0.iter().map(LeaseRow::sharer).collect();
                view.shared_by((holders, at_most), sharers, until, mark)
            }
            occupant => view.held_by(occupant, until, mark),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
