//! Tells what the runner does: a line for people, or a JSON object a line for programs.
//!
//! A reader that goes away does not stop the tasks: their outcomes are in the store.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;

use serde_json::{Value, json as object};
use tenure::core::{Clock as _, Holder, SystemClock, TaskName, Timestamp};
use tenure::tasks::{Drained, RunnerEvent};

use super::words::Next;
use super::{json, words};
use crate::args::RunArgs;
use crate::locks::holder_json;
use crate::output::about;
use crate::store::Chosen;
use crate::text::visible;

/// Prints events.
pub(crate) struct Reporter {
    is_json: bool,
    is_quiet: bool,
    is_gone: bool,
    node: Holder,
    /// When each task is due next, as the runner last said. `None` once it stops claiming: then no
    /// tick is next.
    next: Option<Next>,
}

/// How many tasks are listed at the start.
const NEXT_SHOWN: usize = 10;

impl Reporter {
    pub(crate) fn new(args: &RunArgs, node: Holder) -> Self {
        Self {
            is_json: args.json,
            is_quiet: args.quiet,
            is_gone: false,
            node,
            next: Some(Next::default()),
        }
    }

    /// Where, who, and when each task is due next.
    pub(crate) fn begin(
        &mut self,
        args: &RunArgs,
        store: &Chosen,
        dashboard: Option<SocketAddr>,
        next: &[(TaskName, Result<Timestamp, String>)],
    ) {
        if self.is_quiet {
            return;
        }
        if self.is_json {
            let due: Vec<Value> = next
                .iter()
                .map(|(task, tick)| {
                    let tick = tick.as_ref().ok().map(ToString::to_string);
                    object!({ "task": task.as_str(), "tick": tick })
                })
                .collect();
            self.line(
                &object!({
                    "event": "ready",
                    "at": SystemClock.wall().to_string(),
                    "store": store.shown(),
                    "node": holder_json(&self.node),
                    "dashboard": dashboard.map(|address| format!("http://{address}/")),
                    "tasks": next.len(),
                    "watch_only": args.watch_only,
                    "next": due,
                })
                .to_string(),
            );
            return;
        }
        let noun = if next.len() == 1 { "task" } else { "tasks" };
        let tasks = next.len();
        self.line(&format!(
            "{tasks} {noun} on {}, as {}{}; Ctrl-C or SIGTERM ends it",
            store.shown(),
            self.node,
            if args.watch_only {
                ", which runs none of them"
            } else {
                ""
            }
        ));
        if let Some(address) = dashboard {
            self.line(&format!("dashboard on http://{address}/"));
        }
        let now = SystemClock.wall();
        for (task, tick) in next.iter().take(NEXT_SHOWN) {
            let due = match tick {
                Ok(tick) => format!("{tick} (in {})", about(tick.since(now))),
                Err(words) => words.clone(),
            };
            self.line(&format!("  next {due}  {task}"));
        }
        if next.len() > NEXT_SHOWN {
            self.line(&format!("  … and {} more", next.len() - NEXT_SHOWN));
        }
    }

    pub(crate) fn tell(&mut self, event: &RunnerEvent) {
        match event {
            RunnerEvent::Next { task, tick } => {
                if let Some(next) = &mut self.next {
                    next.insert(task.clone(), *tick);
                }
            }
            RunnerEvent::Draining { .. } => self.next = None,
            _ => {}
        }
        if self.is_quiet && !words::is_bad(event) {
            return;
        }
        let line = if self.is_json {
            json::of_event(event).map(|value| value.to_string())
        } else {
            words::of_event(event, self.next.as_ref(), SystemClock.wall()).map(|(text, _)| text)
        };
        if let Some(line) = line {
            self.line(&line);
        }
    }

    /// The task files were not read again; `problems` are those of their texts. People are told on
    /// standard error.
    pub(crate) fn reload_failed(&mut self, error: &str, problems: Option<&Value>) {
        if self.is_json {
            self.line(
                &object!({
                    "event": "reload_failed",
                    "at": SystemClock.wall().to_string(),
                    "error": error,
                    "problems": problems,
                })
                .to_string(),
            );
        }
    }

    pub(crate) fn end(&mut self, drained: &Drained) {
        let stopped: Vec<String> = drained
            .interrupted
            .iter()
            .map(ToString::to_string)
            .collect();
        let is_bad = !stopped.is_empty() || drained.unreported > 0;
        if self.is_json && (is_bad || !self.is_quiet) {
            self.line(
                &object!({
                    "event": "ended",
                    "at": SystemClock.wall().to_string(),
                    "finished": drained.finished,
                    "interrupted": stopped,
                    "unreported": drained.unreported,
                })
                .to_string(),
            );
        } else if is_bad {
            self.line(&format!(
                "stopped before their end: {}; not reported to the store: {}",
                visible(&stopped.join(", ")),
                drained.unreported
            ));
        }
    }

    fn line(&mut self, text: &str) {
        if self.is_gone {
            return;
        }
        let mut stdout = anstream::stdout().lock();
        if writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            self.is_gone = true;
            if std::io::stderr().is_terminal() {
                crate::notice::notice(format_args!(
                    "nobody reads the output any more; the tasks go on"
                ));
            }
        }
    }
}
