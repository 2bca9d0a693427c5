//! Acquire and release through the store, beside the same done raw on the same client.
//!
//! `cargo bench -p tenure-redis --bench pairs -- URL`: rounds of both, interleaved; medians.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and has nobody to report a failure to"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tenure_core::{Acquisition, Holder, Key, LeaseRequest, LeaseStore as _, Token, Ttl};
use tenure_redis::RedisStore;

const COMPARE_AND_DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

async fn ours(store: &RedisStore, key: &Key, holder: &Holder) {
    let ttl = Ttl::new(Duration::from_secs(30)).unwrap();
    let request = LeaseRequest::new(key.clone(), holder.clone(), ttl);
    assert!(matches!(
        store.acquire(&request).await.unwrap(),
        Acquisition::Granted(_)
    ));
    store.release(key, request.token).await.unwrap();
}

async fn raw(connection: &mut MultiplexedConnection, script: &redis::Script, key: &Key) {
    let token = Token::random().to_string();
    let set: Option<String> = redis::cmd("SET")
        .arg(key.as_bytes())
        .arg(&token)
        .arg("NX")
        .arg("PX")
        .arg(30_000)
        .query_async(connection)
        .await
        .unwrap();
    assert!(set.is_some());
    let gone: i64 = script
        .key(key.as_bytes())
        .arg(&token)
        .invoke_async(connection)
        .await
        .unwrap();
    assert_eq!(gone, 1);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median time of a pair, and pairs a second, with so many tasks.
async fn round<F, T>(tasks: usize, pairs: usize, make: F) -> (f64, f64)
where
    F: Fn(Key) -> T + Clone + Send + 'static,
    T: Future<Output = ()> + Send,
{
    let began = Instant::now();
    let workers: Vec<_> = (0..tasks)
        .map(|task| {
            let make = make.clone();
            tokio::spawn(async move {
                let key = Key::new(format!("bench/{task}")).unwrap();
                let mut times = Vec::with_capacity(pairs);
                for _ in 0..pairs {
                    let began = Instant::now();
                    make(key.clone()).await;
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
    (median(times), rate)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::args()
        .find(|arg| arg.starts_with("redis"))
        .expect("a URL");
    let store = RedisStore::connect(&url).await.unwrap();
    let client = redis::Client::open(url.replace("redis+unix:", "redis+unix://")).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = Arc::new(redis::Script::new(COMPARE_AND_DELETE));
    let holder = Holder::new("bench");
    for (tasks, pairs, rounds) in [(1, 3000, 9), (64, 300, 9), (1024, 30, 9)] {
        let (mut our, mut their) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (store, holder) = (store.clone(), holder.clone());
            our.push(
                round(tasks, pairs, move |key| {
                    let (store, holder) = (store.clone(), holder.clone());
                    async move { ours(&store, &key, &holder).await }
                })
                .await,
            );
            let (connection, script) = (connection.clone(), script.clone());
            their.push(
                round(tasks, pairs, move |key| {
                    let (mut connection, script) = (connection.clone(), script.clone());
                    async move { raw(&mut connection, &script, &key).await }
                })
                .await,
            );
        }
        let p50 = |all: &[(f64, f64)]| median(all.iter().map(|one| one.0).collect());
        let rate = |all: &[(f64, f64)]| median(all.iter().map(|one| one.1).collect());
        println!(
            "{tasks:5} tasks: p50 {:.0} µs / {:.0} µs = {:.2}; pairs/s {:.0} / {:.0} = {:.2}",
            p50(&our),
            p50(&their),
            p50(&our) / p50(&their),
            rate(&our),
            rate(&their),
            rate(&our) / rate(&their),
        );
    }
}
