//! Read-write locks and semaphores.

use tenure_core::{Forced, Occupant, Sharing};
use tenure_lock::{AcquireError, InvalidOptions, LockOptions, LossReason, Released};

use crate::support::{Call, Harm, MS, SECOND, World};

#[tokio::test(start_paused = true)]
async fn r68_readers_go_together_and_a_writer_alone() {
    let world = World::new();
    let [one, two] = [world.client(1), world.client(2)];
    let (first, second) = (one.locks.rw("k"), two.locks.rw("k"));
    let reading = [first.read().await.unwrap(), second.read().await.unwrap()];
    assert!(reading[1].fence() > reading[0].fence());
    assert!(reading.iter().all(|reader| reader.is_trusted()));
    assert!(second.try_write().await.unwrap().is_none());
    assert!(one.locks.lock("k").try_acquire().await.unwrap().is_none());
    let third = first.try_read().await.unwrap().unwrap();
    assert_eq!(third.release().await.unwrap(), Released::OthersHold);
    let writing = tokio::spawn({
        let lock = second.clone();
        async move { lock.write().await.unwrap() }
    });
    world.until_waiting("k", 1).await;
    assert!(first.try_read().await.unwrap().is_none(), "a writer waits");
    let [a, b] = reading;
    assert_eq!(a.release().await.unwrap(), Released::OthersHold);
    assert_eq!(b.release().await.unwrap(), Released::HandedOn);
    let writer = writing.await.unwrap();
    assert!(first.try_read().await.unwrap().is_none());
    let guard = writer.into_guard();
    assert_eq!(guard.release().await.unwrap(), Released::Freed);
}

#[tokio::test(start_paused = true)]
async fn r68_readers_that_wait_together_come_together_by_push() {
    let world = World::new();
    let client = world.client(1);
    let writer = client.locks.rw("k").write().await.unwrap();
    let lock = client.locks.rw("k");
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move { lock.read().await.unwrap() })
        })
        .collect();
    world.until_waiting("k", 5).await;
    let asked = client.way.calls(Call::Acquire);
    assert_eq!(writer.release().await.unwrap(), Released::HandedOn);
    let mut readers = Vec::new();
    for reader in waiting {
        readers.push(reader.await.unwrap());
    }
    assert_eq!(client.way.calls(Call::Acquire), asked, "nobody had to ask");
    // They are kept past the claim window, each by its own renewal.
    tokio::time::sleep(30 * SECOND).await;
    assert!(readers.iter().all(|reader| reader.is_trusted()));
    drop(readers);
    client.locks.settled().await;
    world.until_free("k").await;
}

#[tokio::test(start_paused = true)]
async fn r69_a_semaphore_lets_in_as_many_as_it_says_and_the_number_may_change() {
    let world = World::new();
    let client = world.client(1);
    let two = client.locks.semaphore("k", 2);
    let (a, b) = (two.acquire().await.unwrap(), two.acquire().await.unwrap());
    assert!(two.try_acquire().await.unwrap().is_none());
    let waited = two.clone().max_wait(50 * MS).acquire().await.unwrap_err();
    let AcquireError::TimedOut { occupant, .. } = waited else {
        panic!("{waited:?}");
    };
    assert_eq!(occupant.to_string(), "holders of 2 of 2 permits");
    let waiting = tokio::spawn(async move { two.acquire().await.unwrap() });
    world.until_waiting("k", 1).await;
    // Deployed with another number, which lets in whoever waits.
    let three = client.locks.semaphore("k", 3).max_wait(50 * MS);
    assert!(three.acquire().await.is_err(), "one was before it");
    let c = waiting.await.unwrap();
    assert_eq!(a.release().await.unwrap(), Released::OthersHold);
    for permit in [b, c] {
        permit.release().await.unwrap();
    }
    world.until_free("k").await;
}

#[tokio::test(start_paused = true)]
async fn r67_a_reader_that_cannot_renew_is_lost_and_the_others_are_not() {
    let world = World::new();
    let [one, two] = [world.client(1), world.client(2)];
    let lost = one.locks.rw("k").read().await.unwrap();
    let kept = two.locks.rw("k").read().await.unwrap();
    one.way.harm(Call::Renew, Harm::Hangs);
    assert!(matches!(lost.lost().await, LossReason::TrustEnded { .. }));
    tokio::time::sleep(SECOND).await;
    assert!(kept.is_trusted());
    let view = world.view("k").await.unwrap();
    assert_eq!(view.sharers.len(), 1, "{view:?}");
    assert_eq!(view.sharers[0].fence, kept.fence());
}

#[tokio::test(start_paused = true)]
async fn r6_force_takes_it_from_one_or_from_all() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.rw("k");
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(lock.read().await.unwrap());
    }
    let seen = readers[1].fence();
    let forced = client.locks.force("k", seen, "op", "why").await.unwrap();
    assert!(matches!(
        forced,
        Forced::Done {
            from: Occupant::Holder { .. }
        }
    ));
    readers.remove(1).lost().await;
    assert!(readers.iter().all(|reader| reader.is_trusted()));
    let again = client.locks.force_all("k", seen, "op", "").await.unwrap();
    assert!(matches!(again, Forced::Changed { .. }), "{again:?}");
    let seen = readers[0].fence();
    let forced = client.locks.force_all("k", seen, "op", "").await.unwrap();
    assert!(matches!(
        forced,
        Forced::Done {
            from: Occupant::Shared { holders: 2, .. }
        }
    ));
    for reader in readers {
        assert!(matches!(reader.lost().await, LossReason::Taken { .. }));
    }
    world.until_free("k").await;
}

#[tokio::test(start_paused = true)]
async fn r13_a_reader_that_is_dropped_while_it_waits_leaves_nothing() {
    let world = World::new();
    let client = world.client(1);
    let writer = client.locks.rw("k").write().await.unwrap();
    let lock = client.locks.rw("k");
    let waiting = tokio::spawn(async move { lock.read().await });
    world.until_waiting("k", 1).await;
    waiting.abort();
    world.until_waiting("k", 0).await;
    drop(writer);
    world.until_free("k").await;
}

#[tokio::test(start_paused = true)]
async fn r69_no_permits_at_all_are_refused_before_anything_is_asked() {
    let world = World::new();
    let client = world.client(1);
    let error = client.locks.semaphore("k", 0).acquire().await.unwrap_err();
    let AcquireError::InvalidOptions { source, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(source, InvalidOptions::NoPermits);
    assert_eq!(client.way.calls(Call::Acquire), 0);
    // Options and sets go with sharing.
    let options = LockOptions::new().ttl(5 * SECOND);
    let set = client.locks.all(["a", "b"]).with_options(options);
    let both = set.shared(Sharing::READ).acquire().await.unwrap();
    let reader = client.locks.rw("a").try_read().await.unwrap();
    assert!(reader.is_some());
    drop((both, reader));
    client.locks.settled().await;
}
