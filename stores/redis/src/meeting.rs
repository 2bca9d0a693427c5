//! A look at the servers when a store is opened: one that is too old is refused, and one that may
//! throw locks away is warned of.
//!
//! It costs one request. A server that does not tell, or that a user may not ask, is no reason to
//! refuse or to wait: the doctor says more. Strict safety looks for itself, in the step that begins
//! a quarantine, and refuses.

use std::sync::Weak;

use tenure_core::{StoreError, StoreErrorKind};

use crate::link::Node;
use crate::store::{RedisStore, Shared};

/// The oldest Redis whose scripts may write after they have asked for the time.
const OLDEST: u32 = 5;

impl RedisStore {
    /// Warns of servers that throw keys away when they are full.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] for a server that is too old.
    pub(crate) async fn meet_servers(&self) -> Result<(), StoreError> {
        match self.look_at_servers().await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Err(error),
            Err(error) => {
                tracing::debug!(%error, "the servers do not say what they are");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The same in the background, for a server that may not be there yet. What is wrong is logged.
    pub(crate) fn meet_servers_later(shared: Weak<Shared>) {
        // It ends with a few requests, which have deadlines.
        drop(tokio::spawn(async move {
            if let Some(shared) = shared.upgrade()
                && let Err(error) = (RedisStore { shared }).meet_servers().await
            {
                tracing::error!(%error, "the store cannot be used");
            }
        }));
    }

    async fn look_at_servers(&self) -> Result<(), StoreError> {
        for node in self.shared.link.nodes().await? {
            let info = self.info(&node).await?;
            let server = match &node {
                Node::Only => self.shared.link.place(),
                Node::At(host, port) => format!("{host}:{port}").into(),
            };
            if let Some(found) = info.get("redis_version").filter(|found| is_too_old(found)) {
                let message = format!(
                    "cannot use {server}: it is Redis {found}, and Redis {OLDEST}.0 is the least; \
                     tested are 7.0 and later"
                );
                return Err(StoreError::new(StoreErrorKind::Unsupported, message));
            }
            let policy = info.get("maxmemory_policy").map_or("", String::as_str);
            if policy.is_empty() || policy == "noeviction" {
                continue;
            }
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

/// Of a version that is not written as usual nothing is known.
fn is_too_old(version: &str) -> bool {
    let major = version.split('.').next().unwrap_or_default();
    major.parse().is_ok_and(|major: u32| major < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e81_versions_before_the_fifth_are_too_old_and_what_nobody_knows_is_tried() {
        for old in ["4.0.14", "2.8.24", "3.2"] {
            assert!(is_too_old(old), "{old}");
        }
        for fine in ["5.0.0", "7.0.15", "10.0.0", "255.255.255", "unstable", ""] {
            assert!(!is_too_old(fine), "{fine}");
        }
    }
}
