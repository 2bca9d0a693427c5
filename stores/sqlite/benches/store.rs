//! What the store costs, beside what bare SQLite costs in the same run.
//!
//! `cargo bench -p tenure-sqlite` prints the figures of the README. It asserts nothing.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and has nobody to report a failure to"
)]

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tenure_core::{
    Acquisition, Beat, ClaimBatch, ClaimItem, Clock, Definition, Generation, HistoryQuery, Holder,
    Key, LeaseRequest, LeaseStore, Overlap, Pass, Prune, RunKey, RunState, RunStore, SystemClock,
    Take, TaskName, Timestamp, Ttl, Wake,
};
use tenure_sqlite::{SqliteOptions, SqliteStore, Synchronous};

const TTL: Duration = Duration::from_secs(60);

fn request(key: &Key) -> LeaseRequest {
    LeaseRequest::new(key.clone(), Holder::new("bench"), Ttl::new(TTL).unwrap())
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = SystemClock.now();
    work();
    SystemClock.now().since(began).as_secs_f64()
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let began = SystemClock.now();
    work.await;
    SystemClock.now().since(began)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!("{what}: p50 {:?}, p99 {:?}", at(50), at(99));
}

async fn pair(store: &SqliteStore, key: &Key) {
    let request = request(key);
    let answer = store.acquire(&request).await.unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)));
    store.release(key, request.token).await.unwrap();
}

/// The least any lock in a SQLite file costs: one row in, one row out, a commit each.
fn bare_pairs(path: &Path, synchronous: &str, times: u32) -> f64 {
    let file = rusqlite::Connection::open(path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    file.pragma_update(None, "synchronous", synchronous)
        .unwrap();
    file.execute_batch("CREATE TABLE l (k TEXT PRIMARY KEY, t INTEGER) WITHOUT ROWID")
        .unwrap();
    let spent = seconds(|| {
        for i in 0..times {
            for sql in [
                "INSERT INTO l VALUES ('k', ?1)",
                "DELETE FROM l WHERE k = 'k' AND t = ?1",
            ] {
                file.prepare_cached(sql).unwrap().execute([i]).unwrap();
            }
        }
    });
    f64::from(times) / spent
}

async fn pairs(folder: &Path) {
    for (name, synchronous, times) in [
        ("normal", Synchronous::Normal, 5_000),
        ("full", Synchronous::Full, 500),
    ] {
        let bare = bare_pairs(&folder.join(format!("bare-{name}.db")), name, times);
        let options = SqliteOptions::new(folder.join(format!("{name}.db")));
        let store = SqliteStore::connect(options.synchronous(synchronous))
            .await
            .unwrap();
        let key = Key::new("k").unwrap();
        let began = SystemClock.now();
        for _ in 0..times {
            pair(&store, &key).await;
        }
        let alone = f64::from(times) / SystemClock.now().since(began).as_secs_f64();
        let began = SystemClock.now();
        let callers = (0..64).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = Key::new(format!("k{caller}")).unwrap();
                for _ in 0..times / 10 {
                    pair(&store, &key).await;
                }
            })
        });
        join_all(callers).await;
        let many = f64::from(64 * (times / 10)) / SystemClock.now().since(began).as_secs_f64();
        println!(
            "{name}: bare SQLite {bare:.0} pairs/s; one caller {alone:.0} ({:.2} of bare); \
             64 callers {many:.0} ({:.2} of bare)",
            alone / bare,
            many / bare
        );
    }
}

async fn hand_off(folder: &Path) {
    let path = folder.join("hand-off.db");
    let a = SqliteStore::connect(SqliteOptions::new(&path))
        .await
        .unwrap();
    let b = SqliteStore::connect(SqliteOptions::new(&path))
        .await
        .unwrap();
    let key = Key::new("k").unwrap();
    for (name, waits) in [("in one process", &a), ("between processes", &b)] {
        let mut times = Vec::new();
        for _ in 0..500 {
            let first = request(&key);
            a.acquire(&first).await.unwrap();
            let second = request(&key).in_line(TTL);
            let mut wakes = LeaseStore::listen(waits, &key, second.token);
            waits.acquire(&second).await.unwrap();
            let released = async { a.release(&key, first.token).await.unwrap() };
            let granted = async { while !matches!(wakes.next().await, Wake::Granted(_)) {} };
            times.push(timed(async { tokio::join!(released, granted) }).await);
            a.release(&key, second.token).await.unwrap();
        }
        show(&format!("hand-off {name}, from the call of release"), times);
    }
}

fn task(number: u32) -> TaskName {
    TaskName::new(format!("task-{number:06}")).unwrap()
}

async fn runs(folder: &Path) {
    let tasks: u32 = 100_000;
    let store = SqliteStore::connect(SqliteOptions::new(folder.join("runs.db")))
        .await
        .unwrap();
    let node = Holder::new("bench");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(3600)))
        .await
        .unwrap();
    let generation = Generation::new("g").unwrap();
    let definitions: Vec<_> = (0..tasks)
        .map(|number| Definition::new(task(number), generation.clone(), "* * * * *"))
        .collect();
    let spent = timed(async { store.register(node.id, &definitions).await.unwrap() }).await;
    println!("100 000 tasks registered in {spent:?}");
    let now = SystemClock.wall();
    let spent = timed(async {
        for round in 1..=10_u64 {
            let tick = now - Duration::from_secs(60 * round);
            for first in (0..tasks).step_by(250) {
                let passes: Vec<_> = (first..first + 250)
                    .map(|number| RunKey::scheduled(task(number), tick, 1))
                    .map(|key| Pass::skipped(key, "bench"))
                    .collect();
                store.pass(&passes).await.unwrap();
            }
        }
    })
    .await;
    println!("1 000 000 records made in {spent:?}");
    let item = |number: u32, tick: Timestamp| {
        let mut item = ClaimItem::new(task(number), tick, 1, generation.clone());
        item.overlap = Overlap::Skip;
        item
    };
    for size in [1, 64, 256] {
        let mut times = Vec::new();
        for round in 0..100 {
            let items = (0..size).map(|i| item((round * 997 + i * 31) % tasks, SystemClock.wall()));
            let batch = ClaimBatch::new(node.id, items.collect());
            times.push(timed(async { store.claim(&batch).await.unwrap() }).await);
        }
        show(&format!("claim of {size} among a million"), times);
    }
    let mut failed = HistoryQuery::all();
    failed.states = vec![RunState::Failed];
    let mut prune = Prune::before(now);
    prune.keep_newest = 5;
    println!(
        "take {:?}, newest page {:?}, failed page {:?}, prune of none {:?}, all tasks {:?}",
        timed(async { store.take(&Take::new(node.id, 10)).await.unwrap() }).await,
        timed(async { store.history(&HistoryQuery::all()).await.unwrap() }).await,
        timed(async { store.history(&failed).await.unwrap() }).await,
        timed(async { store.prune(&prune).await.unwrap() }).await,
        timed(async { store.tasks().await.unwrap() }).await,
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    pairs(folder.path()).await;
    hand_off(folder.path()).await;
    runs(folder.path()).await;
}
