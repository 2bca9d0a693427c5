//! `--watch`: what a command shows, again and again.
//!
//! On a terminal each showing takes the place of the one before; elsewhere they follow each other.
//! A store that fails meanwhile is told in place of what it would have shown, and asked again.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;

use crate::args::duration;
use crate::exit::{Code, Failure, Outcome};
use crate::output::print;

/// Whether to show it again, and how often.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WatchArgs {
    /// Shows it again every 2s, or as often as is said (`--watch=500ms`), until Ctrl-C
    #[arg(
        long,
        global = true,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = interval,
        conflicts_with = "json"
    )]
    pub(crate) watch: Option<Duration>,
}

/// Shorter, and looking would keep the store busy.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Clears the terminal and goes to its first place.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// An interval between two looks.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if !(SHORTEST..=LONGEST).contains(&interval) {
        return Err("an interval must be 100ms to 24h".to_owned());
    }
    Ok(interval)
}

impl WatchArgs {
    /// Prints what `show` makes, once or again and again.
    pub(crate) async fn each(
        self,
        mut show: impl AsyncFnMut() -> Result<String, Failure>,
    ) -> Outcome {
        let Some(every) = self.watch else {
            print(&show().await?)?;
            return Ok(Code::OK);
        };
        let is_terminal = std::io::stdout().is_terminal();
        let mut was_shown = false;
        loop {
            let text = match show().await {
                Ok(text) => text,
                // What has never been shown is not there, or not asked for rightly.
                Err(failure) if !was_shown => return Err(failure),
                Err(failure) => format!("{failure}; asking again\n"),
            };
            was_shown = true;
            if is_terminal {
                print(&format!("{CLEAR}{}", cut(&text, height())))?;
            } else {
                print(&format!("{text}\n"))?;
            }
            tokio::time::sleep(every).await;
        }
    }
}

fn height() -> usize {
    let size = ratatui::crossterm::terminal::size();
    size.map_or(24, |(_, rows)| usize::from(rows)).max(2)
}

/// As many lines as fit, and how many do not.
fn cut(text: &str, height: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() < height {
        return text.to_owned();
    }
    let shown = height - 2;
    let left = lines.len() - shown;
    let lines = lines.into_iter().take(shown);
    let shown: String = lines.flat_map(|line| [line, "\n"]).collect();
    format!("{shown}… and {left} more lines\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_the_terminal_is_counted() {
        assert_eq!(cut("a\nb\n", 3), "a\nb\n");
        assert_eq!(cut("a\nb\nc\nd\n", 4), "a\nb\n… and 2 more lines\n");
        assert_eq!(cut("", 2), "");
    }

    #[test]
    fn an_interval_is_bounded() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for text in ["0s", "99ms", "25h", "2"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
