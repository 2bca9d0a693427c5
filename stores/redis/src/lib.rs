//! The Redis and Valkey tenure store: leases handed on by push, runs claimed in batches.

#[cfg(feature = "bare")]
#[doc(hidden)]
pub mod bare;
mod doctor;
mod ears;
mod error;
mod interop;
mod lease;
mod link;
mod meeting;
mod options;
mod quorum;
mod reply;
mod rights;
mod run;
mod safety;
mod slots;
mod store;
mod url;

pub use doctor::{Diagnosis, Finding, Severity};
pub use error::OptionsError;
pub use options::RedisOptions;
pub use quorum::QuorumStore;
pub use safety::Safety;
pub use store::RedisStore;
