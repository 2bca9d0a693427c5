//! A primary that is told to follow another one, and lives on: its answers say so, on connections
//! that nobody cut.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::time::Duration;

use futures_util::future::join_all;
use tenure_bed::{Flavour, Redis, Sentinel, until};
use tenure_core::{
    Acquisition, LeaseRequest, LeaseStore as _, Release, RenewRequest, Renewal, StoreError, Ttl,
};
use tenure_redis::RedisStore;

use crate::steps::{PATIENCE, connect, granted, held, request, turn};

async fn renewed(store: &RedisStore, of: &LeaseRequest) -> Result<Renewal, StoreError> {
    let renewal = RenewRequest::new(of.key.clone(), of.token, of.ttl);
    let mut answers = store.renew(&[renewal]).await?;
    answers.remove(0)
}

/// Has the sentinels replace their primary, which is well. Returns the new one.
async fn replaced<'a>(sentinel: &'a Sentinel, old: &Redis) -> &'a Redis {
    let command = ["SENTINEL", "FAILOVER", sentinel.name()];
    let begun = sentinel.sentinels()[0].cli(&command).await;
    assert_eq!(begun, "OK");
    sentinel.failed_over(old).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e70_a_primary_that_is_demoted_under_a_connection_is_left_and_what_it_forgot_is_told() {
    let sentinel = Sentinel::start_with(Flavour::Redis, 2, |node| {
        node.acl_user("default on nopass ~* &* +@all")
    })
    .await;
    let old = sentinel.primary().await;
    let (store, other) = (
        connect(&sentinel.url()).await,
        connect(&sentinel.url()).await,
    );
    let kept = request("kept");
    granted(&store, &kept).await;
    assert_eq!(old.call(&["WAIT", "2", "20000"]).await.int(), Some(2));
    // The sentinels may name another primary, and may not tell the old one, nor cut its clients.
    let denied = ["ACL", "SETUSER", "default", "-slaveof", "-replicaof"];
    assert_eq!(old.call(&denied).await.to_string(), "OK");
    let new = replaced(&sentinel, old).await;
    assert_eq!(old.info("role").await.unwrap(), "master");
    // There are two of them now, and our connections lead to the one that is to be forgotten.
    let late = request("late");
    let before = granted(&store, &late).await;
    let waiter = request("late").in_line(Duration::from_secs(30));
    let mut wakes = other.listen(&waiter.key, waiter.token);
    held(&other, &waiter).await;
    assert_ne!(old.cli(&["GET", "late"]).await, "");
    assert_eq!(new.cli(&["GET", "late"]).await, "");
    let port = new.port().to_string();
    assert_eq!(old.cli(&["REPLICAOF", "127.0.0.1", &port]).await, "OK");
    // Its answer is followed to the new primary, within the time of one request.
    let renewal = renewed(&store, &kept).await.unwrap();
    assert!(matches!(renewal, Renewal::Renewed(_)), "{renewal:?}");
    let turned_away = old.info("errorstat_READONLY").await;
    assert!(
        turned_away.is_some(),
        "nobody was told that it takes no writes"
    );
    // What the old one granted to the end is gone, and its holder is told.
    let renewal = renewed(&store, &late).await.unwrap();
    assert!(
        matches!(renewal, Renewal::Lost { by: None, .. }),
        "{renewal:?}"
    );
    let (after, _) = turn(&other, &waiter, &mut wakes).await;
    assert!(after.fence > before.fence);
    let fresh = request("fresh");
    granted(&store, &fresh).await;
    assert_ne!(new.cli(&["GET", "fresh"]).await, "");
    assert_ne!(new.cli(&["GET", "late"]).await, "");
}

/// What a worker saw: fences in the order of its grants, and how many of its requests failed.
#[derive(Debug, Default)]
struct Seen {
    fences: Vec<u64>,
    known: usize,
    unknown: usize,
    lost: usize,
    held: bool,
}

/// Takes a lock and gives it back until `is_over`, and at least three times after that.
async fn work(store: RedisStore, name: String, over: tokio::sync::watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    let mut left = 3;
    while left > 0 {
        let mut one = request(&name);
        one.ttl = Ttl::new(Duration::from_secs(2)).unwrap();
        match store.acquire(&one).await {
            Ok(Acquisition::Granted(grant)) => {
                seen.fences.push(grant.fence.get());
                left -= usize::from(*over.borrow());
                let released = until("the lock is given back", PATIENCE, async || {
                    store.release(&one.key, one.token).await.ok()
                })
                .await;
                seen.lost += usize::from(released != Release::Freed);
            }
            // Given back to the old primary, which had no time to pass it on: it ends by itself.
            Ok(_) => {
                seen.held = true;
                undone(&store, &one).await;
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                if error.outcome_is_unknown() {
                    seen.unknown += 1;
                } else {
                    seen.known += 1;
                }
                undone(&store, &one).await;
            }
        }
    }
    seen
}
async fn undone(store: &RedisStore, one: &LeaseRequest) {
    until("the acquisition is undone", PATIENCE, async || {
        store.cancel(&one.key, one.token).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e70_sentinels_that_replace_a_primary_that_is_well_cost_no_fence_and_no_silence() {
    let sentinel = Sentinel::start(Flavour::Redis, 2).await;
    let old = sentinel.primary().await;
    let kept = request("kept");
    let store = connect(&sentinel.url()).await;
    granted(&store, &kept).await;
    assert_eq!(old.call(&["WAIT", "2", "20000"]).await.int(), Some(2));
    let (tell, over) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for number in 0..8 {
        let store = connect(&sentinel.url()).await;
        workers.push(work(store, format!("k{number}"), over.clone()));
    }
    let replacing = async {
        let new = replaced(&sentinel, old).await;
        until(
            "the old primary follows the new one",
            PATIENCE,
            async || (old.info("role").await? == "slave").then_some(()),
        )
        .await;
        tell.send(true).unwrap();
        new
    };
    let (all, new) = tokio::join!(join_all(workers), replacing);
    for seen in all {
        assert!(seen.fences.is_sorted_by(|one, next| one < next), "{seen:?}");
        assert!(seen.fences.len() > 3, "{seen:?}");
        // It holds one lock at a time, so no more than one can be lost with the old primary, or
        // have an outcome that nobody knows, for each time that its connection was cut.
        assert!(seen.lost + seen.unknown <= 4, "{seen:?}");
    }
    let renewal = renewed(&store, &kept).await.unwrap();
    assert!(matches!(renewal, Renewal::Renewed(_)), "{renewal:?}");
    assert_ne!(new.cli(&["GET", "kept"]).await, "");
}
