//! Distributed locks over any tenure store: lock, guard, renewal, waiting, loss.

mod attempt;
mod cleanup;
mod error;
mod guard;
mod home;
mod key;
mod lease;
mod lock;
mod locks;
mod loss;
mod options;
mod renewal;
mod set;
mod timing;
mod trust;
mod wait;

pub use error::{AcquireError, AdminError, ExtendError, ReleaseError, RunError};
pub use guard::{Guard, GuardView, LossWatch, Released, SharedGuard};
pub use key::IntoKey;
pub use lock::Lock;
pub use locks::Locks;
pub use loss::{LossReason, Lost};
pub use options::{InvalidOptions, LockOptions};
pub use set::{GuardSet, LockSet};
