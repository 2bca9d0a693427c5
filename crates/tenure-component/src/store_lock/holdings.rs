//! The acquisitions of a component, and which of them a release belongs to.
//!
//! A caller names a key, not an acquisition. The rules that make one of the other are told at
//! [`crate::Lock`]; here they are kept.

use std::collections::HashMap;
use std::fmt;

use tenure_core::Key;
use tenure_lock::Guard;

/// How many acquisitions that ran out and were never released are remembered.
const REMEMBERED: usize = 10_000;

/// What a component holds, and what it held and nobody has released yet.
#[derive(Default)]
pub(super) struct Holdings {
    /// By key; the oldest first.
    by_key: HashMap<Key, Vec<Holding>>,
    count: usize,
    /// At how many the ones that ran out are looked through.
    sweep_at: usize,
    is_closed: bool,
}

struct Holding {
    trace_id: Option<String>,
    guard: Kept,
    /// A release that could have been meant for this one was counted for an older one.
    is_passed_over: bool,
}

/// A guard whose lease stays with the store when the component lets go of it.
struct Kept(Option<Guard>);

impl Kept {
    fn has_lapsed(&self) -> bool {
        self.0.as_ref().is_none_or(|guard| !guard.is_trusted())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.leave();
        }
    }
}

/// The acquisition that a release belongs to.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) guard: Guard,
    /// Its ttl has run out, or is about to.
    pub(super) has_lapsed: bool,
}

impl Holdings {
    /// Remembers an acquisition, unless the component was closed meanwhile.
    pub(super) fn keep(&mut self, trace_id: Option<&str>, guard: Guard) -> Result<(), Guard> {
        if self.is_closed {
            return Err(guard);
        }
        self.sweep();
        let of_key = self.by_key.entry(guard.key().clone()).or_default();
        let before = of_key.len();
        of_key.retain(|holding| !holding.is_settled());
        of_key.push(Holding {
            trace_id: trace_id.map(str::to_owned),
            guard: Kept(Some(guard)),
            is_passed_over: false,
        });
        self.count = (self.count + of_key.len()).saturating_sub(before);
        Ok(())
    }

    /// Takes out the acquisition that a release of `key` belongs to.
    pub(super) fn pick(&mut self, key: &str, trace_id: Option<&str>) -> Option<Picked> {
        let of_key = self.by_key.get_mut(key.as_bytes())?;
        let before = of_key.len();
        of_key.retain(|holding| !holding.is_settled());
        let is_own = |holding: &Holding| holding.trace_id.as_deref() == trace_id;
        let at = of_key.iter().position(is_own).unwrap_or(0);
        let picked = (at < of_key.len()).then(|| of_key.remove(at));
        let has_lapsed = picked.as_ref().is_some_and(|it| it.guard.has_lapsed());
        if has_lapsed {
            // The one that holds the key now, if it could be the one that was meant.
            let newest = of_key.last_mut();
            if let Some(newest) = newest.filter(|it| !it.guard.has_lapsed()) {
                newest.is_passed_over = true;
            }
        }
        self.count = (self.count + of_key.len()).saturating_sub(before);
        if of_key.is_empty() {
            self.by_key.remove(key.as_bytes());
        }
        let guard = picked?.guard.0.take()?;
        Some(Picked { guard, has_lapsed })
    }

    /// Lets go of everything; the leases end by their ttl.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.by_key.clear();
        self.count = 0;
    }

    /// Forgets the acquisitions that ran out longest ago, if they have become too many.
    fn sweep(&mut self) {
        if self.count < self.sweep_at.max(2 * REMEMBERED) {
            return;
        }
        let all = self.by_key.values().flatten();
        let lapsed = all.filter(|holding| holding.guard.has_lapsed());
        let mut ends: Vec<_> = lapsed
            .filter_map(|holding| holding.guard.0.as_ref().map(|guard| guard.deadline()))
            .collect();
        ends.sort_unstable();
        let excess = ends.len().saturating_sub(REMEMBERED);
        if let Some(limit) = excess.checked_sub(1).and_then(|last| ends.get(last)) {
            self.by_key.retain(|_, of_key| {
                of_key.retain(|holding| {
                    let end = holding.guard.0.as_ref().map(|guard| guard.deadline());
                    end.is_some_and(|end| end > *limit)
                });
                !of_key.is_empty()
            });
        }
        self.count = self.by_key.values().map(Vec::len).sum();
        // What is left is mostly held: looking again before it has doubled would be for nothing.
        self.sweep_at = 2 * self.count;
    }
}

impl Holding {
    /// It ran out after a release that was counted for an older one: that one was its own.
    fn is_settled(&self) -> bool {
        self.is_passed_over && self.guard.has_lapsed()
    }
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holdings({} of {} keys)", self.count, self.by_key.len())
    }
}
