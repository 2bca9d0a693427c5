//! What is rare on a server, on every path that the scripts have to it: a fence counter that is
//! ahead of the clock, a clock that went back behind those who wait, waiters who all vanish.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::future::Future;

use futures_util::future::join_all;
use tenure_bed::{Redis, until};
use tenure_core::{
    Acquisition, ForceRequest, Forced, LeaseRequest, LeaseStore as _, Release, Sharing, Wake,
};
use tenure_redis::RedisStore;

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server};

const COUNTER: &str = "tenure:{0}:f";

/// Sets the fence counter an hour ahead of the server's clock, as it is when the clock went back.
/// Its value.
async fn ahead(server: &Redis) -> u64 {
    let time = server.call(&["TIME"]).await;
    let parts: Vec<u64> = time
        .list()
        .iter()
        .map(|part| part.to_string().parse().unwrap())
        .collect();
    let value = (parts[0] + 3600) * 1_000_000 + parts[1];
    server.call(&["SET", COUNTER, &value.to_string()]).await;
    value
}

/// A waiter for `name`, behind a holder who has it; the counter is set ahead, and `ends` ends the
/// lease. The waiter's fence.
async fn handed<F: Future<Output = ()>>(
    server: &Redis,
    store: &RedisStore,
    name: &str,
    ends: impl FnOnce(LeaseRequest) -> F,
) -> (u64, u64) {
    let (one, waiter) = (request(name), request(name).in_line(TTL));
    granted(store, &one).await;
    held(store, &waiter).await;
    let counter = ahead(server).await;
    ends(one).await;
    (counter, granted(store, &waiter).await.fence.get())
}

#[tokio::test]
async fn r62_every_way_to_a_lease_counts_on_from_a_counter_that_is_ahead_of_the_clock() {
    let (server, store) = server(redis().unix_only()).await;
    let (server, store) = (&server, &store);
    let counter = ahead(server).await;
    let fence = granted(store, &request("free")).await.fence.get();
    assert!(fence > counter, "free: {fence}, {counter}");
    let counter = ahead(server).await;
    let mut reader = request("shared");
    reader.sharing = Sharing::READ;
    let fence = granted(store, &reader).await.fence.get();
    assert!(fence > counter, "shared: {fence}, {counter}");
    let (counter, fence) = handed(server, store, "released", async |one| {
        let release = store.release(&one.key, one.token).await.unwrap();
        assert_eq!(release, Release::HandedOn);
    })
    .await;
    assert!(fence > counter, "released: {fence}, {counter}");
    let (counter, fence) = handed(server, store, "cancelled", async |one| {
        store.cancel(&one.key, one.token).await.unwrap();
    })
    .await;
    assert!(fence > counter, "cancelled: {fence}, {counter}");
    let (counter, fence) = handed(server, store, "forced", async |one| {
        let view = store.inspect(&one.key).await.unwrap().unwrap();
        let request = ForceRequest::new(one.key, view.mark.unwrap(), "operator");
        let forced = store.force(&request).await.unwrap();
        assert!(matches!(forced, Forced::Done { .. }), "{forced:?}");
    })
    .await;
    assert!(fence > counter, "forced: {fence}, {counter}");
    let (counter, fence) = handed(server, store, "deleted", async |_| {
        server.call(&["DEL", "deleted"]).await;
    })
    .await;
    assert!(fence > counter, "deleted: {fence}, {counter}");
}

#[tokio::test]
async fn r62_a_batch_counts_on_from_a_counter_that_is_ahead_of_the_clock() {
    let (server, store) = server(redis().unix_only()).await;
    // Those that find nothing under way leave alone; the others go together.
    let all: Vec<_> = (0..40).map(|n| request(&format!("lock {n}"))).collect();
    let counter = ahead(&server).await;
    let answers = join_all(all.iter().map(|one| store.acquire(one))).await;
    for answer in answers {
        let Ok(Acquisition::Granted(grant)) = answer else {
            panic!("{answer:?}");
        };
        assert!(grant.fence.get() > counter, "{grant:?}, {counter}");
    }
}

#[tokio::test]
async fn r31_whoever_comes_after_the_clock_went_back_stands_behind_those_who_wait() {
    let (server, store) = server(redis().unix_only().own_wall()).await;
    granted(&store, &request("ours")).await;
    server.call(&["SET", "theirs", "x"]).await;
    // Each kind of lock has a script of its own that gives places.
    for name in ["ours", "theirs"] {
        let waiters = [(); 3].map(|()| request(name).in_line(TTL));
        for (before, waiter) in waiters.iter().enumerate() {
            let place = held(&store, waiter).await.place.unwrap();
            assert_eq!(usize::try_from(place.position).unwrap(), before + 1);
            server.step_wall(-5_000).await;
        }
        for (before, waiter) in waiters.iter().enumerate() {
            let place = held(&store, waiter).await.place.unwrap();
            assert_eq!(usize::try_from(place.position).unwrap(), before + 1);
        }
    }
}

#[tokio::test]
async fn r25_a_queue_that_everybody_left_without_a_word_ends_by_itself() {
    let (server, store) = server(redis().unix_only()).await;
    // Each kind of lock, and of waiter, has a script of its own that gives places.
    for ours in ["ours", "ours to read"] {
        granted(&store, &request(ours)).await;
    }
    for theirs in ["theirs", "theirs to read"] {
        server.call(&["SET", theirs, "x", "PX", "30000"]).await;
    }
    for name in ["ours", "theirs"] {
        for _ in 0..2 {
            held(&store, &request(name).in_line(TTL)).await;
        }
        let mut reader = request(&format!("{name} to read")).in_line(TTL);
        reader.sharing = Sharing::READ;
        held(&store, &reader).await;
    }
    let names = server.call(&["KEYS", "*"]).await;
    let queues = names.list().iter().filter(|name| {
        let name = name.to_string();
        name.contains("}:q:") || name.contains("}:w:") || name.contains("}:d:")
    });
    assert_eq!(queues.count(), 2 * (2 + 3), "{names}");
    for name in names.list() {
        let name = name.to_string();
        if name == COUNTER || name.starts_with("tenure:holder:") {
            continue;
        }
        // As long as the last place, and a little longer.
        let left = server.call(&["PTTL", &name]).await.int().unwrap();
        assert!((1..=35_000).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
async fn r23_a_waiter_whose_connection_is_gone_is_skipped_at_once() {
    let server = redis().unix_only().start().await;
    let url = format!("{}?claim_window=60s", server.url());
    let (gone, store) = (connect(&url).await, connect(&url).await);
    let clients = async || server.call(&["CLIENT", "LIST"]).await.to_string();
    let before = clients().await.lines().count();
    // Once by the script that usually hands on, and once by the other.
    let names = ["released", "cancelled"];
    let mut waiting = Vec::new();
    for name in names {
        let one = request(name);
        granted(&store, &one).await;
        held(&gone, &request(name).in_line(TTL)).await;
        let next = request(name).in_line(TTL);
        let wakes = store.listen(&next.key, next.token);
        assert_eq!(held(&store, &next).await.place.unwrap().position, 2);
        waiting.push((one, next, wakes));
    }
    drop(gone);
    until("the server knows", PATIENCE, async || {
        (clients().await.lines().count() < before).then_some(())
    })
    .await;
    for (one, next, mut wakes) in waiting {
        if one.key.as_bytes() == b"released" {
            let release = store.release(&one.key, one.token).await.unwrap();
            assert_eq!(release, Release::HandedOn);
        } else {
            store.cancel(&one.key, one.token).await.unwrap();
        }
        let told = tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap();
        assert!(matches!(told, Wake::Granted(_)), "{told:?}");
        granted(&store, &next).await;
    }
}
