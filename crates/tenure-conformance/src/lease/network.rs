//! Connections that are cut: what was granted stays, and every call works again.
//!
//! A call that meets the cut may fail, with an error that says that it may be tried again. Anything
//! else is a fault: a refusal, a wrong answer, a call that never ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join;
use tenure_core::{Acquisition, Clock as _, Grant, Key, Release, Renewal, SystemClock, Token};
use tokio::task::JoinSet;

use super::actor::{Asker, Client, LONG, insist, key, soon};
use super::cases::Shared;
use super::history::{LeaseHistory, Record, Step};

/// How often connections are cut at random while nobody gets anywhere.
const CUTS: usize = 5;

async fn insist_on_turn(waiter: &mut Asker) -> Grant {
    soon("a waiter's turn after a cut connection", async {
        loop {
            match insist(|| waiter.store.acquire(&waiter.request)).await {
                Acquisition::Granted(grant) => return grant,
                Acquisition::Held(_) => {
                    let pause = Duration::from_millis(20);
                    let _ = tokio::time::timeout(pause, waiter.wakes.next()).await;
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

async fn insist_on_release(lease: &Asker) -> Release {
    insist(|| lease.store.release(lease.key(), lease.token())).await
}

pub(super) async fn r12_a_resend_over_a_new_connection_gets_the_same_fence(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let grant = lease.granted().await;
    for _ in 0..3 {
        harness.sever().await;
        match insist(|| lease.store.acquire(&lease.request)).await {
            Acquisition::Granted(again) => assert_eq!(again.fence, grant.fence),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(harness.raw_holder(&key).await, Some(client.holder.id));
}

pub(super) async fn r39_leases_survive_a_cut_connection_and_are_renewed(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let leases = [client.take(&key("a")).await, client.take(&key("b")).await];
    harness.sever().await;
    let batch: Vec<_> = leases.iter().map(|lease| lease.renewal(LONG)).collect();
    let answers = insist(|| client.store.renew(&batch)).await;
    for answer in answers {
        assert!(matches!(answer, Ok(Renewal::Renewed(_))), "{answer:?}");
    }
}

pub(super) async fn r4_a_release_repeated_after_a_cut_connection_is_settled(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    for _ in 0..5 {
        let lease = client.take(&key).await;
        // The cut falls before, into or after the release, whose reply may be lost.
        join(harness.sever(), async {
            let _ = lease.store.release(lease.key(), lease.token()).await;
        })
        .await;
        insist_on_release(&lease).await;
        assert_eq!(insist_on_release(&lease).await, Release::NotHeld);
        let next = other.asker(&key);
        match insist(|| next.store.acquire(&next.request)).await {
            Acquisition::Granted(_) => insist_on_release(&next).await,
            other => panic!("{other:?}"),
        };
    }
}

pub(super) async fn r11_a_cancel_repeated_after_a_cut_connection_leaves_nothing(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    for round in 0..5 {
        let asker = client.waiter(&key);
        join(harness.sever(), async {
            let _ = asker.store.acquire(&asker.request).await;
        })
        .await;
        insist(|| asker.store.cancel(asker.key(), asker.token())).await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r30_a_waiter_gets_its_turn_after_its_connection_was_cut(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let mut holder = client.take(&key).await;
    for round in 0..4 {
        let mut waiter = [&other, &client][round % 2].waiter(&key);
        insist(|| waiter.store.acquire(&waiter.request)).await;
        harness.sever().await;
        insist_on_release(&holder).await;
        insist_on_turn(&mut waiter).await;
        holder = waiter;
    }
}

pub(super) async fn r30_listening_works_again_after_a_cut_connection(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    harness.sever().await;
    let holder = client.asker(&key);
    insist(|| holder.store.acquire(&holder.request)).await;
    let mut waiter = other.waiter(&key);
    insist(|| waiter.store.acquire(&waiter.request)).await;
    insist_on_release(&holder).await;
    insist_on_turn(&mut waiter).await;
}

pub(super) async fn r21_c1_c3_cuts_at_random_never_make_two_holders(harness: &Shared) {
    let key = key("k");
    let fences = harness.store().await.promises().fences;
    let history = Arc::new(Mutex::new(LeaseHistory::of(fences)));
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(Client::new(harness, &format!("client {number}")).await);
    }
    let mut tasks = JoinSet::new();
    for client in clients {
        let (key, history) = (key.clone(), history.clone());
        tasks.spawn(async move {
            for _ in 0..15 {
                hold_once(&client, &key, &history).await;
            }
        });
    }
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let (mut grants, mut cuts) = (0, 0);
    while !tasks.is_empty() {
        tokio::select! {
            ended = tasks.join_next() => ended.unwrap().unwrap(),
            _ = beat.tick() => {
                let by_now = history.lock().unwrap().grants();
                cuts = if by_now > grants { 0 } else { cuts + 1 };
                grants = by_now;
                // On a busy machine a connection may take longer than a beat, and would never live.
                if cuts < CUTS {
                    harness.sever().await;
                }
            }
        }
    }
    assert!(history.lock().unwrap().grants() >= 60);
}

async fn hold_once(client: &Client, key: &Key, history: &Mutex<LeaseHistory>) {
    let note = |step: Step| {
        let at = SystemClock.now();
        let key = key.clone();
        let pushed = history.lock().unwrap().push(Record { at, key, step });
        pushed.unwrap_or_else(|violation| panic!("{violation:?}"));
    };
    let mut waiter = client.waiter(key);
    let token: Token = waiter.token();
    loop {
        note(Step::Asked { token });
        match waiter.store.acquire(&waiter.request).await {
            Ok(Acquisition::Granted(grant)) => {
                let (fence, until) = (grant.fence, None);
                note(Step::Granted {
                    token,
                    fence,
                    until,
                });
                break;
            }
            Ok(_) => {
                let pause = Duration::from_millis(20);
                let _ = tokio::time::timeout(pause, waiter.wakes.next()).await;
            }
            Err(error) if error.is_retryable() => tokio::task::yield_now().await,
            Err(error) => panic!("a cut connection is no reason for {error:?}"),
        }
    }
    note(Step::GaveUp { token });
    insist_on_release(&waiter).await;
}
