//! Listing, inspecting and forcing.

use tenure_core::{Fence, Forced};
use tenure_lock::AdminError;

use crate::support::World;

#[tokio::test(start_paused = true)]
async fn keys_are_listed_by_prefix_in_order_over_all_pages() {
    let world = World::new();
    let client = world.client(1);
    let mut guards = Vec::new();
    for number in 0..1_203 {
        let lock = client.locks.lock(format!("a/{number:04}"));
        guards.push(lock.acquire().await.unwrap());
    }
    guards.push(client.locks.lock("b").acquire().await.unwrap());
    let page = client.locks.list("a/").await.unwrap();
    assert_eq!(page.leases.len(), 1_203);
    assert!(!page.more);
    assert!(page.leases.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(client.locks.list("b").await.unwrap().leases.len(), 1);
    assert_eq!(client.locks.list("").await.unwrap().leases.len(), 1_204);
}

#[tokio::test(start_paused = true)]
async fn r6_e104_force_takes_only_the_lease_the_operator_saw() {
    let world = World::new();
    let client = world.client(1);
    let locks = &client.locks;
    let forced = locks.force("k", Fence::new(1), "op", "").await.unwrap();
    assert_eq!(forced, Forced::NotHeld);

    let guard = locks.lock("k").acquire().await.unwrap();
    let seen = locks.inspect("k").await.unwrap().unwrap().fence().unwrap();
    assert_eq!(seen, guard.fence());
    let older = Fence::new(seen.get() - 1);
    let forced = locks.force("k", older, "op", "").await.unwrap();
    let Forced::Changed { current } = forced else {
        panic!("{forced:?}");
    };
    assert_eq!(current.fence(), Some(seen));
    assert!(world.view("k").await.unwrap().occupant.is_some());

    let forced = locks.force("k", seen, "op", "stuck").await.unwrap();
    assert!(matches!(forced, Forced::Done { .. }), "{forced:?}");
    assert!(locks.inspect("k").await.unwrap().is_none());

    let error = locks.inspect("tenure:x").await.unwrap_err();
    assert!(matches!(error, AdminError::InvalidKey { .. }), "{error}");
}
