//! A cluster's slots move while requests are under way; and who hears what its nodes say.

#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tenure_bed::{Cluster, Flavour, until};
use tenure_core::{
    Acquisition, Fence, Holder, Key, LeaseRequest, LeaseStore as _, Release, Sharing, Ttl, Wake,
};
use tenure_redis::RedisStore;

const TTL: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);
/// How many take and give back locks of their own.
const OTHERS: usize = 32;
const MOVES: usize = 12;
/// Long enough for many requests, were they answered.
const A_MOMENT: Duration = Duration::from_millis(500);

fn request(name: &str) -> LeaseRequest {
    let key = Key::new(name).unwrap();
    LeaseRequest::new(key, Holder::new("test"), Ttl::new(TTL).unwrap())
}

/// When a slot leaves a node, the node ends the subscriptions of its channels, and says so unasked.
/// A driver that takes that for the reply to a request gives each reply that follows to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r49_every_reply_reaches_who_asked_while_a_slot_moves_that_somebody_listens_to() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let url = format!("{}?timeout=4s&connect_timeout=1m", cluster.url());
    let store = Arc::new(RedisStore::connect(&url).await.unwrap());
    let slot = cluster.slot_of_key("k").await;
    grant(&store, &request("k")).await;
    let waiter = request("k").in_line(TTL);
    let _wakes = store.listen(&waiter.key, waiter.token);
    let is_over = Arc::new(AtomicBool::new(false));
    let pairs = Arc::new(AtomicU32::new(0));
    let mut others = Vec::new();
    for other in 0..OTHERS {
        let name = format!("other{other}");
        assert_ne!(cluster.slot_of_key(&name).await, slot, "{name} stays");
        let (store, is_over, pairs) = (store.clone(), is_over.clone(), pairs.clone());
        others.push(tokio::spawn(async move {
            let mut last = Fence::new(1);
            while !is_over.load(Ordering::Relaxed) {
                let request = request(&name);
                let grant = match store.acquire(&request).await.unwrap() {
                    Acquisition::Granted(grant) => grant,
                    other => panic!("{name}: {other:?}"),
                };
                assert!(grant.fence > last, "{name}: {grant:?} after {last}");
                last = grant.fence;
                let release = store.release(&request.key, request.token).await.unwrap();
                // If it was sent again, the first may have got through. A lock that was not given
                // back would be in the way of the next.
                let is_done = matches!(release, Release::Freed | Release::NotHeld);
                assert!(is_done, "{name}: {release:?}");
                pairs.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for _ in 0..MOVES {
        // The waiter hears the node that has its slot now.
        wait_in_line(&store, &waiter).await;
        let before = pairs.load(Ordering::Relaxed);
        until("the others go on", PATIENCE, async || {
            let ended = others.iter().any(tokio::task::JoinHandle::is_finished);
            (ended || pairs.load(Ordering::Relaxed) > before + 100).then_some(())
        })
        .await;
        let here = cluster.node_of_slot(slot).await;
        cluster.migrate_slot(slot, (here + 1) % 3).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
}

/// A node that gives a slot away makes no keys of it, nor does it look for them: a script that
/// looks for a key that it took away itself is ended there in the middle, and what it did stays
/// done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e71_no_step_is_ended_in_the_middle_by_a_slot_that_leaves() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let url = format!("{}?timeout=20s&connect_timeout=1m", cluster.url());
    let [one, two] = [connect(&url).await, connect(&url).await];
    let slot = cluster.slot_of_key("k").await;
    let here = cluster.node_of_slot(slot).await;
    let permit = Sharing::permit(NonZeroU32::MIN);
    // Who waits is dead, and the next one would be looked for in a queue that is no more.
    let (held, waits) = (request("k"), request("k").in_line(TTL));
    grant(&one, &held).await;
    let listeners = cluster.nodes()[here].call(&["PUBSUB", "SHARDCHANNELS"]);
    let listeners = listeners.await.list().len();
    let dies = connect(&url).await;
    wait_in_line(&dies, &waits).await;
    drop(dies);
    until("its channel is closed", PATIENCE, async || {
        let now = cluster.nodes()[here].call(&["PUBSUB", "SHARDCHANNELS"]);
        (now.await.list().len() == listeners).then_some(())
    })
    .await;
    assert_eq!(
        release_while_it_leaves(&cluster, &one, &held).await,
        Release::Freed
    );
    let next = request("k");
    grant(&two, &next).await;
    two.release(&next.key, next.token).await.unwrap();
    // Who waits lives, and takes the place of the only one.
    let (held, waits) = (
        request("k").shared(permit),
        request("k").shared(permit).in_line(TTL),
    );
    grant(&one, &held).await;
    let mut wakes = two.listen(&waits.key, waits.token);
    wait_in_line(&two, &waits).await;
    assert_eq!(
        release_while_it_leaves(&cluster, &one, &held).await,
        Release::HandedOn
    );
    let woken = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
    assert!(matches!(woken, Wake::Granted(_)), "{woken:?}");
    grant(&two, &waits).await;
    let other = request("k").shared(permit);
    let answer = one.acquire(&other).await.unwrap();
    assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
}

/// What a release says that is asked for while the slot of its lock is about to leave, which it
/// does not do after all.
async fn release_while_it_leaves(
    cluster: &Cluster,
    store: &RedisStore,
    held: &LeaseRequest,
) -> Release {
    let slot = cluster.slot_of_key("k").await;
    let to = (cluster.node_of_slot(slot).await + 1) % 3;
    let migration = cluster.begin_migration(slot, to).await;
    let mut release = pin!(store.release(&held.key, held.token));
    // It is put off and not refused.
    let early = tokio::time::timeout(A_MOMENT, &mut release).await;
    assert!(early.is_err(), "{early:?}");
    migration.call_off().await;
    release.await.unwrap()
}

async fn connect(url: &str) -> RedisStore {
    RedisStore::connect(url).await.unwrap()
}

async fn grant(store: &RedisStore, request: &LeaseRequest) {
    let answer = store.acquire(request).await.unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)), "{answer:?}");
}

async fn wait_in_line(store: &RedisStore, request: &LeaseRequest) {
    let answer = store.acquire(request).await.unwrap();
    assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
}

/// A primary passes on to its replicas what is published, and does not count who hears it there:
/// taken for dead, one would hear that the lock is its own while the next one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r49_who_listens_at_a_replica_is_told_of_no_grant() {
    let cluster = Cluster::start(Flavour::Redis).await;
    let url = format!("{}?timeout=20s&connect_timeout=1m", cluster.url());
    let [one, two] = [connect(&url).await, connect(&url).await];
    let slot = cluster.slot_of_key("k").await;
    let home = &cluster.nodes()[cluster.node_of_slot(slot).await];
    let channels = async || {
        let now = home.call(&["PUBSUB", "SHARDCHANNELS"]).await;
        let names = now.list().iter().map(ToString::to_string);
        names.collect::<Vec<_>>()
    };
    let before = channels().await;
    let (held, waits) = (request("k"), request("k").in_line(TTL));
    grant(&one, &held).await;
    wait_in_line(&two, &waits).await;
    let added = channels().await;
    let channel = added.iter().find(|name| !before.contains(name)).unwrap();
    drop(two);
    until("its channel is closed", PATIENCE, async || {
        (channels().await == before).then_some(())
    })
    .await;
    let port = home.port().to_string();
    let mut replica = None;
    for node in cluster.nodes().iter().skip(3) {
        if node.info("master_port").await.as_deref() == Some(&port) {
            replica = Some(node.port());
        }
    }
    let mut ear = TcpStream::connect(("127.0.0.1", replica.unwrap())).unwrap();
    ear.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(ear, "SSUBSCRIBE {channel}\r\n").unwrap();
    let mut heard = vec![0; 1024];
    let subscribed = ear.read(&mut heard).unwrap();
    let subscribed = String::from_utf8_lossy(&heard[..subscribed]).into_owned();
    assert!(subscribed.contains("ssubscribe"), "{subscribed}");
    let release = one.release(&held.key, held.token).await.unwrap();
    assert_eq!(release, Release::Freed);
    ear.set_read_timeout(Some(A_MOMENT)).unwrap();
    let error = ear.read(&mut heard).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
}
