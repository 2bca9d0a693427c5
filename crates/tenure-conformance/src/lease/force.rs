//! Taking a lease from its holder, guarded by what the operator saw.

use std::sync::Arc;
use std::task::{Wake, Waker};

use tenure_core::{ForceRequest, Forced, HandOff, Key, Mark, Occupant, Order, Release};
use tokio::sync::Notify;

use super::actor::{Client, LONG, at_once, key, soon};
use super::cases::Shared;

async fn mark(operator: &Client, key: &Key) -> Mark {
    let view = operator.look(key).await.expect("the key is held");
    view.mark.expect("a held key has a mark")
}

async fn force(operator: &Client, key: &Key, mark: Mark) -> Forced {
    let request = ForceRequest::new(key.clone(), mark, "operator").because("the case says so");
    operator.store.force(&request).await.unwrap()
}

pub(super) async fn r6_force_ends_the_lease_of_the_holder_that_was_seen(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "owner").await;
    let operator = Client::new(harness, "operator").await;
    let lease = owner.asker(&key);
    let grant = lease.granted().await;
    let seen = mark(&operator, &key).await;
    match force(&operator, &key, seen).await {
        Forced::Done {
            from: Occupant::Holder { holder, fence, .. },
        } => assert_eq!((holder, fence), (owner.holder.clone(), grant.fence)),
        other => panic!("{other:?}"),
    }
    assert_eq!(harness.raw_records(&key).await, 0);
    assert_eq!(lease.has_lost().await, None);
    assert_eq!(lease.release().await, Release::NotHeld);
    let next = operator.asker(&key).granted().await;
    assert!(operator.is_after(next.fence, grant.fence));
}

pub(super) async fn r6_force_with_a_stale_mark_changes_nothing(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "owner").await;
    let operator = Client::new(harness, "operator").await;
    let old = owner.take(&key).await;
    let stale = mark(&operator, &key).await;
    old.give_back().await;
    // Even the same process instance is another holding, once it has acquired the key again.
    let new = owner.asker(&key);
    let grant = new.granted().await;
    assert_ne!(mark(&operator, &key).await, stale);
    match force(&operator, &key, stale).await {
        Forced::Changed { current } => {
            assert_eq!(current.fence(), Some(grant.fence));
            assert_eq!(current.key, key);
            assert_eq!(current.mark, Some(mark(&operator, &key).await));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(new.still_holds().await.fence, grant.fence);
    assert_eq!(harness.raw_holder(&key).await, Some(owner.holder.id));
}

pub(super) async fn r6_force_of_a_free_key_is_answered_not_held(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    let seen = mark(&client, &key).await;
    lease.give_back().await;
    assert_eq!(force(&client, &key, seen).await, Forced::NotHeld);
    let nonsense = Mark::new("this is not a mark of any store");
    assert_eq!(force(&client, &key, nonsense).await, Forced::NotHeld);
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r6_force_with_a_mark_that_no_store_wrote_changes_nothing(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    for text in [
        "",
        "0",
        "-1",
        "%",
        "*",
        "1' OR '1'='1",
        "18446744073709551616",
    ] {
        let answer = force(&client, &key, Mark::new(text)).await;
        assert!(
            matches!(answer, Forced::Changed { .. }),
            "{text}: {answer:?}"
        );
    }
    lease.still_holds().await;
}

pub(super) async fn r6_r62_force_hands_the_key_to_the_first_waiter(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "owner").await;
    let operator = Client::new(harness, "operator").await;
    let lease = owner.asker(&key);
    let grant = lease.granted().await;
    let mut waiter = operator.beside("waiter").line_up(&key).await;
    let behind = operator.beside("behind").line_up(&key).await;
    let seen = mark(&operator, &key).await;
    let answer = force(&operator, &key, seen.clone()).await;
    assert!(matches!(answer, Forced::Done { .. }), "{answer:?}");
    // The queue stays: nobody overtakes, and the one behind is the next in turn.
    if operator.store.promises().order == Order::Fifo {
        operator.asker(&key).held().await;
        assert_eq!(behind.place().await.position, 1);
    }
    behind.cancel().await;
    let next = waiter.served().await;
    assert!(operator.is_after(next.fence, grant.fence));
    assert_eq!(lease.release().await, Release::NotHeld);
    // The same order again, sent twice by an impatient operator, does not hit the next holder.
    let again = force(&operator, &key, seen).await;
    assert!(matches!(again, Forced::Changed { .. }), "{again:?}");
    assert_eq!(waiter.still_holds().await.fence, next.fence);
}

/// How a holder is tapped that listens at rest.
#[derive(Debug, Default)]
struct Tap(Notify);

impl Wake for Tap {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

pub(super) async fn r6_force_tells_the_holder_at_once(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "owner").await;
    let operator = Client::new(harness, "operator").await;
    // One that waits and one that does not: both learn that the key is not theirs any more.
    for is_waited_for in [false, true] {
        let mut lease = owner.take(&key).await;
        let tap = Arc::new(Tap::default());
        lease.wakes.rest(Waker::from(tap.clone()));
        let waiter = operator.beside("waiter").waiter(&key);
        if is_waited_for {
            waiter.held().await;
        }
        let seen = mark(&operator, &key).await;
        let answer = force(&operator, &key, seen).await;
        assert!(matches!(answer, Forced::Done { .. }), "{answer:?}");
        if owner.store.promises().hand_off == HandOff::Pushed {
            soon("word of the loss", tap.0.notified()).await;
        }
        let by = lease.has_lost().await;
        assert!(is_waited_for || by.is_none(), "{by:?}");
        waiter.cancel().await;
    }
}

pub(super) async fn r6_a_mark_outlives_renewals_and_resends(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.take(&key).await;
    let seen = mark(&client, &key).await;
    lease.renew(2 * LONG).await;
    lease.granted().await;
    assert_eq!(mark(&client, &key).await, seen);
    let answer = force(&client, &key, seen).await;
    assert!(matches!(answer, Forced::Done { .. }), "{answer:?}");
}

pub(super) async fn r6_of_two_orders_at_once_one_hits(harness: &Shared) {
    let key = key("k");
    let owner = Client::new(harness, "owner").await;
    let others = [
        Client::new(harness, "one").await,
        Client::new(harness, "two").await,
    ];
    for round in 0..50 {
        owner.take(&key).await;
        let mut first = owner.beside("first").line_up(&key).await;
        let second = owner.beside("second").line_up(&key).await;
        let seen = mark(&owner, &key).await;
        let [one, two] = others.each_ref().map(|other| {
            let store = other.store.clone();
            let request = ForceRequest::new(key.clone(), seen.clone(), "operator");
            async move { store.force(&request).await.unwrap() }
        });
        let (one, two) = at_once(one, two).await;
        let done = |answer: &&Forced| matches!(answer, Forced::Done { .. });
        let hits = [&one, &two].into_iter().filter(done).count();
        let is_tie = hits == 0 && owner.may_tie();
        assert!(hits == 1 || is_tie, "round {round}: {one:?}, {two:?}");
        assert_ne!(harness.raw_holder(&key).await, Some(owner.holder.id));
        if owner.store.promises().order == Order::Fifo {
            first.served().await;
            second.held().await;
        }
        second.cancel().await;
        first.cancel().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}
