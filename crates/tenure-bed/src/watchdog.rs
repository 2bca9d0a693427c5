//! Ends the servers of a process that is gone, however it ended.
//!
//! A shell in a process group of its own reads from a pipe whose other end only this process has.
//! It hears of every server. When the pipe ends, because this process returned, crashed or was
//! killed, the shell kills the servers it still knows of and removes their folders. A process id
//! cannot have passed to a stranger by then: a server is taken off the list before it is reaped.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Its argument is the folder to remove. It removes twice: a server that was just killed may be
/// about to write its last file.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=" "
while read -r verb pid; do
    case $verb in
        guard) pids="$pids$pid " ;;
        forget) case $pids in *" $pid "*) pids="${pids%% $pid *} ${pids#* $pid }" ;; esac ;;
    esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
rm -rf "$1"
sleep 0.2
rm -rf "$1"
"#;

static DOG: OnceLock<Dog> = OnceLock::new();

/// What the watchdog guards besides servers, and the watchdog itself.
struct Dog {
    home: PathBuf,
    /// Never waited for: it ends after us.
    shell: Mutex<Child>,
}

/// The folder of this process, removed after it.
pub(crate) fn home() -> &'static Path {
    &dog().home
}

/// From now on this process id does not outlive us.
pub(crate) fn guard(pid: u32) {
    tell("guard", pid);
}

/// The process is ended and about to be reaped.
pub(crate) fn forget(pid: u32) {
    tell("forget", pid);
}

fn tell(verb: &str, pid: u32) {
    let mut shell = dog().shell.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = shell.stdin.as_mut().expect("the pipe was asked for");
    writeln!(pipe, "{verb} {pid}").expect("the watchdog of the servers has ended");
}

fn dog() -> &'static Dog {
    DOG.get_or_init(|| {
        let home = tempfile::Builder::new().prefix("bed").tempdir();
        let home = home.expect("cannot make a temporary folder").keep();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let shell = Mutex::new(shell.expect("cannot start `sh`"));
        Dog { home, shell }
    })
}
