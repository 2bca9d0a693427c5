//! Distributed locks and scheduled tasks: one front door for every store.
//!
//! A lock in three lines:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let url = "memory:";
//! let locks = tenure::connect(url).await?.locks(); // "sqlite:locks.db" for several processes
//! let guard = locks.lock("invoice/42").acquire().await?; // waits its turn, renews itself
//! println!("pass {} to whatever the lock protects", guard.fence());
//! # guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A task in five:
//!
//! ```
//! use tenure::{MemoryLockManager, Task, TaskContext, TaskScheduling};
//! # use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = TaskScheduling::builder("my application")
//!     .manager(MemoryLockManager::new()) // or SqliteLockManager::open("tasks.db").await?
//!     .task(Task::new("rates").schedule("*/30 * * * * *").run(fetch_rates))
//!     .start() // every configuration error at once
//!     .await?;
//! tasks.drain(Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//!
//! async fn fetch_rates(context: TaskContext<&'static str>) {
//!     println!("{} fetches the rates of {}", context.application(), context.tick());
//! }
//! ```
//!
//! # What it promises
//! A key has at most one trusted holder while the store keeps what it acknowledged and clock
//! *rates* differ by less than one in a hundred. Each (task, tick, index) is claimed at most once
//! while the store keeps what it acknowledged, whatever the nodes' clocks say.
//!
//! # What it does not
//! A holder that was paused can still write late. The fence is what stops it, where the data is.
//! A run that was claimed and whose process dies is reported as lost and not repeated, unless its
//! task says so.
//!
//! # Stores
//! | URL | feature, all default | reaches | survives |
//! | --- | --- | --- | --- |
//! | `sqlite:PATH` | `sqlite` | processes of one machine | the death of any process |
//! | `sqlite:PATH?synchronous=full` | `sqlite` | processes of one machine | also a power cut |
//! | `redis://HOST`, `redis+sentinel://…`, … | `redis` | who reaches it | what it keeps |
//! | `memory:` | `memory` | one process | nothing |
//!
//! Features only add stores. The parts stand in modules of their own: [`lock`], [`tasks`],
//! [`schedule`] and [`core`], which holds the contract a store fulfils.

mod connect;
#[cfg(doctest)]
mod guide;
#[cfg(any(feature = "otel", feature = "webhook"))]
mod http;
#[cfg(any(feature = "memory", feature = "sqlite", feature = "redis"))]
mod managers;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(feature = "webhook")]
mod webhook;

pub use connect::{ConnectError, Tenure, check_url, connect, connect_existing};
#[cfg(feature = "memory")]
pub use managers::MemoryLockManager;
#[cfg(feature = "sqlite")]
pub use managers::SqliteLockManager;
#[cfg(feature = "redis")]
pub use managers::{InvalidTaskLock, RedisLockConfig, RedisLockManager, RedisTaskLock, Secret};
pub use tenure_core as core;
pub use tenure_core::{Fence, Key, OnCrash, Overlap, Timestamp};
#[cfg(feature = "dashboard")]
pub use tenure_dashboard as dashboard;
pub use tenure_lock as lock;
pub use tenure_lock::{AcquireError, Guard, GuardSet, Locks, LossReason};
#[cfg(feature = "memory")]
pub use tenure_memory::MemoryStore;
#[cfg(feature = "redis")]
pub use tenure_redis::{
    Diagnosis, Finding, QuorumStore, RedisOptions, RedisStore, Safety, Severity,
};
pub use tenure_schedule as schedule;
pub use tenure_schedule::{Schedule, Zone};
#[cfg(feature = "sqlite")]
pub use tenure_sqlite::{SqliteOptions, SqliteStore, Synchronous};
pub use tenure_tasks as tasks;
pub use tenure_tasks::{
    CatchUp, Retry, Task, TaskContext, TaskFailure, TaskLock, TaskLockManager, TaskManager,
    TaskReport, TaskScheduling,
};
#[cfg(feature = "webhook")]
pub use webhook::{InvalidWebhook, Webhook};
