//! A look at the servers when a store is opened: one that may throw locks away is warned of.
//!
//! It costs one request. A server that does not tell, or that a user may not ask, is no reason to
//! refuse or to wait: the doctor says more. Strict safety looks for itself, in the step that begins
//! a quarantine, and refuses.

use std::sync::Weak;

use tenure_core::StoreError;

use crate::link::Node;
use crate::store::{RedisStore, Shared};

impl RedisStore {
    /// Warns of servers that throw keys away when they are full.
    pub(crate) async fn warn_of_eviction(&self) {
        if let Err(error) = self.look_for_eviction().await {
            tracing::debug!(%error, "the servers do not say what they do when they are full");
        }
    }

    /// The same in the background, for a server that may not be there yet.
    pub(crate) fn warn_of_eviction_later(shared: Weak<Shared>) {
        // It ends with a few requests, which have deadlines.
        drop(tokio::spawn(async move {
            if let Some(shared) = shared.upgrade() {
                RedisStore { shared }.warn_of_eviction().await;
            }
        }));
    }

    async fn look_for_eviction(&self) -> Result<(), StoreError> {
        for node in self.shared.link.nodes().await? {
            let info = self.info(&node).await?;
            let policy = info.get("maxmemory_policy").map_or("", String::as_str);
            if policy.is_empty() || policy == "noeviction" {
                continue;
            }
            let server = match &node {
                Node::Only => self.shared.link.place(),
                Node::At(host, port) => format!("{host}:{port}").into(),
            };
            tracing::warn!(
                server = &*server,
                policy,
                maxmemory = info.get("maxmemory").map_or("", String::as_str),
                "a full server throws locks away while they are held, and claims: set \
                 maxmemory-policy noeviction"
            );
        }
        Ok(())
    }
}
