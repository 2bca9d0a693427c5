//! The nodes of a cluster, each reached where its slots are.
//!
//! The driver follows slots and nodes wherever they go. What is ours is the way back: a message
//! about a key travels on a sharded channel in the key's own slot, so that the script that
//! publishes it learns whether anybody heard.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "tls")]
use redis::TlsMode;
use redis::aio::ConnectionLike as _;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError, ServerErrorKind, Value};
use secrecy::ExposeSecret as _;
use tenure_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;

#[cfg(feature = "tls")]
use super::dial::certificates;
use super::dial::{lacks_resp3, settings, tcp};
use super::{Call, Hears, Node, Sent};
use crate::ears::TAKEN;
use crate::error::{Meaning, OptionsError, meaning, store_error};
use crate::options::{Address, RedisOptions};
use crate::slots::{slot_of, tag_at};

/// How often the driver follows one request to another node.
const MOST_REDIRECTS: u32 = 5;
/// How long it waits in between, growing.
const LEAST_PAUSE_MS: u64 = 10;
const MOST_PAUSE_MS: u64 = 100;
/// How long it may take to find out which node a message is about.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Cluster {
    connection: ClusterConnection,
    /// The channels we are subscribed to, as far as we know.
    channels: Arc<Mutex<HashSet<String>>>,
    /// Whether the node that was last asked for a channel lets us hear it.
    pushes: AtomicBool,
    /// What messages call it as a whole.
    place: String,
}

impl Cluster {
    pub(crate) async fn connect(
        options: &RedisOptions,
        nodes: &[Address],
        hears: Arc<dyn Hears>,
        name: &str,
    ) -> Result<Self, StoreError> {
        let channels = Arc::<Mutex<HashSet<String>>>::default();
        let seeds: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        let place = format!("the cluster of {}", seeds.join(", "));
        let connecting = connection(options, nodes, hears, channels.clone());
        let connection = tokio::time::timeout(options.connect_timeout, connecting)
            .await
            .map_err(|_| {
                StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!("cannot connect: {place}: no node answered within connect_timeout"),
                )
            })?
            .map_err(|error| match error {
                Unmade::Misconfigured(error) => {
                    StoreError::new(StoreErrorKind::Misconfigured, error.to_string())
                }
                Unmade::Failed(error) => store_error("cannot connect", &place, error),
            })?;
        let mut cluster = Self {
            connection,
            channels,
            pushes: AtomicBool::new(false),
            place,
        };
        // Until somebody waits, this is all we know of what the nodes let us hear.
        let first = way_back(tag_at(0), name);
        let _known = tokio::time::timeout(options.timeout, cluster.subscribe(&first)).await;
        // No sharded channel: who takes a lock by force does not know where its holder listens. The
        // driver subscribes again after a reconnection.
        let subscribing = cluster.connection.subscribe(TAKEN);
        if !matches!(
            tokio::time::timeout(options.timeout, subscribing).await,
            Ok(Ok(()))
        ) {
            tracing::debug!("holders will learn of locks taken by force at their next renewal");
        }
        Ok(cluster)
    }

    pub(crate) async fn send(&self, cmd: &redis::Cmd) -> Result<Value, RedisError> {
        let mut connection = self.connection.clone();
        let answer = connection.req_packed_command(cmd).await;
        answer.map_err(unsettled)
    }

    /// Sends one request to the node that has its keys.
    pub(super) async fn ask(&self, call: &Call, deadline: Instant) -> Sent {
        let answer = match tokio::time::timeout_at(deadline, self.send(call.cmd())).await {
            Ok(answer) => answer.and_then(Value::extract_error),
            Err(_) => return Sent::TooLate(self.node_of(call.cmd()).await),
        };
        match answer {
            Ok(value) => Sent::Answer(value),
            // Nobody is told of a script that a node has not got yet.
            Err(error) if meaning(&error) == Meaning::NoScript => {
                Sent::Failed(error, self.place.as_str().into())
            }
            Err(error) => Sent::Failed(error, self.node_of(call.cmd()).await),
        }
    }

    /// What messages call the cluster.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What messages call the node that has the keys of a script's request, as the other nodes say
    /// now; without their word, the cluster.
    async fn node_of(&self, cmd: &redis::Cmd) -> Arc<str> {
        let key = cmd.args_iter().nth(3).and_then(|arg| match arg {
            redis::Arg::Simple(key) => Some(slot_of(key)),
            _ => None,
        });
        let Some(slot) = key else {
            return self.place.as_str().into();
        };
        let mut nodes = redis::cmd("CLUSTER");
        nodes.arg("NODES");
        let text = match tokio::time::timeout(LOOK, self.send(&nodes)).await {
            Ok(Ok(answer)) => redis::from_redis_value::<String>(answer).unwrap_or_default(),
            _ => String::new(),
        };
        let mut lines = text.lines();
        let found = lines.find_map(|line| primary_of(line).filter(|_| has_slot(line, slot)));
        match found {
            Some(Node::At(host, port)) => Address { host, port }.to_string().into(),
            _ => self.place.as_str().into(),
        }
    }

    pub(super) async fn send_to(
        &self,
        (host, port): (&str, u16),
        cmd: &redis::Cmd,
    ) -> Result<Value, RedisError> {
        let at = SingleNodeRoutingInfo::ByAddress {
            host: host.to_owned(),
            port,
        };
        let mut connection = self.connection.clone();
        connection
            .route_command(cmd.clone(), RoutingInfo::SingleNode(at))
            .await
    }

    /// Hears `channel`, unless it did already. False if the cluster does not let us.
    pub(super) async fn subscribe(&self, channel: &str) -> bool {
        if locked(&self.channels).contains(channel) {
            return true;
        }
        let mut connection = self.connection.clone();
        let is_heard = connection.ssubscribe(channel).await.is_ok();
        self.pushes.store(is_heard, Ordering::Relaxed);
        if is_heard {
            locked(&self.channels).insert(channel.to_owned());
        }
        is_heard
    }

    /// Whether nodes push to us, by what the last of them said that was asked.
    pub(super) fn pushes(&self) -> bool {
        self.pushes.load(Ordering::Relaxed)
    }

    /// The nodes that have slots and push nothing to us, of whom `name` says who we are.
    pub(super) async fn mute_nodes(&self, name: &str) -> Result<Vec<Node>, RedisError> {
        let mut mute = Vec::new();
        for line in self.list().await?.lines() {
            let (Some(node), Some(slot)) = (primary_of(line), first_slot(line)) else {
                continue;
            };
            if !self.subscribe(&way_back(tag_at(slot), name)).await {
                mute.push(node);
            }
        }
        Ok(mute)
    }

    /// The nodes that have slots.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, RedisError> {
        let text = self.list().await?;
        Ok(text.lines().filter_map(primary_of).collect())
    }

    async fn list(&self) -> Result<String, RedisError> {
        let answer = self.send(redis::cmd("CLUSTER").arg("NODES")).await?;
        Ok(redis::from_redis_value(answer)?)
    }
}

/// The channel on which messages about the keys of a slot with this tag reach `name`.
pub(super) fn way_back(tag: &str, name: &str) -> String {
    format!("tenure:{{{tag}}}:c:{name}")
}

/// While a cluster chooses another node for a slot, the driver is sent around until it gives up.
/// That is no mistake in our settings; it passes.
fn unsettled(error: RedisError) -> RedisError {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return error;
    }
    let kind = ErrorKind::ClusterConnectionNotFound;
    let detail = error.to_string();
    RedisError::from((kind, "the cluster has not settled who has the slot", detail))
}

/// The node of a line such as `ID 10.0.0.1:6379@16379,name master - 0 0 1 connected 0-5460`.
fn primary_of(line: &str) -> Option<Node> {
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, flags) = (parts.get(1)?, parts.get(2)?);
    let is_primary = flags.split(',').any(|flag| flag == "master");
    let is_down = flags
        .split(',')
        .any(|flag| flag == "fail" || flag == "noaddr");
    if !is_primary || is_down || parts.get(8).is_none() {
        return None;
    }
    let address = address.split(['@', ',']).next()?;
    let (host, port) = address.rsplit_once(':')?;
    Some(Node::At(host.to_owned(), port.parse().ok()?))
}

/// A slot of the node of such a line.
fn first_slot(line: &str) -> Option<u16> {
    let range = line.split_ascii_whitespace().nth(8)?;
    range.split('-').next()?.parse().ok()
}

/// Whether the slots at the end of such a line are `slot` or a range around it.
fn has_slot(line: &str, slot: u16) -> bool {
    line.split_ascii_whitespace().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&slot),
            _ => false,
        }
    })
}

/// Why there is no connection.
enum Unmade {
    Misconfigured(OptionsError),
    Failed(RedisError),
}

/// A connection to all nodes, with pushes if they know them.
async fn connection(
    options: &RedisOptions,
    nodes: &[Address],
    hears: Arc<dyn Hears>,
    channels: Arc<Mutex<HashSet<String>>>,
) -> Result<ClusterConnection, Unmade> {
    let builder = || builder(options, nodes).map_err(Unmade::Misconfigured);
    let pushing = builder()?.use_protocol(ProtocolVersion::RESP3);
    let pushing = pushing.push_sender(ear(hears, channels));
    match connected(pushing).await {
        Err(Unmade::Failed(error)) if lacks_resp3(&error) => {
            connected(builder()?.use_protocol(ProtocolVersion::RESP2)).await
        }
        made => made,
    }
}

async fn connected(builder: ClusterClientBuilder) -> Result<ClusterConnection, Unmade> {
    let client = builder.build().map_err(|error| {
        Unmade::Misconfigured(OptionsError::Malformed {
            reason: format!("cannot be used: {error}"),
        })
    })?;
    client.get_async_connection().await.map_err(Unmade::Failed)
}

/// What becomes of the nodes' pushes.
fn ear(
    hears: Arc<dyn Hears>,
    channels: Arc<Mutex<HashSet<String>>>,
) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    move |push: PushInfo| {
        match push.kind {
            // The driver subscribes again, but meanwhile messages may have been missed.
            PushKind::Disconnection => hears.reconnected(),
            PushKind::SUnsubscribe => {
                // The slot went to another node, and the subscription did not.
                if let Some(Value::BulkString(channel)) = push.data.first() {
                    locked(&channels).remove(String::from_utf8_lossy(channel).as_ref());
                }
                hears.reconnected();
            }
            _ => super::deliver(&*hears, &push),
        }
        Ok(())
    }
}

fn builder(
    options: &RedisOptions,
    nodes: &[Address],
) -> Result<ClusterClientBuilder, OptionsError> {
    let addresses = nodes.iter().map(|at| tcp(at, options.tls.as_ref()));
    let mut builder = ClusterClientBuilder::new(addresses)
        .retries(MOST_REDIRECTS)
        // The driver's own pauses are longer than a request's time, which would turn every refusal
        // that passes into silence.
        .min_retry_wait(LEAST_PAUSE_MS)
        .max_retry_wait(MOST_PAUSE_MS)
        .retry_wait_formula(LEAST_PAUSE_MS, 2)
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.timeout)
        .tcp_settings(settings(options));
    if let Some(username) = &options.username {
        builder = builder.username(username);
    }
    if let Some(password) = &options.password {
        builder = builder.password(password.expose_secret());
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &options.tls {
        let mode = if tls.insecure {
            TlsMode::Insecure
        } else {
            TlsMode::Secure
        };
        builder = builder.tls(mode).certs(certificates(tls)?);
    }
    Ok(builder)
}

/// A panic elsewhere leaves the set whole.
fn locked(channels: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_a_slot_is_read_from_its_ranges() {
        let line = "0123 10.0.0.1:7001@17001 master - 0 0 1 connected 5461 7000-7001 [9->-0f]";
        for (slot, is_here) in [
            (5461, true),
            (7000, true),
            (7001, true),
            (7002, false),
            (9, false),
        ] {
            assert_eq!(has_slot(line, slot), is_here, "{slot}");
        }
    }

    #[test]
    fn only_live_primaries_with_slots_are_asked_for_everything() {
        let at = |line: &str| primary_of(&format!("0123 {line}"));
        let node = |port| Some(Node::At("10.0.0.1".to_owned(), port));
        assert_eq!(
            at("10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460"),
            node(7000)
        );
        assert_eq!(
            at("10.0.0.1:7001@17001,host.example master - 0 0 1 connected 5461 7000-7001"),
            node(7001)
        );
        for other in [
            "10.0.0.1:7000@17000 slave 0123 0 0 1 connected",
            "10.0.0.1:7000@17000 master - 0 0 1 connected",
            "10.0.0.1:7000@17000 master,fail - 0 0 1 connected 0-5460",
            ":0@0 master,noaddr - 0 0 1 connected 0-5460",
            "",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
