//! Several users on one file: who opens it first must lock nobody out.
//!
//! Another user can only be played by root, as which CI's containers run. Otherwise the same tests
//! run with one user, who takes rights from himself.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::child::Process;
use super::{open, raw};

/// `nobody` and `games` on most systems; they need no names.
const OWNER: u32 = 65_534;
const STRANGER: u32 = 5;

const BESIDE: [&str; 3] = ["-turn", "-crowd", "-bell"];

/// A store's file, `mode` its mode, alone in a folder like the system's temporary one.
struct Place {
    folder: TempDir,
    file: PathBuf,
    is_root: bool,
}

impl Place {
    fn new(mode: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.db");
        // By a process that has ended, so that this connection is the last and moves the log.
        Process::start("open", &file).finish();
        raw(&file)
            .query_row("SELECT count(*) FROM lease", [], |_| Ok(()))
            .unwrap();
        for ending in BESIDE {
            fs::remove_file(beside(&file, ending)).unwrap();
        }
        let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        if is_root {
            chown(&file, Some(OWNER), Some(OWNER)).unwrap();
        }
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        Self {
            folder,
            file,
            is_root,
        }
    }

    /// What this user gets who opens the store: `opened`, or the error's kind and message.
    fn open_as(&self, user: u32) -> String {
        let mut program = std::env::current_exe().unwrap();
        let copy = tempfile::tempdir().unwrap();
        if self.is_root {
            // The build may lie where only root may look.
            fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).unwrap();
            let readable = copy.path().join("program");
            // By another process: had this one the copy open for writing, a child that another test
            // starts in that moment would have it open as well, and nobody could run it.
            let copied = Command::new("cp").args([&program, &readable]).status();
            assert!(copied.unwrap().success());
            program = readable;
        }
        let mut command = Command::new(program);
        command.current_dir("/");
        if self.is_root {
            command.uid(user).gid(user);
        }
        let mut child = Process::spawn(&mut command, "try", &self.file);
        let answer = child.next("answer").unwrap();
        child.finish();
        answer
    }

    fn names(&self) -> Vec<OsString> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect()
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn rights(path: &Path) -> (u32, u32, u32) {
    let found = fs::metadata(path).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o777)
}

#[test]
fn e37_whoever_opens_a_restored_file_gives_what_is_beside_it_to_its_owner() {
    for mode in [0o600, 0o660, 0o666] {
        let place = Place::new(mode);
        drop(open(&place.file));
        for ending in BESIDE {
            let (ours, theirs) = (rights(&beside(&place.file, ending)), rights(&place.file));
            assert_eq!(ours, theirs, "{ending} with mode {mode:o}");
            assert_eq!(ours.2, mode);
        }
        assert_eq!(place.open_as(OWNER), "opened", "with mode {mode:o}");
    }
}

#[test]
fn e37_a_user_who_may_not_write_the_file_is_refused_and_leaves_nothing_beside_it() {
    for mode in [0o444, 0o400, 0o000] {
        // A stranger may do what the others may; root's files deny him the rest.
        let place = Place::new(mode);
        let answer = place.open_as(STRANGER);
        assert!(answer.starts_with("Denied"), "{answer}");
        assert!(
            answer.contains("d.db` may not be read and written by this user"),
            "{answer}"
        );
        assert!(answer.contains(&format!("has mode {mode:03o}")), "{answer}");
        assert_eq!(place.names(), ["d.db"], "with mode {mode:o}");
        fs::set_permissions(&place.file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(place.open_as(OWNER), "opened", "with mode {mode:o}");
    }
}

#[test]
fn e37_the_file_that_was_refused_is_named_with_a_next_step() {
    for (ending, step) in [
        ("-turn", "give it the owner and mode of"),
        ("-crowd", "give it the owner and mode of"),
        ("-bell", "give it the owner and mode of"),
        ("-wal", "give it the owner and mode of"),
    ] {
        let place = Place::new(0o644);
        let refused = beside(&place.file, ending);
        fs::write(&refused, b"").unwrap();
        fs::set_permissions(&refused, Permissions::from_mode(0o000)).unwrap();
        let answer = place.open_as(OWNER);
        let expected = format!("Denied `{}` may not be", refused.display());
        assert!(answer.starts_with(&expected), "{answer}");
        assert!(answer.contains(step), "{answer}");
    }
    let place = Place::new(0o644);
    fs::set_permissions(place.folder.path(), Permissions::from_mode(0o555)).unwrap();
    let answer = place.open_as(OWNER);
    fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(answer.starts_with("Denied `"), "{answer}");
    assert!(answer.contains("/d.db-"), "{answer}");
    assert!(
        answer.contains("may not be made by this user; grant write access to the folder"),
        "{answer}"
    );
}
