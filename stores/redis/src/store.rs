//! The store itself: one way to the servers, and who is to be told of what they push.

use std::sync::Arc;

use tenure_core::{StoreError, StoreErrorKind};

use crate::ears::Ears;
use crate::lease::{People, Unanswered};
use crate::link::Link;
use crate::options::RedisOptions;
use crate::quorum::Told;
use crate::run::Runs;
use crate::safety::{Safety, Strict};

/// A store of leases and runs on Redis or Valkey.
///
/// Cheap to clone; clones share the connection. It lives in the runtime in which it was connected.
#[derive(Debug, Clone)]
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
}

/// What clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Link,
    pub(crate) options: RedisOptions,
    pub(crate) ears: Arc<Ears>,
    pub(crate) people: People,
    pub(crate) unanswered: Unanswered,
    pub(crate) runs: Runs,
    /// There if the options ask for strict safety.
    pub(crate) strict: Option<Strict>,
}

impl RedisStore {
    /// Connects to the servers that `url` names: see [`RedisOptions::from_url`].
    ///
    /// # Errors
    /// [`StoreErrorKind::Misconfigured`] if the URL cannot work, otherwise what the servers said.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = RedisOptions::from_url(url)
            .map_err(|error| StoreError::new(StoreErrorKind::Misconfigured, error.to_string()))?;
        Self::with(options).await
    }

    /// Connects as `options` say.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub async fn with(options: RedisOptions) -> Result<Self, StoreError> {
        let options = options
            .checked()
            .map_err(|error| StoreError::new(StoreErrorKind::Misconfigured, error.to_string()))?;
        let runs_channel = format!("tenure:{{{}}}:runs", options.namespace);
        let mut ears = Ears::new(&options.prefix, runs_channel);
        ears.trusts_pushes = options.safety == Safety::Plain;
        Self::made(options, Arc::new(ears)).await
    }

    /// The server with this number in a quorum, which may be down now and is connected to in the
    /// background.
    pub(crate) async fn of_quorum(
        mut options: RedisOptions,
        server: usize,
        told: Arc<Told>,
    ) -> Result<Self, StoreError> {
        options.is_vote = true;
        let ears = Ears::new(&options.prefix, String::new()).of_quorum(server, told);
        Self::made(options, Arc::new(ears)).await
    }

    async fn made(options: RedisOptions, ears: Arc<Ears>) -> Result<Self, StoreError> {
        let link = Link::connect(&options, ears.clone()).await?;
        let strict = Strict::new(&options);
        if let Some(strict) = &strict {
            strict.lanes.learn(link.nodes().await?);
        }
        let shared = Arc::new(Shared {
            link,
            runs: Runs::new(&options.namespace),
            options,
            ears,
            people: People::default(),
            unanswered: Unanswered::default(),
            strict,
        });
        shared.ears.unheard.serve(Arc::downgrade(&shared));
        let store = Self { shared };
        if store.shared.options.is_vote {
            Self::meet_servers_later(Arc::downgrade(&store.shared));
        } else {
            store.meet_servers().await?;
        }
        Ok(store)
    }
}
