//! Orphans: processes whose parent has ended, which the system hands to process 1 or to whoever
//! asks for those below it, as `tenure run` does.
//!
//! By that a daemon that a command leaves behind is found without a look at all processes, and
//! nobody but us can take its last status from the system.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::group::{dead_children, was_given};

/// How often the dead are looked at. Whoever waits for a command of ours takes its status within
/// milliseconds; who is still there at the next look has nobody else.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many children are looked at after a run, the youngest: daemons of earlier runs stay for as
/// long as they like.
const MOST_LOOKED_AT: usize = 64;

/// Reaps orphans for as long as the program runs.
pub(crate) async fn bury_orphans() -> Infallible {
    let mut seen = HashSet::new();
    loop {
        sleep(LOOK_EVERY).await;
        seen = if has_dead_child() {
            bury(&seen)
        } else {
            HashSet::new()
        };
    }
}

/// Whether any child has ended: one question, in place of a look at all processes.
fn has_dead_child() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let answer = waitid(Id::All, peek);
    matches!(
        answer,
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..))
    )
}

/// Reaps the dead that were `seen` before, and says who has died since.
fn bury(seen: &HashSet<Pid>) -> HashSet<Pid> {
    let (known, new): (HashSet<Pid>, HashSet<Pid>) = dead_children()
        .into_iter()
        .partition(|pid| seen.contains(pid));
    for pid in known {
        let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
    new
}

/// Live orphans that were given `variable`, such as `TENURE_RUN_ID=…`, with their names. Of a
/// daemon and what it started only the first is found.
///
/// The system hands orphans to the first thread of a process. Commands are started by others, so
/// that its list of children is short and may be read after every run.
pub(crate) fn orphans_given(variable: &str, most: usize) -> Vec<(i32, String)> {
    let own = nix::unistd::getpid();
    let list = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let list = list.unwrap_or_default();
    let children = list.split_ascii_whitespace().rev().take(MOST_LOOKED_AT);
    let children = children.filter_map(|child| child.parse().ok());
    let theirs = children.filter_map(|child| Some((child, was_given(child, variable)?)));
    theirs.take(most).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use tenure::core::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn an_orphan_is_reaped_at_the_second_look() {
        super::super::adopt_orphans();
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // It ends only after the shell that began it, which might wait for it otherwise.
        let shell = "(sh -c 'read line < \"$0\"; exit 3' \"$0\" >/dev/null & echo $!)";
        let out = Command::new("sh")
            .args(["-c", shell])
            .arg(&gate)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        std::fs::write(&gate, "end\n").unwrap();
        let orphan: i32 = String::from_utf8(out.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let orphan = Pid::from_raw(orphan);
        let patience = SystemClock.now() + Duration::from_secs(30);
        let mut seen = HashSet::new();
        while !seen.contains(&orphan) {
            assert!(SystemClock.now() < patience, "{orphan} did not become ours");
            seen = bury(&HashSet::new());
        }
        assert!(dead_children().contains(&orphan));
        bury(&seen);
        assert!(!dead_children().contains(&orphan));
    }
}
