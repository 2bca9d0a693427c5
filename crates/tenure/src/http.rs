//! The way to other people's servers over HTTP: one agent, set up once, for collectors of
//! OpenTelemetry and for webhooks.
//!
//! It trusts whom this machine trusts, has a limit on every request, and follows no redirection:
//! that would carry headers, which may hold a secret, to somebody else. What is sent, and what an
//! answer means, is its users' affair.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// An agent whose requests take at most `limit`. It blocks: ask it where that is allowed.
pub(crate) fn agent(limit: Duration) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(tls)
        .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}
