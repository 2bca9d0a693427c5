//! Wall clocks that can be stepped, one for each server that wants its own.
//!
//! A small library, compiled once a process by the C compiler and loaded into the server before
//! the C library. Linux only; the machine's own clock is never touched.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::watchdog;

const SOURCE: &str = include_str!("wall.c");
static LIBRARY: OnceLock<PathBuf> = OnceLock::new();

/// The wall clock of one server.
#[derive(Debug)]
pub(crate) struct Wall {
    /// Holds how far it is ahead, in milliseconds.
    file: PathBuf,
    ahead_ms: AtomicI64,
}

impl Wall {
    /// A clock that is right so far, kept in a server's folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let wall = Self {
            file: folder.join("wall"),
            ahead_ms: AtomicI64::new(0),
        };
        wall.step(0);
        wall
    }

    /// What the server's environment needs.
    pub(crate) fn environment(&self) -> [(String, String); 2] {
        let text = |path: &Path| path.to_str().expect("our paths are text").to_owned();
        [
            ("LD_PRELOAD".to_owned(), text(library())),
            ("BED_WALL".to_owned(), text(&self.file)),
        ]
    }

    /// Steps the clock; negative steps go back.
    pub(crate) fn step(&self, by_ms: i64) {
        let ahead_ms = self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst) + by_ms;
        // In place: the server has the file mapped, and would die of one that is empty.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.file);
        let written = file.and_then(|file| file.write_all_at(&ahead_ms.to_ne_bytes(), 0));
        written.expect("cannot write to a file of ours");
    }
}

fn library() -> &'static Path {
    LIBRARY.get_or_init(|| {
        let home = watchdog::home();
        let (source, library) = (home.join("wall.c"), home.join("wall.so"));
        fs::write(&source, SOURCE).expect("cannot write to a file of ours");
        let compiler = std::env::var_os("CC").filter(|named| !named.is_empty());
        let compiler = compiler.unwrap_or_else(|| "cc".into());
        let mut compile = Command::new(compiler);
        compile
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source);
        let done = compile.output().expect("cannot start the C compiler");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "cannot compile a wall clock: {said}");
        library
    })
}
