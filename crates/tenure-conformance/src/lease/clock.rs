//! The store's clock: it moves with time, and steps of a wall clock do what is declared.

use std::time::Duration;

use tenure_core::{LeaseRequest, Renewal};

use super::actor::{Client, LONG, key, pass, ttl};
use super::cases::Shared;

const HOUR_MS: i64 = 3_600_000;

pub(super) async fn r22_a_lease_ends_by_the_stores_clock_when_its_ttl_is_over(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let short = client
        .store
        .promises()
        .min_ttl
        .max(Duration::from_millis(1500));
    let request = LeaseRequest::new(key.clone(), client.holder.clone(), ttl(short));
    let lease = client.asker_with(request);
    let grant = lease.granted_at_last().await;
    pass(harness, short + Duration::from_millis(500)).await;
    assert!(client.store.now().await.unwrap() > grant.expires_at);
    let next = other.asker(&key).granted().await;
    assert!(client.is_after(next.fence, grant.fence));
    assert!(next.now >= grant.expires_at);
    lease.has_lost().await;
}

pub(super) async fn the_stores_clock_moves_with_time_and_not_back(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let mut last = client.store.now().await.unwrap();
    for _ in 0..2 {
        pass(harness, Duration::from_secs(1)).await;
        let now = other.store.now().await.unwrap();
        let passed = now.since(last);
        assert!(passed >= Duration::from_millis(990), "{passed:?}");
        assert!(passed <= Duration::from_secs(30), "{passed:?}");
        last = client.store.now().await.unwrap();
        assert!(last >= now);
    }
}

pub(super) async fn r16_steps_of_the_wall_clock_do_to_leases_what_is_declared(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let steps_end_leases = client.store.promises().wall_clock_steps_end_leases;
    for step_ms in [HOUR_MS, -HOUR_MS, -HOUR_MS, HOUR_MS] {
        let lease = client.asker(&key);
        let before = lease.granted().await;
        let waiter = other.line_up(&key).await;
        harness.step_wall(step_ms).await;
        match lease.renew(LONG).await {
            Renewal::Renewed(grant) => {
                let is_as_declared = !steps_end_leases || step_ms < 0;
                assert!(is_as_declared, "a step of {step_ms} ms ended no lease");
                assert_eq!(grant.fence, before.fence);
                assert!(grant.expires_at >= grant.now + LONG);
                assert_eq!(waiter.place().await.position, 1);
                lease.give_back().await;
            }
            Renewal::Lost { .. } => {
                assert!(steps_end_leases, "a step of {step_ms} ms ended a lease");
            }
            other => panic!("{other:?}"),
        }
        // Ended or not, the next in line gets the key, with a greater fence.
        let fence = waiter.granted().await.fence;
        assert!(client.is_after(fence, before.fence));
        waiter.cancel().await;
    }
}

pub(super) async fn r16_a_step_of_the_wall_clock_neither_ends_nor_keeps_a_short_lease(
    harness: &Shared,
) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    if client.store.promises().wall_clock_steps_end_leases {
        // What it does instead the case above shows.
        return;
    }
    let short = client
        .store
        .promises()
        .min_ttl
        .max(Duration::from_millis(1500));
    let request = LeaseRequest::new(key.clone(), client.holder.clone(), ttl(short));
    let lease = client.asker_with(request);
    lease.granted_at_last().await;
    harness.step_wall(-HOUR_MS).await;
    // A step back must not make it last an hour longer.
    pass(harness, short + Duration::from_millis(500)).await;
    client.beside("other").take(&key).await;
    lease.has_lost().await;
}
