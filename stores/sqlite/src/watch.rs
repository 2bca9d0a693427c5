//! Looks out for what other processes did, while somebody here waits for it.
//!
//! One thread a store sleeps until the bell rings, or a while has passed, and asks whether any
//! process has committed (`PRAGMA data_version`, which reads shared memory and no disk). Only then
//! it looks up the tokens that listen. While nobody listens it sleeps.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tenure_core::{Clock, Fence, Grant, Key, SystemClock, Timestamp, Token};
use tracing::debug;

use crate::schema::open_to_read;
use crate::worker::Common;

/// After a failure, such as a file that is locked entirely.
const AFTER_TROUBLE: Duration = Duration::from_millis(100);

/// The watching thread's alarm clock.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    flags: Mutex<Flags>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    stopping: bool,
    /// The bell rang since the last look.
    rang: bool,
    /// The thread sleeps until somebody listens.
    idle: bool,
}

impl Watch {
    /// Somebody began to listen.
    pub(crate) fn stir(&self) {
        if self.locked().idle {
            self.woken.notify_all();
        }
    }

    /// Another process has something to tell.
    pub(crate) fn ring(&self) {
        self.locked().rang = true;
        self.woken.notify_all();
    }

    /// Ends the thread soon.
    pub(crate) fn stop(&self) {
        self.locked().stopping = true;
        self.woken.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.locked().stopping
    }

    fn locked(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `rest` whatever happens, then until the bell rings or `span` has passed, and for
    /// as long as it is idle, told whether the bell rang. Says whether it did; `None` when it is
    /// over.
    fn sleep(
        &self,
        rest: Duration,
        span: Duration,
        is_idle: impl Fn(bool) -> bool,
    ) -> Option<bool> {
        let mut flags = self.nap(self.locked(), rest, |flags| !flags.stopping);
        while !flags.stopping && is_idle(flags.rang) {
            flags.idle = true;
            flags = self
                .woken
                .wait(flags)
                .unwrap_or_else(PoisonError::into_inner);
            flags.idle = false;
        }
        flags = self.nap(flags, span, |flags| !flags.stopping && !flags.rang);
        let rang = std::mem::take(&mut flags.rang);
        (!flags.stopping).then_some(rang)
    }

    fn nap<'a>(
        &self,
        flags: MutexGuard<'a, Flags>,
        span: Duration,
        asleep: impl Fn(&Flags) -> bool,
    ) -> MutexGuard<'a, Flags> {
        self.woken
            .wait_timeout_while(flags, span, |flags| asleep(flags))
            .unwrap_or_else(PoisonError::into_inner)
            .0
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
    /// The bell rang and holders have not been looked after since.
    rang: bool,
    /// The fences under which tokens that listen held their leases.
    held: HashMap<Token, i64>,
}

impl Watcher {
    /// Watches until it is told to stop.
    pub(crate) fn work(self) {
        let mut file = None;
        let mut seen = Seen::default();
        let mut rest = Duration::ZERO;
        while let Some(rang) = self.watch.sleep(rest, self.poll, |rang| self.is_idle(rang)) {
            seen.rang |= rang;
            rest = match self.look(&mut file, &mut seen) {
                Ok(busy) => busy.saturating_mul(4),
                Err(error) => {
                    // Waiters have timers of their own; the next look may succeed.
                    debug!(%error, "cannot look out for other processes");
                    file = None;
                    AFTER_TROUBLE
                }
            };
        }
    }

    /// Whether nobody listens who is to be looked out for. Holders are looked after only when the
    /// bell rang, because of what it may tell them: that their lease was taken.
    fn is_idle(&self, rang: bool) -> bool {
        let nobody_listens = self.common.leases.is_empty() && self.common.runs.is_empty();
        nobody_listens && (!rang || self.common.leases.resting().is_empty())
    }

    /// Looks once; tells how long it took. However many listen, looking may take a fifth of the
    /// thread's time at most.
    fn look(&self, slot: &mut Option<Connection>, seen: &mut Seen) -> rusqlite::Result<Duration> {
        let began = SystemClock.now();
        let file = match slot {
            Some(file) => file,
            None => slot.insert(open_to_read(&self.common.path, self.poll)?),
        };
        let version: i64 = file
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if version != seen.version || seen.rang {
            self.look_up(file, seen)?;
            seen.version = version;
            seen.rang = false;
        }
        Ok(SystemClock.now().since(began))
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
        let mut statement = file.prepare_cached(
            "SELECT fence, expires_ms FROM lease WHERE ns = ?1 AND key = ?2 AND token = ?3",
        )?;
        let mut lease_of = |key: &Key, token: Token| {
            let lease: Option<(i64, i64)> = statement
                .query_row(
                    params![self.common.ns, key.as_bytes(), token.as_bytes()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let now = self.common.time.now();
            let lease = lease.filter(|(_, expires)| *expires > now.as_millis());
            Ok::<_, rusqlite::Error>((now, lease))
        };
        if seen.rang {
            for (key, token) in self.common.leases.resting() {
                if lease_of(&key, token)?.1.is_none() {
                    let _ = self.common.leases.changed_for(&key, token);
                }
            }
        }
        for (key, token) in self.common.leases.waiting() {
            let (now, lease) = lease_of(&key, token)?;
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
                None => {}
            }
        }
        seen.held = held;
        Ok(())
    }
}
