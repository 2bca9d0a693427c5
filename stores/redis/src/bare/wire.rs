//! Connections for the bare workloads, made as the store makes its own.

#[cfg(feature = "cluster")]
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ProtocolVersion, PushInfo, RedisError, Value};
use tenure_core::{StoreError, StoreErrorKind};

use super::failed;
use crate::link::Dial;
#[cfg(feature = "cluster")]
use crate::link::{Cluster, Hears};
use crate::options::{RedisOptions, Servers};

/// A way to the servers without anything of ours in between.
#[derive(Clone)]
pub(super) enum Wire {
    One(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
    /// Independent servers that decide by majority.
    Many(Vec<MultiplexedConnection>),
}

impl Wire {
    pub(super) async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        match &options.servers {
            #[cfg(feature = "cluster")]
            Servers::Cluster(nodes) => {
                let cluster = Cluster::connect(options, nodes, Arc::new(Deaf), "bare").await?;
                Ok(Self::Cluster(Arc::new(cluster)))
            }
            Servers::Quorum(nodes) => {
                let mut wires = Vec::with_capacity(nodes.len());
                for node in nodes {
                    let mut one = options.clone();
                    one.servers = Servers::One(node.clone());
                    wires.push(dial(&one, |_: PushInfo| Ok(())).await?);
                }
                Ok(Self::Many(wires))
            }
            _ => Ok(Self::One(dial(options, |_: PushInfo| Ok(())).await?)),
        }
    }

    /// One command; of several servers a majority must answer as `is_yes` wants.
    pub(super) async fn run(
        &mut self,
        cmd: &Cmd,
        is_yes: fn(&Value) -> bool,
    ) -> Result<Value, RedisError> {
        match self {
            Self::One(connection) => connection.send_packed_command(cmd).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.send(cmd).await,
            Self::Many(connections) => majority(connections, cmd, is_yes).await,
        }
        .and_then(Value::extract_error)
    }
}

/// Sends to all at once and returns with the answer that makes the majority.
async fn majority(
    connections: &[MultiplexedConnection],
    cmd: &Cmd,
    is_yes: fn(&Value) -> bool,
) -> Result<Value, RedisError> {
    let most = connections.len() / 2 + 1;
    let mut flights: FuturesUnordered<_> = connections
        .iter()
        .map(|connection| {
            let mut connection = connection.clone();
            async move { connection.send_packed_command(cmd).await }
        })
        .collect();
    let (mut yes, mut last) = (0, Ok(Value::Nil));
    while let Some(answer) = flights.next().await {
        yes += usize::from(answer.as_ref().is_ok_and(is_yes));
        last = answer;
        if yes >= most {
            break;
        }
    }
    last
}

/// One connection of the kind that the store uses, whose pushes go to `hear`.
pub(super) async fn dial<F>(
    options: &RedisOptions,
    hear: F,
) -> Result<MultiplexedConnection, StoreError>
where
    F: Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
{
    let dial = Dial::new(options, ProtocolVersion::RESP3)
        .map_err(|error| StoreError::new(StoreErrorKind::Misconfigured, error.to_string()))?;
    let dialled = dial.connect(options.connect_timeout, Some(hear)).await;
    dialled
        .map(|(connection, _)| connection)
        .map_err(failed("cannot connect"))
}

/// Hears nothing.
#[cfg(feature = "cluster")]
struct Deaf;

#[cfg(feature = "cluster")]
impl Hears for Deaf {
    fn message(&self, _channel: &[u8], _payload: &[u8]) {}
    fn invalidated(&self, _key: Option<&[u8]>) {}
    fn reconnected(&self) {}
    fn is_idle(&self) -> bool {
        true
    }
}
