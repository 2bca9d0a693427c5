//! Whose turn it is to write: a file lock taken before SQLite's own.
//!
//! SQLite's busy handler sleeps longer and longer while the winner loops, so a process can starve.
//! A lock on a file beside the database, asked for at short intervals, bounds the wait. A second
//! file tells a process that has just had its turn whether somebody waits, so that it steps back.
//! Nothing depends on these locks but fairness: SQLite's own lock keeps the file whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tenure_core::{Clock, Moment, SystemClock};

/// Right after a turn a process asks whether others wait.
const JUST_NOW: Duration = Duration::from_millis(5);

/// The turn of one process, in the hands of its writer thread.
#[derive(Debug)]
pub(crate) struct Gate {
    turn: File,
    crowd: File,
    has_turn: bool,
    in_crowd: bool,
    left_at: Option<Moment>,
}

impl Gate {
    /// Opens the two lock files beside `database`, making them if they are missing.
    pub(crate) fn open(database: &Path) -> io::Result<Self> {
        Ok(Self {
            turn: lock_file(&beside(database, "-turn"))?,
            crowd: lock_file(&beside(database, "-crowd"))?,
            has_turn: false,
            in_crowd: false,
            left_at: None,
        })
    }

    /// Tries to take the turn; false if another process has it or waits longer for it.
    pub(crate) fn try_enter(&mut self) -> bool {
        if self.has_turn {
            return true;
        }
        if self.must_step_back() {
            return false;
        }
        match self.turn.try_lock() {
            // A file system without locks costs fairness only.
            Ok(()) | Err(TryLockError::Error(_)) => {
                self.has_turn = true;
                self.leave_crowd();
                true
            }
            Err(TryLockError::WouldBlock) => {
                if !self.in_crowd {
                    self.in_crowd = self.crowd.try_lock_shared().is_ok();
                }
                false
            }
        }
    }

    /// Gives the turn back.
    pub(crate) fn leave(&mut self) {
        self.leave_crowd();
        if self.has_turn {
            self.has_turn = false;
            self.left_at = Some(SystemClock.now());
            // Closing the file would give it back too; there is nothing to do about a failure.
            let _ = self.turn.unlock();
        }
    }

    /// Once after each turn, if anybody else waits.
    fn must_step_back(&mut self) -> bool {
        let Some(left_at) = self.left_at.take() else {
            return false;
        };
        if SystemClock.now().since(left_at) > JUST_NOW {
            return false;
        }
        match self.crowd.try_lock() {
            Ok(()) => {
                let _ = self.crowd.unlock();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }

    fn leave_crowd(&mut self) {
        if self.in_crowd {
            self.in_crowd = false;
            let _ = self.crowd.unlock();
        }
    }
}

/// How long to wait before the next try: short at first, and never the same for two processes.
pub(crate) fn pause_before_try(tries: u32) -> Duration {
    let micros = match tries {
        0..=2 => 100,
        3..=9 => 500,
        10..=99 => 1_000,
        _ => 4_000,
    };
    Duration::from_micros(fastrand::u64(micros / 2..=micros))
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
