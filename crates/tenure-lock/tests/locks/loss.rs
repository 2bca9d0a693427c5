//! Losing a lock: in time, whatever the store and the machine do.

use std::time::Duration;

use tenure_core::{Clock, StoreErrorKind};
use tenure_lock::{LossReason, RunError};

use crate::support::{Call, Harm, MS, SECOND, World};

#[tokio::test(start_paused = true)]
async fn r33_a_loss_is_told_by_the_end_of_the_window_although_the_store_never_answers() {
    for harm in [
        Harm::Hangs,
        Harm::HangsAfter,
        Harm::LosesReply,
        Harm::Fails(StoreErrorKind::Unavailable),
        Harm::Fails(StoreErrorKind::Denied),
    ] {
        let world = World::new();
        let client = world.client(1);
        // A ttl whose window ends between two ticks of the runtime's timer.
        let lock = client.locks.lock("k").ttl(10_010 * MS);
        let guard = lock.acquire().await.unwrap();
        client.way.harm(Call::Renew, harm);
        let watch = guard.loss_watch();
        let waiting = tokio::spawn(async move { watch.lost().await });
        let end = guard.deadline();
        let reason = guard.lost().await;
        assert!(world.clock.now() <= end, "{harm:?}");
        assert!(end.since(world.clock.now()) <= 3 * MS, "{harm:?}");
        assert!(!guard.is_trusted());
        assert_eq!(guard.remaining(), Duration::ZERO);
        assert!(matches!(reason, LossReason::TrustEnded { .. }), "{reason}");
        assert_eq!(waiting.await.unwrap(), reason, "everybody hears the same");
        assert_eq!(guard.ensure_trusted().unwrap_err().reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn r33_nobody_is_granted_the_lock_before_its_holder_was_told_of_the_loss() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let guard = holder.locks.lock("k").acquire().await.unwrap();
    holder.way.harm(Call::Renew, Harm::Hangs);
    let lock = client.locks.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    guard.lost().await;
    assert!(!waiter.is_finished());
    assert!(waiter.await.unwrap().unwrap().fence() > guard.fence());
}

#[tokio::test(start_paused = true)]
async fn r34_after_a_pause_the_guard_says_lost_before_anything_else_has_run() {
    let world = World::new();
    let client = world.client(1);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    assert!(guard.is_trusted());
    world.clock.jump(10 * SECOND);
    // No await in between: no timer, no task and no store had a chance.
    assert!(!guard.is_trusted());
    assert!(guard.ensure_trusted().is_err());
    assert_eq!(guard.remaining(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn r34_a_suspended_machine_is_noticed_within_a_second() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k").ttl(3_600 * SECOND);
    // Without renewal there is only the timer of the loss itself.
    for lock in [lock.clone(), lock.no_renewal()] {
        let guard = lock.acquire().await.unwrap();
        let watch = guard.loss_watch();
        let waiting = tokio::spawn(async move { watch.lost().await });
        tokio::time::sleep(500 * MS).await;
        world.clock.jump(3_600 * SECOND);
        let started = tokio::time::Instant::now();
        waiting.await.unwrap();
        assert!(started.elapsed() <= SECOND + MS, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn r34_a_short_suspension_is_repaired_by_renewing_soon_after() {
    let world = World::new();
    let client = world.client(1);
    let guard = client
        .locks
        .lock("k")
        .ttl(60 * SECOND)
        .acquire()
        .await
        .unwrap();
    tokio::time::sleep(SECOND).await;
    world.clock.jump(50 * SECOND);
    assert!(guard.is_trusted());
    tokio::time::sleep(1_100 * MS).await;
    assert!(guard.remaining() > 58 * SECOND, "{:?}", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn r34_an_answer_that_comes_after_the_window_does_not_bring_trust_back() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k").ttl(3 * SECOND);
    let guard = lock.acquire().await.unwrap();
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm(Call::Renew, fails);
    tokio::time::sleep(2_500 * MS).await;
    client.way.heal();
    let calls = client.way.calls(Call::Renew);
    client
        .way
        .harm_once(Call::Renew, Harm::IsSlow(Duration::ZERO, 100 * MS));
    while client.way.calls(Call::Renew) == calls {
        tokio::time::sleep(MS).await;
    }
    // The store has renewed the lease, and the answer is on its way, when the process is paused.
    world.clock.jump(guard.remaining() + MS);
    assert!(!guard.is_trusted());
    tokio::time::sleep(SECOND).await;
    let view = world.view("k").await.unwrap();
    assert_eq!(view.fence(), Some(guard.fence()), "the store kept it");
    assert!(!guard.is_trusted(), "and still it is lost");
    assert!(matches!(guard.lost().await, LossReason::TrustEnded { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_dropped_when_the_lease_is_lost() {
    struct Dropped<'a>(&'a std::cell::Cell<bool>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Renew, Harm::Hangs);
    let dropped = std::cell::Cell::new(false);
    let started = world.clock.now();
    let lock = client.locks.lock("k");
    let run = lock.run(|_guard| async {
        let _dropped = Dropped(&dropped);
        std::future::pending::<()>().await;
    });
    let error = run.await.unwrap_err();
    assert!(dropped.get());
    assert!(world.clock.now().since(started) <= 9_898 * MS);
    assert_eq!(error.to_string(), "the work under lock `k` was stopped");
    assert!(matches!(error, RunError::Lost(_)), "{error}");
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_after_the_window_did_not_run_under_the_lock() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k");
    let clock = world.clock.clone();
    // As a body that blocks its thread past the window.
    let run = lock.run(|_guard| async move { clock.jump(11 * SECOND) });
    assert!(matches!(run.await, Err(RunError::Lost(_))));
}
