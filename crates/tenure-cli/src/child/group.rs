//! A process group and what descends from it.
//!
//! Relies on the group's id staying taken for as long as its leader is not reaped; after that a
//! group is only signalled while it has members, which keeps the id taken too. Linux's `/proc`
//! is read to find processes that left the group; elsewhere those are not found.

use std::collections::HashMap;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::time::{sleep, timeout};

/// How often a group that was told to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The process group of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    id: Pid,
}

impl Group {
    /// The group that this process leads.
    pub(crate) fn led_by(process: u32) -> Option<Self> {
        let id = i32::try_from(process).ok().filter(|id| *id > 1)?;
        Some(Self {
            id: Pid::from_raw(id),
        })
    }

    pub(crate) fn id(self) -> Pid {
        self.id
    }

    /// Signals every member. A group without members is no error.
    pub(crate) fn signal(self, signal: Signal) {
        if let Err(error) = killpg(self.id, signal)
            && error != Errno::ESRCH
        {
            tracing::debug!(group = %self.id, %signal, %error, "signal not delivered");
        }
    }

    /// Asks every member to end; stopped ones are continued so that they can.
    pub(crate) fn ask_to_end(self) {
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
    }

    /// Whether nobody is left. Members that already ended and were handed to us are reaped first,
    /// because the dead count as members until then.
    ///
    /// Call it only after the leader was reaped by whoever waits for it: this would take its
    /// status.
    pub(crate) fn is_empty(self) -> bool {
        let members = Pid::from_raw(-self.id.as_raw());
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
            waitpid(members, Some(WaitPidFlag::WNOHANG))
        {}
        killpg(self.id, None) == Err(Errno::ESRCH) || self.has_only_dead()
    }

    /// Whether every member has ended and waits for a parent that is not ours to reap it.
    fn has_only_dead(self) -> bool {
        let all = processes();
        !all.is_empty() && !all.iter().any(|(_, _, group)| *group == self.id.as_raw())
    }

    /// Waits until nobody is left, for at most `patience`. True if so.
    pub(crate) async fn wait_empty(self, patience: Duration) -> bool {
        let empty = async {
            while !self.is_empty() {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(patience, empty).await.is_ok()
    }

    /// Ends what the leader left behind: asks, waits for `grace`, then kills. True if anybody was
    /// left.
    pub(crate) async fn sweep(self, grace: Duration) -> bool {
        if self.is_empty() {
            return false;
        }
        self.ask_to_end();
        if !self.wait_empty(grace).await {
            self.signal(Signal::SIGKILL);
            // A killed process is gone as soon as the system gets to it.
            self.wait_empty(Duration::from_secs(2)).await;
        }
        true
    }
}

/// Makes processes whose parents end ours instead of the system's, where the system can, so that
/// they are found again by [`strays`].
pub(crate) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::debug!(%error, "orphans stay with the system");
    }
}

/// Reaps processes that ended after their parents and were handed to us, so that none is left
/// behind as a zombie. The status of `leader` is left to whoever waits for it.
pub(crate) fn reap_orphans(leader: Pid) {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, ..)) =
        waitid(Id::All, peek)
        && ended != leader
        && waitpid(ended, Some(WaitPidFlag::WNOHANG)).is_ok()
    {}
}

/// Processes that descend from this one and live outside `group`, besides the `guardian`.
pub(crate) fn strays(group: Group, guardian: Option<Pid>) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<(i32, i32)>> = HashMap::new();
    for (pid, parent, group) in processes() {
        children.entry(parent).or_default().push((pid, group));
    }
    let mut found = Vec::new();
    let mut open = vec![nix::unistd::getpid().as_raw()];
    while let Some(parent) = open.pop() {
        for (pid, its_group) in children.remove(&parent).unwrap_or_default() {
            open.push(pid);
            if its_group != group.id.as_raw() && guardian.is_none_or(|own| own.as_raw() != pid) {
                found.push(Pid::from_raw(pid));
            }
        }
    }
    found
}

/// Live processes that were given `variable`, such as `TENURE_RUN_ID=…`, with their names: those of
/// a run that left its group. Reads much of `/proc`; not for every run.
pub(crate) fn given(variable: &str, most: usize) -> Vec<(i32, String)> {
    let live = all_processes().into_iter().filter(|it| !it.has_ended);
    let theirs = live.filter_map(|it| Some((it.id, was_given(it.id, variable)?)));
    theirs.take(most).collect()
}

/// The name of a live process that was given `variable`.
pub(super) fn was_given(process: i32, variable: &str) -> Option<String> {
    // Of the dead it is empty.
    let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find(|it| *it == variable.as_bytes())?;
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some(name.trim_end().to_owned())
}

/// Children of this process that have ended and that nobody has waited for.
pub(super) fn dead_children() -> Vec<Pid> {
    let own = nix::unistd::getpid().as_raw();
    let ended = all_processes()
        .into_iter()
        .filter(|it| it.has_ended && it.parent == own);
    ended.map(|it| Pid::from_raw(it.id)).collect()
}

/// Process, parent and group of every live process that can be read.
fn processes() -> Vec<(i32, i32, i32)> {
    let live = all_processes().into_iter().filter(|it| !it.has_ended);
    live.map(|it| (it.id, it.parent, it.group)).collect()
}

struct Process {
    id: i32,
    parent: i32,
    group: i32,
    has_ended: bool,
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let pid: i32 = name.to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may itself hold blanks and parentheses.
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            Some(Process {
                id: pid,
                has_ended: matches!(fields.next()?, "Z" | "X"),
                parent: fields.next()?.parse().ok()?,
                group: fields.next()?.parse().ok()?,
            })
        })
        .collect()
}
