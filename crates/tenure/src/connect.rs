//! From a URL to a store: the one place that knows every store by name.
//!
//! No message repeats more of a URL than its scheme, because the rest may hold a password.

use std::sync::Arc;

use tenure_core::{Holder, LeaseStore, RunStore, StoreError};
use tenure_lock::Locks;
use tenure_tasks::StoreLockManager;

/// The longest URL, in bytes.
const MAX_URL: usize = 4096;

/// A store, and who this process is in it.
///
/// Cheap to clone; clones share the store and the identity.
#[derive(Debug, Clone)]
pub struct Tenure {
    leases: Arc<dyn LeaseStore>,
    runs: Arc<dyn RunStore>,
    locks: Locks,
}

/// Opens the store that a URL names.
///
/// `sqlite:PATH` is a file that the processes of one machine share; it is made if it is missing.
/// `memory:` is a new store of this process alone, which ends with it. `redis://HOST` and its kin
/// name servers; several independent ones, `redis+quorum://`, keep locks only.
///
/// # Errors
/// [`ConnectError`] says what is wrong with the URL, or what the store met.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let locks = tenure::connect("memory:").await?.locks();
/// let guard = locks.lock("invoice/42").acquire().await?;
/// println!("fence {}", guard.fence());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: &str) -> Result<Tenure, ConnectError> {
    open(read(url)?).await
}

/// Opens the store that a URL names if there is one, for those who only look: it never makes a
/// file, so that a mistyped path is told and not turned into an empty store.
///
/// `memory:` is new and empty here too. A server is always there, or cannot be reached.
///
/// # Errors
/// [`ConnectError::Missing`] if there is no such file; otherwise as [`connect`].
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = tenure::connect_existing("sqlite:no-such-file.db").await.unwrap_err();
/// assert!(matches!(error, tenure::ConnectError::Missing { .. }));
/// # }
/// ```
pub async fn connect_existing(url: &str) -> Result<Tenure, ConnectError> {
    match read(url)? {
        #[cfg(feature = "sqlite")]
        Named::Sqlite(options) => {
            let store = open_sqlite(options.existing_only(true)).await;
            let store = store.map_err(|error| match &error {
                ConnectError::Store { source, .. } if is_missing(source) => {
                    ConnectError::Missing { store: "sqlite" }
                }
                _ => error,
            })?;
            Ok(Tenure::over(Arc::new(store)))
        }
        #[cfg(any(feature = "memory", feature = "redis"))]
        other => open(other).await,
    }
}

#[cfg(feature = "sqlite")]
fn is_missing(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<tenure_sqlite::NoStore>)
}

async fn open(named: Named) -> Result<Tenure, ConnectError> {
    match named {
        #[cfg(feature = "memory")]
        Named::Memory => Ok(Tenure::over(Arc::new(tenure_memory::MemoryStore::new()))),
        #[cfg(feature = "sqlite")]
        Named::Sqlite(options) => Ok(Tenure::over(Arc::new(open_sqlite(*options).await?))),
        #[cfg(feature = "redis")]
        Named::Redis(options) if options.is_quorum() => {
            let store = tenure_redis::QuorumStore::with(*options).await;
            Ok(Tenure::over(Arc::new(store.map_err(redis_error)?)))
        }
        #[cfg(feature = "redis")]
        Named::Redis(options) => {
            let store = tenure_redis::RedisStore::with(*options).await;
            Ok(Tenure::over(Arc::new(store.map_err(redis_error)?)))
        }
    }
}

/// Says whether a URL can be one of a store in this build. Opens nothing and asks no server; a
/// password file that the URL names is read.
///
/// # Errors
/// Whatever [`connect`] would refuse before it opens the store.
///
/// # Examples
/// ```
/// assert!(tenure::check_url("sqlite:locks.db").is_ok());
/// let error = tenure::check_url("sqllite:locks.db").unwrap_err().to_string();
/// assert!(error.contains("did you mean `sqlite:`?"));
/// ```
pub fn check_url(url: &str) -> Result<(), ConnectError> {
    read(url).map(drop)
}

/// The store that a URL names, before it is opened.
enum Named {
    #[cfg(feature = "memory")]
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite(Box<tenure_sqlite::SqliteOptions>),
    #[cfg(feature = "redis")]
    Redis(Box<tenure_redis::RedisOptions>),
}

fn read(url: &str) -> Result<Named, ConnectError> {
    if url.len() > MAX_URL || url.chars().any(char::is_control) {
        return Err(ConnectError::Malformed);
    }
    let scheme = url
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| is_scheme(scheme))
        .ok_or(ConnectError::NoScheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        #[cfg(feature = "memory")]
        "memory" => {
            if url.len() > "memory:".len() {
                let reason = "memory: takes neither a path nor parameters".to_owned();
                return Err(ConnectError::Invalid {
                    store: "memory",
                    reason,
                });
            }
            Ok(Named::Memory)
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => match tenure_sqlite::SqliteOptions::from_url(url) {
            Ok(options) => Ok(Named::Sqlite(Box::new(options))),
            Err(error) => Err(ConnectError::Invalid {
                store: "sqlite",
                reason: error.to_string(),
            }),
        },
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+unix" | "redis+sentinel" | "rediss+sentinel"
        | "redis+cluster" | "rediss+cluster" | "redis+quorum" | "rediss+quorum" => {
            Ok(Named::Redis(Box::new(redis_options(url)?)))
        }
        known if SCHEMES.contains(&known) => Err(ConnectError::NotInThisBuild {
            scheme: known.to_owned(),
        }),
        other => Err(ConnectError::UnknownScheme {
            nearest: nearest(other),
            scheme: other.to_owned(),
        }),
    }
}

#[cfg(feature = "sqlite")]
pub(crate) async fn open_sqlite(
    options: tenure_sqlite::SqliteOptions,
) -> Result<tenure_sqlite::SqliteStore, ConnectError> {
    tenure_sqlite::SqliteStore::connect(options)
        .await
        .map_err(|source| ConnectError::Store {
            store: "sqlite",
            source,
        })
}

#[cfg(feature = "redis")]
pub(crate) async fn open_redis(url: &str) -> Result<tenure_redis::RedisStore, ConnectError> {
    tenure_redis::RedisStore::with(redis_options(url)?)
        .await
        .map_err(redis_error)
}

#[cfg(feature = "redis")]
fn redis_options(url: &str) -> Result<tenure_redis::RedisOptions, ConnectError> {
    use tenure_redis::OptionsError;
    tenure_redis::RedisOptions::from_url(url).map_err(|error| {
        let reason = match &error {
            // The `?` may have cut a password in two, whose parts look like a host and a parameter.
            _ if url
                .split_once('?')
                .is_some_and(|(_, query)| query.contains('@')) =>
            {
                "it cannot be read; a `?` or `@` in a password is written %3F or %40".to_owned()
            }
            // Without an `@` behind it, a password stands where the port should.
            OptionsError::Host { host, .. } if !is_plain_host(host) => {
                "it has a host without a port from 1 to 65535; \
                 a user and a password stand before an `@`"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        ConnectError::Invalid {
            store: "redis",
            reason,
        }
    })
}

/// Whether there is nothing in a host that could be a password.
#[cfg(feature = "redis")]
fn is_plain_host(host: &str) -> bool {
    if host.starts_with('[') {
        return (host.chars()).all(|c| c.is_ascii_hexdigit() || "[]:.".contains(c));
    }
    host.split_once(':')
        .is_none_or(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(feature = "redis")]
pub(crate) fn redis_error(source: StoreError) -> ConnectError {
    ConnectError::Store {
        store: "redis",
        source,
    }
}

impl Tenure {
    /// Over a store that was opened by other means, such as one with settings of its own.
    #[must_use]
    pub fn over<S: LeaseStore + RunStore>(store: Arc<S>) -> Self {
        let holder = Holder::new(program_name()).on_host(host_name());
        Self {
            leases: store.clone(),
            runs: store.clone(),
            locks: Locks::new(store, holder),
        }
    }

    /// With another name than the program's, as others see it in listings. Call it before the
    /// first lock is taken.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        let mut holder = self.locks.holder().clone();
        holder.label = label.into();
        Self {
            locks: Locks::new(self.leases.clone(), holder),
            ..self
        }
    }

    /// Locks on this store.
    #[must_use]
    pub fn locks(&self) -> Locks {
        self.locks.clone()
    }

    /// The store's leases, for administration.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn LeaseStore> {
        self.leases.clone()
    }

    /// The store's runs, for task managers and for administration.
    #[must_use]
    pub fn runs(&self) -> Arc<dyn RunStore> {
        self.runs.clone()
    }

    /// A task manager on this store, under this process's identity. At most one scheduling of a
    /// process may use it; make another [`connect`]ion for the next.
    #[must_use]
    pub fn manager(&self) -> StoreLockManager {
        StoreLockManager::new(self.runs()).as_node(self.holder().clone())
    }

    /// Who this process is in the store.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        self.locks.holder()
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text does not begin with a scheme.
    #[error(
        "a store's URL begins with its kind: sqlite:PATH or memory:; \
         for a file write sqlite: before its path"
    )]
    NoScheme,
    /// The text is too long for a URL or holds control characters.
    #[error("a store's URL may have {MAX_URL} bytes and no control characters")]
    Malformed,
    /// No store has this scheme.
    #[error(
        "unknown kind of store `{}`{}; this build has {}",
        shown(.scheme),
        .nearest.map(|near| format!(", did you mean `{near}:`?")).unwrap_or_default(),
        built().join(" and ")
    )]
    UnknownScheme {
        /// The scheme as given.
        scheme: String,
        /// The known scheme it resembles.
        nearest: Option<&'static str>,
    },
    /// There is such a store, but not in this build.
    #[error("this build has no `{scheme}:` store; it has {}", built().join(" and "))]
    NotInThisBuild {
        /// The scheme.
        scheme: String,
    },
    /// The rest of the URL cannot be used.
    #[error("the {store} URL cannot be used: {reason}")]
    Invalid {
        /// Which store.
        store: &'static str,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// There is no store, and none was to be made.
    #[error("there is no {store} store at this place")]
    Missing {
        /// Which store.
        store: &'static str,
    },
    /// The store could not be opened.
    #[error("cannot open the {store} store")]
    Store {
        /// Which store.
        store: &'static str,
        /// What it met.
        source: StoreError,
    },
}

/// Every scheme there is or will be.
const SCHEMES: [&str; 16] = [
    "memory",
    "sqlite",
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "redis+quorum",
    "rediss+quorum",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "etcd",
];

fn built() -> Vec<&'static str> {
    let mut built = Vec::new();
    if cfg!(feature = "sqlite") {
        built.push("`sqlite:PATH`");
    }
    if cfg!(feature = "redis") {
        built.push("`redis://HOST`");
    }
    if cfg!(feature = "memory") {
        built.push("`memory:`");
    }
    if built.is_empty() {
        built.push("none");
    }
    built
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 40
        && (text.chars()).all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn shown(scheme: &str) -> String {
    scheme.chars().flat_map(char::escape_debug).collect()
}

/// The scheme that takes the fewest edits, if they are few.
fn nearest(scheme: &str) -> Option<&'static str> {
    SCHEMES
        .into_iter()
        .map(|known| (edits(scheme, known), known))
        .filter(|(edits, known)| *edits <= 1.max(known.len() / 3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// How many letters must be added, removed or changed.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut next = vec![i + 1];
        for (b, pair) in to.bytes().zip(row.windows(2)) {
            let (Some(above_left), Some(above)) = (pair.first(), pair.last()) else {
                continue;
            };
            let left = next.last().copied().unwrap_or_default();
            let replaced = above_left + usize::from(a != b);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn program_name() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

fn host_name() -> String {
    hostname::get()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn e25_e26_e40_urls_that_name_no_store_are_refused_without_repeating_them() {
        let long = format!("sqlite:{}", "x".repeat(5000));
        for (url, part) in [
            ("", "begins with its kind"),
            ("tasks.db", "for a file write sqlite: before its path"),
            ("/var/lib/x:y.db", "begins with its kind"),
            ("http://user:s3cret@host", "unknown kind of store `http`"),
            ("redi://:s3cret@host", "did you mean `redis:`?"),
            ("sqllite:a.db", "did you mean `sqlite:`?"),
            ("postgres://u:s3cret@h/db", "no `postgres:` store; it has"),
            ("etcd://:s3cret@h", "no `etcd:` store"),
            ("sqlite:a\r\nb?s3cret", "no control characters"),
            (&long, "may have 4096 bytes"),
            ("memory:s3cret", "takes neither a path nor parameters"),
        ] {
            let error = connect(url).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
            assert_eq!(check_url(url).unwrap_err().to_string(), error);
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn e27_no_way_to_mistake_a_password_for_something_else_repeats_it() {
        for (url, part) in [
            ("redis://h:99999", "`h:99999` has a port"),
            ("redis://[::1", "`[::1` has no closing"),
            ("redis://u:s3cret", "stand before an `@`"),
            ("redis://:s3cret", "stand before an `@`"),
            ("redis://u:s3cret?x@h", "written %3F"),
            ("redis://u:p?s3cret@h", "written %3F"),
            ("redis://u:99?s3cret@h", "written %3F"),
            ("redis://u:s3cret@@h", "write them as %40"),
            ("redis://u:s3cret/@h", "write them as %40"),
            ("redis://u:s3cret#@h", "write %23"),
            ("redis://u:s3cret@h:0", "`h:0` has a port"),
            ("redis://u:s3cret@h?tmeout=1s", "did you mean `timeout`?"),
        ] {
            let error = check_url(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for url in [
            "redis://u:p@h:1/0",
            "redis+unix:/run/redis.sock",
            "redis+sentinel://h/m",
            "redis+quorum://a,b,c",
        ] {
            check_url(url).unwrap();
        }
    }

    #[cfg(feature = "memory")]
    #[tokio::test]
    async fn a_label_is_what_others_see() {
        let tenure = connect("memory:").await.unwrap().labelled("billing");
        assert_eq!(tenure.holder().label, "billing");
        let guard = tenure.locks().lock("k").acquire().await.unwrap();
        let seen = tenure.locks().inspect("k").await.unwrap().unwrap();
        assert!(seen.occupant.unwrap().to_string().contains("billing"));
        guard.release().await.unwrap();
    }
}
