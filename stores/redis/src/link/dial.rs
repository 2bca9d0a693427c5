//! How a connection to one server is made: over TCP, TLS, a socket, or by asking sentinels.

#[cfg(feature = "tls")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError,
    RedisResult,
};
#[cfg(feature = "tls")]
use redis::{ClientTlsConfig, TlsCertificates};
use secrecy::ExposeSecret as _;

use super::stranger::Stranger;
use crate::error::OptionsError;
use crate::options::{Address, RedisOptions, Servers, Tls};

/// A peer that vanished without a word is noticed by the kernel after so long.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many requests the driver takes before whoever comes next has to wait for room, which costs a
/// wake-up more than the request needs.
const BUFFERED: usize = 1024;

/// Makes connections to the one server that takes writes.
#[derive(Clone)]
pub(crate) enum Dial {
    /// Always the same server, and what it is called in messages.
    Fixed(Box<Client>, Arc<str>),
    /// The one that the sentinels name now.
    #[cfg(feature = "sentinel")]
    Sentinel(Arc<super::sentinel::Named>),
}

/// A connection, and the server it leads to, as messages call it.
pub(crate) type Dialled = (MultiplexedConnection, Arc<str>);

impl Dial {
    /// For `servers`, which are one server or sentinels.
    pub(crate) fn new(
        options: &RedisOptions,
        protocol: ProtocolVersion,
    ) -> Result<Self, OptionsError> {
        match &options.servers {
            Servers::One(address) => {
                let addr = tcp(address, options.tls.as_ref());
                fixed(options, addr, protocol, &address.to_string())
            }
            Servers::Socket(path) => {
                let addr = ConnectionAddr::Unix(path.clone());
                fixed(options, addr, protocol, &path.display().to_string())
            }
            #[cfg(feature = "sentinel")]
            Servers::Sentinel { .. } => {
                let named = super::sentinel::Named::new(options, protocol)?;
                Ok(Self::Sentinel(Arc::new(named)))
            }
            _ => Err(OptionsError::Malformed {
                reason: "names servers that this build cannot reach; see the crate's features"
                    .to_owned(),
            }),
        }
    }

    /// What messages call the server while there is no connection.
    pub(super) fn place(&self) -> Arc<str> {
        match self {
            Self::Fixed(_, place) => place.clone(),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(named) => named.place(),
        }
    }

    /// Why dialling again will never help, which sentinels know that have no primary to name.
    #[cfg_attr(
        not(feature = "sentinel"),
        expect(clippy::unused_async, reason = "sentinels are asked")
    )]
    pub(super) async fn is_misnamed(&self) -> Option<tenure_core::StoreError> {
        match self {
            Self::Fixed(..) => None,
            #[cfg(feature = "sentinel")]
            Self::Sentinel(named) => named.is_misnamed().await,
        }
    }

    /// The server of another kind that is there, if it is one by this error.
    pub(super) async fn stranger(&self, error: &RedisError) -> Option<Stranger> {
        match self {
            Self::Fixed(client, _) if error.kind() == ErrorKind::Parse || error.is_io_error() => {
                super::stranger::met_at(client).await
            }
            Self::Fixed(..) => None,
            #[cfg(feature = "sentinel")]
            Self::Sentinel(_) => None,
        }
    }

    /// Whether another connection may be one to another server.
    pub(super) fn may_lead_elsewhere(&self) -> bool {
        !matches!(self, Self::Fixed(..))
    }

    /// A new connection, whose pushes go to `hear`.
    pub(crate) async fn connect<F>(
        &self,
        timeout: Duration,
        hear: Option<F>,
    ) -> RedisResult<Dialled>
    where
        F: Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    {
        // Requests have deadlines of their own, so the driver's is switched off.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFERED);
        if let Some(hear) = hear {
            config = config.set_push_sender(hear);
        }
        match self {
            Self::Fixed(client, place) => {
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                Ok((connecting.await?, place.clone()))
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(named) => named.connect(&config).await,
        }
    }

    /// A new connection for channels alone, and the server it leads to.
    pub(super) async fn listen(&self) -> RedisResult<(PubSub, Arc<str>)> {
        match self {
            Self::Fixed(client, place) => Ok((client.get_async_pubsub().await?, place.clone())),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(named) => {
                let (primary, place) = named.primary().await?;
                Ok((primary.get_async_pubsub().await?, place))
            }
        }
    }
}

impl super::Link {
    /// What messages call the servers.
    pub(crate) fn place(&self) -> Arc<str> {
        match &self.way {
            super::Paths::Direct { main, .. } => main.place(),
            #[cfg(feature = "cluster")]
            super::Paths::Cluster(cluster) => cluster.place().into(),
        }
    }
}

/// How a server knows us.
pub(crate) fn login(options: &RedisOptions, protocol: ProtocolVersion) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_db(i64::from(options.db))
        .set_protocol(protocol)
        .set_lib_name("tenure", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &options.username {
        login = login.set_username(username);
    }
    if let Some(password) = &options.password {
        login = login.set_password(password.expose_secret());
    }
    login
}

pub(crate) fn settings(options: &RedisOptions) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(options.nodelay);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

pub(crate) fn tcp(address: &Address, tls: Option<&Tls>) -> ConnectionAddr {
    let (host, port) = (address.host.clone(), address.port);
    match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: tls.insecure,
            tls_params: None,
        },
    }
}

fn fixed(
    options: &RedisOptions,
    addr: ConnectionAddr,
    protocol: ProtocolVersion,
    place: &str,
) -> Result<Dial, OptionsError> {
    let info: ConnectionInfo = addr
        .into_connection_info()
        .map_err(|error| refused(&error))?
        .set_redis_settings(login(options, protocol))
        .set_tcp_settings(settings(options));
    let client = client_to(info, options.tls.as_ref())?;
    Ok(Dial::Fixed(Box::new(client), Arc::from(place)))
}

/// A client for one server. Without the feature `tls`, options that ask for it are refused before.
pub(super) fn client_to(info: ConnectionInfo, tls: Option<&Tls>) -> Result<Client, OptionsError> {
    let client = match tls {
        #[cfg(feature = "tls")]
        Some(tls) => Client::build_with_tls(info, certificates(tls)?),
        _ => Client::open(info),
    };
    client.map_err(|error| refused(&error))
}

/// The certificates named by the options, read from their files.
#[cfg(feature = "tls")]
pub(crate) fn certificates(tls: &Tls) -> Result<TlsCertificates, OptionsError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(OptionsError::Malformed {
            reason: "asks for TLS, but the application has installed no crypto provider; call \
                     rustls::crypto::ring::default_provider().install_default() at its start"
                .to_owned(),
        });
    }
    let client_tls = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: pem("cert", cert)?,
            client_key: pem("key", key)?,
        }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(OptionsError::parameter("key", "", "is missing beside cert"));
        }
        (None, Some(_)) => {
            return Err(OptionsError::parameter("cert", "", "is missing beside key"));
        }
    };
    let root_cert = tls.ca.as_deref().map(|ca| pem("ca", ca)).transpose()?;
    Ok(TlsCertificates {
        client_tls,
        root_cert,
    })
}

#[cfg(feature = "tls")]
fn pem(name: &str, path: &Path) -> Result<Vec<u8>, OptionsError> {
    std::fs::read(path).map_err(|error| {
        OptionsError::parameter(
            name,
            &path.to_string_lossy(),
            format!("cannot be read: {error}"),
        )
    })
}

pub(super) fn refused(error: &redis::RedisError) -> OptionsError {
    OptionsError::Malformed {
        reason: format!("cannot be used: {error}"),
    }
}

/// Servers before Redis 6 have no RESP3.
pub(super) fn lacks_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported
        || error
            .detail()
            .is_some_and(|text| text.contains("unknown command"))
}
