//! From connections, a credential and options to the URL that the Redis store reads.
//!
//! Names keys and never shows what they hold: a password written in the wrong place stays unseen.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use tenure_core::format_duration;

use crate::config::ConfigError;
use crate::error::shown;
use crate::options::{LockSettings, Topology};
use crate::{ConnectionParams, CredentialParams};

const DEFAULT_HOST: &str = "localhost";
/// After how long a waiter asks again, if nothing says otherwise.
const RETRY_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest time that one connection may take to be made; opening may try several.
const LONGEST_CONNECT: Duration = Duration::from_secs(60);

/// Where a lock component connects to.
pub(super) struct Target {
    /// With everything, so that it may hold a password.
    pub(super) url: SecretString,
    /// The hosts and ports alone, for messages.
    pub(super) servers: String,
}

/// The URL for all of `connections`.
pub(super) fn compose(
    connections: &[ConnectionParams],
    credential: Option<&CredentialParams>,
    settings: &LockSettings,
) -> Result<Target, ConfigError> {
    let mut url = match connections {
        [one] => match one.uri() {
            Some(uri) => Url::read(uri.expose_secret())?.arranged(settings.topology)?,
            None => Url::of_several(connections, settings.topology.unwrap_or(Topology::Single))?,
        },
        _ => Url::of_several(connections, settings.topology.unwrap_or(Topology::Cluster))?,
    };
    url.log_in(credential)?;
    if url.topology() == Topology::Sentinel {
        url.name_master(settings.master.as_deref())?;
    } else if settings.master.is_some() {
        return Err(ConfigError::combination(
            "options.master is set, which is for options.topology=sentinel only; remove it",
        ));
    }
    url.choose_database(settings.db_num)?;
    let connecting = settings.timeout.min(LONGEST_CONNECT);
    let waiting = settings.retry_timeout.unwrap_or(RETRY_TIMEOUT);
    url.set_unless_said("connect_timeout", &format_duration(connecting));
    url.set_unless_said("poll", &format_duration(waiting));
    Ok(Target {
        url: url.write(),
        servers: shown(&url.place),
    })
}

/// The parts of a URL, as they are written in it.
struct Url {
    /// Whether it begins with `rediss`.
    is_tls: bool,
    kind: Kind,
    /// In front of the `@`.
    login: Option<Zeroizing<String>>,
    /// Hosts and ports, separated by commas; for a socket its path.
    place: String,
    /// Behind the hosts, without the first `/`.
    path: String,
    query: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Servers(Topology),
    Socket,
}

impl Url {
    fn read(uri: &str) -> Result<Self, ConfigError> {
        let fail = |reason: &str| ConfigError::combination(format!("connection.uri {reason}"));
        let (scheme, rest) = uri
            .split_once(':')
            .ok_or_else(|| fail("has no scheme; begin it with redis://"))?;
        let (is_tls, kind) = scheme_of(scheme)
            .ok_or_else(|| fail("begins with none of the schemes of Redis; write redis://HOST"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let rest = match (kind, rest.strip_prefix("//")) {
            (_, Some(rest)) => rest,
            (Kind::Socket, None) => rest,
            (Kind::Servers(_), None) => return Err(fail("needs `//` behind its scheme")),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(Zeroizing::new(login.to_owned())), rest),
            None => (None, rest),
        };
        let (place, path) = match kind {
            Kind::Socket => (rest, ""),
            Kind::Servers(_) => rest.split_once('/').unwrap_or((rest, "")),
        };
        let query = query.split('&').filter(|it| !it.is_empty());
        Ok(Self {
            is_tls,
            kind,
            login,
            place: place.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned).collect(),
        })
    }

    /// For servers that are named one by one.
    fn of_several(
        connections: &[ConnectionParams],
        topology: Topology,
    ) -> Result<Self, ConfigError> {
        if topology == Topology::Single && connections.len() > 1 {
            return Err(ConfigError::combination(format!(
                "options.topology is single and there are {} connections; choose cluster, quorum \
                 or sentinel",
                connections.len()
            )));
        }
        let mut whole: Option<Self> = None;
        for connection in connections {
            let one = Self::of_one(connection, topology)?;
            match &mut whole {
                None => whole = Some(one),
                Some(whole) => whole.join(&one)?,
            }
        }
        whole.ok_or_else(|| ConfigError::combination("no connection is configured"))
    }

    fn of_one(connection: &ConnectionParams, topology: Topology) -> Result<Self, ConfigError> {
        let Some(uri) = connection.uri() else {
            let protocol = connection.protocol().unwrap_or("redis");
            let is_tls = match protocol {
                "redis" | "tcp" => false,
                "rediss" | "tls" => true,
                _ => {
                    return Err(ConfigError::combination(
                        "connection.protocol must be redis, or rediss for TLS",
                    ));
                }
            };
            return Ok(Self {
                is_tls,
                kind: Kind::Servers(topology),
                login: None,
                place: place(connection)?,
                path: String::new(),
                query: Vec::new(),
            });
        };
        let one = Self::read(uri.expose_secret())?;
        let is_plain = one.kind == Kind::Servers(Topology::Single)
            && one.path.is_empty()
            && one.query.is_empty();
        if !is_plain {
            return Err(ConfigError::combination(
                "a connection.uri among several may only name a server, as in redis://HOST:PORT; \
                 say the rest under options",
            ));
        }
        Ok(Self {
            kind: Kind::Servers(topology),
            ..one
        })
    }

    /// Takes another server in.
    fn join(&mut self, other: &Self) -> Result<(), ConfigError> {
        if self.is_tls != other.is_tls {
            return Err(ConfigError::combination(
                "some connections use TLS and some do not; choose redis or rediss for all",
            ));
        }
        if other.login.is_some() && self.login.is_some() && other.login != self.login {
            return Err(ConfigError::combination(
                "the connections have different logins in their URIs; use one credential for all",
            ));
        }
        if self.login.is_none() {
            self.login.clone_from(&other.login);
        }
        self.place = format!("{},{}", self.place, other.place);
        Ok(())
    }

    /// As the configuration says that the servers belong together, if the URL leaves that open.
    fn arranged(mut self, wanted: Option<Topology>) -> Result<Self, ConfigError> {
        let Some(wanted) = wanted else {
            return Ok(self);
        };
        match self.kind {
            Kind::Servers(Topology::Single) => self.kind = Kind::Servers(wanted),
            _ if wanted == self.topology() => {}
            _ => {
                return Err(ConfigError::combination(format!(
                    "options.topology is {} and the scheme of connection.uri says something else; \
                     keep one",
                    wanted.name()
                )));
            }
        }
        Ok(self)
    }

    fn topology(&self) -> Topology {
        match self.kind {
            Kind::Servers(topology) => topology,
            Kind::Socket => Topology::Single,
        }
    }

    fn log_in(&mut self, credential: Option<&CredentialParams>) -> Result<(), ConfigError> {
        let Some(credential) = credential else {
            return Ok(());
        };
        let encoded =
            |text: &str| Zeroizing::new(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        let username = encoded(credential.username().unwrap_or_default());
        let password = credential.password().map(|it| encoded(it.expose_secret()));
        if username.is_empty() && password.is_none() {
            return Ok(());
        }
        if self.login.is_some() {
            return Err(ConfigError::combination(
                "connection.uri has a login and a credential is configured; keep one",
            ));
        }
        let mut login = username;
        if let Some(password) = password {
            login.push(':');
            login.push_str(&password);
        }
        self.login = Some(login);
        Ok(())
    }

    fn name_master(&mut self, master: Option<&str>) -> Result<(), ConfigError> {
        match (master, self.path.split('/').next()) {
            (Some(master), Some("") | None) => {
                self.path = utf8_percent_encode(master, NON_ALPHANUMERIC).to_string();
                Ok(())
            }
            (Some(_), Some(_)) => Err(ConfigError::combination(
                "options.master is set and connection.uri names a primary; keep one",
            )),
            (None, Some("") | None) => Err(ConfigError::combination(
                "options.topology is sentinel, which needs options.master, the primary's name",
            )),
            (None, Some(_)) => Ok(()),
        }
    }

    fn choose_database(&mut self, wanted: Option<u16>) -> Result<(), ConfigError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let in_path = match self.topology() {
            Topology::Sentinel => self.path.split('/').nth(1),
            _ => Some(self.path.as_str()),
        };
        let in_query = self.said("db");
        let said = in_path.filter(|it| !it.is_empty()).or(in_query);
        match said {
            Some(said) if said.parse() != Ok(wanted) => Err(ConfigError::combination(format!(
                "options.db_num is {wanted} and connection.uri names another database; keep one"
            ))),
            // It goes without saying, also to a cluster.
            None if wanted == 0 => Ok(()),
            None => {
                self.query.push(format!("db={wanted}"));
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    fn said(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter().filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(said, _)| *said == name)
            .map(|(_, value)| value)
    }

    fn set_unless_said(&mut self, name: &str, value: &str) {
        if self.said(name).is_none() {
            self.query.push(format!("{name}={value}"));
        }
    }

    fn write(&self) -> SecretString {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        let (kind, slashes) = match self.kind {
            Kind::Socket => ("+unix", ""),
            Kind::Servers(Topology::Single) => ("", "//"),
            Kind::Servers(Topology::Cluster) => ("+cluster", "//"),
            Kind::Servers(Topology::Quorum) => ("+quorum", "//"),
            Kind::Servers(Topology::Sentinel) => ("+sentinel", "//"),
        };
        let at = if self.login.is_some() { "@" } else { "" };
        let login = self.login.as_deref().map_or("", String::as_str);
        let slash = if self.path.is_empty() { "" } else { "/" };
        let (place, path, query) = (&self.place, &self.path, self.query.join("&"));
        SecretString::from(format!(
            "{scheme}{kind}:{slashes}{login}{at}{place}{slash}{path}?{query}"
        ))
    }
}

/// Whether a scheme means TLS, and how its servers belong together.
fn scheme_of(scheme: &str) -> Option<(bool, Kind)> {
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let is_tls = match base {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    let kind = match kind {
        "" => Kind::Servers(Topology::Single),
        "cluster" => Kind::Servers(Topology::Cluster),
        "quorum" => Kind::Servers(Topology::Quorum),
        "sentinel" => Kind::Servers(Topology::Sentinel),
        "unix" if !is_tls => Kind::Socket,
        _ => return None,
    };
    Some((is_tls, kind))
}

/// `host` or `host:port`.
fn place(connection: &ConnectionParams) -> Result<String, ConfigError> {
    let host = connection.host().unwrap_or(DEFAULT_HOST);
    let is_name = |c: char| c.is_alphanumeric() || ".-_:".contains(c);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.is_empty() || !bare.chars().all(is_name) {
        return Err(ConfigError::combination(
            "connection.host holds a character that no host name has; a URL belongs into \
             connection.uri, and a login into credential.*",
        ));
    }
    let colons = bare.matches(':').count();
    if colons == 1 {
        return Err(ConfigError::combination(
            "connection.host holds a `:`; the port belongs into connection.port",
        ));
    }
    let host = if colons > 1 {
        format!("[{bare}]")
    } else {
        bare.to_owned()
    };
    Ok(match connection.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

#[cfg(test)]
mod tests;
