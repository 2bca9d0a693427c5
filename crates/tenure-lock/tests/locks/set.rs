//! Several keys at once: all or nothing, without deadlock.

use tenure_core::{Clock, Key, StoreErrorKind};
use tenure_lock::{AcquireError, LockSet, Released};

use crate::support::{Call, Harm, MS, SECOND, World, for_seeds, on_paused_time};

#[tokio::test(start_paused = true)]
async fn r70_all_keys_are_held_together_and_given_back_together() {
    let world = World::new();
    let client = world.client(1);
    let set = client.locks.all(["b", "a", "c"]).acquire().await.unwrap();
    let keys: Vec<_> = set
        .guards()
        .iter()
        .map(|guard| guard.key().to_string())
        .collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(set.is_trusted());
    assert!(set.remaining() > 9 * SECOND);
    let b = Key::new("b").unwrap();
    assert_eq!(set.fence(&b), world.view("b").await.unwrap().fence());
    tokio::time::sleep(60 * SECOND).await;
    set.ensure_trusted().unwrap();
    for (key, released) in set.release().await {
        assert_eq!(released.unwrap(), Released::Freed, "{key}");
    }
    assert!(client.locks.list("").await.unwrap().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn e24_a_key_named_twice_is_taken_once() {
    let world = World::new();
    let client = world.client(1);
    let set = client
        .locks
        .all(["a", "b", "a", "a"])
        .acquire()
        .await
        .unwrap();
    assert_eq!(set.guards().len(), 2);
    assert_eq!(client.way.calls(Call::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn e23_sets_without_keys_and_with_too_many_are_refused() {
    let world = World::new();
    let client = world.client(1);
    for count in [0, 257, 100_001] {
        let set = client
            .locks
            .all((0..count).map(|number| format!("k{number}")));
        let error = set.try_acquire().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{count} keys cannot be locked together: a set has 1 to 256 keys")
        );
    }
    let set = client.locks.all(["a", "tenure:x"]);
    let error = set.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::InvalidKey { .. }), "{error}");
    assert_eq!(client.way.calls(Call::Acquire), 0);
    let most = client
        .locks
        .all((0..LockSet::MAX_KEYS).map(|number| format!("k{number}")));
    assert_eq!(most.acquire().await.unwrap().guards().len(), 256);
}

#[tokio::test(start_paused = true)]
async fn r70_a_set_that_cannot_be_had_leaves_nothing_held() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let _guard = holder.locks.lock("c").acquire().await.unwrap();
    let set = client.locks.all(["a", "b", "c", "d"]);
    assert!(set.try_acquire().await.unwrap().is_none());
    for key in ["a", "b", "d"] {
        assert!(world.view(key).await.is_none(), "{key}");
    }

    let started = world.clock.now();
    let set = set.max_wait(2 * SECOND);
    let error = set.acquire().await.unwrap_err();
    let AcquireError::TimedOut { key, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(key.to_string(), "c");
    assert!(world.clock.now().since(started) <= 2 * SECOND + MS);
    client.locks.settled().await;
    for key in ["a", "b", "d"] {
        assert!(world.view(key).await.is_none(), "{key}");
    }
    assert_eq!(world.view("c").await.unwrap().queue_len, 0);

    let later = client.locks.all(["a", "b"]);
    client
        .way
        .harm_once(Call::Acquire, Harm::Fails(StoreErrorKind::Denied));
    // The first of the two fails, then the second.
    later.acquire().await.unwrap_err();
    client.way.harm_once(Call::Acquire, Harm::Yields(1));
    let denied = Harm::Fails(StoreErrorKind::Denied);
    client.way.harm_once(Call::Acquire, denied);
    later.try_acquire().await.unwrap_err();
    assert!(world.view("a").await.is_none() && world.view("b").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r70_a_key_lost_while_waiting_for_another_begins_the_set_anew() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let guard = holder.locks.lock("b").acquire().await.unwrap();
    let set = client.locks.all(["a", "b"]);
    let waiter = tokio::spawn(async move { set.acquire().await });
    world.until_waiting("b", 1).await;
    let seen = world.view("a").await.unwrap().fence().unwrap();
    holder.locks.force("a", seen, "op", "test").await.unwrap();
    // The loss is noticed at the next renewal, and "a" is taken again.
    world
        .until("a", |view| {
            view.is_some_and(|view| view.fence() > Some(seen))
        })
        .await;
    guard.release().await.unwrap();
    let set = waiter.await.unwrap().unwrap();
    assert!(set.is_trusted());
    assert!(set.guards()[0].fence() > seen);
}

#[tokio::test(start_paused = true)]
async fn r70_the_loss_of_one_key_is_the_loss_of_the_set() {
    let world = World::new();
    let client = world.client(1);
    let set = client.locks.all(["a", "b"]).acquire().await.unwrap();
    let b = Key::new("b").unwrap();
    let fence = set.fence(&b).unwrap();
    client.locks.force("b", fence, "op", "test").await.unwrap();
    let (key, _) = set.lost().await;
    assert_eq!(key, b);
    assert!(!set.is_trusted());
    assert!(set.remaining().is_zero());
    assert_eq!(set.ensure_trusted().unwrap_err().key, b);
}

#[test]
fn r70_sets_that_overlap_in_any_order_do_not_deadlock() {
    for_seeds(5, |seed| {
        on_paused_time(async {
            let world = World::new();
            let mut workers = tokio::task::JoinSet::new();
            for number in 0..10 {
                let client = world.client(number);
                workers.spawn(async move {
                    for _ in 0..10 {
                        let mut keys = ["a", "b", "c", "d", "e"];
                        fastrand::shuffle(&mut keys);
                        let set = client.locks.all(&keys[..3]).acquire().await.unwrap();
                        tokio::time::sleep(fastrand::u32(1..50) * MS).await;
                        assert!(set.is_trusted());
                        set.release().await;
                    }
                });
            }
            let all = async { while workers.join_next().await.transpose().unwrap().is_some() {} };
            let all = tokio::time::timeout(600 * SECOND, all).await;
            all.unwrap_or_else(|_| panic!("deadlock, seed {seed}"));
        });
    });
}
