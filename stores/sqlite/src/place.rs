//! Where the file may live: on a local disk, in a folder that exists, for a user who may write it.
//!
//! SQLite's write-ahead log needs memory that all processes share, and locks that work. Network
//! file systems give neither, so they are refused with their name.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tenure_core::{StoreError, StoreErrorKind};

use crate::error::NoStore;
use crate::options::SqliteOptions;

/// A file as the system numbers it, to notice when another one takes its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// Checks the place, makes an empty file there if there is none and there may be a new one, and
/// answers the full path.
pub(crate) fn prepare(options: &SqliteOptions) -> Result<PathBuf, StoreError> {
    let path = options.path();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(refused(path, "is a folder; name a file in it"));
    };
    let folder = fs::canonicalize(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if options.existing_only => {
            no_store(path, "does not exist")
        }
        io::ErrorKind::NotFound => no_folder(path),
        _ => of_io(path, &error),
    })?;
    let full = folder.join(name);
    find_or_make(options, &full)?;
    if has_other_names(&full) {
        let reason = "has several names (hard links), and SQLite keeps a log beside each; keep one";
        return Err(refused(path, reason));
    }
    // A link may lead to another file system, so the file itself is asked.
    let full = fs::canonicalize(&full).map_err(|error| of_io(path, &error))?;
    if let Some(kind) = network_file_system(&full) {
        let reason = format!(
            "is on a network file system ({kind}), where SQLite cannot lock; choose a local disk, \
             or a store for several machines"
        );
        return Err(refused(path, &reason));
    }
    // SQLite would open it to read, and leave a log of this user's in the way of those who may
    // write.
    access(&full).map_err(|error| match (error.kind(), fs::metadata(&full)) {
        (io::ErrorKind::PermissionDenied, Ok(found)) => {
            let owner = owner(&found);
            let reason = format!(
                "may not be read and written by this user{owner}; grant read and write access to it"
            );
            StoreError::new(StoreErrorKind::Denied, about(path, &reason))
        }
        _ => of_io(path, &error),
    })?;
    Ok(full)
}

/// Whether this process may read and write the file, or make files in the folder. Opens nothing:
/// closing a descriptor would drop SQLite's locks.
pub(crate) fn access(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        use rustix::io::Errno;
        let wanted = if path.is_dir() {
            Access::WRITE_OK | Access::EXEC_OK
        } else {
            Access::READ_OK | Access::WRITE_OK
        };
        match accessat(CWD, path, wanted, AtFlags::EACCESS) {
            // A system too old to be asked; SQLite is asked next.
            Ok(()) | Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    fs::metadata(path).map(drop)
}

/// Whose file it is, for a message to somebody who may not use it.
pub(crate) fn owner(found: &fs::Metadata) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (user, mode) = (found.uid(), found.mode() & 0o777);
        format!(" (it belongs to user {user} and has mode {mode:03o})")
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        String::new()
    }
}

/// There is nothing to open, and nothing may be made.
pub(crate) fn no_store(path: &Path, what: &str) -> StoreError {
    let reason = format!(
        "{what}; check the path: a store is made when a program first takes a lock or runs a task \
         there"
    );
    refused(path, &reason).with_source(NoStore)
}

#[cfg(unix)]
fn has_other_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_path: &Path) -> bool {
    false
}

/// Which file the path leads to now.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

fn find_or_make(options: &SqliteOptions, full: &Path) -> Result<(), StoreError> {
    // Closing any descriptor of a file drops the locks that SQLite holds on it in this process, so
    // no other store may find the file before the one that makes it has closed it.
    static MAKING: Mutex<()> = Mutex::new(());
    let path = options.path();
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match fs::metadata(full) {
        Ok(metadata) if metadata.is_dir() => Err(refused(path, "is a folder; name a file in it")),
        Ok(metadata) if !metadata.is_file() => Err(refused(
            path,
            "is neither a file nor free to become one; choose another path",
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(full) {
            Ok(target) => {
                let reason = format!(
                    "is a link that points nowhere (to `{}`); mend or remove the link",
                    target.display()
                );
                Err(refused(path, &reason))
            }
            Err(_) if options.existing_only => Err(no_store(path, "does not exist")),
            Err(_) => make(path, full),
        },
        Err(error) if error.kind() == io::ErrorKind::NotADirectory && options.existing_only => {
            Err(no_store(path, "does not exist"))
        }
        Err(error) => Err(of_io(path, &error)),
    }
}

/// Makes an empty file that only this user may read.
fn make(path: &Path, full: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(full) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(of_io(path, &error)),
    }
}

fn no_folder(path: &Path) -> StoreError {
    let reason = "is in a folder that does not exist; create the folder first";
    refused(path, reason)
}

/// What the system said about the place.
pub(crate) fn of_io(path: &Path, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::NotADirectory {
        return no_folder(path);
    }
    let (kind, reason) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            StoreErrorKind::Denied,
            "may not be written here; grant write access to the folder".to_owned(),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            StoreErrorKind::Denied,
            "is on a file system that is mounted read-only; choose another path".to_owned(),
        ),
        io::ErrorKind::NotFound => (
            StoreErrorKind::Misconfigured,
            "cannot be made here; choose a folder on a local disk".to_owned(),
        ),
        io::ErrorKind::StorageFull => (
            StoreErrorKind::Unavailable,
            "cannot be made because the disk is full; free some space".to_owned(),
        ),
        _ => (
            StoreErrorKind::Misconfigured,
            format!("cannot be opened: {error}"),
        ),
    };
    StoreError::new(kind, about(path, &reason))
}

fn refused(path: &Path, reason: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, about(path, reason))
}

fn about(path: &Path, reason: &str) -> String {
    format!("`{}` {reason}", path.display())
}

#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(path).ok()?;
    // The field's type differs between machines; the numbers fit 32 bits everywhere.
    let number = u32::try_from(i128::from(found.f_type) & 0xffff_ffff).unwrap_or(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    network_name(number, &mounted_as(path, &mounts))
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_path: &Path) -> Option<&'static str> {
    None
}

/// The type under which the file system that holds `path` is mounted, such as `fuse.sshfs`.
#[cfg(any(target_os = "linux", test))]
fn mounted_as(path: &Path, mounts: &str) -> String {
    mounts
        .lines()
        .filter_map(|line| {
            // 36 35 98:0 /part /mount/point options tags… - type source options
            let (head, tail) = line.split_once(" - ")?;
            let point = head.split(' ').nth(4)?.replace("\\040", " ");
            let kind = tail.split(' ').next()?;
            path.starts_with(&point).then_some((point.len(), kind))
        })
        // Of mounts on one point the last one is on top.
        .max_by_key(|(len, _)| *len)
        .map_or_else(String::new, |(_, kind)| kind.to_owned())
}

/// The name of a network file system, from its number and the type it is mounted as.
///
/// # Sources
/// Linux `statfs(2)` and `include/uapi/linux/magic.h`.
#[cfg(any(target_os = "linux", test))]
fn network_name(number: u32, mounted_as: &str) -> Option<&'static str> {
    const FUSE: u32 = 0x6573_5546;
    let by_number = match number {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 => "SMB",
        0xff53_4d42 => "CIFS",
        0x0102_1997 => "9p",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x564c => "NCP",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x4750_4653 => "GPFS",
        0xaad7_aaea => "PanFS",
        0x1983_0326 => "BeeGFS",
        0x786f_4256 => "vboxsf",
        0xbacb_acbc => "vmhgfs",
        FUSE => return fuse_name(mounted_as),
        _ => return None,
    };
    Some(by_number)
}

/// Files in user space may be local or not; the mount type tells.
#[cfg(any(target_os = "linux", test))]
fn fuse_name(mounted_as: &str) -> Option<&'static str> {
    const REMOTE: [(&str, &str); 14] = [
        ("sshfs", "sshfs"),
        ("rclone", "rclone"),
        ("s3fs", "s3fs"),
        ("goofys", "goofys"),
        ("gcsfuse", "gcsfuse"),
        ("blobfuse", "blobfuse"),
        ("glusterfs", "GlusterFS"),
        ("ceph", "Ceph"),
        ("curlftpfs", "curlftpfs"),
        ("davfs", "davfs"),
        ("juicefs", "JuiceFS"),
        ("seaweedfs", "SeaweedFS"),
        ("moosefs", "MooseFS"),
        ("virtiofs", "virtiofs"),
    ];
    REMOTE
        .into_iter()
        .find(|(part, _)| mounted_as.contains(part))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r79_e37_network_file_systems_are_known_by_number_or_by_mount_type() {
        for (number, mounted, expected) in [
            (0x6969, "nfs4", Some("NFS")),
            (0xff53_4d42, "cifs", Some("CIFS")),
            (0xfe53_4d42, "smb3", Some("SMB")),
            (0x0102_1997, "9p", Some("9p")),
            (0x00c3_6400, "ceph", Some("Ceph")),
            (0x0bd0_0bd0, "lustre", Some("Lustre")),
            (0x6573_5546, "fuse.sshfs", Some("sshfs")),
            (0x6573_5546, "virtiofs", Some("virtiofs")),
            (0x6573_5546, "fuse.gocryptfs", None),
            (0x6573_5546, "fuseblk", None),
            (0xef53, "ext4", None),
            (0x0102_1994, "tmpfs", None),
            (0x9123_683e, "btrfs", None),
            (0x794c_7630, "overlay", None),
        ] {
            assert_eq!(network_name(number, mounted), expected, "{mounted}");
        }
    }

    #[test]
    fn r79_the_mount_that_holds_a_path_is_the_longest_and_the_last() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/a rw\n\
                      30 22 0:40 / /data rw shared:1 - ext4 /dev/b rw\n\
                      31 30 0:41 / /data/re\\040mote rw - fuse.sshfs host: rw\n\
                      32 22 0:42 / /data rw - xfs /dev/c rw\n";
        for (path, expected) in [
            ("/etc/x", "ext4"),
            ("/data/x", "xfs"),
            ("/data/re mote/x", "fuse.sshfs"),
            ("/database/x", "ext4"),
        ] {
            assert_eq!(mounted_as(Path::new(path), mounts), expected, "{path}");
        }
    }
}
