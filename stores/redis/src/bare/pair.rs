//! Bare pairs: `SET NX PX`, then a script that compares and deletes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "rslock")]
use redis::ProtocolVersion;
use redis::{Cmd, Value};
use tenure_core::{HolderId, Key, StoreError, StoreErrorKind, Token, Ttl};

use super::wire::Wire;
use super::{failed, unexpected};
use crate::lease::{Wording, pair_of_calls, pair_of_texts};
#[cfg(feature = "rslock")]
use crate::link::Dial;
use crate::link::Script;
use crate::options::{RedisOptions, Servers};

static RELEASE: Script = Script::new(
    "compare and delete",
    &["if redis.call('GET', KEYS[1]) == ARGV[1] then \
     return redis.call('DEL', KEYS[1]) end return 0"],
);
const TTL_MS: u32 = 30_000;

/// Takes and gives back a key, as any client without a library would.
#[derive(Clone)]
pub struct BarePairs {
    wire: Wire,
}

impl BarePairs {
    /// Connects as a store with these options would.
    ///
    /// # Errors
    /// What the servers said.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        let mut wire = Wire::connect(options).await?;
        let doing = "load a script";
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(RELEASE.text()).clone();
        wire.run(&load, |answer| !matches!(answer, Value::ServerError(_)))
            .await
            .map_err(failed(doing))?;
        Ok(Self { wire })
    }

    /// One pair: two round trips.
    ///
    /// # Errors
    /// What the servers said, or that the key was not free.
    pub async fn pair(&mut self, key: &str) -> Result<(), StoreError> {
        let token = Token::random().to_string();
        let mut set = Cmd::with_capacity(6, 128);
        set.arg("SET")
            .arg(key)
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(TTL_MS);
        let doing = "set a bare key";
        match self.wire.run(&set, is_okay).await.map_err(failed(doing))? {
            Value::Okay => {}
            other => return Err(unexpected(doing, &other)),
        }
        let release = RELEASE.call(1).arg(key).arg(&token);
        let doing = "delete a bare key";
        let gone = self.wire.run(release.cmd(), is_one).await;
        match gone.map_err(failed(doing))? {
            Value::Int(1) => Ok(()),
            other => Err(unexpected(doing, &other)),
        }
    }
}

/// The store's own scripts, called without the library: the same requests, and nothing around them.
#[derive(Clone)]
pub struct RawPairs {
    wire: Wire,
    wording: Arc<Wording>,
    terms: (HolderId, Ttl),
    /// The latest lock, made of its name once.
    key: Option<Key>,
}

impl RawPairs {
    /// Connects as a store with these options would.
    ///
    /// # Errors
    /// What the servers said; that a quorum has other scripts.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        if matches!(options.servers, Servers::Quorum(_)) {
            let message = "a quorum runs other scripts";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let ttl = Ttl::new(Duration::from_secs(10))
            .map_err(|error| StoreError::new(StoreErrorKind::InvalidRequest, error.to_string()))?;
        let mut wire = Wire::connect(options).await?;
        for text in pair_of_texts() {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(text);
            let loaded = wire.run(&load, |_| true).await;
            loaded.map_err(failed("load a script"))?;
        }
        Ok(Self {
            wire,
            wording: Arc::new(Wording::new(
                options,
                format!("ptenure:c:{}", Token::random()),
            )),
            terms: (HolderId::random(), ttl),
            key: None,
        })
    }

    /// One pair: two round trips.
    ///
    /// # Errors
    /// What the servers said, or that the key was not free.
    pub async fn pair(&mut self, name: &str) -> Result<(), StoreError> {
        let key = match self.key.take() {
            Some(key) if key.as_bytes() == name.as_bytes() => key,
            _ => Key::new(name).map_err(|error| {
                StoreError::new(StoreErrorKind::InvalidRequest, error.to_string())
            })?,
        };
        let [acquire, release] = &pair_of_calls(&self.wording, &key, self.terms);
        self.key = Some(key);
        let answer = self.wire.run(acquire.cmd(), |_| true).await;
        match answer.map_err(failed(acquire.doing))? {
            Value::BulkString(fence) if fence.len() == 16 => {}
            Value::Array(parts) if is_text(parts.first(), b"granted") => {}
            other => return Err(unexpected(acquire.doing, &other)),
        }
        self.wording.prove();
        let answer = self.wire.run(release.cmd(), |_| true).await;
        match answer.map_err(failed(release.doing))? {
            answer if is_text(Some(&answer), b"freed") => Ok(()),
            other => Err(unexpected(release.doing, &other)),
        }
    }
}

impl fmt::Debug for RawPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPairs").finish_non_exhaustive()
    }
}

fn is_text(value: Option<&Value>, text: &[u8]) -> bool {
    matches!(value, Some(Value::BulkString(bytes)) if bytes == text)
}

fn is_okay(answer: &Value) -> bool {
    matches!(answer, Value::Okay)
}

fn is_one(answer: &Value) -> bool {
    matches!(answer, Value::Int(1))
}

impl fmt::Debug for BarePairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarePairs").finish_non_exhaustive()
    }
}

/// The same pairs through the crate `rslock`, on a connection of the same driver.
#[cfg(feature = "rslock")]
#[derive(Clone)]
pub struct RslockPairs {
    manager: rslock::LockManager,
}

#[cfg(feature = "rslock")]
impl RslockPairs {
    /// For the one server of these options, which it connects to as the store does.
    ///
    /// # Errors
    /// That it is measured on one server only, or that the options cannot work.
    pub fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        let of = |kind, message: String| StoreError::new(kind, message);
        let dial = Dial::new(options, ProtocolVersion::RESP3)
            .map_err(|error| of(StoreErrorKind::Misconfigured, error.to_string()))?;
        let Dial::Fixed(client, _) = dial else {
            let message = "rslock is measured on one server only".to_owned();
            return Err(of(StoreErrorKind::Unsupported, message));
        };
        let manager = rslock::LockManager::from_clients(vec![*client]);
        Ok(Self { manager })
    }

    /// One pair.
    ///
    /// # Errors
    /// What the crate said.
    pub async fn pair(&self, key: &str) -> Result<(), StoreError> {
        let ttl = std::time::Duration::from_millis(u64::from(TTL_MS));
        let lock = self.manager.lock(key.as_bytes(), ttl).await;
        let lock = lock.map_err(|error| {
            let message = format!("rslock: {error}");
            StoreError::new(StoreErrorKind::Unavailable, message)
        })?;
        self.manager.unlock(&lock).await;
        Ok(())
    }
}

#[cfg(feature = "rslock")]
impl fmt::Debug for RslockPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RslockPairs").finish_non_exhaustive()
    }
}
