//! Keeping leases: batches, retries, limits, extending.

use std::time::Duration;

use tenure_core::{Clock, StoreErrorKind};
use tenure_lock::{ExtendError, LossReason};
use tokio::runtime::Handle;

use crate::support::{Call, Harm, MS, SECOND, World};

#[tokio::test(start_paused = true)]
async fn r35_a_lease_that_lapsed_is_lost_and_not_made_again() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    // Longer than the ttl: the lease is gone, and so is trust.
    world.clock.jump(11 * SECOND);
    assert!(!guard.is_trusted());
    tokio::time::sleep(20 * SECOND).await;
    assert!(
        world
            .view("k")
            .await
            .is_none_or(|view| view.occupant.is_none())
    );
    assert!(matches!(guard.lost().await, LossReason::TrustEnded { .. }));
}

#[tokio::test(start_paused = true)]
async fn r36_renewal_ends_with_the_last_guard() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert!(guard.is_trusted());
    let calls = client.way.calls(Call::Renew);
    assert!((18..=30).contains(&calls), "{calls} renewals in a minute");
    guard.release().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(client.way.calls(Call::Renew), calls);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn r36_background_tasks_end_with_the_last_clone_and_guard() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k");
    let kept = lock.no_renewal().acquire().await.unwrap();
    let guard = client.locks.lock("l").acquire().await.unwrap();
    guard.release().await.unwrap();
    kept.release().await.unwrap();
    drop(client);
    tokio::time::sleep(MS).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn r36_r37_a_renewal_in_flight_at_release_is_neither_awaited_nor_a_loss() {
    for harm in [
        Harm::Hangs,
        Harm::IsSlow(500 * MS, Duration::ZERO),
        Harm::IsSlow(Duration::ZERO, 500 * MS),
    ] {
        let world = World::new();
        let client = world.client(1);
        let guard = client.locks.lock("k").acquire().await.unwrap();
        client.way.harm(Call::Renew, harm);
        while client.way.calls(Call::Renew) == 0 {
            tokio::time::sleep(MS).await;
        }
        let watch = guard.loss_watch();
        let started = world.clock.now();
        guard.release().await.unwrap();
        assert_eq!(world.clock.now(), started, "{harm:?}");
        assert!(!watch.is_trusted());
        let lost = tokio::time::timeout(60 * SECOND, watch.lost()).await;
        assert!(lost.is_err(), "{harm:?}: {lost:?}");
        assert!(world.view("k").await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn r38_renewals_that_fail_are_tried_again_until_the_window_ends() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm(Call::Renew, fails);
    tokio::time::sleep(9 * SECOND).await;
    assert!(guard.is_trusted());
    let calls = client.way.calls(Call::Renew);
    assert!((5..40).contains(&calls), "{calls} tries");
    client.way.heal();
    tokio::time::sleep(60 * SECOND).await;
    assert!(guard.is_trusted(), "one success is enough");

    client.way.harm(Call::Renew, fails);
    let LossReason::TrustEnded { trouble } = guard.lost().await else {
        panic!("unknown is not lost for another reason");
    };
    assert_eq!(trouble.as_deref(), Some("made to fail"));
}

#[tokio::test(start_paused = true)]
async fn r38_the_word_of_the_store_that_a_lease_is_gone_ends_it_at_once() {
    let world = World::new();
    let (client, other) = (world.client(1), world.client(2));
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let forced = client.locks.force("k", guard.fence(), "op", "test").await;
    forced.unwrap();
    let next = other.locks.lock("k").acquire().await.unwrap();
    let started = world.clock.now();
    let LossReason::Taken { by } = guard.lost().await else {
        panic!("the store said so");
    };
    let by = by.expect("somebody has it").to_string();
    assert!(by.contains("client 2"), "{by}");
    assert!(world.clock.now().since(started) <= 3_334 * MS);
    assert!(!guard.is_trusted());
    let error = guard.ensure_trusted().unwrap_err();
    assert_eq!(error.fence, guard.fence());
    drop(guard);
    client.locks.settled().await;
    assert!(next.is_trusted());
    assert_eq!(client.way.calls(Call::Release), 0, "nothing to release");
}

#[tokio::test(start_paused = true)]
async fn r39_leases_that_are_due_together_are_renewed_with_one_request() {
    let world = World::new();
    let client = world.client(1);
    let mut guards = Vec::new();
    for number in 0..300 {
        let lock = client.locks.lock(format!("k{number}"));
        guards.push(lock.acquire().await.unwrap());
    }
    tokio::time::sleep(100 * SECOND).await;
    assert!(guards.iter().all(|guard| guard.is_trusted()));
    let (calls, keys) = (client.way.calls(Call::Renew), client.way.renewed_keys());
    let total: usize = keys.iter().sum();
    assert!(total >= 300 * 29, "{total} renewals");
    assert!(calls <= 500, "{calls} requests for {total} renewals");
    assert!(keys.iter().all(|count| *count <= 512));
}

#[tokio::test(start_paused = true)]
async fn r39_one_bad_lock_does_not_cost_the_others_theirs() {
    let world = World::new();
    let client = world.client(1);
    let mut guards = Vec::new();
    for number in 0..40 {
        let lock = client.locks.lock(format!("k{number}"));
        guards.push(lock.acquire().await.unwrap());
    }
    client.way.poison_renewals_with("k7");
    tokio::time::sleep(60 * SECOND).await;
    for (number, guard) in guards.iter().enumerate() {
        assert_eq!(guard.is_trusted(), number != 7, "k{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn r39_a_request_that_hangs_does_not_hold_up_later_ones() {
    let world = World::new();
    let client = world.client(1);
    let first = client.locks.lock("a").acquire().await.unwrap();
    client.way.harm_once(Call::Renew, Harm::Hangs);
    while client.way.calls(Call::Renew) == 0 {
        tokio::time::sleep(MS).await;
    }
    let short = client.locks.lock("b").ttl(SECOND).acquire().await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(short.is_trusted());
    tokio::time::sleep(60 * SECOND).await;
    assert!(short.is_trusted() && first.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn r39_a_store_that_panics_is_a_store_that_gave_no_answer() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    client.way.harm_once(Call::Renew, Harm::Panics);
    tokio::time::sleep(60 * SECOND).await;
    assert!(guard.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn r15_a_slow_renewal_counts_from_before_it_was_sent() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let slow = Harm::IsSlow(Duration::ZERO, SECOND);
    client.way.harm(Call::Renew, slow);
    let before = guard.deadline();
    while guard.deadline() == before {
        tokio::time::sleep(MS).await;
    }
    let left = guard.remaining();
    assert!((8_890 * MS..=8_898 * MS).contains(&left), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn r40_max_hold_ends_a_hold_that_would_go_on() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k").ttl(2 * SECOND).max_hold(5 * SECOND);
    let started = world.clock.now();
    let guard = lock.acquire().await.unwrap();
    let reason = guard.lost().await;
    let held = world.clock.now().since(started);
    assert_eq!(
        reason,
        LossReason::MaxHold {
            max_hold: 5 * SECOND
        }
    );
    assert!((4_990 * MS..=5 * SECOND).contains(&held), "{held:?}");
    assert!(!guard.is_trusted());
    let again = client.locks.lock("k").max_wait(4 * SECOND);
    let again = again.acquire().await;
    assert!(again.is_ok(), "nobody renews it any more: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn r40_max_hold_begins_with_the_hold_and_not_with_the_wait() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let lock = holder.locks.lock("k").ttl(60 * SECOND);
    let guard = lock.acquire().await.unwrap();
    let lock = client.locks.lock("k").ttl(2 * SECOND).max_hold(2 * SECOND);
    let waiter = tokio::spawn(async move {
        let guard = lock.acquire().await.unwrap();
        assert!(guard.remaining() > 1_900 * MS, "{:?}", guard.remaining());
    });
    world.until_waiting("k", 1).await;
    // By now the waiter has not asked for longer than it may hold.
    tokio::time::sleep(3_500 * MS).await;
    guard.release().await.unwrap();
    waiter.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r41_r44_extending_to_less_shortens_nothing_and_sets_what_comes_after() {
    let world = World::new();
    let client = world.client(1);
    let guard = client
        .locks
        .lock("k")
        .ttl(60 * SECOND)
        .acquire()
        .await
        .unwrap();
    let before = guard.deadline();
    let left = guard.extend(SECOND).await.unwrap();
    assert!(left > 59 * SECOND, "{left:?}");
    assert!(guard.deadline() >= before);
    let view = world.view("k").await.unwrap();
    assert!(view.expires_at.unwrap().since(view.now) > 59 * SECOND);
    tokio::time::sleep(100 * SECOND).await;
    assert!(guard.is_trusted());
    assert!(guard.remaining() <= SECOND, "{:?}", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn r44_extending_sets_the_ttl_of_all_later_renewals() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").ttl(SECOND).acquire().await.unwrap();
    let left = guard.extend(30 * SECOND).await.unwrap();
    assert!((29_690 * MS..=29_698 * MS).contains(&left), "{left:?}");
    let calls = client.way.calls(Call::Renew);
    tokio::time::sleep(100 * SECOND).await;
    let calls = client.way.calls(Call::Renew) - calls;
    assert!((9..=13).contains(&calls), "a third of 30 s apart: {calls}");

    let fixed = client.locks.lock("f").ttl(SECOND).no_renewal();
    let fixed = fixed.acquire().await.unwrap();
    fixed.extend(5 * SECOND).await.unwrap();
    tokio::time::sleep(4 * SECOND).await;
    assert!(fixed.is_trusted());
    fixed.lost().await;
    world.until_free("f").await;
}

#[tokio::test(start_paused = true)]
async fn r44_extending_waits_for_the_renewal_in_flight_and_then_for_its_own() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let slow = Harm::IsSlow(Duration::ZERO, 500 * MS);
    client.way.harm_once(Call::Renew, slow);
    while client.way.calls(Call::Renew) == 0 {
        tokio::time::sleep(MS).await;
    }
    let left = guard.extend(60 * SECOND).await.unwrap();
    assert!(left > 59 * SECOND, "{left:?}");
    assert_eq!(client.way.calls(Call::Renew), 2);
}

#[tokio::test(start_paused = true)]
async fn r44_extending_in_vain_says_why() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k").ttl(4 * SECOND).renew_every(SECOND);
    let guard = lock.acquire().await.unwrap();
    let error = guard.extend(2 * SECOND).await.unwrap_err();
    let ExtendError::InvalidOptions { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        source.to_string(),
        "renew_every (1s) must be above zero and under half of ttl (2s)"
    );
    client.way.harm(Call::Renew, Harm::Hangs);
    let end = guard.deadline();
    let error = guard.extend(20 * SECOND).await.unwrap_err();
    assert!(matches!(error, ExtendError::Lost(_)), "{error}");
    assert!(world.clock.now() <= end);
}

#[tokio::test(start_paused = true)]
async fn r28_processes_that_started_together_do_not_renew_together() {
    let world = World::new();
    let clients: Vec<_> = (0..50).map(|number| world.client(number)).collect();
    let mut guards = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        let lock = client.locks.lock(format!("k{number}"));
        guards.push(lock.acquire().await.unwrap());
    }
    tokio::time::sleep(60 * SECOND).await;
    let count = || {
        clients
            .iter()
            .map(|client| client.way.calls(Call::Renew))
            .sum()
    };
    let mut busiest = 0;
    for _ in 0..400 {
        let before: u64 = count();
        tokio::time::sleep(10 * MS).await;
        busiest = busiest.max(count() - before);
    }
    assert!(busiest <= 10, "{busiest} of 50 renewed within 10 ms");
    drop(guards);
}
