//! One of several holders by itself: its ttl, its renewals, its fence, and what its end leaves to
//! the others.

use std::time::Duration;

use tenure_core::{Cancellation, Occupant, Release, Renewal};

use super::actor::{Client, LONG, at_once, key, pass};
use super::cases::Shared;
use super::company::{READ, expect_growing, permit, two};

/// How long a lease lasts whose end a case waits for.
const SHORT: Duration = Duration::from_secs(3);

pub(super) async fn r67_a_reader_that_crashed_is_gone_although_others_renew(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let short = one.store.promises().min_ttl.max(SHORT);
    let crashed = one.sharer_for(&key, READ, short);
    crashed.granted_at_last().await;
    let alive = two.join(&key, READ).await;
    pass(harness, short + Duration::from_millis(100)).await;
    alive.still_holds().await;
    let left = two.sharers(&key).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].holder, two.holder);
    two.expect_sharers(&key, 1).await;
    crashed.has_lost().await;
    assert_eq!(crashed.release().await, Release::NotHeld);
    // Only the living one keeps a writer out.
    let mut writer = one.line_up(&key).await;
    assert_eq!(alive.release().await, Release::HandedOn);
    writer.served().await;
    writer.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r67_a_writer_comes_when_all_readers_have_crashed(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let short = one.store.promises().min_ttl.max(SHORT);
    for client in [&one, &two] {
        client.sharer_for(&key, READ, short).granted_at_last().await;
    }
    let mut writer = two.line_up(&key).await;
    pass(harness, short + Duration::from_millis(100)).await;
    writer.served().await;
    writer.give_back().await;
    // Nobody waited, and nobody looked.
    one.sharer_for(&key, READ, short).granted_at_last().await;
    pass(harness, short + Duration::from_millis(100)).await;
    two.take(&key).await.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
    // One that stays keeps the key, also past the end of one that does not.
    let stays = one.join(&key, READ).await;
    one.sharer_for(&key, READ, short).granted_at_last().await;
    pass(harness, short + Duration::from_millis(100)).await;
    two.asker(&key).held().await;
    assert_eq!(stays.release().await, Release::Freed);
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r67_a_lapse_of_the_whole_key_ends_all_that_share_it(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let old = [one.join(&key, READ).await, two.join(&key, READ).await];
    harness.lapse(&key).await;
    assert_eq!(one.look(&key).await, None);
    let new = one.join(&key, READ).await;
    one.expect_sharers(&key, 1).await;
    for lost in &old {
        lost.has_lost().await;
        assert_eq!(lost.release().await, Release::NotHeld);
        assert_eq!(lost.cancel().await, Cancellation::Nothing);
    }
    new.still_holds().await;
    new.give_back().await;
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r12_r41_resends_and_renewals_of_one_leave_the_others_alone(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let [a, b] = [one.sharer(&key, READ), two.sharer(&key, READ)];
    let (first, second) = (a.granted().await, b.granted().await);
    for _ in 0..3 {
        assert_eq!(a.granted().await.fence, first.fence);
        assert_eq!(a.through(&two).granted().await.fence, first.fence);
        one.expect_sharers(&key, 2).await;
    }
    let end = |client: &Client| {
        let (client, key, holder) = (client.clone(), key.clone(), one.holder.clone());
        async move {
            let sharers = client.sharers(&key).await;
            let own = sharers.into_iter().find(|sharer| sharer.holder == holder);
            own.expect("one holds it").expires_at
        }
    };
    let before = end(&two).await;
    match a.renew(2 * LONG).await {
        Renewal::Renewed(grant) => assert_eq!(grant.fence, first.fence),
        other => panic!("{other:?}"),
    }
    let longer = end(&two).await;
    assert!(longer >= before + LONG / 2, "{before:?} {longer:?}");
    // Never shorter.
    a.renew(LONG).await;
    a.granted().await;
    let after = end(&two).await;
    assert!(after >= longer, "{longer:?} {after:?}");
    assert_eq!(b.still_holds().await.fence, second.fence);
    // Through another process's view as well.
    assert_eq!(a.through(&two).release().await, Release::OthersHold);
    one.expect_sharers(&key, 1).await;
    assert_eq!(b.through(&one).cancel().await, Cancellation::Released);
    assert_eq!(harness.raw_records(&key).await, 0);
}

pub(super) async fn r35_a_renewal_gives_nobody_a_share(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let stranger = two.sharer(&key, READ);
    assert_eq!(stranger.has_lost().await, None);
    let reader = one.join(&key, READ).await;
    assert!(matches!(
        stranger.has_lost().await,
        Some(Occupant::Shared { holders: 1, .. })
    ));
    let writer = two.line_up(&key).await;
    let waiter = two.line_up_for(&key, READ).await;
    assert!(waiter.has_lost().await.is_some() && writer.has_lost().await.is_some());
    one.expect_sharers(&key, 1).await;
    assert_eq!(waiter.place().await.position, 2);
    reader.give_back().await;
}

pub(super) async fn r13_what_is_left_of_a_reader_that_gives_up_is_passed_on(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for round in 0..30 {
        let holder = one.take(&key).await;
        let quitter = two.line_up_for(&key, READ).await;
        let mut stays = one.line_up_for(&key, READ).await;
        let mut writer = two.line_up(&key).await;
        let (_, cancelled) = at_once(holder.releasing(), quitter.cancelling()).await;
        assert_ne!(cancelled, Cancellation::Nothing, "round {round}");
        stays.served().await;
        one.expect_sharers(&key, 1).await;
        writer.held().await;
        stays.give_back().await;
        writer.served().await;
        writer.give_back().await;
        assert_eq!(harness.raw_records(&key).await, 0, "round {round}");
    }
}

pub(super) async fn r11_r13_a_reader_that_was_dropped_and_cancelled_leaves_nothing(
    harness: &Shared,
) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let stays = one.join(&key, READ).await;
    for round in 0..30 {
        let (request, is_waited_for) = (two.sharing_waiter(&key, READ), round % 2 == 0);
        let writer = is_waited_for.then(|| one.waiter(&key));
        if let Some(writer) = &writer {
            writer.held().await;
        }
        let half = Duration::from_micros(50 * round);
        let _ = tokio::time::timeout(half, two.store.acquire(&request.request)).await;
        request.cancel().await;
        one.expect_sharers(&key, 1).await;
        let queue = one.look(&key).await.expect("held").queue_len;
        assert_eq!(queue, u32::from(is_waited_for), "round {round}");
        if let Some(writer) = &writer {
            writer.cancel().await;
        }
    }
    stays.give_back().await;
}

pub(super) async fn r62_fences_grow_from_readers_to_writers_and_back(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let mut fences = vec![one.asker(&key).granted().await.fence];
    harness.lapse(&key).await;
    for round in 0..4 {
        let mut readers = Vec::new();
        for client in [&one, &two, &one] {
            let reader = client.sharer(&key, [READ, permit(3)][round % 2]);
            fences.push(reader.granted().await.fence);
            readers.push(reader);
        }
        let mut writer = two.line_up(&key).await;
        let mut behind = one.line_up_for(&key, READ).await;
        for reader in readers {
            reader.give_back().await;
        }
        fences.push(writer.served().await.fence);
        writer.give_back().await;
        fences.push(behind.served().await.fence);
        behind.give_back().await;
    }
    expect_growing(&one, &fences);
}
