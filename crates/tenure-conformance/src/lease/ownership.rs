//! Who holds a key, and who may end it.

use tenure_core::{Order, Release, Renewal};

use super::actor::{Client, LONG, at_once, key};
use super::cases::Shared;

/// How often a race is run.
const RACES: usize = 50;

pub(super) async fn r1_r2_a_late_release_of_an_old_token_never_frees_a_newer_holder(
    harness: &Shared,
) {
    let key = key("k");
    let instance = Client::new(harness, "instance").await;
    let other = Client::new(harness, "other").await;
    // A newer acquisition of the same process instance is as safe as one of another process.
    for newer in [&instance, &other] {
        let old = instance.take(&key).await;
        harness.lapse(&key).await;
        let new = newer.take(&key).await;
        assert_eq!(old.release().await, Release::NotHeld);
        assert_eq!(harness.raw_holder(&key).await, Some(newer.holder.id));
        new.still_holds().await;
        new.give_back().await;
    }
}

pub(super) async fn r1_the_token_decides_and_not_the_holder(harness: &Shared) {
    let key = key("k");
    let instance = Client::new(harness, "instance").await;
    let first = instance.take(&key).await;
    let second = instance.asker(&key);
    second.held().await;
    assert_eq!(second.release().await, Release::NotHeld);
    assert!(matches!(second.renew(LONG).await, Renewal::Lost { .. }));
    first.still_holds().await;
}

pub(super) async fn r2_r35_what_has_lapsed_is_neither_released_nor_renewed(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    harness.lapse(&key).await;
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(lease.release().await, Release::NotHeld);
    assert_eq!(client.look(&key).await, None);
}

pub(super) async fn r2_r4_a_late_release_leaves_alone_what_was_handed_on(harness: &Shared) {
    let key = key("k");
    let first = Client::new(harness, "first").await.take(&key).await;
    let client = Client::new(harness, "second").await;
    let mut second = client.line_up(&key).await;
    first.give_back().await;
    assert_eq!(first.release().await, Release::NotHeld);
    second.served().await;
    assert_eq!(first.release().await, Release::NotHeld);
    second.still_holds().await;
    assert_eq!(harness.raw_holder(&key).await, Some(client.holder.id));
}

pub(super) async fn r3_r4_a_second_release_is_answered_not_held(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    assert_eq!(lease.release().await, Release::Freed);
    for _ in 0..3 {
        assert_eq!(lease.release().await, Release::NotHeld);
    }
    client.take(&key).await;
}

pub(super) async fn r3_r4_releasing_what_is_not_held_changes_nothing(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    assert_eq!(client.asker(&key).release().await, Release::NotHeld);
    assert_eq!(harness.raw_records(&key).await, 0);

    let holder = client.take(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    assert_eq!(client.asker(&key).release().await, Release::NotHeld);
    assert_eq!(waiter.release().await, Release::NotHeld);
    holder.still_holds().await;
    assert_eq!(waiter.place().await.position, 1);
}

pub(super) async fn r4_of_two_releases_at_once_one_finds_the_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    for round in 0..RACES {
        let holder = client.take(&key).await;
        let first = other.beside("first").line_up(&key).await;
        let second = other.beside("second").line_up(&key).await;
        // As a client does that repeats a request on a new connection.
        let again = holder.through(&other);
        let (one, two) = at_once(holder.releasing(), again.releasing()).await;
        let found = [one, two]
            .iter()
            .filter(|r| **r != Release::NotHeld)
            .count();
        let is_tie = found == 0 && client.may_tie();
        assert!(found == 1 || is_tie, "round {round}: {one:?}, {two:?}");
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
