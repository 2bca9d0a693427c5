//! The server's side: what the lease scripts do to one lock, its queue and the fence counter.
//!
//! Each function is one script of `stores/redis/src/scripts` and is named like it; `hand_on` is
//! the function of that name in `lease.lua`. A step is atomic, as a script is. Relies on nothing;
//! knows neither clients nor the network, except how many ears a channel has.
//!
//! Not modelled: foreign values under the lock's name, a server that is full, a broken counter, a
//! user without the right to publish, and the limit of 64 dead waiters a step.

use super::{Bug, Ticks, Token};

/// How the scripts are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts without a renewal.
    pub ttl: Ticks,
    /// How long a grant lasts that was handed on, until its first renewal.
    pub claim_window: Ticks,
    /// How long a place in the queue outlives the last request.
    pub keep: Ticks,
    /// A fault planted to see whether it is found.
    pub bug: Option<Bug>,
}

/// What the server keeps of one lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Server {
    /// KEYS\[1\]: the lock.
    pub lock: Option<Lease>,
    /// KEYS\[2\] and \[3\]: who waits, in order of arrival.
    pub queue: Vec<Place>,
    /// KEYS\[4\]: the fence counter. On one server that keeps its data the counter alone decides;
    /// what the clock is for, the model of fail-over shows.
    pub last_fence: u8,
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

/// A waiter as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Who waits.
    pub token: Token,
    /// For how long the place lasts.
    pub left: Ticks,
}

/// A grant on its way to a waiter's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Push {
    /// Whose turn it is.
    pub token: Token,
    /// The number of the grant.
    pub fence: u8,
    /// How long it lasts from the moment of the step.
    pub span: Ticks,
    /// When the server ends it.
    pub left: Ticks,
}

/// What an acquisition is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acquired {
    /// The lock is the asker's.
    Granted {
        /// Its number.
        fence: u8,
        /// How long it lasts from the moment of the step.
        span: Ticks,
    },
    /// It is somebody else's, and the asker has a place.
    Held {
        /// How long the other's lease lasts.
        pttl: Ticks,
        /// Which place, counted from 1.
        position: u8,
    },
}

/// What hand-off came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Nobody,
    Own,
    Handed,
}

/// One script on its way: the server, the terms, and the channels it may publish on.
#[expect(missing_debug_implementations, reason = "it borrows a closure")]
pub struct Step<'a> {
    /// What the script works on.
    pub server: &'a mut Server,
    /// How it is called.
    pub terms: Terms,
    /// Whether anybody seems to listen on a waiter's channel: what PUBLISH counts.
    pub is_heard: &'a dyn Fn(Token) -> bool,
    /// What was published.
    pub pushed: Vec<Push>,
}

impl Step<'_> {
    fn has(&self, bug: Bug) -> bool {
        self.terms.bug == Some(bug)
    }

    /// `acquire.lua`: grants the lock if it is free and it is this token's turn, else takes or
    /// keeps a place in the queue.
    pub(super) fn acquire(&mut self, token: Token) -> Acquired {
        let own = self.server.lock.filter(|lock| lock.token == token);
        if let Some(lock) = own.filter(|_| !self.has(Bug::ResendIsAStranger)) {
            let span = lock.left.max(self.terms.ttl);
            self.server.lock = Some(Lease { left: span, ..lock });
            let fence = lock.fence;
            return Acquired::Granted { fence, span };
        }
        if self.server.lock.is_none() {
            if self.server.queue.is_empty() || self.has(Bug::NewcomersBarge) {
                return self.granted(token);
            }
            match self.hand_on(Some(token)) {
                Outcome::Own => return self.granted(token),
                Outcome::Handed => {}
                Outcome::Nobody => {
                    self.server.lock = None;
                    if self.server.queue.is_empty() {
                        return self.granted(token);
                    }
                }
            }
        }
        let position = self.keep_place(token);
        let pttl = self.server.lock.map_or(0, |lock| lock.left);
        Acquired::Held { pttl, position }
    }

    fn granted(&mut self, token: Token) -> Acquired {
        let fence = self.next_fence();
        let span = self.terms.ttl;
        self.write_lock(token, fence, span);
        Acquired::Granted { fence, span }
    }

    fn keep_place(&mut self, token: Token) -> u8 {
        self.skip_lapsed();
        let left = self.terms.keep;
        let queue = &mut self.server.queue;
        if let Some(lapsed) = queue.iter().position(|p| p.token == token && p.left == 0) {
            queue.remove(lapsed);
        }
        let known = queue.iter().position(|place| place.token == token);
        let known = known.filter(|_| self.terms.bug != Some(Bug::ResendQueuesTwice));
        let rank = known.unwrap_or_else(|| {
            queue.push(Place { token, left });
            queue.len() - 1
        });
        queue[rank].left = left;
        u8::try_from(rank + 1).unwrap_or(u8::MAX)
    }

    /// `release.lua`: gives the lock to the first live waiter, if it is still this token's.
    pub(super) fn release(&mut self, token: Token) {
        let is_own = self.server.lock.is_some_and(|lock| lock.token == token);
        if is_own || self.has(Bug::ReleaseDoesNotCompare) {
            self.give_away();
        }
    }

    /// `cancel.lua`: ends whatever a token has.
    pub(super) fn cancel(&mut self, token: Token) {
        self.forget(token);
        let is_own = self.server.lock.is_some_and(|lock| lock.token == token);
        if is_own && !self.has(Bug::CancelOnlyLeavesTheQueue) {
            self.give_away();
        }
    }

    /// `renew.lua`: keeps a lock that is still its token's own; how long it lasts then.
    pub(super) fn renew(&mut self, token: Token) -> Option<Ticks> {
        let any = self.has(Bug::RenewDoesNotCompare);
        let ttl = self.terms.ttl;
        let lock = self.server.lock.as_mut()?;
        if lock.token != token && !any {
            return None;
        }
        lock.left = lock.left.max(ttl);
        Some(lock.left)
    }

    /// `pass_on.lua`: gives a grant to the next, if it still is as it was pushed.
    pub(super) fn pass_on(&mut self, push: Push) {
        let is_as_pushed = |lock: Lease| {
            lock.token == push.token && lock.fence == push.fence && lock.left == push.left
        };
        let is_the_one = self.server.lock.is_some_and(is_as_pushed);
        if is_the_one || self.server.lock.is_some() && self.has(Bug::PassOnDoesNotCompare) {
            self.give_away();
        }
    }

    fn give_away(&mut self) {
        if self.hand_on(None) != Outcome::Handed {
            self.server.lock = None;
        }
    }

    /// Gives the lock to the first live waiter; the caller deletes it unless it was handed on.
    fn hand_on(&mut self, own: Option<Token>) -> Outcome {
        while !self.server.queue.is_empty() {
            let place = self.server.queue.remove(0);
            if own == Some(place.token) {
                return Outcome::Own;
            }
            if place.left == 0 {
                continue;
            }
            let fence = if self.has(Bug::HandOffKeepsTheFence) {
                self.server.last_fence
            } else {
                self.next_fence()
            };
            let span = if self.has(Bug::NoClaimWindow) {
                self.terms.ttl
            } else {
                self.terms.ttl.min(self.terms.claim_window)
            };
            self.write_lock(place.token, fence, span);
            let heard = (self.is_heard)(place.token);
            if heard {
                self.pushed.push(Push {
                    token: place.token,
                    fence,
                    span,
                    left: span,
                });
            }
            if heard || self.has(Bug::DeadWaitersCount) {
                return Outcome::Handed;
            }
        }
        Outcome::Nobody
    }

    fn next_fence(&self) -> u8 {
        self.server.last_fence + 1
    }

    fn write_lock(&mut self, token: Token, fence: u8, left: Ticks) {
        self.server.last_fence = fence;
        self.server.lock = Some(Lease { token, fence, left });
    }

    fn forget(&mut self, token: Token) {
        let queue = &mut self.server.queue;
        // A sorted set has a member once; the planted second place is a second member.
        if let Some(at) = queue.iter().position(|place| place.token == token) {
            queue.remove(at);
        }
    }

    fn skip_lapsed(&mut self) {
        while self.server.queue.first().is_some_and(|p| p.left == 0) {
            self.server.queue.remove(0);
        }
    }
}

impl Server {
    /// Time passes: the server ends leases and places by itself.
    pub(super) fn tick(&mut self) {
        if let Some(lock) = &mut self.lock {
            lock.left -= 1;
        }
        self.lock = self.lock.filter(|lock| lock.left > 0);
        for place in &mut self.queue {
            place.left = place.left.saturating_sub(1);
        }
    }
}
