//! Commands that tenure starts: their process groups, their output, and how they are stopped.
//!
//! Every command is the leader of a process group of its own, so that a signal reaches what it
//! started as well, and a second process sees to it that no command outlives a program that was
//! killed. Knows nothing of locks or tasks.

mod capture;
mod group;
mod guardian;
mod orphans;
mod terminal;

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

pub(crate) use self::capture::Capture;
pub(crate) use self::group::{Group, adopt_orphans, given, reap_orphans, strays};
pub(crate) use self::guardian::{COMMAND as GUARDIAN, Guardian, serve as serve_as_guardian};
pub(crate) use self::orphans::{bury_orphans, orphans_given};
pub(crate) use self::terminal::Foreground;
use crate::exit::{Code, Failure};
use crate::text::shown_os;

/// The status to end with after a command ended so.
pub(crate) fn code_of(status: ExitStatus) -> Code {
    match (status.code(), status.signal()) {
        (Some(code), _) => Code(u8::try_from(code & 0xff).unwrap_or(255)),
        (None, Some(signal)) => Code::of_signal(signal),
        (None, None) => Code::BUG,
    }
}

/// Why a command could not be started, in the words and with the status of a shell.
pub(crate) fn spawn_failure(program: &OsStr, error: &io::Error) -> Failure {
    let shown = shown_os(program);
    match error.kind() {
        io::ErrorKind::NotFound if std::path::Path::new(program).exists() => Failure::new(
            Code::NOT_FOUND,
            format!("cannot run `{shown}`: the interpreter its first line names was not found"),
        ),
        io::ErrorKind::NotFound => Failure::new(
            Code::NOT_FOUND,
            format!("cannot run `{shown}`: command not found"),
        )
        .help(if program.to_string_lossy().contains(char::is_whitespace) {
            "it is one word with a blank in it: write the program and its arguments as words of \
             their own, or let a shell read it with `sh -c '…'`"
        } else {
            "check the spelling and PATH; shell built-ins need `sh -c '…'`"
        }),
        _ => Failure::new(
            Code::NOT_EXECUTABLE,
            format!("cannot run `{shown}`: {error}"),
        )
        .help("the file must be a program, or a script with a `#!` line, and executable"),
    }
}
