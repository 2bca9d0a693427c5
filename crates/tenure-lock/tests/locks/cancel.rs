//! Dropping a call at any point leaves nothing behind.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenure_core::Clock;

use crate::support::{Call, Client, Harm, MS, SECOND, World};

/// Polls `call` at most `polls` times, giving others a turn in between, then drops it. True if it
/// ended before.
async fn drive<T>(call: impl Future<Output = T>, polls: usize) -> bool {
    let mut call = pin!(call);
    for _ in 0..polls {
        let is_done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if is_done {
            return true;
        }
        // Lets timers fire and others go on.
        tokio::time::sleep(MS).await;
    }
    false
}

fn yielding(client: &Client) {
    for call in [Call::Acquire, Call::Cancel, Call::Release, Call::Renew] {
        client.way.harm(call, Harm::Yields(2));
    }
}

#[tokio::test(start_paused = true)]
async fn r13_an_acquisition_dropped_at_any_point_leaves_no_lease() {
    let mut ended = 0;
    for polls in 0..40 {
        let world = World::new();
        let client = world.client(1);
        yielding(&client);
        let lock = client.locks.lock("k");
        ended += u32::from(drive(async { lock.acquire().await.unwrap() }, polls).await);
        client.locks.settled().await;
        assert!(world.view("k").await.is_none(), "after {polls} polls");
    }
    assert!((20..40).contains(&ended), "both ways were taken: {ended}");
}

#[tokio::test(start_paused = true)]
async fn r13_a_wait_dropped_at_any_point_leaves_neither_place_nor_lease() {
    for polls in 0..60 {
        let world = World::new();
        let (holder, client) = (world.client(1), world.client(2));
        yielding(&client);
        let guard = holder.locks.lock("k").acquire().await.unwrap();
        // The lock comes free somewhere in the middle of the polls.
        let release = tokio::spawn(async move {
            tokio::time::sleep(20 * MS).await;
            guard.release().await.unwrap()
        });
        let lock = client.locks.lock("k").max_wait(50 * MS);
        drive(lock.acquire(), polls).await;
        client.locks.settled().await;
        release.await.unwrap();
        client.locks.settled().await;
        assert!(world.view("k").await.is_none(), "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_grant_that_races_the_drop_is_passed_on_at_once() {
    for polls in 0..40 {
        let world = World::new();
        let (holder, quitter, other) = (world.client(1), world.client(2), world.client(3));
        yielding(&quitter);
        let guard = holder.locks.lock("k").acquire().await.unwrap();
        let lock = quitter.locks.lock("k");
        let mut quitting = Box::pin(async move { lock.acquire().await });
        drive(quitting.as_mut(), 10).await;
        world.until_waiting("k", 1).await;
        let lock = other.locks.lock("k");
        let waiter = tokio::spawn(async move { lock.acquire().await });
        world.until_waiting("k", 2).await;
        // The first in the queue is granted the lock and is dropped somewhere after.
        guard.release().await.unwrap();
        drive(quitting.as_mut(), polls % 4).await;
        drop(quitting);
        let dropped_at = world.clock.now();
        drop(waiter.await.unwrap().unwrap());
        let took = world.clock.now().since(dropped_at);
        assert!(took <= 10 * MS, "after {polls} polls: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_release_dropped_at_any_point_goes_on() {
    for polls in 0..10 {
        let world = World::new();
        let client = world.client(1);
        let guard = client.locks.lock("k").acquire().await.unwrap();
        yielding(&client);
        drive(guard.release(), polls).await;
        client.locks.settled().await;
        assert!(world.view("k").await.is_none(), "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_set_dropped_at_any_point_leaves_nothing() {
    for polls in 0..60 {
        let world = World::new();
        let (holder, client) = (world.client(1), world.client(2));
        yielding(&client);
        let guard = holder.locks.lock("b").acquire().await.unwrap();
        let release = tokio::spawn(async move {
            tokio::time::sleep(25 * MS).await;
            guard.release().await.unwrap()
        });
        let set = client.locks.all(["c", "b", "a"]);
        drive(async { set.acquire().await.unwrap() }, polls).await;
        release.await.unwrap();
        client.locks.settled().await;
        for key in ["a", "b", "c"] {
            assert!(world.view(key).await.is_none(), "{key} after {polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_body_dropped_at_any_point_gives_the_lock_back() {
    for polls in 0..40 {
        let world = World::new();
        let client = world.client(1);
        yielding(&client);
        let lock = client.locks.lock("k");
        let run = lock.run(|_guard| tokio::time::sleep(10 * MS));
        drive(run, polls).await;
        client.locks.settled().await;
        assert!(world.view("k").await.is_none(), "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_call_dropped_while_the_store_hangs_is_undone_when_it_answers_again() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Acquire, Harm::HangsAfter);
    let lock = client.locks.lock("k");
    let limit = tokio::time::timeout(100 * MS, lock.acquire()).await;
    assert!(limit.is_err());
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r37_extending_may_be_dropped_and_goes_on() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let slow = Harm::IsSlow(50 * MS, Duration::ZERO);
    client.way.harm_once(Call::Renew, slow);
    drive(guard.extend(60 * SECOND), 1).await;
    tokio::time::sleep(100 * MS).await;
    assert!(guard.remaining() > 50 * SECOND, "{:?}", guard.remaining());
}
