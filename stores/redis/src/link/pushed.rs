//! What servers send without being asked: messages of channels, and keys that changed; and how it
//! is asked for.
//!
//! It only tells them apart. What they mean is known where they are heard.

use std::borrow::Cow;

use redis::{PushInfo, PushKind, Value};
use tenure_core::StoreError;

#[cfg(feature = "cluster")]
use super::cluster;
use super::{Hears, Link, Node, Paths, from_now};
#[cfg(feature = "cluster")]
use crate::error::{store_error, too_late};
#[cfg(feature = "cluster")]
use crate::slots::tag_of;

/// Passes on what a server pushed.
pub(super) fn deliver(hears: &dyn Hears, push: &PushInfo) {
    match (&push.kind, push.data.as_slice()) {
        (
            PushKind::Message | PushKind::SMessage,
            [Value::BulkString(channel), Value::BulkString(payload), ..],
        ) => hears.message(channel, payload),
        (PushKind::Invalidate, [Value::Array(keys), ..]) => {
            for key in keys {
                if let Value::BulkString(key) = key {
                    hears.invalidated(Some(key));
                }
            }
        }
        (PushKind::Invalidate, _) => hears.invalidated(None),
        _ => {}
    }
}

impl Link {
    /// How a script reaches us about `key`: `p` or `s` for the kind of publication, and the
    /// channel. Empty if the servers cannot push to us now, and we must ask.
    pub(crate) async fn way_back(&self, key: &[u8]) -> Cow<'_, str> {
        #[cfg(not(feature = "cluster"))]
        let _ = key;
        match &self.way {
            Paths::Direct { main, .. } => {
                // Nearly always; whoever waits for a connection looks again when it is there.
                if main.can_push() {
                    return Cow::Borrowed(self.wording.way_back());
                }
                match Box::pin(main.wire("listen", from_now(self.timeout))).await {
                    Ok(wire) if wire.can_push => Cow::Borrowed(self.wording.way_back()),
                    _ => Cow::Borrowed(""),
                }
            }
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => {
                let channel = cluster::way_back(tag_of(key), &self.name);
                let heard = Box::pin(cluster.subscribe(&channel));
                let heard = tokio::time::timeout(self.timeout, heard).await;
                match heard {
                    Ok(true) => Cow::Owned(format!("s{channel}")),
                    _ => Cow::Borrowed(""),
                }
            }
        }
    }

    /// Whether the servers push to us, as far as we know.
    pub(crate) fn pushes(&self) -> bool {
        match &self.way {
            Paths::Direct { main, .. } => main.can_push(),
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => cluster.pushes(),
        }
    }

    /// The servers that hold keys and push nothing to us, as they say now.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(clippy::unused_async, reason = "a cluster is asked")
    )]
    pub(crate) async fn mute(&self) -> Result<Vec<Node>, StoreError> {
        match &self.way {
            Paths::Direct { main, .. } if main.can_push() => Ok(Vec::new()),
            Paths::Direct { .. } => Ok(vec![Node::Only]),
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => {
                let doing = "listen to the nodes";
                match tokio::time::timeout(self.timeout, cluster.mute_nodes(&self.name)).await {
                    Ok(nodes) => nodes.map_err(|error| store_error(doing, cluster.place(), error)),
                    Err(_) => Err(too_late(doing, cluster.place())),
                }
            }
        }
    }

    /// Hears another channel as well. False if the server does not let us.
    pub(crate) async fn subscribe(&self, channel: &str) -> bool {
        match &self.way {
            Paths::Direct { main, .. } => main.subscribe(channel).await,
            #[cfg(feature = "cluster")]
            Paths::Cluster(cluster) => cluster.subscribe(channel).await,
        }
    }

    /// Asks the server to tell us when `key` changes. False if it cannot.
    pub(crate) async fn watch(&self, key: &[u8]) -> bool {
        match &self.way {
            Paths::Direct { main, .. } => main.watch(key, from_now(self.timeout)).await,
            #[cfg(feature = "cluster")]
            Paths::Cluster(_) => false,
        }
    }
}
