//! What is logged for operators when a store is opened.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_bed::{Flavour, Quorum, Redis, until};
use tenure_redis::{QuorumStore, RedisStore};

/// What this thread logged.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<u8>>>);

impl io::Write for Ear {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ear {
    fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let ear = Self::default();
        let writer = ear.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (ear, tracing::subscriber::set_default(subscriber))
    }

    /// The warnings so far, which are then forgotten.
    fn warnings(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(text).unwrap();
        let warnings = text.lines().filter(|line| line.contains("WARN"));
        warnings.map(str::to_owned).collect()
    }
}

fn redis(policy: &str) -> tenure_bed::RedisBuilder {
    let builder = Redis::builder(Flavour::Redis).tcp();
    builder.config("maxmemory-policy", policy)
}

#[tokio::test]
async fn e79_r56_opening_a_store_warns_of_a_server_that_may_throw_locks_away() {
    let (ear, _hears) = Ear::here();
    for policy in ["noeviction", "volatile-ttl", "allkeys-lru"] {
        let server = redis(policy).start().await;
        let _store = RedisStore::connect(&server.url()).await.unwrap();
        let warnings = ear.warnings();
        if policy == "noeviction" {
            assert!(warnings.is_empty(), "{warnings:?}");
            continue;
        }
        let [warning] = warnings.as_slice() else {
            panic!("{policy}: {warnings:?}");
        };
        let port = server.port().to_string();
        for part in [policy, &port, "set maxmemory-policy noeviction"] {
            assert!(warning.contains(part), "{part} in: {warning}");
        }
    }
}

#[tokio::test]
async fn e79_a_user_who_may_not_ask_is_connected_all_the_same() {
    let (ear, _hears) = Ear::here();
    let user = "app on >pw ~* &* +@all -info";
    let server = redis("volatile-ttl").acl_user(user).start().await;
    let url = format!("redis://app:pw@127.0.0.1:{}", server.port());
    RedisStore::connect(&url).await.unwrap();
    assert!(ear.warnings().is_empty());
}

#[tokio::test]
async fn e79_r56_of_a_quorum_each_such_server_is_named() {
    let (ear, _hears) = Ear::here();
    let quorum = Quorum::start_with(Flavour::Redis, 3, |builder| {
        builder.config("maxmemory-policy", "volatile-lru")
    })
    .await;
    let _store = QuorumStore::connect(&quorum.url()).await.unwrap();
    let mut warnings = Vec::new();
    until("each is warned of", Duration::from_secs(60), async || {
        warnings.extend(ear.warnings());
        let is_named = |server: &Redis| {
            let port = format!(":{}", server.port());
            warnings.iter().any(|warning| warning.contains(&port))
        };
        quorum.nodes().iter().all(is_named).then_some(())
    })
    .await;
}
