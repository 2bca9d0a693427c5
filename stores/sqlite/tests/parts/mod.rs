//! The parts of this test, and what they share.

mod child;
mod claims;
mod files;
mod leases;
mod locked;
mod loss;
mod older;
mod options;
mod processes;
mod records;
mod users;

use std::path::Path;
use std::time::Duration;

use tenure_core::{Holder, Key, LeaseRequest, Ttl};
use tenure_sqlite::{SqliteOptions, SqliteStore};

/// A request that lasts longer than any test.
fn request(key: &Key) -> LeaseRequest {
    let ttl = Ttl::new(Duration::from_secs(60)).unwrap();
    LeaseRequest::new(key.clone(), Holder::new("test"), ttl)
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions::new(path)).unwrap()
}

/// A connection past the store, as the `sqlite3` shell would make one.
fn raw(path: &Path) -> rusqlite::Connection {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.busy_timeout(Duration::from_secs(10)).unwrap();
    raw
}
