//! What one request for a lease is answered.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_all, try_join_all};
use tenure_core::{
    Acquisition, Clock as _, Grant, Key, LeaseRequest, Occupant, Release, Renewal, StoreErrorKind,
    SystemClock, Ttl,
};

use super::actor::{Asker, Client, LONG, key, soon, ttl};
use super::cases::Shared;

pub(super) async fn r9_one_attempt_is_answered_at_once_and_leaves_no_trace(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let before = harness.raw_records(&key).await;
    for _ in 0..20 {
        let held = client.beside("other").asker(&key).held().await;
        assert_eq!(held.place, None);
    }
    assert_eq!(harness.raw_records(&key).await, before);
    let view = client.look(&key).await.unwrap();
    assert_eq!((view.queue_len, view.queue), (0, vec![]));
    assert_eq!(holder.release().await, Release::Freed);
}

pub(super) async fn r10_of_many_simultaneous_requests_exactly_one_is_granted(harness: &Shared) {
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(Client::new(harness, &format!("client {number}")).await);
    }
    for round in 0..10 {
        let key = key(&format!("k{round}"));
        let mut askers: Vec<_> = (0..32).map(|n| clients[n % 4].asker(&key)).collect();
        let tasks: Vec<_> = askers.iter().map(|a| tokio::spawn(a.asking())).collect();
        let answers = soon("32 answers", try_join_all(tasks)).await.unwrap();
        let is_granted = |answer: &&Acquisition| matches!(answer, Acquisition::Granted(_));
        let granted = answers.iter().filter(is_granted).count();
        if granted == 0 && clients[0].may_tie() {
            // Those who were turned away and ask again as they were told soon have a winner.
            let again = askers.iter_mut().map(|asker| asker.served().boxed());
            soon("a winner", select_all(again)).await;
            let found = join_all(askers.iter().map(Asker::ask)).await;
            assert_eq!(found.iter().filter(is_granted).count(), 1, "round {round}");
        } else {
            assert_eq!(granted, 1, "round {round}: {answers:?}");
        }
    }
}

pub(super) async fn r12_a_resend_gets_the_same_fence(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let asked = SystemClock.now();
    let grant = lease.granted().await;
    let elsewhere = lease.through(&Client::new(harness, "client").await);
    for asker in [&lease, &elsewhere, &lease] {
        let again = asker.granted().await;
        assert_eq!(again.fence, grant.fence);
        assert!(again.expires_at + Client::vagueness(asked) >= grant.expires_at);
    }
    lease.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r12_simultaneous_resends_get_one_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let elsewhere = lease.through(&Client::new(harness, "client").await);
    let both = [&lease, &elsewhere].repeat(4);
    let tasks = both.iter().map(|asker| tokio::spawn(asker.asking()));
    let answers = soon("8 answers", try_join_all(tasks)).await.unwrap();
    let fences: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Acquisition::Granted(grant) => grant.fence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(fences.iter().all(|f| *f == fences[0]), "{fences:?}");
}

pub(super) async fn r12_a_waiter_that_asks_again_keeps_its_one_place(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let mut waiter = client.beside("waiter").line_up(&key).await;
    let records = harness.raw_records(&key).await;
    let elsewhere = waiter.through(&Client::new(harness, "waiter").await);
    for asker in [&waiter, &elsewhere, &waiter] {
        let place = asker.place().await;
        assert_eq!((place.position, place.length), (1, 1));
    }
    assert_eq!(harness.raw_records(&key).await, records);
    holder.give_back().await;
    waiter.served().await;
    assert_eq!(waiter.release().await, Release::Freed);
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r12_a_resend_keeps_the_lease_for_its_ttl_and_never_shortens_it(
    harness: &Shared,
) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let mut lease = client.asker(&key);
    let first = lease.granted().await;
    lease.request.ttl = ttl(2 * LONG);
    let asked = SystemClock.now();
    let longer = lease.granted().await;
    assert!(longer.expires_at >= longer.now + 2 * LONG);
    // Half as long, not the least: of a short ttl a busy server may use up more than it leaves.
    lease.request.ttl = ttl(LONG);
    let shorter = lease.granted().await;
    assert!(shorter.expires_at + Client::vagueness(asked) >= longer.expires_at);
    assert_eq!(shorter.fence, first.fence);
}

pub(super) async fn r17_no_ttl_is_shortened_by_rounding(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let minimum = client.store.promises().min_ttl;
    let ms = Duration::from_millis;
    let longer = [999, 1000, 1001, 1999, 86_399_999, 86_400_000].map(ms);
    let ttls = [minimum, minimum + ms(1)].into_iter().chain(longer);
    for (number, length) in ttls.filter(|ttl| *ttl >= minimum).enumerate() {
        let key = key(&format!("k{number}"));
        let request = LeaseRequest::new(key.clone(), client.holder.clone(), ttl(length));
        let lease = client.asker_with(request);
        let grant = lease.granted_at_last().await;
        assert_not_shortened(length, &grant);
        // A renewal converts it again: give back, take for the least, renew for the whole. The
        // least may be over by now.
        lease.release().await;
        assert_not_shortened(length, &renewed_from_the_least(&client, &key, length).await);
    }
}

/// Takes the least and renews it for `length`. On a busy machine the least may be over before the
/// renewal arrives; then that says nothing about rounding, and it is taken again.
async fn renewed_from_the_least(client: &Client, key: &Key, length: Duration) -> Grant {
    let minimum = client.store.promises().min_ttl;
    for _ in 0..100 {
        let mut short = client.asker(key);
        short.request.ttl = ttl(minimum);
        let asked = SystemClock.now();
        short.granted_at_last().await;
        match short.renew(length).await {
            Renewal::Renewed(grant) => return grant,
            other => assert!(SystemClock.now().since(asked) >= minimum, "{other:?}"),
        }
    }
    panic!("100 leases of {minimum:?} lapsed before their renewals arrived");
}

fn assert_not_shortened(asked: Duration, grant: &Grant) {
    let kept = grant.expires_at.since(grant.now);
    // Stores that count whole seconds round up.
    let most = asked + Duration::from_secs(1);
    assert!(kept >= asked && kept <= most, "{asked:?} became {kept:?}");
}

pub(super) async fn e10_r17_a_ttl_under_the_declared_minimum_is_refused(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let least = client.store.promises().min_ttl;
    if least <= Ttl::MIN {
        // No request can ask for less: its ttl could not be made.
        assert!(Ttl::new(least.saturating_sub(Duration::from_millis(1))).is_err());
        return;
    }
    let short = ttl(least.saturating_sub(Duration::from_millis(1)));
    let request = LeaseRequest::new(key.clone(), client.holder.clone(), short);
    let error = client.store.acquire(&request).await.unwrap_err();
    let refusals = [StoreErrorKind::Unsupported, StoreErrorKind::InvalidRequest];
    assert!(refusals.contains(&error.kind()), "{error:?}");
    assert!(!error.is_retryable() && !error.outcome_is_unknown());
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r19_a_refusal_says_who_holds_the_key_and_for_how_long(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "billing").await;
    let grant = owner.asker(&key).granted().await;
    let held = Client::new(harness, "other").await.asker(&key).held().await;
    match held.by {
        Occupant::Holder {
            holder,
            fence,
            since,
        } => {
            assert_eq!(holder, owner.holder);
            assert_eq!(fence, grant.fence);
            assert!(since <= held.now && since >= grant.now - Duration::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
    let remaining = held.remaining.expect("the lease ends by itself");
    assert!(remaining <= LONG + Duration::from_secs(1), "{remaining:?}");
    assert!(remaining >= LONG / 2, "{remaining:?}");
    assert!(held.ask_again_after > Duration::ZERO);
    assert!(held.now >= grant.now);
}
