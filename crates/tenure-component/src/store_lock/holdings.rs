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
pub(super) struct Holdings {
    /// By key; the oldest first.
    by_key: HashMap<Key, Vec<Holding>>,
    count: usize,
    /// How many that ran out are kept.
    remembered: usize,
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

impl Default for Holdings {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            count: 0,
            remembered: REMEMBERED,
            sweep_at: 0,
            is_closed: false,
        }
    }
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
        if self.count < self.sweep_at.max(2 * self.remembered) {
            return;
        }
        let all = self.by_key.values().flatten();
        let lapsed = all.filter(|holding| holding.guard.has_lapsed());
        let mut ends: Vec<_> = lapsed
            .filter_map(|holding| holding.guard.0.as_ref().map(|guard| guard.deadline()))
            .collect();
        ends.sort_unstable();
        let excess = ends.len().saturating_sub(self.remembered);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tenure_core::{Holder, ManualClock};
    use tenure_lock::Locks;
    use tenure_memory::MemoryStore;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bench {
        clock: Arc<ManualClock>,
        locks: Locks,
        holdings: Holdings,
    }

    impl Bench {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::default());
            let store = Arc::new(MemoryStore::with_clock(clock.clone()));
            Self {
                locks: Locks::new(store, Holder::new("test")).with_clock(clock.clone()),
                clock,
                holdings: Holdings::default(),
            }
        }

        /// Acquires `key` for a second; the number says which acquisition of the key it is.
        async fn take(&mut self, key: &str, trace_id: Option<&str>) -> u64 {
            let lock = self.locks.lock(key).ttl(SECOND).no_renewal();
            let guard = lock.try_acquire().await.unwrap().unwrap();
            let fence = guard.fence().get();
            self.holdings.keep(trace_id, guard).unwrap();
            fence
        }

        /// The acquisition that a release is counted for.
        async fn release(&mut self, key: &str, trace_id: Option<&str>) -> Option<u64> {
            let picked = self.holdings.pick(key, trace_id)?;
            let fence = picked.guard.fence().get();
            picked.guard.release().await.unwrap();
            Some(fence)
        }

        fn lapse(&self) {
            self.clock.advance(2 * SECOND);
        }
    }

    #[tokio::test]
    async fn r1_b_weakness_releases_belong_to_acquisitions_in_their_order() {
        let mut bench = Bench::new();
        let first = bench.take("k", None).await;
        bench.lapse();
        let second = bench.take("k", None).await;
        bench.lapse();
        let third = bench.take("k", None).await;
        for expected in [first, second, third] {
            assert_eq!(bench.release("k", None).await, Some(expected));
        }
        assert_eq!(bench.release("k", None).await, None);
        assert_eq!(bench.release("other", None).await, None);
        assert_eq!((bench.holdings.count, bench.holdings.by_key.len()), (0, 0));
    }

    #[tokio::test]
    async fn r1_b_weakness_a_trace_id_comes_before_the_order() {
        let mut bench = Bench::new();
        let first = bench.take("k", Some("a")).await;
        bench.lapse();
        let second = bench.take("k", None).await;
        bench.lapse();
        let third = bench.take("k", Some("b")).await;
        assert_eq!(bench.release("k", Some("b")).await, Some(third));
        assert_eq!(bench.release("k", None).await, Some(second));
        assert_eq!(
            bench.release("k", Some("c")).await,
            Some(first),
            "the only one left"
        );
    }

    #[tokio::test]
    async fn b_lock_a_forgotten_release_costs_one_ttl_and_not_one_for_ever() {
        let mut bench = Bench::new();
        let first = bench.take("k", None).await;
        bench.lapse();
        bench.take("k", None).await;
        assert_eq!(bench.release("k", None).await, Some(first));
        bench.lapse();
        let third = bench.take("k", None).await;
        assert_eq!(bench.release("k", None).await, Some(third));
        assert_eq!(bench.release("k", None).await, None);
    }

    #[tokio::test]
    async fn f37_acquisitions_that_nobody_releases_are_forgotten_the_oldest_first() {
        let mut bench = Bench::new();
        bench.holdings.remembered = 10;
        for at in 0..200 {
            bench.take(&format!("k{at}"), None).await;
            bench.clock.advance(SECOND / 10);
            assert!(bench.holdings.count <= 40, "{}", bench.holdings.count);
        }
        assert!(bench.holdings.by_key.contains_key("k199".as_bytes()));
        assert!(
            bench.holdings.by_key.contains_key("k185".as_bytes()),
            "ran out just now"
        );
        assert!(!bench.holdings.by_key.contains_key("k0".as_bytes()));
        assert_eq!(
            bench.holdings.count,
            bench.holdings.by_key.values().map(Vec::len).sum::<usize>()
        );
    }

    #[tokio::test]
    async fn r1_b_weakness_what_is_held_is_never_forgotten() {
        let mut bench = Bench::new();
        bench.holdings.remembered = 2;
        for at in 0..100 {
            bench.take(&format!("k{at}"), None).await;
        }
        assert_eq!(bench.holdings.count, 100);
        assert!(bench.release("k0", None).await.is_some());
    }
}
