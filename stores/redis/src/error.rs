//! From what a user set, and what a server answered, to the errors that callers see.

use crate::link::Stranger;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tenure_core::{StoreError, StoreErrorKind};

/// Why settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL is for another kind of store.
    #[error("unknown scheme `{scheme}`: known are {known}")]
    Scheme {
        /// What it begins with.
        scheme: String,
        /// What it may begin with.
        known: String,
    },
    /// The URL as a whole cannot be read.
    #[error("the URL {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A host cannot be read.
    #[error("the host `{host}` {reason}")]
    Host {
        /// The host as it was written.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The user name or the password cannot be read; neither is shown.
    #[error("{reason}")]
    Login {
        /// What is wrong.
        reason: String,
    },
    /// The servers of a quorum cannot be one.
    #[error("the quorum {reason}")]
    Quorum {
        /// What is wrong.
        reason: String,
    },
    /// A parameter has a value that is not allowed.
    #[error("{name} `{value}`: {reason}")]
    Parameter {
        /// Which.
        name: String,
        /// Its value, shortened.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// A parameter that does not exist.
    #[error("unknown parameter `{name}`{}", hint(*nearest))]
    Unknown {
        /// What was written.
        name: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
}

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

impl OptionsError {
    pub(crate) fn parameter(name: &str, value: &str, reason: impl Into<String>) -> Self {
        Self::Parameter {
            name: shown(name),
            value: shown(value),
            reason: reason.into(),
        }
    }
}

/// At most 80 characters, with control characters escaped and quotes as they are.
pub(crate) fn shown(text: &str) -> String {
    cut(text, 80)
}

fn cut(text: &str, most: usize) -> String {
    let mut short = String::new();
    for c in text.chars().take(most) {
        match c {
            '\'' | '"' => short.push(c),
            _ => short.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// What an error of the client library says about the step that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The server does not have the script: send it whole.
    NoScript,
    /// The connection is gone or no longer leads to a server that takes writes. The step did not
    /// happen.
    Elsewhere,
    /// The connection broke or fell silent, or its answer cannot be read: the step may have
    /// happened.
    Unknown,
    /// The server refused the step, which therefore did not happen.
    Refused(StoreErrorKind),
}

/// The kinds of trouble that the first word of a server's error tells.
const WORDS: [(&str, Meaning); 20] = [
    ("NOSCRIPT", Meaning::NoScript),
    ("READONLY", Meaning::Elsewhere),
    ("MASTERDOWN", Meaning::Elsewhere),
    ("LOADING", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("BUSY", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("UNKILLABLE", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("CLUSTERDOWN", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("TRYAGAIN", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("MOVED", Meaning::Refused(StoreErrorKind::Misconfigured)),
    ("ASK", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("OOM", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("QUEUEFULL", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("MISCONF", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("NOREPLICAS", Meaning::Refused(StoreErrorKind::Unavailable)),
    ("NOAUTH", Meaning::Refused(StoreErrorKind::Denied)),
    ("WRONGPASS", Meaning::Refused(StoreErrorKind::Denied)),
    ("NOPERM", Meaning::Refused(StoreErrorKind::Denied)),
    ("WRONGTYPE", Meaning::Refused(StoreErrorKind::Corrupt)),
    ("CORRUPT", Meaning::Refused(StoreErrorKind::Corrupt)),
    ("CROSSSLOT", Meaning::Refused(StoreErrorKind::Misconfigured)),
];

/// What `error` means for the step that met it.
pub(crate) fn meaning(error: &RedisError) -> Meaning {
    let word = first_word(error).unwrap_or_default();
    if let Some((_, meaning)) = WORDS.iter().find(|(known, _)| *known == word) {
        return *meaning;
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => Meaning::Refused(StoreErrorKind::Denied),
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => {
            Meaning::Refused(StoreErrorKind::Misconfigured)
        }
        // A wrong name, but also a moment of every fail-over: the primary is known to be down.
        ErrorKind::MasterNameNotFoundBySentinel => Meaning::Refused(StoreErrorKind::Unavailable),
        ErrorKind::ClusterConnectionNotFound | ErrorKind::NoValidReplicasFoundBySentinel => {
            Meaning::Elsewhere
        }
        ErrorKind::RESP3NotSupported => Meaning::Refused(StoreErrorKind::Unsupported),
        ErrorKind::Server(_) => server_meaning(error),
        _ if error.is_connection_refusal() => Meaning::Elsewhere,
        _ => Meaning::Unknown,
    }
}

/// Whether a script used a key that its request had not named, where that may not be: in a node of
/// a cluster, or by the rules of a server that allows no others.
pub(crate) fn is_of_unnamed_key(error: &RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    // The last is of Redis after 7.2, for a command with several keys.
    ["non local key", "undeclared key", "hash to the same slot"]
        .iter()
        .any(|part| text.contains(part))
}

const TOO_MANY_CLIENTS: &str = "max number of clients";

/// Whether a server, or a script of its own, does not know a command.
fn is_unknown_command(text: &str) -> bool {
    [
        "unknown command",
        "Unknown Redis command",
        "Unknown command",
    ]
    .iter()
    .any(|part| text.contains(part))
}

fn server_meaning(error: &RedisError) -> Meaning {
    let text = error.detail().unwrap_or_default();
    if text.contains(TOO_MANY_CLIENTS) {
        return Meaning::Refused(StoreErrorKind::Unavailable);
    }
    if text.contains("user executing the script can't") {
        return Meaning::Refused(StoreErrorKind::Denied);
    }
    if is_unknown_command(text) {
        return Meaning::Refused(StoreErrorKind::Unsupported);
    }
    if text.contains("DB index") || text.contains("cluster support disabled") {
        return Meaning::Refused(StoreErrorKind::Misconfigured);
    }
    Meaning::Refused(StoreErrorKind::Protocol)
}

/// Whether an answer came, and nobody can read it. The step that it answers may have happened.
pub(crate) fn is_garbled(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType
    )
}

/// The code of a server's error. Inside a script the code of the inner error comes first.
fn first_word(error: &RedisError) -> Option<&str> {
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
        return Some("NOSCRIPT");
    }
    let inside = error.detail().unwrap_or_default();
    if inside.starts_with("Error running script") {
        // Before Redis 7 the inner error stands in the text, behind the place in the script.
        let mut words = inside.split([' ', '-', ':']);
        let inner = words.find_map(|word| WORDS.iter().find(|(known, _)| *known == word));
        return inner.map(|(known, _)| *known);
    }
    error.code()
}

/// The error that a caller sees, for a step that was `doing` something at the server `at`.
pub(crate) fn store_error(doing: &str, at: &str, error: RedisError) -> StoreError {
    let meaning = meaning(&error);
    let kind = match meaning {
        Meaning::Refused(kind) => kind,
        Meaning::Unknown if is_garbled(&error) => StoreErrorKind::Protocol,
        Meaning::NoScript | Meaning::Elsewhere | Meaning::Unknown => StoreErrorKind::Unavailable,
    };
    let message = format!("{doing}: {at}: {}", told(&error, kind));
    let mut shown = StoreError::new(kind, message);
    if meaning == Meaning::Unknown {
        shown = shown.with_unknown_outcome();
    }
    shown.with_source(error)
}

/// The error of a connection to a server of another kind.
pub(crate) fn no_redis(doing: &str, at: &str, met: &Stranger, error: RedisError) -> StoreError {
    let Stranger { kind, words } = met;
    let kind = kind.as_ref();
    let kind = kind.map_or_else(String::new, |kind| format!(" but {kind}"));
    let message = format!(
        "{doing}: {at}: this is no Redis server{kind}: its answer begins with `{words}`; look at \
         host and port, and whether the server wants TLS (rediss://)"
    );
    StoreError::new(StoreErrorKind::Protocol, message).with_source(error)
}

/// The error of a step for which there was no connection to `at`, and why the last one failed.
pub(crate) fn no_connection(doing: &str, at: &str, error: Option<RedisError>) -> StoreError {
    let kind = StoreErrorKind::Unavailable;
    let Some(error) = error else {
        let message = format!("{doing}: no connection to {at} within the request's time");
        return StoreError::new(kind, message);
    };
    let message = format!("{doing}: no connection to {at}: {}", told(&error, kind));
    StoreError::new(kind, message).with_source(error)
}

/// The error of a step that left for `at` and was not answered.
pub(crate) fn too_late(doing: &str, at: &str) -> StoreError {
    let message = format!("{doing}: {at}: no answer within the request's time");
    StoreError::new(StoreErrorKind::Unavailable, message).with_unknown_outcome()
}

/// What a server said, and what to do about it.
fn told(error: &RedisError, kind: StoreErrorKind) -> String {
    if error.kind() == ErrorKind::MasterNameNotFoundBySentinel {
        return "no primary at the moment, which passes when a fail-over is over; if it does not, \
                ask a sentinel: SENTINEL MASTERS"
            .to_owned();
    }
    let (said, advice) = (shown_error(error), advice(error, kind));
    if advice.is_empty() {
        return said;
    }
    format!("{}{advice}", said.trim_end_matches('.'))
}

/// What to do about a server's refusal, by its first word.
const ADVICE: [(&str, &str); 15] = [
    (
        "NOAUTH",
        "give a user name and a password, best in a file: ?password_file=PATH",
    ),
    ("WRONGPASS", "check the user name and the password"),
    (
        "MOVED",
        "the server is part of a cluster: begin the URL with redis+cluster",
    ),
    (
        "CROSSSLOT",
        "the server is part of a cluster, or a proxy before one: begin the URL with redis+cluster",
    ),
    (
        "READONLY",
        "name the primary, or let sentinels name it: redis+sentinel://HOST,HOST/NAME",
    ),
    (
        "MASTERDOWN",
        "look at the replication of this server: INFO replication",
    ),
    ("LOADING", "it answers when it has read its data"),
    (
        "BUSY",
        "somebody's script runs too long: SCRIPT KILL ends it, or answers UNKILLABLE if it has \
         written, and then it ends by itself or with the server; SLOWLOG GET tells later what it \
         was",
    ),
    (
        "CLUSTERDOWN",
        "see which slots have no node: CLUSTER INFO, CLUSTER NODES",
    ),
    (
        "TRYAGAIN",
        "a slot is being moved; it passes when the move is over",
    ),
    (
        "OOM",
        "raise maxmemory or make room; maxmemory-policy must stay noeviction",
    ),
    (
        "MISCONF",
        "look for the reason in the server's log, and for room on its disk",
    ),
    (
        "NOREPLICAS",
        "connect replicas, or lower min-replicas-to-write",
    ),
    (
        "QUEUEFULL",
        "find out why its holders do not give it back: tenure locks show NAME; or allow more with \
         max_waiters",
    ),
    (
        "WRONGTYPE",
        "a key that begins with tenure: was overwritten; with no lock held, delete it",
    ),
];

/// The next step for whoever reads the error.
fn advice(error: &RedisError, kind: StoreErrorKind) -> String {
    let word = first_word(error).unwrap_or_default();
    let known = ADVICE.iter().find(|(known, _)| *known == word);
    let text = error.detail().unwrap_or_default();
    let advice = match (known, kind) {
        (Some((_, advice)), _) => advice,
        (_, StoreErrorKind::Denied) => {
            let lacks = missing_right(text);
            return format!(
                "; {lacks}`tenure doctor` shows the whole line, stores/redis/README.md explains it"
            );
        }
        (_, StoreErrorKind::Unsupported) if is_unknown_command(text) => {
            "the server is old, or its rename-command or a proxy takes the command away; \
             stores/redis/README.md lists what is needed"
        }
        _ if text.contains(TOO_MANY_CLIENTS) => "close idle clients, or raise maxclients",
        _ => return String::new(),
    };
    format!("; {advice}")
}

/// The word to add to the user's rights, where the server tells what it lacks.
fn missing_right(text: &str) -> String {
    let word = if text.contains("channel") {
        "&tenure:*".to_owned()
    } else if text.contains("key") {
        "~PATTERN for the keys".to_owned()
    } else {
        let Some(command) = text.split('\'').nth(1) else {
            return "ACL SETUSER gives rights: ".to_owned();
        };
        format!("+{command}")
    };
    format!("ACL SETUSER USER {word} gives what it lacks; ")
}

/// The server's own words where there are some; they never hold what we sent as a password.
fn shown_error(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => cut(&format!("{code} {detail}"), 300),
        _ => cut(&error.to_string(), 300),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e72_a_key_that_was_not_named_is_told_from_other_errors_in_the_words_of_each_server() {
        for (line, expected) in [
            (
                "-ERR Script attempted to access a non local key in a cluster node script: f",
                true,
            ),
            (
                "-ERR Error running script (call to f): attempted to access a non local key",
                true,
            ),
            (
                "-ERR Command 'exists' in script attempted to access keys that don't hash to the \
                 same slot script: f",
                true,
            ),
            ("-ERR script tried accessing undeclared key", true),
            ("-NOPERM No permissions to access a key script: f", false),
            (
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
                false,
            ),
        ] {
            let value = redis::parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap();
            let error = value.extract_error().unwrap_err();
            assert_eq!(is_of_unnamed_key(&error), expected, "{line}");
        }
    }

    #[test]
    fn e78_a_server_that_takes_no_more_clients_is_unavailable_and_its_operator_told_what_to_do() {
        let line = b"-ERR max number of clients reached\r\n";
        let value = redis::parse_redis_value(line).unwrap();
        let error = value.extract_error().unwrap_err();
        let told = store_error("acquire a lease", "h:1", error);
        assert_eq!(told.kind(), StoreErrorKind::Unavailable);
        assert_eq!(
            told.to_string(),
            "acquire a lease: h:1: ERR max number of clients reached; close idle clients, or raise \
             maxclients"
        );
    }

    #[test]
    fn e70_e75_e76_what_went_wrong_inside_a_script_of_redis_6_is_told_from_its_text() {
        for (text, expected) in [
            (
                "call to f_82dd): @user_script:20: @user_script: 20: -READONLY You can't write",
                Meaning::Elsewhere,
            ),
            (
                "call to f_82dd): @user_script:20: @user_script: 20: -OOM command not allowed",
                Meaning::Refused(StoreErrorKind::Unavailable),
            ),
            (
                "call to f_82dd): @user_script:119: WRONGTYPE Operation against a key",
                Meaning::Refused(StoreErrorKind::Corrupt),
            ),
            (
                "call to f_82dd): @user_script:1: something else",
                Meaning::Refused(StoreErrorKind::Protocol),
            ),
        ] {
            let line = format!("-ERR Error running script ({text}\r\n");
            let value = redis::parse_redis_value(line.as_bytes()).unwrap();
            let error = value.extract_error().unwrap_err();
            assert_eq!(meaning(&error), expected, "{text}");
        }
    }
}
