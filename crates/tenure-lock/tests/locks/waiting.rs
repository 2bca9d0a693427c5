//! Waiting for one's turn: wake-ups, lost wake-ups, timers, places.

use std::time::Duration;

use tenure_core::{Clock, StoreErrorKind};
use tenure_lock::Released;

use crate::support::{Call, Harm, MS, SECOND, World, for_seeds, on_paused_time};

#[tokio::test(start_paused = true)]
async fn r20_a_release_between_any_two_steps_of_a_waiter_is_not_lost() {
    for steps in 0..30 {
        let world = World::new();
        let (holder, client) = (world.client(1), world.client(2));
        client.way.harm(Call::Acquire, Harm::Yields(5));
        let guard = holder.locks.lock("k").acquire().await.unwrap();
        let lock = client.locks.lock("k");
        let waiter = tokio::spawn(async move { lock.acquire().await });
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        let released_at = world.clock.now();
        guard.release().await.unwrap();
        let guard = waiter.await.unwrap().unwrap();
        let took = world.clock.now().since(released_at);
        assert!(took <= 2 * MS, "after {steps} steps it took {took:?}");
        assert!(guard.is_trusted());
    }
}

#[tokio::test(start_paused = true)]
async fn r20_whoever_is_next_goes_on_before_whoever_gave_back() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let guard = holder.locks.lock("k").acquire().await.unwrap();
    let lock = client.locks.lock("k");
    let (sender, mut next) = tokio::sync::oneshot::channel();
    let waiter = tokio::spawn(async move { sender.send(lock.acquire().await.unwrap()) });
    world.until_waiting("k", 1).await;
    assert_eq!(guard.release().await.unwrap(), Released::HandedOn);
    // On the one thread that there is, nothing was awaited since.
    assert!(next.try_recv().unwrap().is_trusted());
    waiter.await.unwrap().unwrap();
}

#[test]
fn r21_waiters_go_on_although_wake_ups_are_lost_at_random() {
    for_seeds(5, |seed| {
        on_paused_time(async {
            let world = World::new();
            let mut waiters = tokio::task::JoinSet::new();
            for number in 0..8 {
                let client = world.client(number);
                client.way.lose_wakes(50);
                waiters.spawn(async move {
                    for _ in 0..3 {
                        let lock = client.locks.lock("k").ttl(3 * SECOND);
                        let guard = lock.acquire().await.unwrap();
                        tokio::time::sleep(100 * MS).await;
                        assert!(guard.is_trusted());
                        guard.release().await.unwrap();
                    }
                });
            }
            let all = async { while waiters.join_next().await.transpose().unwrap().is_some() {} };
            let all = tokio::time::timeout(300 * SECOND, all).await;
            all.unwrap_or_else(|_| panic!("somebody waits for ever, seed {seed}"));
            assert!(world.view("k").await.is_none());
        });
    });
}

#[tokio::test(start_paused = true)]
async fn r22_a_waiter_without_wake_ups_takes_over_when_the_lease_ends() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    client.way.deafen();
    let lock = holder.locks.lock("k").ttl(2 * SECOND).no_renewal();
    let dead = lock.acquire().await.unwrap();
    let lapses_at = world.clock.now() + 2 * SECOND;
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let late = world.clock.now().since(lapses_at);
    assert!(late <= 20 * MS, "{late:?} past the end of the lease");
    assert!(guard.fence() > dead.fence());
    assert!(!dead.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn r24_a_waiter_keeps_its_place_however_long_it_waits() {
    let world = World::new();
    let holder = world.client(1);
    // So long that only the care for the place makes the waiter ask again.
    let lock = holder.locks.lock("k").ttl(3_600 * SECOND);
    let guard = lock.acquire().await.unwrap();
    let early = world.client(2).locks.lock("k");
    let early = tokio::spawn(async move { early.acquire().await });
    world.until_waiting("k", 1).await;
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(world.view("k").await.unwrap().queue_len, 1);
    let late = world.client(3).locks.lock("k");
    let late = tokio::spawn(async move { late.acquire().await });
    world.until_waiting("k", 2).await;
    guard.release().await.unwrap();
    let first = early.await.unwrap().unwrap();
    assert!(!late.is_finished());
    first.release().await.unwrap();
    drop(late.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn r26_a_wake_up_is_not_a_grant() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    client.way.deafen();
    let _guard = holder.locks.lock("k").acquire().await.unwrap();
    let lock = client.locks.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    world.until_waiting("k", 1).await;
    let calls = client.way.calls(Call::Acquire);
    client.way.wake_for_nothing("k");
    tokio::time::sleep(10 * MS).await;
    assert_eq!(client.way.calls(Call::Acquire), calls + 1, "it looks");
    assert!(!waiter.is_finished(), "and goes on waiting");
    waiter.abort();
}

#[tokio::test(start_paused = true)]
async fn r27_a_store_that_wakes_without_end_is_not_asked_without_end() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    client.way.deafen();
    let _guard = holder.locks.lock("k").acquire().await.unwrap();
    let lock = client.locks.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    world.until_waiting("k", 1).await;
    let calls = client.way.calls(Call::Acquire);
    for _ in 0..10_000 {
        client.way.wake_for_nothing("k");
        tokio::task::yield_now().await;
    }
    let calls = client.way.calls(Call::Acquire) - calls;
    assert!(calls <= 2, "{calls} requests in no time");
    waiter.abort();
}

#[tokio::test(start_paused = true)]
async fn r27_waiting_costs_few_requests() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let _guard = holder.locks.lock("k").acquire().await.unwrap();
    let lock = client.locks.lock("k").max_wait(100 * SECOND);
    lock.acquire().await.unwrap_err();
    let calls = client.way.calls(Call::Acquire);
    assert!(calls <= 60, "{calls} requests in 100 s");
}

#[tokio::test(start_paused = true)]
async fn r28_waiters_that_started_together_do_not_ask_together() {
    let world = World::new();
    let holder = world.client(1);
    let _guard = holder
        .locks
        .lock("k")
        .ttl(3600 * SECOND)
        .acquire()
        .await
        .unwrap();
    let clients: Vec<_> = (2..22).map(|number| world.client(number)).collect();
    for client in &clients {
        let lock = client.locks.lock("k").max_wait(3 * 3600 * SECOND);
        tokio::spawn(async move { lock.acquire().await });
    }
    world.until_waiting("k", 20).await;
    tokio::time::sleep(60 * SECOND).await;
    let count = || {
        clients
            .iter()
            .map(|client| client.way.calls(Call::Acquire))
            .sum()
    };
    let mut busiest = 0;
    for _ in 0..500 {
        let before: u64 = count();
        tokio::time::sleep(10 * MS).await;
        busiest = busiest.max(count() - before);
    }
    assert!(busiest <= 8, "{busiest} of 20 asked within 10 ms");
}

#[tokio::test(start_paused = true)]
async fn r32a_a_push_that_overtakes_the_reply_is_not_lost() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let slow = Harm::IsSlow(Duration::ZERO, 300 * MS);
    client.way.harm(Call::Acquire, slow);
    let guard = holder.locks.lock("k").acquire().await.unwrap();
    let lock = client.locks.lock("k");
    let asked_at = world.clock.now();
    let waiter = tokio::spawn(async move { lock.acquire().await });
    world.until_waiting("k", 1).await;
    guard.release().await.unwrap();
    let guard = waiter.await.unwrap().unwrap();
    let took = world.clock.now().since(asked_at);
    assert!(took <= 310 * MS, "{took:?}");
    assert!(guard.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn r15_a_pushed_grant_is_trusted_for_its_claim_window_and_confirmed_soon() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let guard = holder
        .locks
        .lock("k")
        .ttl(60 * SECOND)
        .acquire()
        .await
        .unwrap();
    let lock = client.locks.lock("k").ttl(60 * SECOND);
    let window = world.store.promises().claim_window;
    let waiter = tokio::spawn(async move {
        let guard = lock.acquire().await.unwrap();
        assert!(guard.remaining() <= window, "{:?}", guard.remaining());
        assert!(guard.remaining() > window / 2, "{:?}", guard.remaining());
        guard
    });
    world.until_waiting("k", 1).await;
    guard.release().await.unwrap();
    let guard = waiter.await.unwrap();
    tokio::time::sleep(15 * MS).await;
    assert!(guard.remaining() > 59 * SECOND, "{:?}", guard.remaining());
    assert_eq!(client.way.calls(Call::Renew), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_limit_survives_an_outage_of_the_store() {
    let world = World::new();
    let client = world.client(1);
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm(Call::Acquire, fails);
    let lock = client.locks.lock("k").wait_forever();
    let waiter = tokio::spawn(async move { lock.acquire().await });
    tokio::time::sleep(3_600 * SECOND).await;
    assert!(!waiter.is_finished());
    let calls = client.way.calls(Call::Acquire);
    assert!(calls < 4_000, "{calls} requests in an hour");
    client.way.heal();
    let healed_at = world.clock.now();
    drop(waiter.await.unwrap().unwrap());
    assert!(world.clock.now().since(healed_at) <= 2 * SECOND);
}
