//! Random histories: whatever fails, no two guards are trusted at once and fences only grow.
//! Time is paused, as with `start_paused = true`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{Fence, StoreErrorKind};
use tenure_lock::Guard;
use tokio::task::JoinHandle;

use crate::support::{Call, Client, Harm, MS, SECOND, World, for_seeds, on_paused_time};

const KEYS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: u8 = 5;
const STEPS: u32 = 400;

/// All guards that are held, and the last fence of each key.
#[derive(Debug, Default)]
struct Held {
    guards: Vec<Guard>,
    last: HashMap<&'static str, Fence>,
    grants: u32,
}

impl Held {
    fn add(&mut self, key: &'static str, guard: Guard) {
        if !guard.is_trusted() {
            return;
        }
        let fence = guard.fence();
        let before = self.last.insert(key, fence);
        assert!(before < Some(fence), "{key}: {fence} after {before:?}");
        self.guards.push(guard);
        self.grants += 1;
        self.check();
    }

    fn check(&self) {
        for key in KEYS {
            let trusted = self
                .guards
                .iter()
                .filter(|guard| guard.key().as_str() == Some(key) && guard.is_trusted());
            let fences: Vec<_> = trusted.map(|guard| guard.fence()).collect();
            assert!(fences.len() <= 1, "{key} is held twice: {fences:?}");
        }
    }
}

struct History {
    world: World,
    clients: Vec<Client>,
    held: Arc<Mutex<Held>>,
    calls: Vec<JoinHandle<()>>,
}

impl History {
    fn new() -> Self {
        let world = World::new();
        Self {
            clients: (0..CLIENTS).map(|number| world.client(number)).collect(),
            world,
            held: Arc::default(),
            calls: Vec::new(),
        }
    }

    async fn step(&mut self) {
        match fastrand::u8(..100) {
            0..30 => self.acquire(),
            30..38 => self.cancel(),
            38..55 => self.give_back(),
            55..70 => self.harm(),
            70..78 => self.heal(),
            78..80 => self.world.clock.jump(fastrand::u32(1..8_000) * MS),
            // tidy: allow(sleep) the world of this test runs on paused time
            _ => tokio::time::sleep(fastrand::u32(1..1_500) * MS).await,
        }
        tokio::task::yield_now().await;
        self.held.lock().unwrap().check();
    }

    fn client(&self) -> &Client {
        &self.clients[fastrand::usize(..self.clients.len())]
    }

    fn acquire(&mut self) {
        let key = KEYS[fastrand::usize(..KEYS.len())];
        let mut lock = self.client().locks.lock(key);
        lock = lock.ttl(fastrand::u32(200..5_000) * MS);
        if fastrand::bool() {
            lock = lock.max_wait(fastrand::u32(0..10_000) * MS);
        }
        if fastrand::u8(..4) == 0 {
            lock = lock.no_renewal();
        }
        let held = self.held.clone();
        let once = fastrand::u8(..4) == 0;
        self.calls.push(tokio::spawn(async move {
            let guard = if once {
                lock.try_acquire().await.ok().flatten()
            } else {
                lock.acquire().await.ok()
            };
            if let Some(guard) = guard {
                held.lock().unwrap().add(key, guard);
            }
        }));
    }

    fn cancel(&mut self) {
        self.calls.retain(|call| !call.is_finished());
        if !self.calls.is_empty() {
            let call = self.calls.swap_remove(fastrand::usize(..self.calls.len()));
            call.abort();
        }
    }

    fn give_back(&mut self) {
        let guard = {
            let mut held = self.held.lock().unwrap();
            if held.guards.is_empty() {
                return;
            }
            let which = fastrand::usize(..held.guards.len());
            held.guards.swap_remove(which)
        };
        if fastrand::bool() {
            drop(guard);
        } else {
            drop(tokio::spawn(async move { guard.release().await }));
        }
    }

    fn harm(&self) {
        let calls = [Call::Acquire, Call::Renew, Call::Release, Call::Cancel];
        let call = calls[fastrand::usize(..calls.len())];
        let some = || fastrand::u32(0..2_000) * MS;
        let harm = match fastrand::u8(..6) {
            0 => Harm::Fails(StoreErrorKind::Unavailable),
            1 => Harm::LosesReply,
            2 => Harm::Hangs,
            3 => Harm::HangsAfter,
            4 => Harm::IsSlow(some(), some()),
            _ => Harm::Yields(fastrand::u32(0..5)),
        };
        let client = self.client();
        if fastrand::bool() {
            client.way.harm(call, harm);
        } else {
            client.way.harm_once(call, harm);
        }
        client
            .way
            .lose_wakes(fastrand::choice([0, 0, 30, 100]).unwrap_or(0));
    }

    fn heal(&self) {
        self.client().way.heal();
    }

    /// Afterwards nothing is left, and every key can be had again.
    async fn end(mut self, seed: u64) -> u32 {
        for client in &self.clients {
            client.way.heal();
        }
        for call in self.calls.drain(..) {
            call.abort();
        }
        tokio::task::yield_now().await;
        self.held.lock().unwrap().guards.clear();
        for client in &self.clients {
            let settled = tokio::time::timeout(60 * SECOND, client.locks.settled()).await;
            settled.unwrap_or_else(|_| panic!("giving back never ends, seed {seed}"));
        }
        for key in KEYS {
            let lock = self.clients[0].locks.lock(key).max_wait(30 * SECOND);
            let guard = lock.acquire().await;
            let guard = guard.unwrap_or_else(|error| panic!("{key}: {error:?}, seed {seed}"));
            self.held.lock().unwrap().add(key, guard);
        }
        self.held.lock().unwrap().grants
    }
}

#[test]
fn r13_r14_r33_r62_no_history_has_two_trusted_guards_of_a_key_or_a_fence_that_falls() {
    let grants = std::cell::Cell::new(0);
    for_seeds(25, |seed| {
        on_paused_time(async {
            let mut history = History::new();
            for _ in 0..STEPS {
                history.step().await;
            }
            let all = tokio::time::timeout(Duration::from_secs(900), history.end(seed)).await;
            let count = all.unwrap_or_else(|_| panic!("does not end, seed {seed}"));
            grants.set(grants.get() + count);
        });
    });
    assert!(grants.get() > 25, "hardly anything was granted: {grants:?}");
}
