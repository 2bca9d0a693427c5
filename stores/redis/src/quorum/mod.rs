//! Leases on several independent servers, decided by majority.
//!
//! Each server is asked at the same time and keeps an ordinary lock, its vote. A lease counts once
//! more than half of the servers voted for its token, and only for what is left of the shortest of
//! those votes. A server that does not answer in its own short time has no vote; whatever it may
//! have granted is taken back behind the caller's back. No server hands a lock on: several queues
//! would each choose another head. Each server's queue only says whom to tell first.
//!
//! This is about availability, not about more safety than one server gives: clocks that run apart
//! and servers that forget break it as they break one. Fences are made to grow across majorities by
//! agreeing on the greatest before the lease is used, for one more round trip.
//!
//! # Sources
//! The Redis documentation, "Distributed locks with Redis", section "The Redlock algorithm";
//! M. Kleppmann, "How to do distributed locking" (2016), for what it does not give.

mod doctor;
mod fence;
mod lease;
mod node;
mod roll;
mod runs;
mod step;
mod sweep;
mod told;
mod view;
mod votes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tenure_core::{StoreError, StoreErrorKind, Ttl};

use self::roll::Roll;
use self::step::{Answer, Asked};
use self::sweep::Sweeps;
pub(crate) use self::told::Told;
use crate::options::{Address, RedisOptions, Servers};
use crate::safety::{Safety, Terms};
use crate::store::RedisStore;

/// How long one server may take to answer, if nothing else is said.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long those are waited for who have not answered when the others have decided, where leaving
/// no trace matters more than the time.
const GRACE: Duration = Duration::from_millis(10);
/// Looking and listing are no part of a lease and may take longer.
const LOOK: Duration = Duration::from_secs(1);

/// Leases on a majority of independent Redis or Valkey servers. It keeps no runs.
///
/// Cheap to clone; clones share the connections. It lives in the runtime in which it was connected.
#[derive(Clone)]
pub struct QuorumStore {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Vec<RedisStore>,
    names: Vec<String>,
    roll: Roll,
    told: Arc<Told>,
    sweeps: Sweeps,
    timeout: Duration,
    node_timeout: Option<Duration>,
    poll: Duration,
    is_fenced: bool,
    /// What strict safety asks for, if it is asked for.
    terms: Option<Terms>,
}

impl QuorumStore {
    /// Connects to the servers of a `redis+quorum://` URL: see [`RedisOptions::from_url`].
    ///
    /// # Errors
    /// [`StoreErrorKind::Misconfigured`] if the URL cannot work or two of its addresses lead to one
    /// server; [`StoreErrorKind::Unavailable`] if no majority answers.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = RedisOptions::from_url(url)
            .map_err(|error| StoreError::new(StoreErrorKind::Misconfigured, error.to_string()))?;
        Self::with(options).await
    }

    /// Connects as `options` say.
    ///
    /// # Errors
    /// As [`QuorumStore::connect`].
    pub async fn with(options: RedisOptions) -> Result<Self, StoreError> {
        let options = options
            .checked()
            .map_err(|error| StoreError::new(StoreErrorKind::Misconfigured, error.to_string()))?;
        let Servers::Quorum(addresses) = &options.servers else {
            return Err(StoreError::new(
                StoreErrorKind::Misconfigured,
                "a quorum's URL begins with redis+quorum://",
            ));
        };
        let told = Arc::new(Told::new(addresses.len() / 2 + 1));
        let mut nodes = Vec::with_capacity(addresses.len());
        for (number, address) in addresses.iter().enumerate() {
            let options = of_one(&options, address);
            nodes.push(RedisStore::of_quorum(options, number, told.clone()).await?);
        }
        let store = Self {
            shared: Arc::new(Shared {
                roll: Roll::new(nodes.len()),
                names: addresses.iter().map(ToString::to_string).collect(),
                nodes,
                told,
                sweeps: Sweeps::default(),
                timeout: options.timeout,
                node_timeout: options.node_timeout,
                poll: options.poll,
                is_fenced: options.is_fenced,
                terms: (options.safety == Safety::Strict).then(|| Terms::new(&options)),
            }),
        };
        store.call_the_roll(options.connect_timeout).await?;
        Ok(store)
    }

    fn majority(&self) -> usize {
        self.shared.nodes.len() / 2 + 1
    }

    /// How many servers must refuse before a majority cannot be won.
    fn minority_lost(&self) -> usize {
        self.shared.nodes.len() - self.majority() + 1
    }

    /// How long one server is waited for: much less than the ttl, so that a hung one costs little.
    fn patience(&self, ttl: Ttl) -> Duration {
        let ttl = ttl.get();
        match self.shared.node_timeout {
            Some(chosen) => chosen.min(ttl / 4),
            None => PATIENCE.min(ttl / 20),
        }
    }

    /// The same where no ttl is known.
    fn longest_patience(&self) -> Duration {
        self.shared.node_timeout.unwrap_or(PATIENCE)
    }

    /// Asks every server the same. One whose identity is not known yet has no vote.
    fn ask<T, F>(&self, step: impl Fn(RedisStore) -> F) -> Asked<T, BoxFuture<'static, Answer<T>>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let nodes = self.shared.nodes.iter().enumerate();
        Asked::new(nodes.map(|(number, node)| {
            let step = self.has_vote(number).then(|| step(node.clone()));
            let answer = async move {
                let result = match step {
                    Some(step) => step.await,
                    None => Err(roll::unknown()),
                };
                Answer { number, result }
            };
            answer.boxed()
        }))
    }
}

impl fmt::Debug for QuorumStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumStore")
            .field("servers", &self.shared.names)
            .finish_non_exhaustive()
    }
}

fn of_one(options: &RedisOptions, address: &Address) -> RedisOptions {
    let mut options = options.clone();
    options.servers = Servers::One(address.clone());
    options
}
