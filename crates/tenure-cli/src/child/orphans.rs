//! Orphans of a whole container: process 1 is handed everybody whose parent has ended, and nobody
//! but it can take their last status from the system.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::time::sleep;

use super::group::dead_children;

/// How often the dead are looked at. Whoever waits for a command of ours takes its status within
/// milliseconds; who is still there at the next look has nobody else.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reaps orphans for as long as the program runs, if it is process 1.
pub(crate) async fn bury_orphans() -> Infallible {
    if getpid() != Pid::from_raw(1) {
        return std::future::pending().await;
    }
    let mut seen = HashSet::new();
    loop {
        sleep(LOOK_EVERY).await;
        seen = bury(&seen);
    }
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
