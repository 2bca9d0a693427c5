//! Leases between two stores on one file, as between two processes.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tenure_core::{
    Acquisition, Clock, ForceRequest, LeaseStore, ManualClock, Release, RenewRequest, Renewal,
    SystemClock, Wake,
};
use tenure_sqlite::{SqliteOptions, SqliteStore};

use super::{key, open, raw, request};

#[tokio::test]
async fn r20_r62_a_release_reaches_the_first_waiter_of_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let a = open(&path);
    let b = SqliteStore::connect(SqliteOptions::new(&path))
        .await
        .unwrap();
    let key = key("k");
    let mut times = Vec::new();
    for _ in 0..20 {
        let first = request(&key);
        let Acquisition::Granted(grant) = a.acquire(&first).await.unwrap() else {
            panic!("it is free");
        };
        let second = request(&key).in_line(Duration::from_secs(30));
        let mut wakes = b.listen(&key, second.token);
        let Acquisition::Held(held) = b.acquire(&second).await.unwrap() else {
            panic!("it is held");
        };
        assert_eq!(held.place.map(|place| place.position), Some(1));
        let began = SystemClock.now();
        let released = a.release(&key, first.token).await.unwrap();
        assert_eq!(released, Release::HandedOn);
        let wake = tokio::time::timeout(Duration::from_secs(5), wakes.next()).await;
        times.push(SystemClock.now().since(began));
        let Ok(Wake::Granted(handed)) = wake else {
            panic!("told {wake:?} instead of the grant");
        };
        assert!(handed.fence > grant.fence);
        let Acquisition::Granted(collected) = b.acquire(&second).await.unwrap() else {
            panic!("it was handed on");
        };
        assert_eq!(collected.fence, handed.fence);
        assert!(collected.expires_at > handed.expires_at);
        b.release(&key, second.token).await.unwrap();
    }
    times.sort();
    println!("hand-off: median {:?}, longest {:?}", times[10], times[19]);
}

#[tokio::test]
async fn r6_a_holder_in_another_store_is_told_that_its_lease_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let (owner, operator) = (open(&path), open(&path));
    let key = key("k");
    let lease = request(&key);
    let mut wakes = owner.listen(&key, lease.token);
    owner.acquire(&lease).await.unwrap();
    let tap = Arc::new(Tap::default());
    wakes.rest(Waker::from(tap.clone()));
    let view = operator.inspect(&key).await.unwrap().unwrap();
    let order = ForceRequest::new(key.clone(), view.mark.unwrap(), "operator");
    operator.force(&order).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), tap.0.notified())
        .await
        .unwrap();
    let renewal = RenewRequest::new(key, lease.token, lease.ttl);
    let renewals = owner.renew(&[renewal]).await.unwrap();
    assert!(matches!(renewals[0], Ok(Renewal::Lost { .. })));
}

/// How a holder is tapped that listens at rest.
#[derive(Default)]
struct Tap(tokio::sync::Notify);

impl std::task::Wake for Tap {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn r16_a_step_of_the_wall_clock_ends_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let options = SqliteOptions::new(folder.path().join("t.db")).with_clock(clock.clone());
    let store = SqliteStore::open(options.clone()).unwrap();
    let key = key("k");
    let first = request(&key);
    store.acquire(&first).await.unwrap();
    clock.step_wall_ms(3_600_000);
    let other = SqliteStore::open(options).unwrap();
    let answer = other.acquire(&request(&key)).await.unwrap();
    assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
    assert!(!LeaseStore::promises(&other).wall_clock_steps_end_leases);
    clock.advance(Duration::from_secs(61));
    let renewal = RenewRequest::new(key, first.token, first.ttl);
    let renewals = store.renew(&[renewal]).await.unwrap();
    assert!(matches!(renewals[0], Ok(Renewal::Lost { .. })));
}

#[tokio::test]
async fn r58_a_lease_of_an_earlier_boot_outlives_it_by_its_ttl_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    let key = key("k");
    let first = request(&key);
    store.acquire(&first).await.unwrap();
    drop(store);
    // As after a boot with a wall clock that starts a day behind.
    raw(&path)
        .execute_batch(
            "UPDATE boot SET clock = 'an-earlier-boot';
             UPDATE lease SET expires_ms = expires_ms + 86400000",
        )
        .unwrap();
    let store = open(&path);
    let view = store.inspect(&key).await.unwrap().unwrap();
    let left = view.expires_at.unwrap().since(view.now);
    assert!(left <= first.ttl.get(), "{left:?}");
    let boots: i64 = raw(&path)
        .query_row("SELECT count(*) FROM boot", [], |row| row.get(0))
        .unwrap();
    assert_eq!(boots, 1);
}

#[test]
fn r45_the_last_clone_ends_the_threads_and_closes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    let clone = store.clone();
    drop(store);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let request = request(&key("k"));
    let wakes = clone.listen(&request.key, request.token);
    let answer = runtime.block_on(clone.acquire(&request)).unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)));
    drop(wakes);
    drop(clone);
    // The last connection to go takes the write-ahead log with it, and each thread has one.
    let log = folder.path().join("t.db-wal");
    let deadline = SystemClock.now() + Duration::from_secs(10);
    while log.exists() {
        assert!(SystemClock.now() < deadline, "a thread kept the file open");
        std::thread::yield_now();
    }
}
