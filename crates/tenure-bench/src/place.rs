//! Where a run works: a store under a name of its own, and how everything of it is removed.
//!
//! On Redis that is a prefix of keys and a namespace of runs. A SQLite store is a new file beside
//! the one that was named, so that the disk is the same and the file is not touched.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tenure::core::{HolderId, RunStore, StoreError, Token};
use tenure::{AcquireError, ConnectError, RedisOptions, RedisStore, SqliteOptions};
use tenure::{Tenure, lock::ReleaseError};
use tenure_redis::bare;

use crate::settings::Settings;
use crate::workload::Workload;

/// Why a run could not be brought to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The store could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A request of the run's own failed.
    #[error("the store failed meanwhile")]
    Store(#[from] StoreError),
    /// A lock was not acquired.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// A lock was not given back.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// It was asked to end.
    #[error("interrupted")]
    Interrupted,
    /// A second process could not be started, or did not answer.
    #[error("a second process failed: {what}")]
    Helper {
        /// What went wrong.
        what: String,
    },
    /// What was asked for makes no sense on this store.
    #[error("{why}")]
    Unfit {
        /// Why.
        why: String,
    },
    /// What was to be kept cannot be written.
    #[error("the history cannot be written")]
    Output(#[source] std::io::Error),
    /// What was measured cannot be right.
    #[error("the measurement failed: {what}")]
    Wrong {
        /// What was seen.
        what: String,
    },
}

impl Trouble {
    /// A second process went wrong.
    pub fn helper(what: impl std::fmt::Display) -> Self {
        let what = what.to_string();
        Self::Helper { what }
    }

    /// What was seen cannot be right.
    pub fn wrong(what: impl std::fmt::Display) -> Self {
        let what = what.to_string();
        Self::Wrong { what }
    }
}

/// A store to work on, under a name that no other run has.
#[derive(Debug)]
pub struct Place {
    /// What reaches the same place from another process.
    pub(crate) url: String,
    pub(crate) tenure: Tenure,
    name: String,
    kind: Kind,
    holders: Mutex<Vec<HolderId>>,
}

/// How another process gets to a place: the same locks, and the same runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// The store.
    pub url: String,
    /// The namespace of its runs, where that is not a matter of the URL.
    namespace: Option<String>,
}

impl Address {
    /// Goes there.
    ///
    /// # Errors
    /// [`Trouble::Connect`] if the store cannot be opened.
    pub async fn connect(&self) -> Result<Tenure, Trouble> {
        let Some(namespace) = &self.namespace else {
            return Ok(tenure::connect(&self.url).await?);
        };
        let options = options_of(&self.url)?.namespace(namespace);
        Ok(Tenure::over(Arc::new(RedisStore::with(options).await?)))
    }
}

#[derive(Debug)]
enum Kind {
    Memory,
    Sqlite {
        file: PathBuf,
    },
    Redis(Box<Redis>),
    /// Independent servers.
    Quorum(Box<RedisOptions>),
}

/// One server, or several that are one store.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) options: RedisOptions,
    pub(crate) store: RedisStore,
    is_cluster: bool,
}

impl Place {
    /// Opens a place on the store that `url` names, for this `purpose`: `bench`, say.
    ///
    /// # Errors
    /// [`Trouble::Connect`] if the URL is wrong or the store cannot be opened.
    pub async fn open(url: &str, purpose: &str) -> Result<Self, Trouble> {
        // Whatever is wrong with the URL is said as everywhere.
        tenure::check_url(url)?;
        let name = unique(purpose);
        let scheme = url
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let (url, tenure, kind) = match scheme.as_str() {
            "memory" => (url.to_owned(), tenure::connect(url).await?, Kind::Memory),
            "sqlite" => {
                let (url, file) = beside(url, &name)?;
                let tenure = tenure::connect(&url).await?;
                (url, tenure, Kind::Sqlite { file })
            }
            scheme if scheme.contains("+quorum") => {
                let options = options_of(url)?;
                let tenure = tenure::connect(url).await?;
                (url.to_owned(), tenure, Kind::Quorum(Box::new(options)))
            }
            scheme => {
                let options = options_of(url)?.namespace(&name);
                let store = RedisStore::with(options.clone()).await?;
                let tenure = Tenure::over(Arc::new(store.clone()));
                let is_cluster = scheme.contains("+cluster");
                let redis = Redis {
                    options,
                    store,
                    is_cluster,
                };
                (url.to_owned(), tenure, Kind::Redis(Box::new(redis)))
            }
        };
        let place = Self {
            url,
            tenure: tenure.labelled(format!("tenure {purpose}")),
            name,
            kind,
            holders: Mutex::default(),
        };
        place.met(place.tenure.holder().id);
        Ok(place)
    }

    /// What is there.
    #[must_use]
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// How another process gets here.
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            url: self.url.clone(),
            namespace: self.redis().map(|_| self.name.clone()),
        }
    }

    /// Notes a holder whose record is to be removed.
    pub fn met(&self, holder: HolderId) {
        let mut holders = self.holders.lock();
        holders.as_mut().map_or_else(
            |broken| broken.get_mut().push(holder),
            |all| all.push(holder),
        );
    }

    /// A key of this run. In one slot of its own, so that one fence counter stays and not
    /// thousands; in a cluster wherever its name belongs.
    pub fn key(&self, what: impl std::fmt::Display) -> String {
        match &self.kind {
            Kind::Redis(redis) if redis.is_cluster => format!("{}/{what}", self.name),
            Kind::Redis(_) | Kind::Quorum(_) => format!("{{{}}}/{what}", self.name),
            _ => format!("{}/{what}", self.name),
        }
    }

    /// The same as it is written without the library.
    pub(crate) fn bare_key(&self, what: impl std::fmt::Display) -> String {
        let prefix = match &self.kind {
            Kind::Redis(redis) => bare::prefix(&redis.options),
            Kind::Quorum(options) => bare::prefix(options),
            _ => "",
        };
        format!("{prefix}{}", self.key(what))
    }

    /// A namespace of this run.
    pub(crate) fn namespace(&self, what: impl std::fmt::Display) -> String {
        format!("{}-{what}", self.name)
    }

    /// Another store of the same kind, in a file of its own beside this one's.
    pub(crate) async fn beside(&self, name: &str) -> Result<Arc<dyn RunStore>, Trouble> {
        let (url, _) = beside(&self.url, name)?;
        Ok(tenure::connect(&url).await?.runs())
    }

    pub(crate) fn redis(&self) -> Option<&Redis> {
        match &self.kind {
            Kind::Redis(redis) => Some(redis),
            _ => None,
        }
    }

    /// How the servers are reached without the library.
    pub(crate) fn options(&self) -> Option<&RedisOptions> {
        match &self.kind {
            Kind::Redis(redis) => Some(&redis.options),
            Kind::Quorum(options) => Some(options),
            _ => None,
        }
    }

    /// The same servers without fences, where these are a choice and the URL leaves it.
    pub(crate) async fn unfenced(&self) -> Result<Option<Tenure>, Trouble> {
        if !matches!(self.kind, Kind::Quorum(_)) || self.url.contains("fenced=") {
            return Ok(None);
        }
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let tenure = tenure::connect(&format!("{}{mark}fenced=false", self.url)).await?;
        let tenure = tenure.labelled("tenure bench");
        self.met(tenure.holder().id);
        Ok(Some(tenure))
    }

    /// Whether pushes of one server can be measured without the library.
    pub(crate) fn has_bare_line(&self) -> bool {
        self.redis().is_some_and(|redis| !redis.is_cluster)
    }

    /// Whether other processes reach the same store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !matches!(self.kind, Kind::Memory)
    }

    /// Whether it keeps runs; a quorum keeps locks only.
    #[must_use]
    pub fn keeps_runs(&self) -> bool {
        !matches!(self.kind, Kind::Quorum(_))
    }

    /// Why a workload makes no sense here.
    pub(crate) fn why_not(&self, workload: Workload, settings: &Settings) -> Option<String> {
        let is_quorum = matches!(self.kind, Kind::Quorum(_));
        let why = match workload {
            Workload::Quorum if !is_quorum => {
                "only independent servers decide by majority (redis+quorum://)"
            }
            Workload::Uncontended if is_quorum => "on a quorum this is the workload `quorum`",
            Workload::Claims | Workload::Tick if !self.keeps_runs() => "a quorum keeps locks only",
            Workload::Commands if self.redis().is_none() => {
                "only one Redis store has statistics of its requests"
            }
            Workload::Crash if !self.is_shared() => "this store lives and dies with one process",
            Workload::Crash if settings.helper.is_none() => {
                "it needs a second process, and none can be started here"
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// What the store calls itself, such as `redis 7.0.15`.
    pub async fn version(&self) -> String {
        match &self.kind {
            Kind::Memory => "memory".to_owned(),
            Kind::Sqlite { .. } => "sqlite".to_owned(),
            Kind::Redis(redis) => {
                let version = bare::server_version(&redis.store).await;
                version.unwrap_or_else(|_| "redis of unknown version".to_owned())
            }
            Kind::Quorum(options) => {
                format!("quorum of {} servers", bare::server_count(options))
            }
        }
    }

    /// Removes everything that this run has written.
    ///
    /// # Errors
    /// [`Trouble::Store`] if the store does not answer.
    pub async fn remove(&self) -> Result<(), Trouble> {
        self.tenure.locks().settled().await;
        match &self.kind {
            Kind::Memory => Ok(()),
            Kind::Sqlite { file } => {
                remove_file(file);
                Ok(())
            }
            Kind::Redis(redis) => {
                let names = [self.bare_key(""), format!("tenure:{{{}", self.name)];
                bare::remove(&redis.store, &names, &self.holders()).await?;
                Ok(())
            }
            Kind::Quorum(options) => {
                let names = [self.bare_key("")];
                bare::remove_everywhere(options, &names, &self.holders()).await?;
                Ok(())
            }
        }
    }

    fn holders(&self) -> Vec<HolderId> {
        let holders = self.holders.lock();
        holders.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A file that was made for a run goes with it, however the run ends.
impl Drop for Place {
    fn drop(&mut self) {
        if let Kind::Sqlite { file } = &self.kind {
            remove_file(file);
        }
    }
}

fn unique(purpose: &str) -> String {
    let token = Token::random().to_string();
    format!("tenure-{purpose}-{}", token.get(..12).unwrap_or_default())
}

fn options_of(url: &str) -> Result<RedisOptions, Trouble> {
    RedisOptions::from_url(url).map_err(Trouble::wrong)
}

/// The URL of a new file beside that of `url`, with the same settings.
fn beside(url: &str, name: &str) -> Result<(String, PathBuf), Trouble> {
    let options = SqliteOptions::from_url(url).map_err(Trouble::wrong)?;
    let mut file = options.path().as_os_str().to_owned();
    file.push(".");
    file.push(name);
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (url, String::new()),
    };
    Ok((format!("{place}.{name}{query}"), PathBuf::from(file)))
}

/// Removes a file and what SQLite and the store keep beside it.
fn remove_file(file: &Path) {
    let Some(name) = file.file_name() else { return };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        if found
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes())
        {
            // What another process has removed meanwhile needs no removing.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Another store on the same servers, under a namespace of its own.
pub(crate) async fn in_namespace(redis: &Redis, name: &str) -> Result<RedisStore, Trouble> {
    Ok(RedisStore::with(redis.options.clone().namespace(name)).await?)
}
