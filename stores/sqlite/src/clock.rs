//! Steady store time: the clock that ends leases.
//!
//! All processes of one file share a machine, hence its boot clock, which never steps. The first
//! process after a boot writes down how far the wall clock is from it; every process adds that
//! number. Where the machine does not tell its boots apart the wall clock has to do.

use std::sync::Arc;

use tenure_core::{Clock, Timestamp};

/// The two times of a store.
#[derive(Debug, Clone)]
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    offset_ms: Option<i64>,
}

impl StoreTime {
    /// Steady time plus `offset_ms`; without an offset, wall time.
    pub(crate) fn new(clock: Arc<dyn Clock>, offset_ms: Option<i64>) -> Self {
        Self { clock, offset_ms }
    }

    /// What ends leases.
    pub(crate) fn now(&self) -> Timestamp {
        self.offset_ms.map_or_else(
            || self.wall(),
            |offset| Timestamp::from_millis(steady_ms(&*self.clock).saturating_add(offset)),
        )
    }

    /// What ticks are compared with.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Whether a step of the wall clock leaves leases alone.
    pub(crate) fn is_steady(&self) -> bool {
        self.offset_ms.is_some()
    }
}

/// How far the wall clock is ahead of the steady clock now.
pub(crate) fn offset_ms(clock: &dyn Clock) -> i64 {
    clock.wall().as_millis().saturating_sub(steady_ms(clock))
}

fn steady_ms(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.now().since_origin().as_millis()).unwrap_or(i64::MAX)
}

/// The name of this machine's steady clock: its boot, and the time namespace of this process, in
/// which the clock may be shifted. `None` if the system does not say.
///
/// # Sources
/// Linux `random(4)`, `/proc/sys/kernel/random/boot_id`; `time_namespaces(7)`.
pub(crate) fn name() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = boot.trim();
    if boot.is_empty() {
        return None;
    }
    let space = std::fs::read_link("/proc/self/ns/time")
        .map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default();
    Some(format!("{boot} {space}"))
}

/// The name of a clock that tests inject.
pub(crate) const INJECTED: &str = "injected";
