//! A named lock component: configured by keys, found by descriptors, on Redis, in memory or none.
//!
//! For programs that are put together from components, and for fleets in which services in other
//! languages use the lock component of Pip.Services on the same Redis: names, configuration keys
//! and what stands in the server are the same. Other programs use `tenure` itself, whose guards
//! renew themselves and have fencing tokens.
//!
//! ```
//! use std::time::Duration;
//! use tenure_component::{ConfigParams, Context, Factory, Lock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `*:lock:redis:*:1.0` is the same on Redis; this one locks within the process.
//! let lock = Factory::default().create::<dyn Lock>(&"*:lock:memory:*:1.0".parse()?)?;
//! lock.configure(&ConfigParams::from_string(
//!     "connection.host=localhost; connection.port=6379; options.retry_timeout=50",
//! )?)?;
//! let context = Context::from_trace_id("4bf92f35");
//! let context = Some(&context);
//! lock.open(context).await?;
//!
//! let (ttl, timeout) = (Duration::from_secs(30), Duration::from_secs(5));
//! lock.acquire_lock(context, "invoice/42", ttl, timeout).await?;
//! assert!(!lock.try_acquire_lock(context, "invoice/42", ttl).await?);
//! lock.release_lock(context, "invoice/42").await?;
//!
//! lock.close(context).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - **One holder**: while a lock's ttl runs, nobody else gets it, as far as its store keeps what
//!   it answered; clients of the origin on the same key included.
//! - **No release frees a newer acquisition**: each acquisition has a token of its own. What that
//!   means for releases that only name a key is told at [`Lock`].
//! - **Waiting is a queue and no poll** where the store has one: in order, and woken by the
//!   release. `options.retry_timeout` bounds how long a waiter stays silent where it has none.
//! - **Every configuration key counts**; one that nothing reads is a warning with the key that was
//!   probably meant, and a value that cannot work is an error and not the default. See
//!   [`RedisLock`] for the keys.
//! - **One round trip** for an attempt and for a release; releases of one component may run side by
//!   side.
//! - **Errors have codes** ([`Code`]), a category, the key and the trace id of the call; log lines
//!   written during the call carry the trace id in their span.
//! - **No secret is shown**, by `Debug`, errors or log lines, and those kept here are wiped from
//!   memory when dropped.
//!
//! # What it does not promise
//! - Renewal, fencing, or word of a lost lock: the contract of a lock by name has no room for them.
//!   Work that must not run twice even when a process is paused needs the fences of `tenure-lock`.
//! - Configuration that is applied while the component is open; it counts from the next opening.
//!
//! # Coming from the origin
//! - A number in the configuration that cannot be read was replaced by its default; here it is an
//!   error.
//! - `release_lock` was three requests, and could free what somebody else had just acquired; it is
//!   one, and cannot.
//! - `username`, `retries`, `timeout` and `uri` are honoured; `host` and `port` without a section
//!   too.
//! - A ttl is at least 50 ms and at most 24 h.
//!
//! # Where things are
//! [`Lock`] and [`Component`] are what a program calls; [`RedisLock`], [`MemoryLock`], [`NullLock`]
//! and [`StoreLock`] do it. [`ConfigParams`] is what they are configured with, [`References`] where
//! they find a [`Discovery`] and a [`CredentialStore`], [`Factory`] what makes them.
//!
//! # Features
//! - `redis` (default): [`RedisLock`] can connect. For TLS the program installs a crypto provider
//!   of `rustls`.
//! - `dns`: `DnsDiscovery`, which finds servers by their service records.

mod config;
mod connect;
mod context;
mod credential;
mod descriptor;
mod error;
mod factory;
mod lock;
mod memory_lock;
mod nearest;
mod null_lock;
mod options;
mod redis;
mod references;
mod store_lock;

pub use config::{ConfigError, ConfigParams};
#[cfg(feature = "dns")]
pub use connect::DnsDiscovery;
pub use connect::{
    ConnectionParams, ConnectionResolver, Discovery, EnvironmentDiscovery, MemoryDiscovery,
};
pub use context::Context;
pub use credential::{
    CredentialParams, CredentialResolver, CredentialStore, EnvironmentCredentialStore,
    FileCredentialStore, MemoryCredentialStore, MountedCredentialStore,
};
pub use descriptor::{Descriptor, InvalidDescriptor};
pub use error::{Category, Code, ComponentError};
pub use factory::Factory;
pub use lock::{Component, Lock};
pub use memory_lock::MemoryLock;
pub use null_lock::NullLock;
pub use redis::{Connect, RedisLock};
pub use references::References;
pub use store_lock::StoreLock;
