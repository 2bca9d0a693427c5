//! Watches a command while its lock lasts, and sees to it that it does not outlast it.
//!
//! ```text
//!   running ──ends──→ sweeping (what it left in its group) ──empty──→ done
//!      │                    │
//!      └── a third of the ttl is left: asked to end ──┐
//!      └── hardly any is left, or the lock is lost: killed ──→ done, 75
//! ```
//!
//! Relies on the guards' clock, which counts suspension, and looks at it at least five times a
//! second. Knows nothing of stores.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tenure::core::{Clock as _, Moment, SystemClock};
use tenure::lock::GuardSet;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::child::{Foreground, Group, Guardian, reap_orphans, strays};
use crate::notice::notice;
use crate::signals::Signals;

/// The longest time between two looks at the clock: timers stand still while a machine sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same while the end of something is awaited that tells nobody.
const LOOK_OFTEN: Duration = Duration::from_millis(10);
/// How long what a command left behind may take to end.
const SWEEP_GRACE: Duration = Duration::from_secs(5);
/// How long to wait for killed processes to be gone. The system owes them no time.
const DEATH: Duration = Duration::from_secs(2);

/// How much of the trust window must be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Margins {
    /// With less, the command is asked to end.
    pub(crate) ask: Duration,
    /// With less, it is killed.
    pub(crate) kill: Duration,
}

impl Margins {
    /// The margins for a ttl: a third, 5 s at most, and a twelfth, between 50 ms and 1 s.
    ///
    /// Renewals come every third of the ttl, so being asked to end means that one was missed and
    /// the next is not there either.
    pub(crate) fn of(ttl: Duration) -> Self {
        Self {
            ask: (ttl / 3).min(Duration::from_secs(5)),
            kill: (ttl / 12).clamp(Duration::from_millis(50), Duration::from_secs(1)),
        }
    }

    /// Waits until there is more time than a command would be asked to end with, or for the reason
    /// why there never will be.
    pub(crate) async fn reached(self, guards: &GuardSet) -> Result<(), String> {
        loop {
            let left = left(guards);
            if left > self.ask {
                return Ok(());
            }
            if left <= self.kill {
                return Err(why(guards));
            }
            sleep(LOOK_OFTEN).await;
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The command ended by itself.
    Command(ExitStatus),
    /// It was stopped, for this reason.
    Lease(String),
}

/// A command that runs in a group of its own.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    leader: Pid,
    group: Group,
    guardian: Guardian,
    terminal: Foreground,
}

impl Supervised {
    /// Takes charge of a command that was just started.
    pub(crate) fn new(child: Child) -> Option<Self> {
        let group = Group::led_by(child.id()?)?;
        let guardian = Guardian::start();
        guardian.bind(group);
        let terminal = Foreground::lend_to(group);
        if terminal.is_lent() {
            // It may have been stopped for reading before the terminal was its own.
            group.signal(Signal::SIGCONT);
        }
        Some(Self {
            child,
            leader: group.id(),
            group,
            guardian,
            terminal,
        })
    }

    /// Watches until the command and its group are gone.
    pub(crate) async fn watch(
        mut self,
        guards: &GuardSet,
        margins: Margins,
        signals: &mut Signals,
    ) -> End {
        let mut stopped: Option<String> = None;
        let mut ended: Option<(ExitStatus, Moment)> = None;
        let mut told = Moment::from_origin(Duration::ZERO);
        loop {
            let left = left(guards);
            // The guardian acts only after us, so it is given half of the time that is left then.
            let until = SystemClock.now() + left.saturating_sub(margins.kill / 2);
            if until.since(told) > LOOK_OFTEN {
                told = until;
                self.guardian.until(until);
            }
            if left <= margins.kill {
                self.kill().await;
                self.guardian.remove(self.group);
                let reason = match stopped {
                    Some(reason) if !left.is_zero() => reason,
                    _ => why(guards),
                };
                return End::Lease(reason);
            }
            if left <= margins.ask && stopped.is_none() {
                let reason = "it could not be renewed in time".to_owned();
                notice(format_args!(
                    "stopping the command: its lock {}",
                    &reason[3..]
                ));
                stopped = Some(reason);
                self.ask_to_end();
            }
            let next = if stopped.is_some() {
                margins.kill
            } else {
                margins.ask
            };
            let pause = left.saturating_sub(next).min(LOOK_EVERY);
            if let Some((status, since)) = ended {
                if self.group.is_empty() {
                    self.guardian.remove(self.group);
                    self.name_strays();
                    return stopped.map_or(End::Command(status), End::Lease);
                }
                if SystemClock.now().since(since) > SWEEP_GRACE {
                    self.group.signal(Signal::SIGKILL);
                }
                sleep(pause.min(LOOK_OFTEN)).await;
                continue;
            }
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    ended = Some((status.unwrap_or_default(), SystemClock.now()));
                    if stopped.is_none() {
                        self.end_what_is_left();
                    }
                }
                signal = signals.next() => self.group.signal(signal),
                _ = guards.lost() => {}
                () = sleep(pause) => {
                    self.wake_if_suspended();
                    reap_orphans(self.leader);
                }
            }
        }
    }

    /// Tells what the command left in its group to end.
    fn end_what_is_left(&self) {
        if !self.group.is_empty() {
            notice(format_args!(
                "the command left processes running; stopping them before the lock is given back"
            ));
            self.group.ask_to_end();
        }
    }

    fn ask_to_end(&self) {
        self.group.ask_to_end();
        for stray in strays(self.group, self.guardian.process()) {
            let _ = kill(stray, Signal::SIGTERM);
        }
    }

    /// Ends the command and everything that descends from it.
    async fn kill(&mut self) {
        let killing = async {
            loop {
                self.group.signal(Signal::SIGKILL);
                let strays = strays(self.group, self.guardian.process());
                for stray in &strays {
                    let _ = kill(*stray, Signal::SIGKILL);
                }
                // Its status does not matter any more; reaping it lets the group become empty.
                let is_reaped = self.child.id().is_none()
                    || timeout(LOOK_OFTEN, self.child.wait()).await.is_ok();
                if is_reaped && self.group.is_empty() && strays.is_empty() {
                    return;
                }
            }
        };
        let _ = timeout(DEATH, killing).await;
    }

    /// A suspended command would keep its lock for as long as nobody notices, and without a job
    /// of its own the shell could not wake it.
    fn wake_if_suspended(&self) {
        if !self.terminal.is_lent() {
            return;
        }
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
        if let Ok(WaitStatus::Stopped(..)) = waitid(Id::Pid(self.leader), flags) {
            notice(format_args!(
                "a command under a lock cannot be suspended; it goes on"
            ));
            self.group.signal(Signal::SIGCONT);
        }
    }

    fn name_strays(&self) {
        let strays: Vec<String> = strays(self.group, self.guardian.process())
            .iter()
            .map(ToString::to_string)
            .collect();
        if !strays.is_empty() {
            notice(format_args!(
                "still running without the lock, because they left the command's process group: {}",
                strays.join(", ")
            ));
        }
    }
}

/// How long all the locks may be relied on.
fn left(guards: &GuardSet) -> Duration {
    guards
        .guards()
        .iter()
        .map(|guard| guard.remaining())
        .min()
        .unwrap_or_default()
}

fn why(guards: &GuardSet) -> String {
    match guards.ensure_trusted() {
        Err(lost) => lost.reason.to_string(),
        Ok(()) => "it could not be renewed in time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r82_asking_and_killing_both_fit_into_the_margin() {
        let ms = Duration::from_millis;
        for (ttl, ask, kill) in [
            (ms(500), ms(166), ms(50)),
            (ms(3_000), ms(1_000), ms(250)),
            (ms(10_000), ms(3_333), ms(833)),
            (ms(3_600_000), ms(5_000), ms(1_000)),
        ] {
            let margins = Margins::of(ttl);
            assert_eq!(margins.ask.as_millis(), ask.as_millis());
            assert_eq!(margins.kill.as_millis(), kill.as_millis());
            // Less than what is left when a renewal is due.
            assert!(margins.ask + ttl / 100 < ttl * 2 / 3);
        }
    }
}
