//! A test: no statement searches a whole table.
//!
//! Every statement that a step prepares is noted here in tests; one test walks through the whole
//! contract and asks SQLite how it would run each of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::*;

use crate::{SqliteOptions, SqliteStore};

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

pub(crate) fn note(sql: &str) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert(sql.to_owned());
}

/// Every statement so far.
pub(crate) fn seen() -> BTreeSet<String> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What may be walked through from end to end, and why.
const WALKED: [(&str, &str); 7] = [
    ("FROM run_cancel LIMIT 1", "one row is enough"),
    ("ORDER BY joined", "nodes are few"),
    (
        "AND token = ?3 ORDER BY fence",
        "a node has few runs in hand",
    ),
    (
        "FROM backfill WHERE ns = ?1 ORDER BY made",
        "backfills are few",
    ),
    ("FROM task AS t", "the listing of all tasks"),
    ("ORDER BY is_listed DESC", "a task has few definitions"),
    (
        "AND kind = 0 ORDER BY tick_at, idx LIMIT 1",
        "a task has few runs in hand",
    ),
];

async fn use_leases(store: &SqliteStore) -> Result<(), StoreError> {
    let key = Key::new("k").unwrap();
    let ttl = Ttl::new(Duration::from_secs(60)).unwrap();
    let ask = || LeaseRequest::new(key.clone(), Holder::new("h"), ttl);
    let (first, second, third) = (ask(), ask(), ask());
    store.acquire(&first).await?;
    let keep = Duration::from_secs(60);
    for _ in 0..2 {
        store.acquire(&second.clone().in_line(keep)).await?;
    }
    store.acquire(&third.clone().in_line(keep)).await?;
    store.cancel(&key, third.token).await?;
    store
        .renew(&[RenewRequest::new(key.clone(), first.token, ttl)])
        .await?;
    store.inspect(&key).await?;
    store.list(&ListQuery::prefix("k")).await?;
    store.release(&key, first.token).await?;
    let mark = store.inspect(&key).await?.and_then(|view| view.mark);
    let mark = mark.unwrap_or_else(|| panic!("the waiter has it"));
    let force = ForceRequest::new(key.clone(), mark, "op");
    store.force(&force).await?;
    // Those who share it, and a limit that changes.
    let permit = |more| Sharing::permit(std::num::NonZeroU32::MIN.saturating_add(more));
    let (first, second) = (ask().shared(permit(0)), ask().shared(permit(1)));
    store.acquire(&first).await?;
    store.acquire(&second.clone().in_line(keep)).await?;
    store.release(&key, first.token).await?;
    Ok(())
}

async fn use_runs(store: &SqliteStore) -> Result<(), StoreError> {
    let node = Holder::new("n");
    let beat = Beat::new(node.clone(), Duration::from_secs(60));
    store.beat(&beat).await?;
    let task = TaskName::new("t").unwrap();
    let generation = Generation::new("g").unwrap();
    let definition = Definition::new(task.clone(), generation.clone(), "* * * * *");
    store.register(node.id, &[definition]).await?;
    let tick = SystemClock.wall();
    let item = |index| ClaimItem::new(task.clone(), tick, index, generation.clone());
    let mut batch = ClaimBatch::new(node.id, vec![item(1), item(2)]);
    batch.start = StartMode::Later;
    let reply = store.claim(&batch).await?;
    for answer in reply.answers {
        let ClaimAnswer::Won(claim) = answer else {
            panic!("{answer:?}")
        };
        store.start(&[Start::new(claim.run.clone())]).await?;
        let mut finish = Finish::new(claim.run.clone(), Outcome::Failed);
        finish.again_after = (claim.run.key.index == 1).then_some(Duration::ZERO);
        finish.output = Some("text".to_owned());
        store.finish(&[finish.clone()]).await?;
        finish.run.attempt = 9;
        store.finish(&[finish]).await?;
    }
    for (back, overlap) in [
        (9, Overlap::Skip),
        (8, Overlap::CancelOther),
        (7, Overlap::QueueOne),
        (6, Overlap::QueueAll { max: 1 }),
    ] {
        let mut item = item(if back == 8 { 4 } else { 3 });
        item.tick = tick - Duration::from_secs(back);
        (item.overlap, item.max_running) = (overlap, Some(MaxRunning::new(1, 4)));
        let batch = ClaimBatch::new(node.id, vec![item.clone()]);
        store.claim(&batch).await?;
        store
            .cancel_run(&Cancel::new(item.key(), "me", "why"))
            .await?;
    }
    store.cancels(node.id).await?;
    let late = RunKey::scheduled(task.clone(), tick - Duration::from_secs(60), 1);
    store.pass(&[Pass::missed(late, "late")]).await?;
    let asked = RunKey::manual(task.clone(), tick, 1, RequestId::random());
    let mut asked = Enqueue::new(asked, "now");
    asked.only_missing = true;
    store.enqueue(&[asked]).await?;
    store.take(&Take::new(node.id, 10)).await?;
    store.pause(&task, &Pause::new("me", "why")).await?;
    store.resume(&task, "me", "why").await?;
    let backfill = Backfill::new(RequestId::random(), task.clone(), tick, tick);
    store.withdraw(node.id, std::slice::from_ref(&task)).await?;
    store.save_backfill(&backfill, None).await?;
    store.save_backfill(&backfill, Some(tick)).await?;
    store.backfills().await?;
    store.tasks().await?;
    store.nodes().await?;
    RunStore::now(store).await?;
    store.leave(node.id).await?;
    store.recover(&Recovery::new(node.id)).await?;
    read(store, &task, tick).await?;
    for keep_newest in [0, 1] {
        let mut prune = Prune::before(tick + Duration::from_secs(60));
        prune.keep_newest = keep_newest;
        store.prune(&prune).await?;
    }
    let mut prune = Prune::of(task.clone(), tick, &[RunState::Succeeded]);
    for keep_most in [None, Some(1)] {
        prune.keep_most = keep_most;
        store.prune(&prune).await?;
    }
    Ok(())
}

async fn read(store: &SqliteStore, task: &TaskName, tick: Timestamp) -> Result<(), StoreError> {
    for states in [vec![], vec![RunState::Failed], vec![RunState::Succeeded]] {
        for task in [None, Some(task.clone())] {
            for bounds in [None, Some(tick)] {
                let mut query = HistoryQuery::all();
                query.states.clone_from(&states);
                query.task.clone_from(&task);
                (query.from, query.to) = (bounds, bounds);
                query.limit = 1;
                let page = store.history(&query).await?;
                query.after = page.next;
                store.history(&query).await?;
            }
        }
    }
    let page = store.events(None, 1000).await?;
    store.events(page.next, 1000).await?;
    Ok(())
}

#[tokio::test]
async fn s52_no_statement_searches_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let store = SqliteStore::connect(SqliteOptions::new(&path))
        .await
        .unwrap();
    use_leases(&store).await.unwrap();
    use_runs(&store).await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let statements = seen();
    assert!(statements.len() > 60, "{} statements", statements.len());
    let mut slow = Vec::new();
    for sql in &statements {
        let Ok(mut plan) = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) else {
            // Savepoints have no plan.
            continue;
        };
        let lines = plan.raw_query().mapped(|row| row.get::<_, String>(3));
        for line in lines.map(Result::unwrap) {
            // With nothing but the namespace to search for, only a limit keeps it short.
            let all = line.ends_with("(ns=?)") && !sql.contains("LIMIT");
            let walks = all || (line.starts_with("SCAN ") && line != "SCAN CONSTANT ROW");
            let sorts = line.contains("TEMP B-TREE");
            let known = WALKED.iter().any(|(part, _)| sql.contains(part));
            if (walks || sorts) && !known {
                slow.push(format!("{line}\n    {sql}"));
            }
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}
