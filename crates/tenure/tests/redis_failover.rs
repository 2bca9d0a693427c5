//! The primary dies by `kill -9` under thirty-two workers, whose resource checks fences: what is
//! lost, how it is told, and that no fence goes back.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, with the place in its message; its figures are shown"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::core::{Clock as _, Holder, Moment, SystemClock};
use tenure::{Fence, Locks, LossReason, RedisStore};
use tenure_bed::{Cluster, Flavour, Redis, Sentinel, until};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

const WORKERS: usize = 32;
const KEYS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);
const TTL: Duration = Duration::from_secs(5);
const CLAIM_WINDOW: Duration = Duration::from_millis(500);
/// Longer than another server needs to take over.
const LONG: Duration = Duration::from_secs(90);
/// Writes before the primary dies, and after another one has taken over.
const WRITES: usize = 400;
/// All keys of a cluster that this is about are in one slot.
const VICTIM: &str = "{h}victim";

/// Something that takes writes and remembers the greatest fence of each key.
#[derive(Default)]
struct Resource {
    keys: Mutex<BTreeMap<String, Vec<(Fence, Moment)>>>,
    refused: Mutex<Vec<(String, Fence)>>,
}

impl Resource {
    /// False if the fence is older than one that was seen.
    fn write(&self, key: &str, fence: Fence) -> bool {
        let mut keys = self.keys.lock().unwrap();
        let written = keys.entry(key.to_owned()).or_default();
        if written.last().is_some_and(|(last, _)| *last >= fence) {
            self.refused.lock().unwrap().push((key.to_owned(), fence));
            return false;
        }
        written.push((fence, SystemClock.now()));
        true
    }

    fn count(&self) -> usize {
        self.keys.lock().unwrap().values().map(Vec::len).sum()
    }
}

/// What workers were told, by kind.
type Told = Arc<Mutex<BTreeMap<String, usize>>>;

fn note(told: &Told, what: impl Into<String>) {
    *told.lock().unwrap().entry(what.into()).or_default() += 1;
}

/// Takes a lock, writes under its fence and gives it back, until it is told to stop.
async fn work(
    locks: Locks,
    at: usize,
    resource: Arc<Resource>,
    told: Told,
    mut stop: watch::Receiver<bool>,
) {
    let key = format!("{{h}}{}", at % KEYS);
    while !*stop.borrow() {
        let lock = locks.lock(&key).ttl(TTL).wait_forever();
        let guard = tokio::select! {
            guard = lock.acquire() => guard,
            _ = stop.changed() => return,
        };
        let guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                note(&told, format!("acquire failed: {error}"));
                continue;
            }
        };
        if guard.ensure_trusted().is_err() {
            note(&told, "lost before the write");
            continue;
        }
        if !resource.write(&key, guard.fence()) {
            note(&told, "write refused by the resource");
        }
        match guard.release().await {
            Ok(released) => note(&told, format!("release: {released:?}")),
            Err(error) => note(
                &told,
                format!("release failed: {error:?}")
                    .chars()
                    .take(60)
                    .collect::<String>(),
            ),
        }
    }
}

async fn locks(url: &str, label: &str) -> Locks {
    locks_with(url, label, CLAIM_WINDOW).await
}

async fn locks_with(url: &str, label: &str, claim_window: Duration) -> Locks {
    let url = format!("{url}?claim_window={}ms", claim_window.as_millis());
    let store = RedisStore::connect(&url).await.unwrap();
    Locks::new(Arc::new(store), Holder::new(label))
}

/// `primary` dies with what its `replicas` have not heard; another one takes over by itself once
/// `is_noticed` has let the others look.
async fn primary_dies(
    url: &str,
    primary: &Redis,
    replicas: &[&Redis],
    is_noticed: impl Future<Output = ()>,
    limit: Duration,
) {
    let (resource, told) = (Arc::new(Resource::default()), Told::default());
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for at in 0..WORKERS {
        let locks = locks(url, &format!("worker {at}")).await;
        workers.spawn(work(
            locks,
            at,
            resource.clone(),
            told.clone(),
            stopped.clone(),
        ));
    }
    let (victim, heir) = (locks(url, "victim").await, locks(url, "heir").await);
    let written = async |count: usize| {
        until("the workers write", PATIENCE, async || {
            (resource.count() >= count).then_some(())
        })
        .await;
    };
    written(WRITES).await;
    // What is granted from now on dies with the primary.
    for replica in replicas {
        replica.pause();
    }
    primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    let lost = victim.lock(VICTIM).ttl(LONG).acquire().await.unwrap();
    assert!(resource.write(VICTIM, lost.fence()));
    written(resource.count() + WORKERS).await;
    primary.kill();
    let killed = SystemClock.now();
    for replica in replicas {
        replica.resume();
    }
    is_noticed.await;
    // The lease that was lost can be had again, while its holder still believes in it.
    let lock = heir.lock(VICTIM).ttl(LONG).wait_forever();
    let next = timeout(LONG, lock.acquire()).await.unwrap().unwrap();
    assert!(next.fence() > lost.fence());
    let two_at_once = lost.is_trusted();
    assert!(resource.write(VICTIM, next.fence()));
    assert!(!resource.write(VICTIM, lost.fence()));
    let reason = timeout(PATIENCE, lost.lost()).await.unwrap();
    // A holder asks as soon as it is connected to the new primary, before the heir has it or after.
    assert!(matches!(reason, LossReason::Taken { .. }), "{reason}");
    let first_taken = SystemClock.now().since(killed);
    until("every key is written again", PATIENCE, async || {
        let keys = resource.keys.lock().unwrap();
        let is_written = |(key, written): (&String, &Vec<(Fence, Moment)>)| {
            let after = written
                .iter()
                .filter(|(_, at)| at.since(killed) > first_taken);
            key == VICTIM || after.count() >= WRITES / KEYS
        };
        keys.iter().all(is_written).then_some(())
    })
    .await;
    stop.send(true).unwrap();
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let keys = resource.keys.lock().unwrap();
    let mut silences = Vec::new();
    for written in keys.values() {
        assert!(written.is_sorted_by(|one, next| one.0 < next.0));
        let pauses = written.iter().zip(written.iter().skip(1));
        let across = pauses.filter(|((_, _), (_, to))| *to > killed);
        let silence = across.map(|((_, from), (_, to))| to.since((*from).max(killed)));
        silences.push(silence.max().unwrap());
    }
    silences.sort_unstable();
    let (recovered, whole) = (silences.first().unwrap(), silences.last().unwrap());
    println!(
        "first key again after {recovered:?}, last after {whole:?} with a ttl of {TTL:?}; {} \
         writes, {} refused by their fence; two trusted holders at once: {two_at_once}, \
         and the older was told: {reason}",
        keys.values().map(Vec::len).sum::<usize>(),
        resource.refused.lock().unwrap().len(),
    );
    for (what, count) in &*told.lock().unwrap() {
        println!("  {count:>6} x {what}");
    }
    // Whatever was lost was told as what it is: a lock that was not ours any more, or may not be.
    let known = [
        "lost before the write",
        "write refused by the resource",
        "release: ",
        "release failed: ",
    ];
    for what in told.lock().unwrap().keys() {
        assert!(known.iter().any(|known| what.starts_with(known)), "{what}");
    }
    assert!(*recovered <= limit, "{recovered:?}");
    // A lease whose release died with the primary lasts until its end. The queue as the replica had
    // it names places of workers that have gone on since; what is handed to those is passed on at
    // once, unless the word of it comes while their process is not yet connected again.
    assert!(*whole <= limit + TTL + 2 * CLAIM_WINDOW, "{whole:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r58_r62_a_primary_that_dies_under_sentinel_takes_leases_with_it_and_no_fence() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let primary = sentinel.primary().await;
    let nodes = sentinel.nodes().iter();
    let replicas: Vec<_> = nodes.filter(|node| node.port() != primary.port()).collect();
    // Two or three seconds where nothing else runs: sentinels give up after one.
    let limit = Duration::from_secs(6);
    primary_dies(&sentinel.url(), primary, &replicas, sentinel.watch(), limit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r58_r62_a_primary_that_dies_in_a_cluster_takes_leases_with_it_and_no_fence() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let slot = cluster.slot_of_key(VICTIM).await;
    let primary = cluster
        .nodes()
        .get(cluster.node_of_slot(slot).await)
        .unwrap();
    let port = primary.port().to_string();
    let mut replicas = Vec::new();
    for node in cluster.nodes() {
        if node.info("master_port").await.as_deref() == Some(&port) {
            replicas.push(node);
        }
    }
    assert_eq!(replicas.len(), 1);
    // Three or four seconds where nothing else runs: nodes give up after one and a half.
    let limit = Duration::from_secs(8);
    primary_dies(&cluster.url(), primary, &replicas, cluster.watch(), limit).await;
}

/// Waits for `k` and says so when it has it.
async fn hold_once(locks: Locks, held: mpsc::UnboundedSender<Moment>) {
    let lock = locks.lock("k").ttl(LONG).wait_forever();
    let guard = lock.acquire().await.unwrap();
    held.send(SystemClock.now()).unwrap();
    guard.release().await.unwrap();
}

/// How many stand in line for `k`.
async fn waiting(server: &Redis) -> i64 {
    let length = server.call(&["ZCARD", "tenure:{0}:q:k"]).await.int();
    length.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_places_that_came_back_with_a_fail_over_cost_nobody_a_claim_window() {
    // Of each kind: of waiters who gave up, and of waiters whose process is gone.
    const GHOSTS: i64 = 25;
    const LIVING: i64 = 4;
    // Longer than all that happens here, so that a single one would show.
    const WINDOW: Duration = Duration::from_secs(60);
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let url = sentinel.url();
    let primary = sentinel.primary().await;
    let nodes = sentinel.nodes().iter();
    let replicas: Vec<_> = nodes.filter(|node| node.port() != primary.port()).collect();
    let in_line = async |server: &Redis, length: i64| {
        until("they stand in line", PATIENCE, async || {
            (waiting(server).await == length).then_some(())
        })
        .await;
    };
    let owner = locks_with(&url, "owner", WINDOW).await;
    let guard = owner.lock("k").ttl(LONG).acquire().await.unwrap();
    let (held, mut holds) = mpsc::unbounded_channel();
    let leaver = locks_with(&url, "leaver", WINDOW).await;
    let mut leaving = JoinSet::new();
    for _ in 0..GHOSTS {
        leaving.spawn(hold_once(leaver.clone(), held.clone()));
    }
    in_line(primary, GHOSTS).await;
    let process = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dead = process.spawn({
        let (url, held) = (url.clone(), held.clone());
        async move {
            let locks = locks_with(&url, "dead", WINDOW).await;
            let mut waiters = JoinSet::new();
            for _ in 0..GHOSTS {
                waiters.spawn(hold_once(locks.clone(), held.clone()));
            }
            waiters.join_all().await;
        }
    });
    in_line(primary, 2 * GHOSTS).await;
    // One of those who live shares its connection with those who gave up.
    let mut living = JoinSet::new();
    living.spawn(hold_once(leaver.clone(), held.clone()));
    for at in 1..LIVING {
        let locks = locks_with(&url, &format!("living {at}"), WINDOW).await;
        living.spawn(hold_once(locks, held.clone()));
    }
    for server in sentinel.nodes() {
        in_line(server, 2 * GHOSTS + LIVING).await;
    }
    // What happens to the queue from now on dies with the primary.
    for replica in &replicas {
        replica.pause();
    }
    primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    leaving.abort_all();
    dead.abort();
    process.shutdown_background();
    until("those who gave up have left", PATIENCE, async || {
        (waiting(primary).await <= GHOSTS + LIVING).then_some(())
    })
    .await;
    let stopped = SystemClock.now();
    primary.kill();
    for replica in &replicas {
        replica.resume();
    }
    sentinel.watch().await;
    let heir = sentinel.failed_over(primary).await;
    until(
        "the living listen to the new primary",
        PATIENCE,
        async || {
            let channels = heir.call(&["PUBSUB", "CHANNELS", "tenure:c:*"]).await;
            (channels.list().len() >= usize::try_from(LIVING).ok()?).then_some(())
        },
    )
    .await;
    let back = waiting(heir).await;
    // A queue that nobody asked about for longer than that is gone, with all its ghosts.
    if SystemClock.now().since(stopped) < Duration::from_secs(10) {
        assert_eq!(back, 2 * GHOSTS + LIVING, "the ghosts are back");
    }
    let released = SystemClock.now();
    guard.release().await.unwrap();
    let mut last = released;
    for _ in 0..LIVING {
        last = timeout(PATIENCE, holds.recv()).await.unwrap().unwrap();
    }
    living.join_all().await;
    let took = last.since(released);
    println!("{LIVING} waiters in a queue of {back} in {took:?}");
    assert!(
        took < WINDOW / 2,
        "{took:?} with a claim window of {WINDOW:?}"
    );
    assert_eq!(waiting(heir).await, 0);
}
