//! The SQLite tenure store: several processes on one machine, nothing to install.
//!
//! ```no_run
//! use tenure_sqlite::{SqliteOptions, SqliteStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteStore::open(SqliteOptions::new("/var/lib/app/tenure.db"))?;
//! let same = SqliteStore::open(SqliteOptions::from_url("sqlite:/var/lib/app/tenure.db")?)?;
//! # drop((store, same));
//! # Ok(())
//! # }
//! ```
//!
//! [`SqliteStore`] keeps leases and runs in one file that any number of processes of one machine
//! may open. What it promises, how long a hand-off takes and what it does not survive stands in
//! this crate's README and, as data, in its promises.

mod bell;
mod beside;
mod checked;
mod clock;
mod column;
mod error;
mod gate;
mod lease;
mod migrations;
mod options;
mod place;
#[cfg(test)]
mod plan;
mod queue;
#[cfg(test)]
mod rows;
mod run;
mod schema;
mod step;
mod store;
mod watch;
mod worker;

pub use error::{NoStore, OptionsError};
pub use options::{SqliteOptions, Synchronous};
pub use store::SqliteStore;
