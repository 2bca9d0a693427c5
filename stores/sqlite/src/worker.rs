//! The threads that touch the file: one that writes, one that reads.
//!
//! The writer takes its turn at the gate, opens one immediate transaction, does every request that
//! waits, each under a savepoint of its own, and commits once. A request that fails is rolled back
//! alone. Answers and wake-ups leave only after the commit.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tenure_core::{Clock, Moment, StoreError, StoreErrorKind, SystemClock, WakeRegistry};
use tracing::debug;

use crate::bell::Bell;
use crate::checked::Checked;
use crate::clock::StoreTime;
use crate::gate::{Gate, TRIES_IN_TURN, Turn, pause_before_try, pause_to_step_back};
use crate::place::{self, Identity};
use crate::queue::{Queue, Request, Woken};
use crate::schema::{is_busy, locked_for, open_to_read};
use crate::step::{Drawn, Effect, Fault, Step};

/// The most requests in one transaction: enough to spread the cost of a commit, few enough that
/// other processes get their turn within milliseconds.
const GROUP: usize = 64;
/// A transaction that has lasted for so long takes in no further request.
const LONG_ENOUGH: Duration = Duration::from_millis(4);

/// After so many changed rows, a few megabytes of log, it is moved into the database. Moving waits
/// for the disk, so the writer leaves it to the thread that reads.
const MOVE_AFTER: u64 = 500;

/// A process that went without its turn waits for none for so long.
const OUT_OF_TURN: Duration = Duration::from_secs(2);

/// What all threads of a store know.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) path: PathBuf,
    pub(crate) identity: Option<Identity>,
    pub(crate) ns: i64,
    pub(crate) time: StoreTime,
    pub(crate) patience: Duration,
    /// Who waits for leases.
    pub(crate) leases: WakeRegistry,
    /// Who waits for runs, all under one key.
    pub(crate) runs: WakeRegistry,
    /// How other processes are told to look.
    pub(crate) bell: Arc<Bell>,
}

impl Common {
    fn tell(&self, effects: Vec<Effect>) {
        let mut concerns_others = false;
        for effect in effects {
            concerns_others |= match effect {
                Effect::Granted(key, token, grant) => !self.leases.grant(&key, token, &grant),
                Effect::Changed(key, token) => !self.leases.changed_for(&key, token),
                Effect::Hint => {
                    self.runs.changed_everywhere();
                    true
                }
            };
        }
        if concerns_others {
            self.bell.ring();
        }
    }

    /// Another file under the same path, or none, would be another store with the same name.
    fn check_identity(&self) -> Result<(), StoreError> {
        if self.identity.is_none() || place::identity(&self.path) == self.identity {
            return Ok(());
        }
        let message = format!(
            "`{}` was deleted or replaced while it was open; stop every process that uses it",
            self.path.display()
        );
        Err(StoreError::new(StoreErrorKind::Corrupt, message))
    }

    fn of_fault(&self, fault: Fault) -> StoreError {
        fault.into_error(&self.path)
    }
}

type Group = Vec<Box<dyn Request>>;

/// The thread that writes.
pub(crate) struct Writer {
    pub(crate) common: Common,
    pub(crate) queue: Arc<Queue>,
    pub(crate) gate: Gate,
    pub(crate) file: Connection,
    /// Whose thread moves the log into the database.
    pub(crate) reads: Arc<Queue>,
    /// How many rows had been changed when it was last asked to.
    pub(crate) moved: u64,
    /// Until when it does not wait for its turn.
    pub(crate) out_of_turn_until: Moment,
    pub(crate) checked: RefCell<Checked>,
}

impl Writer {
    /// Serves requests until the queue is closed.
    pub(crate) fn work(mut self) {
        while self.queue.wait() != Woken::Closed {
            let mut group = Group::new();
            self.queue.top_up(&mut group, GROUP);
            self.serve(group);
            let changes = self.file.total_changes();
            if changes.saturating_sub(self.moved) >= MOVE_AFTER {
                self.moved = changes;
                self.reads.ask_for_chore();
            }
        }
    }

    fn serve(&mut self, mut group: Group) {
        let mut tries = 0;
        loop {
            group = without_late(group, &self.common);
            if group.is_empty() {
                break;
            }
            match self.begin(tries) {
                Ok(Turn::Taken) => {
                    group = self.do_some(group);
                    self.gate.leave();
                    tries = 0;
                    continue;
                }
                Ok(Turn::Busy) => thread::sleep(pause_before_try(tries)),
                Ok(Turn::StepBack) => thread::sleep(pause_to_step_back()),
                Err(fault) => {
                    fail_all(group, || self.common.of_fault(fault()));
                    break;
                }
            }
            tries += 1;
            self.queue.top_up(&mut group, GROUP);
        }
        self.gate.leave();
    }

    /// Takes the turn and the file. The error is made anew for each request that must hear of it.
    fn begin(&mut self, tries: u32) -> Result<Turn, Box<dyn Fn() -> Fault>> {
        let turn = self.gate.try_enter();
        // Whoever has the turn may have been stopped. The file's own lock is what counts.
        let has_turn = turn == Turn::Taken;
        let now = SystemClock.now();
        if !has_turn && tries < TRIES_IN_TURN && now >= self.out_of_turn_until {
            return Ok(turn);
        }
        match self.file.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) if has_turn => {}
            Ok(()) => self.out_of_turn_until = now + OUT_OF_TURN,
            Err(error) if is_busy(&error) => return Ok(Turn::Busy),
            Err(error) => return Err(again(&error)),
        }
        if let Err(error) = self.common.check_identity() {
            self.roll_back();
            let (kind, message) = (error.kind(), error.to_string());
            return Err(Box::new(move || {
                Fault::Store(StoreError::new(kind, message.clone()))
            }));
        }
        Ok(Turn::Taken)
    }

    /// Does requests until the transaction has lasted long enough; answers those that are left.
    fn do_some(&mut self, group: Group) -> Group {
        let began = SystemClock.now();
        let mut effects = Vec::new();
        let mut done = Group::new();
        let mut rest = group.into_iter();
        while SystemClock.now().since(began) < LONG_ENOUGH
            && let Some(mut request) = rest.next()
        {
            let told = effects.len();
            match self.do_one(&mut *request, &mut effects) {
                Ok(()) => done.push(request),
                Err(fault) => {
                    effects.truncate(told);
                    request.fail(self.common.of_fault(fault));
                    // A full disk, for one, takes the whole transaction with it.
                    if self.file.is_autocommit() {
                        fail_all(done, || undone(&self.common));
                        return rest.collect();
                    }
                }
            }
        }
        self.commit(done, effects);
        rest.collect()
    }

    fn commit(&mut self, done: Group, effects: Vec<Effect>) {
        match self.file.execute_batch("COMMIT") {
            Ok(()) => {
                // Others may write while answers are handed out.
                self.gate.leave();
                self.common.tell(effects);
                for request in done {
                    request.answer();
                }
            }
            Err(error) => {
                self.checked.borrow_mut().forget_all();
                self.roll_back();
                let surely_not = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
                let error = again(&error);
                fail_all(done, || {
                    let error = self.common.of_fault(error());
                    if surely_not {
                        error
                    } else {
                        error.with_unknown_outcome()
                    }
                });
            }
        }
    }

    fn do_one(&self, request: &mut dyn Request, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        self.file.prepare_cached("SAVEPOINT request")?.execute([])?;
        let mut step = Step {
            file: &self.file,
            path: &self.common.path,
            ns: self.common.ns,
            now: self.common.time.now(),
            wall: self.common.time.wall(),
            effects,
            checked: &self.checked,
            drawn: Drawn::default(),
        };
        let outcome = request.run(&mut step);
        if outcome.is_err() {
            self.checked.borrow_mut().forget_all();
        }
        if outcome.is_err() && !self.file.is_autocommit() {
            self.file
                .prepare_cached("ROLLBACK TO request")?
                .execute([])?;
        }
        if !self.file.is_autocommit() {
            self.file.prepare_cached("RELEASE request")?.execute([])?;
        }
        outcome
    }

    fn roll_back(&self) {
        if !self.file.is_autocommit()
            && let Err(error) = self.file.execute_batch("ROLLBACK")
        {
            debug!(%error, "cannot roll back");
        }
    }
}

/// The thread that reads; it opens its connection when first asked.
pub(crate) struct Reader {
    pub(crate) common: Common,
    pub(crate) queue: Arc<Queue>,
}

impl Reader {
    /// Serves requests until the queue is closed.
    pub(crate) fn work(self) {
        let mut file = None;
        loop {
            let mut group = Group::new();
            match self.queue.wait() {
                Woken::Requests => self.queue.top_up(&mut group, 1),
                Woken::Chore => self.move_log(&mut file),
                Woken::Closed => return,
            }
            for request in without_late(group, &self.common) {
                self.serve(&mut file, request);
            }
        }
    }

    /// Moves the write-ahead log into the database, as far as nobody is in the way.
    fn move_log(&self, slot: &mut Option<Connection>) {
        // Only a log that is moved to its end begins anew, and writers may have added to it during
        // the first and longest pass.
        for _ in 0..3 {
            let moved = self.connection(slot).and_then(|file| {
                file.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                    Ok(row.get::<_, i64>(1)? == row.get::<_, i64>(2)?)
                })
            });
            match moved {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return debug!(%error, "cannot move the write-ahead log"),
            }
        }
    }

    fn connection<'a>(&self, slot: &'a mut Option<Connection>) -> rusqlite::Result<&'a Connection> {
        match slot {
            Some(file) => Ok(file),
            None => Ok(slot.insert(open_to_read(&self.common.path, self.common.patience)?)),
        }
    }

    fn serve(&self, slot: &mut Option<Connection>, mut request: Box<dyn Request>) {
        if let Err(error) = self.common.check_identity() {
            return request.fail(error);
        }
        let outcome = match self.connection(slot) {
            Ok(file) => self.read(file, &mut *request),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => request.answer(),
            Err(fault) => request.fail(self.common.of_fault(fault)),
        }
    }

    fn read(&self, file: &Connection, request: &mut dyn Request) -> Result<(), Fault> {
        file.prepare_cached("BEGIN")?.execute([])?;
        let (mut effects, checked) = (Vec::new(), RefCell::default());
        let mut step = Step {
            file,
            path: &self.common.path,
            ns: self.common.ns,
            now: self.common.time.now(),
            wall: self.common.time.wall(),
            effects: &mut effects,
            checked: &checked,
            drawn: Drawn::default(),
        };
        let outcome = request.run(&mut step);
        if !file.is_autocommit() {
            file.prepare_cached("COMMIT")?.execute([])?;
        }
        outcome
    }
}

/// Drops what nobody waits for, and answers what has waited for too long.
fn without_late(group: Group, common: &Common) -> Group {
    let now = SystemClock.now();
    let mut kept = Group::with_capacity(group.len());
    for request in group {
        if request.is_abandoned() {
            continue;
        }
        if request.deadline() <= now {
            request.fail(locked_for(&common.path, common.patience));
        } else {
            kept.push(request);
        }
    }
    kept
}

fn fail_all(group: Group, error: impl Fn() -> StoreError) {
    for request in group {
        request.fail(error());
    }
}

/// A neighbour's trouble ended the transaction before this step was committed.
fn undone(common: &Common) -> StoreError {
    let message = format!(
        "`{}` could not be written, so the step was undone; try again",
        common.path.display()
    );
    StoreError::new(StoreErrorKind::Unavailable, message)
}

/// A SQLite error as often as it is needed: the library's own cannot be copied.
fn again(error: &rusqlite::Error) -> Box<dyn Fn() -> Fault> {
    let code = match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
        _ => rusqlite::ffi::SQLITE_ERROR,
    };
    let text = error.to_string();
    Box::new(move || {
        let failure = rusqlite::ffi::Error::new(code);
        Fault::Sql(rusqlite::Error::SqliteFailure(failure, Some(text.clone())))
    })
}
