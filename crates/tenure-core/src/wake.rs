//! How a store taps a waiter or a holder on the shoulder.
//!
//! A wake-up is a hint, except [`Wake::Granted`], which is an answer. A caller listens *before* it
//! sends its request, so that a push that overtakes the reply is not lost, and keeps a timer of its
//! own, because a store may lose wake-ups.
//!
//! Each listener has a mailbox with room for one grant and one "look again": nothing queues up, and
//! a store never waits for a slow listener.
//!
//! A holder listens at rest ([`Wakes::rest`]): it wants to hear that its lease was taken, and a
//! store need not look out for that on its behalf.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

#[derive(Debug)]
struct Mailbox {
    /// Which listener of its store it is of, from the first on.
    number: u64,
    letters: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    grant: Option<Grant>,
    changed: bool,
    waker: Option<Waker>,
    /// Of a listener at rest: who is told that something changed.
    tap: Option<Waker>,
}

impl Mailbox {
    fn put(&self, wake: Wake) {
        let waker = {
            let mut letters = locked(&self.letters);
            if let Some(tap) = &letters.tap {
                // A grant is no news to whoever holds the lease.
                (wake == Wake::Changed).then(|| tap.clone())
            } else {
                match wake {
                    Wake::Granted(grant) => letters.grant = Some(grant),
                    Wake::Changed => letters.changed = true,
                }
                letters.waker.take()
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// From now on a change is told to `tap`. True if there is one that nobody was told of.
    fn rest(&self, tap: Waker) -> bool {
        let mut letters = locked(&self.letters);
        letters.tap = Some(tap);
        letters.waker = None;
        std::mem::take(&mut letters.changed)
    }

    fn is_resting(&self) -> bool {
        locked(&self.letters).tap.is_some()
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

/// Tasks that take and give back locks at the same moment enter and leave here; this many at once.
const PARTS: usize = 16;

/// By token, because grants are addressed to tokens, and tokens need no costly hash.
type Seats = HashMap<Token, Listener, BuildHasherDefault<Folded>>;

/// Who listens for a token.
struct Listener {
    key: Key,
    mailbox: Arc<Mailbox>,
    /// Others under the same token, which nobody but a test has.
    others: Vec<(Key, Arc<Mailbox>)>,
}

impl Listener {
    fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Mailbox>)> {
        let others = self.others.iter().map(|(key, mailbox)| (key, mailbox));
        std::iter::once((&self.key, &self.mailbox)).chain(others)
    }
}

/// Tokens are random already, and whoever chooses one listens in its own process.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            let mixed = self.0.rotate_left(29) ^ u64::from_le_bytes(word);
            self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Default)]
struct Listeners {
    parts: [Mutex<Seats>; PARTS],
    /// How many are not at rest.
    alert: AtomicUsize,
    /// How many there have ever been.
    arrived: AtomicU64,
}

/// The listeners of one store: which tokens wait for word of which keys.
///
/// A building block for stores; locks only see [`Wakes`].
#[derive(Clone, Default)]
pub struct WakeRegistry {
    listeners: Arc<Listeners>,
}

impl WakeRegistry {
    /// Starts listening for `token` on `key`, until the returned value is dropped.
    #[must_use]
    pub fn listen(&self, key: &Key, token: Token) -> Wakes {
        let mailbox = Arc::new(Mailbox {
            number: self.listeners.arrived.fetch_add(1, Ordering::Relaxed),
            letters: Mutex::default(),
        });
        self.listeners.alert.fetch_add(1, Ordering::Relaxed);
        match locked(self.listeners.part(token)).entry(token) {
            Entry::Vacant(seat) => {
                seat.insert(Listener {
                    key: key.clone(),
                    mailbox: mailbox.clone(),
                    others: Vec::new(),
                });
            }
            Entry::Occupied(mut seat) => {
                let others = &mut seat.get_mut().others;
                others.push((key.clone(), mailbox.clone()));
            }
        }
        Wakes {
            mailbox: Some(mailbox),
            seat: Some(Seat {
                token,
                listeners: Arc::downgrade(&self.listeners),
                is_alert: true,
            }),
        }
    }

    /// Tells `token` that the lease on `key` is now its own. False if nobody here listens for it.
    #[must_use]
    pub fn grant(&self, key: &Key, token: Token, grant: &Grant) -> bool {
        self.put(key, token, &Wake::Granted(grant.clone()))
    }

    /// Tells one listener of `key` to ask again. False if nobody here listens for it.
    #[must_use]
    pub fn changed_for(&self, key: &Key, token: Token) -> bool {
        self.put(key, token, &Wake::Changed)
    }

    /// Tells every listener of `key` to ask again.
    pub fn changed(&self, key: &Key) {
        self.tell(|at| at == key);
    }

    /// Tells every listener of every key to ask again, as after a reconnection.
    pub fn changed_everywhere(&self) {
        self.tell(|_| true);
    }

    fn tell(&self, wanted: impl Fn(&Key) -> bool) {
        let mut mailboxes = Vec::new();
        for part in &self.listeners.parts {
            let seats = locked(part);
            let all = seats.values().flat_map(Listener::all);
            let those = all.filter(|(key, _)| wanted(key));
            mailboxes.extend(those.map(|(_, mailbox)| mailbox.clone()));
        }
        // In the order in which they came: tokens are random, and a simulation repeats exactly.
        mailboxes.sort_unstable_by_key(|mailbox| mailbox.number);
        for mailbox in mailboxes {
            mailbox.put(Wake::Changed);
        }
    }

    /// Whether nobody listens but at rest, so that a store need not watch for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.alert.load(Ordering::Relaxed) == 0
    }

    /// The tokens that listen now and are not at rest, by key: what a store that looks for grants
    /// itself asks for.
    #[must_use]
    pub fn waiting(&self) -> Vec<(Key, Token)> {
        self.those(|mailbox| !mailbox.is_resting())
    }

    /// The tokens that listen at rest, by key: what a store asks for that was told to look whether
    /// a lease was taken.
    #[must_use]
    pub fn resting(&self) -> Vec<(Key, Token)> {
        self.those(Mailbox::is_resting)
    }

    fn those(&self, wanted: impl Fn(&Mailbox) -> bool) -> Vec<(Key, Token)> {
        let mut those = Vec::new();
        for part in &self.listeners.parts {
            for (token, listener) in &*locked(part) {
                let wanted = listener.all().filter(|(_, mailbox)| wanted(mailbox));
                those.extend(wanted.map(|(key, _)| (key.clone(), *token)));
            }
        }
        those
    }

    fn put(&self, key: &Key, token: Token, wake: &Wake) -> bool {
        let mailboxes: Vec<_> = locked(self.listeners.part(token))
            .get(&token)
            .into_iter()
            .flat_map(Listener::all)
            .filter(|(at, _)| *at == key)
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
        write!(f, "WakeRegistry({} listeners)", self.listeners.count())
    }
}

/// Where a listener is entered, to be struck out when it goes.
#[derive(Debug)]
struct Seat {
    token: Token,
    listeners: Weak<Listeners>,
    /// Counted among those that are not at rest.
    is_alert: bool,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.count())
    }
}

impl Listeners {
    /// Where a token is entered.
    fn part(&self, token: Token) -> &Mutex<Seats> {
        let [first, others @ ..] = &self.parts;
        let [.., last] = token.as_bytes();
        let number = usize::from(*last) % PARTS;
        number
            .checked_sub(1)
            .and_then(|at| others.get(at))
            .unwrap_or(first)
    }

    fn count(&self) -> usize {
        self.parts.iter().map(|part| locked(part).len()).sum()
    }
}

/// One listener's wake-ups. Dropping it stops listening.
#[derive(Debug)]
pub struct Wakes {
    /// None if no word ever comes.
    mailbox: Option<Arc<Mailbox>>,
    seat: Option<Seat>,
}

impl Wakes {
    /// Wake-ups that never come, for stores that cannot push. The caller's timer does the work.
    #[must_use]
    pub fn never() -> Self {
        Self {
            mailbox: None,
            seat: None,
        }
    }

    /// Waits for the next wake-up. A grant comes before a [`Wake::Changed`] that arrived with it.
    ///
    /// # Cancel safety
    /// Safe: a wake-up that arrives while nobody waits is kept for the next call.
    pub async fn next(&mut self) -> Wake {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Wake> {
        let mailbox = self.mailbox.as_ref();
        mailbox.map_or(Poll::Pending, |mailbox| mailbox.poll(context))
    }

    /// Listens on at rest, as the holder of a granted lease does: from now on `tap` is woken at
    /// each [`Wake::Changed`], and at once if one lies here unread. Grants are ignored, since the
    /// holder has it. [`Wakes::next`] then never resolves.
    ///
    /// A store that pushes reaches a listener at rest as it does any other; one that has to look
    /// out for news does not do so for listeners at rest alone.
    pub fn rest(&mut self, tap: Waker) {
        if let Some(seat) = &mut self.seat
            && std::mem::take(&mut seat.is_alert)
            && let Some(listeners) = seat.listeners.upgrade()
        {
            listeners.alert.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(mailbox) = &self.mailbox else { return };
        let again = tap.clone();
        if mailbox.rest(tap) {
            again.wake();
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let Some(listeners) = seat.listeners.upgrade() else {
            return;
        };
        if seat.is_alert {
            listeners.alert.fetch_sub(1, Ordering::Relaxed);
        }
        let is_ours = |mailbox: &Arc<Mailbox>| {
            let ours = self.mailbox.as_ref();
            ours.is_some_and(|ours| Arc::ptr_eq(ours, mailbox))
        };
        // Dropped when the lock is not held any more.
        let _gone = match locked(listeners.part(seat.token)).entry(seat.token) {
            Entry::Occupied(mut there) => {
                let listener = there.get_mut();
                if !is_ours(&listener.mailbox) {
                    listener.others.retain(|(_, mailbox)| !is_ours(mailbox));
                    None
                } else if let Some((key, mailbox)) = listener.others.pop() {
                    (listener.key, listener.mailbox) = (key, mailbox);
                    None
                } else {
                    Some(there.remove())
                }
            }
            Entry::Vacant(_) => None,
        };
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
        wakes.poll(&Context::from_waker(Waker::noop()))
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
    fn listeners_are_told_in_the_order_in_which_they_came_whatever_their_tokens() {
        struct Line(Arc<Mutex<Vec<usize>>>, usize);
        impl std::task::Wake for Line {
            fn wake(self: Arc<Self>) {
                locked(&self.0).push(self.1);
            }
        }
        let registry = WakeRegistry::default();
        let key = Key::new("k").unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listeners: Vec<_> = (0..100)
            .map(|number| {
                let wakes = registry.listen(&key, Token::random());
                let task = Waker::from(Arc::new(Line(told.clone(), number)));
                assert!(wakes.poll(&Context::from_waker(&task)).is_pending());
                wakes
            })
            .collect();
        registry.changed(&key);
        assert_eq!(*locked(&told), (0..100).collect::<Vec<_>>());
        drop(listeners);
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

    #[derive(Debug, Default)]
    struct Taps(AtomicUsize);

    impl std::task::Wake for Taps {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn r6_a_listener_at_rest_is_tapped_at_each_change_and_nobody_looks_out_for_it() {
        let registry = WakeRegistry::default();
        let key = Key::new("k").unwrap();
        let token = Token::random();
        let mut wakes = registry.listen(&key, token);
        // Word that came before it lay down is not lost.
        assert!(registry.changed_for(&key, token));
        let taps = Arc::new(Taps::default());
        wakes.rest(Waker::from(taps.clone()));
        assert_eq!(taps.0.load(Ordering::SeqCst), 1);
        assert!(registry.changed_for(&key, token));
        registry.changed_everywhere();
        assert_eq!(taps.0.load(Ordering::SeqCst), 3);
        assert!(poll(&wakes).is_pending());
        assert!(registry.is_empty());
        assert!(registry.waiting().is_empty());
        assert_eq!(registry.resting(), vec![(key.clone(), token)]);
        drop(wakes);
        assert!(registry.resting().is_empty());
        assert!(registry.is_empty());
    }
}
