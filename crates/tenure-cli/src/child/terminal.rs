//! Lends the terminal to a command that runs in a process group of its own.
//!
//! Without it, a command that reads the terminal would be stopped by the system, because its group
//! is not the one in the foreground.

use std::io::IsTerminal as _;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::Group;

/// The terminal while it is lent; dropping it takes the terminal back.
#[derive(Debug)]
pub(crate) struct Foreground {
    owner: Option<Pid>,
}

impl Foreground {
    /// Puts `group` into the foreground, if standard input is a terminal and ours to give.
    pub(crate) fn lend_to(group: Group) -> Self {
        let stdin = std::io::stdin();
        let ours = getpgrp();
        let is_ours = stdin.is_terminal() && tcgetpgrp(&stdin) == Ok(ours);
        let owner = (is_ours && tcsetpgrp(&stdin, group.id()).is_ok()).then_some(ours);
        Self { owner }
    }

    /// Whether there is a terminal to take back.
    pub(crate) fn is_lent(&self) -> bool {
        self.owner.is_some()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let Some(owner) = self.owner else { return };
        // From the background, setting the foreground group raises SIGTTOU unless it is blocked.
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(std::io::stdin(), owner);
            let _ = blocked.thread_unblock();
        }
    }
}
