//! The nodes of a cluster, each reached where its slots are.
//!
//! The driver follows slots and nodes wherever they go. What is ours is the way back: a message
//! about a key travels on a sharded channel in the key's own slot, so that the script that
//! publishes it learns whether anybody heard.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::ConnectionLike as _;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tenure_core::StoreError;
use tokio::time::Instant;

use super::cluster_lines::{Line, Lines};
use super::{Call, Hears, Node, Sent, from_now};
use crate::error::{Meaning, meaning};
use crate::options::{Address, RedisOptions};
use crate::slots::{slot_of, tag_at};

/// How long a request counts as new to the driver if it is not answered before.
const MOST_SEATED: Duration = Duration::from_millis(10);
/// How often one channel is asked for whose answer went to another.
const MOST_ASKED: u32 = 3;
/// With less time than that a request is not sent again: the driver itself asks again meanwhile,
/// and what the node said would be lost.
const LAST_TRY: Duration = Duration::from_millis(500);
/// What became of requests on a connection that was given up.
pub(super) const GIVEN_UP: (ErrorKind, &str) =
    (ErrorKind::Io, "the connection to the cluster was given up");
/// How long it may take to find out which node a message is about.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Cluster {
    pub(super) lines: Arc<Lines>,
    /// Whether the node that was last asked for a channel lets us hear it.
    pushes: AtomicBool,
    /// What messages call it as a whole.
    place: String,
    timeout: Duration,
}

impl Cluster {
    pub(crate) async fn connect(
        options: &RedisOptions,
        nodes: &[Address],
        hears: Arc<dyn Hears>,
        name: &str,
    ) -> Result<Self, StoreError> {
        let seeds: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        let place = format!("the cluster of {}", seeds.join(", "));
        let cluster = Self {
            lines: Lines::connect(options, nodes, hears, &place).await?,
            pushes: AtomicBool::new(false),
            place,
            timeout: options.timeout,
        };
        // Until somebody waits, this is all we know of what the nodes let us hear.
        let first = way_back(tag_at(0), name);
        let _known = tokio::time::timeout(options.timeout, cluster.subscribe(&first)).await;
        let line = cluster.lines.line();
        line.hear_of_force(options.timeout).await;
        Ok(cluster)
    }

    /// Waits for the answer for as long as it takes.
    pub(crate) async fn send(&self, cmd: &redis::Cmd) -> Result<Value, RedisError> {
        send_on(&self.lines.line(), cmd).await
    }

    /// Sends one request to the node that has its keys.
    ///
    /// While their slot is on its way to another node, neither does a script that could not be done
    /// whole there. Nothing was done then, and it is sent again until there is no time for that.
    pub(super) async fn ask(&self, call: &Call, deadline: Instant) -> Sent {
        let call = call.for_a_slot_at_rest();
        loop {
            let line = self.lines.line();
            let Some(answer) = self.ask_on(&line, call.cmd(), deadline).await else {
                return Sent::TooLate(self.node_of(call.cmd()).await);
            };
            match answer.and_then(Value::extract_error) {
                Ok(value) => return Sent::Answer(value),
                Err(error) if is_between(&error) && from_now(LAST_TRY) < deadline => {
                    line.unrest.is_noticed();
                }
                // Nobody is told of a script that a node has not got yet, and no node is to blame
                // for a connection that was given up.
                Err(error)
                    if meaning(&error) == Meaning::NoScript || error.kind() == GIVEN_UP.0 =>
                {
                    return Sent::Failed(error, self.place.as_str().into());
                }
                Err(error) => return Sent::Failed(error, self.node_of(call.cmd()).await),
            }
        }
    }

    /// None if no answer came in time. Who waits for long doubts the connection.
    async fn ask_on(
        &self,
        line: &Arc<Line>,
        cmd: &redis::Cmd,
        deadline: Instant,
    ) -> Option<Result<Value, RedisError>> {
        let mut sent = pin!(send_on(line, cmd));
        let soon = from_now(self.timeout / 2);
        if let Ok(answer) = tokio::time::timeout_at(soon.min(deadline), &mut sent).await {
            return Some(answer);
        }
        self.lines.doubt(line);
        tokio::select! {
            biased;
            answer = tokio::time::timeout_at(deadline, sent) => answer.ok(),
            () = self.lines.is_over(line) => Some(Err(RedisError::from(GIVEN_UP))),
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
        let line = self.lines.line();
        let mut requests = line.requests.clone();
        tokio::select! {
            biased;
            answer = requests.route_command(cmd.clone(), RoutingInfo::SingleNode(at)) => answer,
            () = self.lines.is_over(&line) => Err(RedisError::from(GIVEN_UP)),
        }
    }

    /// Hears `channel`, unless it did already. False if the cluster does not let us.
    pub(super) async fn subscribe(&self, channel: &str) -> bool {
        let line = self.lines.line();
        if line.hears(channel) {
            return true;
        }
        let mut is_heard = false;
        for _ in 0..MOST_ASKED {
            let mut asked = pin!(line.subscribe(channel));
            let soon = tokio::time::timeout(self.timeout / 2, &mut asked).await;
            let is_granted = if let Ok(is_granted) = soon {
                is_granted
            } else {
                self.lines.doubt(&line);
                asked.await
            };
            // The answer may have been that another subscription ended; what nodes say of this one
            // is known by then.
            is_heard = line.hears(channel);
            if is_heard || !is_granted {
                break;
            }
        }
        self.pushes.store(is_heard, Ordering::Relaxed);
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

async fn send_on(line: &Line, cmd: &redis::Cmd) -> Result<Value, RedisError> {
    let mut requests = line.requests.clone();
    let seat = line.seat().await;
    let mut sending = pin!(requests.req_packed_command(cmd));
    if seat.is_some() {
        // A node that is slow must not keep the others from being asked.
        let soon = tokio::time::timeout(MOST_SEATED, &mut sending).await;
        drop(seat);
        if let Ok(answer) = soon {
            return answer.map_err(unsettled);
        }
    }
    sending.await.map_err(unsettled)
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

/// Whether a slot is on its way to another node, so that nothing could be done.
fn is_between(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain)
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
