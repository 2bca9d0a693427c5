//! Claims in batches, beside a bare script that makes the same writes on the same client.
//!
//! `cargo bench -p tenure-redis --bench claims -- URL`: the second tick of 10 240 registered tasks,
//! all due at once; rounds of both, interleaved, each on an empty server; medians. The server is
//! emptied, so give it one of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and has nobody to report a failure to"
)]

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use redis::aio::MultiplexedConnection;
use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Finish, Generation, Holder, Outcome,
    RunStore as _, TaskName, Timestamp,
};
use tenure_redis::RedisStore;

const BATCH: usize = 256;
const BATCHES: usize = 40;
const ROUNDS: usize = 9;

/// What a claim writes, and nothing else: record, slot, event, history, counter.
const BARE: &str = "
local sets, slots, events = {}, {}, {}
local n = 0
for i = 1, #KEYS - 4 do
  local field = ARGV[3 + 2 * i]
  sets[n + 1], sets[n + 2] = field, ARGV[4 + 2 * i]
  slots[n + 1], slots[n + 2] = field, ARGV[3]
  events[i] = field
  n = n + 2
  redis.call('ZADD', KEYS[4 + i], ARGV[2], ARGV[4])
end
redis.call('HSET', KEYS[1], unpack(sets))
redis.call('HSET', KEYS[2], unpack(slots))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', '2000', '*', ARGV[1], table.concat(events, '\\0'))
redis.call('HINCRBY', KEYS[4], 'sequence', 1)
return n";

fn tasks() -> Vec<TaskName> {
    let names = 0..BATCH * BATCHES;
    names
        .map(|number| TaskName::new(format!("task-{number:05}")).unwrap())
        .collect()
}

/// A node that lists all tasks, on an empty server.
async fn begin(store: &RedisStore, raw: &mut MultiplexedConnection) -> (Holder, Timestamp) {
    let _: () = redis::cmd("FLUSHALL").query_async(raw).await.unwrap();
    let node = Holder::new("bench");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    let generation = Generation::new("0123456789abcdef").unwrap();
    let definitions: Vec<_> = tasks()
        .into_iter()
        .map(|task| Definition::new(task, generation.clone(), "* * * * *"))
        .collect();
    store.register(node.id, &definitions).await.unwrap();
    (node, store.now().await.unwrap().now)
}

/// Claims a second, and finishes of them a second, of the second tick of all tasks.
async fn ours(store: &RedisStore, raw: &mut MultiplexedConnection, at_once: usize) -> (f64, f64) {
    let (node, now) = begin(store, raw).await;
    let first = now - Duration::from_secs(60);
    one_tick(store, &node, first, at_once).await;
    one_tick(store, &node, now, at_once).await
}

async fn one_tick(
    store: &RedisStore,
    node: &Holder,
    tick: Timestamp,
    at_once: usize,
) -> (f64, f64) {
    let generation = Generation::new("0123456789abcdef").unwrap();
    let batches: Vec<ClaimBatch> = tasks()
        .chunks(BATCH)
        .map(|some| {
            let item = |task: &TaskName| ClaimItem::new(task.clone(), tick, 1, generation.clone());
            ClaimBatch::new(node.id, some.iter().map(item).collect())
        })
        .collect();
    let began = Instant::now();
    let replies: Vec<_> = stream::iter(&batches)
        .map(|batch| store.claim(batch))
        .buffered(at_once)
        .collect()
        .await;
    let claimed = began.elapsed().as_secs_f64();
    let mut ends = Vec::new();
    for reply in replies {
        let won = reply
            .unwrap()
            .answers
            .into_iter()
            .map(|answer| match answer {
                ClaimAnswer::Won(claim) => Finish::new(claim.run, Outcome::Succeeded),
                other => unreachable!("{other:?}"),
            });
        ends.push(won.collect::<Vec<_>>());
    }
    let began = Instant::now();
    let answers: Vec<_> = stream::iter(&ends)
        .map(|batch| store.finish(batch))
        .buffered(at_once)
        .collect()
        .await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    let finished = began.elapsed().as_secs_f64();
    let pairs = (BATCH * BATCHES) as f64;
    (pairs / claimed, pairs / finished)
}

/// The same writes a second.
async fn bare(raw: &mut MultiplexedConnection, at_once: usize) -> f64 {
    let _: () = redis::cmd("FLUSHALL").query_async(raw).await.unwrap();
    let script = redis::Script::new(BARE);
    script.prepare_invoke().load_async(raw).await.unwrap();
    write_tick(raw, &script, 1_700_000_000_000, at_once).await;
    // Finished runs are in hand no more.
    let slots = redis::cmd("DEL").arg("tenure:{bench}:r:slots").to_owned();
    let _: () = slots.query_async(raw).await.unwrap();
    write_tick(raw, &script, 1_700_000_060_000, at_once).await
}

async fn write_tick(
    raw: &mut MultiplexedConnection,
    script: &redis::Script,
    tick: i64,
    at_once: usize,
) -> f64 {
    let tail = "0123456789abcdef0123456789abcdef 0123456789abcdef l s *";
    let key = |name: &str| format!("tenure:{{bench}}:r:{name}");
    let all = tasks();
    let began = Instant::now();
    stream::iter(all.chunks(BATCH))
        .map(|some| {
            let mut raw = raw.clone();
            async move {
                let mut call = script.prepare_invoke();
                call.key(key(&format!("t:{tick}")));
                call.key(key("slots")).key(key("events")).key(key("meta"));
                for task in some {
                    call.key(key(&format!("x:{}", task.as_str())));
                }
                call.arg(tick).arg(-tick).arg(format!("{tick}s@1700000000"));
                call.arg(format!("{tick}/s1"));
                for (at, task) in some.iter().enumerate() {
                    call.arg(format!("s1:{}", task.as_str()));
                    call.arg(format!(
                        "r * * * * 1700000000 {tick} 1 = = 1700000000000000+{at} {tail}"
                    ));
                }
                let _: i64 = call.invoke_async(&mut raw).await.unwrap();
            }
        })
        .buffered(at_once)
        .collect::<Vec<()>>()
        .await;
    (BATCH * BATCHES) as f64 / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::args()
        .find(|arg| arg.starts_with("redis"))
        .expect("a URL");
    let store = RedisStore::connect(&url).await.unwrap();
    let client = redis::Client::open(url.replace("redis+unix:", "redis+unix://")).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    for at_once in [1, 4] {
        let (mut claims, mut finishes, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (claimed, ended) = ours(&store, &mut raw, at_once).await;
            claims.push(claimed);
            finishes.push(ended);
            writes.push(bare(&mut raw, at_once).await);
        }
        let (claims, finishes, writes) = (median(claims), median(finishes), median(writes));
        println!(
            "{at_once} batches at once: claims/s {claims:.0} / bare {writes:.0} = {:.2}; \
             finishes/s {finishes:.0}",
            claims / writes,
        );
    }
}
