//! From a configuration to connections, through discovery where it asks for that.

use std::sync::Arc;

use super::{ConnectionParams, Discovery};
use crate::config::{ConfigError, ConfigParams};
use crate::{Code, ComponentError, Context, Descriptor, References};

/// The connections that a configuration names, and where to discover those it only names a key of.
#[derive(Debug, Clone, Default)]
pub struct ConnectionResolver {
    connections: Vec<ConnectionParams>,
    discoveries: Vec<Arc<dyn Discovery>>,
}

impl ConnectionResolver {
    /// A resolver that knows no connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the connections of a configuration, as [`ConnectionParams::many_from_config`] reads
    /// them, instead of those it had.
    ///
    /// # Errors
    /// As there.
    pub fn configure(&mut self, config: &ConfigParams) -> Result<(), ConfigError> {
        self.connections = ConnectionParams::many_from_config(config)?;
        Ok(())
    }

    /// Takes every `*:discovery:*:*:1.0` instead of those it had.
    ///
    /// # Errors
    /// As [`References::all_optional`].
    pub fn set_references(&mut self, references: &References) -> Result<(), ComponentError> {
        let locator = Descriptor::new("*", "discovery", "*", "*", "1.0");
        self.discoveries = references.all_optional::<dyn Discovery>(&locator)?;
        Ok(())
    }

    /// Whether the configuration names no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Every connection, in the order of the configuration. Where a connection has a
    /// `discovery_key`, those found by the first discovery that knows the key stand in its place.
    ///
    /// # Errors
    /// [`Code::NoReference`] if a key is to be discovered and there is no discovery;
    /// [`Code::NoConnection`] if there is no connection at all, or none knows the key; and what a
    /// discovery met.
    pub async fn resolve_all(
        &self,
        context: Option<&Context>,
    ) -> Result<Vec<ConnectionParams>, ComponentError> {
        let mut found = Vec::new();
        for connection in &self.connections {
            match connection.discovery_key() {
                None => found.push(connection.clone()),
                Some(key) => {
                    let discovered = self.discover(context, key).await?;
                    found.extend(discovered.into_iter().map(|it| it.or(connection)));
                }
            }
        }
        if found.is_empty() {
            let message = "no connection is configured; set connection.host, connection.uri or \
                           connection.discovery_key";
            return Err(ComponentError::new(Code::NoConnection, context, message));
        }
        Ok(found)
    }

    /// The first connection, as [`ConnectionResolver::resolve_all`] finds them.
    ///
    /// # Errors
    /// As there.
    pub async fn resolve(
        &self,
        context: Option<&Context>,
    ) -> Result<ConnectionParams, ComponentError> {
        let all = self.resolve_all(context).await?;
        Ok(all.into_iter().next().unwrap_or_default())
    }

    async fn discover(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Vec<ConnectionParams>, ComponentError> {
        if self.discoveries.is_empty() {
            let message = format!(
                "connection.discovery_key `{}` needs a discovery; put one into the references as \
                 *:discovery:*:*:1.0",
                crate::error::shown(key)
            );
            return Err(ComponentError::new(Code::NoReference, context, message)
                .with_detail("discovery_key", key));
        }
        for discovery in &self.discoveries {
            let found = discovery.resolve_all(context, key).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let message = format!(
            "no discovery knows a connection under the key `{}`",
            crate::error::shown(key)
        );
        Err(ComponentError::new(Code::NoConnection, context, message)
            .with_detail("discovery_key", key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDiscovery;
    use super::*;

    fn resolver(config: &str, discoveries: &[&str]) -> ConnectionResolver {
        let mut resolver = ConnectionResolver::new();
        resolver.configure(&config.parse().unwrap()).unwrap();
        let mut references = References::new();
        for config in discoveries {
            let discovery = MemoryDiscovery::from_config(&config.parse().unwrap()).unwrap();
            let descriptor = "x:discovery:memory:default:1.0".parse().unwrap();
            references.put::<dyn Discovery>(descriptor, Arc::new(discovery));
        }
        resolver.set_references(&references).unwrap();
        resolver
    }

    #[tokio::test]
    async fn b_references_a_discovery_key_is_resolved_in_its_place() {
        let resolver = resolver(
            "connections.0.host=a;connections.1.discovery_key=pair;connections.1.port=7;\
             connections.2.host=z",
            &["other.host=x", "pair.0.host=b;pair.1.host=c;pair.1.port=8"],
        );
        let found = resolver.resolve_all(None).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.host().unwrap_or_default(), it.port()))
            .collect();
        let expected = [("a", None), ("b", Some(7)), ("c", Some(8)), ("z", None)];
        assert_eq!(found, expected);
        assert_eq!(resolver.resolve(None).await.unwrap().host(), Some("a"));
    }

    #[tokio::test]
    async fn b_references_a_discovery_key_that_nobody_can_resolve_is_an_error_with_the_key() {
        let context = Context::from_trace_id("t1");
        for (discoveries, code) in [
            (&[][..], Code::NoReference),
            (&["other.host=x"], Code::NoConnection),
        ] {
            let resolver = resolver("connection.discovery_key=main", discoveries);
            let error = resolver.resolve_all(Some(&context)).await.unwrap_err();
            assert_eq!(error.code(), code);
            assert_eq!(error.detail("discovery_key"), Some("main"));
            assert_eq!(error.trace_id(), Some("t1"));
        }
        let error = resolver("", &[]).resolve_all(None).await.unwrap_err();
        assert_eq!(error.code(), Code::NoConnection);
    }
}
