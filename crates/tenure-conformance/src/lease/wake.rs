//! How a waiter learns of its turn, and that it gets it however little it is told.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_all};
use tenure_core::{Acquisition, Clock as _, HandOff, Key, LeaseRequest, SystemClock, Wakes};

use super::actor::{Asker, Client, LONG, PATIENCE, at_once, key, pass, soon, ttl};
use super::cases::Shared;

/// How often a race is run.
const ROUNDS: usize = 40;

fn hands_on(client: &Client) -> bool {
    !matches!(client.store.promises().hand_off, HandOff::AskAgain(_))
}

pub(super) async fn r20_no_release_between_two_steps_of_a_waiter_is_missed(harness: &Shared) {
    let key = key("k");
    let releaser = Client::new(harness, "releaser").await;
    let client = Client::new(harness, "waiter").await;
    // Before it listens, between listening and asking, and after asking.
    for point in 0..3 {
        let holder = releaser.take(&key).await;
        if point == 0 {
            holder.give_back().await;
        }
        let mut waiter = client.waiter(&key);
        if point == 1 {
            holder.give_back().await;
        }
        if point == 2 {
            waiter.held().await;
            holder.give_back().await;
        }
        // The release has been answered, so one request is enough.
        waiter.granted().await;
        waiter.served().await;
        waiter.give_back().await;
    }
}

pub(super) async fn r20_no_release_that_races_a_request_is_missed(harness: &Shared) {
    let key = key("k");
    let releaser = Client::new(harness, "releaser").await;
    let client = Client::new(harness, "waiter").await;
    for round in 0..ROUNDS {
        let holder = releaser.take(&key).await;
        let waiter = client.waiter(&key);
        if round % 2 == 0 {
            at_once(holder.releasing(), waiter.asking()).await;
        } else {
            at_once(waiter.asking(), holder.releasing()).await;
        }
        waiter.granted().await;
        waiter.give_back().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r32a_a_grant_that_overtakes_the_reply_is_not_lost(harness: &Shared) {
    let key = key("k");
    let releaser = Client::new(harness, "releaser").await;
    let client = Client::new(harness, "waiter").await;
    if !hands_on(&client) {
        return;
    }
    for round in 0..ROUNDS {
        let holder = releaser.take(&key).await;
        let mut waiter = client.waiter(&key);
        let answer = if round % 2 == 0 {
            at_once(holder.releasing(), waiter.asking()).await.1
        } else {
            at_once(waiter.asking(), holder.releasing()).await.0
        };
        // A waiter that was told to wait hears of its turn without asking.
        if matches!(answer, Acquisition::Held(_)) {
            let told = waiter.told().await;
            assert_eq!(waiter.granted().await.fence, told.fence);
        }
        waiter.give_back().await;
    }
}

pub(super) async fn r21_a_waiter_that_hears_nothing_gets_its_turn_by_asking(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    for lapses in [false, true] {
        let holder = client.take(&key).await;
        let mut deaf = client.beside("deaf").waiter(&key);
        deaf.wakes = Wakes::never();
        deaf.held().await;
        if lapses {
            harness.lapse(&key).await;
        } else {
            holder.give_back().await;
        }
        deaf.served().await;
        deaf.give_back().await;
    }
}

pub(super) async fn r21_a_waiter_that_stops_listening_half_way_gets_its_turn(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let mut waiter = client.beside("waiter").line_up(&key).await;
    waiter.wakes = Wakes::never();
    holder.give_back().await;
    // The grant was sent to nobody. It is collected by asking, also after listening anew.
    waiter.wakes = waiter.store.listen(&key, waiter.token());
    waiter.granted().await;
}

pub(super) async fn r22_a_waiter_gets_a_lapsed_key_by_asking_when_it_was_told_to(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let short = client.store.promises().min_ttl.max(Duration::from_secs(5));
    let request = LeaseRequest::new(key.clone(), client.holder.clone(), ttl(short));
    let dying = client.asker_with(request);
    dying.granted_at_last().await;
    let waiter = client.beside("waiter").waiter(&key);
    let held = waiter.held().await;
    let remaining = held.remaining.expect("the lease ends by itself");
    let slack = Duration::from_secs(1);
    assert!(remaining <= short + slack, "{remaining:?}");
    // A store that pushes says when the lease ends; one that does not may want to be asked before.
    let mut held = held;
    let mut passed = Duration::ZERO;
    loop {
        let advice = held.ask_again_after;
        assert!(
            advice > Duration::ZERO,
            "asking again at once would be a busy loop"
        );
        assert!(advice <= remaining + slack, "{advice:?} but {remaining:?}");
        pass(harness, advice).await;
        passed += advice;
        match waiter.ask().await {
            Acquisition::Granted(_) => break,
            Acquisition::Held(again) => held = again,
            other => panic!("{other:?}"),
        }
        let late = Duration::from_millis(500);
        assert!(passed <= remaining + late, "{passed:?} but {remaining:?}");
    }
    dying.has_lost().await;
}

pub(super) async fn r26_a_pushed_grant_is_true(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    if !hands_on(&client) {
        return;
    }
    for _ in 0..5 {
        let holder = client.take(&key).await;
        let mut waiter = other.line_up(&key).await;
        holder.give_back().await;
        let told = waiter.told().await;
        assert!(told.expires_at > told.now);
        assert_eq!(client.fence_of(&key).await, Some(told.fence));
        assert_eq!(waiter.granted().await.fence, told.fence);
        waiter.give_back().await;
    }
}

pub(super) async fn r26_a_grant_that_nobody_collected_in_time_is_no_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let late = client.beside("late").line_up(&key).await;
    holder.give_back().await;
    harness.lapse(&key).await;
    let mut next = client.beside("next").waiter(&key);
    if hands_on(&client) {
        next.granted().await;
    } else {
        late.cancel().await;
        next.served().await;
    }
    // The push still lies in its mailbox; only the store's answer counts.
    late.has_lost().await;
    late.held().await;
    next.still_holds().await;
}

pub(super) async fn r27_each_hand_off_wakes_one_of_200_waiters(harness: &Shared) {
    const HAND_OFFS: usize = 20;
    let key = key("k");
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(Client::new(harness, &format!("client {number}")).await);
    }
    if !hands_on(&clients[0]) {
        return;
    }
    let mut holder = clients[0].take(&key).await;
    let mut waiters: Vec<Asker> = Vec::new();
    for number in 0..200 {
        waiters.push(clients[number % 4].line_up(&key).await);
    }
    for _ in 0..HAND_OFFS {
        holder.give_back().await;
        let woken = {
            let all = waiters.iter_mut().map(|w| w.told().boxed());
            select_all(all).await.1
        };
        // One request collects it: with the release that makes two, however many wait.
        holder = waiters.swap_remove(woken);
        holder.granted().await;
    }
    let mut disturbed = 0;
    for waiter in &mut waiters {
        while waiter.wakes.next().now_or_never().is_some() {
            disturbed += 1;
        }
    }
    assert_eq!(disturbed, 0, "waiters woken whose turn it was not");
}

pub(super) async fn r29_a_view_listens_to_thousands_of_keys_and_hears_of_each(harness: &Shared) {
    const KEYS: usize = 5000;
    const CONTENDED: usize = 10;
    let releaser = Client::new(harness, "releaser").await;
    let listener = Client::new(harness, "listener").await;
    let mut waiters: Vec<_> = (0..KEYS)
        .map(|number| listener.waiter(&key(&format!("k{number}"))))
        .collect();
    let mut holders = Vec::new();
    for waiter in waiters.iter().step_by(KEYS / CONTENDED) {
        holders.push(releaser.take(waiter.key()).await);
        waiter.held().await;
    }
    join_all(holders.iter().map(Asker::give_back)).await;
    let tells = hands_on(&listener);
    let contended = waiters.iter_mut().step_by(KEYS / CONTENDED);
    soon(
        "word of ten keys",
        join_all(contended.map(async |waiter| {
            if tells {
                waiter.told().await;
            }
            waiter.served().await
        })),
    )
    .await;
}

pub(super) async fn r29_leaving_one_key_does_not_deafen_the_others(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let mut stays = client.beside("stays").line_up(&key).await;
    let leaves = client.beside("leaves").line_up(&key).await;
    leaves.cancel().await;
    drop(leaves);
    holder.give_back().await;
    if hands_on(&client) {
        stays.told().await;
    }
    stays.served().await;
}

pub(super) async fn a_hand_off_is_as_fast_as_declared(harness: &Shared) {
    let key = key("k");
    let releaser = Client::new(harness, "releaser").await;
    let client = Client::new(harness, "waiter").await;
    let clock = SystemClock;
    let declared = match client.store.promises().hand_off {
        // A push has no figure of its own; it may not be slower than a busy machine explains.
        HandOff::Pushed => Duration::from_millis(250),
        HandOff::Noticed(within) | HandOff::AskAgain(within) => within,
        other => panic!("the suite does not know {other:?}"),
    };
    // Half as much again: the store may not be idle. The best of some, because the machine may be
    // busy, and of many if it is very busy.
    let allowed = declared * 3 / 2 + Duration::from_millis(50);
    let mut best = PATIENCE;
    for _ in 0..100 {
        let holder = releaser.take(&key).await;
        let mut waiter = client.line_up(&key).await;
        holder.give_back().await;
        let began = clock.now();
        turn(&mut waiter, &key, &releaser).await;
        best = best.min(clock.now().since(began));
        waiter.give_back().await;
        if best <= allowed {
            break;
        }
    }
    assert!(best <= allowed, "{best:?}, but {declared:?} was declared");
}

/// Waits until `waiter` knows of its turn in the way that its store declares.
async fn turn(waiter: &mut Asker, key: &Key, anyone: &Client) {
    if hands_on(anyone) {
        let told = waiter.told().await;
        assert_eq!(anyone.fence_of(key).await, Some(told.fence));
        assert!(waiter.still_holds().await.expires_at >= told.now + LONG);
    } else {
        waiter.served().await;
    }
}
