//! Whose turn it is to write: a file lock taken before SQLite's own.
//!
//! SQLite's busy handler sleeps longer and longer while the winner loops, so a process can starve.
//! A lock on a file beside the database, asked for at short intervals, bounds the wait. A second
//! file tells a process that has just had its turn whether somebody waits, so that it steps back.
//! Nothing depends on these locks but fairness: SQLite's own lock keeps the file whole.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tenure_core::{Clock, Moment, StoreError, SystemClock};

use crate::beside;

/// How long a process may take turn after turn while others wait. Longer wastes less on changing
/// over; shorter makes the others wait less.
const SLICE: Duration = Duration::from_millis(4);
/// A process that came back later than this begins a new slice.
const BREAK: Duration = Duration::from_millis(2);

/// After so many tries, some 400 ms, a process goes without its turn: whoever has it may have been
/// stopped.
pub(crate) const TRIES_IN_TURN: u32 = 500;

/// What came of asking for the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is this process's.
    Taken,
    /// Another process has it.
    Busy,
    /// This process has had it for long enough, and others wait.
    StepBack,
}

/// The turn of one process, in the hands of its writer thread.
#[derive(Debug)]
pub(crate) struct Gate {
    turn: File,
    crowd: File,
    has_turn: bool,
    in_crowd: bool,
    slice_began: Option<Moment>,
    left_at: Moment,
}

impl Gate {
    /// Opens the two lock files beside `database`, making them if they are missing.
    pub(crate) fn open(database: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            turn: beside::open(database, "-turn")?.0,
            crowd: beside::open(database, "-crowd")?.0,
            has_turn: false,
            in_crowd: false,
            slice_began: None,
            left_at: SystemClock.now(),
        })
    }

    /// Tries to take the turn.
    pub(crate) fn try_enter(&mut self) -> Turn {
        if self.has_turn {
            return Turn::Taken;
        }
        if self.must_step_back() {
            self.slice_began = None;
            return Turn::StepBack;
        }
        match self.turn.try_lock() {
            // A file system without locks costs fairness only.
            Ok(()) | Err(TryLockError::Error(_)) => {
                self.has_turn = true;
                self.slice_began.get_or_insert_with(|| SystemClock.now());
                self.leave_crowd();
                Turn::Taken
            }
            Err(TryLockError::WouldBlock) => {
                self.slice_began = None;
                if !self.in_crowd {
                    self.in_crowd = self.crowd.try_lock_shared().is_ok();
                }
                Turn::Busy
            }
        }
    }

    /// Gives the turn back.
    pub(crate) fn leave(&mut self) {
        self.leave_crowd();
        if self.has_turn {
            self.has_turn = false;
            self.left_at = SystemClock.now();
            // Closing the file would give it back too; there is nothing to do about a failure.
            let _ = self.turn.unlock();
        }
    }

    /// Whether the slice is used up and anybody else waits.
    fn must_step_back(&mut self) -> bool {
        let Some(began) = self.slice_began else {
            return false;
        };
        let now = SystemClock.now();
        if now.since(self.left_at) > BREAK {
            self.slice_began = None;
            return false;
        }
        if now.since(began) < SLICE {
            return false;
        }
        match self.crowd.try_lock() {
            Ok(()) => {
                self.slice_began = None;
                // Nobody waits; a failure to unlock ends with the next attempt.
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

/// How long a process that steps back stays away: longer than others pause between tries.
pub(crate) fn pause_to_step_back() -> Duration {
    Duration::from_micros(fastrand::u64(1_000..=1_500))
}

/// How long to wait before the next try: short at first, and never the same for two processes.
pub(crate) fn pause_before_try(tries: u32) -> Duration {
    let micros = match tries {
        0..=2 => 100,
        3..=9 => 500,
        10..=499 => 1_000,
        _ => 4_000,
    };
    Duration::from_micros(fastrand::u64(micros / 2..=micros))
}
