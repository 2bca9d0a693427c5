//! The store itself: one file, a few threads, and the way from a call to its step.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tenure_core::{
    Durability, HandOff, Key, LeasePromises, Moment, Order, RunPromises, Scope, SharedLeases,
    StoreError, StoreErrorKind, Token, WakeRegistry, Wakes,
};
use tokio::sync::oneshot;

use crate::clock::StoreTime;
use crate::options::{SqliteOptions, Synchronous};
use crate::place;
use crate::queue::{Queue, Unwanted};
use crate::schema::{self, Opened};
use crate::step::{Fault, Step};
use crate::watch::{Watch, Watcher};
use crate::worker::{Common, Reader, Writer};

/// A store in a SQLite file that any number of processes of one machine may share.
///
/// Clones share one writing, one reading and two watching threads, which end with the last clone.
/// No call blocks the asynchronous runtime.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    common: Common,
    writes: Arc<Queue>,
    reads: Arc<Queue>,
    watch: Arc<Watch>,
    synchronous: Synchronous,
    /// How long a waiter may have to wait for the watcher's next look.
    poll: Duration,
    namespace: String,
}

/// What a waiter may lose on top of the poll to a busy machine: threads that wait for a processor,
/// and the writers ahead.
const NOTICE_MARGIN: Duration = Duration::from_millis(20);
/// Where the bell is heard, polling is only for bells that were lost.
const WITH_BELL: u32 = 5;

impl SqliteStore {
    /// Opens the file, making or upgrading it if need be;
    /// [`SqliteOptions::existing_only`] makes none.
    ///
    /// Blocks the calling thread while it does so, at most for the options' patience; inside an
    /// asynchronous runtime use [`SqliteStore::connect`].
    ///
    /// # Errors
    /// [`StoreError`] with the reason and what to do: the folder is missing, the file is no
    /// database, belongs to another program or to a newer version, lies on a network file system,
    /// may not be written, or is locked by another process.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let (ready, answer) = mpsc::sync_channel(1);
        start(options, move |store| {
            // The caller waits below, unless its thread is gone.
            let _ = ready.send(store);
        })?;
        answer.recv().unwrap_or_else(|_| Err(no_thread()))
    }

    /// Opens the file as [`SqliteStore::open`] does, without blocking the calling thread.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn connect(options: SqliteOptions) -> Result<Self, StoreError> {
        let (ready, answer) = oneshot::channel();
        start(options, move |store| {
            // A caller that went away wants no store.
            let _ = ready.send(store);
        })?;
        answer.await.unwrap_or_else(|_| Err(no_thread()))
    }

    /// The file, as a full path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.common.path
    }

    /// Does a step that changes the file.
    pub(crate) async fn write<T, F>(&self, unwanted: Unwanted, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Step<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.inner.writes.ask(unwanted, work).await
    }

    /// Does a step that only reads.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Step<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.inner.reads.ask(Unwanted::Drop, work).await
    }

    /// The clocks.
    pub(crate) fn time(&self) -> &StoreTime {
        &self.inner.common.time
    }

    pub(crate) fn listen_for_lease(&self, key: &Key, token: Token) -> Wakes {
        let wakes = self.inner.common.leases.listen(key, token);
        self.inner.watch.stir();
        wakes
    }

    pub(crate) fn listen_for_runs(&self) -> Wakes {
        // All run listeners hear the same, so the key says nothing.
        let wakes = Key::new("runs").map_or_else(
            |_| Wakes::never(),
            |key| self.inner.common.runs.listen(&key, Token::random()),
        );
        self.inner.watch.stir();
        wakes
    }

    pub(crate) fn namespace_name(&self) -> &str {
        &self.inner.namespace
    }

    fn durability(&self) -> Durability {
        match self.inner.synchronous {
            Synchronous::Normal => Durability::ProcessCrash,
            Synchronous::Full => Durability::PowerCut,
        }
    }

    fn forgets(&self) -> &'static str {
        match self.inner.synchronous {
            Synchronous::Normal => "a power cut may lose the last commits; nothing else does",
            Synchronous::Full => "nothing that was acknowledged, as long as the disk keeps it",
        }
    }

    pub(crate) fn lease_promises(&self) -> LeasePromises {
        let mut promises = LeasePromises::new("sqlite", Scope::Machine, self.durability());
        promises.hand_off = HandOff::Noticed(self.inner.poll + NOTICE_MARGIN);
        promises.order = Order::Fifo;
        promises.shared = SharedLeases::Kept;
        promises.claim_window = crate::lease::CLAIM_WINDOW;
        promises.wall_clock_steps_end_leases = !self.time().is_steady();
        promises.forgets = self.forgets();
        promises
    }

    pub(crate) fn run_promises(&self) -> RunPromises {
        let mut promises = RunPromises::new("sqlite", Scope::Machine, self.durability());
        promises.forgets = self.forgets();
        promises
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({})", self.inner.common.path.display())
    }
}

/// The threads end by themselves once they have done what waits; nobody waits for them here, since
/// a drop must not block.
impl Drop for Inner {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
        self.watch.stop();
        // The thread that hears the bell sleeps in the system and knows no other call.
        self.common.bell.ring();
    }
}

/// Opens the file on the thread that will write to it, and tells `ready` what came of it.
fn start<F>(options: SqliteOptions, ready: F) -> Result<(), StoreError>
where
    F: FnOnce(Result<SqliteStore, StoreError>) + Send + 'static,
{
    let options = options.checked()?;
    spawn("tenure-sqlite-write", move || match set_up(&options) {
        Ok((store, writer)) => {
            ready(Ok(store));
            writer.work();
        }
        Err(error) => ready(Err(error)),
    })
}

fn set_up(options: &SqliteOptions) -> Result<(SqliteStore, Writer), StoreError> {
    let path = place::prepare(options)?;
    let Opened {
        file,
        found,
        gate,
        bell,
    } = schema::open(&path, options)?;
    let ear = bell.ear();
    let poll = options.poll * if ear.is_some() { WITH_BELL } else { 1 };
    let common = Common {
        identity: place::identity(&path),
        path,
        ns: found.ns,
        time: StoreTime::new(options.clock.clone(), found.offset_ms),
        patience: options.patience,
        leases: WakeRegistry::default(),
        runs: WakeRegistry::default(),
        bell: Arc::new(bell),
    };
    let writes = Arc::new(Queue::new(options.patience));
    let reads = Arc::new(Queue::new(options.patience));
    let watch = Arc::new(Watch::default());
    if schema::has_long_log(&common.path) {
        reads.ask_for_chore();
    }
    let reader = Reader {
        common: common.clone(),
        queue: reads.clone(),
    };
    spawn("tenure-sqlite-read", move || reader.work())?;
    let watcher = Watcher {
        common: common.clone(),
        watch: watch.clone(),
        poll,
    };
    // From here on the threads end with `inner`, whatever happens.
    let inner = Arc::new(Inner {
        common: common.clone(),
        writes: writes.clone(),
        reads: reads.clone(),
        watch: watch.clone(),
        synchronous: options.synchronous,
        poll,
        namespace: options.namespace.clone(),
    });
    if let Some(ear) = ear {
        spawn("tenure-sqlite-bell", move || {
            while ear.listen() && !watch.is_stopping() {
                watch.ring();
            }
        })?;
    }
    spawn("tenure-sqlite-watch", move || watcher.work())?;
    let worker = Writer {
        common,
        queue: writes,
        gate,
        file,
        reads,
        moved: 0,
        out_of_turn_until: Moment::from_origin(Duration::ZERO),
        checked: RefCell::default(),
    };
    Ok((SqliteStore { inner }, worker))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map(drop).map_err(|error| {
        let message = "no thread can be started for the SQLite store; raise the process limit";
        StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
    })
}

fn no_thread() -> StoreError {
    let message = "the SQLite store's thread ended while it opened the file";
    StoreError::new(StoreErrorKind::Unavailable, message)
}
