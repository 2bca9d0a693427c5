//! Reads the task files again while their tasks run: at SIGHUP, and with `--watch` when they
//! change.
//!
//! Files that are wrong change nothing: the old tasks run on, and the fault is told on the
//! terminal, in the log and in the store's events.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::core::{HolderId, Note, RunStore};
use tenure::tasks::{ReplaceError, Replaced, RunningTasks};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::command::Shared;
use super::report::Reporter;
use super::{service, tell_problems, work_of};
use crate::exit::{Failure, chain};
use crate::file::{Severity, StoreEntry, TaskEntry, TaskFiles, files_of, json as problems_json};
use crate::notice::notice;
use crate::signals::Signals;

/// How often watched files are looked at. What changed is read when it has not changed since the
/// look before, so that a half-written file is left alone.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long after a store's failure the new tasks are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How much of a fault is kept in the store's events.
const MOST_TEXT: usize = 1000;

/// The files that are read again, and what may not change in them.
pub(super) struct Reload {
    pub(super) files: Vec<PathBuf>,
    /// The files when they were read for the first time.
    pub(super) stamps: Stamps,
    pub(super) is_watched: bool,
    /// Their tasks are not run here.
    pub(super) runs_nothing: bool,
    pub(super) store: Option<StoreEntry>,
    pub(super) shared: Arc<Shared>,
    pub(super) reporter: Arc<Mutex<Reporter>>,
    pub(super) runs: Arc<dyn RunStore>,
    pub(super) node: HolderId,
    pub(super) terminal: Terminal,
    /// Told when the terminal is found gone.
    pub(super) gone: Notify,
}

/// Why nothing was replaced.
enum Fault {
    Failure(Failure),
    Problems(Box<TaskFiles>),
    Replace(ReplaceError),
}

impl Reload {
    /// Reads the files again whenever that is asked for.
    pub(super) async fn keep_current(
        &self,
        tasks: &RunningTasks,
        signals: &mut Signals,
    ) -> Infallible {
        let mut stamps = self.stamps.clone();
        let mut try_again = None;
        loop {
            tokio::select! {
                _ = signals.next() => {}
                () = stamps.changed(&self.files), if self.is_watched => {}
                () = super::sleep_if(try_again) => {}
            }
            if self.terminal.is_gone() {
                self.gone.notify_one();
                continue;
            }
            // What changes from here on is another change.
            stamps = Stamps::of(&self.files);
            service::reloading();
            let reloaded = self.reload(tasks).await;
            service::ready(match &reloaded {
                Ok(_) => service::doing(self.runs_nothing),
                Err(_) => "running as before: the task files were not read again",
            });
            try_again = match reloaded {
                Err(fault @ Fault::Replace(ReplaceError::Manager { .. })) => {
                    self.tell(tasks, fault).await;
                    Some(TRY_AGAIN)
                }
                Err(fault) => {
                    self.tell(tasks, fault).await;
                    None
                }
                Ok(replaced) => {
                    self.note("tasks_replaced", &in_words(&replaced)).await;
                    None
                }
            };
        }
    }

    /// Resolves when the terminal that the program was started from is gone.
    pub(super) async fn hung_up(&self) {
        self.gone.notified().await;
    }

    async fn reload(&self, tasks: &RunningTasks) -> Result<Replaced, Fault> {
        let paths = self.files.clone();
        // A file on a disk that hangs must not hold up the tasks.
        let reading = tokio::task::spawn_blocking(move || TaskFiles::read(&paths));
        let files = reading
            .await
            .map_err(|_| Fault::Replace(ReplaceError::Ended))?;
        let files = files.map_err(Fault::Failure)?;
        if !files.are_sound() {
            return Err(Fault::Problems(Box::new(files)));
        }
        let is_same = match (&self.store, &files.store) {
            (Some(old), Some(new)) => old.is(new),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let message = "the store cannot be changed while tasks run";
            let failure = Failure::new(crate::exit::Code::CONFIG, message);
            return Err(Fault::Failure(
                failure.help("end tenure and start it again"),
            ));
        }
        tell_problems(&files);
        let retired = super::retired_of(files.retired, self.runs_nothing);
        let entries = files
            .tasks
            .into_iter()
            .filter(|task: &TaskEntry| task.enabled && !self.runs_nothing);
        let work: Vec<_> = entries
            .map(|entry| work_of(entry, self.shared.clone()))
            .chain(retired)
            .collect();
        let replaced = tasks.replace(Arc::new(()), work).await;
        replaced.map_err(Fault::Replace)
    }

    /// Tells people, programs and the other nodes that the old tasks run on.
    async fn tell(&self, tasks: &RunningTasks, fault: Fault) {
        // What the scheduling itself refused, it has told.
        let is_told = matches!(fault, Fault::Replace(_));
        let (text, above, details) = match fault {
            Fault::Replace(ReplaceError::Ended) => return,
            Fault::Replace(error) => (chain(&error), None, None),
            Fault::Failure(failure) => (failure.to_string(), None, None),
            Fault::Problems(files) => {
                tell_problems(&files);
                let count = files.problems.count(Severity::Error);
                let noun = if count == 1 { "error" } else { "errors" };
                let first = files.problems.list().iter();
                let first = first.filter(|problem| problem.severity == Severity::Error);
                let first = first.map(|problem| problem.title.as_str()).next();
                let text = format!("{count} {noun} in the task files: {}", first.unwrap_or(""));
                // Each stands above already, with its place.
                let above = format!("{count} {noun} in the task files, see above");
                (text, Some(above), Some(problems_json(&files)))
            }
        };
        if !is_told {
            tasks.reload_failed(text.clone());
        }
        tracing::warn!(error = text, "the task files were not read again");
        notice(format_args!(
            "the task files were not read again, and the tasks run on as before: {}",
            above.as_ref().unwrap_or(&text)
        ));
        if let Ok(mut reporter) = self.reporter.lock() {
            reporter.reload_failed(&text, details.as_ref());
        }
        self.note("reload_failed", &text).await;
    }

    async fn note(&self, kind: &str, text: &str) {
        let text: String = text.chars().take(MOST_TEXT).collect();
        let note = Note::new(kind, text).of_node(self.node);
        if let Err(error) = self.runs.note(&note).await {
            tracing::debug!(kind, %error, "a note was not kept");
        }
    }
}

fn in_words(replaced: &Replaced) -> String {
    format!(
        "the task files were read again: {} tasks added, {} removed, {} changed, {} as before",
        replaced.added.len(),
        replaced.removed.len(),
        replaced.changed.len(),
        replaced.unchanged
    )
}

/// Whether the terminal that the program was started from is gone, so that a SIGHUP means its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    was_there: bool,
}

impl Terminal {
    pub(super) fn now() -> Self {
        Self {
            was_there: std::io::stdin().is_terminal(),
        }
    }

    pub(super) fn is_gone(self) -> bool {
        self.was_there && !std::io::stdin().is_terminal()
    }
}

/// What tells versions of the files apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// Device, inode, size, and when the file last changed: seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Stamps {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let stamp = |path: &PathBuf| {
            let file = std::fs::metadata(path).ok()?;
            let (dev, ino, size) = (file.dev(), file.ino(), file.size());
            Some((dev, ino, size, file.mtime(), file.mtime_nsec()))
        };
        // A folder's files may come and go. One that cannot be read is found out by reading it.
        let files = files_of(files).unwrap_or_else(|_| files.to_vec());
        let stamped = files.into_iter().map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        });
        Self(stamped.collect())
    }

    /// Resolves when the files are others than these and have come to rest.
    async fn changed(&self, files: &[PathBuf]) {
        let mut last = self.clone();
        loop {
            sleep(LOOK_EVERY).await;
            let now = Self::of(files);
            if now != *self && now == last {
                return;
            }
            last = now;
        }
    }
}
