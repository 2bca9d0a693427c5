//! The servers of a case, or of many cases: what both suites ask of them.

use std::sync::Arc;
use std::time::Duration;

use tenure_bed::{Cluster, Redis, Reply, Sentinel, until};
use tenure_core::{Acquisition, Holder, Key, LeaseRequest, LeaseStore as _, Ttl};
use tenure_redis::RedisStore;

/// Longer than the defaults: the servers of several tests share the machine's few cores.
const PATIENT: &str = "timeout=20s&connect_timeout=1m&claim_window=5s";
/// What follows the URL of a primary with two replicas for strict safety. Cases have leases of ten
/// minutes.
pub(crate) const STRICT: &str = "&safety=strict&replicas=2&max_ttl=1d";
const PATIENCE: Duration = Duration::from_secs(90);

/// Why no clock is stepped of servers that are slow to start and that cases share.
pub(crate) const UNSTEPPED: &str = "its servers have the machine's clock; one server of each \
    flavour, and each quorum, has a clock of its own, and the scripts are the same";

/// Servers, and the way to them.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) servers: Arc<Servers>,
    url: String,
}

impl Place {
    /// `parameters` begin with `&`, or are none.
    pub(crate) fn new(servers: Servers, url: &str, parameters: &str) -> Self {
        let beside = if url.contains('?') { '&' } else { '?' };
        Self {
            servers: Arc::new(servers),
            url: format!("{url}{beside}{PATIENT}{parameters}"),
        }
    }

    /// The URL with one more parameter.
    pub(crate) fn url_with(&self, name: &str, value: &str) -> String {
        format!("{}&{name}={value}", self.url)
    }

    /// Ends the waits that a server begins with for a strict store: nobody has a lease or a claim
    /// that it forgot.
    pub(crate) async fn settle(&self) {
        let store = RedisStore::connect(&self.url).await.unwrap();
        let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
        let key = Key::new("first").unwrap();
        let request = LeaseRequest::new(key, Holder::new("first"), ttl);
        until("the quarantine begins", PATIENCE, async || {
            let answer = store.acquire(&request).await.ok()?;
            matches!(answer, Acquisition::Held(_)).then_some(())
        })
        .await;
        for kind in ["quarantine", "claims"] {
            let name = format!("tenure:strict:{kind}");
            self.servers.ask(&["DEL", &name]).await;
        }
    }
}

/// Servers that a test started.
pub(crate) enum Servers {
    One(Redis),
    /// A primary, and what follows it.
    Trio {
        primary: Redis,
        _replicas: Box<[Redis; 2]>,
    },
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Servers {
    pub(crate) fn trio((primary, replicas): (Redis, [Redis; 2])) -> Self {
        Self::Trio {
            primary,
            _replicas: Box::new(replicas),
        }
    }

    /// The servers that take writes.
    pub(crate) async fn primaries(&self) -> Vec<&Redis> {
        let nodes = match self {
            Self::One(server)
            | Self::Trio {
                primary: server, ..
            } => return vec![server],
            Self::Sentinel(sentinel) => sentinel.nodes(),
            Self::Cluster(cluster) => cluster.nodes(),
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
    pub(crate) async fn ask<W: AsRef<[u8]> + Sync>(&self, command: &[W]) -> Vec<Reply> {
        let mut replies = Vec::new();
        for node in self.primaries().await {
            replies.push(node.call(command).await);
        }
        replies
    }

    /// Steps the wall clocks of the servers that take writes, which were built for that.
    pub(crate) async fn step_wall(&self, by_ms: i64) {
        for node in self.primaries().await {
            node.step_wall(by_ms).await;
        }
    }

    /// Cuts all clients' connections.
    pub(crate) async fn sever(&self) {
        for kind in ["normal", "pubsub"] {
            self.ask(&["CLIENT", "KILL", "TYPE", kind]).await;
        }
    }
}
