//! Looks out for what other processes did, while somebody here waits for it.
//!
//! A file cannot push. One thread a store asks every few milliseconds whether any process has
//! committed (`PRAGMA data_version`, which reads shared memory and no disk), and only then looks up
//! the tokens that listen. While nobody listens it sleeps.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tenure_core::{Clock, Fence, Grant, SystemClock, Timestamp, Token};
use tracing::debug;

use crate::schema::open_to_read;
use crate::worker::Common;

/// How often to look while nobody waits for a lease: holders and run listeners are in less of a
/// hurry.
const CALM: Duration = Duration::from_millis(25);
/// After a failure, such as a file that is locked entirely.
const AFTER_TROUBLE: Duration = Duration::from_millis(100);

/// The switch of the watching thread.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    flags: Mutex<Flags>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    stopping: bool,
    /// Somebody began to listen since the last look.
    stirred: bool,
    /// The thread sleeps longer than a poll.
    dozing: bool,
}

impl Watch {
    /// Somebody began to listen. Costs a wake-up only if the thread sleeps deeply.
    pub(crate) fn stir(&self) {
        let mut flags = self.locked();
        flags.stirred = true;
        if flags.dozing {
            self.rung.notify_all();
        }
    }

    /// Ends the thread soon.
    pub(crate) fn stop(&self) {
        self.locked().stopping = true;
        self.rung.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `span`, shortened to a `poll` when somebody begins to listen, and for as long as
    /// nobody listens. Tells whether somebody began to; `None` when it is over.
    fn sleep(&self, span: Duration, poll: Duration, is_idle: impl Fn() -> bool) -> Option<bool> {
        let mut flags = self.locked();
        let mut stirred = flags.stirred;
        let mut span = span;
        loop {
            flags.stirred = false;
            let idle = is_idle();
            let nap = if idle { Duration::MAX } else { span };
            if idle || span > poll {
                flags.dozing = true;
                flags = self.doze(flags, nap);
                flags.dozing = false;
                if !flags.stirred {
                    return (!flags.stopping).then_some(stirred);
                }
                stirred = true;
                span = poll;
            } else {
                flags = self
                    .rung
                    .wait_timeout_while(flags, span, |flags| !flags.stopping)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                return (!flags.stopping).then_some(stirred || flags.stirred);
            }
        }
    }

    /// Sleeps until the time is over, somebody begins to listen, or it is all over.
    fn doze<'a>(&self, flags: MutexGuard<'a, Flags>, nap: Duration) -> MutexGuard<'a, Flags> {
        let asleep = |flags: &mut Flags| !flags.stopping && !flags.stirred;
        if nap == Duration::MAX {
            let woken = self.rung.wait_while(flags, asleep);
            return woken.unwrap_or_else(PoisonError::into_inner);
        }
        let woken = self.rung.wait_timeout_while(flags, nap, asleep);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread that watches.
pub(crate) struct Watcher {
    pub(crate) common: Common,
    pub(crate) watch: Arc<Watch>,
    pub(crate) poll: Duration,
}

/// What was last seen of the file.
#[derive(Default)]
struct Seen {
    version: i64,
    hints: i64,
    /// The fences under which tokens that listen held their leases.
    held: HashMap<Token, i64>,
    /// Whether anybody may wait for a lease.
    somebody_waits: bool,
}

impl Watcher {
    /// Watches until it is told to stop.
    pub(crate) fn work(self) {
        let mut file = None;
        let mut seen = Seen::default();
        let mut pause = self.poll;
        while let Some(stirred) = self.watch.sleep(pause, self.poll, || self.nobody_listens()) {
            seen.somebody_waits |= stirred;
            pause = match self.look(&mut file, &mut seen) {
                Ok(pause) => pause,
                Err(error) => {
                    // Waiters have timers of their own; the next look may succeed.
                    debug!(%error, "cannot look out for other processes");
                    file = None;
                    AFTER_TROUBLE
                }
            };
        }
    }

    fn nobody_listens(&self) -> bool {
        self.common.leases.is_empty() && self.common.runs.is_empty()
    }

    /// Looks once; tells how long to pause.
    fn look(&self, slot: &mut Option<Connection>, seen: &mut Seen) -> rusqlite::Result<Duration> {
        let began = SystemClock.now();
        let file = match slot {
            Some(file) => file,
            None => slot.insert(open_to_read(&self.common.path, self.poll)?),
        };
        let version: i64 = file
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if version != seen.version {
            self.look_up(file, seen)?;
            seen.version = version;
        }
        // However many listen, looking up may take a fifth of the thread's time at most.
        let busy = SystemClock.now().since(began).saturating_mul(4);
        let calm = if seen.somebody_waits {
            self.poll
        } else {
            self.poll.max(CALM)
        };
        Ok(calm.max(busy))
    }

    fn look_up(&self, file: &Connection, seen: &mut Seen) -> rusqlite::Result<()> {
        let hints: i64 = file
            .prepare_cached("SELECT hints FROM namespace WHERE id = ?1")?
            .query_row([self.common.ns], |row| row.get(0))?;
        if hints != seen.hints {
            seen.hints = hints;
            self.common.runs.changed_everywhere();
        }
        let mut held = HashMap::new();
        seen.somebody_waits = false;
        let mut statement = file.prepare_cached(
            "SELECT fence, expires_ms FROM lease WHERE ns = ?1 AND key = ?2 AND token = ?3",
        )?;
        for (key, token) in self.common.leases.waiting() {
            let lease: Option<(i64, i64)> = statement
                .query_row(
                    params![self.common.ns, key.as_bytes(), token.as_bytes()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let now = self.common.time.now();
            let lease = lease.filter(|(_, expires)| *expires > now.as_millis());
            let before = seen.held.get(&token).copied();
            match lease {
                Some((fence, expires)) => {
                    held.insert(token, fence);
                    if before != Some(fence) {
                        let fence = Fence::new(u64::try_from(fence).unwrap_or(0));
                        let grant = Grant::new(fence, now, Timestamp::from_millis(expires));
                        let _ = self.common.leases.grant(&key, token, &grant);
                    }
                }
                None if before.is_some() => {
                    let _ = self.common.leases.changed_for(&key, token);
                }
                None => seen.somebody_waits = true,
            }
        }
        seen.held = held;
        Ok(())
    }
}
