//! How a store taps a waiter or a holder on the shoulder.
//!
//! A wake-up is a hint, except [`Wake::Granted`], which is an answer. A caller listens *before* it
//! sends its request, so that a push that overtakes the reply is not lost, and keeps a timer of its
//! own, because a store may lose wake-ups.
//!
//! Each listener has a mailbox with room for one grant and one "look again": nothing queues up, and
//! a store never waits for a slow listener.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::{Grant, Key, Token};

/// Why a listener was woken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// The store says that the lease is now this listener's.
    Granted(Grant),
    /// Something about the key changed; ask the store.
    Changed,
}

#[derive(Debug, Default)]
struct Mailbox {
    letters: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    grant: Option<Grant>,
    changed: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    fn put(&self, wake: Wake) {
        let waker = {
            let mut letters = locked(&self.letters);
            match wake {
                Wake::Granted(grant) => letters.grant = Some(grant),
                Wake::Changed => letters.changed = true,
            }
            letters.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Wake> {
        let mut letters = locked(&self.letters);
        if let Some(grant) = letters.grant.take() {
            return Poll::Ready(Wake::Granted(grant));
        }
        if std::mem::take(&mut letters.changed) {
            return Poll::Ready(Wake::Changed);
        }
        letters.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

type Listeners = HashMap<Key, Vec<(Token, Arc<Mailbox>)>>;

/// The listeners of one store: which tokens wait for word of which keys.
///
/// A building block for stores; locks only see [`Wakes`].
#[derive(Clone, Default)]
pub struct WakeRegistry {
    listeners: Arc<Mutex<Listeners>>,
}

impl WakeRegistry {
    /// Starts listening for `token` on `key`, until the returned value is dropped.
    #[must_use]
    pub fn listen(&self, key: &Key, token: Token) -> Wakes {
        let mailbox = Arc::new(Mailbox::default());
        locked(&self.listeners)
            .entry(key.clone())
            .or_default()
            .push((token, mailbox.clone()));
        Wakes {
            mailbox,
            seat: Some(Seat {
                key: key.clone(),
                token,
                listeners: Arc::downgrade(&self.listeners),
            }),
        }
    }

    /// Tells `token` that the lease on `key` is now its own. False if nobody here listens for it.
    #[must_use]
    pub fn grant(&self, key: &Key, token: Token, grant: &Grant) -> bool {
        self.put(key, Some(token), &Wake::Granted(grant.clone()))
    }

    /// Tells one listener of `key` to ask again. False if nobody here listens for it.
    #[must_use]
    pub fn changed_for(&self, key: &Key, token: Token) -> bool {
        self.put(key, Some(token), &Wake::Changed)
    }

    /// Tells every listener of `key` to ask again.
    pub fn changed(&self, key: &Key) {
        self.put(key, None, &Wake::Changed);
    }

    /// Tells every listener of every key to ask again, as after a reconnection.
    pub fn changed_everywhere(&self) {
        let mailboxes: Vec<_> = locked(&self.listeners)
            .values()
            .flatten()
            .map(|(_, mailbox)| mailbox.clone())
            .collect();
        for mailbox in mailboxes {
            mailbox.put(Wake::Changed);
        }
    }

    /// Whether nobody listens, so that a store need not watch for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        locked(&self.listeners).is_empty()
    }

    /// The tokens that listen now, by key: what a store that looks for grants itself asks for.
    #[must_use]
    pub fn waiting(&self) -> Vec<(Key, Token)> {
        locked(&self.listeners)
            .iter()
            .flat_map(|(key, seats)| seats.iter().map(|(token, _)| (key.clone(), *token)))
            .collect()
    }

    fn put(&self, key: &Key, only: Option<Token>, wake: &Wake) -> bool {
        let mailboxes: Vec<_> = locked(&self.listeners)
            .get(key)
            .into_iter()
            .flatten()
            .filter(|(token, _)| only.is_none_or(|only| only == *token))
            .map(|(_, mailbox)| mailbox.clone())
            .collect();
        for mailbox in &mailboxes {
            mailbox.put(wake.clone());
        }
        !mailboxes.is_empty()
    }
}

impl fmt::Debug for WakeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeRegistry({} keys)", locked(&self.listeners).len())
    }
}

/// Where a listener is entered, to be struck out when it goes.
#[derive(Debug)]
struct Seat {
    key: Key,
    token: Token,
    listeners: Weak<Mutex<Listeners>>,
}

/// One listener's wake-ups. Dropping it stops listening.
#[derive(Debug)]
pub struct Wakes {
    mailbox: Arc<Mailbox>,
    seat: Option<Seat>,
}

impl Wakes {
    /// Wake-ups that never come, for stores that cannot push. The caller's timer does the work.
    #[must_use]
    pub fn never() -> Self {
        Self {
            mailbox: Arc::default(),
            seat: None,
        }
    }

    /// Waits for the next wake-up. A grant comes before a [`Wake::Changed`] that arrived with it.
    ///
    /// # Cancel safety
    /// Safe: a wake-up that arrives while nobody waits is kept for the next call.
    pub async fn next(&mut self) -> Wake {
        poll_fn(|context| self.mailbox.poll(context)).await
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let Some(listeners) = seat.listeners.upgrade() else {
            return;
        };
        let mut listeners = locked(&listeners);
        if let Some(seats) = listeners.get_mut(&seat.key) {
            seats.retain(|(token, mailbox)| {
                *token != seat.token || !Arc::ptr_eq(mailbox, &self.mailbox)
            });
            if seats.is_empty() {
                listeners.remove(&seat.key);
            }
        }
    }
}

/// A panic elsewhere leaves mailboxes whole: every change to them is a single assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(wakes: &Wakes) -> Poll<Wake> {
        wakes.mailbox.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn r29_dropping_a_listener_leaves_nothing_behind() {
        let registry = WakeRegistry::default();
        let key = Key::new("k").unwrap();
        let (a, b) = (Token::random(), Token::random());
        let first = registry.listen(&key, a);
        let second = registry.listen(&key, b);
        drop(first);
        assert_eq!(registry.waiting(), vec![(key.clone(), b)]);
        drop(second);
        assert!(registry.is_empty());
        assert!(!registry.changed_for(&key, b));
    }

    #[test]
    fn r32a_a_wake_up_that_comes_before_anyone_waits_is_kept_once() {
        let registry = WakeRegistry::default();
        let key = Key::new("k").unwrap();
        let wakes = registry.listen(&key, Token::random());
        registry.changed(&key);
        registry.changed(&key);
        assert_eq!(poll(&wakes), Poll::Ready(Wake::Changed));
        assert!(poll(&wakes).is_pending());
    }
}
