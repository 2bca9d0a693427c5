//! The least that a client can do on the same servers, to measure the store beside it.
//!
//! For `tenure bench`. Connections are made exactly as the store makes its own: same driver, same
//! protocol, same socket settings. What runs on them is what nobody could do without: no fences, no
//! renewal, no deadlines, no answer to any failure but an error. Nothing here is for a program that
//! wants a lock.

mod claims;
mod line;
mod pair;
mod wire;

use redis::Value;
use tenure_core::{HolderId, StoreError, StoreErrorKind};

pub use self::claims::BareClaims;
pub use self::line::BareLine;
#[cfg(feature = "rslock")]
pub use self::pair::RslockPairs;
pub use self::pair::{BarePairs, RawPairs};
use crate::error::store_error;
use crate::lease::{People, escaped};
use crate::link::{Call, Node};
use crate::options::{RedisOptions, Servers};
use crate::reply::{Reply, bytes_of};
use crate::store::RedisStore;

/// How many names the server looks at in one step.
const STRIDE: u32 = 1000;

/// How many scripts the server has run, by its own statistics, whoever asked for them.
///
/// # Errors
/// What the server said, such as that the user may not see statistics.
pub async fn scripts_run(store: &RedisStore) -> Result<u64, StoreError> {
    let doing = "read the server's statistics";
    let mut sum = 0;
    for node in store.shared.link.nodes().await? {
        let call = Call::command(doing, "INFO").arg("commandstats");
        let text = crate::reply::text_of(doing, store.shared.link.run_at(&node, call).await?)?;
        for line in text.lines() {
            let calls = ["evalsha", "eval", "fcall"].iter().find_map(|name| {
                let rest = line.strip_prefix("cmdstat_")?.strip_prefix(name)?;
                let calls = rest.strip_prefix(":calls=")?.split(',').next()?;
                calls.parse::<u64>().ok()
            });
            sum += calls.unwrap_or(0);
        }
    }
    Ok(sum)
}

/// How many commands the server has executed, by its own statistics: those of scripts too.
///
/// # Errors
/// As [`scripts_run`].
pub async fn commands_run(store: &RedisStore) -> Result<u64, StoreError> {
    let doing = "read the server's statistics";
    let mut sum = 0;
    for node in store.shared.link.nodes().await? {
        let call = Call::command(doing, "INFO").arg("commandstats");
        let text = crate::reply::text_of(doing, store.shared.link.run_at(&node, call).await?)?;
        let calls = text.lines().filter_map(|line| {
            let calls = line.split_once(":calls=")?.1.split(',').next()?;
            calls.parse::<u64>().ok()
        });
        sum += calls.sum::<u64>();
    }
    Ok(sum)
}

/// How much processor time the servers have used, in seconds.
///
/// # Errors
/// As [`scripts_run`].
pub async fn server_seconds(store: &RedisStore) -> Result<f64, StoreError> {
    let doing = "read the server's statistics";
    let mut sum = 0.0;
    for node in store.shared.link.nodes().await? {
        let call = Call::command(doing, "INFO").arg("cpu");
        let text = crate::reply::text_of(doing, store.shared.link.run_at(&node, call).await?)?;
        for name in ["used_cpu_sys:", "used_cpu_user:"] {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            sum += line
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// What the server calls itself, such as `redis 7.0.15`.
///
/// # Errors
/// As [`scripts_run`].
pub async fn server_version(store: &RedisStore) -> Result<String, StoreError> {
    let doing = "ask for the server's version";
    let call = Call::command(doing, "INFO").arg("server");
    // Of one of them: a cluster would answer for every node at once.
    let nodes = store.shared.link.nodes().await?;
    let node = nodes.first().unwrap_or(&Node::Only);
    let text = crate::reply::text_of(doing, store.shared.link.run_at(node, call).await?)?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    Ok(match (value("valkey_version:"), value("redis_version:")) {
        (Some(version), _) => format!("valkey {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "unknown".to_owned(),
    })
}

/// Removes every key whose name begins with one of `prefixes`, what is kept beside a lock of such a
/// name, and what is known of `holders`. Says how many keys went.
///
/// # Errors
/// What the server said.
pub async fn remove(
    store: &RedisStore,
    prefixes: &[String],
    holders: &[HolderId],
) -> Result<u64, StoreError> {
    let mut names: Vec<Vec<u8>> = holders
        .iter()
        .map(|id| People::name_of(*id).into_bytes())
        .collect();
    for prefix in prefixes {
        let prefix = escaped(prefix.as_bytes());
        // What begins so, and what is kept beside a lock that does: its queue, its waiters.
        let patterns = [
            [&prefix[..], b"*"].concat(),
            [b"tenure:{*}:?:", &prefix[..], b"*"].concat(),
        ];
        for node in store.shared.link.nodes().await? {
            for pattern in &patterns {
                names.extend(scan(store, &node, pattern).await?);
            }
        }
    }
    let doing = "remove a key of the benchmark";
    let mut gone = 0;
    for some in names.chunks(256) {
        let calls = some
            .iter()
            .map(|name| Call::command(doing, "UNLINK").arg(name));
        for answer in store.shared.link.run_all(calls.collect()).await {
            if let Value::Int(count) = answer? {
                gone += u64::try_from(count).unwrap_or(0);
            }
        }
    }
    Ok(gone)
}

async fn scan(store: &RedisStore, node: &Node, pattern: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    let doing = "find the keys of the benchmark";
    let mut found = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let call = Call::command(doing, "SCAN")
            .arg(&cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(STRIDE);
        let mut reply = Reply::new(doing, store.shared.link.run_at(node, call).await?)?;
        cursor = reply.text()?;
        for name in reply.nested()?.rest() {
            found.push(bytes_of(doing, name)?);
        }
        if cursor == "0" {
            return Ok(found);
        }
    }
}

fn unexpected(doing: &'static str, value: &Value) -> StoreError {
    let message = format!("{doing}: an answer that nobody expects: {value:?}");
    StoreError::new(StoreErrorKind::Protocol, message)
}

fn failed(doing: &'static str) -> impl Fn(redis::RedisError) -> StoreError {
    move |error| store_error(doing, "the bare connection", error)
}

/// What stands before every lock's name.
#[must_use]
pub fn prefix(options: &RedisOptions) -> &str {
    &options.prefix
}

/// How many servers decide.
#[must_use]
pub fn server_count(options: &RedisOptions) -> usize {
    match &options.servers {
        Servers::Quorum(nodes) => nodes.len(),
        _ => 1,
    }
}

/// As [`remove`], from each of the independent servers of `options`.
///
/// # Errors
/// What a server said.
pub async fn remove_everywhere(
    options: &RedisOptions,
    prefixes: &[String],
    holders: &[HolderId],
) -> Result<u64, StoreError> {
    let mut gone = 0;
    if let Servers::Quorum(nodes) = &options.servers {
        for node in nodes {
            let mut one = options.clone();
            one.servers = Servers::One(node.clone());
            let store = RedisStore::with(one).await?;
            gone += remove(&store, prefixes, holders).await?;
        }
    }
    Ok(gone)
}
