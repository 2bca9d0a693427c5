//! Connections that are lent to one step at a time, so that a `WAIT` can follow it.
//!
//! `WAIT` waits for the writes of its own connection and holds that connection up meanwhile: on a
//! shared one it would hold everybody up, and after a reconnection it would wait for nothing. So
//! each step that counts only with replicas has a connection for as long as it takes, and the
//! `WAIT` is sent where the step was made or not at all. In a cluster the connections are kept by
//! node, and the nodes' own redirections say which node has a slot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Value};
use tenure_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::direct::{Direct, Wire};
#[cfg(feature = "cluster")]
use super::lanes_cluster::Nodes;
use super::pool::{Lent, Pool};
use super::{Call, PAUSE, from_now};
use crate::error::{Meaning, meaning, store_error, too_late};
#[cfg(feature = "cluster")]
use crate::options::Servers;
use crate::options::{PoolSize, RedisOptions};

/// How many steps may be under way at once where the options name no pool.
const LANES: usize = 16;
/// How often one step is tried on another connection or node.
const MOST_TRIES: u32 = 8;

/// How many replicas must have a step, and within what time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copies {
    pub(crate) replicas: u32,
    pub(crate) within: Duration,
}

/// An answer, how many replicas have what it says, and the connection on which it came.
pub(crate) struct Kept {
    pub(crate) answer: Value,
    /// `None` if nobody was asked to copy it.
    pub(crate) copies: Option<u32>,
    needed: u32,
    lane: Lane,
}

impl Kept {
    /// Whether as many replicas have it as must.
    pub(crate) fn has_majority(&self) -> bool {
        self.copies.is_some_and(|copies| copies >= self.needed)
    }

    /// Sends one more request where the step was made; if it fails, it is not tried again.
    pub(crate) async fn then(&self, call: &Call, timeout: Duration) -> Result<Value, StoreError> {
        let deadline = from_now(timeout);
        let sent = match self.lane.send(call, deadline).await {
            Some(Err(error)) if meaning(&error) == Meaning::NoScript => match call.whole() {
                Some(whole) => self.lane.send(&whole, deadline).await,
                None => Some(Err(error)),
            },
            sent => sent,
        };
        match sent {
            Some(answer) => answer.map_err(|error| store_error(call.doing, self.at(), error)),
            None => Err(too_late(call.doing, self.at())),
        }
    }

    /// The server where the step was made, as messages call it.
    pub(crate) fn at(&self) -> &str {
        &self.lane.wire.at
    }

    /// Gives the connection up, so that the next step looks for the primary anew.
    pub(crate) fn leave(&self) {
        self.lane.direct().leave();
    }
}

/// One connection, and the place in the pool that goes with it.
struct Lane {
    lent: Lent,
    wire: Wire,
}

impl Lane {
    fn direct(&self) -> &Arc<Direct> {
        &self.lent
    }

    /// `None` if no answer came in time, after which the connection is used no more.
    async fn send(&self, call: &Call, deadline: Instant) -> Option<Result<Value, RedisError>> {
        let mut connection = self.wire.connection.clone();
        let sent = connection.send_packed_command(call.cmd());
        let Ok(answer) = tokio::time::timeout_at(deadline, sent).await else {
            self.direct().retire(&self.wire);
            return None;
        };
        let answer = answer.and_then(Value::extract_error);
        if answer
            .as_ref()
            .is_err_and(|error| matches!(meaning(error), Meaning::Elsewhere | Meaning::Unknown))
        {
            self.direct().retire(&self.wire);
        }
        Some(answer)
    }
}

/// The connections of steps that count only with replicas.
pub(crate) struct Lanes {
    timeout: Duration,
    way: Way,
}

enum Way {
    One(Arc<Pool>),
    #[cfg(feature = "cluster")]
    Cluster(Box<Nodes>),
}

impl Lanes {
    /// Nothing is opened before it is needed.
    pub(crate) fn new(options: &RedisOptions) -> Self {
        let size = PoolSize {
            initial: 0,
            max: options.pool.map_or(LANES, |pool| pool.max),
            patience: options.timeout,
        };
        Self {
            timeout: options.timeout,
            way: match &options.servers {
                #[cfg(feature = "cluster")]
                Servers::Cluster(seeds) => Way::Cluster(Box::new(Nodes::new(options, size, seeds))),
                _ => Way::One(Arc::new(Pool::closed(options, size))),
            },
        }
    }

    /// Runs a request about `lock`, and if its answer `counts`, waits for replicas to have it.
    ///
    /// # Errors
    /// As [`Link::run`](super::Link::run); what broke between the answer and the replicas has an
    /// unknown outcome. Too few replicas are no error but in the answer.
    pub(crate) async fn run(
        &self,
        lock: &[u8],
        call: Call,
        counts: impl Fn(&Value) -> bool,
        copies: &Copies,
    ) -> Result<Kept, StoreError> {
        let mut call = self.fitted(call);
        let deadline = from_now(self.timeout);
        let mut may_have_happened = false;
        let mut last = None;
        for attempt in 0..MOST_TRIES {
            if from_now(Duration::ZERO) >= deadline {
                break;
            }
            let lane = match self.lane(lock, attempt, call.doing, deadline).await {
                Ok(lane) => lane,
                Err(error) if self.is_one() || !error.is_retryable() => {
                    last = Some(error);
                    break;
                }
                Err(error) => {
                    last = Some(error);
                    self.forget(lock);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let error = match lane.send(&call, deadline).await {
                Some(Ok(answer)) => return finish(lane, &call, answer, counts, copies).await,
                Some(Err(error)) => error,
                None => return Err(too_late(call.doing, &lane.wire.at)),
            };
            if self.follows(lock, &error) {
                last = Some(store_error(call.doing, &lane.wire.at, error));
                continue;
            }
            let meaning = meaning(&error);
            let shown = store_error(call.doing, &lane.wire.at, error);
            match meaning {
                Meaning::NoScript => match call.whole() {
                    Some(whole) => call = whole,
                    None => return Err(shown),
                },
                Meaning::Elsewhere => {
                    self.forget(lock);
                    tokio::time::sleep(PAUSE).await;
                }
                Meaning::Unknown if !may_have_happened => {
                    may_have_happened = true;
                    self.forget(lock);
                    tokio::time::sleep(PAUSE).await;
                }
                Meaning::Unknown | Meaning::Refused(_) => {
                    // Such as a node that lost its majority: the next step asks another.
                    self.forget(lock);
                    last = Some(shown);
                    break;
                }
            }
            last = Some(shown);
        }
        Err(given_up(call.doing, last, may_have_happened))
    }

    /// These nodes may be asked too.
    pub(crate) fn learn(&self, found: Vec<super::Node>) {
        match &self.way {
            Way::One(_) => drop(found),
            #[cfg(feature = "cluster")]
            Way::Cluster(nodes) => nodes.learn(found),
        }
    }

    async fn lane(
        &self,
        lock: &[u8],
        attempt: u32,
        doing: &str,
        deadline: Instant,
    ) -> Result<Lane, StoreError> {
        let (lent, until) = match &self.way {
            Way::One(pool) => (pool.lend(doing, deadline).await?, deadline),
            #[cfg(feature = "cluster")]
            Way::Cluster(nodes) => {
                // A node that is down must leave time for the one that takes its place.
                let until = deadline.min(from_now(self.timeout / 4));
                (nodes.lend(lock, attempt, doing, until).await?, until)
            }
        };
        #[cfg(not(feature = "cluster"))]
        let _ = (lock, attempt);
        let wire = lent.wire(doing, until).await?;
        Ok(Lane { lent, wire })
    }

    /// The request as the nodes of a cluster need it, where it is one.
    fn fitted(&self, call: Call) -> Call {
        match &self.way {
            Way::One(_) => call,
            #[cfg(feature = "cluster")]
            Way::Cluster(_) => call.for_a_slot_at_rest().into_owned(),
        }
    }

    fn is_one(&self) -> bool {
        matches!(self.way, Way::One(_))
    }

    /// Whether an error says which node has the slot of `lock`, which is then asked.
    fn follows(&self, lock: &[u8], error: &RedisError) -> bool {
        match &self.way {
            Way::One(_) => {
                let _ = (lock, error);
                false
            }
            #[cfg(feature = "cluster")]
            Way::Cluster(nodes) => nodes.follow(lock, error),
        }
    }

    /// Forgets which node has the slot of `lock`.
    pub(crate) fn forget(&self, lock: &[u8]) {
        match &self.way {
            Way::One(_) => {
                let _ = lock;
            }
            #[cfg(feature = "cluster")]
            Way::Cluster(nodes) => nodes.forget(lock),
        }
    }
}

/// The error of a step that is not tried again.
fn given_up(doing: &str, last: Option<StoreError>, may_have_happened: bool) -> StoreError {
    let error = last.unwrap_or_else(|| {
        let message = format!("{doing}: no connection within the request's time");
        StoreError::new(StoreErrorKind::Unavailable, message)
    });
    if may_have_happened {
        error.with_unknown_outcome()
    } else {
        error
    }
}

/// Waits for the replicas, on the connection on which the answer came.
async fn finish(
    lane: Lane,
    call: &Call,
    answer: Value,
    counts: impl Fn(&Value) -> bool,
    copies: &Copies,
) -> Result<Kept, StoreError> {
    let mut kept = Kept {
        answer,
        copies: None,
        needed: copies.replicas,
        lane,
    };
    if !counts(&kept.answer) {
        return Ok(kept);
    }
    if copies.replicas == 0 {
        kept.copies = Some(0);
        return Ok(kept);
    }
    let within = u64::try_from(copies.within.as_millis()).unwrap_or(u64::MAX);
    let wait = Call::command(call.doing, "WAIT")
        .arg(copies.replicas)
        .arg(within);
    // The server needs a moment of its own beyond the replicas' time.
    let deadline = from_now(copies.within + Duration::from_secs(1));
    kept.copies = match kept.lane.send(&wait, deadline).await {
        Some(Ok(Value::Int(copies))) => Some(u32::try_from(copies).unwrap_or(0)),
        Some(Ok(_)) => Some(0),
        Some(Err(error)) => {
            return Err(store_error(call.doing, kept.at(), error).with_unknown_outcome());
        }
        None => return Err(too_late(call.doing, kept.at())),
    };
    Ok(kept)
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}
