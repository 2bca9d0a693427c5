//! The store that the current folder's `tasks.toml` names, for commands about tasks that take no
//! task file ([0061](../../../docs/decisions/0061-the-folders-store.md)).
//!
//! A file that somebody else wrote is not heeded: its URL could send what it reads from this
//! environment to a server of theirs.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use nix::unistd::Uid;

use crate::exit::{Code, Failure};
use crate::file::{StoreEntry, TaskFiles};

/// The file that is looked for.
pub(crate) const NAME: &str = "tasks.toml";

/// The store it names; `None` if it names none, or is not this user's own.
pub(crate) fn store_here() -> Result<Option<StoreEntry>, Failure> {
    let path = PathBuf::from(NAME);
    match std::fs::metadata(&path) {
        Ok(about) if about.is_file() && is_trusted(&about, Uid::effective()) => {}
        _ => return Ok(None),
    }
    let files = TaskFiles::read(&[path])?;
    // A file that cannot be read may name another store than the one that would come next.
    if files.store.is_none() && !files.are_sound() {
        let message = format!("`{NAME}` in this folder does not say which store it means");
        return Err(Failure::new(Code::CONFIG, message).help(format!(
            "see `tenure check {NAME}`, or name the store with --store or TENURE_STORE"
        )));
    }
    Ok(files.store)
}

/// Whether nobody but this user and the superuser can have written it.
fn is_trusted(about: &Metadata, user: Uid) -> bool {
    let is_own = about.uid() == user.as_raw() || about.uid() == 0;
    is_own && about.permissions().mode() & 0o002 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e27_a_file_that_another_user_may_have_written_is_not_heeded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let about = file.as_file().metadata().unwrap();
        assert!(is_trusted(&about, Uid::from_raw(about.uid())));
        let other = Uid::from_raw(about.uid() + 1);
        assert_eq!(is_trusted(&about, other), about.uid() == 0);
        let open = std::fs::Permissions::from_mode(0o666);
        file.as_file().set_permissions(open).unwrap();
        let about = file.as_file().metadata().unwrap();
        assert!(!is_trusted(&about, Uid::from_raw(about.uid())));
    }
}
