//! Connections from the domain name system.
//!
//! The resolver is a client of its own and not the C library's, because that cannot look up
//! services. None of its types leaves this module.

use std::cmp::Reverse;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{ConnectionParams, Discovery};
use crate::error::shown;
use crate::{Code, ComponentError, Context};

/// How long one question may take, and how often it is asked again.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// A discovery that looks up service records (SRV) of the domain name system.
///
/// The key is the name of the records, such as `_redis._tcp.example.org`; a key that does not begin
/// with `_` is taken for the domain, so that `example.org` asks for the same name. Servers come in
/// the order of their priorities, and among equals at random by their weights.
///
/// # Sources
/// RFC 2782, "A DNS RR for specifying the location of services".
pub struct DnsDiscovery {
    resolver: TokioResolver,
}

impl DnsDiscovery {
    /// A discovery that asks the name servers of this machine.
    ///
    /// # Errors
    /// [`Code::DiscoveryFailed`] if the machine's settings cannot be read.
    pub fn from_system() -> Result<Self, ComponentError> {
        let fail = |error: NetError| {
            let message = "cannot read which name servers this machine uses";
            ComponentError::new(Code::DiscoveryFailed, None, message).with_source(error)
        };
        Self::built(TokioResolver::builder_tokio().map_err(fail)?)
    }

    /// A discovery that asks these name servers.
    ///
    /// # Errors
    /// [`Code::DiscoveryFailed`] if the resolver cannot be set up.
    pub fn with_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, ComponentError> {
        let servers = servers.into_iter().map(|server| {
            let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let ways = ways.map(|mut way| {
                way.port = server.port();
                way
            });
            NameServerConfig::new(server.ip(), true, ways.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let provider = TokioRuntimeProvider::default();
        Self::built(TokioResolver::builder_with_config(config, provider))
    }

    fn built(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, ComponentError> {
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        let resolver = builder.build().map_err(|error| {
            let message = "cannot set up the resolver of domain names";
            ComponentError::new(Code::DiscoveryFailed, None, message).with_source(error)
        })?;
        Ok(Self { resolver })
    }
}

#[async_trait]
impl Discovery for DnsDiscovery {
    async fn resolve_all(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Vec<ConnectionParams>, ComponentError> {
        let name = if key.starts_with('_') {
            key.to_owned()
        } else {
            format!("_redis._tcp.{key}")
        };
        let found = match self.resolver.srv_lookup(name.as_str()).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
                return Ok(Vec::new());
            }
            Err(error) => {
                let message = format!("cannot look up the services under `{}`", shown(&name));
                return Err(ComponentError::new(Code::DiscoveryFailed, context, message)
                    .with_detail("discovery_key", key)
                    .with_source(error));
            }
        };
        let mut services: Vec<&SRV> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some(service),
                _ => None,
            })
            // A service under the root says that there is none.
            .filter(|service| !service.target.is_root())
            .collect();
        services.sort_by_cached_key(|service| (service.priority, Reverse(chance(service.weight))));
        Ok(services.into_iter().map(connection).collect())
    }
}

fn connection(service: &SRV) -> ConnectionParams {
    let host = service.target.to_utf8();
    let host = host.strip_suffix('.').unwrap_or(&host);
    ConnectionParams::new()
        .with_host(host)
        .with_port(service.port)
}

/// A random number by which the heavier of two comes first in the proportion of their weights.
///
/// # Sources
/// P. Efraimidis and P. Spirakis, "Weighted random sampling with a reservoir" (2006).
fn chance(weight: u16) -> u64 {
    // A weight of zero keeps a small chance, as RFC 2782 asks.
    let weight = f64::from(weight).max(0.01);
    let draw = fastrand::f64().powf(1.0 / weight);
    // Between zero and one, so the order of the bits is that of the numbers.
    draw.to_bits()
}

impl fmt::Debug for DnsDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsDiscovery").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_references_the_heavier_server_comes_first_in_the_proportion_of_the_weights() {
        let first = |one, two| (0..4000).filter(|_| chance(one) > chance(two)).count();
        for (one, two, expected) in [(1, 1, 2000), (3, 1, 3000), (60, 20, 3000), (10, 0, 4000)] {
            let first = first(one, two);
            assert!(first.abs_diff(expected) < 250, "{one}:{two} gave {first}");
        }
    }
}
