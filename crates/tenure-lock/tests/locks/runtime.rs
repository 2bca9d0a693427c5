//! Runtimes: none, busy, shut down; threads; panics. These run in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tenure_core::{Clock, Holder, Key, LeaseStore, SystemClock};
use tenure_lock::{AcquireError, Guard, GuardSet, Lock, Locks, LossWatch, SharedGuard};
use tenure_memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};

use crate::support::{Call, Harm, MS, Rigged};

/// The longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a lock that must not be lost while a busy machine holds this process up for seconds.
const LASTING: Duration = Duration::from_secs(6);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn locks() -> (Locks, Arc<dyn LeaseStore>) {
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    (Locks::new(store.clone(), Holder::new("test")), store)
}

async fn is_free(store: &Arc<dyn LeaseStore>, key: &str) -> bool {
    let view = store.inspect(&Key::new(key).unwrap()).await.unwrap();
    view.is_none_or(|view| view.occupant.is_none())
}

async fn until_free(store: &Arc<dyn LeaseStore>, key: &str) {
    let limit = tokio::time::timeout(PATIENCE, async {
        while !is_free(store, key).await {
            tokio::time::sleep(MS).await; // tidy: allow(sleep) polls, with a deadline
        }
    });
    limit.await.expect("given back");
}

/// Keeps this thread busy, as code that blocks its runtime does.
fn block_for(span: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(span).is_err());
}

#[test]
fn r45_acquiring_outside_a_runtime_is_an_error_and_not_a_panic() {
    let (locks, _) = locks();
    let lock = locks.lock("k");
    let mut call = std::pin::pin!(lock.acquire());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = call.as_mut().poll(&mut context) else {
        panic!("waits for ever");
    };
    let error = answer.unwrap_err();
    assert!(matches!(error, AcquireError::NoRuntime), "{error}");
}

#[test]
fn r45_a_guard_dropped_outside_a_runtime_is_given_back() {
    let (locks, store) = locks();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let guard = runtime.block_on(locks.lock("k").acquire()).unwrap();
    drop(guard);
    runtime.block_on(until_free(&store, "k"));
    assert_eq!(locks.abandoned(), 0);
}

#[test]
fn r45_a_guard_dropped_by_a_panic_is_given_back() {
    let (locks, store) = locks();
    let runtime = runtime();
    runtime.block_on(async {
        let lock = locks.lock("k");
        let panics = tokio::spawn(async move {
            let _guard = lock.acquire().await.unwrap();
            panic!("as code does");
        });
        assert!(panics.await.unwrap_err().is_panic());
        until_free(&store, "k").await;
    });
    let guard = runtime.block_on(locks.lock("k").acquire()).unwrap();
    let thread = std::thread::spawn(move || {
        let _guard = guard;
        panic!("as code does");
    });
    assert!(thread.join().is_err());
    runtime.block_on(until_free(&store, "k"));
}

#[test]
fn r45_a_guard_that_outlives_its_runtime_is_counted_and_ends_by_itself() {
    let (locks, store) = locks();
    let first = runtime();
    let lock = locks.lock("k").ttl(LASTING);
    let guard = first.block_on(lock.acquire()).unwrap();
    drop(first);
    drop(guard);
    assert_eq!(locks.abandoned(), 1);
    runtime().block_on(until_free(&store, "k"));
}

#[test]
fn r45_a_guard_that_outlives_its_runtime_is_given_back_in_another() {
    let (locks, store) = locks();
    let first = runtime();
    let guard = first.block_on(locks.lock("k").acquire()).unwrap();
    drop(first);
    runtime().block_on(async {
        drop(guard);
        locks.settled().await;
        assert!(is_free(&store, "k").await);
    });
    assert_eq!(locks.abandoned(), 0);
}

#[test]
fn r45_a_runtime_that_shuts_down_during_a_release_does_not_hang_or_panic() {
    let several = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    for runtime in [runtime(), several] {
        shut_down_during_a_release(runtime);
    }
}

fn shut_down_during_a_release(runtime: Runtime) {
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    let way = Rigged::new(store.clone());
    let locks = Locks::new(way.clone(), Holder::new("test"));
    runtime.block_on(async {
        let guard = locks.lock("k").acquire().await.unwrap();
        way.harm(Call::Release, Harm::Hangs);
        // One guard is being given back, another is owned by a task, when the runtime ends.
        drop(guard);
        let lock = locks.lock("l");
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _guard = lock.acquire().await.unwrap();
            tell.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        told.await.unwrap();
    });
    drop(runtime);
    assert_eq!(locks.abandoned(), 2);
}

#[test]
fn r36_a_renewal_task_that_died_with_its_runtime_does_not_keep_others_from_renewing() {
    let (locks, _) = locks();
    let first = runtime();
    let stranded = first.block_on(locks.lock("a").acquire()).unwrap();
    drop(first);
    runtime().block_on(async {
        let lock = locks.lock("b").ttl(LASTING);
        let guard = lock.acquire().await.unwrap();
        let before = guard.deadline();
        while guard.deadline() == before {
            assert!(guard.is_trusted(), "not renewed");
            tokio::time::sleep(MS).await; // tidy: allow(sleep) polls, until trust ends
        }
    });
    drop(stranded);
}

#[test]
fn r42_renewal_on_its_own_thread_goes_on_while_the_program_blocks_its_runtime() {
    let (locks, store) = locks();
    let locks = locks.renew_on_own_thread();
    runtime().block_on(async {
        let guard = locks.lock("k").ttl(LASTING).acquire().await.unwrap();
        let before = guard.deadline();
        while guard.deadline() == before {
            assert!(guard.is_trusted(), "not renewed");
            block_for(MS);
        }
        assert!(!is_free(&store, "k").await);
    });
}

#[test]
fn r42_renewal_on_the_programs_runtime_ends_while_the_program_blocks_it() {
    let (locks, store) = locks();
    runtime().block_on(async {
        let lock = locks.lock("k").ttl(600 * MS);
        let guard = lock.acquire().await.unwrap();
        block_for(1_500 * MS);
        assert!(!guard.is_trusted());
        assert!(is_free(&store, "k").await);
    });
}

#[test]
fn r42_the_own_thread_gives_back_what_was_dropped_last_and_ends() {
    let (locks, store) = locks();
    let locks = locks.renew_on_own_thread();
    let guard = runtime().block_on(locks.lock("k").acquire()).unwrap();
    let weak = Arc::downgrade(&store);
    drop(locks);
    drop(guard);
    runtime().block_on(until_free(&store, "k"));
    drop(store);
    let end = SystemClock.now() + PATIENCE;
    while weak.strong_count() > 0 {
        assert!(SystemClock.now() < end, "something keeps the store");
        std::thread::yield_now();
    }
}

#[test]
fn r13_r36_threads_that_cancel_drop_and_release_never_meet_under_the_lock() {
    let (locks, store) = locks();
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let highest = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let lock = locks.lock("k").ttl(Duration::from_secs(20));
            let (inside, highest) = (inside.clone(), highest.clone());
            workers.spawn(async move {
                for round in 0..40 {
                    // Every third call is dropped after a while, wherever it is.
                    let patience = if round % 3 == 0 { MS } else { 60_000 * MS };
                    let call = tokio::time::timeout(patience, lock.acquire()).await;
                    let Ok(guard) = call else { continue };
                    let guard = guard.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    let fence = guard.fence().get();
                    assert!(highest.swap(fence, Ordering::SeqCst) < fence);
                    tokio::task::yield_now().await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                    if round % 2 == 0 {
                        drop(guard);
                    } else {
                        guard.release().await.unwrap();
                    }
                }
            });
        }
        while workers.join_next().await.transpose().unwrap().is_some() {}
        locks.settled().await;
    });
    assert!(runtime.block_on(is_free(&store, "k")));
    assert_eq!(locks.abandoned(), 0);
}

#[test]
fn r43_a_guard_belongs_to_nobody_in_particular() {
    fn moves<T: Send + Sync + 'static>() {}
    moves::<Guard>();
    moves::<SharedGuard>();
    moves::<GuardSet>();
    moves::<Lock>();
    moves::<Locks>();
    moves::<LossWatch>();

    let (locks, store) = locks();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let guard = runtime.block_on(locks.lock("k").acquire()).unwrap();
    let guard = std::thread::spawn(move || {
        assert!(guard.is_trusted());
        guard
    })
    .join()
    .unwrap();
    let task = runtime.spawn(async move { guard.release().await });
    runtime.block_on(task).unwrap().unwrap();
    assert!(runtime.block_on(is_free(&store, "k")));
}
