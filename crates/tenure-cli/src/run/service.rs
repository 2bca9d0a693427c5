//! What a service manager is told of `tenure run`, by the protocol of `sd_notify(3)`.
//!
//! Nothing is told where nobody asked: without `NOTIFY_SOCKET` all of this does nothing. The
//! manager may want a sign of life (`WatchdogSec=`); it gets one from a runtime that still works.

use std::convert::Infallible;

use sd_notify::NotifyState;

/// What the process does, in a word.
pub(super) fn doing(watch_only: bool) -> &'static str {
    if watch_only { "watching" } else { "running" }
}

/// The tasks have been read and their node is known to the store.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The files are about to be read again; [`ready`] says when that is over, well or not.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// No more ticks are claimed; what runs may finish.
pub(super) fn ending() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Gives the signs of life that the manager asked for, twice as often as it wants them.
pub(super) async fn stay_alive() -> Infallible {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(patience / 2).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
