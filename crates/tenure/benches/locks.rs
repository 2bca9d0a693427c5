//! Locks on Redis beside the least that a client could do: `cargo bench -p tenure --bench locks --
//! redis://127.0.0.1`.
//!
//! Interleaved rounds of both on one machine, medians, ratios. Without a URL it says what it needs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and has nobody to report a failure to"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tenure::{Locks, connect};

const COMPARE_AND_DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
const ROUNDS: usize = 7;

async fn ours(locks: &Locks, key: &str) {
    let guard = locks.lock(key).acquire().await.unwrap();
    guard.release().await.unwrap();
}

async fn raw(connection: &mut MultiplexedConnection, script: &redis::Script, key: &str) {
    let token = fastrand::u128(..).to_string();
    let set: Option<String> = redis::cmd("SET")
        .arg(key)
        .arg(&token)
        .arg("NX")
        .arg("PX")
        .arg(30_000)
        .query_async(connection)
        .await
        .unwrap();
    assert!(set.is_some());
    let gone: i64 = script
        .key(key)
        .arg(&token)
        .invoke_async(connection)
        .await
        .unwrap();
    assert_eq!(gone, 1);
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

/// The median time of a pair in µs, and pairs a second.
async fn round<F, T>(tasks: usize, pairs: usize, make: F) -> (f64, f64)
where
    F: Fn(String) -> T + Clone + Send + 'static,
    T: Future<Output = ()> + Send,
{
    let began = Instant::now();
    let workers: Vec<_> = (0..tasks)
        .map(|task| {
            let make = make.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(pairs);
                for _ in 0..pairs {
                    let began = Instant::now();
                    make(format!("bench/{task}")).await;
                    times.push(began.elapsed().as_secs_f64() * 1e6);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    (percentile(&mut times, 50), rate)
}

async fn pairs(url: &str, connection: &MultiplexedConnection) {
    let locks = connect(url).await.unwrap().locks();
    let script = Arc::new(redis::Script::new(COMPARE_AND_DELETE));
    for (tasks, pairs) in [(1, 2000), (64, 200), (1024, 20)] {
        let (mut our, mut their) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let locks = locks.clone();
            let one = move |key: String| {
                let locks = locks.clone();
                async move { ours(&locks, &key).await }
            };
            our.push(round(tasks, pairs, one).await);
            let (connection, script) = (connection.clone(), script.clone());
            let one = move |key: String| {
                let (mut connection, script) = (connection.clone(), script.clone());
                async move { raw(&mut connection, &script, &key).await }
            };
            their.push(round(tasks, pairs, one).await);
        }
        let median = |all: &[(f64, f64)], pick: fn(&(f64, f64)) -> f64| {
            percentile(&mut all.iter().map(pick).collect::<Vec<_>>(), 50)
        };
        let (ours, theirs) = (median(&our, |one| one.0), median(&their, |one| one.0));
        let (rate, limit) = (median(&our, |one| one.1), median(&their, |one| one.1));
        println!(
            "{tasks:5} tasks: p50 {ours:.0} µs, bare SET NX and delete {theirs:.0} µs = {:.2}; \
             pairs/s {rate:.0} / {limit:.0} = {:.2}",
            ours / theirs,
            rate / limit,
        );
    }
}

/// How long a lock is nobody's while it goes from hand to hand, and who gets it how often.
async fn hand_offs(url: &str, connection: &MultiplexedConnection, waiters: usize) {
    let commands = async || {
        let mut connection = connection.clone();
        let text: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut connection)
            .await
            .unwrap();
        let calls = |name: &str| -> u64 {
            text.lines()
                .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")))
                .and_then(|rest| rest.split(',').next()?.parse().ok())
                .unwrap_or(0)
        };
        calls("evalsha") + calls("eval")
    };
    let released: Arc<Mutex<Option<Instant>>> = Arc::default();
    let gaps: Arc<Mutex<Vec<f64>>> = Arc::default();
    let turns: Arc<Mutex<HashMap<usize, usize>>> = Arc::default();
    let locks = connect(url).await.unwrap().locks();
    let before = commands().await;
    let end = Instant::now() + Duration::from_secs(3);
    let workers: Vec<_> = (0..waiters)
        .map(|worker| {
            let (locks, released) = (locks.clone(), released.clone());
            let (gaps, turns) = (gaps.clone(), turns.clone());
            tokio::spawn(async move {
                while Instant::now() < end {
                    let guard = locks.lock("bench/hand-off").acquire().await.unwrap();
                    if let Some(at) = released.lock().unwrap().take() {
                        gaps.lock().unwrap().push(at.elapsed().as_secs_f64() * 1e6);
                    }
                    *turns.lock().unwrap().entry(worker).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    *released.lock().unwrap() = Some(Instant::now());
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let after = commands().await;
    let mut gaps = gaps.lock().unwrap().clone();
    let turns = turns.lock().unwrap();
    let (most, fewest) = (turns.values().max().unwrap(), turns.values().min().unwrap());
    println!(
        "{waiters:4} waiters holding 1 ms: hand-off p50 {:.0} µs, p99 {:.0} µs; scripts a hand-off \
         {:.2}; most turns over fewest {:.2}",
        percentile(&mut gaps, 50),
        percentile(&mut gaps, 99),
        (after - before) as f64 / gaps.len() as f64,
        *most as f64 / *fewest as f64,
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Some(url) = std::env::args().find(|arg| arg.starts_with("redis")) else {
        println!("needs a server: cargo bench -p tenure --bench locks -- redis://127.0.0.1");
        return;
    };
    let client = redis::Client::open(url.as_str()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    pairs(&url, &connection).await;
    for waiters in [2, 16, 200] {
        hand_offs(&url, &connection, waiters).await;
    }
}
