//! What one atomic step sees: the file, the time, and a place for what is to be told afterwards.

use std::cell::{Cell, RefCell};
use std::path::Path;

use rusqlite::{CachedStatement, Connection, Params, Row};
use tenure_core::{Grant, Key, StoreError, StoreErrorKind, Timestamp, Token};

use crate::checked::Checked;
use crate::error::of_step;

/// Why a step is rolled back.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite refused.
    Sql(rusqlite::Error),
    /// The request or a record is not what it must be.
    Store(StoreError),
}

impl Fault {
    /// The error the caller gets for it.
    pub(crate) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => of_step(path, error),
            Self::Store(error) => error,
        }
    }

    /// A request that breaks the contract.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::InvalidRequest, message))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What listeners of this process are told once the step is committed.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The lease is this token's now.
    Granted(Key, Token, Grant),
    /// This token lost its lease or its place.
    Changed(Key, Token),
    /// Run listeners should look again.
    Hint,
}

/// One step inside a transaction.
pub(crate) struct Step<'a> {
    pub(crate) file: &'a Connection,
    pub(crate) path: &'a Path,
    pub(crate) ns: i64,
    /// Steady store time: what ends leases.
    pub(crate) now: Timestamp,
    /// Wall time: what ticks are compared with.
    pub(crate) wall: Timestamp,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// What claims need not look at again.
    pub(crate) checked: &'a RefCell<Checked>,
    pub(crate) drawn: Drawn,
}

impl<'a> Step<'a> {
    pub(crate) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
        #[cfg(test)]
        crate::plan::note(sql);
        self.file.prepare_cached(sql)
    }

    /// Runs a statement that changes rows; tells how many.
    pub(crate) fn run(&self, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
        self.prepare(sql)?.execute(values)
    }

    /// Reads at most one row.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(values)?;
        rows.next()?.map(read).transpose()
    }

    /// Reads every row.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// Does a part of the step that may fail without failing the rest.
    pub(crate) fn part<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, StoreError>, Fault> {
        self.run("SAVEPOINT part", [])?;
        let told = self.effects.len();
        let outcome = work(self);
        if let Err(fault) = outcome {
            // Without its transaction the whole step is lost.
            if self.file.is_autocommit() {
                return Err(fault);
            }
            self.effects.truncate(told);
            self.drawn = Drawn::default();
            self.run("ROLLBACK TO part", [])?;
            self.run("RELEASE part", [])?;
            return Ok(Err(fault.into_error(self.path)));
        }
        self.run("RELEASE part", [])?;
        Ok(outcome.map_err(|fault| fault.into_error(self.path)))
    }

    /// The next value of one of the namespace's counters, which only rise.
    pub(crate) fn next(&self, counter: Counter) -> Result<i64, Fault> {
        let block = match counter {
            Counter::Fence => &self.drawn.fence,
            Counter::Feed => &self.drawn.feed,
        };
        let (next, left) = block.get();
        if left > 0 {
            block.set((next + 1, left - 1));
            return Ok(next);
        }
        let count = self.drawn.at_once.get().max(1);
        let mut statement = self.prepare(counter.sql())?;
        let last: i64 = statement.query_row([self.ns, count], |row| row.get(0))?;
        block.set((last - count + 2, count - 1));
        Ok(last - count + 1)
    }

    /// Says that about so many values of a counter will be needed if any is, so that they are drawn
    /// with one statement. What is not used of them is left out for good.
    pub(crate) fn draw_ahead(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(1);
        self.drawn.at_once.set(count);
    }

    /// Tells run listeners of every process to look again.
    pub(crate) fn hint(&mut self) -> Result<(), Fault> {
        self.run(
            "UPDATE namespace SET hints = hints + 1 WHERE id = ?1",
            [self.ns],
        )?;
        self.effects.push(Effect::Hint);
        Ok(())
    }
}

/// Values of counters that this step drew and has not used.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// The next value, and how many there are.
    fence: Cell<(i64, i64)>,
    feed: Cell<(i64, i64)>,
    /// How many are drawn at once.
    at_once: Cell<i64>,
}

/// The counters of a namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    Fence,
    Feed,
}

impl Counter {
    fn sql(self) -> &'static str {
        match self {
            Self::Fence => "UPDATE namespace SET fence = fence + ?2 WHERE id = ?1 RETURNING fence",
            Self::Feed => "UPDATE namespace SET feed = feed + ?2 WHERE id = ?1 RETURNING feed",
        }
    }
}

/// Milliseconds of a span, as the file keeps them.
pub(crate) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
