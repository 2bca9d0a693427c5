//! The steps of a lock on a real server, as tests about one server write them.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::time::Duration;

use tenure_bed::{Flavour, Redis, RedisBuilder};
use tenure_core::{
    Acquisition, Grant, Held, Holder, Key, LeaseRequest, LeaseStore as _, Ttl, Wakes,
};
use tenure_redis::RedisStore;

pub(crate) const TTL: Duration = Duration::from_secs(30);
/// How long anything here may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn redis() -> RedisBuilder {
    Redis::builder(Flavour::Redis)
}

/// A server, and a store on it.
pub(crate) async fn server(builder: RedisBuilder) -> (Redis, RedisStore) {
    let server = builder.start().await;
    let store = connect(&server.url()).await;
    (server, store)
}

/// With more time than the defaults where the URL says nothing of it: the servers of several tests
/// share the machine's few cores.
pub(crate) async fn connect(url: &str) -> RedisStore {
    let beside = if url.contains('?') { '&' } else { '?' };
    let url = if url.contains("timeout=") {
        url.to_owned()
    } else {
        format!("{url}{beside}timeout=5s&connect_timeout=20s")
    };
    RedisStore::connect(&url).await.unwrap()
}

pub(crate) fn request(name: &str) -> LeaseRequest {
    let key = Key::new(name).unwrap();
    LeaseRequest::new(key, Holder::new("test"), Ttl::new(TTL).unwrap())
}

pub(crate) async fn granted(store: &RedisStore, request: &LeaseRequest) -> Grant {
    match store.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn held(store: &RedisStore, request: &LeaseRequest) -> Held {
    match store.acquire(request).await.unwrap() {
        Acquisition::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

/// Waits as a client does: asks, listens for as long as the store advised, and asks again.
/// Trouble that may pass is counted and passed over.
pub(crate) async fn turn(
    store: &RedisStore,
    request: &LeaseRequest,
    wakes: &mut Wakes,
) -> (Grant, usize) {
    let mut troubles = 0;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let pause = match store.acquire(request).await {
                Ok(Acquisition::Granted(grant)) => return grant,
                Ok(Acquisition::Held(held)) => held.ask_again_after,
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    troubles += 1;
                    Duration::from_millis(20)
                }
            };
            let _woken = tokio::time::timeout(pause, wakes.next()).await;
        }
    });
    (waited.await.unwrap(), troubles)
}
