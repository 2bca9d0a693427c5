//! Connections from environment variables.

use async_trait::async_trait;

use super::{ConnectionParams, Discovery};
use crate::config::{ConfigError, ConfigParams, Variables};
use crate::{ComponentError, Context};

/// A discovery that reads environment variables, each time it is asked.
///
/// The key `orders-redis` is looked for in `ORDERS_REDIS_URI`, then in `ORDERS_REDIS_HOST` and
/// `ORDERS_REDIS_PORT`, then in `ORDERS_REDIS_SERVICE_HOST` and `ORDERS_REDIS_SERVICE_PORT`, which
/// Kubernetes sets for its services. A `HOST` may name several servers, separated by commas, each
/// with a port of its own: `db1:6379,db2:6380`.
#[derive(Debug, Clone)]
pub struct EnvironmentDiscovery {
    variables: Variables,
}

impl EnvironmentDiscovery {
    /// A discovery on the variables of this process.
    #[must_use]
    pub fn new() -> Self {
        Self {
            variables: Variables::Process,
        }
    }

    /// A discovery on variables that are given, for tests.
    pub fn with_variables<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            variables: Variables::given(variables),
        }
    }

    fn find(&self, key: &str) -> Result<Vec<ConnectionParams>, ConfigError> {
        let name = variable_name(key);
        if let Some(uri) = self.variables.get(&format!("{name}_URI"))? {
            return Ok(vec![ConnectionParams::new().with_uri(uri.as_str())]);
        }
        for name in [name.clone(), format!("{name}_SERVICE")] {
            let Some(hosts) = self.variables.get(&format!("{name}_HOST"))? else {
                continue;
            };
            let port = self.variables.get(&format!("{name}_PORT"))?;
            return hosts
                .split(',')
                .map(|host| connection(&name, host.trim(), port.as_deref().map(String::as_str)))
                .collect();
        }
        Ok(Vec::new())
    }
}

impl Default for EnvironmentDiscovery {
    fn default() -> Self {
        Self::new()
    }
}

/// How a key is written as the beginning of variables' names.
pub(crate) fn variable_name(key: &str) -> String {
    let letters = key.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    });
    letters.collect()
}

/// A host and its port, its own or the one that is given for all.
fn connection(name: &str, host: &str, port: Option<&str>) -> Result<ConnectionParams, ConfigError> {
    let (host, own) = match host.rsplit_once(':') {
        // More colons are an IPv6 address; with a port it stands in brackets.
        Some((host, own)) if !host.contains(':') || host.ends_with(']') => (host, Some(own)),
        _ => (host, None),
    };
    let mut config = ConfigParams::new().with(format!("{name}_HOST"), host);
    if let Some(port) = own.or(port) {
        config.set(format!("{name}_PORT"), port);
    }
    let port = config.number_within(&format!("{name}_PORT"), &(1..=65_535))?;
    let connection = ConnectionParams::new().with_host(host.trim_matches(['[', ']']));
    Ok(match port {
        Some(port) => connection.with_port(port),
        None => connection,
    })
}

#[async_trait]
impl Discovery for EnvironmentDiscovery {
    async fn resolve_all(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Vec<ConnectionParams>, ComponentError> {
        self.find(key).map_err(|error| error.in_context(context))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn b_references_a_discovery_in_the_environment_reads_variables_by_the_key() {
        let discovery = EnvironmentDiscovery::with_variables([
            ("ORDERS_REDIS_HOST", "db1"),
            ("ORDERS_REDIS_PORT", "6380"),
            ("TRIO_HOST", "a:1, b, [::1]:3,fe80::1"),
            ("TRIO_PORT", "2"),
            ("CACHE_SERVICE_HOST", "10.0.0.1"),
            ("CACHE_SERVICE_PORT", "6379"),
            ("BAD_HOST", "a:x"),
        ]);
        for (key, expected) in [
            ("orders-redis", vec![("db1", Some(6380))]),
            ("orders.redis", vec![("db1", Some(6380))]),
            (
                "trio",
                vec![
                    ("a", Some(1)),
                    ("b", Some(2)),
                    ("::1", Some(3)),
                    ("fe80::1", Some(2)),
                ],
            ),
            ("cache", vec![("10.0.0.1", Some(6379))]),
            ("none", vec![]),
        ] {
            let found = discovery.resolve_all(None, key).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|it| (it.host().unwrap_or_default(), it.port()))
                .collect();
            assert_eq!(found, expected, "{key}");
        }
        let error = discovery.resolve_all(None, "bad").await.unwrap_err();
        assert!(error.to_string().contains("`BAD_PORT` is `x`"), "{error}");
    }

    #[tokio::test]
    async fn b_references_a_uri_in_the_environment_comes_first_and_is_not_shown() {
        let discovery = EnvironmentDiscovery::with_variables([
            ("MAIN_URI", "redis://:s3cret@db1"),
            ("MAIN_HOST", "db2"),
        ]);
        let found = discovery.resolve_all(None, "main").await.unwrap();
        assert_eq!(
            found[0].uri().unwrap().expose_secret(),
            "redis://:s3cret@db1"
        );
        assert!(!format!("{discovery:?} {found:?}").contains("s3cret"));
    }
}
