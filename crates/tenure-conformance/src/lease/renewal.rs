//! Keeping a lease longer.

use std::time::Duration;

use tenure_core::{
    Clock as _, Fence, Occupant, Release, RenewRequest, Renewal, SystemClock, Token, Ttl,
};

use super::actor::{Asker, Client, LONG, key, pass, ttl};
use super::cases::Shared;

pub(super) async fn r35_a_renewal_never_creates_a_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    client.asker(&key).has_lost().await;
    assert_eq!(harness.raw_records(&key).await, 0);

    let lease = client.take(&key).await;
    lease.give_back().await;
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(harness.raw_records(&key).await, 0);

    let lease = client.take(&key).await;
    harness.lapse(&key).await;
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(client.look(&key).await, None);
    client.take(&key).await;
}

pub(super) async fn r35_a_lost_renewal_says_who_has_the_key_instead(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    harness.lapse(&key).await;
    let other = Client::new(harness, "other").await;
    let next = other.asker(&key);
    let grant = next.granted().await;
    match lease.has_lost().await {
        Some(Occupant::Holder { holder, fence, .. }) => {
            assert_eq!((holder, fence), (other.holder.clone(), grant.fence));
        }
        by => panic!("{by:?}"),
    }
    next.still_holds().await;
}

pub(super) async fn r35_a_renewal_gives_a_waiter_neither_a_lease_nor_a_better_place(
    harness: &Shared,
) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let holder = client.take(&key).await;
    let first = client.beside("first").line_up(&key).await;
    let second = client.beside("second").line_up(&key).await;
    second.has_lost().await;
    assert_eq!(first.place().await.length, 2);
    holder.still_holds().await;
}

pub(super) async fn r39_one_lost_lease_does_not_spoil_a_batch(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let (a, lost, b, taken) = (key("a"), key("lost"), key("b"), key("taken"));
    let first = client.asker(&a);
    let first_grant = first.granted().await;
    let lapsed = client.take(&lost).await;
    harness.lapse(&lost).await;
    let second = client.asker(&b);
    let second_grant = second.granted().await;
    let other = client.beside("other").take(&taken).await;
    let waiter = client.line_up(&taken).await;
    let batch = [
        first.renewal(2 * LONG),
        lapsed.renewal(2 * LONG),
        RenewRequest::new(key("never"), Token::random(), ttl(LONG)),
        waiter.renewal(2 * LONG),
        second.renewal(2 * LONG),
        RenewRequest::new(a.clone(), Token::random(), ttl(LONG)),
    ];
    let answers = client.store.renew(&batch).await.unwrap();
    let fences: Vec<Option<Fence>> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Renewal::Renewed(grant)) => Some(grant.fence),
            Ok(Renewal::Lost { .. }) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let (a, b) = (Some(first_grant.fence), Some(second_grant.fence));
    assert_eq!(fences, [a, None, None, None, b, None]);
    other.still_holds().await;
}

pub(super) async fn r39_a_request_that_is_refused_does_not_spoil_a_batch(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let least = client.store.promises().min_ttl;
    let (good, bad) = (
        client.take(&key("good")).await,
        client.take(&key("bad")).await,
    );
    let refused = if least > Ttl::MIN {
        bad.renewal(least.saturating_sub(Duration::from_millis(1)))
    } else {
        // A store that keeps every ttl has nothing to refuse; a lost lease stands in for it.
        bad.give_back().await;
        bad.renewal(LONG)
    };
    let batch = [refused.clone(), good.renewal(LONG), refused];
    let answers = client.store.renew(&batch).await.unwrap();
    assert_eq!(answers.len(), 3);
    assert!(matches!(answers[1], Ok(Renewal::Renewed(_))), "{answers:?}");
    for refused in [&answers[0], &answers[2]] {
        assert!(!matches!(refused, Ok(Renewal::Renewed(_))), "{refused:?}");
    }
}

pub(super) async fn r39_batches_of_every_size_are_answered_in_order(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    assert_eq!(client.store.renew(&[]).await.unwrap().len(), 0);
    let mut held: Vec<(Asker, Fence)> = Vec::new();
    for number in 0..150 {
        let lease = client.asker(&key(&format!("k{number}")));
        let fence = lease.granted().await.fence;
        held.push((lease, fence));
    }
    // Neither the order of the keys nor that of the grants, and one of them twice.
    held.reverse();
    held.rotate_left(77);
    let mut batch: Vec<_> = held.iter().map(|(lease, _)| lease.renewal(LONG)).collect();
    batch.push(batch[3].clone());
    let mut expected: Vec<_> = held.iter().map(|(_, fence)| *fence).collect();
    expected.push(expected[3]);
    let answers = client.store.renew(&batch).await.unwrap();
    let fences: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(Renewal::Renewed(grant)) => grant.fence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fences, expected);
}

pub(super) async fn r41_a_renewal_never_shortens_a_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let asked = SystemClock.now();
    let grant = lease.granted().await;
    let short = client.store.promises().min_ttl.max(Duration::from_secs(1));
    match lease.renew(short).await {
        Renewal::Renewed(renewed) => {
            assert!(renewed.expires_at + Client::vagueness(asked) >= grant.expires_at);
        }
        other => panic!("{other:?}"),
    }
    pass(harness, short + Duration::from_millis(500)).await;
    lease.still_holds().await;
    client.beside("other").asker(&key).held().await;
}

pub(super) async fn r41_a_renewal_lasts_for_its_ttl_from_now(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    match lease.renew(3 * LONG).await {
        Renewal::Renewed(grant) => {
            let kept = grant.expires_at.since(grant.now);
            assert!(kept >= 3 * LONG && kept <= 3 * LONG + Duration::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
}

pub(super) async fn r41_a_lease_lives_as_long_as_it_is_renewed_and_no_longer(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = client.beside("other");
    let short = client.store.promises().min_ttl.max(Duration::from_secs(6));
    let mut lease = client.asker(&key);
    lease.request.ttl = ttl(short);
    lease.granted_at_last().await;
    for _ in 0..4 {
        pass(harness, short / 3).await;
        assert!(matches!(lease.renew(short).await, Renewal::Renewed(_)));
        other.asker(&key).held().await;
    }
    pass(harness, short + Duration::from_millis(500)).await;
    assert_eq!(client.look(&key).await, None);
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(lease.release().await, Release::NotHeld);
    other.take(&key).await;
}

pub(super) async fn r63_a_renewal_changes_neither_the_fence_nor_the_start(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let grant = lease.granted().await;
    let before = client.look(&key).await.unwrap();
    for _ in 0..3 {
        assert_eq!(lease.still_holds().await.fence, grant.fence);
        assert_eq!(lease.granted().await.fence, grant.fence);
    }
    let after = client.look(&key).await.unwrap();
    assert_eq!(after.occupant, before.occupant);
    assert_eq!(after.fence(), Some(grant.fence));
}
