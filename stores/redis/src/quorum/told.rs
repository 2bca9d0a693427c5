//! Who is told that a key came free, once enough servers say so.
//!
//! Each server tells the first in its own queue. A waiter that asked after the first such word
//! would find the key still held by the others, so it is woken by the word that makes a majority.
//! A word that never comes costs nothing but time: waiters ask again by themselves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tenure_core::{Key, Token, WakeRegistry};

/// How many waiters' words are counted at a time.
const MOST: usize = 4096;

/// The listeners of a quorum, and what they have been told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(super) wakes: WakeRegistry,
    majority: u32,
    counts: Mutex<HashMap<Token, Count>>,
}

/// Which servers told a waiter that this lease ended.
#[derive(Debug)]
struct Count {
    lease: Vec<u8>,
    servers: u32,
}

impl Told {
    pub(super) fn new(majority: usize) -> Self {
        Self {
            wakes: WakeRegistry::default(),
            majority: u32::try_from(majority).unwrap_or(u32::MAX),
            counts: Mutex::default(),
        }
    }

    /// A server says that `lease` ended and that `waiter` is first in its queue.
    pub(crate) fn freed(&self, server: usize, key: &Key, waiter: Token, lease: &[u8]) {
        let is_majority = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.len() >= MOST {
                counts.clear();
            }
            let count = counts.entry(waiter).or_insert_with(|| Count {
                lease: Vec::new(),
                servers: 0,
            });
            if count.lease != lease {
                count.lease = lease.to_vec();
                count.servers = 0;
            }
            count.servers |= 1_u32
                .checked_shl(u32::try_from(server).unwrap_or(u32::MAX))
                .unwrap_or(0);
            let is_majority = count.servers.count_ones() == self.majority;
            if is_majority {
                counts.remove(&waiter);
            }
            is_majority
        };
        if is_majority {
            let is_heard = self.wakes.changed_for(key, waiter);
            tracing::trace!(%key, is_heard, "a majority says that the key is free");
        }
    }

    /// Words may have been lost.
    pub(crate) fn reconnected(&self) {
        self.wakes.changed_everywhere();
    }

    /// Those who listen.
    pub(crate) fn leases(&self) -> &WakeRegistry {
        &self.wakes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_waiter_is_woken_once_by_the_word_that_makes_a_majority() {
        let told = Told::new(2);
        let (key, waiter) = (Key::new("k").unwrap(), Token::random());
        let mut wakes = told.wakes.listen(&key, waiter);
        for (server, lease, wakes_up) in [
            (0, "a", false),
            (0, "a", false),
            (1, "b", false),
            (2, "b", true),
            (0, "b", false),
            (1, "c", false),
            (0, "c", true),
        ] {
            told.freed(server, &key, waiter, lease.as_bytes());
            let woken = wakes.next().now_or_never().is_some();
            assert_eq!(woken, wakes_up, "server {server}, lease {lease}");
        }
        let other = Token::random();
        told.freed(0, &key, other, b"c");
        told.freed(1, &key, other, b"c");
        assert!(wakes.next().now_or_never().is_none(), "not its turn");
    }
}
