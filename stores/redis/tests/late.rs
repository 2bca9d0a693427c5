//! Requests that arrive after their cancellation, because they went another way: nothing of them
//! is left, on any kind of connection.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod steps;

use std::pin::pin;
use std::time::Duration;

use tenure_bed::{Flavour, Redis, Relay, until};
use tenure_core::{
    Acquisition, Cancellation, Key, LeaseRequest, LeaseStore, Release, StoreErrorKind,
};
use tenure_redis::{QuorumStore, RedisStore};

use crate::steps::{PATIENCE, TTL, connect, granted, held, redis, request, server, turn};

/// How long a request takes on a connection on which nothing passes.
const TIMEOUT: &str = "timeout=400ms";

/// What follows the relay's address, and what is then between a request and its cancellation.
const WAYS: [(&str, &str); 3] = [
    ("", "a new connection in the place of the shared one"),
    ("pool=2&pool_timeout=20s", "two connections of a pool"),
    (
        "safety=strict&max_ttl=1h",
        "a connection of its own for each grant",
    ),
];

/// A server with a relay in front of it, a store behind the relay that has asked before, and one
/// that needs no relay.
struct Bed {
    server: Redis,
    relay: Relay,
    store: RedisStore,
    direct: RedisStore,
}

impl Bed {
    async fn new(parameters: &str) -> Self {
        let (server, direct) = server(redis().tcp()).await;
        let relay = Relay::to(&server);
        let url = format!("{}?{TIMEOUT}&connect_timeout=20s&{parameters}", relay.url());
        let store = connect(&url).await;
        let first = request("first");
        until("the first grant", PATIENCE, async || {
            // The quarantine of a strict store's new server.
            server.call(&["DEL", "tenure:strict:quarantine"]).await;
            let answer = store.acquire(&first).await;
            matches!(answer, Ok(Acquisition::Granted(_))).then_some(())
        })
        .await;
        store.release(&first.key, first.token).await.unwrap();
        Self {
            server,
            relay,
            store,
            direct,
        }
    }

    /// Lets what was under way arrive, and waits until the server has run it.
    async fn arrive(&self) {
        arrive(&self.server, &self.relay).await;
    }

    async fn assert_free(&self, between: &str) {
        assert_eq!(owner(&self.server, "late").await, "", "{between}");
        granted(&self.direct, &request("late")).await;
    }
}

/// Asks until the cancellation is answered, as `tenure-lock` does in the background.
async fn cancelled(store: &dyn LeaseStore, request: &LeaseRequest) -> Cancellation {
    until("the cancellation", PATIENCE, async || {
        let answer = store.cancel(&request.key, request.token).await;
        answer
            .map_err(|error| assert!(error.is_retryable(), "{error}"))
            .ok()
    })
    .await
}

/// Scripts whose text or digest the server was sent.
async fn scripts(server: &Redis) -> u64 {
    let mut sum = 0;
    for name in ["cmdstat_evalsha", "cmdstat_eval"] {
        let line = server.info(name).await.unwrap_or_default();
        let calls = line.split(',').find_map(|part| part.strip_prefix("calls="));
        sum += calls.map_or(0, |calls| calls.parse::<u64>().unwrap());
    }
    sum
}

/// Lets what was under way arrive, and waits until the server has run it.
async fn arrive(server: &Redis, relay: &Relay) {
    let before = scripts(server).await;
    relay.heal();
    until("the late request", PATIENCE, async || {
        (scripts(server).await > before).then_some(())
    })
    .await;
}

async fn owner(server: &Redis, name: &str) -> String {
    server.call(&["GET", name]).await.to_string()
}

/// Asks on a connection on which nothing passes, and gives up.
async fn asked_in_vain(store: &dyn LeaseStore, request: &LeaseRequest) {
    let error = store.acquire(request).await.unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
}

#[tokio::test]
async fn r13_a_request_that_comes_after_its_cancellation_is_granted_nothing() {
    for (parameters, between) in WAYS {
        let bed = Bed::new(parameters).await;
        let late = request("late");
        bed.relay.strand();
        asked_in_vain(&bed.store, &late).await;
        let cancelled = cancelled(&bed.store, &late).await;
        assert_eq!(cancelled, Cancellation::Nothing, "{between}");
        bed.arrive().await;
        assert_eq!(owner(&bed.server, "late").await, "", "{between}");
        // The token is no longer good for anything.
        let error = bed.store.acquire(&late).await.unwrap_err();
        let kind = error.kind();
        assert_eq!(kind, StoreErrorKind::InvalidRequest, "{between}: {error}");
        bed.assert_free(between).await;
    }
}

#[tokio::test]
async fn r13_a_future_that_was_dropped_leaves_nothing_when_its_request_comes_late() {
    for (parameters, between) in WAYS {
        let bed = Bed::new(parameters).await;
        let late = request("late");
        bed.relay.strand();
        {
            let mut asking = pin!(bed.store.acquire(&late));
            let asked = tokio::time::timeout(Duration::from_millis(100), asking.as_mut()).await;
            assert!(asked.is_err(), "{between}");
        }
        // Others notice that nothing passes there, and a new connection is made.
        until("a way", PATIENCE, async || {
            bed.store.inspect(&late.key).await.ok()
        })
        .await;
        cancelled(&bed.store, &late).await;
        bed.arrive().await;
        bed.assert_free(between).await;
    }
}

#[tokio::test]
async fn r13_a_waiter_that_comes_after_its_cancellation_takes_no_place() {
    for (parameters, between) in WAYS {
        let bed = Bed::new(parameters).await;
        let holder = request("late");
        granted(&bed.store, &holder).await;
        let waiter = request("late").in_line(TTL);
        bed.relay.strand();
        asked_in_vain(&bed.store, &waiter).await;
        cancelled(&bed.store, &waiter).await;
        bed.arrive().await;
        let view = bed.direct.inspect(&holder.key).await.unwrap().unwrap();
        assert_eq!(view.queue.len(), 0, "{between}");
        // Others wait meanwhile, and are served.
        let next = request("late").in_line(TTL);
        let mut wakes = bed.direct.listen(&next.key, next.token);
        let place = held(&bed.direct, &next).await.place.unwrap();
        assert_eq!(place.position, 1, "{between}");
        let released = bed.direct.release(&holder.key, holder.token).await.unwrap();
        assert_eq!(released, Release::HandedOn, "{between}");
        turn(&bed.direct, &next, &mut wakes).await;
    }
}

#[tokio::test]
async fn r13_what_was_asked_twice_and_released_does_not_come_back() {
    for (parameters, between) in WAYS {
        let bed = Bed::new(parameters).await;
        let late = request("late");
        bed.relay.strand();
        asked_in_vain(&bed.store, &late).await;
        // Without an answer it is asked again, elsewhere, and granted.
        until("the grant", PATIENCE, async || {
            let answer = bed.store.acquire(&late).await;
            matches!(answer, Ok(Acquisition::Granted(_))).then_some(())
        })
        .await;
        let released = bed.store.release(&late.key, late.token).await.unwrap();
        assert_eq!(released, Release::Freed, "{between}");
        bed.arrive().await;
        bed.assert_free(between).await;
    }
}

#[tokio::test]
async fn r13_r71_a_vote_that_comes_after_its_cancellation_is_for_nobody() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Redis::builder(Flavour::Redis).tcp().start().await);
    }
    let relays: Vec<Relay> = servers.iter().map(Relay::to).collect();
    let hosts: Vec<String> = relays
        .iter()
        .map(|relay| format!("127.0.0.1:{}", relay.port()))
        .collect();
    let url = format!(
        "redis+quorum://{}?node_timeout=5s&timeout=400ms&connect_timeout=20s",
        hosts.join(",")
    );
    let store = QuorumStore::connect(&url).await.unwrap();
    let first = request("first");
    until("the first grant", PATIENCE, async || {
        let answer = store.acquire(&first).await;
        matches!(answer, Ok(Acquisition::Granted(_))).then_some(())
    })
    .await;
    store.release(&first.key, first.token).await.unwrap();
    let late = request("late");
    relays.iter().for_each(Relay::strand);
    asked_in_vain(&store, &late).await;
    cancelled(&store, &late).await;
    for (server, relay) in servers.iter().zip(&relays) {
        arrive(server, relay).await;
    }
    // What is still swept up goes by connections that work.
    let key = Key::new("late").unwrap();
    until("no vote", PATIENCE, async || {
        let view = store.inspect(&key).await.ok()?;
        view.is_none().then_some(())
    })
    .await;
    for server in &servers {
        assert_eq!(owner(server, "late").await, "");
    }
}
