//! Giving up an acquisition, at any point of its life.

use std::time::Duration;

use futures_util::FutureExt as _;
use tenure_core::{Acquisition, Cancellation, Order, Release};

use super::actor::{Client, at_once, key};
use super::cases::Shared;
use crate::chance;

/// How often a race is run, in each order.
const ROUNDS: usize = 25;

pub(super) async fn r11_cancelling_a_lease_frees_it(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    assert_eq!(lease.cancel().await, Cancellation::Released);
    assert_eq!(harness.raw_records(&key).await, 0);
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(lease.cancel().await, Cancellation::Nothing);
    client.take(&key).await;
}

pub(super) async fn r11_cancelling_nothing_changes_nothing(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    assert_eq!(client.asker(&key).cancel().await, Cancellation::Nothing);
    let holder = client.take(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    assert_eq!(client.asker(&key).cancel().await, Cancellation::Nothing);
    holder.still_holds().await;
    assert_eq!(waiter.place().await.length, 1);
}

pub(super) async fn r11_cancelling_what_has_lapsed_leaves_a_newer_holder_alone(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let old = client.take(&key).await;
    harness.lapse(&key).await;
    let new = client.take(&key).await;
    assert_eq!(old.cancel().await, Cancellation::Nothing);
    new.still_holds().await;
}

pub(super) async fn r11_of_two_cancels_at_once_one_releases(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    for round in 0..ROUNDS {
        let holder = client.take(&key).await;
        let first = other.beside("first").line_up(&key).await;
        let second = other.beside("second").line_up(&key).await;
        let again = holder.through(&other);
        let (one, two) = at_once(holder.cancelling(), again.cancelling()).await;
        let answers = [one, two];
        let is_tie = client.may_tie() && answers == [Cancellation::Nothing; 2];
        for expected in [Cancellation::Released, Cancellation::Nothing] {
            assert!(
                is_tie || answers.contains(&expected),
                "round {round}: {answers:?}"
            );
        }
        assert_ne!(harness.raw_holder(&key).await, Some(client.holder.id));
        // The lease went on by one place, not by two.
        if client.store.promises().order == Order::Fifo {
            first.granted().await;
            second.held().await;
        }
        second.cancel().await;
        first.cancel().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r13_a_cancelled_waiter_has_no_place(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let alone = harness.raw_records(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    assert_eq!(waiter.cancel().await, Cancellation::LeftQueue);
    assert_eq!(harness.raw_records(&key).await, alone);
    assert_eq!(waiter.cancel().await, Cancellation::Nothing);
    assert_eq!(holder.release().await, Release::Freed);
    assert_eq!(harness.raw_records(&key).await, 0);
    client.take(&key).await;
}

pub(super) async fn r13_a_waiter_may_be_cancelled_through_another_connection(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    let elsewhere = waiter.through(&Client::new(harness, "elsewhere").await);
    assert_eq!(elsewhere.cancel().await, Cancellation::LeftQueue);
    assert_eq!(holder.release().await, Release::Freed);
}

pub(super) async fn r13_cancelling_what_was_handed_on_passes_it_to_the_next(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let first = client.beside("first").line_up(&key).await;
    let mut second = client.beside("second").line_up(&key).await;
    holder.give_back().await;
    // Whether the first had been granted the key by then depends on the store's order.
    assert_ne!(first.cancel().await, Cancellation::Nothing);
    second.served().await;
    assert_eq!(first.cancel().await, Cancellation::Nothing);
    first.has_lost().await;
    second.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r13_a_grant_that_races_a_cancel_is_passed_on(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    for round in 0..2 * ROUNDS {
        let holder = client.take(&key).await;
        let quitter = other.line_up(&key).await;
        let next = client.beside("next").line_up(&key).await;
        let (release, cancel) = if round % 2 == 0 {
            at_once(holder.releasing(), quitter.cancelling()).await
        } else {
            let (cancel, release) = at_once(quitter.cancelling(), holder.releasing()).await;
            (release, cancel)
        };
        assert_ne!(release, Release::NotHeld, "round {round}");
        assert_ne!(cancel, Cancellation::Nothing, "round {round}");
        next.granted().await;
        quitter.has_lost().await;
        next.give_back().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r13_a_cancel_that_races_the_last_release_leaves_the_key_free(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    for round in 0..2 * ROUNDS {
        let holder = client.take(&key).await;
        let quitter = other.line_up(&key).await;
        let cancel = if round % 2 == 0 {
            at_once(holder.releasing(), quitter.cancelling()).await.1
        } else {
            at_once(quitter.cancelling(), holder.releasing()).await.0
        };
        assert_ne!(cancel, Cancellation::Nothing, "round {round}");
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r11_r13_a_request_that_was_dropped_and_cancelled_leaves_nothing(
    harness: &Shared,
) {
    let mut chance = chance::seeded();
    let key = key("k");
    let client = Client::new(harness, "client").await;
    for round in 0..2 * ROUNDS {
        let dropped = client.waiter(&key);
        let answer = if round % 5 == 0 {
            dropped.ask().now_or_never()
        } else {
            let moment = Duration::from_micros(chance.u64(0..2000));
            tokio::time::timeout(moment, dropped.ask()).await.ok()
        };
        let cancel = dropped.cancel().await;
        if matches!(answer, Some(Acquisition::Granted(_))) {
            assert_eq!(cancel, Cancellation::Released, "round {round}");
        }
        // Nothing may come late either: the next acquisition finds the key free and keeps it.
        let next = client.take(&key).await;
        dropped.has_lost().await;
        next.give_back().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r13_a_waiter_whose_requests_are_dropped_and_cancelled_leaves_the_queue(
    harness: &Shared,
) {
    let mut chance = chance::seeded();
    let key = key("k");
    let client = Client::new(harness, "client").await;
    for round in 0..ROUNDS {
        let holder = client.take(&key).await;
        let quitter = client.beside("quitter").waiter(&key);
        let mut next = client.beside("next").line_up(&key).await;
        let moment = Duration::from_micros(chance.u64(0..2000));
        let _ = tokio::time::timeout(moment, quitter.ask()).await;
        // The release falls somewhere between the dropped request and the cancellation.
        at_once(holder.releasing(), quitter.cancelling()).await;
        next.served().await;
        assert_eq!(next.release().await, Release::Freed, "round {round}");
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r10_a_request_dropped_half_way_leaves_no_lease_without_an_end(
    harness: &Shared,
) {
    let mut chance = chance::seeded();
    let client = Client::new(harness, "client").await;
    for round in 0..2 * ROUNDS {
        let key = key(&format!("k{round}"));
        let dropped = client.asker(&key);
        let moment = Duration::from_micros(chance.u64(0..1000));
        let _ = tokio::time::timeout(moment, dropped.ask()).await;
        if let Some(view) = client.look(&key).await {
            let end = view.expires_at.expect("a lease without an end");
            assert!(end <= view.now + dropped.request.ttl.get() + Duration::from_secs(1));
        }
        // R12: whatever became of it, sending it again settles it.
        dropped.granted().await;
    }
}
