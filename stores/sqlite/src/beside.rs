//! The small files beside the database: who may use the database may use them too.
//!
//! Whoever comes first makes them, perhaps as root, perhaps only to read. So that this locks nobody
//! out they get the owner and the mode of the database, as SQLite's own log does. Knows nothing of
//! what the files are for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tenure_core::{StoreError, StoreErrorKind};

use crate::place;

/// Opens the file with this ending, making it if it is missing, and tells its path.
pub(crate) fn open(database: &Path, ending: &str) -> Result<(File, PathBuf), StoreError> {
    let path = named(database, ending);
    match open_or_make(database, &path) {
        Ok(file) => Ok((file, path)),
        Err(error) => Err(refused(database, &path, &error)),
    }
}

/// Why SQLite, which does not say, may have been refused its log: the file of it, or the folder,
/// that this user may not use.
pub(crate) fn refused_to_sqlite(database: &Path) -> Option<StoreError> {
    for ending in ["-wal", "-shm"] {
        let path = named(database, ending);
        match place::access(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Some(refused(database, &path, &error));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(Err(denied)) = database.parent().map(place::access) {
                    return Some(refused(database, &path, &denied));
                }
            }
            _ => {}
        }
    }
    None
}

fn named(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn open_or_make(database: &Path, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // In a folder that others may write to, a link could lead root to any file at all.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits();
        options.custom_flags(i32::try_from(flags).unwrap_or(0));
    }
    // Not in one call: in folders like the system's temporary one, Linux lets nobody open a file of
    // another user with a call that would make it.
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        answer => return answer,
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        options.mode(fs::metadata(database)?.mode() & 0o666);
    }
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            share(database, &file);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// Gives a new file the database's mode and, as far as this user may, its owner and group.
#[cfg(unix)]
fn share(database: &Path, file: &File) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let (Ok(like), Ok(own)) = (fs::metadata(database), file.metadata()) else {
        return;
    };
    // The mode it was made with has lost what this process's umask takes away. A failure costs
    // others their access, and the message they get names the file.
    let _ = file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o666));
    if (like.uid(), like.gid()) != (own.uid(), own.gid())
        && fchown(file, Some(like.uid()), Some(like.gid())).is_err()
    {
        // Only root gives files away, but a member may give one to the group.
        let _ = fchown(file, None, Some(like.gid()));
    }
}

#[cfg(not(unix))]
fn share(_database: &Path, _file: &File) {}

fn refused(database: &Path, path: &Path, error: &io::Error) -> StoreError {
    let shown = path.display();
    let found = fs::symlink_metadata(path);
    let (kind, message) = match &found {
        Ok(found) if found.is_symlink() => (
            StoreErrorKind::Misconfigured,
            format!("`{shown}` is a link, which is not followed here; remove it"),
        ),
        Ok(found) if error.kind() == io::ErrorKind::PermissionDenied => (
            StoreErrorKind::Denied,
            format!(
                "`{shown}` may not be read and written by this user{}; give it the owner and mode \
                 of `{}`, or remove it while no process uses the store",
                place::owner(found),
                database.display()
            ),
        ),
        Err(_) if error.kind() == io::ErrorKind::PermissionDenied => (
            StoreErrorKind::Denied,
            format!("`{shown}` may not be made by this user; grant write access to the folder"),
        ),
        _ => return place::of_io(path, error),
    };
    StoreError::new(kind, message)
}
