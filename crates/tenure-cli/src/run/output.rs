//! What a task's command prints: read as it comes, kept at both ends, and told to those who look.
//!
//! Memory stays bounded whatever comes, and the pipe is always read, so that no command waits for
//! us. Knows nothing of the command itself.

use tenure::TaskContext;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::log::Log;
use crate::child::{Capture, given, orphans_given};
use crate::file::{OutputMode, TaskEntry};
use crate::mask::Masking;
use crate::text::visible;

/// How many processes that left their group are named.
const MOST_NAMED: usize = 8;

/// What a command prints, as far as it came.
pub(super) struct Output {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    /// What the run's record gets; `None`: nothing.
    capture: Option<Capture>,
    /// Keeps secrets from both; `None`: there are none.
    masking: Option<Masking>,
    log: Option<Log>,
}

impl Output {
    pub(super) fn of(pipe: Option<pipe::Receiver>, task: &TaskEntry, log: Option<Log>) -> Self {
        Self {
            pipe,
            buffer: vec![0; 16 * 1024],
            capture: (task.output == OutputMode::Keep).then(Capture::default),
            masking: Masking::of(&task.mask),
            log,
        }
    }

    /// Reads once; a pipe that has ended is taken away. Without one it never returns.
    ///
    /// # Cancel safety
    /// Safe: bytes are taken from the pipe only when they are also kept.
    pub(super) async fn read(&mut self, context: &TaskContext<()>) {
        let Some(pipe) = &mut self.pipe else {
            return std::future::pending().await;
        };
        let room = match &self.log {
            Some(log) => log.room().await,
            None => None,
        };
        let lines;
        let bytes = match (pipe.read(&mut self.buffer).await, &mut self.masking) {
            (Ok(0) | Err(_), masking) => {
                self.pipe = None;
                lines = masking.as_mut().map(Masking::end).unwrap_or_default();
                lines.as_slice()
            }
            (Ok(count), None) => self.buffer.get(..count).unwrap_or_default(),
            (Ok(count), Some(masking)) => {
                lines = masking.push(self.buffer.get(..count).unwrap_or_default());
                lines.as_slice()
            }
        };
        if bytes.is_empty() {
            return;
        }
        if let Some(room) = room {
            room.send(bytes.to_vec());
        }
        if let Some(capture) = &mut self.capture {
            capture.push(bytes);
            // For those who look while it runs; what is kept in the end is the capture, which
            // also knows characters that came in two pieces.
            context.print(&String::from_utf8_lossy(bytes));
        }
    }

    /// Reads to the end of the pipe, however far that is.
    pub(super) async fn read_on(&mut self, context: &TaskContext<()>) {
        while self.pipe.is_some() {
            self.read(context).await;
        }
    }

    /// Says who goes on although the command and its group are gone.
    pub(super) fn name_those_who_left(&mut self, context: &TaskContext<()>) {
        let Some(capture) = &mut self.capture else {
            return;
        };
        let run = format!("TENURE_RUN_ID={}", context.run_id());
        // Whoever keeps the pipe open is somewhere; else only a daemon can be left.
        let left = if self.pipe.is_some() {
            given(&run, MOST_NAMED)
        } else {
            orphans_given(&run, MOST_NAMED)
        };
        for (process, name) in left {
            let text = format!(
                "tenure: process {process} ({}) left the command's process group and goes on\n",
                visible(&name)
            );
            capture.push(text.as_bytes());
            context.print(&text);
        }
    }

    /// What the record keeps, once the log has the rest.
    pub(super) async fn into_text(mut self) -> Option<String> {
        let line = self.masking.as_mut().map(Masking::end).unwrap_or_default();
        if let Some(log) = self.log {
            if let (false, Some(room)) = (line.is_empty(), log.room().await) {
                room.send(line.clone());
            }
            log.close().await;
        }
        let mut capture = self.capture?;
        capture.push(&line);
        capture.into_text()
    }
}
