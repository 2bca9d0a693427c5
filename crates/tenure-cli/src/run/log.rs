//! The file that a task's output is added to, besides what its record keeps.
//!
//! A task of its own writes, so that a slow disk holds up the command's output as a slow reader of
//! a pipe would, and nothing else. A log that cannot be written is told once; the work goes on.

use std::path::Path;
use std::time::Duration;

use tenure::TaskContext;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::{self, Permit, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::notice::notice;
use crate::text::shown_os;

/// How many pieces of 16 KiB at most wait to be written.
const WAITING: usize = 16;
/// How long to wait at the end for what is not written yet.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A file that is being added to.
#[derive(Debug)]
pub(super) struct Log {
    pieces: Sender<Vec<u8>>,
    writing: JoinHandle<()>,
}

impl Log {
    /// Opens the file at its end, and says there which run follows.
    pub(super) async fn open(path: &Path, context: &TaskContext<()>) -> Option<Self> {
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .await;
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                tell(path, &error);
                return None;
            }
        };
        let (pieces, unwritten) = mpsc::channel(WAITING);
        let heading = format!(
            "# {} tick {} index {} attempt {} run {}\n",
            context.task(),
            context.tick(),
            context.index(),
            context.attempt(),
            context.run_id(),
        );
        let writing = tokio::spawn(write(file, path.to_path_buf(), heading, unwritten));
        Some(Self { pieces, writing })
    }

    /// Waits until there is room for one more piece. `None` if no more can be written.
    ///
    /// # Cancel safety
    /// Safe: room that nobody takes is given back.
    pub(super) async fn room(&self) -> Option<Permit<'_, Vec<u8>>> {
        self.pieces.reserve().await.ok()
    }

    /// Waits for what is not written yet, for a while.
    pub(super) async fn close(self) {
        drop(self.pieces);
        let _ = timeout(LAST_LINES, self.writing).await;
    }
}

async fn write(
    mut file: File,
    path: std::path::PathBuf,
    heading: String,
    mut unwritten: Receiver<Vec<u8>>,
) {
    let written = async {
        file.write_all(heading.as_bytes()).await?;
        while let Some(piece) = unwritten.recv().await {
            file.write_all(&piece).await?;
        }
        file.flush().await
    };
    if let Err(error) = written.await {
        tell(&path, &error);
    }
}

fn tell(path: &Path, error: &std::io::Error) {
    notice(format_args!(
        "cannot write the log `{}`: {error}; the task runs on without it",
        shown_os(path.as_os_str())
    ));
}
