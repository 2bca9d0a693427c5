//! Folders for the data of servers, taken away with whoever asked for them.
//!
//! All folders of one process stand in one that the watchdog removes when the process is gone. The
//! names are short, because the path of a unix socket may have 107 bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::watchdog;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A folder of its own, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = watchdog::home().join(number.to_string());
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The watchdog tries again.
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}
