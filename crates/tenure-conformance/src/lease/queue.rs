//! Places in the queue: their order, how long they last, and that nothing of them is left.

use std::time::Duration;

use tenure_core::{Acquisition, Cancellation, HandOff, Occupant, Order, Release};

use super::actor::{Asker, Client, LONG, key, pass};
use super::cases::Shared;
use crate::chance;

/// How long a place lasts whose end a case waits for.
const KEEP: Duration = Duration::from_millis(1500);

fn is_fifo(client: &Client) -> bool {
    client.store.promises().order == Order::Fifo
}

pub(super) async fn r31_waiters_are_served_in_the_order_of_their_first_requests(harness: &Shared) {
    let key = key("k");
    let mut clients = Vec::new();
    for number in 0..3 {
        clients.push(Client::new(harness, &format!("client {number}")).await);
    }
    let mut holder = clients[0].take(&key).await;
    let mut waiters: Vec<Asker> = Vec::new();
    for number in 0..9 {
        waiters.push(clients[number % 3].line_up(&key).await);
    }
    for waiter in waiters.iter().rev() {
        waiter.held().await;
    }
    while !waiters.is_empty() {
        holder.give_back().await;
        let next = if is_fifo(&clients[0]) {
            // The last asks first; it must not overtake.
            for waiter in waiters.iter().skip(1).rev() {
                waiter.held().await;
            }
            0
        } else {
            first_granted(&waiters).await
        };
        holder = waiters.remove(next);
        holder.served().await;
    }
    assert_eq!(holder.release().await, Release::Freed);
}

/// The number of the waiter whose turn it is, where any may be the next.
async fn first_granted(waiters: &[Asker]) -> usize {
    for (number, waiter) in waiters.iter().enumerate() {
        if matches!(waiter.ask().await, Acquisition::Granted(_)) {
            return number;
        }
    }
    panic!("the key was given back, and no waiter got it");
}

pub(super) async fn r31_no_position_ever_increases(harness: &Shared) {
    let mut chance = chance::seeded();
    let key = key("k");
    let mut clients = Vec::new();
    for number in 0..3 {
        clients.push(Client::new(harness, &format!("client {number}")).await);
    }
    if !is_fifo(&clients[0]) {
        return;
    }
    let mut holder = clients[0].take(&key).await;
    let mut line: Vec<(Asker, u32)> = Vec::new();
    for step in 0..50 {
        match chance.u32(0..6) {
            0 if !line.is_empty() => holder.give_back().await,
            1 if !line.is_empty() => harness.lapse(&key).await,
            2 if !line.is_empty() => {
                let quitter = line.remove(chance.usize(0..line.len()));
                assert_eq!(quitter.0.cancel().await, Cancellation::LeftQueue);
            }
            _ => line.push((clients[chance.usize(0..3)].line_up(&key).await, u32::MAX)),
        }
        let mut served = None;
        for (number, (waiter, before)) in line.iter_mut().enumerate() {
            match waiter.ask().await {
                Acquisition::Granted(_) => served = Some(number),
                Acquisition::Held(held) => {
                    let place = held.place.expect("a waiter has a place");
                    assert!(place.position <= *before, "step {step}: {place:?}");
                    assert!(place.position >= 1 && place.position <= place.length);
                    *before = place.position;
                }
                other => panic!("{other:?}"),
            }
        }
        if let Some(number) = served {
            assert_eq!(number, 0, "step {step}: somebody overtook");
            holder = line.remove(number).0;
        }
    }
}

pub(super) async fn r31_a_newcomer_does_not_overtake_after_a_lapse(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    if !is_fifo(&client) {
        return;
    }
    client.take(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    harness.lapse(&key).await;
    // Whoever notices the lapse hands the key to the first in line, not to itself.
    let newcomer = Client::new(harness, "newcomer").await;
    match newcomer.asker(&key).held().await.by {
        Occupant::Holder { holder, .. } => assert_eq!(holder, waiter.request.holder),
        other => panic!("{other:?}"),
    }
    assert_eq!(newcomer.line_up(&key).await.place().await.position, 1);
    waiter.granted().await;
}

pub(super) async fn r31_a_newcomer_does_not_overtake_after_a_release(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    if client.store.promises().order != Order::Fifo {
        return;
    }
    let holder = client.take(&key).await;
    let waiter = client.beside("waiter").line_up(&key).await;
    let release = holder.release().await;
    let hands_on = !matches!(client.store.promises().hand_off, HandOff::AskAgain(_));
    if hands_on {
        assert_eq!(release, Release::HandedOn);
    } else {
        // The grant may wait in the store until its owner asks.
        assert_ne!(release, Release::NotHeld);
    }
    client.asker(&key).held().await;
    // Nor does the one that had it just now.
    holder.held().await;
    waiter.granted().await;
}

pub(super) async fn r23_a_dead_waiter_at_the_head_is_skipped_when_its_place_has_ended(
    harness: &Shared,
) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    // With and without anybody looking or asking between the end of the places and the release.
    for asks in [false, true] {
        let holder = client.take(&key).await;
        let mut dead = Vec::new();
        for number in 0..3 {
            let waiter = client.beside(&format!("dead {number}"));
            let waiter = waiter.waiter_for(&key, KEEP);
            waiter.held().await;
            dead.push(waiter);
        }
        let live = client.beside("live").line_up(&key).await;
        pass(harness, KEEP + Duration::from_millis(500)).await;
        if asks {
            let view = client.look(&key).await.unwrap();
            assert_eq!(view.queue_len, 1, "{view:?}");
            assert_eq!(live.place().await.position, 1);
        }
        holder.give_back().await;
        live.granted().await;
        for waiter in &dead {
            waiter.has_lost().await;
            assert_eq!(waiter.cancel().await, Cancellation::Nothing);
        }
        assert_eq!(live.release().await, Release::Freed);
        assert_eq!(harness.raw_records(&key).await, 0);
    }
}

pub(super) async fn r23_a_dead_waiter_that_was_handed_the_key_delays_the_next_by_the_claim_window(
    harness: &Shared,
) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let promises = client.store.promises();
    let holder = client.take(&key).await;
    let dead = client.beside("dead").line_up(&key).await;
    let mut live = client.beside("live").line_up(&key).await;
    holder.give_back().await;
    if promises.order == Order::Fifo && !matches!(promises.hand_off, HandOff::AskAgain(_)) {
        let handed = harness.raw_holder(&key).await;
        assert_eq!(handed, Some(dead.request.holder.id));
    }
    pass(harness, promises.claim_window + Duration::from_millis(500)).await;
    live.served().await;
    dead.has_lost().await;
    live.still_holds().await;
}

pub(super) async fn r23_a_waiter_that_collects_its_grant_keeps_it_past_the_claim_window(
    harness: &Shared,
) {
    let client = Client::new(harness, "client").await;
    let window = client.store.promises().claim_window;
    let (asks, renews) = (key("asks"), key("renews"));
    let holders = [client.take(&asks).await, client.take(&renews).await];
    let collector = client.beside("collector").line_up(&asks).await;
    let mut renewer = client.beside("renewer").line_up(&renews).await;
    for holder in &holders {
        holder.give_back().await;
    }
    let grant = collector.granted().await;
    assert!(grant.expires_at >= grant.now + LONG);
    // A grant that was pushed is collected by the first renewal.
    if matches!(client.store.promises().hand_off, HandOff::AskAgain(_)) {
        renewer.served().await;
    }
    let grant = renewer.still_holds().await;
    assert!(grant.expires_at >= grant.now + LONG);
    pass(harness, window + Duration::from_millis(500)).await;
    collector.still_holds().await;
    renewer.still_holds().await;
}

pub(super) async fn r24_a_waiter_keeps_its_place_by_asking_again(harness: &Shared) {
    let key = key("k");
    let keep = Duration::from_secs(6);
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let early = client.beside("early").waiter_for(&key, keep);
    early.held().await;
    let late = client.beside("late").line_up(&key).await;
    for _ in 0..4 {
        pass(harness, keep / 3).await;
        let place = early.place().await;
        assert_eq!((place.position, place.length), (1, 2));
    }
    holder.give_back().await;
    if is_fifo(&client) {
        late.held().await;
        early.granted().await;
    }
}

pub(super) async fn r24_a_waiter_whose_place_has_ended_starts_again_at_the_end(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    client.take(&key).await;
    let late = client.beside("late").waiter_for(&key, KEEP);
    late.held().await;
    let other = client.beside("other").line_up(&key).await;
    pass(harness, KEEP + Duration::from_millis(500)).await;
    let place = late.place().await;
    assert_eq!((place.position, place.length), (2, 2));
    assert_eq!(other.place().await.position, 1);
}

pub(super) async fn r25_nothing_is_left_when_nobody_holds_or_waits(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    for round in 0..5 {
        let holder = client.take(&key).await;
        let mut first = client.beside("first").line_up(&key).await;
        let quitter = client.beside("quitter").line_up(&key).await;
        let mut last = client.beside("last").line_up(&key).await;
        quitter.cancel().await;
        holder.give_back().await;
        if is_fifo(&client) {
            first.served().await;
            first.give_back().await;
            last.served().await;
            last.give_back().await;
        } else {
            first.cancel().await;
            last.cancel().await;
        }
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
        assert_eq!(client.look(&key).await, None);
    }
}

pub(super) async fn r25_lapses_do_not_pile_up_records(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let one = {
        client.take(&key).await;
        harness.raw_records(&key).await
    };
    for _ in 0..20 {
        harness.lapse(&key).await;
        client.take(&key).await;
        assert!(harness.raw_records(&key).await <= one);
    }
    harness.lapse(&key).await;
    client.take(&key).await.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r25_dead_waiters_leave_nothing_behind(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    for number in 0..20 {
        let dead = client
            .beside(&format!("dead {number}"))
            .waiter_for(&key, KEEP);
        dead.held().await;
    }
    pass(harness, KEEP + Duration::from_millis(500)).await;
    assert_eq!(holder.release().await, Release::Freed);
    assert_eq!(harness.raw_records(&key).await, 0);
    assert_eq!(client.look(&key).await, None);
}
