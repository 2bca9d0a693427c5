//! Real servers for each case of the run suite, and what it does to them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bed::{Flavour, Redis, RedisBuilder, Reply};
use tenure_conformance::{NotShown, RunHarness};
use tenure_core::{HolderId, RunKey, RunKind, RunState, RunStore};
use tenure_redis::RedisStore;

use super::servers::{Place, Servers, UNSTEPPED};
use super::together::{assert_alone, is_alone};
use super::{authority, tls_url};

/// The servers of a case: one of its own, or a namespace on some that cases share.
pub(crate) struct Server {
    place: Place,
    namespace: String,
    is_alone: bool,
    has_own_wall: bool,
}

/// What needs a server with a clock of its own.
const STEPS: &[NotShown] = &[
    (
        "s23_s27_no_step_of_the_clock_lets_a_tick_be_claimed_twice",
        UNSTEPPED,
    ),
    ("s27_after_a_step_new_ticks_are_claimed_at_once", UNSTEPPED),
];

impl Server {
    pub(crate) async fn redis() -> Self {
        Self::start(Redis::builder(Flavour::Redis).unix_only(), Redis::url).await
    }

    pub(crate) async fn valkey() -> Self {
        Self::start(Redis::builder(Flavour::Valkey).unix_only(), Redis::url).await
    }

    pub(crate) async fn tcp() -> Self {
        Self::start(Redis::builder(Flavour::Redis).tcp(), Redis::url).await
    }

    /// Redis over TLS, for a user with the rights that the README lists and no others.
    pub(crate) async fn tls_with_a_user() -> Self {
        let (ca, user) = (authority(), format!("{USER} &tenure:*"));
        let builder = Redis::builder(Flavour::Redis).tls(ca).acl_user(&user);
        Self::start(builder, |server| tls_url(server, ca)).await
    }

    /// Redis for a user with no more rights than runs need, who may not publish or subscribe.
    pub(crate) async fn without_channels() -> Self {
        let builder = Redis::builder(Flavour::Redis).unix_only().acl_user(USER);
        let url = |server: &Redis| format!("redis+unix:app:pw@{}", server.socket().display());
        Self::start(builder, url).await
    }

    async fn start(builder: RedisBuilder, url: impl FnOnce(&Redis) -> String) -> Self {
        let redis = builder.own_wall().start().await;
        let url = url(&redis);
        let server = Self {
            place: Place::new(Servers::One(redis), &url, ""),
            namespace: "suite".to_owned(),
            is_alone: true,
            has_own_wall: true,
        };
        // A neighbour, so that a step that forgets the namespace is found out.
        drop(server.open("neighbour").await);
        server
    }

    /// A namespace on servers that cases share, for the case with this number and name.
    pub(crate) fn part(place: &Place, number: usize, case: &str) -> Self {
        Self {
            place: place.clone(),
            namespace: format!("case{number}"),
            is_alone: is_alone(case),
            has_own_wall: false,
        }
    }

    async fn open(&self, namespace: &str) -> RedisStore {
        let url = self.place.url_with("namespace", namespace);
        RedisStore::connect(&url).await.unwrap()
    }

    /// A command on the server that has the key; in a cluster the others refuse.
    async fn ask(&self, command: &[&str]) -> Reply {
        let mut refusal = Reply::Nil;
        for node in self.place.servers.primaries().await {
            match node.call(command).await {
                Reply::Error(error) => refusal = Reply::Error(error),
                reply => return reply,
            }
        }
        panic!("{command:?}: {refusal}");
    }

    fn key(&self, name: &str) -> String {
        format!("tenure:{{{}}}:r:{name}", self.namespace)
    }

    fn bucket(&self, run: &RunKey) -> String {
        self.key(&format!("t:{}", run.tick.as_millis()))
    }

    async fn now_ms(&self) -> i64 {
        let reply = self.ask(&["TIME"]).await;
        let part = |at: usize| -> i64 {
            let text = std::str::from_utf8(reply.list()[at].bytes()).unwrap();
            text.parse().unwrap()
        };
        part(0) * 1000 + part(1) / 1000
    }
}

/// What the README says that a user of runs needs, without the channel of hints.
pub(crate) const USER: &str = "app on >pw ~tenure:* resetchannels -@all +hello +auth +select \
    +client|tracking +eval +evalsha +time +exists +get +set +del +persist +pexpire \
    +pexpireat +hget +hset +hsetnx +hdel +hmget +hgetall +hscan +hkeys +hvals +hlen +zadd +zrem \
    +zcard +zscore +zrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +xadd +xrange +xtrim \
    +rpush +lrange +publish +subscribe";

fn field(run: &RunKey) -> String {
    let (index, task) = (run.index, run.task.as_str());
    match &run.kind {
        RunKind::Scheduled => format!("s{index}:{task}"),
        RunKind::Manual(id) => format!("m{index}:{id}:{task}"),
        RunKind::Backfill(id) => format!("b{index}:{id}:{task}"),
        other => panic!("{other:?}"),
    }
}

const STATES: [(&str, RunState); 11] = [
    ("w", RunState::Waiting),
    ("c", RunState::Claimed),
    ("r", RunState::Running),
    ("s", RunState::Succeeded),
    ("f", RunState::Failed),
    ("t", RunState::TimedOut),
    ("x", RunState::Cancelled),
    ("i", RunState::Interrupted),
    ("l", RunState::Lost),
    ("k", RunState::Skipped),
    ("m", RunState::Missed),
];

#[async_trait]
impl RunHarness for Server {
    async fn store(&self) -> Arc<dyn RunStore> {
        Arc::new(self.open(&self.namespace).await)
    }

    async fn lapse_node(&self, node: HolderId) {
        let tag = self
            .ask(&["HGET", &self.key("ids"), &node.to_string()])
            .await;
        let tag = std::str::from_utf8(tag.bytes()).unwrap();
        let now = self.now_ms().await.to_string();
        self.ask(&["ZADD", &self.key("alive"), "XX", &now, tag])
            .await;
    }

    async fn pass_time(&self, by: Duration) {
        tokio::time::sleep(by).await; // tidy: allow(sleep) the server has no other clock
    }

    async fn sever(&self) {
        assert_alone(self.is_alone);
        self.place.servers.sever().await;
    }

    async fn raw_run(&self, run: &RunKey) -> Option<(RunState, u32)> {
        let record = self.ask(&["HGET", &self.bucket(run), &field(run)]).await;
        let record = std::str::from_utf8(record.bytes()).unwrap();
        let mut parts = record.split(' ');
        let letter = parts.next().filter(|letter| !letter.is_empty())?;
        let state = STATES.iter().find(|(known, _)| *known == letter);
        Some((state.unwrap().1, parts.nth(6).unwrap().parse().unwrap()))
    }

    async fn raw_keeps_for(&self, run: &RunKey) -> Option<Duration> {
        match self.ask(&["PTTL", &self.bucket(run)]).await.int().unwrap() {
            -2 => None,
            // It stays until its runs have ended.
            -1 => Some(Duration::MAX / 2),
            ms => Some(Duration::from_millis(ms.unsigned_abs())),
        }
    }

    async fn step_wall(&self, by_ms: i64) {
        // Its future cannot be shown to be `Send`, which this method's must be.
        let step = self.place.servers.step_wall(by_ms);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(step));
    }

    fn not_shown(&self) -> &'static [NotShown] {
        if self.has_own_wall { &[] } else { STEPS }
    }
}
