//! The way to the servers: requests out, pushes in.
//!
//! A [`Link`] sends scripts and commands with one deadline each, follows the servers wherever they
//! move, and says of every failure whether the step may have happened. What the scripts mean it
//! does not know.

mod batch;
mod busy;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "cluster")]
mod cluster_lines;
mod dial;
mod direct;
mod flight;
mod joint;
mod lanes;
#[cfg(feature = "cluster")]
mod lanes_cluster;
mod pool;
mod pushed;
mod script;
mod second;
#[cfg(feature = "sentinel")]
mod sentinel;
mod stranger;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "cluster")]
use futures_util::future::join_all;
use redis::{RedisError, Value};
use tenure_core::{StoreError, StoreErrorKind, Token};
use tokio::time::Instant;

pub(crate) use self::batch::{BatchScript, Member};
#[cfg(all(feature = "bare", feature = "cluster"))]
pub(crate) use self::cluster::Cluster;
#[cfg(feature = "bare")]
pub(crate) use self::dial::Dial;
pub(crate) use self::direct::Way;
use self::direct::{Direct, Wire};
use self::joint::Joint;
pub(crate) use self::lanes::{Copies, Kept, Lanes};
use self::pool::Pool;
use self::pushed::deliver;
use self::script::Company;
pub(crate) use self::script::{Call, Script};
pub(crate) use self::stranger::Stranger;
use crate::error::{Meaning, is_of_unnamed_key, meaning, store_error, too_late};
use crate::lease::{Step, Wording};
use crate::options::{RedisOptions, Servers};

/// How often one request follows a server that has moved.
const MOST_MOVES: u32 = 5;
/// How long a request waits before it asks a cluster again.
const PAUSE: Duration = Duration::from_millis(20);

/// Who is told what the servers push.
pub(crate) trait Hears: Send + Sync + 'static {
    /// A message on a channel.
    fn message(&self, channel: &[u8], payload: &[u8]);
    /// A watched key changed; `None` if any may have.
    fn invalidated(&self, key: Option<&[u8]>);
    /// Messages may have been lost.
    fn reconnected(&self);
    /// Whether nobody waits for anything, so that a broken connection can wait for the next
    /// request.
    fn is_idle(&self) -> bool;
}

/// One of the servers that hold keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// There is only one.
    Only,
    /// The node of a cluster at this host and port.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "of a cluster"))]
    At(String, u16),
}

/// The way to the servers.
pub(crate) struct Link {
    way: Paths,
    /// Where steps on one shared connection meet that can be made in one go.
    joint: Option<Arc<Joint>>,
    wording: Arc<Wording>,
    timeout: Duration,
    /// Our own name among those who wait.
    name: String,
}

enum Paths {
    Direct {
        /// What is pushed comes here; requests go here too if there is no pool.
        main: Arc<Direct>,
        pool: Option<Arc<Pool>>,
    },
    #[cfg(feature = "cluster")]
    Cluster(cluster::Cluster),
}

/// How a request was answered by the way it went.
enum Sent {
    Answer(Value),
    /// The server, or the way to it, failed.
    Failed(RedisError, Arc<str>),
    /// It did not leave.
    Nowhere(StoreError),
    /// It left for this server, and nothing came back in time.
    TooLate(Arc<str>),
}

impl Link {
    pub(crate) async fn connect(
        options: &RedisOptions,
        hears: Arc<dyn Hears>,
    ) -> Result<Self, StoreError> {
        let name = Token::random().to_string();
        let way = match &options.servers {
            #[cfg(feature = "cluster")]
            Servers::Cluster(nodes) => {
                Paths::Cluster(cluster::Cluster::connect(options, nodes, hears, &name).await?)
            }
            Servers::Quorum(_) => {
                return Err(StoreError::new(
                    StoreErrorKind::Misconfigured,
                    "a quorum keeps locks and no tasks; name one server, sentinels or a cluster",
                ));
            }
            _ => Paths::Direct {
                main: Direct::connect(options, hears, vec![channel(&name)]).await?,
                pool: Pool::open(options).await?,
            },
        };
        let wording = Arc::new(Wording::new(options, format!("p{}", channel(&name))));
        let joint = match &way {
            Paths::Direct { main, pool: None } => Some(Joint::new(wording.clone(), main.clone())),
            // Each connection of a pool has one request at a time, and a script sees one slot.
            Paths::Direct { pool: Some(_), .. } => None,
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => None,
        };
        Ok(Self {
            way,
            joint,
            wording,
            timeout: options.timeout,
            name,
        })
    }

    /// By which connection requests go now.
    pub(crate) fn way(&self) -> Way {
        match &self.way {
            Paths::Direct { main, pool: None } => main.number().map_or(Way::Any, Way::Wire),
            Paths::Direct { pool: Some(_), .. } => Way::Any,
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => Way::Any,
        }
    }

    /// How long a request takes at the most, if nothing but its own deadline decides that.
    pub(crate) fn limit(&self) -> Option<Duration> {
        match &self.way {
            Paths::Direct { pool: None, .. } => Some(self.timeout),
            // A pool may have to connect first, and a cluster be looked for.
            Paths::Direct { pool: Some(_), .. } => None,
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => None,
        }
    }

    /// Whether keys of several slots may stand in one request.
    pub(crate) fn joins_slots(&self) -> bool {
        matches!(self.way, Paths::Direct { .. })
    }

    /// Every server that holds keys.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(clippy::unused_async, reason = "a cluster is asked")
    )]
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        match &self.way {
            Paths::Direct { .. } => Ok(vec![Node::Only]),
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => {
                let doing = "list the nodes";
                match tokio::time::timeout(self.timeout, cluster.nodes()).await {
                    Ok(nodes) => nodes.map_err(|error| store_error(doing, cluster.place(), error)),
                    Err(_) => Err(too_late(doing, cluster.place())),
                }
            }
        }
    }

    /// Runs one request on one of the servers.
    pub(crate) async fn run_at(&self, node: &Node, call: Call) -> Result<Value, StoreError> {
        match (&self.way, node) {
            #[cfg(feature = "cluster")]
            (Paths::Cluster(cluster), Node::At(host, port)) => {
                let at = format!("{host}:{port}");
                let sent = cluster.send_to((host, *port), call.cmd());
                match tokio::time::timeout(self.timeout, sent).await {
                    Ok(answer) => answer
                        .and_then(Value::extract_error)
                        .map_err(|error| store_error(call.doing, &at, error)),
                    Err(_) => Err(too_late(call.doing, &at)),
                }
            }
            _ => self.run(call).await,
        }
    }

    /// Runs one request.
    ///
    /// # Errors
    /// The request is sent again, at most once, if the connection broke under it: every script
    /// gives the same answer to the same request. An error tells whether it may have happened.
    pub(crate) async fn run(&self, call: Call) -> Result<Value, StoreError> {
        let deadline = from_now(self.timeout);
        // On the heap, as everything on this way that is rare or large: it would make the future of
        // every request larger, and that memory is asked for and copied each time.
        let call = Box::new(call);
        if let (Some(joint), Company::Behind) = (&self.joint, call.company) {
            joint.await_turn();
        }
        match Box::pin(self.send(&call, deadline)).await {
            Sent::Answer(value) => Ok(value),
            sent => Box::pin(self.insist(*call, deadline, sent)).await,
        }
    }

    /// Whether one server reaches us in the same way about all keys, as steps take for granted.
    pub(crate) fn has_one_way_back(&self) -> bool {
        matches!(self.way, Paths::Direct { .. })
    }

    /// Makes one step, in one go with others if there are any.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub(crate) async fn make(&self, step: Step) -> Result<Value, StoreError> {
        let Some(joint) = &self.joint else {
            let value = self.run(self.wording.call(&step)).await?;
            self.wording.prove();
            return Ok(value);
        };
        let deadline = from_now(self.timeout);
        match joint.send(step, deadline).await? {
            Ok(value) => Ok(value),
            Err(failed) => {
                let (sent, call) = *failed;
                Box::pin(self.insist(call, deadline, sent)).await
            }
        }
    }

    /// What to do about a first attempt that brought no answer.
    async fn insist(
        &self,
        mut call: Call,
        deadline: Instant,
        first: Sent,
    ) -> Result<Value, StoreError> {
        let doing = call.doing;
        let mut sent = first;
        // Why the servers were looked for anew: if none is found in time, that says more than that.
        let mut turned_away = None;
        let mut may_have_happened = false;
        let mut has_named = false;
        let known = |error: StoreError, may_have_happened: bool| {
            if may_have_happened {
                error.with_unknown_outcome()
            } else {
                error
            }
        };
        for attempt in 1.. {
            let (error, at) = match sent {
                Sent::Answer(value) => return Ok(value),
                Sent::Failed(error, at) => (error, at),
                Sent::Nowhere(error) => {
                    let error = turned_away.unwrap_or(error);
                    return Err(known(error, may_have_happened));
                }
                Sent::TooLate(at) => return Err(too_late(doing, &at)),
            };
            let meaning = meaning(&error);
            match meaning {
                Meaning::NoScript => match call.whole() {
                    Some(whole) => call = whole,
                    None => return Err(store_error(doing, &at, error)),
                },
                Meaning::Elsewhere => self.look_elsewhere().await,
                Meaning::Unknown if !may_have_happened && call.may_repeat() => {
                    may_have_happened = true;
                    self.look_elsewhere().await;
                }
                // Nothing was done: the first thing a script does is to look at such a key. In a
                // cluster all are named always.
                Meaning::Refused(_)
                    if !has_named && self.has_one_way_back() && is_of_unnamed_key(&error) =>
                {
                    has_named = true;
                    // Or it was written anew, since another had been refused.
                    if call.is_packed() {
                        call = self.wording.named(&call);
                    }
                }
                Meaning::Unknown | Meaning::Refused(_) => {
                    return Err(known(store_error(doing, &at, error), may_have_happened));
                }
            }
            if attempt == MOST_MOVES {
                return Err(known(store_error(doing, &at, error), may_have_happened));
            }
            if meaning == Meaning::Elsewhere {
                turned_away = Some(store_error(doing, &at, error));
            }
            sent = self.send(&call, deadline).await;
        }
        Err(too_late(doing, "the servers"))
    }

    async fn send(&self, call: &Call, deadline: Instant) -> Sent {
        match &self.way {
            Paths::Direct { main, pool: None } => send_shared(main, call, deadline).await,
            Paths::Direct {
                pool: Some(pool), ..
            } => Box::pin(send_lent(pool, call, deadline)).await,
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => Box::pin(cluster.ask(call, deadline)).await,
        }
    }

    /// Gives a cluster a moment to settle. A single connection has been retired by then, and the
    /// next request waits for another by itself.
    async fn look_elsewhere(&self) {
        if !matches!(self.way, Paths::Direct { .. }) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Runs requests in one go. They do not depend on each other, and each has its own answer.
    pub(crate) async fn run_all(&self, calls: Vec<Call>) -> Vec<Result<Value, StoreError>> {
        let calls = match <[Call; 1]>::try_from(calls) {
            // Alone it need not be copied into a pipeline.
            Ok([call]) => return vec![self.run(call).await],
            Err(calls) => calls,
        };
        let (main, pool) = match &self.way {
            Paths::Direct { main, pool } => (main, pool),
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => {
                return join_all(calls.into_iter().map(|call| self.run(call))).await;
            }
        };
        let deadline = from_now(self.timeout);
        let lent = match (pool, calls.first()) {
            (Some(pool), Some(first)) => pool.lend(first.doing, deadline).await.ok(),
            _ => None,
        };
        let answers = if pool.is_some() && lent.is_none() {
            // Each request then fails for itself, with the pool's reason.
            (Vec::new(), main.place())
        } else {
            let direct = lent.as_deref().unwrap_or(main);
            direct.send_all(&calls, deadline).await
        };
        drop(lent);
        let (answers, at) = answers;
        let mut answers = answers.into_iter();
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            let doing = call.doing;
            results.push(match answers.next().map(Value::extract_error) {
                Some(Ok(value)) => Ok(value),
                Some(Err(error)) => match meaning(&error) {
                    // Alone, a request follows the server and brings its script along.
                    Meaning::NoScript | Meaning::Elsewhere => self.run(call).await,
                    _ => Err(store_error(doing, &at, error)),
                },
                None => self.run(call).await,
            });
        }
        results
    }

    /// Gives up the connection to what may no longer be the primary; sentinels name the next.
    pub(crate) fn leave(&self) {
        match &self.way {
            Paths::Direct { main, .. } => main.leave(),
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => {}
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Sends on a connection that others use as well.
async fn send_shared(direct: &Arc<Direct>, call: &Call, deadline: Instant) -> Sent {
    match direct.wire_now() {
        Some(mut wire) => send_on(direct, &mut wire, call, deadline).await,
        None => Box::pin(send_when_up(direct, call, deadline)).await,
    }
}

/// Sends on a connection that nobody else uses meanwhile.
async fn send_lent(pool: &Arc<Pool>, call: &Call, deadline: Instant) -> Sent {
    match pool.lend(call.doing, deadline).await {
        Ok(lent) => send_when_up(&lent, call, deadline).await,
        Err(error) => Sent::Nowhere(error),
    }
}

/// Sends as soon as there is a connection.
async fn send_when_up(direct: &Arc<Direct>, call: &Call, deadline: Instant) -> Sent {
    match direct.wire(call.doing, deadline).await {
        Ok(mut wire) => send_on(direct, &mut wire, call, deadline).await,
        Err(error) => Sent::Nowhere(error),
    }
}

async fn send_on(direct: &Arc<Direct>, wire: &mut Wire, call: &Call, deadline: Instant) -> Sent {
    let answer = {
        // In its place from the beginning: what the driver makes of a request is a kilobyte, and
        // to hand it around would be to copy it.
        let mut sent = pin!(wire.connection.send_packed_command(call.cmd()));
        let mut wait = if call.is_urgent() {
            direct.busy.begin()
        } else {
            None
        };
        let found = match &mut wait {
            Some(wait) => wait.look(sent.as_mut()).await,
            None => None,
        };
        let answer = match found {
            Some(answer) => Ok(answer),
            None => tokio::time::timeout_at(deadline, sent).await,
        };
        if let (Some(wait), Ok(Ok(_))) = (wait, &answer) {
            wait.end();
        }
        answer
    };
    let Ok(answer) = answer else {
        // A late reply belongs to nobody; the connection may be half open.
        direct.retire(wire);
        return Sent::TooLate(wire.at.clone());
    };
    match answer.and_then(Value::extract_error) {
        Ok(value) => Sent::Answer(value),
        Err(error) => {
            if matches!(meaning(&error), Meaning::Elsewhere | Meaning::Unknown) {
                direct.retire(wire);
            }
            Sent::Failed(error, wire.at.clone())
        }
    }
}

/// The instant `after` from now, as the runtime's timers count it.
fn from_now(after: Duration) -> Instant {
    Instant::now() + after // tidy: allow(clock) a deadline for timers of the same clock
}

fn channel(name: &str) -> String {
    format!("tenure:c:{name}")
}
