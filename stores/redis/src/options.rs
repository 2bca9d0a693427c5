//! What a user can set, and which settings can work.
//!
//! The URL that says the same is read in [`crate::url`].

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tenure_core::format_duration;

use crate::error::OptionsError;
use crate::safety::{self, Safety};
use crate::slots::Tags;

/// How to reach Redis or Valkey, and how to use it.
///
/// The same names serve the URL: see [`RedisOptions::from_url`].
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) servers: Servers,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) db: u16,
    pub(crate) tls: Option<Tls>,
    pub(crate) prefix: String,
    pub(crate) namespace: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) claim_window: Duration,
    pub(crate) poll: Duration,
    pub(crate) busy_poll: Duration,
    pub(crate) nodelay: bool,
    pub(crate) pool: Option<PoolSize>,
    pub(crate) node_timeout: Option<Duration>,
    pub(crate) is_fenced: bool,
    pub(crate) safety: Safety,
    pub(crate) max_ttl: Option<Duration>,
    pub(crate) replicas: Option<u32>,
    pub(crate) max_waiters: u32,
    /// The server is one of a quorum: the connection is made in the background.
    pub(crate) is_vote: bool,
}

/// How many connections a pool has, and how long a request waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSize {
    pub(crate) initial: usize,
    pub(crate) max: usize,
    pub(crate) patience: Duration,
}

/// Where the servers are, and how they belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One server over TCP.
    One(Address),
    /// One server through a socket file.
    Socket(PathBuf),
    /// Whatever server the sentinels name as the primary of `master`.
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
        username: Option<String>,
        password: Option<Password>,
    },
    /// A cluster, known by some of its nodes.
    Cluster(Vec<Address>),
    /// Independent servers that decide by majority.
    Quorum(Vec<Address>),
}

/// A password that compares, for tests of what a URL says, and never shows.
#[derive(Clone)]
pub(crate) struct Password(pub(crate) SecretString);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Password {}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Files that a TLS connection needs beside what the system trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) insecure: bool,
}

/// How many may wait for one lock unless the options say otherwise.
pub(crate) const MAX_WAITERS: u32 = 10_000;
/// A queue this long takes a server some hundreds of megabytes.
const MOST_WAITERS: u32 = 1_000_000;
const CONNECT_TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));
const CLAIM_WINDOW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
const NODE_TIMEOUT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(5));
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));
const LONGEST_BUSY_POLL: Duration = Duration::from_millis(1);

impl RedisOptions {
    pub(crate) fn of(servers: Servers) -> Self {
        Self {
            servers,
            username: None,
            password: None,
            db: 0,
            tls: None,
            prefix: String::new(),
            namespace: "default".to_owned(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            claim_window: Duration::from_secs(2),
            poll: Duration::from_millis(50),
            busy_poll: Duration::from_micros(200),
            nodelay: false,
            pool: None,
            node_timeout: None,
            is_fenced: true,
            safety: Safety::Plain,
            max_ttl: None,
            replicas: None,
            max_waiters: MAX_WAITERS,
            is_vote: false,
        }
    }

    /// How our records about a lock are named.
    ///
    /// A vote of a quorum goes without batches, and its counters run ahead of its clock by what the
    /// others' clocks are ahead: apart by slot, that slows down fewer of them.
    pub(crate) fn tags(&self) -> Tags {
        match self.servers {
            Servers::One(_) | Servers::Socket(_) | Servers::Sentinel { .. } if !self.is_vote => {
                Tags::One
            }
            _ => Tags::OfSlots,
        }
    }

    /// Who logs in. Without a name the server's default user does.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password of the user. It is kept in memory that is wiped, and never shown.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(SecretString::from(password.into()));
        self
    }

    /// The database number. Default: 0. A cluster has only that one.
    #[must_use]
    pub fn database(mut self, db: u16) -> Self {
        self.db = db;
        self
    }

    /// What stands before every lock's name in the server. Default: nothing, so that a lock's key
    /// is exactly its name and other programs' locks of that name exclude ours.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Which tasks and runs to see. Default: `default`. 1 to 100 characters, none of them `{`, `}`
    /// or a control character. Namespaces see nothing of each other's runs; locks are kept apart by
    /// the prefix.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long making a connection may take. Default: 5 s; 10 ms to 60 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request may take, a reconnection included, before its outcome counts as
    /// unknown. Default: 1 s; 10 ms to 60 s.
    ///
    /// Shorter tells of a stuck server sooner; longer rides out longer stalls.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a lease that was handed to a waiter stays its own until the waiter confirms.
    /// Default: 2 s; 50 ms to 60 s. It must be longer than the slowest push and one round trip.
    ///
    /// Shorter wastes less when a machine vanishes as its turn comes; longer suits slow links.
    #[must_use]
    pub fn claim_window(mut self, window: Duration) -> Self {
        self.claim_window = window;
        self
    }

    /// How often a waiter asks where the server cannot push to it. Default: 50 ms; 1 ms to 5 s.
    #[must_use]
    pub fn poll_every(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// For how long whoever takes a lock or gives it back goes on looking for the server's reply
    /// before it sleeps. Default: 200 µs; zero, for never, to 1 ms.
    ///
    /// To wake a thread can take longer than a server that is near takes to answer. Requests are
    /// waited for in the way that has been faster on their connection, which is measured all the
    /// time; sleep is preferred unless looking saves an eighth. The price is processor time that
    /// would have been slept: no more than this for a request or a batch, after everything else
    /// that the runtime has to do. Renewals, claims, strict grants, clusters, quorums, and what a
    /// thread blocks on instead of a task, always sleep.
    ///
    /// # Sources
    /// Busy polling of sockets in Linux (`net.core.busy_read`).
    #[must_use]
    pub fn busy_poll(mut self, span: Duration) -> Self {
        self.busy_poll = span;
        self
    }

    /// Sends each request at once instead of letting the kernel gather small ones. Default: off,
    /// because gathering nearly doubles the throughput of many tasks on one connection.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Lends each request a connection of its own, from a pool that begins with `initial` and grows
    /// to `max`, 1 to 1000; a request that waits for one longer than `patience` fails as
    /// unavailable. Default: no pool, because all requests share one connection, which is faster.
    /// Not for a cluster, whose driver has a connection to each node.
    #[must_use]
    pub fn pool(mut self, initial: usize, max: usize, patience: Duration) -> Self {
        self.pool = Some(PoolSize {
            initial,
            max,
            patience,
        });
        self
    }

    /// How long one server of a quorum may take to answer before it counts as no vote. Default: 50
    /// ms or a twentieth of the ttl, whichever is less; 5 ms to 5 s, of which no more than a
    /// quarter of the ttl is used. Only for a quorum.
    ///
    /// Shorter costs less when a server hangs; longer bears slow links and busy machines.
    #[must_use]
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = Some(timeout);
        self
    }

    /// Whether leases of a quorum have fences that grow, for one more round trip at each
    /// acquisition. Default: true. Without it every fence is [`Fence::NONE`](tenure_core::Fence).
    /// Only for a quorum.
    #[must_use]
    pub fn fenced(mut self, fenced: bool) -> Self {
        self.is_fenced = fenced;
        self
    }

    /// What a restart or a fail-over may do to locks. Default: [`Safety::Plain`].
    #[must_use]
    pub fn safety(mut self, safety: Safety) -> Self {
        self.safety = safety;
        self
    }

    /// The longest ttl that is granted, and for how long nothing is granted after a restart or a
    /// fail-over. Default: 30 s; 50 ms to 24 h; the same for all clients. Only for
    /// [`Safety::Strict`].
    ///
    /// Shorter makes locks available sooner after a restart; longer allows longer ttls.
    #[must_use]
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = Some(max_ttl);
        self
    }

    /// How many replicas the primary has, or each primary of a cluster: 0 to 20; the same for all
    /// clients. Half of them, rounded up, must acknowledge each grant. Default: 0 for one server;
    /// others must say. Only for [`Safety::Strict`].
    ///
    /// Two are the least with which locks survive the loss of one server.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// How many may wait in line for one lock; the request of the next is refused as unavailable.
    /// Default: 10 000; 1 to 1 000 000. It counts for the requests of this store; let all clients
    /// say the same.
    ///
    /// Fewer tell of a lock that is never given back sooner; more take memory of the server, about
    /// 300 bytes each.
    #[must_use]
    pub fn max_waiters(mut self, most: u32) -> Self {
        self.max_waiters = most;
        self
    }

    /// Whether these are independent servers that decide by majority: a
    /// [`QuorumStore`](crate::QuorumStore) connects to them, and a
    /// [`RedisStore`](crate::RedisStore) to all others.
    #[must_use]
    pub fn is_quorum(&self) -> bool {
        matches!(self.servers, Servers::Quorum(_))
    }

    /// The pool's size, which begins as that of the origin's default.
    pub(crate) fn set_pool(&mut self) -> &mut PoolSize {
        self.pool.get_or_insert(PoolSize {
            initial: 1,
            max: 10,
            patience: Duration::from_millis(100),
        })
    }

    fn check_tls(&self) -> Result<(), OptionsError> {
        if self.tls.is_some() && !cfg!(feature = "tls") {
            let reason = "asks for TLS, which this build cannot do: build tenure-redis with its \
                          feature `tls`";
            return Err(OptionsError::Malformed {
                reason: reason.to_owned(),
            });
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), OptionsError> {
        if self.busy_poll > LONGEST_BUSY_POLL {
            return Err(OptionsError::parameter(
                "busy_poll_us",
                &self.busy_poll.as_micros().to_string(),
                "must be 0 to 1000",
            ));
        }
        if !(1..=MOST_WAITERS).contains(&self.max_waiters) {
            return Err(OptionsError::parameter(
                "max_waiters",
                &self.max_waiters.to_string(),
                format!("must be 1 to {MOST_WAITERS}"),
            ));
        }
        Ok(())
    }

    /// The same options, if they can work.
    pub(crate) fn checked(self) -> Result<Self, OptionsError> {
        self.check_tls()?;
        let name = self.namespace.as_str();
        let is_bad = |c: char| c.is_control() || c == '{' || c == '}';
        if !(1..=100).contains(&name.chars().count()) || name.chars().any(is_bad) {
            return Err(OptionsError::parameter(
                "namespace",
                name,
                "must have 1 to 100 characters, no braces and no control characters",
            ));
        }
        if self.prefix.len() > 200 || self.prefix.starts_with("tenure:") {
            return Err(OptionsError::parameter(
                "prefix",
                &self.prefix,
                "may have 200 bytes and must not begin with `tenure:`",
            ));
        }
        for (what, value, (least, most)) in [
            ("connect_timeout", self.connect_timeout, CONNECT_TIMEOUT),
            ("timeout", self.timeout, TIMEOUT),
            ("claim_window", self.claim_window, CLAIM_WINDOW),
            ("poll", self.poll, POLL),
            (
                "node_timeout",
                self.node_timeout.unwrap_or(NODE_TIMEOUT.0),
                NODE_TIMEOUT,
            ),
        ] {
            if value < least || value > most {
                let (least, most) = (format_duration(least), format_duration(most));
                return Err(OptionsError::parameter(
                    what,
                    &format_duration(value),
                    format!("must be {least} to {most}"),
                ));
            }
        }
        self.check_counts()?;
        if self.db != 0 && matches!(self.servers, Servers::Cluster(_)) {
            return Err(OptionsError::parameter(
                "database",
                &self.db.to_string(),
                "a cluster has only database 0",
            ));
        }
        if let Some(pool) = self.pool {
            if !(1..=1000).contains(&pool.max) || pool.initial > pool.max {
                return Err(OptionsError::parameter(
                    "pool",
                    &format!("{} to {}", pool.initial, pool.max),
                    "may have 1 to 1000 connections, of which no more may be opened at once",
                ));
            }
            if matches!(self.servers, Servers::Cluster(_)) {
                return Err(OptionsError::parameter("pool", "", "is not for a cluster"));
            }
        }
        if let Servers::Quorum(nodes) = &self.servers {
            check_quorum(nodes)?;
        }
        safety::check(&self)?;
        Ok(self)
    }
}

fn check_quorum(nodes: &[Address]) -> Result<(), OptionsError> {
    if nodes.len() < 3 {
        return Err(OptionsError::Quorum {
            reason: format!(
                "has {} servers, and a majority that survives a failure needs at least 3",
                nodes.len()
            ),
        });
    }
    if nodes.len() > 15 {
        return Err(OptionsError::Quorum {
            reason: format!("has {} servers, of 15 at most", nodes.len()),
        });
    }
    for (at, node) in nodes.iter().enumerate() {
        if nodes.iter().take(at).any(|other| other == node) {
            return Err(OptionsError::Quorum {
                reason: format!("names {node} twice, which would count its vote twice"),
            });
        }
    }
    Ok(())
}

/// Shows where the servers are, and nothing secret.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("servers", &self.servers)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("db", &self.db)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
