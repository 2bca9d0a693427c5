//! Records that nobody of ours wrote: read, doubted, never trusted.

use std::time::Duration;

use tenure_core::{
    Beat, ClaimBatch, ClaimItem, Clock, Cursor, Generation, HistoryQuery, Holder, LeaseStore,
    ListQuery, RunStore, StoreErrorKind, SystemClock, TaskName,
};

use super::{key, open, raw, request};

#[tokio::test]
async fn e64_records_that_cannot_be_ours_are_called_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = open(&path);
    let node = Holder::new("node");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(60)))
        .await
        .unwrap();
    let task = TaskName::new("t").unwrap();
    let generation = Generation::new("g").unwrap();
    let item = ClaimItem::new(task, SystemClock.wall(), 1, generation);
    let run = item.key();
    store
        .claim(&ClaimBatch::new(node.id, vec![item]))
        .await
        .unwrap();
    store.acquire(&request(&key("k"))).await.unwrap();
    let raw = raw(&path);
    for (damage, repair, hint) in [
        (
            "UPDATE run SET state = 'levitating'",
            "UPDATE run SET state = 'running'",
            "`levitating`, which this version cannot read; newer tenure?",
        ),
        (
            "UPDATE run SET kind = 9",
            "UPDATE run SET kind = 0",
            "a kind of run `9`",
        ),
        (
            "UPDATE run SET holder = x'0102'",
            "UPDATE run SET holder = NULL",
            "a holder `of 2 bytes`",
        ),
        (
            "UPDATE run SET task = ''",
            "UPDATE run SET task = 't'",
            "a task name",
        ),
        (
            "UPDATE run SET attempt = -1",
            "UPDATE run SET attempt = 1",
            "cannot be read",
        ),
    ] {
        raw.execute_batch(damage).unwrap();
        let error = store.history(&HistoryQuery::all()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.to_string().contains(hint), "{damage}: {error}");
        raw.execute_batch(repair).unwrap();
    }
    assert!(store.run(&run).await.unwrap().is_some());
    raw.execute_batch("UPDATE lease SET fence = -5").unwrap();
    for outcome in [
        store.inspect(&key("k")).await.map(drop),
        store.list(&ListQuery::prefix("")).await.map(drop),
        store.acquire(&request(&key("k"))).await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("a fence `-5`"), "{error}");
    }
    // The store lives on.
    store.acquire(&request(&key("sound"))).await.unwrap();
}

#[tokio::test]
async fn positions_of_another_store_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("t.db"));
    for text in ["", "x", "-1", "+1", "99999999999999999999", "7"] {
        let error = store.events(Some(Cursor::new(text)), 10).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{text:?}");
        let mut query = HistoryQuery::all();
        query.after = Some(Cursor::new(text));
        let error = store.history(&query).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{text:?}");
    }
}
