//! The primary that sentinels name, and what they say while they name none.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use redis::TlsMode;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion,
    RedisConnectionInfo, RedisResult,
};
use secrecy::ExposeSecret as _;
use tenure_core::{StoreError, StoreErrorKind};

#[cfg(feature = "tls")]
use super::dial::certificates;
use super::dial::{Dialled, client_to, refused, settings, tcp};
use crate::error::{OptionsError, shown};
use crate::options::{Address, RedisOptions, Servers};

/// How long one sentinel may take to say which primaries it knows.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many names a message lists.
const MOST_NAMES: usize = 20;

/// The primary of a name, wherever it is.
pub(crate) struct Named {
    client: tokio::sync::Mutex<SentinelClient>,
    sentinels: Vec<Client>,
    master: String,
    /// `the primary of NAME (sentinels HOST:PORT, …)`.
    place: Arc<str>,
}

impl Named {
    pub(super) fn new(
        options: &RedisOptions,
        protocol: ProtocolVersion,
    ) -> Result<Self, OptionsError> {
        let Servers::Sentinel {
            sentinels,
            master,
            username,
            password,
        } = &options.servers
        else {
            return Err(OptionsError::Malformed {
                reason: "names no sentinels".to_owned(),
            });
        };
        let addresses = sentinels.iter().map(|at| tcp(at, options.tls.as_ref()));
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, master, kind)
            .map_err(|error| refused(&error))?
            .set_client_to_redis_db(i64::from(options.db))
            .set_client_to_redis_protocol(protocol)
            .set_client_to_redis_tcp_settings(settings(options));
        if let Some(username) = &options.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &options.password {
            builder = builder.set_client_to_redis_password(password.expose_secret());
        }
        let mut login = RedisConnectionInfo::default();
        if let Some(username) = username {
            builder = builder.set_client_to_sentinel_username(username);
            login = login.set_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_sentinel_password(password.0.expose_secret());
            login = login.set_password(password.0.expose_secret());
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &options.tls {
            let mode = if tls.insecure {
                TlsMode::Insecure
            } else {
                TlsMode::Secure
            };
            builder = builder
                .set_client_to_redis_tls_mode(mode)
                .set_client_to_redis_certificates(certificates(tls)?)
                .set_client_to_sentinel_certificates(certificates(tls)?);
        }
        let client = builder.build().map_err(|error| refused(&error))?;
        let sentinel = |at: &Address| client_of(at, options, &login);
        let clients = sentinels.iter().map(sentinel).collect::<Result<_, _>>()?;
        let names: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
        let place = format!(
            "the primary of `{}` (sentinels {})",
            shown(master),
            names.join(", ")
        );
        Ok(Self {
            client: tokio::sync::Mutex::new(client),
            sentinels: clients,
            master: master.clone(),
            place: place.into(),
        })
    }

    pub(super) fn place(&self) -> Arc<str> {
        self.place.clone()
    }

    /// Connects to the primary that the sentinels name now.
    pub(super) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<Dialled> {
        let (primary, place) = self.primary().await?;
        let connecting = primary.get_multiplexed_async_connection_with_config(config);
        Ok((connecting.await?, place))
    }

    /// The primary that the sentinels name now, and what messages call it.
    pub(super) async fn primary(&self) -> RedisResult<(Client, Arc<str>)> {
        let primary = self.client.lock().await.async_get_client().await?;
        let place = primary.get_connection_info().addr().to_string();
        Ok((primary, place.into()))
    }

    /// Why no time will help: sentinels answer, and none of them knows the name.
    pub(super) async fn is_misnamed(&self) -> Option<StoreError> {
        let asked = self.sentinels.iter().map(names_of);
        let answers: Vec<_> = futures_util::future::join_all(asked).await;
        let mut known = BTreeSet::new();
        let mut has_answer = false;
        for names in answers.into_iter().flatten() {
            has_answer = true;
            known.extend(names);
        }
        if !has_answer || known.contains(&self.master) {
            return None;
        }
        let list = if known.is_empty() {
            "they know none".to_owned()
        } else {
            let names = known.iter().take(MOST_NAMES);
            let names = names.map(|name| format!("`{}`", shown(name)));
            format!("they know {}", names.collect::<Vec<_>>().join(", "))
        };
        let message = format!(
            "cannot connect: no sentinel knows {}; {list}; name one of those behind the `/` of \
             the URL",
            self.place
        );
        Some(StoreError::new(StoreErrorKind::Misconfigured, message))
    }
}

fn client_of(
    at: &Address,
    options: &RedisOptions,
    login: &RedisConnectionInfo,
) -> Result<Client, OptionsError> {
    let info: ConnectionInfo = tcp(at, options.tls.as_ref())
        .into_connection_info()
        .map_err(|error| refused(&error))?
        .set_redis_settings(login.clone());
    client_to(info, options.tls.as_ref())
}

/// The names of the primaries that a sentinel knows, up or down. `None` if it does not answer.
async fn names_of(sentinel: &Client) -> Option<Vec<String>> {
    let asking = async {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE));
        let mut connection = sentinel
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("SENTINEL")
            .arg("MASTERS")
            .query_async::<Vec<HashMap<String, String>>>(&mut connection)
            .await
    };
    let primaries = tokio::time::timeout(PATIENCE, asking).await.ok()?.ok()?;
    let names = primaries
        .into_iter()
        .filter_map(|mut one| one.remove("name"));
    Some(names.collect())
}
