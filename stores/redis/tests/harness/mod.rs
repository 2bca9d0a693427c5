//! Real servers for each case, and what the suites do to them.

pub(crate) mod barred;
pub(crate) mod runs;
pub(crate) mod servers;
pub(crate) mod together;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tenure_bed::{Ca, Flavour, Redis, RedisBuilder, Reply};
use tenure_conformance::{LeaseHarness, NotShown};
use tenure_core::{HolderId, Key, LeaseStore};
use tenure_redis::RedisStore;

use self::servers::{Place, Servers, UNSTEPPED};
use self::together::{assert_alone, is_alone};

/// The servers of a case: its own, or its part of some that cases share.
pub(crate) struct Harness {
    place: Place,
    prefix: String,
    is_alone: bool,
    has_own_wall: bool,
    /// How many fence counters there were before.
    counters: usize,
}

/// What needs servers with clocks of their own.
const STEPS: &[NotShown] = &[
    (
        "r16_steps_of_the_wall_clock_do_to_leases_what_is_declared",
        UNSTEPPED,
    ),
    (
        "r16_a_step_of_the_wall_clock_neither_ends_nor_keeps_a_short_lease",
        UNSTEPPED,
    ),
    ("r62_fences_grow_when_the_wall_clock_steps_back", UNSTEPPED),
];

impl Harness {
    async fn start(builder: RedisBuilder, url: impl FnOnce(&Redis) -> String) -> Self {
        let server = builder.own_wall().start().await;
        let url = url(&server);
        Self {
            place: Place::new(Servers::One(server), &url, ""),
            prefix: String::new(),
            is_alone: true,
            has_own_wall: true,
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

    /// Redis that knows RESP2 alone, as far as clients can tell.
    pub(crate) async fn resp2() -> Self {
        let builder = Redis::builder(Flavour::Redis).unix_only();
        Self::start(builder.config("rename-command", "HELLO \"\""), Redis::url).await
    }

    /// Redis over TLS, for a user with the rights that the README lists and no others.
    pub(crate) async fn tls_with_a_user() -> Self {
        let ca = authority();
        let builder = Redis::builder(Flavour::Redis).tls(ca).acl_user(USER);
        Self::start(builder, |server| tls_url(server, ca)).await
    }

    /// Redis for a user who may neither publish nor subscribe.
    pub(crate) async fn without_channels() -> Self {
        let builder = Redis::builder(Flavour::Redis)
            .unix_only()
            .acl_user("app on >pw ~* resetchannels +@all");
        let url = |server: &Redis| format!("redis+unix:app:pw@{}", server.socket().display());
        Self::start(builder, url).await
    }

    /// A part of servers that cases share, for the case with this number and name.
    pub(crate) async fn part(place: &Place, number: usize, case: &str) -> Self {
        let mut part = Self {
            place: place.clone(),
            // Braces in a prefix are no hash tag unless they close; a lock's own records follow it.
            prefix: format!("case{number}:"),
            is_alone: is_alone(case),
            has_own_wall: false,
            counters: 0,
        };
        part.counters = part.counter_names().await.len();
        part
    }

    async fn ask(&self, command: &[&[u8]]) -> Vec<Reply> {
        self.place.servers.ask(command).await
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

/// An authority that all servers of this process share.
pub(crate) fn authority() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    // A second installation finds the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    CA.get_or_init(Ca::new)
}

pub(crate) fn tls_url(server: &Redis, ca: &Ca) -> String {
    trusting(&format!("redis://127.0.0.1:{}", server.port()), ca)
}

/// The URL of servers without a user, as that of a user who trusts this authority.
pub(crate) fn trusting(plain: &str, ca: &Ca) -> String {
    let url = plain.replacen("redis", "rediss", 1);
    let url = url.replacen("//", "//app:pw@", 1);
    format!("{url}?ca={}", ca.path().display())
}

/// The least that a user of locks needs: what the README says.
pub(crate) const USER: &str = "app on >pw ~* resetchannels &tenure:* -@all +hello +auth +select \
    +client|tracking +client|caching +eval +evalsha +get +getrange +mget +set +mset +msetnx \
    +del +exists +time +type +ttl +pttl +pexpire +pexpireat +pexpiretime +scan +zadd +zrem \
    +zpopmin +zrange +zrevrange +zrank +zcard +hget +hset +hdel +publish +subscribe";

#[async_trait]
impl LeaseHarness for Harness {
    async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(
            RedisStore::connect(&self.place.url_with("prefix", &self.prefix))
                .await
                .unwrap(),
        )
    }

    async fn lapse(&self, key: &Key) {
        // The server removes it as it removes a key whose time is over.
        self.ask(&[b"PEXPIREAT", &self.name_of(key), b"1"]).await;
    }

    async fn pass_time(&self, by: Duration) {
        tokio::time::sleep(by).await; // tidy: allow(sleep) the server has no other clock
    }

    async fn sever(&self) {
        assert_alone(self.is_alone);
        self.place.servers.sever().await;
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
                    && [b"q", b"w", b"e", b"d"]
                        .iter()
                        .any(|kind| found.ends_with(&behind(*kind))))
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
        assert_alone(self.is_alone);
        self.counter_names().await.len() - self.counters
    }

    async fn step_wall(&self, by_ms: i64) {
        // Its future cannot be shown to be `Send`, which this method's must be.
        let step = self.place.servers.step_wall(by_ms);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(step));
    }

    async fn lose_fence(&self, _key: &Key) {
        assert_alone(self.is_alone);
        for name in self.counter_names().await {
            self.ask(&[b"DEL", &name]).await;
        }
    }

    fn not_shown(&self) -> &'static [NotShown] {
        if self.has_own_wall { &[] } else { STEPS }
    }
}
