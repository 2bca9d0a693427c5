//! Giving a lock back: released, lost or unknown; sharing; what a drop does.

use tenure_core::StoreErrorKind;
use tenure_lock::{ReleaseError, Released};

use crate::support::{Call, Harm, MS, SECOND, World};

#[tokio::test(start_paused = true)]
async fn r2_r3_a_release_says_whether_the_lock_was_still_ours() {
    let world = World::new();
    let (one, two) = (world.client(1), world.client(2));
    let guard = one.locks.lock("k").acquire().await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Freed);

    let guard = one.locks.lock("k").acquire().await.unwrap();
    let lock = two.locks.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    world.until_waiting("k", 1).await;
    assert_eq!(guard.release().await.unwrap(), Released::HandedOn);
    waiter.await.unwrap().unwrap().release().await.unwrap();

    let lock = one.locks.lock("k").ttl(SECOND).no_renewal();
    let lapsed = lock.acquire().await.unwrap();
    let current = two.locks.lock("k").acquire().await.unwrap();
    assert_eq!(lapsed.release().await.unwrap(), Released::Lost);
    let view = world.view("k").await.unwrap();
    assert_eq!(view.fence(), Some(current.fence()), "untouched");
}

#[tokio::test(start_paused = true)]
async fn r3_a_release_without_an_answer_is_unknown_and_goes_on_in_the_background() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    client.way.harm(Call::Release, Harm::Hangs);
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, ReleaseError::Unknown { .. }), "{error}");
    assert!(world.view("k").await.is_some());
    client.way.heal();
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
    assert_eq!(client.locks.abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn r3_a_refused_release_is_an_error_and_counted() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    client
        .way
        .harm(Call::Release, Harm::Fails(StoreErrorKind::Denied));
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, ReleaseError::Refused { .. }), "{error}");
    assert_eq!(client.way.calls(Call::Release), 1, "not asked again");
    assert_eq!(client.locks.abandoned(), 1);
    tokio::time::sleep(11 * SECOND).await;
    let again = client.locks.lock("k").try_acquire().await.unwrap();
    assert!(again.is_some(), "it ended by itself");
}

#[tokio::test(start_paused = true)]
async fn r4_a_release_whose_reply_was_lost_is_asked_again_and_is_no_error() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    client.way.harm_once(Call::Release, Harm::LosesReply);
    assert_eq!(guard.release().await.unwrap(), Released::ReleasedOrLost);
    assert_eq!(client.way.calls(Call::Release), 2);
    assert!(world.view("k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r4_a_release_that_surely_failed_once_is_still_exact() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm_once(Call::Release, fails);
    assert_eq!(guard.release().await.unwrap(), Released::Freed);
}

#[tokio::test(start_paused = true)]
async fn r45_a_dropped_guard_is_given_back_in_the_background() {
    let world = World::new();
    let client = world.client(1);
    drop(client.locks.lock("k").acquire().await.unwrap());
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
    assert_eq!(client.locks.abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn r45_a_dropped_guard_is_given_back_although_the_locks_are_gone_too() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    drop(client);
    drop(guard);
    world.until_free("k").await;
}

#[tokio::test(start_paused = true)]
async fn r46_after_settled_everything_dropped_before_is_given_back() {
    let world = World::new();
    let client = world.client(1);
    let mut guards = Vec::new();
    for number in 0..50 {
        let lock = client.locks.lock(format!("k{number}"));
        guards.push(lock.acquire().await.unwrap());
    }
    client
        .way
        .harm(Call::Release, Harm::IsSlow(30 * MS, 30 * MS));
    drop(guards);
    client.locks.settled().await;
    assert!(client.locks.list("").await.unwrap().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shared_lock_is_given_back_when_the_last_owner_is_gone() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let (one, two) = (guard.share(), guard.share());
    let fence = guard.fence();
    assert_eq!(guard.release().await.unwrap(), Released::StillShared);
    drop(one);
    client.locks.settled().await;
    assert_eq!(world.view("k").await.unwrap().fence(), Some(fence));
    assert!(two.is_trusted());
    assert_eq!(
        two.fence(),
        fence,
        "r63: re-entry does not change the fence"
    );
    assert_eq!(two.release().await.unwrap(), Released::Freed);
    assert!(world.view("k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r44_a_lock_that_is_left_stays_taken_until_its_ttl_ends_it() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").ttl(SECOND).acquire().await.unwrap();
    let share = guard.share();
    guard.leave();
    assert!(share.is_trusted(), "another owner keeps it");
    share.release().await.unwrap();

    let lock = client.locks.lock("k").ttl(SECOND);
    lock.acquire().await.unwrap().leave();
    client.locks.settled().await;
    assert_eq!(client.way.calls(Call::Release), 1, "only the share's");
    assert!(lock.try_acquire().await.unwrap().is_none());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(client.way.calls(Call::Renew), 0, "nobody renews it");
    assert!(lock.try_acquire().await.unwrap().is_some());
}
