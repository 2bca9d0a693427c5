//! A bare hand-off: a list of waiters, a script that gives the key to the first, and a push.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tenure_core::{StoreError, StoreErrorKind, Token};
use tokio::sync::oneshot;

use super::wire::dial;
use super::{failed, unexpected};
use crate::link::Script;
use crate::options::{RedisOptions, Servers};

static ACQUIRE: Script = Script::new(
    "wait in a bare line",
    &[include_str!("../scripts/bare_acquire.lua")],
);
static RELEASE: Script = Script::new(
    "hand on a bare key",
    &[include_str!("../scripts/bare_release.lua")],
);
const TTL_MS: u32 = 30_000;

type Waiting = Arc<Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>>;

/// Waits in line without a library: no fence, no renewal, and whoever dies stops the line.
#[derive(Clone)]
pub struct BareLine {
    connection: MultiplexedConnection,
    channel: Arc<str>,
    waiting: Waiting,
}

impl BareLine {
    /// Connects as a store with these options would, and listens on a channel of its own.
    ///
    /// # Errors
    /// What the server said; that a cluster or a quorum is not measured so.
    pub async fn connect(options: &RedisOptions, name: &str) -> Result<Self, StoreError> {
        if matches!(options.servers, Servers::Cluster(_) | Servers::Quorum(_)) {
            let message = "a bare line is measured on one server only";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let waiting = Waiting::default();
        let heard = waiting.clone();
        let hear = move |push: PushInfo| {
            if let (PushKind::Message, [_, Value::BulkString(token), ..]) =
                (&push.kind, push.data.as_slice())
                && let Some(waiter) = locked(&heard).remove(token)
            {
                let _ = waiter.send(());
            }
            Ok(())
        };
        let mut connection = dial(options, hear).await?;
        let channel: Arc<str> = format!("{name}:{}", Token::random()).into();
        connection
            .subscribe(&*channel)
            .await
            .map_err(failed("listen on a bare channel"))?;
        for script in [&ACQUIRE, &RELEASE] {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.text());
            let loaded = connection.send_packed_command(&load).await;
            loaded.map_err(failed("load a script"))?;
        }
        Ok(Self {
            connection,
            channel,
            waiting,
        })
    }

    /// Takes the key, waiting in line, and says under which token.
    ///
    /// # Errors
    /// What the server said.
    pub async fn acquire(&mut self, key: &str) -> Result<String, StoreError> {
        let token = Token::random().to_string();
        let (sender, turn) = oneshot::channel();
        locked(&self.waiting).insert(token.clone().into_bytes(), sender);
        let call = ACQUIRE
            .call(2)
            .arg(key)
            .arg(format!("{key}:q"))
            .arg(&token)
            .arg(TTL_MS)
            .arg(&*self.channel);
        let answer = self.connection.send_packed_command(call.cmd()).await;
        let answer = answer.and_then(Value::extract_error);
        match answer.map_err(failed(ACQUIRE.doing))? {
            Value::Int(1) => {
                locked(&self.waiting).remove(token.as_bytes());
            }
            Value::Int(0) => turn.await.map_err(|_| {
                let message = "a bare line: the connection broke";
                StoreError::new(StoreErrorKind::Unavailable, message)
            })?,
            other => return Err(unexpected(ACQUIRE.doing, &other)),
        }
        Ok(token)
    }

    /// Gives the key to the next in line.
    ///
    /// # Errors
    /// What the server said.
    pub async fn release(&mut self, key: &str, token: &str) -> Result<(), StoreError> {
        let call = RELEASE
            .call(2)
            .arg(key)
            .arg(format!("{key}:q"))
            .arg(token)
            .arg(TTL_MS);
        let answer = self.connection.send_packed_command(call.cmd()).await;
        match answer
            .and_then(Value::extract_error)
            .map_err(failed(RELEASE.doing))?
        {
            Value::Int(1) => Ok(()),
            other => Err(unexpected(RELEASE.doing, &other)),
        }
    }
}

/// A panic elsewhere leaves the map whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for BareLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareLine").finish_non_exhaustive()
    }
}
