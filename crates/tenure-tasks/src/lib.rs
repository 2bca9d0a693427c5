//! Scheduled tasks that run exactly where and as often as they should across all replicas.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use tenure_core::RunStore;
//! use tenure_tasks::{Retry, StoreLockManager, Task, TaskContext, TaskScheduling};
//!
//! # async fn example(store: Arc<dyn RunStore>) -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = TaskScheduling::builder(())
//!     .manager(StoreLockManager::new(store))
//!     .task(
//!         Task::new("invoices")
//!             .schedule("0 2 L * *")
//!             .zone("Europe/Berlin")
//!             .retry(Retry::exponential(5))
//!             .run(|context: TaskContext<()>| async move {
//!                 println!("invoices of {}", context.tick());
//!             }),
//!     )
//!     .start()
//!     .await?;
//! tasks.drain(Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! Each (task, tick, index) is claimed by at most one node, for as long as the store keeps what it
//! acknowledged, whatever the nodes' clocks say. A claimed run that dies is reported as lost and
//! not repeated; with [`OnCrash::Retry`](tenure_core::OnCrash::Retry) it is run again until it ends
//! or its attempts are used up.
//! A tick that nobody could claim inside its catch-up window is recorded as missed by the first
//! node that comes back, never silently dropped.
//!
//! # What it does not
//! Effects are exactly once only if the code uses the fence or the run's identity
//! ([`TaskContext::fence`], [`TaskContext::run_id`]). Code that blocks its thread cannot be
//! stopped from outside. A manager that is no store ([`TaskManager`] written by hand) gets one
//! attempt for each run, and none of the history, recovery and catch-up.
//!
//! This crate knows no store by name and no cron syntax: it is given a
//! [`RunStore`](tenure_core::RunStore) and a [`Schedule`](tenure_schedule::Schedule).

mod alarm;
mod attempt;
mod causes;
mod check;
mod config_error;
mod context;
pub mod control;
mod due;
mod ends;
mod event;
#[cfg(any(feature = "metrics", feature = "otel"))]
mod figures;
mod hash;
mod keep;
mod limits;
mod manager;
#[cfg(feature = "metrics")]
mod metrics;
mod names;
mod of_function;
mod options;
#[cfg(feature = "otel")]
mod otel;
mod outcome;
mod output;
mod policy;
mod replacing;
mod runner;
mod running;
mod scheduling;
mod simple;
mod spec;
mod stop;
mod store_manager;
mod store_time;
pub mod story;
mod table;
mod task;
#[cfg(feature = "test")]
pub mod test;

pub use alarm::{Alarm, AlarmKind, AlarmRule, AlarmState, AlarmTarget, tells_alarms};
pub use config_error::{ConfigError, ConfigErrors, StartError};
pub use context::TaskContext;
pub use event::{DelayCause, Events, RunnerEvent, SkipCause, StoreCall};
pub use keep::{InvalidKeepRule, Keep, KeepRule};
pub use manager::{
    DEFAULT_MANAGER, RunAccess, TaskError, TaskExecutionToken, TaskLock, TaskLockManager,
    TaskManager,
};
#[cfg(feature = "metrics")]
pub use metrics::Metrics;
pub use names::name_fault;
pub use options::RunnerOptions;
#[cfg(feature = "otel")]
pub use otel::OtelMetrics;
pub use outcome::{IntoTaskResult, TaskFailure, TaskReport};
pub use policy::{Affinity, CatchUp, OnLeaseLoss, Retry};
pub use replacing::{ReplaceError, Replaced};
pub use running::{
    Drained, Health, Impairment, ImpairmentKind, ManagerHealth, ReloadFailure, RunningTasks,
};
pub use scheduling::TaskScheduling;
pub use spec::{TaskSpec, differs_in_zone_rules};
pub use stop::StopReason;
pub use store_manager::{StoreLockManager, StoreTaskLock};
pub use table::NextTick;
pub use task::{ScheduleSource, Task};
