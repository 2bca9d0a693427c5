//! Distributed locks over any tenure store: one holder at a time, that knows until when it is one.
//!
//! ```
//! # use std::sync::Arc;
//! # use tenure_core::Holder;
//! # use tenure_lock::Locks;
//! # use tenure_memory::MemoryStore;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let locks = Locks::new(Arc::new(MemoryStore::new()), Holder::new("billing"));
//!
//! let guard = locks.lock("invoice/42").acquire().await?; // waits its turn, renews itself
//! println!("write with fence {}", guard.fence()); // the resource refuses smaller fences
//! guard.ensure_trusted()?; // compares a clock, asks nobody
//! guard.release().await?;
//!
//! if let Some(guard) = locks.lock("report").try_acquire().await? {
//!     println!("{:?} left", guard.remaining());
//! }
//! let both = locks.all(["a", "b"]).acquire().await?; // all or nothing
//! let reader = locks.rw("prices").read().await?; // beside other readers
//! let permit = locks.semaphore("uploads", 5).acquire().await?; // one of five
//! # drop((both, reader, permit));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - **While [`is_trusted`](GuardView::is_trusted) says so, nobody else holds the key** (or, of a
//!   lock that is shared, nobody whom it was not to be shared with), as long as
//!   the store keeps what it answered and clock rates differ by less than one in a hundred. Trust
//!   ends at `asked_at + ttl − 1 % − 2 ms`, where `asked_at` was read before the request left, from
//!   a clock that counts while the machine is suspended.
//! - **[`lost`](GuardView::lost) resolves no later than trust ends**, whatever the store does, as
//!   soon as the runtime gets to run.
//! - **Fences of one key only grow**, so a resource that refuses smaller ones is safe from a holder
//!   that was paused.
//! - **Nothing is left of a call that was dropped or gave up**: neither a lease nor a place in the
//!   queue, as soon as the store can be reached, and after one ttl at the latest.
//! - **A limited wait is not overshot**, and a single attempt is a single request.
//! - **Dropping never blocks**: guards can be dropped anywhere. What could not be given back is
//!   counted by [`Locks::abandoned`].
//!
//! # What it does not promise
//! - That a holder stops in time. A process that is paused between the question and the write
//!   writes late; only the fence, checked by the resource, keeps it out. [`FenceGate`] is that
//!   check in memory, [`SQL_ADMIT`] in a database, [`REDIS_ADMIT`] in Redis.
//! - More than the store does: see [`LeasePromises`](tenure_core::LeasePromises) for what it
//!   forgets, and in which order it serves waiters.
//! - Renewal while the program blocks its runtime, unless [`Locks::renew_on_own_thread`] is used.
//! - That a wake-up arrives. A lost message costs waiting time, up to the end of the
//!   lease or five seconds, never correctness.
//!
//! ## Why is there no re-entrant lock?
//! A thread or a task says nothing about who relies on a lock: work moves between threads, and one
//! thread serves many. A lock that lets "the same thread" in again lets in whatever happens to run
//! there. Code that runs under a lock is given a share of its guard instead, by [`Guard::share`]:
//! the lock is given back when the last share is gone, and everybody who relies on it can be seen.
//!
//! # Where things are
//! [`Locks`] makes a [`Lock`] or a [`LockSet`]; acquiring one makes a [`Guard`] or a [`GuardSet`].
//! An [`RwLock`] and a [`Semaphore`] are locks that several may hold at once.
//! Waiting, renewing and giving back are done once, here, over the contract
//! [`LeaseStore`](tenure_core::LeaseStore). Who wins is never decided here, and no store is known
//! by name.

mod attempt;
mod cleanup;
mod error;
mod event;
mod gate;
mod guard;
mod home;
mod key;
mod lease;
mod lock;
mod locks;
mod loss;
#[cfg(feature = "metrics")]
mod metrics;
mod mutex;
mod options;
mod renewal;
mod set;
mod shared;
mod timing;
mod tokens;
mod trust;
mod wait;

pub use error::{AcquireError, AdminError, ExtendError, ReleaseError, RunError};
pub use event::{GrantedBy, LockEvent, NotAcquired, ReleaseResult, RenewalResult};
pub use gate::{FenceGate, REDIS_ADMIT, Refused, SQL_ADMIT, SQL_TABLE, Stamp};
pub use guard::{Guard, GuardView, LossWatch, Released, SharedGuard};
pub use key::IntoKey;
pub use lock::Lock;
pub use locks::Locks;
pub use loss::{LossReason, Lost};
#[cfg(feature = "metrics")]
pub use metrics::LockMetrics;
pub use options::{InvalidOptions, LockOptions};
pub use set::{GuardSet, LockSet};
pub use shared::{Permit, ReadGuard, RwLock, Semaphore, WriteGuard};
