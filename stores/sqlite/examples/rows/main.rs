//! How long a claim takes in a file of very many finished runs, beside one in an empty file.
//!
//! `cargo run --release -p tenure-sqlite --example rows -- 10000000` fills a file in the folder for
//! temporary files, claims one tick and then a batch of 256 again and again, in turn with the empty
//! file, and prints the median and the longest time. It ends with status 1 if the median of one
//! claim is 5 ms or more (S52). Ten million rows are about two gigabytes, and half as many again
//! while the indexes are built; `TMPDIR` says where.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement prints, and has nobody to report a failure to"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rusqlite::Connection;
use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock, Definition, Finish, Generation, Holder,
    Outcome, RunStore, SystemClock, TaskName, Timestamp,
};
use tenure_sqlite::{SqliteOptions, SqliteStore};

const BAR: Duration = Duration::from_millis(5);
const ROUNDS: i64 = 100;
const TASKS: usize = 100;
const BATCH: usize = 256;

fn task(number: usize) -> TaskName {
    TaskName::new(format!("t{number}")).unwrap()
}

async fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions::new(path).patience(Duration::from_secs(60));
    SqliteStore::connect(options).await.unwrap()
}

/// Fills the file, without its indexes and its log, which come back at the end.
fn fill(path: &Path, rows: i64) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -262144;",
    )
    .unwrap();
    let indexes = "SELECT name, sql FROM sqlite_master
                   WHERE type = 'index' AND tbl_name = 'run' AND sql IS NOT NULL";
    let mut indexes = file.prepare(indexes).unwrap();
    let of_row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let indexes: Vec<(String, String)> = indexes
        .query_map([], of_row)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, _) in &indexes {
        file.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    let ns: i64 = file
        .query_row("SELECT id FROM namespace", [], |row| row.get(0))
        .unwrap();
    let newest = SystemClock.wall() - Duration::from_secs(3600);
    file.execute(include_str!("fill.sql"), [rows, newest.as_millis(), ns])
        .unwrap();
    for (_, sql) in &indexes {
        file.execute_batch(sql).unwrap();
    }
    let counters = "UPDATE namespace SET feed = ?1, fence = ?1 WHERE id = ?2";
    file.execute(counters, [rows, ns]).unwrap();
    file.execute_batch("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL")
        .unwrap();
}

/// A store, its node, and how long each claim took.
struct Side {
    store: SqliteStore,
    node: Holder,
    single: Vec<Duration>,
    batch: Vec<Duration>,
}

impl Side {
    async fn new(path: &Path) -> Self {
        let store = open(path).await;
        let node = Holder::new("rows");
        let beat = Beat::new(node.clone(), Duration::from_secs(3600));
        store.beat(&beat).await.unwrap();
        let generation = Generation::new("g").unwrap();
        let definitions: Vec<_> = (0..TASKS)
            .map(|number| Definition::new(task(number), generation.clone(), "* * * * *"))
            .collect();
        store.register(node.id, &definitions).await.unwrap();
        Self {
            store,
            node,
            single: Vec::new(),
            batch: Vec::new(),
        }
    }

    /// Claims runs of one tick, lets them end, and tells how long the claim took.
    async fn claim(&self, tick: Timestamp, count: usize) -> Duration {
        let generation = Generation::new("g").unwrap();
        let items = (0..count).map(|number| {
            let index = u32::try_from(number / TASKS).unwrap() + 1;
            ClaimItem::new(task(number % TASKS), tick, index, generation.clone())
        });
        let batch = ClaimBatch::new(self.node.id, items.collect());
        let began = SystemClock.now();
        let reply = self.store.claim(&batch).await.unwrap();
        let took = SystemClock.now().since(began);
        let ends: Vec<_> = reply
            .answers
            .into_iter()
            .map(|answer| match answer {
                ClaimAnswer::Won(claim) => Finish::new(claim.run, Outcome::Succeeded),
                other => panic!("not won: {other:?}"),
            })
            .collect();
        self.store.finish(&ends).await.unwrap();
        took
    }

    async fn round(&mut self, tick: Timestamp) {
        self.single.push(self.claim(tick, 1).await);
        let tick = tick - Duration::from_secs(1);
        self.batch.push(self.claim(tick, BATCH).await);
    }
}

fn show(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what:<34} {:>9.3} {:>9.3}", ms(median), ms(worst));
    median
}

#[tokio::main]
async fn main() -> ExitCode {
    let rows = std::env::args().nth(1);
    let Ok(rows) = rows.map_or(Ok(1_000_000), |rows| rows.parse::<i64>()) else {
        println!("how many rows? such as: rows 10000000");
        return ExitCode::FAILURE;
    };
    let folder = tempfile::tempdir().unwrap();
    let (full, empty) = (
        folder.path().join("full.db"),
        folder.path().join("empty.db"),
    );
    let plain = folder.path().join("plain.db");
    let store = open(&plain).await;
    // A copy, because nobody else may have the file open while its log is away.
    let copy = format!("VACUUM INTO '{}'", full.display());
    Connection::open(&plain)
        .unwrap()
        .execute_batch(&copy)
        .unwrap();
    drop(store);
    let began = SystemClock.now();
    fill(&full, rows);
    let took = SystemClock.now().since(began).as_secs();
    let megabytes = std::fs::metadata(&full).unwrap().len() / 1_000_000;
    println!("{rows} rows, {megabytes} MB, filled in {took} s");
    let (mut full, mut empty) = (Side::new(&full).await, Side::new(&empty).await);
    let first = SystemClock.wall() - Duration::from_secs(200);
    for round in 0..ROUNDS {
        let tick = first + Duration::from_millis(round.unsigned_abs());
        full.round(tick).await;
        empty.round(tick).await;
    }
    println!("{:<34} {:>9} {:>9}", "claim, ms", "median", "longest");
    let median = show("one run, full", &mut full.single);
    show("one run, empty", &mut empty.single);
    show("256 runs of 100 tasks, full", &mut full.batch);
    show("256 runs of 100 tasks, empty", &mut empty.batch);
    println!("bar: one run in the full file under {} ms", BAR.as_millis());
    if median < BAR {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
