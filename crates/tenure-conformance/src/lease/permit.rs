//! Permits: how many hold a key at once, what happens when their number changes, and what force
//! and chance do to those who share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tenure_core::{ForceRequest, Forced, Key, Mark, Occupant, Release};

use super::actor::{Asker, Client, key, pass, soon};
use super::cases::Shared;
use super::company::{READ, permit, two};
use crate::chance;

const SHORT: Duration = Duration::from_secs(3);

pub(super) async fn r69_no_more_than_the_limit_hold_permits(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for most in [1, 2, 5] {
        let mut holders = Vec::new();
        for number in 0..most {
            let client = [&one, &two][usize::try_from(number).unwrap() % 2];
            holders.push(client.join(&key, permit(most)).await);
        }
        let refused = one.sharer(&key, permit(most)).held().await;
        match refused.by {
            Occupant::Shared { holders, at_most } => {
                assert_eq!((holders, at_most), (most, permit(most).at_most()));
            }
            other => panic!("{other:?}"),
        }
        let mut waiters = vec![
            two.line_up_for(&key, permit(most)).await,
            one.line_up_for(&key, permit(most)).await,
        ];
        let freed = holders.remove(0);
        assert_eq!(freed.release().await, Release::HandedOn);
        waiters[0].served().await;
        waiters[1].held().await;
        two.expect_sharers(&key, usize::try_from(most).unwrap())
            .await;
        // The permit that comes free is not for whoever happens to ask.
        two.sharer(&key, permit(most)).held().await;
        let next = waiters.remove(0);
        assert_eq!(next.release().await, Release::HandedOn);
        waiters[0].served().await;
        for holder in holders.iter().chain(&waiters) {
            holder.give_back().await;
        }
        assert_eq!(harness.raw_records(&key).await, 0, "{most}");
    }
}

pub(super) async fn r67_a_permit_of_one_that_crashed_is_free_after_its_ttl(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let short = one.store.promises().min_ttl.max(SHORT);
    let alive = one.join(&key, permit(2)).await;
    let crashed = one.sharer_for(&key, permit(2), short);
    crashed.granted_at_last().await;
    let waiting = two.sharing_waiter(&key, permit(2));
    let held = waiting.held().await;
    // It is told to look when the first of them ends.
    let remaining = held.remaining.expect("leases end by themselves");
    assert!(
        remaining <= short + Duration::from_millis(100),
        "{remaining:?}"
    );
    pass(harness, short + Duration::from_millis(100)).await;
    let mut waiting = waiting;
    waiting.served().await;
    crashed.has_lost().await;
    alive.still_holds().await;
    two.expect_sharers(&key, 2).await;
}

pub(super) async fn r69_a_limit_that_rises_lets_in_whoever_waits(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let mut holders = vec![
        one.join(&key, permit(2)).await,
        two.join(&key, permit(2)).await,
    ];
    let mut waiters = vec![
        one.line_up_for(&key, permit(2)).await,
        two.line_up_for(&key, permit(2)).await,
    ];
    // A newer program asks for four: it stands behind the others, and they are let in.
    let late = one.sharing_waiter(&key, permit(4));
    assert_eq!(late.place().await.position, 1);
    for waiter in &mut waiters {
        waiter.served().await;
    }
    two.expect_sharers(&key, 4).await;
    let behind = two.line_up_for(&key, permit(4)).await;
    behind.held().await;
    holders.append(&mut waiters);
    let mut late = late;
    for holder in holders {
        assert_ne!(holder.release().await, Release::NotHeld);
    }
    late.served().await;
    // One that does not wait may also raise it, if nobody is before it.
    let mut behind = behind;
    behind.served().await;
    for _ in 0..2 {
        one.join(&key, permit(9)).await;
    }
    one.join(&key, permit(5)).await;
    one.sharer(&key, permit(5)).held().await;
    two.expect_sharers(&key, 5).await;
}

pub(super) async fn r69_a_limit_that_falls_throws_nobody_out(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    let mut holders = Vec::new();
    for _ in 0..4 {
        holders.push(one.join(&key, permit(4)).await);
    }
    // One attempt that finds no room leaves the limit as it was.
    let refused = two.sharer(&key, permit(1)).held().await;
    let expected = Occupant::Shared {
        holders: 4,
        at_most: permit(4).at_most(),
    };
    assert_eq!(refused.by, expected);
    assert_eq!(two.look(&key).await.expect("held").occupant, Some(expected));
    let mut next = two.line_up_for(&key, permit(2)).await;
    let view = two.look(&key).await.expect("held");
    assert!(
        matches!(view.occupant, Some(Occupant::Shared { holders: 4, at_most })
            if at_most == permit(2).at_most()),
        "{view:?}"
    );
    for holder in &holders {
        holder.still_holds().await;
    }
    for _ in 0..2 {
        assert_eq!(holders.remove(0).release().await, Release::OthersHold);
        next.held().await;
    }
    assert_eq!(holders.remove(0).release().await, Release::HandedOn);
    next.served().await;
    two.expect_sharers(&key, 2).await;
}

async fn force(operator: &Client, key: &Key, mark: Mark) -> Forced {
    let request = ForceRequest::new(key.clone(), mark, "operator").because("the case says so");
    operator.store.force(&request).await.unwrap()
}

pub(super) async fn r6_force_takes_a_shared_key_from_all_or_from_one(harness: &Shared) {
    let Some([one, two]) = two(harness).await else {
        return;
    };
    let key = key("k");
    for sharing in [READ, permit(3)] {
        let mut holders: Vec<Asker> = Vec::new();
        for client in [&one, &two, &one] {
            holders.push(client.join(&key, sharing).await);
        }
        let whole = two.mark(&key).await;
        let of_second = two.sharers(&key).await[1].mark.clone();
        let forced = force(&one, &key, of_second.clone()).await;
        let from = match forced {
            Forced::Done { from } => from,
            other => panic!("{other:?}"),
        };
        assert!(
            matches!(&from, Occupant::Holder { holder, .. } if *holder == two.holder),
            "{from:?}"
        );
        holders.remove(1).has_lost().await;
        two.expect_sharers(&key, 2).await;
        for holder in &holders {
            holder.still_holds().await;
        }
        let again = force(&one, &key, of_second).await;
        assert!(matches!(again, Forced::Changed { .. }), "{again:?}");
        // A mark of the whole stays what it was while others come and go.
        assert_eq!(two.mark(&key).await, whole);
        let mut writer = two.line_up(&key).await;
        let forced = force(&one, &key, whole.clone()).await;
        let from = match forced {
            Forced::Done { from } => from,
            other => panic!("{other:?}"),
        };
        assert!(
            matches!(from, Occupant::Shared { holders: 2, .. }),
            "{from:?}"
        );
        writer.served().await;
        for holder in holders {
            holder.has_lost().await;
            assert_eq!(holder.release().await, Release::NotHeld);
        }
        let again = force(&one, &key, whole.clone()).await;
        assert!(matches!(again, Forced::Changed { .. }), "{again:?}");
        writer.give_back().await;
        // Shared anew it is another holding.
        let new = one.join(&key, sharing).await;
        assert_ne!(two.mark(&key).await, whole);
        let forced = force(&one, &key, whole).await;
        assert!(matches!(forced, Forced::Changed { .. }), "{forced:?}");
        new.give_back().await;
        assert_eq!(harness.raw_records(&key).await, 0);
    }
}

/// Who is inside, by kind; checked by each who comes in.
#[derive(Debug, Default)]
struct Inside {
    readers: AtomicI64,
    permits: AtomicI64,
    writers: AtomicI64,
}

impl Inside {
    fn count(&self, kind: usize) -> &AtomicI64 {
        [&self.readers, &self.permits, &self.writers][kind]
    }

    fn check(&self) {
        let [readers, permits, writers] =
            [0, 1, 2].map(|kind| self.count(kind).load(Ordering::SeqCst));
        let kinds = [readers, permits, writers]
            .iter()
            .filter(|n| **n > 0)
            .count();
        let is_fine = kinds <= 1 && writers <= 1 && permits <= 3;
        assert!(
            is_fine,
            "{readers} readers, {permits} permits, {writers} writers"
        );
    }
}

pub(super) async fn c1_r67_r68_r69_nobody_is_in_wrong_company_whatever_happens(harness: &Shared) {
    let Some(clients) = two(harness).await else {
        return;
    };
    let key = key("k");
    let inside = Arc::new(Inside::default());
    let mut chance = chance::seeded();
    let mut tasks = Vec::new();
    for number in 0..12 {
        let client = clients[number % 2].beside(&format!("actor {number}"));
        let (key, inside) = (key.clone(), inside.clone());
        let mut chance = chance.fork();
        tasks.push(tokio::spawn(async move {
            for _ in 0..12 {
                let kind = chance.usize(0..3);
                let mut asker = match kind {
                    0 => client.sharing_waiter(&key, READ),
                    1 => client.sharing_waiter(&key, permit(3)),
                    _ => client.waiter(&key),
                };
                if chance.u32(0..5) == 0 {
                    asker.ask().await;
                    asker.cancel().await;
                    continue;
                }
                asker.served().await;
                inside.count(kind).fetch_add(1, Ordering::SeqCst);
                inside.check();
                for _ in 0..chance.u32(0..3) {
                    asker.still_holds().await;
                    inside.check();
                }
                inside.count(kind).fetch_sub(1, Ordering::SeqCst);
                if chance.u32(0..2) == 0 {
                    asker.give_back().await;
                } else {
                    asker.cancel().await;
                }
            }
        }));
    }
    soon("all actors", async {
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
    assert_eq!(harness.raw_records(&key).await, 0);
}
