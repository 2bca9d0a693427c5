//! A primary with replicas, and three sentinels that replace it when it is gone.

use std::time::Duration;

use crate::poll::until;
use crate::program::Flavour;
use crate::redis::{Redis, RedisBuilder};

/// What the sentinels call the primary.
const NAME: &str = "primary";
const SENTINELS: usize = 3;
/// How many sentinels must agree that the primary is down.
const AGREED: usize = 2;
/// How long a primary must be silent while nobody is to die: a busy machine looks like a dead
/// server, and a fail-over that no test asked for fails whatever runs then.
const CALM_MS: u32 = 300_000;
/// How long a primary must be silent while one is to be replaced.
const WATCHFUL_MS: u32 = 1000;
const FAILOVER_TIMEOUT_MS: u32 = 4000;
/// What sentinels do less often, in milliseconds: telling each other that they exist (by default
/// two seconds), asking each other for votes (one), asking servers who follows whom (ten).
const PERIODS: [[&str; 2]; 3] = [
    ["PUBLISH-PERIOD", "100"],
    ["ASK-PERIOD", "100"],
    ["INFO-PERIOD", "500"],
];
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three sentinels, a primary and its replicas. All of it is gone when it is dropped.
///
/// The sentinels take nobody for dead before a test says so: with [`Sentinel::kill_primary`], or
/// with [`Sentinel::watch`] where it does its own harm.
#[derive(Debug)]
pub struct Sentinel {
    nodes: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Sentinel {
    /// Starts a primary with `replicas`, and returns when the replicas follow it and the sentinels
    /// could replace it.
    ///
    /// # Panics
    /// If it is not complete in time.
    pub async fn start(flavour: Flavour, replicas: usize) -> Self {
        Self::start_with(flavour, replicas, |builder| builder).await
    }

    /// As [`Sentinel::start`], with settings for the primary and each replica.
    ///
    /// # Panics
    /// If it is not complete in time.
    pub async fn start_with(
        flavour: Flavour,
        replicas: usize,
        settings: impl Fn(RedisBuilder) -> RedisBuilder,
    ) -> Self {
        Self::start_as(flavour, replicas, settings, |sentinel| sentinel).await
    }

    /// As [`Sentinel::start_with`], with settings for each sentinel too: such as TLS, which a
    /// client speaks with all of them or with none.
    ///
    /// # Panics
    /// If it is not complete in time.
    pub async fn start_as(
        flavour: Flavour,
        replicas: usize,
        settings: impl Fn(RedisBuilder) -> RedisBuilder,
        of_sentinels: impl Fn(RedisBuilder) -> RedisBuilder,
    ) -> Self {
        let mut nodes = vec![settings(Redis::builder(flavour)).start().await];
        let of = format!("127.0.0.1 {}", nodes[0].port());
        for _ in 0..replicas {
            let replica = settings(Redis::builder(flavour).config("replicaof", &of));
            nodes.push(replica.start().await);
        }
        let mut started = Self {
            nodes,
            sentinels: Vec::new(),
        };
        // The sentinels learn of replicas when they first ask the primary, and then not again for
        // a while: so the replicas come first.
        started.follow(0).await;
        for _ in 0..SENTINELS {
            let sentinel = of_sentinels(Redis::builder(flavour).for_sentinel())
                .config("sentinel", &format!("monitor {NAME} {of} {AGREED}"))
                .config(
                    "sentinel",
                    &format!("down-after-milliseconds {NAME} {CALM_MS}"),
                )
                .config(
                    "sentinel",
                    &format!("failover-timeout {NAME} {FAILOVER_TIMEOUT_MS}"),
                );
            let sentinel = sentinel.start().await;
            for [period, ms] in PERIODS {
                let set = sentinel.cli(&["SENTINEL", "DEBUG", period, ms]).await;
                assert_eq!(set, "OK");
            }
            started.sentinels.push(sentinel);
        }
        started.complete().await;
        started
    }

    /// `redis+sentinel://HOST:PORT,HOST:PORT,HOST:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/{NAME}", addresses(&self.sentinels))
    }

    /// What the sentinels call the primary.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The servers that have the data, whichever of them is the primary.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The server that the sentinels name.
    ///
    /// # Panics
    /// If no sentinel answers.
    pub async fn primary(&self) -> &Redis {
        let named = until("a sentinel names the primary", PATIENCE, async || {
            for sentinel in self
                .sentinels
                .iter()
                .filter(|sentinel| sentinel.is_running())
            {
                if let Some(port) = named_by(sentinel).await {
                    return Some(port);
                }
            }
            None
        });
        let port = named.await;
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.port() == port)
            .expect("the sentinels name one of ours")
    }

    /// Kills the primary, as a crash would, and lets the sentinels see it. Returns it;
    /// [`Sentinel::failed_over`] waits for the next.
    pub async fn kill_primary(&self) -> &Redis {
        let primary = self.primary().await;
        primary.kill();
        self.watch().await;
        primary
    }

    /// From now on the sentinels replace a primary that is silent for a second, until
    /// [`Sentinel::failed_over`] has seen another one.
    pub async fn watch(&self) {
        self.down_after(WATCHFUL_MS).await;
    }

    async fn down_after(&self, ms: u32) {
        for sentinel in self.sentinels.iter().filter(|one| one.is_running()) {
            let ms = ms.to_string();
            let set = sentinel
                .cli(&["SENTINEL", "SET", NAME, "down-after-milliseconds", &ms])
                .await;
            assert_eq!(set, "OK");
        }
    }

    /// Waits until all sentinels name another primary than `old`, and it takes writes. Returns it.
    /// From then on they leave everybody alone again.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn failed_over(&self, old: &Redis) -> &Redis {
        let next = until("another server is the primary", PATIENCE, async || {
            let mut ports = Vec::new();
            for sentinel in self
                .sentinels
                .iter()
                .filter(|sentinel| sentinel.is_running())
            {
                ports.push(named_by(sentinel).await?);
            }
            let port = ports.iter().copied().max()?;
            let agreed = port != old.port() && ports.iter().all(|named| *named == port);
            let next = self
                .nodes
                .iter()
                .find(|node| agreed && node.port() == port)?;
            (next.info("role").await? == "master").then_some(next)
        });
        let next = next.await;
        self.down_after(CALM_MS).await;
        next
    }

    /// Waits until every server that runs follows the primary, or is it.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn in_sync(&self) {
        let primary = self.primary().await.port();
        let at = self.nodes.iter().position(|node| node.port() == primary);
        self.follow(at.unwrap_or_default()).await;
    }

    async fn follow(&self, primary: usize) {
        let port = self.nodes[primary].port().to_string();
        let others = self.nodes.iter().enumerate();
        let others = others.filter(|(at, node)| *at != primary && node.is_running());
        let replicas: Vec<_> = others.map(|(_, node)| node).collect();
        until("the replicas follow the primary", PATIENCE, async || {
            for replica in &replicas {
                let follows = replica.info("master_port").await? == port
                    && replica.info("master_link_status").await? == "up";
                follows.then_some(())?;
            }
            // A replica is up a moment before the primary sends it anything.
            (self.nodes[primary].replicas().await >= replicas.len()).then_some(())
        })
        .await;
    }

    /// Waits until each sentinel knows everybody and could have the primary replaced.
    async fn complete(&self) {
        let expected = [
            ("num-other-sentinels", SENTINELS - 1),
            ("num-slaves", self.nodes.len() - 1),
        ];
        for sentinel in &self.sentinels {
            until("the sentinels know each other", PATIENCE, async || {
                let known = sentinel.call(&["SENTINEL", "MASTER", NAME]).await;
                for (field, number) in expected {
                    let pairs = known.list().chunks(2);
                    let mut named = pairs.filter(|pair| pair[0].bytes() == field.as_bytes());
                    let value = named.next()?.get(1)?.int()?;
                    (value == i64::try_from(number).ok()?).then_some(())?;
                }
                let quorum = sentinel.cli(&["SENTINEL", "CKQUORUM", NAME]).await;
                quorum.starts_with("OK").then_some(())
            })
            .await;
        }
    }
}

/// `HOST:PORT,HOST:PORT,…`.
pub(crate) fn addresses(servers: &[Redis]) -> String {
    let addresses = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()));
    addresses.collect::<Vec<_>>().join(",")
}

async fn named_by(sentinel: &Redis) -> Option<u16> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
    let address = sentinel.try_call(&question).await.ok()?;
    address.list().get(1)?.int()?.try_into().ok()
}
