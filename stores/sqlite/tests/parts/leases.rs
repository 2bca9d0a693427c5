//! Leases between two stores on one file, as between two processes.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Acquisition, Clock, Holder, Key, LeaseRequest, LeaseStore, ManualClock, Release, RenewRequest,
    Renewal, Ttl, Wake,
};
use tenure_sqlite::{SqliteOptions, SqliteStore};

fn request(key: &Key) -> LeaseRequest {
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    LeaseRequest::new(key.clone(), Holder::new("test"), ttl)
}

#[tokio::test]
async fn r20_r62_a_release_grants_the_lease_to_the_first_waiter_of_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let a = SqliteStore::open(SqliteOptions::new(&path)).unwrap();
    let b = SqliteStore::connect(SqliteOptions::new(&path))
        .await
        .unwrap();
    let key = Key::new("k").unwrap();
    let first = request(&key);
    let Acquisition::Granted(grant) = a.acquire(&first).await.unwrap() else {
        panic!("free");
    };
    let second = request(&key).in_line(Duration::from_secs(30));
    let mut wakes = b.listen(&key, second.token);
    let Acquisition::Held(held) = b.acquire(&second).await.unwrap() else {
        panic!("held");
    };
    assert_eq!(held.place.unwrap().position, 1);
    let began = tenure_core::SystemClock.now();
    assert_eq!(
        a.release(&key, first.token).await.unwrap(),
        Release::HandedOn
    );
    let wake = tokio::time::timeout(Duration::from_secs(5), wakes.next())
        .await
        .unwrap();
    println!(
        "noticed after {:?}",
        tenure_core::SystemClock.now().since(began)
    );
    let Wake::Granted(handed) = wake else {
        panic!("{wake:?}")
    };
    assert!(handed.fence > grant.fence);
    let Acquisition::Granted(collected) = b.acquire(&second).await.unwrap() else {
        panic!("granted");
    };
    assert_eq!(collected.fence, handed.fence);
    assert!(collected.expires_at > handed.expires_at);
}

#[tokio::test]
async fn r16_a_step_of_the_wall_clock_ends_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let options = SqliteOptions::new(folder.path().join("t.db")).with_clock(clock.clone());
    let store = SqliteStore::open(options.clone()).unwrap();
    let key = Key::new("k").unwrap();
    let first = request(&key);
    store.acquire(&first).await.unwrap();
    clock.step_wall_ms(3_600_000);
    let other = SqliteStore::open(options).unwrap();
    assert!(matches!(
        other.acquire(&request(&key)).await.unwrap(),
        Acquisition::Held(_)
    ));
    assert!(!other_promises(&other));
    clock.advance(Duration::from_secs(11));
    let renewals = store
        .renew(&[RenewRequest::new(key.clone(), first.token, first.ttl)])
        .await
        .unwrap();
    assert!(matches!(renewals[0], Ok(Renewal::Lost { .. })));
}

fn other_promises(store: &SqliteStore) -> bool {
    LeaseStore::promises(store).wall_clock_steps_end_leases
}
