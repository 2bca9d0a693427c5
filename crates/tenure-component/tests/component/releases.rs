//! Releases, and the weaknesses of the origin's.

use std::sync::Arc;

use tenure_component::{Code, Component as _, Context, Lock as _};
use tenure_core::StoreErrorKind;

use crate::support::{CountingStore, LONG, SECOND, SHORT};

#[tokio::test]
async fn b_lock_releasing_twice_or_what_is_not_held_is_no_error_and_asks_nobody() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    one.release_lock(None, "k").await.unwrap();
    one.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    two.release_lock(None, "k").await.unwrap();
    assert!(
        store.is_held("k").await,
        "another component's release frees nothing"
    );
    one.release_lock(None, "k").await.unwrap();
    assert!(!store.is_held("k").await);
    one.release_lock(None, "k").await.unwrap();
    assert_eq!(store.releases(), 1);
}

#[tokio::test]
async fn r1_b_weakness_a_late_release_never_frees_a_newer_acquisition_of_another_component() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), store.lock());
    one.acquire_lock(None, "k", SHORT, SECOND).await.unwrap();
    two.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
    one.release_lock(None, "k").await.unwrap();
    assert!(store.is_held("k").await);
    two.release_lock(None, "k").await.unwrap();
    assert!(!store.is_held("k").await);
}

#[tokio::test]
async fn r1_b_weakness_a_late_release_never_frees_a_newer_acquisition_of_the_same_component() {
    let store = CountingStore::default();
    let lock = store.lock();
    lock.acquire_lock(None, "k", SHORT, SECOND).await.unwrap();
    lock.acquire_lock(None, "k", LONG, 10 * SECOND)
        .await
        .unwrap();
    lock.release_lock(None, "k").await.unwrap();
    assert!(
        store.is_held("k").await,
        "the late release was the first one's"
    );
    lock.release_lock(None, "k").await.unwrap();
    assert!(!store.is_held("k").await);
}

#[tokio::test]
async fn r1_b_weakness_a_release_finds_the_acquisition_of_its_own_trace_id() {
    let store = CountingStore::default();
    let lock = store.lock();
    let contexts = ["a", "b"].map(Context::from_trace_id);
    let [a, b] = contexts.each_ref().map(Some);
    // The first is never released: it must not get in the way of the second.
    lock.acquire_lock(a, "k", SHORT, SECOND).await.unwrap();
    lock.acquire_lock(b, "k", LONG, 10 * SECOND).await.unwrap();
    lock.release_lock(b, "k").await.unwrap();
    assert!(!store.is_held("k").await);
    // And late, after a third has the lock, it must not free it.
    lock.acquire_lock(b, "k", LONG, SECOND).await.unwrap();
    lock.release_lock(a, "k").await.unwrap();
    assert!(store.is_held("k").await);
    lock.release_lock(b, "k").await.unwrap();
    assert!(!store.is_held("k").await);
}

#[tokio::test]
async fn b_lock_a_release_in_another_context_still_gives_back_what_the_component_holds() {
    let store = CountingStore::default();
    let lock = store.lock();
    let context = Context::from_trace_id("a");
    for (taken_in, given_back_in) in [(Some(&context), None), (None, Some(&context))] {
        lock.acquire_lock(taken_in, "k", LONG, SECOND)
            .await
            .unwrap();
        lock.release_lock(given_back_in, "k").await.unwrap();
        assert!(!store.is_held("k").await);
    }
}

#[tokio::test]
async fn b_weakness_a_release_is_a_single_request_also_when_many_run_at_once() {
    let store = CountingStore::default();
    let lock = Arc::new(store.lock());
    let keys: Vec<_> = (0..64).map(|at| format!("k{at}")).collect();
    for key in &keys {
        assert!(lock.try_acquire_lock(None, key, LONG).await.unwrap());
    }
    let before = store.requests();
    let releases = keys.iter().cloned().map(|key| {
        let lock = lock.clone();
        tokio::spawn(async move { lock.release_lock(None, &key).await })
    });
    for release in releases.collect::<Vec<_>>() {
        release.await.unwrap().unwrap();
    }
    assert_eq!(store.requests() - before, 64);
    for key in &keys {
        assert!(!store.is_held(key).await, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn b_weakness_waiting_is_a_place_in_the_queue_and_no_poll() {
    let store = CountingStore::default();
    let (one, two) = (store.lock(), Arc::new(store.lock()));
    two.configure(&"options.retry_timeout=100".parse().unwrap())
        .unwrap();
    one.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let waiter = {
        let two = two.clone();
        tokio::spawn(async move { two.acquire_lock(None, "k", LONG, 60 * SECOND).await })
    };
    store.until_waiting("k", 1).await;
    tokio::time::sleep(30 * SECOND).await;
    let asked = store.acquires();
    assert!(
        asked <= 10,
        "asked {asked} times in 30 s, which 100 ms between attempts make 300"
    );
    one.release_lock(None, "k").await.unwrap();
    waiter.await.unwrap().unwrap();
    assert!(store.acquires() <= asked + 1);
}

#[tokio::test]
async fn b_lock_waiters_are_served_in_order() {
    let store = CountingStore::default();
    let lock = Arc::new(store.lock());
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for at in 0..5_u32 {
        let (lock, said) = (lock.clone(), said.clone());
        tokio::spawn(async move {
            let context = Context::from_trace_id(at.to_string());
            let context = Some(&context);
            lock.acquire_lock(context, "k", LONG, 60 * SECOND)
                .await
                .unwrap();
            said.send(at).unwrap();
            lock.release_lock(context, "k").await.unwrap();
        });
        store.until_waiting("k", at + 1).await;
    }
    lock.release_lock(None, "k").await.unwrap();
    for at in 0..5 {
        assert_eq!(heard.recv().await, Some(at));
    }
}

#[tokio::test]
async fn r3_r4_b_lock_a_release_the_store_does_not_answer_says_so_and_one_it_refuses_too() {
    let store = CountingStore::default();
    let lock = store.lock();
    let context = Context::from_trace_id("t1");
    let context = Some(&context);
    lock.acquire_lock(context, "k", LONG, SECOND).await.unwrap();
    store.fail_next_release(StoreErrorKind::Denied);
    let error = lock.release_lock(context, "k").await.unwrap_err();
    assert_eq!(error.code(), Code::StoreFailed, "{error}");
    assert_eq!(error.category().as_str(), "Unauthorized");
    assert_eq!(
        (error.detail("key"), error.trace_id()),
        (Some("k"), Some("t1"))
    );

    lock.acquire_lock(context, "k2", LONG, SECOND)
        .await
        .unwrap();
    // The first may have got through, so that the refusal of the second says nothing.
    store.fail_next_release(StoreErrorKind::Unavailable);
    store.fail_next_release(StoreErrorKind::Denied);
    let error = lock.release_lock(context, "k2").await.unwrap_err();
    assert_eq!(error.code(), Code::ReleaseUnknown, "{error}");
    assert_eq!(
        (error.detail("key"), error.trace_id()),
        (Some("k2"), Some("t1"))
    );
}

#[tokio::test]
async fn r13_b_lock_a_dropped_call_leaves_neither_a_lock_nor_a_place() {
    let store = CountingStore::default();
    let lock = Arc::new(store.lock());
    lock.acquire_lock(None, "k", LONG, SECOND).await.unwrap();
    let waiter = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire_lock(None, "k", LONG, 60 * SECOND).await })
    };
    store.until_waiting("k", 1).await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    store.until_waiting("k", 0).await;
}
