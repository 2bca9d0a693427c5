//! Waiting, with chance in every timer and a limit on every call.
//!
//! All sleeping of this crate happens here. Sleeps follow the steady [`Clock`] and look at it at
//! least once a second of the runtime's time, so that a suspended machine is noticed on resume.

use std::time::Duration;

use tenure_core::{Clock, Moment, StoreError, StoreErrorKind, format_duration};

/// How long a sleep goes on without looking at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// How late the runtime's timers may wake: they count whole milliseconds, and so does the system
/// that they wait with.
const COARSE: Duration = Duration::from_millis(2);

/// A random span up to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

/// `span`, or less by a random part of up to a fifth.
pub(crate) fn shortened(span: Duration) -> Duration {
    span.saturating_sub(up_to(span / 5))
}

/// Sleeps until `clock` reads `until`.
pub(crate) async fn sleep_until(clock: &dyn Clock, until: Moment) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// Sleeps until `clock` reads `until`, and hardly any longer.
///
/// The last two milliseconds are slept by a thread of the runtime's pool, to a tenth of one. It is
/// for those whose lateness everybody behind them shares. Dropped early, the thread sleeps to its
/// end.
pub(crate) async fn sleep_sharply_until(clock: &dyn Clock, until: Moment) {
    sleep_until(clock, until - COARSE).await;
    let left = until.since(clock.now()).min(COARSE);
    if !left.is_zero() {
        let slept = tokio::task::spawn_blocking(move || std::thread::sleep(left));
        // Of a runtime that shuts down nobody waits for anything.
        drop(slept.await);
    }
    // A clock that is moved by hand does not follow threads.
    sleep_until(clock, until).await;
}

/// Awaits a store's answer for at most `limit`.
///
/// The call is tried once even if the limit is zero. What became of a call that was given up is
/// unknown.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("the store gave no answer within {}", format_duration(limit)),
        )
        .with_unknown_outcome()),
    }
}

/// Growing pauses between attempts, each drawn at random so that nobody keeps step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Pauses from about `first`, doubling up to about `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most }
    }

    /// For calls to a store that does not answer: 20 ms to 2 s.
    pub(crate) fn for_store() -> Self {
        Self::new(Duration::from_millis(20), Duration::from_secs(2))
    }

    /// The next pause: between a half and the whole of what it has grown to.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.most);
        whole / 2 + up_to(whole / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r28_a_thousand_clients_that_fail_together_do_not_come_back_together() {
        let mut pauses: Vec<_> = (0..1_000)
            .map(|_| {
                let mut backoff = Backoff::for_store();
                (0..6).map(|_| backoff.pause()).sum::<Duration>()
            })
            .collect();
        pauses.sort();
        let spread = pauses[999].saturating_sub(pauses[0]);
        assert!(spread > Duration::from_millis(300), "{spread:?}");
        let crowd = pauses
            .windows(50)
            .map(|some| some[49].saturating_sub(some[0]))
            .min()
            .unwrap();
        assert!(crowd > Duration::from_millis(2), "fifty within {crowd:?}");
    }

    #[tokio::test]
    async fn r24_a_sharp_sleep_never_ends_early() {
        let clock = tenure_core::SystemClock;
        for micros in [0, 1, 300, 1_700, 2_000, 2_300, 5_001] {
            let until = clock.now() + Duration::from_micros(micros);
            sleep_sharply_until(&clock, until).await;
            assert!(clock.now() >= until, "{micros} µs");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r24_a_sharp_sleep_follows_a_clock_that_is_moved_by_hand() {
        let clock = std::sync::Arc::new(tenure_core::ManualClock::default());
        let until = clock.now() + Duration::from_millis(3);
        let (sleeper, its_clock) = (clock.clone(), clock.clone());
        let slept = tokio::spawn(async move { sleep_sharply_until(&*its_clock, until).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!slept.is_finished());
        sleeper.advance(Duration::from_millis(3));
        slept.await.unwrap();
    }

    #[test]
    fn r28_pauses_grow_and_stop_growing() {
        let mut backoff = Backoff::for_store();
        let pauses: Vec<_> = (0..40).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= Duration::from_millis(20));
        assert!(pauses[39] >= Duration::from_secs(1));
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(2)));
    }
}
