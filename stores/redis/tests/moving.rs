//! A cluster's slots move while requests are under way.

#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tenure_bed::{Cluster, Flavour, until};
use tenure_core::{Acquisition, Fence, Holder, Key, LeaseRequest, LeaseStore as _, Release, Ttl};
use tenure_redis::RedisStore;

const TTL: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);
/// How many take and give back locks of their own.
const OTHERS: usize = 32;
const MOVES: usize = 12;

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
    let held = store.acquire(&request("k")).await.unwrap();
    assert!(matches!(held, Acquisition::Granted(_)), "{held:?}");
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
        let held = store.acquire(&waiter).await.unwrap();
        assert!(matches!(held, Acquisition::Held(_)), "{held:?}");
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
