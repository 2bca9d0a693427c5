//! A server as a process: started, paused, killed, always by its own id.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::watchdog;

/// A place for a process: one that runs, or the log of one that ran.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Option<Child>>,
    log: PathBuf,
}

impl Process {
    /// A place whose processes write to `log`.
    pub(crate) fn new(log: PathBuf) -> Self {
        let child = Mutex::new(None);
        Self { child, log }
    }

    /// Kills what runs here and starts a command. It stands in a process group of its own, so that
    /// a signal to the test is none to the server.
    pub(crate) fn start(&self, mut command: Command) {
        self.kill();
        let output = File::options().create(true).append(true).open(&self.log);
        let output = output.expect("cannot open a log");
        let copy = output.try_clone().expect("cannot copy a file handle");
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| {
            let program = command.get_program().to_string_lossy();
            panic!("cannot start {program}: {error}")
        });
        watchdog::guard(child.id());
        *self.child() = Some(child);
    }

    /// Its id, unless it has been killed or has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        let mut place = self.child();
        let id = place.as_ref()?.id();
        // Only looks: the process is reaped after the watchdog has forgotten it.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let runs = matches!(waitid(WaitId::Pid(signed(id)), look), Ok(None));
        if !runs {
            end(place.take());
        }
        runs.then_some(id)
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        // Held over the call: nobody else can reap it, so the id is still its own.
        if let Some(child) = &*self.child() {
            let _already_gone = kill_process(signed(child.id()), signal);
        }
    }

    /// Ends it at once, as a crash would, and returns when it is gone.
    pub(crate) fn kill(&self) {
        end(self.child().take());
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines it wrote.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether its output holds a word.
    pub(crate) fn said(&self, word: &str) -> bool {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(word)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _already_gone = child.kill();
        watchdog::forget(child.id());
        let _reaped = child.wait();
    }
}

fn signed(id: u32) -> Pid {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.expect("no process has this id")
}
