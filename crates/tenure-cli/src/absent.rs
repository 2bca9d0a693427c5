//! Whether the program that a task begins with is on this machine: `tenure check` says so before
//! the task is due. It is no error, because the task may be for other machines.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::file::{Action, TaskEntry};

/// The program that a task's command names and that cannot be started here.
pub(crate) fn absent(task: &TaskEntry) -> Option<&str> {
    let Action::Command(words) = &task.action else {
        return None;
    };
    let program = words.first()?.as_str();
    let is_here = if program.contains('/') {
        is_program(&task.dir.join(program))
    } else {
        let own = task.env.iter().rfind(|(name, _)| name == "PATH");
        let path = own.map_or_else(
            || std::env::var_os("PATH").unwrap_or_default(),
            |(_, path)| OsString::from(path),
        );
        std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
    };
    (!is_here).then_some(program)
}

/// Whether somebody may execute it; whether it is the task's user, only a start tells.
fn is_program(path: &Path) -> bool {
    let about = std::fs::metadata(path);
    about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
