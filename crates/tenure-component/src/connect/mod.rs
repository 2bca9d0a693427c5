//! Where a server is: parameters of a connection, and services that find them.

#[cfg(feature = "dns")]
mod dns;
mod environment;
mod memory;
mod resolver;

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

#[cfg(feature = "dns")]
pub use self::dns::DnsDiscovery;
pub use self::environment::EnvironmentDiscovery;
pub(crate) use self::environment::variable_name;
pub use self::memory::MemoryDiscovery;
pub use self::resolver::ConnectionResolver;
use crate::config::{ConfigError, ConfigParams};
use crate::{ComponentError, Context};

/// Finds the connections that a key stands for.
#[async_trait]
pub trait Discovery: fmt::Debug + Send + Sync + 'static {
    /// Every connection known under `key`; none if the key is not known here.
    ///
    /// # Errors
    /// [`ComponentError`] if it could not be found out, which is something else than none.
    async fn resolve_all(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Vec<ConnectionParams>, ComponentError>;
}

/// Where one server is.
///
/// Without a host the server is on `localhost`. A URI says everything at once, and may hold a
/// password: it is kept in memory that is wiped, and `Debug` does not show it.
#[derive(Clone, Default)]
pub struct ConnectionParams {
    discovery_key: Option<String>,
    protocol: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    uri: Option<SecretString>,
}

impl ConnectionParams {
    /// The keys that [`ConnectionParams::from_config`] reads; `ip` is the origin's other name for
    /// `host`.
    pub(crate) const KEYS: [&'static str; 6] =
        ["discovery_key", "protocol", "host", "ip", "port", "uri"];

    /// Nothing said: the usual port of `localhost`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Found by a [`Discovery`] under this key; what else is said holds where it finds nothing
    /// better.
    #[must_use]
    pub fn with_discovery_key(mut self, key: impl Into<String>) -> Self {
        self.discovery_key = Some(key.into());
        self
    }

    /// The protocol, such as `redis` or, for TLS, `rediss`.
    #[must_use]
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// The host's name or address.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A URI that says all of it.
    #[must_use]
    pub fn with_uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(SecretString::from(uri.into()));
        self
    }

    /// Reads `discovery_key`, `protocol`, `host`, `port` and `uri`; empty values count as not set.
    ///
    /// # Errors
    /// [`ConfigError`] if the port is not one.
    pub fn from_config(config: &ConfigParams) -> Result<Self, ConfigError> {
        let text = |key| config.text(key).map(|value| value.trim().to_owned());
        let port = match config.text("port") {
            Some(_) => config.number_within("port", &(1..=65_535))?,
            None => None,
        };
        Ok(Self {
            discovery_key: text("discovery_key"),
            protocol: text("protocol"),
            host: text("host").or_else(|| text("ip")),
            port,
            uri: text("uri").map(SecretString::from),
        })
    }

    /// Reads every connection of a configuration: `connections.N.*` for several or `connections.*`
    /// for one, then `connection.*`, and where there is neither the same keys without a section.
    ///
    /// # Errors
    /// As [`ConnectionParams::from_config`].
    pub fn many_from_config(config: &ConfigParams) -> Result<Vec<Self>, ConfigError> {
        let sections = sections_of(config, ["connections", "connection"], &Self::KEYS);
        sections.iter().map(Self::from_config).collect()
    }

    /// Under which key it is to be discovered.
    #[must_use]
    pub fn discovery_key(&self) -> Option<&str> {
        self.discovery_key.as_deref()
    }

    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The URI. It may hold a password.
    #[must_use]
    pub fn uri(&self) -> Option<&SecretString> {
        self.uri.as_ref()
    }

    /// What was discovered, with what was said here where it says nothing.
    pub(crate) fn or(self, said: &Self) -> Self {
        let is_whole = self.uri.is_some();
        let otherwise = |found: Option<String>, said: &Option<String>| {
            found.or_else(|| said.clone().filter(|_| !is_whole))
        };
        Self {
            discovery_key: said.discovery_key.clone(),
            protocol: otherwise(self.protocol, &said.protocol),
            host: otherwise(self.host, &said.host),
            port: self.port.or(said.port.filter(|_| !is_whole)),
            uri: self.uri,
        }
    }
}

/// The sections that describe connections, or credentials: those of the plural, then those of the
/// singular, then the whole configuration if it has one of `keys` itself.
pub(crate) fn sections_of(
    config: &ConfigParams,
    names: [&str; 2],
    keys: &[&str],
) -> Vec<ConfigParams> {
    let mut found = Vec::new();
    for section in names.map(|name| config.section(name)) {
        let has_own = keys.iter().any(|key| section.text(key).is_some());
        let inner = section.section_names();
        found.extend(inner.iter().map(|name| section.section(name)));
        if has_own {
            found.push(section);
        }
    }
    if found.is_empty() && keys.iter().any(|key| config.text(key).is_some()) {
        found.push(config.clone());
    }
    found
}

/// Shows everything but the URI, and no host that has a login pasted in front of it.
impl fmt::Debug for ConnectionParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref();
        let host = host.map(|host| if host.contains('@') { "…" } else { host });
        f.debug_struct("ConnectionParams")
            .field("discovery_key", &self.discovery_key)
            .field("protocol", &self.protocol)
            .field("host", &host)
            .field("port", &self.port)
            .field("uri", &self.uri.as_ref().map(|_| "…"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        let config = ConfigParams::from_string(text).unwrap();
        let many = ConnectionParams::many_from_config(&config).unwrap();
        let host = |it: &ConnectionParams| it.host().unwrap_or("-").to_owned();
        many.iter().map(host).collect()
    }

    #[test]
    fn b_configuration_connections_stand_in_the_plural_the_singular_or_at_the_top() {
        for (text, expected) in [
            ("connection.host=a", vec!["a"]),
            ("connection.ip=a", vec!["a"]),
            ("connections.0.host=a;connections.1.host=b", vec!["a", "b"]),
            ("connections.10.host=b;connections.9.host=a", vec!["a", "b"]),
            ("connections.host=a", vec!["a"]),
            ("connections.0.host=a;connection.host=b", vec!["a", "b"]),
            ("host=a;port=1", vec!["a"]),
            ("host=a;connection.host=b", vec!["b"]),
            ("connection.port=1", vec!["-"]),
            ("connection.host=", vec![]),
            ("options.timeout=1", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(hosts(text), expected, "{text}");
        }
    }

    #[test]
    fn b_configuration_a_port_that_is_none_is_refused_with_its_key() {
        for port in ["0", "65536", "x", "-1"] {
            let config = ConfigParams::new().with("connections.1.port", port);
            let error = ConnectionParams::many_from_config(&config).unwrap_err();
            let expected = format!(
                "`connections.1.port` is `{port}`, which is not a whole number, 1 to 65535"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn f7_debug_does_not_show_a_uri() {
        let connection = ConnectionParams::new()
            .with_uri("redis://:s3cret@h")
            .with_host("h");
        assert!(!format!("{connection:?}").contains("s3cret"));
    }
}
