//! A node of a cluster falls silent under locks that are spread over all nodes: its own are lost
//! and told so, and nobody else's.

#![cfg(feature = "redis")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, with the place in its message; its figures are shown"
)]

use std::sync::Arc;
use std::time::Duration;

use tenure::core::{Clock as _, Holder, SystemClock};
use tenure::{Locks, LossReason, RedisStore};
use tenure_bed::{Cluster, Flavour, until};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(120);
const LOCKS: usize = 240;
/// Renewed every second; an answer is waited for at most half as long as that.
const TTL: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r39_a_node_of_a_cluster_that_is_paused_costs_no_lock_of_another_node() {
    let cluster = Cluster::start(Flavour::Redis).await;
    // A request may take longer than such a renewal may.
    let url = format!("{}?timeout=2s", cluster.url());
    let store = RedisStore::connect(&url).await.unwrap();
    let locks = Locks::new(Arc::new(store), Holder::new("holder"));
    let mut taking = JoinSet::new();
    for number in 0..LOCKS {
        let key = format!("k{number}");
        let slot = cluster.slot_of_key(&key).await;
        let node = cluster.node_of_slot(slot).await;
        let locks = locks.clone();
        taking.spawn(async move { (node, locks.lock(&key).ttl(TTL).acquire().await.unwrap()) });
    }
    let guards = taking.join_all().await;
    let silent = &cluster.nodes()[0];
    silent.pause();
    let paused = SystemClock.now();
    let (theirs, others): (Vec<_>, Vec<_>) = guards.into_iter().partition(|(node, _)| *node == 0);
    assert!(theirs.len() > LOCKS / 6 && others.len() > LOCKS / 3);
    for (_, guard) in &theirs {
        let reason = timeout(PATIENCE, guard.lost()).await.unwrap();
        // Nobody knows what became of them.
        assert!(matches!(reason, LossReason::TrustEnded { .. }), "{reason}");
    }
    let took = SystemClock.now().since(paused);
    println!(
        "{} locks of the silent node lost within {took:?}",
        theirs.len()
    );
    assert!(took <= TTL + Duration::from_secs(1), "{took:?}");
    // For several lives of a lease.
    until("the others live on", PATIENCE, async || {
        for (node, guard) in &others {
            assert!(guard.is_trusted(), "{}, on node {node}", guard.key());
        }
        (SystemClock.now().since(paused) > 4 * TTL).then_some(())
    })
    .await;
    // And one that is taken now is none of its business either.
    let name = others[0].1.key().to_string();
    let beside = format!("{{{name}}}beside");
    let fresh = timeout(TTL, locks.lock(&beside).ttl(TTL).acquire()).await;
    assert!(fresh.unwrap().unwrap().is_trusted());
    silent.resume();
    for (_, guard) in others {
        guard.release().await.unwrap();
    }
    // What was lost can be had again as soon as the node answers.
    for (_, guard) in &theirs {
        let again = locks.lock(guard.key()).ttl(TTL).wait_forever();
        let again = timeout(PATIENCE, again.acquire()).await.unwrap().unwrap();
        assert!(again.fence() > guard.fence());
    }
}
