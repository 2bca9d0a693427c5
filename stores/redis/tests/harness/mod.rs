//! Real servers for each case, and what the suites do to them.

pub(crate) mod barred;
pub(crate) mod runs;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tenure_bed::{Ca, Cluster, Flavour, Redis, RedisBuilder, Reply, Sentinel};
use tenure_conformance::LeaseHarness;
use tenure_core::{Acquisition, Holder, HolderId, Key, LeaseRequest, LeaseStore, Ttl};
use tenure_redis::RedisStore;

/// Longer than the defaults: the servers of several tests share the machine's few cores.
const PATIENCE: &str = "timeout=20s&connect_timeout=20s&claim_window=5s";

/// The servers of a case: its own, or its part of some that cases use one after another.
pub(crate) struct Harness {
    servers: Servers,
    url: String,
    prefix: String,
    /// How many fence counters there were before.
    counters: usize,
}

enum Servers {
    One(Box<Redis>),
    Sentinel(Arc<Sentinel>),
    Cluster(Arc<Cluster>),
}

impl Harness {
    async fn start(builder: RedisBuilder, url: impl FnOnce(&Redis) -> String) -> Self {
        let server = builder.start().await;
        let url = url(&server);
        let beside = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{beside}{PATIENCE}");
        Self {
            servers: Servers::One(Box::new(server)),
            url,
            prefix: String::new(),
            counters: 0,
        }
    }

    /// Redis through its socket.
    pub(crate) async fn socket() -> Self {
        Self::start(Redis::builder(Flavour::Redis).unix_only(), Redis::url).await
    }

    /// Valkey through its socket.
    pub(crate) async fn valkey() -> Self {
        Self::start(Redis::builder(Flavour::Valkey).unix_only(), Redis::url).await
    }

    /// Redis over TCP, with a pool of connections.
    pub(crate) async fn pool() -> Self {
        let url = |server: &Redis| format!("{}?pool=4&pool_timeout=20s", server.url());
        Self::start(Redis::builder(Flavour::Redis).tcp(), url).await
    }

    /// Redis over TLS, for a user with the rights that the README lists and no others.
    pub(crate) async fn tls_with_a_user() -> Self {
        static CA: OnceLock<Ca> = OnceLock::new();
        let ca = CA.get_or_init(Ca::new);
        // A second installation finds the first, which is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Redis::builder(Flavour::Redis).tls(ca).acl_user(USER);
        let url = |server: &Redis| {
            format!(
                "rediss://app:pw@127.0.0.1:{}?ca={}",
                server.port(),
                ca.path().display()
            )
        };
        Self::start(builder, url).await
    }

    /// Redis for a user who may neither publish nor subscribe.
    pub(crate) async fn without_channels() -> Self {
        let builder = Redis::builder(Flavour::Redis)
            .unix_only()
            .acl_user("app on >pw ~* resetchannels +@all");
        let url = |server: &Redis| format!("redis+unix:app:pw@{}", server.socket().display());
        Self::start(builder, url).await
    }

    /// A part of what sentinels watch over, for the case with this number.
    pub(crate) async fn part_of_sentinel(sentinel: &Arc<Sentinel>, case: usize) -> Self {
        let url = sentinel.url();
        Self::part(Servers::Sentinel(sentinel.clone()), &url, case).await
    }

    /// The same under strict safety. The quarantine of a new server is ended by hand, because
    /// nobody holds a lease that it forgot.
    pub(crate) async fn strict_part_of_sentinel(sentinel: &Arc<Sentinel>, case: usize) -> Self {
        let mut part = Self::part_of_sentinel(sentinel, case).await;
        part.url.push_str("&safety=strict&replicas=2&max_ttl=1d");
        let store = RedisStore::connect(&part.url).await.unwrap();
        let request = LeaseRequest::new(
            Key::new("first").unwrap(),
            Holder::new("first"),
            Ttl::new(Duration::from_secs(600)).unwrap(),
        );
        match store.acquire(&request).await.unwrap() {
            Acquisition::Held(_) => {
                part.ask(&[b"DEL", b"tenure:strict:quarantine"]).await;
            }
            _ => {
                store.release(&request.key, request.token).await.unwrap();
            }
        }
        part.counters += part.raw_fence_counters().await;
        part
    }

    /// A part of a cluster, for the case with this number.
    pub(crate) async fn part_of_cluster(cluster: &Arc<Cluster>, case: usize) -> Self {
        let url = cluster.url();
        Self::part(Servers::Cluster(cluster.clone()), &url, case).await
    }

    async fn part(servers: Servers, url: &str, case: usize) -> Self {
        // Braces in a prefix are no hash tag unless they close; a lock's own records follow it.
        let prefix = format!("case{case}:");
        let mut part = Self {
            servers,
            url: format!("{url}?{PATIENCE}&prefix={prefix}"),
            prefix,
            counters: 0,
        };
        part.counters = part.raw_fence_counters().await;
        part
    }

    /// The servers that take writes.
    async fn primaries(&self) -> Vec<&Redis> {
        let nodes = match &self.servers {
            Servers::One(server) => return vec![server],
            Servers::Sentinel(sentinel) => sentinel.nodes(),
            Servers::Cluster(cluster) => cluster.nodes(),
        };
        let mut primaries = Vec::new();
        for node in nodes.iter().filter(|node| node.is_running()) {
            if node.info("role").await.as_deref() == Some("master") {
                primaries.push(node);
            }
        }
        primaries
    }

    /// A command on every server that takes writes. One that does not have the key refuses.
    async fn ask(&self, command: &[&[u8]]) -> Vec<Reply> {
        let mut replies = Vec::new();
        for node in self.primaries().await {
            replies.push(node.call(command).await);
        }
        replies
    }

    fn name_of(&self, key: &Key) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    async fn names(&self) -> Vec<Vec<u8>> {
        let replies = self.ask(&[b"KEYS", b"*"]).await;
        let names = replies.iter().flat_map(Reply::list);
        names.map(|name| name.bytes().to_vec()).collect()
    }

    async fn counter_names(&self) -> Vec<Vec<u8>> {
        let mut names = self.names().await;
        names.retain(|name| name.starts_with(b"tenure:{") && name.ends_with(b"}:f"));
        names
    }
}

/// The least that a user of locks needs: what the README says.
const USER: &str = "app on >pw ~* resetchannels &tenure:* -@all +hello +auth +select \
    +client|tracking +client|caching +eval +evalsha +get +getrange +mget +set +mset +msetnx \
    +del +exists +time +type +ttl +pttl +pexpire +pexpireat +pexpiretime +scan +zadd +zrem \
    +zpopmin +zrange +zrevrange +zrank +zcard +hget +hset +hdel +publish +subscribe";

#[async_trait]
impl LeaseHarness for Harness {
    async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(RedisStore::connect(&self.url).await.unwrap())
    }

    async fn lapse(&self, key: &Key) {
        // The server removes it as it removes a key whose time is over.
        self.ask(&[b"PEXPIREAT", &self.name_of(key), b"1"]).await;
    }

    async fn pass_time(&self, by: Duration) {
        tokio::time::sleep(by).await; // tidy: allow(sleep) the server has no other clock
    }

    async fn sever(&self) {
        for kind in [b"normal", b"pubsub"] {
            self.ask(&[b"CLIENT", b"KILL", b"TYPE", kind]).await;
        }
    }

    async fn raw_holder(&self, key: &Key) -> Option<HolderId> {
        let values = self.ask(&[b"GET", &self.name_of(key)]).await;
        values.iter().find_map(|value| {
            let value = std::str::from_utf8(value.bytes()).ok()?;
            value.rsplit(':').next()?.parse().ok()
        })
    }

    async fn raw_records(&self, key: &Key) -> usize {
        let name = self.name_of(key);
        let behind = |kind: &[u8]| [b"}:", kind, b":", &name].concat();
        let is_about = |found: &&Vec<u8>| {
            **found == name
                || (found.starts_with(b"tenure:")
                    && (found.ends_with(&behind(b"q")) || found.ends_with(&behind(b"w"))))
        };
        let names = self.names().await;
        let mut records = 0;
        for found in names.iter().filter(is_about) {
            let fields = self.ask(&[b"HGETALL", found]).await;
            records += usize::from(!fields.iter().any(barred::are_all));
        }
        records
    }

    async fn raw_fence_counters(&self) -> usize {
        self.counter_names().await.len() - self.counters
    }

    async fn step_wall(&self, _by_ms: i64) -> bool {
        false
    }

    async fn lose_fence(&self, _key: &Key) -> bool {
        for name in self.counter_names().await {
            self.ask(&[b"DEL", &name]).await;
        }
        true
    }
}
