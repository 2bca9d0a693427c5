//! Opens the file: recognises it, brings it up to date, and enters this boot and namespace.
//!
//! Nothing is written, and nothing is put beside the file, before it is known to be tenure's or
//! free to become so.
//! Any number of processes may do this at once: everything that changes the file happens in one
//! immediate transaction, and whoever comes second finds it done.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tenure_core::{Clock, Moment, StoreError, StoreErrorKind, SystemClock, Token};

use crate::bell::Bell;
use crate::beside;
use crate::clock;
use crate::error::of_step;
use crate::gate::{Gate, TRIES_IN_TURN, Turn, pause_before_try};
use crate::migrations::{STEPS, VERSION};
use crate::options::{SqliteOptions, Synchronous};
use crate::place;

/// "tenr" in the file's header says whose file it is.
const APPLICATION: i64 = 0x7465_6e72;

/// A log that is longer takes a new process noticeable time to read.
const LOG_BYTES: u32 = 4 * 1024 * 1024;

/// Whether processes that were too short-lived to do it themselves left a long log.
pub(crate) fn has_long_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > u64::from(LOG_BYTES))
}

/// What the file says about this store.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The namespace's number.
    pub(crate) ns: i64,
    /// How far steady store time is from the boot clock; `None` if wall time must do.
    pub(crate) offset_ms: Option<i64>,
}

/// A file that is ready, and what is beside it.
pub(crate) struct Opened {
    /// The connection that writes.
    pub(crate) file: Connection,
    pub(crate) found: Found,
    pub(crate) gate: Gate,
    pub(crate) bell: Bell,
}

/// Opens the file for writing, and makes it ready.
pub(crate) fn open(path: &Path, options: &SqliteOptions) -> Result<Opened, StoreError> {
    let deadline = SystemClock.now() + options.patience;
    let again = |tries| wait(path, deadline, options.patience, tries);
    let mut file = insist(again, |_| recognise(path, options))?;
    let mut gate = Gate::open(path)?;
    let bell = Bell::open(path)?;
    let found = insist(again, |tries| {
        // Converting a new file needs it alone as well, so all of it waits.
        if gate.try_enter() != Turn::Taken && tries < TRIES_IN_TURN {
            return Err(Obstacle::Busy);
        }
        let found = make_ready(path, &mut file, options);
        gate.leave();
        found
    })?;
    Ok(Opened {
        file,
        found,
        gate,
        bell,
    })
}

/// Tries until nobody is in the way, or `again` refuses to wait any longer.
fn insist<T>(
    again: impl Fn(u32) -> Result<(), StoreError>,
    mut attempt: impl FnMut(u32) -> Result<T, Obstacle>,
) -> Result<T, StoreError> {
    let mut tries = 0;
    loop {
        match attempt(tries) {
            Ok(done) => return Ok(done),
            Err(Obstacle::Refused(error)) => return Err(error),
            Err(Obstacle::Busy) => again(tries)?,
        }
        tries += 1;
    }
}

fn wait(path: &Path, deadline: Moment, patience: Duration, tries: u32) -> Result<(), StoreError> {
    if SystemClock.now() >= deadline {
        return Err(locked_for(path, patience));
    }
    thread::sleep(pause_before_try(tries));
    Ok(())
}

/// The file stayed in somebody else's hands for too long; nothing was done.
pub(crate) fn locked_for(path: &Path, patience: Duration) -> StoreError {
    let message = format!(
        "`{}` has been locked by another process for {}; find who holds it, or try again",
        path.display(),
        tenure_core::format_duration(patience)
    );
    StoreError::new(StoreErrorKind::Unavailable, message)
}

enum Obstacle {
    Busy,
    Refused(StoreError),
}

fn obstacle(path: &Path, error: rusqlite::Error) -> Obstacle {
    if is_busy(&error) {
        return Obstacle::Busy;
    }
    let is_access = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    );
    let named = if is_access {
        beside::refused_to_sqlite(path)
    } else {
        None
    };
    Obstacle::Refused(match named {
        Some(named) => named.with_source(error),
        None => of_step(path, error),
    })
}

/// Connects to the file if it is tenure's, or free to become so and there may be a new one.
fn recognise(path: &Path, options: &SqliteOptions) -> Result<Connection, Obstacle> {
    let obstacle = |error| obstacle(path, error);
    let mut file = connect(path).map_err(obstacle)?;
    // One snapshot for all that is read: another process may be making the file ours meanwhile, and
    // its tables without its mark would be a stranger's.
    let look = file.transaction().map_err(obstacle)?;
    let is_new = check_identity(path, &look).map_err(|trouble| trouble.into_obstacle(path))?;
    look.finish().map_err(obstacle)?;
    if is_new && options.existing_only {
        let error = place::no_store(&options.path, "is empty and holds no store");
        return Err(Obstacle::Refused(error));
    }
    Ok(file)
}

fn make_ready(
    path: &Path,
    file: &mut Connection,
    options: &SqliteOptions,
) -> Result<Found, Obstacle> {
    let obstacle = |error| obstacle(path, error);
    let mode: String = file
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(obstacle)?;
    if mode != "wal" {
        let message = format!(
            "`{}` cannot use a write-ahead log here (it answers `{mode}`); choose a local disk",
            path.display()
        );
        let error = StoreError::new(StoreErrorKind::Unsupported, message);
        return Err(Obstacle::Refused(error));
    }
    let synchronous = match options.synchronous {
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    file.pragma_update(None, "synchronous", synchronous)
        .map_err(obstacle)?;
    // Only in case the reading thread falls behind: moving the log waits for the disk.
    file.pragma_update(None, "wal_autocheckpoint", 4_000)
        .map_err(obstacle)?;
    file.pragma_update(None, "journal_size_limit", LOG_BYTES)
        .map_err(obstacle)?;
    enter(path, file, options).map_err(|trouble| trouble.into_obstacle(path))
}

/// A connection that only reads, for listings and for looking out.
pub(crate) fn open_to_read(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let file = connect(path)?;
    file.busy_timeout(patience)?;
    file.pragma_update(None, "query_only", true)?;
    Ok(file)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    // Where it may not write SQLite opens the file to read, and the first statement would put a log
    // of this user's beside it.
    if file.is_readonly("main")? {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(failure, None));
    }
    // The threads wait in loops of their own, which keep their deadlines.
    file.busy_timeout(Duration::ZERO)?;
    // The file may come from anywhere: nothing in its schema may do more than keep data.
    file.pragma_update(None, "trusted_schema", false)?;
    file.pragma_update(None, "cell_size_check", true)?;
    file.pragma_update(None, "temp_store", "MEMORY")?;
    file.pragma_update(None, "cache_size", -16_384)?;
    // Without it SQLite compiles some statements anew for every value they are given, which costs
    // more than running them. https://sqlite.org/queryplanner-ng.html#qpstab
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    file.set_prepared_statement_cache_capacity(128);
    Ok(file)
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

enum Trouble {
    Sql(rusqlite::Error),
    Refused(StoreError),
}

impl Trouble {
    fn into_obstacle(self, path: &Path) -> Obstacle {
        match self {
            Self::Sql(error) => obstacle(path, error),
            Self::Refused(error) => Obstacle::Refused(error),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Reads the header, inside a transaction; true if the file is empty and free to become ours.
fn check_identity(path: &Path, file: &Connection) -> Result<bool, Trouble> {
    let application: i64 = file.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if application == APPLICATION {
        if version > VERSION {
            let message = format!(
                "`{}` was written by a newer tenure (schema {version}, this program knows \
                 {VERSION}); upgrade tenure",
                path.display()
            );
            let error = StoreError::new(StoreErrorKind::Unsupported, message);
            return Err(Trouble::Refused(error));
        }
        // The two numbers are written in one step, so nobody but a stranger makes this pair.
        if version < 1 {
            let message = format!(
                "`{}` is damaged: schema version {version}; stop every process that uses it, then \
                 restore a backup or move it away",
                path.display()
            );
            let error = StoreError::new(StoreErrorKind::Corrupt, message);
            return Err(Trouble::Refused(error));
        }
        return Ok(false);
    }
    let tables: i64 = file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(true);
    }
    let message = format!(
        "`{}` is a SQLite database of another program; choose another path",
        path.display()
    );
    let error = StoreError::new(StoreErrorKind::Misconfigured, message);
    Err(Trouble::Refused(error))
}

/// Brings the file up to date and finds this store's rows in it, in one transaction.
fn enter(path: &Path, file: &mut Connection, options: &SqliteOptions) -> Result<Found, Trouble> {
    let step = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_new = check_identity(path, &step)?;
    let version: i64 = step.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for migration in STEPS.iter().skip(done) {
        step.execute_batch(migration)?;
    }
    if is_new {
        step.pragma_update(None, "application_id", APPLICATION)?;
    }
    if version != VERSION {
        step.pragma_update(None, "user_version", VERSION)?;
    }
    step.execute(
        "INSERT INTO namespace (name, epoch) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        params![options.namespace, Token::random().to_string()],
    )?;
    let ns = step.query_row(
        "SELECT id FROM namespace WHERE name = ?1",
        [&options.namespace],
        |row| row.get(0),
    )?;
    let name = if options.injected {
        Some(clock::INJECTED.to_owned())
    } else {
        clock::name()
    };
    let offset_ms = match name {
        Some(name) => Some(boot_offset(&step, &name, &*options.clock)?),
        None => None,
    };
    step.commit()?;
    Ok(Found { ns, offset_ms })
}

/// The offset that the first process of this boot wrote down.
fn boot_offset(file: &Connection, name: &str, clock: &dyn Clock) -> rusqlite::Result<i64> {
    let known = file
        .query_row(
            "SELECT offset_ms FROM boot WHERE clock = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(offset) = known {
        return Ok(offset);
    }
    let offset = clock::offset_ms(clock);
    file.execute("INSERT INTO boot VALUES (?1, ?2)", params![name, offset])?;
    // Of earlier boots only the last few could matter to anybody, for namespaces of one boot.
    let boot = name.split(' ').next().unwrap_or(name);
    file.execute(
        "DELETE FROM boot WHERE substr(clock, 1, length(?1)) <> ?1",
        [boot],
    )?;
    // Holders of an earlier boot are dead. Should the wall clock have started behind, as on
    // machines without a battery, their leases would outlive them by that; none may last longer
    // than its ttl.
    let now = offset
        .saturating_add(i64::try_from(clock.now().since_origin().as_millis()).unwrap_or(i64::MAX));
    file.execute(
        "UPDATE lease SET expires_ms = ?1 + ttl_ms WHERE expires_ms > ?1 + ttl_ms",
        [now],
    )?;
    Ok(offset)
}
