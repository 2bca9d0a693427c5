//! Reads the URL of a Redis deployment.
//!
//! No message repeats more of a URL than its scheme and the part at fault, and never anything
//! before an `@`, because that may be a password.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use tenure_core::parse_duration;

use crate::error::{OptionsError, shown};
use crate::options::{Address, Password, RedisOptions, Servers, Tls};

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const MAX_URL: usize = 4096;
const SCHEMES: [&str; 9] = [
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "redis+quorum",
    "rediss+quorum",
];
const PARAMETERS: [&str; 24] = [
    "pool",
    "pool_timeout",
    "prefix",
    "namespace",
    "connect_timeout",
    "timeout",
    "claim_window",
    "poll",
    "busy_poll_us",
    "node_timeout",
    "fenced",
    "safety",
    "max_ttl",
    "replicas",
    "max_waiters",
    "nodelay",
    "db",
    "ca",
    "cert",
    "key",
    "insecure",
    "password_file",
    "sentinel_username",
    "sentinel_password_file",
];

impl RedisOptions {
    /// Reads a URL:
    ///
    /// - `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, over TLS with `rediss://`;
    /// - `redis+unix:/PATH/TO/SOCKET`;
    /// - `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER[/DB]`;
    /// - `redis+cluster://[USER:PASSWORD@]HOST[:PORT],…`;
    /// - `redis+quorum://[USER:PASSWORD@]HOST[:PORT],…[/DB]`.
    ///
    /// The last three exist with `rediss+` too. Parameters stand after a `?`: those of the methods
    /// of this type by their names (`pool` and `pool_timeout` for a pool), `ca`, `cert` and `key`
    /// (PEM files), `insecure=true` (no check of the server's certificate), `password_file`,
    /// `sentinel_username`, `sentinel_password_file`. `%` and two hexadecimal digits stand for a
    /// byte.
    ///
    /// # Errors
    /// [`OptionsError`] with the part at fault and what is allowed. No message holds a password.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        if url.len() > MAX_URL || url.chars().any(char::is_control) {
            return Err(OptionsError::Malformed {
                reason: "is longer than 4096 bytes or holds control characters".to_owned(),
            });
        }
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        if !SCHEMES.contains(&scheme) {
            return Err(OptionsError::Scheme {
                scheme: shown(scheme),
                known: SCHEMES.join(", "),
            });
        }
        if rest.contains('#') {
            return Err(malformed("holds a `#`; write %23 for one in a password"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = if scheme == "redis+unix" {
            unix(place)?
        } else {
            network(scheme, place)?
        };
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&name) {
                return Err(OptionsError::parameter(name, "", "is given twice"));
            }
            seen.push(name);
            options = set(options, name, &decoded(name, value)?)?;
        }
        options.checked()
    }
}

fn malformed(reason: &str) -> OptionsError {
    OptionsError::Malformed {
        reason: reason.to_owned(),
    }
}

fn unix(place: &str) -> Result<RedisOptions, OptionsError> {
    let path = place.strip_prefix("//").unwrap_or(place);
    let (path, login) = match path.rsplit_once('@') {
        Some((login, path)) => (path, Some(login)),
        None => (path, None),
    };
    if !path.starts_with('/') {
        return Err(malformed(
            "needs the absolute path of a socket, such as redis+unix:/run/redis/redis.sock",
        ));
    }
    let path = PathBuf::from(decoded("path", path)?);
    logged_in(RedisOptions::of(Servers::Socket(path)), login)
}

fn network(scheme: &str, place: &str) -> Result<RedisOptions, OptionsError> {
    let place = place
        .strip_prefix("//")
        .ok_or_else(|| OptionsError::Malformed {
            reason: format!("needs `//` and a host behind `{scheme}:`"),
        })?;
    let (login, place) = match place.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, place),
    };
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    let (kind, is_tls) = match scheme.split_once('+') {
        Some((base, kind)) => (kind, base == "rediss"),
        None => ("", scheme == "rediss"),
    };
    let port = if kind == "sentinel" {
        SENTINEL_PORT
    } else {
        DEFAULT_PORT
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    let mut addresses = hosts
        .iter()
        .map(|host| address(host, port))
        .collect::<Result<Vec<_>, _>>()?;
    let (servers, db) = match kind {
        "sentinel" => {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(malformed(
                    "names no primary; write redis+sentinel://HOST:26379/NAME with the name that \
                     the sentinels monitor",
                ));
            }
            let servers = Servers::Sentinel {
                sentinels: addresses,
                master: decoded("the primary's name", master)?,
                username: None,
                password: None,
            };
            (servers, db)
        }
        "cluster" => (Servers::Cluster(addresses), path),
        "quorum" => (Servers::Quorum(addresses), path),
        _ if addresses.len() == 1 => (Servers::One(addresses.remove(0)), path),
        _ => {
            return Err(malformed(
                "names several hosts; write redis+sentinel, redis+cluster or redis+quorum",
            ));
        }
    };
    let mut options = logged_in(RedisOptions::of(servers), login)?;
    if is_tls {
        options.tls = Some(Tls::default());
    }
    if !db.is_empty() {
        options.db = database(db)?;
    }
    Ok(options)
}

fn database(text: &str) -> Result<u16, OptionsError> {
    text.parse()
        .map_err(|_| OptionsError::parameter("database", text, "must be a number, 0 to 65535"))
}

/// A host and a port; an IPv6 address stands in brackets.
fn address(text: &str, default_port: u16) -> Result<Address, OptionsError> {
    let invalid = |reason: &str| OptionsError::Host {
        host: shown(text),
        reason: reason.to_owned(),
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| invalid("has no closing `]`"))?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| invalid("is no IPv6 address"))?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = port.ok_or_else(|| invalid("has something other than `:PORT` behind the `]`"))?;
    if host.is_empty() {
        return Err(invalid("is missing; write HOST or HOST:PORT"));
    }
    if !host
        .chars()
        .all(|c| c.is_alphanumeric() || ".-_:".contains(c))
    {
        return Err(invalid(
            "holds a character that no host name has; in a password write `@`, `:`, `/` and `%` \
             as %40, %3A, %2F and %25",
        ));
    }
    let port = match port {
        "" => default_port,
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("has a port that is not 1 to 65535"))?,
    };
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

fn logged_in(mut options: RedisOptions, login: Option<&str>) -> Result<RedisOptions, OptionsError> {
    let Some(login) = login else {
        return Ok(options);
    };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    // The parts are secret or beside a secret: an error must not show them.
    let plain = |what: &str, text: &str| {
        if text.contains(['@', ':', '/']) {
            return Err(OptionsError::Login {
                reason: format!("the {what} holds `@`, `:` or `/`; write them as %40, %3A and %2F"),
            });
        }
        if !are_escapes_whole(text) {
            return Err(OptionsError::Login {
                reason: format!("the {what} holds a `%` without two hexadecimal digits; write %25"),
            });
        }
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| OptionsError::Login {
                reason: format!("the {what} is not UTF-8"),
            })
    };
    if !user.is_empty() {
        options.username = Some(plain("user name", user)?);
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        options.password = Some(SecretString::from(plain("password", password)?));
    }
    Ok(options)
}

fn are_escapes_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|behind| {
        behind
            .get(..2)
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

fn decoded(name: &str, text: &str) -> Result<String, OptionsError> {
    if !are_escapes_whole(text) {
        return Err(OptionsError::parameter(
            name,
            text,
            "a `%` must be followed by two hexadecimal digits",
        ));
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| OptionsError::parameter(name, text, "is not UTF-8"))
}

fn set(mut options: RedisOptions, name: &str, value: &str) -> Result<RedisOptions, OptionsError> {
    let invalid = |reason: String| OptionsError::parameter(name, value, reason);
    let duration = || parse_duration(value).map_err(|error| invalid(error.to_string()));
    let switch = || match value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(invalid("must be `true` or `false`".to_owned())),
    };
    match name {
        "prefix" => return Ok(options.prefix(value)),
        "namespace" => return Ok(options.namespace(value)),
        "connect_timeout" => return Ok(options.connect_timeout(duration()?)),
        "timeout" => return Ok(options.timeout(duration()?)),
        "claim_window" => return Ok(options.claim_window(duration()?)),
        "poll" => return Ok(options.poll_every(duration()?)),
        "busy_poll_us" => {
            let micros = number(name, value, "0 to 1000")?;
            return Ok(options.busy_poll(Duration::from_micros(micros.into())));
        }
        "node_timeout" | "fenced" if !options.is_quorum() => {
            return Err(invalid("is for redis+quorum:// only".to_owned()));
        }
        "node_timeout" => return Ok(options.node_timeout(duration()?)),
        "fenced" => return Ok(options.fenced(switch()?)),
        "safety" => {
            let safety = value.parse().map_err(|error: String| invalid(error))?;
            return Ok(options.safety(safety));
        }
        "max_ttl" => return Ok(options.max_ttl(duration()?)),
        "replicas" => return Ok(options.replicas(number(name, value, "0 to 20")?)),
        "max_waiters" => return Ok(options.max_waiters(number(name, value, "1 to 1000000")?)),
        "nodelay" => return Ok(options.nodelay(switch()?)),
        "pool" => options.set_pool().max = count(value).map_err(invalid)?,
        "pool_timeout" => options.set_pool().patience = duration()?,
        "db" => return Ok(options.database(database(value)?)),
        "password_file" => options.password = Some(secret_in(name, value)?),
        "sentinel_username" | "sentinel_password_file" => {
            let Servers::Sentinel {
                username, password, ..
            } = &mut options.servers
            else {
                return Err(invalid("is for redis+sentinel:// only".to_owned()));
            };
            if name == "sentinel_username" {
                *username = Some(value.to_owned());
            } else {
                *password = Some(Password(secret_in(name, value)?));
            }
        }
        "ca" | "cert" | "key" | "insecure" => {
            let Some(tls) = options.tls.as_mut() else {
                return Err(invalid("needs TLS: begin the URL with rediss".to_owned()));
            };
            match name {
                "ca" => tls.ca = Some(PathBuf::from(value)),
                "cert" => tls.cert = Some(PathBuf::from(value)),
                "key" => tls.key = Some(PathBuf::from(value)),
                _ => tls.insecure = switch()?,
            }
        }
        _ => {
            return Err(OptionsError::Unknown {
                name: shown(name),
                nearest: nearest(name),
            });
        }
    }
    Ok(options)
}

fn number(name: &str, value: &str, limits: &str) -> Result<u32, OptionsError> {
    let refused = |_| {
        let reason = format!("must be a number, {limits}");
        OptionsError::parameter(name, value, reason)
    };
    value.parse().map_err(refused)
}

fn count(value: &str) -> Result<usize, String> {
    value
        .parse()
        .map_err(|_| "must be a number of connections".to_owned())
}

/// What a file holds, without the line end behind it.
fn secret_in(name: &str, path: &str) -> Result<SecretString, OptionsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SecretString::from(text.trim_end_matches(['\r', '\n']))),
        Err(error) => Err(OptionsError::parameter(
            name,
            path,
            format!("cannot be read: {error}"),
        )),
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    PARAMETERS
        .into_iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), known),
                known,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            port,
        }
    }

    fn refused(url: &str) -> String {
        RedisOptions::from_url(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_says_where_the_servers_are() {
        for (url, servers) in [
            ("redis://h", Servers::One(address("h", 6379))),
            ("rediss://h:1", Servers::One(address("h", 1))),
            ("redis://[::1]:7", Servers::One(address("::1", 7))),
            ("redis+unix:/a%20b", Servers::Socket(PathBuf::from("/a b"))),
            ("redis+unix:///a", Servers::Socket(PathBuf::from("/a"))),
            (
                "redis+cluster://a,b:2",
                Servers::Cluster(vec![address("a", 6379), address("b", 2)]),
            ),
            (
                "redis+sentinel://a,b:2/m",
                Servers::Sentinel {
                    sentinels: vec![address("a", 26379), address("b", 2)],
                    master: "m".to_owned(),
                    username: None,
                    password: None,
                },
            ),
        ] {
            assert_eq!(
                RedisOptions::from_url(url).unwrap().servers,
                servers,
                "{url}"
            );
        }
        let options = RedisOptions::from_url(
            "redis://us%40er:p%3Aw@h/3?prefix=x%3A&timeout=3s&namespace=n&nodelay=true\
             &busy_poll_us=0",
        )
        .unwrap();
        assert_eq!(options.username.as_deref(), Some("us@er"));
        assert_eq!(options.password.unwrap().expose_secret(), "p:w");
        assert_eq!((options.db, options.prefix.as_str()), (3, "x:"));
        assert_eq!(options.timeout, Duration::from_secs(3));
        assert!(options.nodelay && options.busy_poll.is_zero());
    }

    #[test]
    fn e25_to_e40_a_url_that_cannot_work_is_refused_with_the_part_at_fault() {
        for (url, part) in [
            ("redis://", "is missing"),
            ("redis://:0", "is missing"),
            ("redis://h:0", "port that is not 1 to 65535"),
            ("redis://h:65536", "port that is not 1 to 65535"),
            ("redis://[::1", "no closing `]`"),
            ("redis:h", "needs `//`"),
            ("http://h", "redis+sentinel"),
            ("redis://a,b", "several hosts"),
            ("redis://h/x", "must be a number"),
            ("redis+cluster://h/1", "only database 0"),
            ("redis+sentinel://h", "names no primary"),
            ("redis://h?safety=very", "must be `plain` or `strict`"),
            ("redis://h?max_waiters=0", "must be 1 to 1000000"),
            ("redis://h?max_waiters=1000001", "must be 1 to 1000000"),
            ("redis://h?max_waiters=-1", "must be a number"),
            ("redis://h?max_waiters=99999999999", "must be a number"),
            ("redis://h?max_waiters=many", "must be a number"),
            ("redis://h?busy_poll_us=1001", "must be 0 to 1000"),
            ("redis://h?busy_poll_us=1ms", "must be a number, 0 to 1000"),
            ("redis://h?max_ttl=1s", "needs safety=strict"),
            ("redis://h?replicas=2", "needs safety=strict"),
            ("redis://h?safety=strict&replicas=21", "must be 0 to 20"),
            ("redis://h?safety=strict&max_ttl=25h", "must be 50ms to 1d"),
            ("redis+cluster://h?safety=strict", "needs replicas=NUMBER"),
            (
                "redis+quorum://a,b,c?safety=strict&replicas=2",
                "is not for a quorum",
            ),
            ("redis+quorum://a,b", "at least 3"),
            ("redis+quorum://a,b,a", "names a:6379 twice"),
            ("redis://h?tiemout=1s", "did you mean `timeout`"),
            ("redis://h?timeout=1", "timeout"),
            ("redis://h?timeout=1ms", "must be 10ms to 1m"),
            ("redis://h?ca=x", "begin the URL with rediss"),
            ("redis://h?db=1&db=2", "given twice"),
            ("redis://h?namespace=a{b", "no braces"),
            ("redis://h?password_file=/does/not/exist", "cannot be read"),
            ("redis+unix:a", "absolute path"),
        ] {
            let message = refused(url);
            assert!(message.contains(part), "{url}: {message}");
        }
        assert!(refused(&format!("redis://{}", "h".repeat(5000))).contains("4096"));
        assert!(refused("redis://h\r\nx").contains("control"));
    }

    #[test]
    fn e27_no_message_repeats_a_password() {
        for url in [
            "redis://u:s3@cret@h",
            "redis://u:s3/cret@h",
            "redis://u:s3cret%@h",
            "redis://u:s3cret%zz@h",
            "redis://u:s3cret@h:0",
            "redis://u:s3cret@h?x=1",
            "redis://u:s3cret@",
            "redis://u:s3cret#@h",
            "redis://u:s3cret@h/x",
        ] {
            let message = refused(url);
            assert!(!message.contains("s3"), "{message}");
            assert!(!message.contains("cret"), "{message}");
        }
        let options = RedisOptions::from_url("redis://u:s3cret@h").unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
