//! A test: what a claim costs does not grow with the history.
//!
//! Counts what SQLite's own programs do in the writer's statements, which no other load on the
//! machine changes. How long it takes is measured by the example `rows`.

use std::path::Path;
use std::time::Duration;

use rusqlite::StatementStatus;
use tenure_core::*;

use crate::queue::Unwanted;
use crate::{SqliteOptions, SqliteStore, plan};

const TASKS: usize = 100;

fn task(number: usize) -> TaskName {
    TaskName::new(format!("t{number}")).unwrap()
}

fn generation() -> Generation {
    Generation::new("g").unwrap()
}

/// A store that remembers this many runs, and a node that has their tasks.
async fn filled(path: &Path, rows: i64) -> (SqliteStore, Holder) {
    let store = SqliteStore::connect(SqliteOptions::new(path))
        .await
        .unwrap();
    let file = rusqlite::Connection::open(path).unwrap();
    file.busy_timeout(Duration::from_secs(60)).unwrap();
    let newest = (SystemClock.wall() - Duration::from_secs(3600)).as_millis();
    let ns = "SELECT id FROM namespace";
    let ns: i64 = file.query_row(ns, [], |row| row.get(0)).unwrap();
    let made = file.execute(
        include_str!("../examples/rows/fill.sql"),
        [rows, newest, ns],
    );
    assert_eq!(made.unwrap(), usize::try_from(rows).unwrap());
    // They stand in the way of the very claims that follow.
    let of_one = "SELECT count(*) FROM run WHERE ns = ?1 AND task = 't0'";
    let of_one: i64 = file.query_row(of_one, [ns], |row| row.get(0)).unwrap();
    assert_eq!(of_one, rows / 100);
    let counters = "UPDATE namespace SET feed = ?1, fence = ?1 WHERE id = ?2";
    file.execute(counters, [rows, ns]).unwrap();
    let node = Holder::new("n");
    let beat = Beat::new(node.clone(), Duration::from_secs(3600));
    store.beat(&beat).await.unwrap();
    let definitions: Vec<_> = (0..TASKS)
        .map(|number| Definition::new(task(number), generation(), "* * * * *"))
        .collect();
    store.register(node.id, &definitions).await.unwrap();
    (store, node)
}

/// What the statements of the writer did so far: steps of their programs, and rows that they walked
/// through without an index.
async fn work_of(store: &SqliteStore) -> (i64, i64) {
    let counted = store.write(Unwanted::Do, |step| {
        let mut sum = (0, 0);
        for sql in plan::seen() {
            // The very statement that was used, out of the connection's cache.
            let Ok(statement) = step.prepare(&sql) else {
                continue;
            };
            sum.0 += i64::from(statement.get_status(StatementStatus::VmStep));
            sum.1 += i64::from(statement.get_status(StatementStatus::FullscanStep));
        }
        Ok(sum)
    });
    counted.await.unwrap()
}

/// What it costs to claim runs of one tick.
async fn cost_of(
    (store, node): &(SqliteStore, Holder),
    tick: Timestamp,
    count: usize,
) -> (i64, i64) {
    let items = (0..count).map(|number| {
        let index = u32::try_from(number / TASKS).unwrap() + 1;
        let mut item = ClaimItem::new(task(number % TASKS), tick, index, generation());
        item.overlap = Overlap::Skip;
        item
    });
    let batch = ClaimBatch::new(node.id, items.collect());
    let before = work_of(store).await;
    let reply = store.claim(&batch).await.unwrap();
    let after = work_of(store).await;
    let mut ends = Vec::new();
    for answer in reply.answers {
        match answer {
            ClaimAnswer::Won(claim) => ends.push(Finish::new(claim.run, Outcome::Succeeded)),
            other => panic!("{other:?}"),
        }
    }
    store.finish(&ends).await.unwrap();
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn s52_a_claim_costs_as_little_work_among_very_many_finished_runs_as_among_few() {
    let folder = tempfile::tempdir().unwrap();
    let few = filled(&folder.path().join("few.db"), 1_000).await;
    let many = filled(&folder.path().join("many.db"), 200_000).await;
    let tick = SystemClock.wall() - Duration::from_secs(60);
    for count in [1, 256] {
        let first = tick + Duration::from_millis(count as u64);
        let second = first + Duration::from_secs(1);
        // The first one prepares what both then use.
        cost_of(&few, first, count).await;
        cost_of(&many, first, count).await;
        let (little, walked) = cost_of(&few, second, count).await;
        let (much, walked_by_many) = cost_of(&many, second, count).await;
        let least = i64::try_from(count).unwrap() * 50;
        assert!(
            little >= least,
            "{count}: {little} steps, too few to be all"
        );
        // Five parts of a hundred for what an index of another depth may cost.
        assert!(
            much * 100 <= little * 105,
            "{count}: {much} steps, not {little}"
        );
        assert_eq!(walked_by_many, walked, "{count}: rows walked through");
    }
}
