//! What observers and figures are told of acquisitions, renewals, losses and releases.

use std::sync::{Arc, Mutex};

use tenure_core::StoreErrorKind;
use tenure_lock::{LockEvent, LockMetrics};

use crate::support::{Call, Harm, MS, SECOND, World};

/// The value of a figure, which must be there.
fn value(metrics: &LockMetrics, name: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[track_caller]
fn are(metrics: &LockMetrics, expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let value = value(metrics, name);
        assert!(
            (value - expected).abs() < 0.02,
            "{name} is {value}, not {expected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn acquisitions_are_counted_by_how_they_ended_and_the_waits_are_measured() {
    let world = World::new();
    let metrics = LockMetrics::new();
    let (one, two) = (world.client(1), world.client(2));
    let one_locks = one.locks.clone().metrics(&metrics);
    let two_locks = two.locks.clone().metrics(&metrics);

    let guard = one_locks.lock("k").acquire().await.unwrap();
    assert!(two_locks.lock("k").try_acquire().await.unwrap().is_none());
    let wait = two_locks.lock("k").max_wait(2 * SECOND).acquire().await;
    assert!(wait.is_err());
    let lock = two_locks.lock("k");
    assert!(tokio::time::timeout(SECOND, lock.acquire()).await.is_err());
    world.until_waiting("k", 0).await;
    let lock = two_locks.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    world.until_waiting("k", 1).await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
    one.way
        .harm(Call::Acquire, Harm::Fails(StoreErrorKind::Denied));
    assert!(one_locks.lock("k").acquire().await.is_err());

    are(
        &metrics,
        &[
            ("tenure_lock_acquisitions_total{result=\"granted\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"handed_on\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"held\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"timed_out\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"dropped\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"failed\"}", 1.0),
            ("tenure_lock_acquisitions_total{result=\"too_late\"}", 0.0),
            ("tenure_lock_wait_seconds_count{result=\"acquired\"}", 2.0),
            (
                "tenure_lock_wait_seconds_count{result=\"not_acquired\"}",
                4.0,
            ),
            ("tenure_lock_releases_total{result=\"handed_on\"}", 1.0),
            ("tenure_lock_releases_total{result=\"freed\"}", 1.0),
            ("tenure_lock_held_seconds_count", 2.0),
            ("tenure_lock_holding", 0.0),
        ],
    );
    let sum = value(
        &metrics,
        "tenure_lock_wait_seconds_sum{result=\"not_acquired\"}",
    );
    assert!((2.9..3.1).contains(&sum), "{sum}");
}

#[tokio::test(start_paused = true)]
async fn renewals_losses_and_holds_are_counted_and_a_hold_ends_with_its_loss() {
    let world = World::new();
    let metrics = LockMetrics::new();
    let client = world.client(1);
    let locks = client.locks.clone().metrics(&metrics);
    let guard = locks.lock("k").ttl(3 * SECOND).acquire().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    are(&metrics, &[("tenure_lock_holding", 1.0)]);
    let renewed = value(&metrics, "tenure_lock_renewals_total{result=\"renewed\"}");
    assert!((8.0..15.0).contains(&renewed), "{renewed}");
    are(&metrics, &[("tenure_lock_renewal_seconds_count", renewed)]);

    client
        .way
        .harm(Call::Renew, Harm::Fails(StoreErrorKind::Unavailable));
    guard.lost().await;
    let lost_after = value(&metrics, "tenure_lock_losses_total{reason=\"trust_ended\"}");
    assert!((lost_after - 1.0).abs() < f64::EPSILON);
    assert!(value(&metrics, "tenure_lock_renewals_total{result=\"failed\"}") >= 1.0);
    tokio::time::sleep(60 * SECOND).await;
    drop(guard);
    locks.settled().await;
    are(
        &metrics,
        &[
            ("tenure_lock_releases_total{result=\"lost\"}", 1.0),
            ("tenure_lock_held_seconds_count", 1.0),
            ("tenure_lock_holding", 0.0),
        ],
    );
    let held = value(&metrics, "tenure_lock_held_seconds_sum");
    assert!((10.0..14.0).contains(&held), "{held}");

    // One that is taken away, one that was held as long as it may be, one that is left.
    client.way.heal();
    let guard = locks.lock("k").acquire().await.unwrap();
    locks.force("k", guard.fence(), "me", "").await.unwrap();
    guard.lost().await;
    guard.release().await.unwrap();
    let guard = locks
        .lock("k")
        .ttl(SECOND)
        .max_hold(2 * SECOND)
        .acquire()
        .await
        .unwrap();
    guard.lost().await;
    guard.release().await.unwrap();
    locks.lock("k").acquire().await.unwrap().leave();
    are(
        &metrics,
        &[
            ("tenure_lock_losses_total{reason=\"taken\"}", 1.0),
            ("tenure_lock_losses_total{reason=\"max_hold\"}", 1.0),
            ("tenure_lock_renewals_total{result=\"lost\"}", 1.0),
            ("tenure_lock_releases_total{result=\"left\"}", 1.0),
            ("tenure_lock_held_seconds_count", 4.0),
            ("tenure_lock_holding", 0.0),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn each_lock_that_was_acquired_is_told_to_have_been_released_once() {
    for harm in [
        None,
        Some(Harm::LosesReply),
        Some(Harm::Hangs),
        Some(Harm::Fails(StoreErrorKind::Denied)),
    ] {
        for is_dropped in [false, true] {
            let world = World::new();
            let client = world.client(1);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let told = seen.clone();
            let locks = client.locks.clone().observe(move |event| {
                if let LockEvent::Released { result, .. } = event {
                    told.lock().unwrap().push(*result);
                }
            });
            let guard = locks.lock("k").acquire().await.unwrap();
            if let Some(harm) = harm {
                client.way.harm(Call::Release, harm);
            }
            if is_dropped {
                drop(guard);
            } else {
                let _ = guard.release().await;
            }
            locks.settled().await;
            assert_eq!(seen.lock().unwrap().len(), 1, "{harm:?} {is_dropped}");
        }
    }
}

/// An observer may ask the guard, and the answer is there already.
#[tokio::test(start_paused = true)]
async fn an_observer_of_a_loss_can_ask_about_it() {
    let world = World::new();
    let client = world.client(1);
    let watch: Arc<Mutex<Option<tenure_lock::LossWatch>>> = Arc::default();
    let (told, asked) = (watch.clone(), Arc::new(Mutex::new(None)));
    let answer = asked.clone();
    let locks = client.locks.clone().observe(move |event| {
        if let LockEvent::Lost { .. } = event {
            let watch = told.lock().unwrap();
            *answer.lock().unwrap() = watch.as_ref().map(tenure_lock::LossWatch::is_trusted);
        }
    });
    let guard = locks
        .lock("k")
        .ttl(100 * MS)
        .no_renewal()
        .acquire()
        .await
        .unwrap();
    *watch.lock().unwrap() = Some(guard.loss_watch());
    guard.lost().await;
    assert_eq!(*asked.lock().unwrap(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn figures_follow_those_of_others_in_one_answer() {
    let metrics = LockMetrics::new();
    let mut text = "# TYPE other counter\nother_total 1\n# EOF\n".to_owned();
    metrics.append_to(&mut text);
    assert!(text.starts_with("# TYPE other counter\nother_total 1\n# HELP tenure_lock_"));
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"));
}
