//! One server of a replicated set, and what the scripts do on it.
//!
//! A server acts as primary until it is told to follow another, whether or not it is the one that
//! everybody else means. In strict mode the acquire script first compares the *marker* in the data
//! with what the server says of itself (`strict_guard.lua`), and refuses while a quarantine lasts
//! (`strict_install.lua`). Knows no clients.

use super::{Bug, Safety, Ticks, Token};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// Whom it copies; nobody, if it acts as primary.
    pub follows: Option<usize>,
    /// How new the newest primary is that it has heard of.
    pub epoch: u8,
    /// What it says of itself.
    pub era: Era,
    /// Its data.
    pub data: Data,
}

/// What tells one life of a primary from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Era {
    /// New with every start of the process: Redis' `run_id`.
    pub run: u8,
    /// New with every start and every promotion: Redis' `master_replid`.
    pub line: u8,
}

/// What is copied from a primary to those that follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Data {
    /// The lock.
    pub lock: Option<Lease>,
    /// Who waits: one is enough to have a hand-off.
    pub waiter: Option<Token>,
    /// The fence counter.
    pub last_fence: u8,
    /// In which era the last quarantine was begun.
    pub marker: Option<Era>,
    /// How long nothing is granted.
    pub quarantine: Ticks,
}

/// The lock as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Whose it is.
    pub token: Token,
    /// Its number.
    pub fence: u8,
    /// When the server ends it.
    pub left: Ticks,
}

/// What an acquisition is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The lock is written; in strict mode it counts when enough others have copied it.
    Granted {
        /// Its number.
        fence: u8,
        /// Whether it was written just now, and not by an earlier request with this token.
        is_new: bool,
    },
    /// It is somebody else's, and the asker waits.
    Held,
    /// The marker is not this era's.
    NeedInstall,
    /// Not yet.
    Quarantined,
}

/// How the scripts are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts; no client may ask for more.
    pub ttl: Ticks,
    /// Which of the two promises is kept.
    pub safety: Safety,
    /// A fault planted to see whether it is found.
    pub bug: Option<Bug>,
}

impl Node {
    /// One that follows the first.
    pub(super) fn new(number: u8) -> Self {
        let follows = (number > 0).then_some(0);
        let era = Era {
            run: number,
            line: number,
        };
        Self {
            follows,
            epoch: 0,
            era,
            data: Data::default(),
        }
    }

    fn is_marked(&self, terms: Terms) -> bool {
        let Some(marker) = self.data.marker else {
            return false;
        };
        match terms.bug {
            Some(Bug::NoQuarantine) => true,
            Some(Bug::MarkerIsTheRunId) => marker.run == self.era.run,
            _ => marker == self.era,
        }
    }

    /// The acquire script. `clock` is greater than every fence whose microsecond is over.
    pub(super) fn acquire(&mut self, token: Token, clock: u8, terms: Terms) -> Answer {
        let is_own = self.data.lock.is_some_and(|lock| lock.token == token);
        let is_unguarded = is_own && terms.bug == Some(Bug::OwnLockNeedsNoGuard);
        if terms.safety == Safety::Strict && !is_unguarded {
            if !self.is_marked(terms) {
                return Answer::NeedInstall;
            }
            if self.data.quarantine > 0 {
                return Answer::Quarantined;
            }
        }
        match &mut self.data.lock {
            Some(lock) if lock.token == token => {
                lock.left = terms.ttl;
                Answer::Granted {
                    fence: lock.fence,
                    is_new: false,
                }
            }
            Some(_) => Answer::Held,
            None => {
                if self.data.waiter == Some(token) {
                    self.data.waiter = None;
                }
                let fence = self.write_lock(token, clock, terms);
                Answer::Granted {
                    fence,
                    is_new: true,
                }
            }
        }
    }

    /// The end of the acquire script: takes a place.
    pub(super) fn queue(&mut self, token: Token) {
        self.data.waiter = self.data.waiter.or(Some(token));
    }

    fn write_lock(&mut self, token: Token, clock: u8, terms: Terms) -> u8 {
        let next = self.data.last_fence + 1;
        let fence = if terms.bug == Some(Bug::FencesOnlyCount) {
            next
        } else {
            next.max(clock)
        };
        self.data.last_fence = fence;
        self.data.lock = Some(Lease {
            token,
            fence,
            left: terms.ttl,
        });
        fence
    }

    /// Begins a quarantine, if the server is still in the era in which that was found necessary.
    pub(super) fn install(&mut self, era: Era, terms: Terms) {
        if self.follows.is_some() {
            return;
        }
        if era != self.era && terms.bug != Some(Bug::InstallDoesNotCompare) {
            return;
        }
        self.data.marker = Some(self.era);
        self.data.quarantine = match terms.bug {
            Some(Bug::QuarantineIsShort) => terms.ttl - 1,
            _ => terms.ttl,
        };
    }

    /// The renew script; whether the lock is still the token's.
    pub(super) fn renew(&mut self, token: Token, terms: Terms) -> bool {
        let own = self.data.lock.as_mut().filter(|lock| lock.token == token);
        own.map(|lock| lock.left = terms.ttl).is_some()
    }

    /// The release script; whom the lock was handed to, with its fence.
    pub(super) fn release(&mut self, token: Token, clock: u8, terms: Terms) -> Option<(Token, u8)> {
        self.data.lock.filter(|lock| lock.token == token)?;
        self.data.lock = None;
        let next = self.data.waiter.take()?;
        Some((next, self.write_lock(next, clock, terms)))
    }

    /// Takes back what was granted without enough copies.
    pub(super) fn undo(&mut self, token: Token) {
        self.data.lock = self.data.lock.filter(|lock| lock.token != token);
    }

    /// Time passes.
    pub(super) fn tick(&mut self) {
        let data = &mut self.data;
        data.quarantine = data.quarantine.saturating_sub(1);
        if let Some(lock) = &mut data.lock {
            lock.left -= 1;
        }
        data.lock = data.lock.filter(|lock| lock.left > 0);
    }
}
