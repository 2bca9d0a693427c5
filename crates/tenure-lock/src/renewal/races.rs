//! A guard that is given back while its renewal is on its way, in every order that counts.
//!
//! The roster and the lease are the shipped ones. A scheduler chooses at each lock, and at each
//! word to or from the store, which thread goes on: thousands of orders a second, each repeatable.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use shuttle::scheduler::RandomScheduler;
use shuttle::sync::atomic::AtomicBool;
use shuttle::{Config, Runner, thread};
use tenure_core::{
    Clock as _, Fence, Grant, Key, LeaseStore, ManualClock, Renewal, Timestamp, Token,
};
use tenure_memory::MemoryStore;

use super::{Answered, Due, Renewer, Roster};
use crate::LockOptions;
use crate::event::{LockEvent, Watch};
use crate::lease::{Granted, HeldLease, Standing};

const ORDERS: usize = 3000;
const TTL: Duration = Duration::from_secs(30);

thread_local! {
    static RACES: Cell<bool> = const { Cell::new(false) };
}

/// Lets another thread of the race go on, and waits until nobody has the mutex.
pub(crate) fn give_way<T>(mutex: &Mutex<T>) {
    if !RACES.get() {
        return;
    }
    thread::yield_now();
    while matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)) {
        thread::yield_now();
    }
}

/// How a guard ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it is shipped.
    Shipped,
    /// The store is told before the lease knows.
    ReleasedFirst,
    /// The roster is told, and the lease never.
    NotGivenBack,
}

/// One lease, the roster that renews it, and a store that it is in.
struct Bed {
    clock: Arc<ManualClock>,
    roster: Arc<Roster>,
    lease: Arc<HeldLease>,
    /// Whether the store has the lease.
    is_held: AtomicBool,
    /// Whether the guard is gone.
    is_over: AtomicBool,
    losses: Arc<AtomicUsize>,
}

impl Bed {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let losses = Arc::<AtomicUsize>::default();
        let counted = losses.clone();
        let watch = Watch::default().and(move |event| {
            let is_loss = matches!(event, LockEvent::Lost { .. });
            counted.fetch_add(usize::from(is_loss), Ordering::SeqCst);
        });
        let now = clock.now();
        let granted = Granted {
            fence: Fence::new(1),
            asked_at: now,
            until: now + TTL,
        };
        let terms = LockOptions::new().ttl(TTL);
        let terms = terms
            .terms(&LeaseStore::promises(&MemoryStore::new()))
            .unwrap();
        let key = Key::new("k").unwrap();
        let lease = HeldLease::new(
            key,
            Token::random(),
            granted,
            &terms,
            clock.clone(),
            watch,
            now,
        );
        let (lease, roster) = (Arc::new(lease), Arc::<Roster>::default());
        roster.enter(lease.clone(), Some(Due::exactly(now)));
        Self {
            clock,
            roster,
            lease,
            is_held: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            losses,
        }
    }

    /// What the store says to a renewal.
    fn renewal(&self) -> Renewal {
        let now = Timestamp::from_millis(1_000_000);
        if self.is_held.load(Ordering::SeqCst) {
            Renewal::Renewed(Grant::new(self.lease.fence, now, now + TTL))
        } else {
            Renewal::Lost { now, by: None }
        }
    }

    /// The task that renews, a few turns long.
    fn renew(&self) {
        let renewer = Renewer {
            roster: self.roster.clone(),
            store: Arc::new(MemoryStore::new()),
            clock: self.clock.clone(),
        };
        for _ in 0..3 {
            let was_over = self.is_over.load(Ordering::SeqCst);
            let plan = self.roster.plan(self.clock.now(), 0);
            assert!(
                !was_over || plan.batches.is_empty(),
                "renewed after it was given back"
            );
            for batch in plan.batches {
                let asked_at = self.clock.now();
                let answers = batch.leases.iter().map(|_| Ok(self.renewal())).collect();
                thread::yield_now();
                renewer.settle(Answered {
                    batch,
                    asked_at,
                    took: Duration::ZERO,
                    answers: Ok(answers),
                });
            }
        }
    }

    fn end(&self, how: End) {
        let release = || self.is_held.store(false, Ordering::SeqCst);
        match how {
            End::Shipped => {
                self.roster.let_go(&self.lease);
                self.is_over.store(true, Ordering::SeqCst);
                release();
            }
            End::ReleasedFirst => {
                release();
                self.roster.let_go(&self.lease);
            }
            End::NotGivenBack => {
                self.roster.leave(&self.lease);
                release();
            }
        }
    }
}

fn race(how: End) {
    let bed = Arc::new(Bed::new());
    let renewing = bed.clone();
    let renewing = thread::spawn(move || renewing.renew());
    let asking = bed.clone();
    let asking = thread::spawn(move || {
        // As an extension does, or a word from the store.
        asking.roster.renew_now(&asking.lease, asking.clock.now());
    });
    bed.end(how);
    renewing.join().unwrap();
    asking.join().unwrap();
    assert_eq!(bed.losses.load(Ordering::SeqCst), 0, "told as a loss");
    if how == End::Shipped {
        assert_eq!(bed.lease.standing(), Standing::Ended);
        assert!(bed.roster.is_idle(), "it kept its seat");
        bed.clock.advance(TTL / 2);
        let plan = bed.roster.plan(bed.clock.now(), 0);
        assert!(plan.batches.is_empty(), "renewed after it was given back");
    }
}

/// Whether an order was found in which something is wrong.
fn is_found(how: End) -> bool {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    let runner = Runner::new(RandomScheduler::new(ORDERS), config);
    RACES.set(true);
    let run = catch_unwind(AssertUnwindSafe(|| runner.run(move || race(how))));
    RACES.set(false);
    run.is_err()
}

#[test]
fn r36_r37_in_no_order_does_a_renewal_outlive_its_guard_or_report_a_loss() {
    assert!(!is_found(End::Shipped));
}

#[test]
fn r36_a_guard_that_ends_in_the_wrong_order_is_found() {
    assert!(is_found(End::ReleasedFirst));
    assert!(is_found(End::NotGivenBack));
}
