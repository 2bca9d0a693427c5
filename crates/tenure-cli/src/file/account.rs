//! The account whose rights a command has, and the file its output is added to.
//!
//! Both are looked up where the file is read, so that a wrong name is told with its line and not at
//! three in the morning.

use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

use super::section::Section;
use crate::nearest::nearest;
use crate::text::shown;

/// What runs a program with the rights of another account, its groups included.
pub(crate) const SWITCH: &str = "setpriv";
/// Stands in a log's path for the task's name.
const TASK: &str = "{task}";

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) home: PathBuf,
    pub(crate) shell: PathBuf,
}

impl Account {
    /// Whether this program has the account's rights already.
    pub(crate) fn is_ours(&self) -> bool {
        self.uid == nix::unistd::geteuid()
    }
}

/// `user = "backup"`.
pub(super) fn read_account(section: &mut Section<'_, '_, '_>) -> Option<Account> {
    let text = section.string("user")?;
    let (reason, help) = match User::from_name(text.text) {
        Ok(Some(user)) => {
            let account = Account {
                name: user.name,
                uid: user.uid,
                gid: user.gid,
                home: user.dir,
                shell: user.shell,
            };
            if account.is_ours() {
                return Some(account);
            }
            if !nix::unistd::geteuid().is_root() {
                (
                    "only root can run commands as another user".to_owned(),
                    "start tenure as root or as that user, or remove it",
                )
            } else if !is_there(SWITCH) {
                (
                    format!("`{SWITCH}` is needed for it and was not found"),
                    "install util-linux",
                )
            } else {
                return Some(account);
            }
        }
        Ok(None) => (
            format!("there is no user `{}` on this machine", shown(text.text)),
            "create the user, or name another",
        ),
        Err(error) => (
            format!("the user could not be looked up: {error}"),
            "try again",
        ),
    };
    section.refuse("user", text.place, &reason, Some(help.to_owned()));
    None
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// `log = "logs/{task}.log"`, with the task's name still to be put in.
pub(super) fn read_log(section: &mut Section<'_, '_, '_>) -> Option<PathBuf> {
    let (path, place) = section.path("log")?;
    let named = path.file_name().and_then(|name| name.to_str());
    if let Some(unknown) = named.and_then(unknown_in) {
        let reason = format!("`{unknown}` stands for nothing");
        let help = match nearest(unknown.trim_matches(['{', '}']), ["task"]) {
            Some(_) => format!("did you mean `{TASK}`?"),
            None => format!("`{TASK}` stands for the task's name; nothing else is put in"),
        };
        section.refuse("log", place, &reason, Some(help));
        return None;
    }
    let reason = if path.is_dir() {
        "is a folder; name a file in it"
    } else if path.file_name().is_none() {
        "names no file"
    } else if path.parent().is_some_and(Path::is_dir) {
        return Some(path);
    } else {
        "its folder does not exist"
    };
    let help =
        "the path is relative to the task file's folder; `{task}` stands for the task's name";
    section.refuse("log", place, reason, Some(help.to_owned()));
    None
}

/// The first word in braces that nothing is put in for.
fn unknown_in(name: &str) -> Option<&str> {
    let mut rest = name;
    while let Some((_, behind)) = rest.split_once('{') {
        let from = name.len() - behind.len() - 1;
        let (word, _) = behind.split_once('}')?;
        let found = name.get(from..from + word.len() + 2)?;
        let is_word =
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_word && found != TASK {
            return Some(found);
        }
        rest = behind;
    }
    None
}

/// The log of one task.
pub(super) fn log_of(path: PathBuf, task: &str) -> PathBuf {
    let named = path.file_name().and_then(|name| name.to_str());
    match named {
        Some(name) if name.contains(TASK) => {
            // A name of several parts is still one file, and a name such as `..` no way out.
            let part = task.replace(['/', '\\'], "-");
            path.with_file_name(name.replace(TASK, &part))
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e56_a_word_in_braces_that_stands_for_nothing_is_found() {
        for (name, expected) in [
            ("{task}.log", None),
            ("{tsk}.log", Some("{tsk}")),
            ("{task}-{date}.log", Some("{date}")),
            ("{}{ a }{", None),
            ("{{x}", Some("{x}")),
        ] {
            assert_eq!(unknown_in(name), expected, "{name}");
        }
    }

    #[test]
    fn a_tasks_name_never_leads_out_of_the_logs_folder() {
        for (path, task, expected) in [
            ("/var/log/{task}.log", "backup", "/var/log/backup.log"),
            ("/var/log/{task}.log", "db/full", "/var/log/db-full.log"),
            ("/var/log/{task}.log", "../../etc", "/var/log/..-..-etc.log"),
            ("/var/log/all.log", "backup", "/var/log/all.log"),
            ("/var/{task}/x.log", "backup", "/var/{task}/x.log"),
        ] {
            assert_eq!(log_of(path.into(), task), PathBuf::from(expected), "{path}");
        }
    }
}
