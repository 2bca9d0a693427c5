//! Readers and writers: who goes with whom, who waits for whom, and what is shown of them.

use std::time::Duration;

use tenure_core::{
    Acquisition, Cancellation, HandOff, LeaseRequest, ListQuery, Occupant, Release, SharedLeases,
    Sharing, StoreErrorKind,
};

use super::actor::{Asker, Client, LONG, key, pass, soon, ttl};
use super::cases::Shared;
use super::company::{READ, expect_growing, permit, two};

/// How long a place lasts whose end a case waits for.
const SHORT: Duration = Duration::from_secs(3);

pub(super) async fn r69_shared_leases_that_are_not_promised_are_refused(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let is_kept = client.store.promises().shared == SharedLeases::Kept;
    for sharing in [READ, permit(3)] {
        for asker in [
            client.sharer(&key, sharing),
            client.sharing_waiter(&key, sharing),
        ] {
            match client.store.acquire(&asker.request).await {
                Ok(Acquisition::Granted(_)) if is_kept => asker.give_back().await,
                Err(error) if !is_kept => {
                    assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error:?}");
                    assert!(!error.is_retryable() && !error.outcome_is_unknown());
                    let store = client.store.promises().store;
                    assert!(error.to_string().contains(store), "{error}");
                }
                other => panic!("{sharing:?}: {other:?}"),
            }
        }
    }
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r68_readers_hold_a_key_together_each_with_its_own_fence(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let mut fences = Vec::new();
    let mut readers = Vec::new();
    for number in 0..6 {
        let reader = [&one, &two][number % 2].sharer(&key, READ);
        fences.push(reader.granted().await.fence);
        readers.push(reader);
    }
    expect_growing(&one, &fences);
    two.expect_sharers(&key, 6).await;
    for (reader, fence) in readers.iter().zip(&fences) {
        assert_eq!(reader.still_holds().await.fence, *fence);
    }
    for (number, reader) in readers.iter().enumerate() {
        let expected = match number {
            5 => Release::Freed,
            _ => Release::OthersHold,
        };
        assert_eq!(reader.release().await, expected, "reader {number}");
        assert_eq!(reader.release().await, Release::NotHeld);
        assert!(reader.has_lost().await.is_none() || number < 5);
        one.expect_sharers(&key, 5 - number).await;
    }
    assert_eq!(harness.raw_records(&key).await, 0);
    let next = one.asker(&key).granted().await;
    expect_growing(&one, &[fences[5], next.fence]);
}

pub(super) async fn r68_a_holder_excludes_readers_and_readers_exclude_a_holder(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for sharing in [READ, permit(5)] {
        let writer = one.take(&key).await;
        let refused = two.sharer(&key, sharing).held().await;
        match refused.by {
            Occupant::Holder { holder, .. } => assert_eq!(holder, one.holder),
            other => panic!("{other:?}"),
        }
        assert_eq!(refused.place, None);
        writer.give_back().await;
        let sharers = [one.join(&key, sharing).await, two.join(&key, sharing).await];
        let refused = two.asker(&key).held().await;
        match refused.by {
            Occupant::Shared { holders, at_most } => {
                assert_eq!((holders, at_most), (2, sharing.at_most()));
            }
            other => panic!("{other:?}"),
        }
        assert!(refused.remaining.is_some_and(|left| left > LONG / 2));
        for sharer in sharers {
            two.asker(&key).held().await;
            sharer.give_back().await;
        }
        two.take(&key).await.give_back().await;
    }
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r68_reads_and_permits_of_one_key_exclude_each_other(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for (first, second) in [(READ, permit(9)), (permit(9), READ)] {
        let there = one.join(&key, first).await;
        two.sharer(&key, second).held().await;
        let mut waiter = two.line_up_for(&key, second).await;
        assert_eq!(there.release().await, Release::HandedOn);
        waiter.served().await;
        one.sharer(&key, first).held().await;
        waiter.give_back().await;
    }
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r68_a_reader_does_not_pass_a_writer_that_waits(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let first = one.join(&key, READ).await;
    let mut writer = two.line_up(&key).await;
    // A stream of readers, those that wait and those that do not.
    let mut late = Vec::new();
    for number in 0..4 {
        one.sharer(&key, READ).held().await;
        let reader = one.sharing_waiter(&key, READ);
        assert_eq!(reader.place().await.position, number + 2);
        late.push(reader);
    }
    assert_eq!(first.release().await, Release::HandedOn);
    writer.served().await;
    for reader in &late {
        reader.held().await;
    }
    assert_eq!(writer.release().await, Release::HandedOn);
    for reader in &mut late {
        reader.served().await;
    }
    one.expect_sharers(&key, 4).await;
}

pub(super) async fn r68_readers_that_stand_together_are_granted_together(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for round in 0..5 {
        let writer = one.take(&key).await;
        let mut readers = Vec::new();
        for number in 0..5 {
            readers.push([&one, &two][number % 2].line_up_for(&key, READ).await);
        }
        let mut next = two.line_up(&key).await;
        let behind = one.line_up_for(&key, READ).await;
        assert_eq!(writer.release().await, Release::HandedOn, "round {round}");
        // Nobody gives anything back meanwhile.
        for reader in &mut readers {
            reader.served().await;
        }
        one.expect_sharers(&key, 5).await;
        next.held().await;
        behind.held().await;
        for reader in readers {
            reader.give_back().await;
        }
        next.served().await;
        behind.held().await;
        next.give_back().await;
        behind.cancel().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r20_r68_readers_that_wait_are_told_of_their_turn(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    if one.store.promises().hand_off != HandOff::Pushed {
        return;
    }
    let key = key("k");
    let first = one.join(&key, permit(1)).await;
    let mut second = two.line_up_for(&key, permit(1)).await;
    let mut writer = one.line_up(&key).await;
    assert_eq!(first.release().await, Release::HandedOn);
    second.told().await;
    second.still_holds().await;
    assert_eq!(second.release().await, Release::HandedOn);
    let grant = writer.told().await;
    assert_eq!(writer.still_holds().await.fence, grant.fence);
}

pub(super) async fn r68_readers_join_when_the_writer_before_them_gives_up(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let first = one.join(&key, READ).await;
    let writer = two.line_up(&key).await;
    let mut behind = one.line_up_for(&key, READ).await;
    assert_eq!(writer.cancel().await, Cancellation::LeftQueue);
    // In the very step, so that nobody needs to ask.
    two.expect_sharers(&key, 2).await;
    behind.served().await;
    // The same of one whose place has ended.
    let writer = two.waiter_for(&key, SHORT);
    writer.held().await;
    let mut behind = one.line_up_for(&key, READ).await;
    pass(harness, SHORT + Duration::from_millis(100)).await;
    behind.served().await;
    two.expect_sharers(&key, 3).await;
    first.give_back().await;
}

pub(super) async fn a_view_and_a_listing_show_all_who_share_a_key(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let name = key("k");
    let mut expected = Vec::new();
    let mut held: Vec<Asker> = Vec::new();
    for number in 0..5 {
        let who = [&one, &two][number % 2].beside(&format!("reader {number}"));
        let reader = who.sharer(&name, READ);
        expected.push((who.holder.clone(), reader.granted().await.fence));
        held.push(reader);
    }
    let writer = two.beside("writer").line_up(&name).await;
    let waiter = one.beside("behind").line_up_for(&name, READ).await;
    let exclusive = one.take(&key("other")).await;
    let view = two.look(&name).await.expect("held");
    assert_eq!(view.fence(), None);
    let shown = view.sharers.iter();
    let shown: Vec<_> = shown.map(|one| (one.holder.clone(), one.fence)).collect();
    assert_eq!(shown, expected);
    assert!(view.sharers.is_sorted_by_key(|sharer| sharer.since));
    for sharer in &view.sharers {
        assert!(sharer.since <= view.now && sharer.expires_at > view.now);
        assert!(Some(sharer.expires_at) <= view.expires_at);
        assert_ne!(Some(&sharer.mark), view.mark.as_ref());
    }
    let kinds: Vec<_> = view.queue.iter().map(|waiter| waiter.sharing).collect();
    assert_eq!(kinds, [Sharing::Exclusive, READ]);
    let page = one.store.list(&ListQuery::prefix("")).await.unwrap();
    let keys: Vec<_> = page.leases.iter().map(|view| view.key.clone()).collect();
    assert_eq!(keys, [name.clone(), key("other")]);
    let listed = &page.leases[0];
    assert_eq!(listed.occupant, view.occupant);
    assert_eq!(listed.mark, view.mark);
    assert_eq!(listed.queue_len, 2);
    assert!(page.leases[1].sharers.is_empty() && page.leases[1].fence().is_some());
    for asker in held.iter().chain([&writer, &waiter, &exclusive]) {
        asker.cancel().await;
    }
    assert_eq!(harness.raw_records(&name).await, 0);
}

pub(super) async fn r31_a_shared_request_keeps_its_one_place(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let holder = one.take(&key).await;
    let waiters = [
        two.line_up_for(&key, READ).await,
        two.line_up(&key).await,
        one.line_up_for(&key, permit(2)).await,
    ];
    for _ in 0..3 {
        for (waiter, position) in waiters.iter().zip(1..) {
            let place = waiter.place().await;
            assert_eq!((place.position, place.length), (position, 3));
        }
    }
    // One whose place has ended starts again at the end.
    let request = LeaseRequest::new(key.clone(), one.holder.clone(), ttl(LONG));
    let late = one.asker_with(request.in_line(SHORT).shared(READ));
    assert_eq!(late.place().await.position, 4);
    pass(harness, SHORT + Duration::from_millis(100)).await;
    let after = two.sharing_waiter(&key, READ);
    // A store may count a place that has ended as long as it does not stand first.
    let before = after.place().await.position;
    assert!((4..=5).contains(&before), "{before}");
    assert!(late.place().await.position >= before);
    assert_eq!(late.place().await.length, 5);
    for waiter in waiters.iter().chain([&after]) {
        assert_eq!(waiter.cancel().await, Cancellation::LeftQueue);
    }
    late.cancel().await;
    holder.give_back().await;
    soon("an empty key", async {
        while harness.raw_records(&key).await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
