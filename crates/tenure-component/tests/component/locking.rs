//! Row "`ILock`": trying, waiting, giving back; and the three implementations.

use std::sync::Arc;
use std::time::Instant;

use tenure_component::{
    Category, Code, Component as _, Context, Factory, Lock, MemoryLock, NullLock,
};
use tenure_memory::MemoryStore;

use crate::support::{CountingStore, LONG, MS, SECOND, SHORT};

#[tokio::test]
async fn b_lock_try_acquire_makes_one_attempt_and_answers_at_once() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    assert!(one.try_acquire_lock(None, "k", LONG).await.unwrap());
    assert!(!two.try_acquire_lock(None, "k", LONG).await.unwrap());
    assert!(
        !one.try_acquire_lock(None, "k", LONG).await.unwrap(),
        "nor again"
    );
    assert_eq!(store.requests(), 3);
    assert!(two.try_acquire_lock(None, "other", LONG).await.unwrap());
}

#[tokio::test]
async fn b_lock_acquire_waits_until_the_lock_is_released() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), Arc::new(store.lock()));
    one.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let waiter = {
        let two = two.clone();
        tokio::spawn(async move { two.acquire_lock(None, "k", LONG, 60 * SECOND).await })
    };
    store.until_waiting("k", 1).await;
    one.release_lock(None, "k").await.unwrap();
    waiter.await.unwrap().unwrap();
    assert!(!one.try_acquire_lock(None, "k", LONG).await.unwrap());
    two.release_lock(None, "k").await.unwrap();
    assert!(one.try_acquire_lock(None, "k", LONG).await.unwrap());
}

#[tokio::test]
async fn b_lock_acquire_waits_until_the_ttl_ends_the_lock() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    one.acquire_lock(None, "k", SHORT, SECOND).await.unwrap();
    two.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
    assert!(!one.try_acquire_lock(None, "k", LONG).await.unwrap());
}

#[tokio::test]
async fn b_lock_acquire_waits_no_longer_than_its_timeout() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    one.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let asked = Instant::now();
    let error = two.acquire_lock(None, "k", LONG, SECOND).await.unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    let took = asked.elapsed();
    // A machine that is held up may need more, and never so much.
    assert!(took > SECOND / 2 && took < 10 * SECOND, "{took:?}");
}

#[tokio::test]
async fn b_lock_acquire_that_runs_out_of_time_is_a_conflict_with_the_key_in_its_details() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    let context = Context::from_trace_id("t-17");
    one.acquire_lock(None, "invoice/42", LONG, SECOND)
        .await
        .unwrap();
    let attempt = two.acquire_lock(Some(&context), "invoice/42", LONG, 80 * MS);
    let error = attempt.await.unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    assert_eq!(error.code().as_str(), "LOCK_TIMEOUT");
    assert_eq!(error.category(), Category::Conflict);
    assert_eq!(error.category().as_str(), "Conflict");
    assert_eq!(error.detail("key"), Some("invoice/42"));
    assert_eq!(error.trace_id(), Some("t-17"));
    let text = error.to_string();
    assert!(text.contains("`invoice/42` still held by"), "{text}");
    assert!(text.contains("LOCK_TIMEOUT, trace id t-17"), "{text}");
    store.until_waiting("invoice/42", 0).await;
}

#[tokio::test]
async fn r9_e11_b_lock_acquire_with_a_timeout_of_zero_makes_a_single_attempt() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    let zero = std::time::Duration::ZERO;
    one.acquire_lock(None, "k", LONG, zero).await.unwrap();
    let error = two.acquire_lock(None, "k", LONG, zero).await.unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    assert_eq!(store.requests(), 2);
}

#[tokio::test]
async fn e1_e3_e13_e15_e22_b_lock_what_no_store_takes_is_refused_before_anything_is_sent() {
    let store = CountingStore::default();
    let lock = store.lock();
    let long = "k".repeat(513);
    for (key, ttl, part) in [
        ("", LONG, "a key must not be empty"),
        (long.as_str(), LONG, "a key may have 512 bytes"),
        ("tenure:x", LONG, "belong to the store"),
        ("k", std::time::Duration::ZERO, "must be at least 50ms"),
        ("k", 90_000 * SECOND, "may be at most 24h"),
    ] {
        let error = lock.try_acquire_lock(None, key, ttl).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidRequest, "{error}");
        assert_eq!(error.category(), Category::BadRequest);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(part), "{source}");
        lock.release_lock(None, key).await.unwrap();
    }
    assert_eq!(store.requests(), 0);
}

#[tokio::test]
async fn b_memory_lock_excludes_within_what_it_shares() {
    let store = MemoryStore::new();
    let (one, two) = (MemoryLock::on(store.clone()), MemoryLock::on(store));
    assert!(one.try_acquire_lock(None, "k", LONG).await.unwrap());
    assert!(!two.try_acquire_lock(None, "k", LONG).await.unwrap());
    let alone = MemoryLock::new();
    assert!(alone.try_acquire_lock(None, "k", LONG).await.unwrap());
    two.release_lock(None, "k").await.unwrap();
    assert!(
        !two.try_acquire_lock(None, "k", LONG).await.unwrap(),
        "not its own"
    );
    one.release_lock(None, "k").await.unwrap();
    assert!(two.try_acquire_lock(None, "k", LONG).await.unwrap());
}

#[tokio::test]
async fn b_null_lock_lets_everybody_in() {
    let lock = NullLock::new();
    lock.open(None).await.unwrap();
    assert!(lock.try_acquire_lock(None, "k", LONG).await.unwrap());
    assert!(lock.try_acquire_lock(None, "k", LONG).await.unwrap());
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    lock.release_lock(None, "k").await.unwrap();
    lock.close(None).await.unwrap();
    assert!(lock.is_open());
}

#[tokio::test]
async fn b_factory_a_lock_made_by_descriptor_works() {
    let factory = Factory::default();
    for kind in ["memory", "null"] {
        let locator = format!("*:lock:{kind}:*:1.0").parse().unwrap();
        let lock = factory.create::<dyn Lock>(&locator).unwrap();
        lock.open(None).await.unwrap();
        lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
        lock.release_lock(None, "k").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_lock_many_tasks_of_one_component_take_turns() {
    let store = CountingStore::default();
    let lock = Arc::new(store.lock());
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let workers = (0..16).map(|at| {
        let (lock, inside) = (lock.clone(), inside.clone());
        tokio::spawn(async move {
            let context = Context::from_trace_id(format!("worker-{at}"));
            for _ in 0..10 {
                let context = Some(&context);
                lock.acquire_lock(context, "k", LONG, 30 * SECOND)
                    .await
                    .unwrap();
                let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert_eq!(before, 0, "two hold the lock");
                tokio::task::yield_now().await;
                inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                lock.release_lock(context, "k").await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert!(!store.is_held("k").await);
}
