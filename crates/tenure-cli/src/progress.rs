//! How far long work is, for whoever sits at the terminal and waits.
//!
//! Drawn on standard error, and only if that is a terminal that can be drawn on; never for
//! `--json`, whose reader is a program. What was drawn is taken away at the end, so that only
//! results stay. Knows nothing of the work.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the time is drawn anew while nothing else changes.
const TICK: Duration = Duration::from_millis(250);
const COUNTED: &str = "{msg}  [{bar:24}] {pos} of {len}  {elapsed}";
const SHARE: &str = "{msg}  [{bar:24}] {percent} %  {elapsed}";
/// What a share is counted in.
const WHOLE: u64 = 1000;
const ENDLESS: &str = "{msg}  {spinner} {elapsed}";

/// A line that tells how far something is; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// So many steps of `doing`.
    pub(crate) fn of(steps: usize, doing: impl Into<String>, is_json: bool) -> Self {
        Self::drawn(Some(steps as u64), COUNTED, doing.into(), is_json)
    }

    /// Work of which only the share that is done is known.
    pub(crate) fn share(doing: impl Into<String>, is_json: bool) -> Self {
        Self::drawn(Some(WHOLE), SHARE, doing.into(), is_json)
    }

    /// Work of which nobody knows how long it is.
    pub(crate) fn endless(doing: impl Into<String>, is_json: bool) -> Self {
        Self::drawn(None, ENDLESS, doing.into(), is_json)
    }

    fn drawn(steps: Option<u64>, template: &str, doing: String, is_json: bool) -> Self {
        let target = if is_json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(steps, target);
        if !bar.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("#>-").tick_chars("-\\|/ "));
            }
            bar.set_message(doing);
            bar.enable_steady_tick(TICK);
        }
        Self { bar }
    }

    /// So many steps are done.
    pub(crate) fn done(&self, steps: usize) {
        self.bar.set_position(steps as u64);
    }

    /// So much of a whole is done.
    pub(crate) fn done_of(&self, part: Duration, whole: Duration) {
        let whole = whole.as_millis().max(1);
        let share = part.as_millis().min(whole) * u128::from(WHOLE) / whole;
        self.bar.set_position(u64::try_from(share).unwrap_or(WHOLE));
    }

    /// What is done at present.
    pub(crate) fn doing(&self, text: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
