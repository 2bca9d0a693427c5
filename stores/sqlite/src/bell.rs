//! A bell that processes of one machine ring for each other.
//!
//! SQLite tells nobody that it has committed. So a writer that handed a lease to somebody it does
//! not know writes a byte to a file beside the database, and every other store's thread, which
//! sleeps in inotify on that file, wakes its watcher. A bell that is lost, or that cannot be heard
//! at all, costs time only: the watcher looks every few milliseconds anyway.

use std::fs::File;
use std::path::{Path, PathBuf};

use tenure_core::StoreError;

use crate::beside;

/// The file that is written to.
#[derive(Debug)]
pub(crate) struct Bell {
    file: File,
    path: PathBuf,
}

impl Bell {
    /// Opens the bell of `database`, making it if it is missing.
    pub(crate) fn open(database: &Path) -> Result<Self, StoreError> {
        let (file, path) = beside::open(database, "-bell")?;
        Ok(Self { file, path })
    }

    /// Wakes every listener, of this process too.
    pub(crate) fn ring(&self) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileExt;
            // Listeners look by themselves before long.
            let _ = self.file.write_at(b"!", 0);
        }
    }

    /// An ear at the bell; nothing where the system has none to give.
    pub(crate) fn ear(&self) -> Option<Ear> {
        Ear::open(&self.path)
    }
}

/// Hears the bell.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Ear {
    events: rustix::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Ear {
    fn open(path: &Path) -> Option<Self> {
        use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
        let events = inotify::init(CreateFlags::CLOEXEC).ok()?;
        inotify::add_watch(&events, path, WatchFlags::MODIFY).ok()?;
        Some(Self { events })
    }

    /// Waits until the bell rings; false if it can be heard no more.
    pub(crate) fn listen(&self) -> bool {
        // What happened to the file says nothing; several rings are as good as one.
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&self.events, &mut events) {
                Ok(length) => return length > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Hears nothing.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Ear;

#[cfg(not(target_os = "linux"))]
impl Ear {
    fn open(_path: &Path) -> Option<Self> {
        None
    }

    /// Never called, since nobody gets such an ear.
    pub(crate) fn listen(&self) -> bool {
        false
    }
}
