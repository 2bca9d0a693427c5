//! Words and contracts of tenure: what a lease is, what a run is, and what a store must promise.
//!
//! A store keeps two kinds of facts, each changed in one atomic step and judged by the store's own
//! clock: *leases* ([`LeaseStore`]: who holds a key, until when, with which fence) and *runs*
//! ([`RunStore`]: who claimed which tick of which task, and what became of it). Locks, tasks, the
//! program and the dashboard are built once, on these two traits.
//!
//! ```
//! use std::time::Duration;
//! use tenure_core::{Holder, Key, LeaseRequest, Ttl};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key::new("invoice/42")?;
//! let ttl = Ttl::new(Duration::from_secs(10))?;
//! let request = LeaseRequest::new(key, Holder::new("billing"), ttl);
//! assert_eq!(request.ttl.as_millis(), 10_000);
//! # Ok(())
//! # }
//! ```
//!
//! This crate knows no store, no lock and no schedule. It promises that its traits stay object-safe
//! and that no client library's type appears in them. It does not wait, retry or renew: that is
//! comfort, and lives above the contract, once, for all stores.

mod clock;
mod duration;
mod error;
mod fence;
mod holder;
mod key;
mod lease;
mod promises;
mod run;
mod text;
mod time;
mod token;
mod wake;

pub use clock::{Clock, ManualClock, SystemClock};
pub use duration::{InvalidDuration, about_duration, format_duration, parse_duration};
pub use error::{StoreError, StoreErrorKind};
pub use fence::Fence;
pub use holder::{Holder, HolderId};
pub use key::{InvalidKey, Key};
pub use lease::{
    Acquisition, Cancellation, ForceRequest, Forced, Grant, Held, InvalidTtl, LeasePage,
    LeaseRequest, LeaseStore, LeaseView, ListQuery, Mark, Occupant, Place, Release, RenewRequest,
    Renewal, Sharer, Sharing, Ttl, Waiter, Waiting,
};
pub use promises::{
    Durability, EventDetail, Fences, HandOff, LeasePromises, Order, RunPromises, Scope,
    SharedLeases, StoreClock, Ties,
};
pub use run::{
    Abilities, Ability, Admission, AttemptRecord, Backfill, BackfillState, Beat, Beaten, Cancel,
    Cancelling, Claim, ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Crowd, Cursor,
    DEFAULT_NAMESPACE, Definition, Ended, Enqueue, Enqueued, Event, EventKind, EventPage, Finish,
    Finished, Generation, HistoryPage, HistoryQuery, InvalidName, Kept, MaxRunning, NodeRecord,
    Note, OnChange, OnCrash, Outcome, Overlap, Pass, Pause, Prune, Recovered, RecoveredRun,
    Recovery, Refusal, Registered, Remembered, RequestId, Restore, Restored, RunKey, RunKind,
    RunRecord, RunRef, RunState, RunStore, Seen, Start, StartMode, Started, StoreMoment, Take,
    TaskName, TaskRecord, TaskRoom,
};
pub use text::visible;
pub use time::{Moment, Timestamp};
pub use token::Token;
pub use wake::{Wake, WakeRegistry, Wakes};
