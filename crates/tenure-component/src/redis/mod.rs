//! The lock component on Redis and Valkey: from a configuration to an open store.
//!
//! What a configuration means as a URL is said in [`url`]; how the store behind it keeps leases is
//! the store's own business, and reached through [`Connect`] alone.

mod url;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "redis")]
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tenure_core::{LeaseStore, StoreError};
use tracing::Instrument as _;

use crate::options::LockSettings;
use crate::store_lock::Desk;
use crate::{
    Code, Component, ComponentError, ConfigParams, ConnectionResolver, Context, CredentialResolver,
    Lock, References,
};

/// The pause after the first connection that failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens the store behind a URL.
///
/// [`RedisLock`] uses the Redis store of tenure. A program that wraps its stores, to count calls or
/// to try out faults, gives its own to [`RedisLock::with_connector`].
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// Opens the store that `url` names. The URL may hold a password.
    ///
    /// # Errors
    /// [`StoreError`], which must hold no secret.
    async fn connect(&self, url: &SecretString) -> Result<Arc<dyn LeaseStore>, StoreError>;
}

/// Locks on Redis or Valkey, for any number of processes and machines.
///
/// # Configuration
/// - `connection(s).discovery_key`: found by a `*:discovery:*:*:1.0` under this key.
/// - `connection(s).host`, `.port`: the server. Default: `localhost`, 6379 (sentinels: 26379).
/// - `connection(s).protocol`: `redis`, or `rediss` for TLS. Default: `redis`.
/// - `connection(s).uri`: the server as a URL, with all that tenure's URLs for Redis can say.
/// - `credential(s).store_key`: looked up in a `*:credential-store:*:*:1.0` under this key.
/// - `credential(s).username`, `.password`, `.password_file`: who logs in. Default: nobody. Of
///   several credentials the first that is to be had counts.
/// - `options.timeout`: how long opening may take, all tries and pauses together; 10 ms to 1 h.
///   Default: 30 000 ms.
/// - `options.retries`: how many more times connecting is tried after it failed; 0 to 1000.
///   Default: 3. Longer outages are ridden out, and errors of operators come to light later.
/// - `options.retry_timeout`: after how long a waiter asks again where the server cannot tell it
///   that the lock is free, as when another program holds it or pushes are not allowed; 1 ms to
///   5 s. Default: 100 ms. Where the server can tell it, waiters do not ask.
/// - `options.db_num`: the number of the database. Default: 0.
/// - `options.topology`: how several connections belong together: `single`, `cluster`, `quorum` or
///   `sentinel`. Default: `single` for one, `cluster` for several.
/// - `options.master`: the name of the primary, for sentinels.
///
/// Durations are numbers of milliseconds, or have units such as `1.5s`. The keys of a connection
/// and of a credential may also stand without a section: `host`, `port`, `username`, … A key that
/// nothing reads is logged as a warning with the key that was probably meant.
///
/// Several connections, as `connections.0.host`, `connections.1.host` and so on, or as a discovery
/// that finds several, are all the addresses of one cluster; with `topology = "quorum"` they are
/// independent servers that decide by majority, at least three of them. A wrong password or a
/// server that refuses otherwise is not tried again.
///
/// What a `uri` says of `poll` and `connect_timeout` wins over `retry_timeout` and `timeout`; a
/// `uri` that has a login or a database must not be given another one beside it.
///
/// # Other clients on the same keys
/// A lock's key is exactly the name that was given, a plain string that is set with `NX` and `PX`,
/// and only deleted while it holds this acquisition's own token. Clients of the origin, and all
/// others that take locks with `SET key value NX PX ttl`, therefore exclude ours and are excluded
/// by them.
pub struct RedisLock {
    connector: Arc<dyn Connect>,
    settings: Mutex<Settings>,
    /// One opening or closing at a time.
    turn: tokio::sync::Mutex<()>,
    desk: Desk,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    options: LockSettings,
    connections: ConnectionResolver,
    credentials: CredentialResolver,
}

impl RedisLock {
    /// A lock that is not configured yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_connector(Arc::new(TenureRedis))
    }

    /// A lock whose store is opened by `connector`.
    #[must_use]
    pub fn with_connector(connector: Arc<dyn Connect>) -> Self {
        Self {
            connector,
            settings: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            desk: Desk::closed(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        // Every change is a single assignment, so a panic elsewhere left it whole.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open_once(&self, context: Option<&Context>) -> Result<(), ComponentError> {
        let _turn = self.turn.lock().await;
        if self.desk.is_open() {
            return Ok(());
        }
        let settings = self.settings().clone();
        let mut trouble = Trouble::default();
        let opening = self.reach(&settings, context, &mut trouble);
        let reached = tokio::time::timeout(settings.options.timeout, opening).await;
        let Ok(reached) = reached else {
            return Err(trouble.out_of_time(context, settings.options.timeout));
        };
        self.desk.open(reached?);
        tracing::debug!("opened");
        Ok(())
    }

    /// Resolves where to connect to and as whom, and connects.
    async fn reach(
        &self,
        settings: &Settings,
        context: Option<&Context>,
        trouble: &mut Trouble,
    ) -> Result<Arc<dyn LeaseStore>, ComponentError> {
        let connections = settings.connections.resolve_all(context).await?;
        let credential = settings.credentials.lookup(context).await?;
        let target = url::compose(&connections, credential.as_ref(), &settings.options)
            .map_err(|error| error.in_context(context))?;
        trouble.servers = target.servers;
        let mut pause = FIRST_PAUSE;
        loop {
            trouble.attempts += 1;
            let error = match self.connector.connect(&target.url).await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            let has_more = error.is_retryable() && trouble.attempts <= settings.options.retries;
            if !has_more {
                return Err(trouble.gave_up(context, error));
            }
            tracing::warn!(
                servers = trouble.servers, attempt = trouble.attempts, %error, ?pause,
                "cannot connect, trying again"
            );
            trouble.last = Some(error);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

impl Default for RedisLock {
    fn default() -> Self {
        Self::new()
    }
}

/// How far connecting got.
#[derive(Debug, Default)]
struct Trouble {
    /// Empty until it is known where to connect to.
    servers: String,
    attempts: u32,
    last: Option<StoreError>,
}

impl Trouble {
    fn gave_up(&self, context: Option<&Context>, error: StoreError) -> ComponentError {
        let attempts = self.attempts;
        let times = if attempts == 1 { "attempt" } else { "attempts" };
        let message = format!(
            "cannot connect to {}, after {attempts} {times}",
            self.servers
        );
        ComponentError::new(Code::CannotConnect, context, message)
            .with_detail("attempts", attempts)
            .with_detail("servers", &self.servers)
            .because_of(error)
    }

    fn out_of_time(&mut self, context: Option<&Context>, limit: Duration) -> ComponentError {
        let limit = tenure_core::format_duration(limit);
        let servers = match self.servers.as_str() {
            "" => "the server that is to be discovered",
            servers => servers,
        };
        let message =
            format!("cannot connect to {servers} within {limit}, the value of options.timeout");
        let error = ComponentError::new(Code::CannotConnect, context, message)
            .with_detail("attempts", self.attempts)
            .with_detail("servers", &self.servers);
        match self.last.take() {
            Some(last) => error.because_of(last),
            None => error,
        }
    }
}

#[async_trait]
impl Component for RedisLock {
    fn configure(&self, config: &ConfigParams) -> Result<(), ComponentError> {
        let mut changed = self.settings().clone();
        changed.options = LockSettings::from_config(config)?;
        changed.connections.configure(config)?;
        changed.credentials.configure(config)?;
        *self.settings() = changed;
        Ok(())
    }

    fn set_references(&self, references: &References) -> Result<(), ComponentError> {
        let mut changed = self.settings().clone();
        changed.connections.set_references(references)?;
        changed.credentials.set_references(references)?;
        *self.settings() = changed;
        Ok(())
    }

    /// Connects. See [`RedisLock`] for how often and how long that is tried.
    ///
    /// # Errors
    /// [`Code::NoConnection`] if none is configured or found; [`Code::CannotConnect`] if no server
    /// could be reached in time, or it refused; [`Code::NoCredential`], [`Code::NoReference`] and
    /// [`Code::InvalidConfig`] for what the configuration asks for and cannot be had.
    async fn open(&self, context: Option<&Context>) -> Result<(), ComponentError> {
        let span = Context::span(context, "open");
        self.open_once(context).instrument(span).await
    }

    fn is_open(&self) -> bool {
        self.desk.is_open()
    }

    /// Ends every wait with [`Code::NotOpened`] and lets go of the connection. Locks that are held
    /// stay with the server until their ttl ends them.
    async fn close(&self, _context: Option<&Context>) -> Result<(), ComponentError> {
        let _turn = self.turn.lock().await;
        self.desk.close();
        Ok(())
    }
}

#[async_trait]
impl Lock for RedisLock {
    async fn try_acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
    ) -> Result<bool, ComponentError> {
        self.desk.try_acquire(context, key, ttl).await
    }

    async fn acquire_lock(
        &self,
        context: Option<&Context>,
        key: &str,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), ComponentError> {
        self.desk.acquire(context, key, ttl, timeout).await
    }

    async fn release_lock(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<(), ComponentError> {
        self.desk.release(context, key).await
    }
}

impl fmt::Debug for RedisLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLock")
            .field("is_open", &self.is_open())
            .field("settings", &*self.settings())
            .finish_non_exhaustive()
    }
}

/// Opens the Redis store of tenure, where this build has it.
#[derive(Debug)]
struct TenureRedis;

#[async_trait]
impl Connect for TenureRedis {
    #[cfg(feature = "redis")]
    async fn connect(&self, url: &SecretString) -> Result<Arc<dyn LeaseStore>, StoreError> {
        let url = url.expose_secret();
        let options = tenure_redis::RedisOptions::from_url(url);
        if options.is_ok_and(|options| options.is_quorum()) {
            let store = tenure_redis::QuorumStore::connect(url).await?;
            return Ok(Arc::new(store));
        }
        let store = tenure_redis::RedisStore::connect(url).await?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "redis"))]
    async fn connect(&self, _url: &SecretString) -> Result<Arc<dyn LeaseStore>, StoreError> {
        Err(StoreError::new(
            tenure_core::StoreErrorKind::Unsupported,
            "this build has no Redis store; turn on the feature `redis` of tenure-component",
        ))
    }
}
