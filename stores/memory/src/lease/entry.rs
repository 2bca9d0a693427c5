//! One key: who holds it, how they share it, and who waits.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use tenure_core::{Fence, Grant, Holder, Mark, Occupant, Sharer, Sharing, Timestamp, Token, Ttl};

/// A key that is held or waited for. If somebody waits, somebody holds.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// One, unless they are shared; in the order in which they were granted.
    pub(super) holders: Vec<Lease>,
    /// How the holders hold it: with the limit that is in force.
    pub(super) sharing: Sharing,
    /// The fence of the grant that found the key free.
    pub(super) begun_with: Option<Fence>,
    pub(super) queue: VecDeque<InLine>,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) token: Token,
    pub(super) holder: Holder,
    pub(super) fence: Fence,
    pub(super) since: Timestamp,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct InLine {
    pub(super) token: Token,
    pub(super) holder: Holder,
    pub(super) ttl: Ttl,
    pub(super) since: Timestamp,
    pub(super) keep_until: Timestamp,
    pub(super) sharing: Sharing,
}

impl Entry {
    /// Whether a lease that is shared so may be granted beside those there are, at most so many.
    pub(super) fn has_room_for(&self, sharing: Sharing, at_most: Option<NonZeroU32>) -> bool {
        self.holders.is_empty()
            || (self.sharing.goes_with(sharing)
                && at_most.is_none_or(|most| count(self.holders.len()) < most.get()))
    }

    /// Adds a holder. The first of them says how the key is held.
    pub(super) fn admit(&mut self, lease: Lease, sharing: Sharing) {
        if self.holders.is_empty() {
            self.sharing = sharing;
            self.begun_with = Some(lease.fence);
        }
        self.holders.push(lease);
    }

    /// A new request that asked for permits decides from now on how many there are.
    pub(super) fn limit_by(&mut self, sharing: Sharing) {
        if self.sharing.goes_with(sharing) {
            self.sharing = sharing;
        }
    }

    /// What the last of those says who stand first in line and want what `first` wants.
    pub(super) fn limit_of_run(&self, first: Sharing) -> Sharing {
        let run = self.queue.iter().map(|waiter| waiter.sharing);
        run.take_while(|next| first.goes_with(*next))
            .last()
            .unwrap_or(first)
    }

    pub(super) fn own(&mut self, token: Token) -> Option<&mut Lease> {
        self.holders.iter_mut().find(|lease| lease.token == token)
    }

    /// Ends the leases that are not to be kept; true if there were such.
    pub(super) fn keep(&mut self, kept: impl Fn(&Lease) -> bool) -> bool {
        let before = self.holders.len();
        self.holders.retain(kept);
        self.holders.len() < before
    }

    /// Until when the first or the last of the holders has its lease.
    pub(super) fn ends(
        &self,
        order: impl Fn(Timestamp, Timestamp) -> Timestamp,
    ) -> Option<Timestamp> {
        let ends = self.holders.iter().map(|lease| lease.expires_at);
        ends.reduce(order)
    }

    pub(super) fn occupant(&self) -> Option<Occupant> {
        match self.sharing {
            Sharing::Shared { at_most } if !self.holders.is_empty() => Some(Occupant::Shared {
                holders: count(self.holders.len()),
                at_most,
            }),
            _ => self.holders.first().map(Lease::occupant),
        }
    }

    /// Fences of a key do not repeat, so they name this very holding.
    pub(super) fn mark(&self) -> Mark {
        let fence = self.begun_with.unwrap_or(Fence::NONE);
        let kind = if self.sharing.is_shared() {
            "shared"
        } else {
            "fence"
        };
        Mark::new(format!("{kind}:{fence}"))
    }

    /// Whom an operator means: all holders, or one of them.
    pub(super) fn meant_by(&self, mark: &Mark) -> Option<(Vec<Token>, Occupant)> {
        if *mark == self.mark() {
            let all = self.holders.iter().map(|lease| lease.token).collect();
            return Some((all, self.occupant()?));
        }
        let one = self.holders.iter().find(|lease| lease.mark() == *mark)?;
        Some((vec![one.token], one.occupant()))
    }
}

impl Lease {
    pub(super) fn occupant(&self) -> Occupant {
        Occupant::Holder {
            holder: self.holder.clone(),
            fence: self.fence,
            since: self.since,
        }
    }

    pub(super) fn grant(&self, now: Timestamp) -> Grant {
        Grant::new(self.fence, now, self.expires_at)
    }

    /// A lease only ever grows.
    pub(super) fn extend(&mut self, ttl: Ttl, now: Timestamp) {
        self.expires_at = self.expires_at.max(now + ttl.get());
    }

    pub(super) fn mark(&self) -> Mark {
        Mark::new(format!("fence:{}", self.fence))
    }

    pub(super) fn sharer(&self) -> Sharer {
        Sharer::new(
            self.holder.clone(),
            self.fence,
            self.since,
            self.expires_at,
            self.mark(),
        )
    }
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
