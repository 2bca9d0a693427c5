//! Connections that the program registers itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ConnectionParams, Discovery};
use crate::config::{ConfigError, ConfigParams};
use crate::{ComponentError, Context};

/// A discovery whose connections are given to it.
///
/// ```
/// # use tenure_component::{ConfigParams, MemoryDiscovery};
/// # fn main() -> Result<(), tenure_component::ConfigError> {
/// let config = "main.host=db1; main.port=6380; pair.0.host=a; pair.1.host=b".parse()?;
/// let discovery = MemoryDiscovery::from_config(&config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryDiscovery {
    connections: Mutex<BTreeMap<String, Vec<ConnectionParams>>>,
}

impl MemoryDiscovery {
    /// A discovery that knows no connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A discovery with a section per key, either the connection's own or one for each of several.
    /// The sections may stand under `connections`.
    ///
    /// # Errors
    /// As [`ConnectionParams::from_config`].
    pub fn from_config(config: &ConfigParams) -> Result<Self, ConfigError> {
        let inner = config.section("connections");
        let config = if inner.is_empty() { config } else { &inner };
        let discovery = Self::new();
        for key in config.section_names() {
            let section = config.section(&key);
            let several = section.section_names();
            if several.is_empty() {
                discovery.register(&key, ConnectionParams::from_config(&section)?);
            }
            for name in several {
                let one = ConnectionParams::from_config(&section.section(&name))?;
                discovery.register(&key, one);
            }
        }
        Ok(discovery)
    }

    /// Adds a connection to those known under `key`.
    pub fn register(&self, key: &str, connection: ConnectionParams) {
        self.known()
            .entry(key.to_owned())
            .or_default()
            .push(connection);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Vec<ConnectionParams>>> {
        // Every change is a single push, so a panic elsewhere left it whole.
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Discovery for MemoryDiscovery {
    async fn resolve_all(
        &self,
        _context: Option<&Context>,
        key: &str,
    ) -> Result<Vec<ConnectionParams>, ComponentError> {
        Ok(self.known().get(key).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn b_references_a_discovery_in_memory_knows_what_it_is_given() {
        let text = "connections.main.host=a; connections.main.port=1; connections.pair.0.host=b; \
                    connections.pair.1.host=c";
        let discovery = MemoryDiscovery::from_config(&text.parse().unwrap()).unwrap();
        discovery.register("main", ConnectionParams::new().with_host("d"));
        for (key, expected) in [
            ("main", vec![("a", Some(1)), ("d", None)]),
            ("pair", vec![("b", None), ("c", None)]),
            ("other", vec![]),
        ] {
            let found = discovery.resolve_all(None, key).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|it| (it.host().unwrap_or_default(), it.port()))
                .collect();
            assert_eq!(found, expected, "{key}");
        }
    }
}
