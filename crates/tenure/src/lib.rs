//! Distributed locks and scheduled tasks: one front door for every store.

mod connect;

pub use connect::{ConnectError, Tenure, connect};
pub use tenure_core as core;
pub use tenure_lock as lock;
pub use tenure_schedule as schedule;
