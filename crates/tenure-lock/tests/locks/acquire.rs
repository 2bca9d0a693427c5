//! Taking a lock: one attempt, limits, unknown outcomes, late grants, errors.

use std::error::Error as _;
use std::time::Duration;

use tenure_core::{Clock, StoreErrorKind};
use tenure_lock::{AcquireError, Released};

use crate::support::{Call, Harm, MS, SECOND, World};

#[tokio::test(start_paused = true)]
async fn r1_a_guard_of_a_lapsed_lease_frees_nothing_of_the_next_one() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k").no_renewal();
    let first = lock.acquire().await.unwrap();
    tokio::time::sleep(11 * SECOND).await;
    let second = lock.acquire().await.unwrap();
    assert!(second.fence() > first.fence());
    assert_eq!(first.release().await.unwrap(), Released::Lost);
    assert!(second.is_trusted());
    assert_eq!(second.release().await.unwrap(), Released::Freed);
}

#[tokio::test(start_paused = true)]
async fn r9_e11_a_wait_of_zero_makes_exactly_one_attempt() {
    let world = World::new();
    let (holder, client) = (world.client(1), world.client(2));
    let guard = holder.locks.lock("k").acquire().await.unwrap();
    let started = world.clock.now();
    let lock = client.locks.lock("k").max_wait(Duration::ZERO);
    let error = lock.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut { .. }), "{error}");
    assert_eq!(client.way.calls(Call::Acquire), 1);
    assert_eq!(world.clock.now(), started);
    assert_eq!(world.view("k").await.unwrap().queue_len, 0);
    guard.release().await.unwrap();
    assert!(lock.acquire().await.is_ok());
    assert_eq!(client.way.calls(Call::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn r9_a_wait_ends_in_time_and_leaves_no_place_behind() {
    for wait_ms in [1, 2, 7, 50, 730, 4_999, 21_003] {
        let world = World::new();
        let (holder, client) = (world.client(1), world.client(2));
        let _guard = holder.locks.lock("k").acquire().await.unwrap();
        let started = world.clock.now();
        let lock = client.locks.lock("k").max_wait(wait_ms * MS);
        let error = lock.acquire().await.unwrap_err();
        let took = world.clock.now().since(started);
        // Timers of the runtime are exact to one millisecond.
        assert!(took <= wait_ms * MS + MS, "{wait_ms} ms took {took:?}");
        assert!(took * 20 >= wait_ms * MS * 18, "{wait_ms} ms took {took:?}");
        assert!(matches!(error, AcquireError::TimedOut { .. }), "{error}");
        if wait_ms < 50 {
            // Nothing was left of the wait for hearing the answer.
            client.locks.settled().await;
        }
        assert_eq!(world.view("k").await.unwrap().queue_len, 0, "{wait_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn r9_a_store_that_hangs_does_not_stretch_a_wait() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Acquire, Harm::Hangs);
    client.way.harm(Call::Cancel, Harm::Hangs);
    let started = world.clock.now();
    let lock = client.locks.lock("k").max_wait(800 * MS);
    let error = lock.acquire().await.unwrap_err();
    assert!(world.clock.now().since(started) <= 801 * MS);
    let AcquireError::Store { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn r9_a_wait_that_ends_without_an_answer_tells_what_was_wrong_before() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Acquire, Harm::Hangs);
    client.way.harm(Call::Cancel, Harm::Hangs);
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm_once(Call::Acquire, fails);
    let lock = client.locks.lock("k").max_wait(800 * MS);
    let error = lock.acquire().await.unwrap_err();
    let AcquireError::Store { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(client.way.calls(Call::Acquire), 2);
    assert_eq!(source.to_string(), "made to fail");
    assert!(source.outcome_is_unknown(), "the second may have happened");
}

#[tokio::test(start_paused = true)]
async fn r11_a_grant_whose_reply_was_lost_is_given_back() {
    for harm in [Harm::LosesReply, Harm::HangsAfter] {
        let world = World::new();
        let client = world.client(1);
        client.way.harm(Call::Acquire, harm);
        let error = client.locks.lock("k").try_acquire().await.unwrap_err();
        assert!(matches!(error, AcquireError::Store { .. }), "{error}");
        assert_eq!(client.way.calls(Call::Acquire), 1);
        client.locks.settled().await;
        assert!(world.view("k").await.is_none(), "{harm:?}");
        assert_eq!(client.locks.abandoned(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn r11_giving_back_goes_on_until_the_store_answers() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Acquire, Harm::LosesReply);
    client.way.harm(Call::Cancel, Harm::Hangs);
    assert!(client.locks.lock("k").try_acquire().await.is_err());
    tokio::time::sleep(6 * SECOND).await;
    assert!(world.view("k").await.is_some(), "still held");
    client.way.heal();
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
    assert!(client.way.calls(Call::Cancel) >= 2);
}

#[tokio::test(start_paused = true)]
async fn r11_giving_back_stops_and_is_counted_when_the_lease_has_surely_ended() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm(Call::Acquire, Harm::LosesReply);
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm(Call::Cancel, fails);
    assert!(client.locks.lock("k").try_acquire().await.is_err());
    let limit = tokio::time::timeout(60 * SECOND, client.locks.settled());
    limit.await.expect("giving back has a limit");
    assert_eq!(client.locks.abandoned(), 1);
    let calls = client.way.calls(Call::Cancel);
    assert!((10..100).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn r12_a_wait_finds_the_grant_whose_reply_was_lost() {
    let world = World::new();
    let client = world.client(1);
    client.way.harm_once(Call::Acquire, Harm::LosesReply);
    let guard = client.locks.lock("k").acquire().await.unwrap();
    let view = world.view("k").await.unwrap();
    assert_eq!(view.fence(), Some(guard.fence()));
    assert_eq!(client.way.calls(Call::Acquire), 2);
    assert_eq!(client.way.calls(Call::Cancel), 0);
}

#[tokio::test(start_paused = true)]
async fn r14_a_grant_that_comes_too_late_is_given_back_and_the_wait_goes_on() {
    let world = World::new();
    let client = world.client(1);
    let slow = Harm::IsSlow(Duration::ZERO, 995 * MS);
    client.way.harm_once(Call::Acquire, slow);
    let lock = client.locks.lock("k").ttl(SECOND);
    let guard = lock.acquire().await.unwrap();
    assert!(guard.remaining() > 900 * MS, "{:?}", guard.remaining());
    assert_eq!(client.way.calls(Call::Acquire), 2);
    assert_eq!(client.way.calls(Call::Cancel), 1);
}

#[tokio::test(start_paused = true)]
async fn r14_an_attempt_that_is_granted_too_late_is_undone_and_says_so() {
    let world = World::new();
    let client = world.client(1);
    let slow = Harm::IsSlow(Duration::ZERO, 700 * MS);
    client.way.harm(Call::Acquire, slow);
    let lock = client.locks.lock("k").ttl(SECOND).min_validity(500 * MS);
    let error = lock.try_acquire().await.unwrap_err();
    let AcquireError::TooLate { validity, .. } = error else {
        panic!("{error}");
    };
    assert!((280 * MS..=290 * MS).contains(&validity), "{validity:?}");
    assert!(world.view("k").await.is_none());
    let lock = lock.max_wait(3 * SECOND);
    let error = lock.acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::TooLate { .. }), "{error}");
    client.locks.settled().await;
    assert!(world.view("k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r15_a_slow_reply_shortens_trust() {
    let world = World::new();
    let client = world.client(1);
    let slow = Harm::IsSlow(Duration::ZERO, 3 * SECOND);
    client.way.harm_once(Call::Acquire, slow);
    let asked_at = world.clock.now();
    let guard = client.locks.lock("k").no_renewal().acquire().await.unwrap();
    assert!(guard.deadline() <= asked_at + 9_898 * MS);
    assert!(guard.deadline() > asked_at + 9_890 * MS);
    assert!(guard.remaining() <= 6_898 * MS);
}

#[tokio::test(start_paused = true)]
async fn r16_steps_of_the_wall_clock_change_nothing() {
    for step_ms in [3_600_000, -3_600_000] {
        let world = World::new();
        let client = world.client(1);
        let guard = client.locks.lock("k").acquire().await.unwrap();
        let before = guard.remaining();
        world.clock.step_wall(step_ms);
        assert_eq!(guard.remaining(), before);
        tokio::time::sleep(60 * SECOND).await;
        assert!(guard.is_trusted(), "{step_ms}");
        assert_eq!(guard.release().await.unwrap(), Released::Freed);
    }
}

#[tokio::test(start_paused = true)]
async fn r18_a_body_runs_with_a_guard_and_the_lock_is_free_afterwards() {
    let world = World::new();
    let client = world.client(1);
    let lock = client.locks.lock("k");
    let fence = lock.run(|guard| async move {
        assert!(guard.is_trusted());
        guard.fence()
    });
    let first = fence.await.unwrap();
    assert!(world.view("k").await.is_none());
    let second = lock.run(async |guard| guard.fence()).await.unwrap();
    assert!(second > first);
}

#[tokio::test(start_paused = true)]
async fn r19_errors_tell_held_from_denied_from_unavailable() {
    let world = World::new();
    let (holder, client) = (world.client(7), world.client(2));
    let lock = client.locks.lock("k").max_wait(3 * SECOND);

    for kind in [
        StoreErrorKind::Denied,
        StoreErrorKind::Misconfigured,
        StoreErrorKind::Corrupt,
    ] {
        let (started, calls) = (world.clock.now(), client.way.calls(Call::Acquire));
        client.way.harm(Call::Acquire, Harm::Fails(kind));
        let error = lock.acquire().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot acquire lock `k`");
        let AcquireError::Store { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), kind);
        assert_eq!(world.clock.now(), started, "not asked again");
        assert_eq!(client.way.calls(Call::Acquire), calls + 1);
    }

    let calls = client.way.calls(Call::Acquire);
    let fails = Harm::Fails(StoreErrorKind::Unavailable);
    client.way.harm(Call::Acquire, fails);
    let error = lock.acquire().await.unwrap_err();
    assert!(error.source().is_some());
    assert!(matches!(error, AcquireError::Store { .. }), "{error}");
    let calls = client.way.calls(Call::Acquire) - calls;
    assert!(
        (5..20).contains(&calls),
        "asked again in growing pauses: {calls}"
    );

    client.way.heal();
    let _guard = holder.locks.lock("k").acquire().await.unwrap();
    let error = lock.acquire().await.unwrap_err().to_string();
    assert!(error.contains("lock `k` still held by client 7"), "{error}");
    assert!(error.contains("; its lease lasts "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn e9_e13_e15_e22_bad_keys_and_options_are_reported_before_anything_is_sent() {
    let world = World::new();
    let client = world.client(1);
    for (name, message) in [
        (String::new(), "`` cannot be locked"),
        ("tenure:x".to_owned(), "`tenure:x` cannot be locked"),
        ("k".repeat(1_000_000), "kkkk…` cannot be locked"),
    ] {
        let error = client.locks.lock(name).acquire().await.unwrap_err();
        assert!(error.to_string().ends_with(message), "{error}");
        assert!(error.to_string().len() < 120);
        assert!(error.source().is_some());
    }
    let lock = client.locks.lock("k").ttl(4 * SECOND);
    let error = lock
        .renew_every(3 * SECOND)
        .try_acquire()
        .await
        .unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "renew_every (3s) must be above zero and under half of ttl (4s)"
    );
    assert_eq!(client.way.calls(Call::Acquire), 0);
}
