//! The in-memory tenure store: one process, nothing to install, and the model for all other stores.
//!
//! ```
//! use std::time::Duration;
//! use tenure_core::{Acquisition, Holder, Key, LeaseRequest, LeaseStore, Ttl};
//! use tenure_memory::MemoryStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let ttl = Ttl::new(Duration::from_secs(10))?;
//! let request = LeaseRequest::new(Key::new("invoice/42")?, Holder::new("billing"), ttl);
//! assert!(matches!(store.acquire(&request).await?, Acquisition::Granted(_)));
//! # Ok(())
//! # }
//! ```
//!
//! Both contracts stand behind one mutex each, over plain maps, so that what they do can be read
//! off the code. It promises nothing beyond the life of the process: clones of a [`MemoryStore`]
//! share their facts, a new one begins empty. For several processes use another store.

mod error;
mod lease;
mod options;
mod raw;
mod run;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_core::{Clock, Moment, SystemClock, Timestamp, WakeRegistry};

pub use options::{InvalidUrl, MemoryOptions};
pub use raw::RunMemory;

/// A store in this process's memory. Clones share their facts.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// The wall clock when the store was made, and the steady clock at that moment.
    made_at: (Timestamp, Moment),
    leases: Mutex<lease::Leases>,
    runs: Mutex<run::Runs>,
    waiters: WakeRegistry,
    runners: WakeRegistry,
}

impl MemoryStore {
    /// An empty store on the machine's clocks.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on another clock, for tests and simulations.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let made_at = (clock.wall(), clock.now());
        Self {
            shared: Arc::new(Shared {
                clock,
                made_at,
                leases: Mutex::default(),
                runs: Mutex::default(),
                waiters: WakeRegistry::default(),
                runners: WakeRegistry::default(),
            }),
        }
    }

    /// The clock of leases: the wall clock at the store's making, carried on by the steady clock,
    /// so that a step of the wall clock ends no lease.
    fn lease_now(&self) -> Timestamp {
        let (wall, steady) = self.shared.made_at;
        wall + self.shared.clock.now().since(steady)
    }

    /// The clocks of runs: the wall clock, because ticks are wall time, and for the leases of nodes
    /// the clock of leases.
    fn run_now(&self) -> run::Now {
        run::Now {
            wall: self.shared.clock.wall(),
            steady: self.lease_now(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Every method restores what it changed before it can fail, so a poisoned lock still guards whole
/// facts.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
