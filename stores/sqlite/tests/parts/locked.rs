//! A file that another program keeps locked, and requests that meet in one transaction.

use std::time::Duration;

use futures_util::future::join_all;
use tenure_core::{Acquisition, Clock, LeaseStore, Release, StoreErrorKind, SystemClock};
use tenure_sqlite::{SqliteOptions, SqliteStore};

use super::{key, open, raw, request};

#[tokio::test]
async fn e87_a_locked_file_fails_calls_in_bounded_time_and_recovers_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let options = SqliteOptions::new(&path).patience(Duration::from_millis(300));
    let store = SqliteStore::open(options.clone()).unwrap();
    let first = request(&key("k"));
    store.acquire(&first).await.unwrap();
    let intruder = raw(&path);
    intruder.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let began = SystemClock.now();
    let error = store.acquire(&request(&key("other"))).await.unwrap_err();
    let waited = SystemClock.now().since(began);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.is_retryable() && !error.outcome_is_unknown());
    assert!(
        error
            .to_string()
            .contains("locked by another process for 300ms"),
        "{error}"
    );
    assert!(
        waited >= Duration::from_millis(300) && waited < Duration::from_secs(3),
        "{waited:?}"
    );

    // Readers are not in the way of a writer, nor it in theirs.
    assert!(store.inspect(&key("k")).await.unwrap().is_some());

    // A call that is dropped while it waits takes nothing later.
    let dropped = request(&key("dropped"));
    let call = store.acquire(&dropped);
    let outcome = tokio::time::timeout(Duration::from_millis(20), call).await;
    assert!(outcome.is_err());

    // Opening fails the same way.
    let error = SqliteStore::connect(options).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");

    let waiting = {
        let store = store.clone();
        let key = key("k");
        tokio::spawn(async move { store.release(&key, first.token).await })
    };
    intruder.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Release::Freed);
    let answer = store.acquire(&request(&key("other"))).await.unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)));
    assert!(store.inspect(&key("dropped")).await.unwrap().is_none());
}

#[tokio::test]
async fn e87_a_process_that_was_stopped_in_its_turn_holds_nobody_up_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    let stopped = std::fs::File::open(folder.path().join("t.db-turn")).unwrap();
    stopped.lock().unwrap();
    let began = SystemClock.now();
    for name in ["a", "b", "c", "d", "e"] {
        let answer = store.acquire(&request(&key(name))).await.unwrap();
        assert!(matches!(answer, Acquisition::Granted(_)));
    }
    // The first waits for a turn that does not come; those after it know better.
    assert!(SystemClock.now().since(began) < Duration::from_secs(4));
}

#[tokio::test]
async fn r39_a_request_that_fails_does_not_fail_those_it_shares_a_transaction_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    store.acquire(&request(&key("bad"))).await.unwrap();
    let intruder = raw(&path);
    intruder
        .execute("UPDATE lease SET token = x'00'", [])
        .unwrap();
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let requests: Vec<_> = ["a", "bad", "b", "c"]
        .map(|name| request(&key(name)))
        .into_iter()
        .collect();
    let calls = join_all(requests.iter().map(|request| store.acquire(request)));
    let free = async {
        // All four are queued when their calls are first polled, before this is.
        intruder.execute_batch("COMMIT").unwrap();
    };
    let (answers, ()) = futures_util::future::join(calls, free).await;
    for (request, answer) in requests.iter().zip(answers) {
        if request.key == key("bad") {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert!(error.to_string().contains("a token"), "{error}");
        } else {
            assert!(matches!(answer, Ok(Acquisition::Granted(_))), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn c11_a_file_that_was_replaced_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    store.acquire(&request(&key("k"))).await.unwrap();
    std::fs::rename(&path, folder.path().join("old.db")).unwrap();
    for when in ["deleted", "replaced"] {
        let error = store.acquire(&request(&key("k"))).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{when}");
        assert!(error.to_string().contains("deleted or replaced"), "{error}");
        let error = store.inspect(&key("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{when}");
        std::fs::write(&path, b"").unwrap();
    }
}
