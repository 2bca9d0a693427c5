//! Knows when the process did not run: stopped, or waiting for a processor.
//!
//! A thread of its own sleeps for a moment again and again. What it sleeps longer was taken from
//! the process. It also says that the client lives, which lets the others' records go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Book, now};
use crate::history::Step;

const BEAT: Duration = Duration::from_millis(5);
/// What a sleep may take longer without anybody having taken it.
const SLACK: u64 = 500_000;
/// How many gaps are remembered: the latest.
const MANY: usize = 1024;
/// The client says so often that it lives.
const WORD: u64 = 20_000_000;

#[derive(Debug)]
pub(super) struct Pulse {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// From … to nothing ran.
    gaps: VecDeque<(u64, u64)>,
    last: u64,
}

impl Pulse {
    pub(super) fn start(book: Arc<Book>) -> Arc<Self> {
        let last = now();
        let seen = Mutex::new(Seen {
            last,
            ..Seen::default()
        });
        let pulse = Arc::new(Self { seen });
        let beating = pulse.clone();
        std::thread::spawn(move || beating.beat(&book));
        pulse
    }

    fn beat(&self, book: &Book) {
        let mut said = 0;
        loop {
            let before = now();
            std::thread::sleep(BEAT);
            let after = now();
            let due = before + u64::try_from(BEAT.as_nanos()).unwrap_or(0);
            {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if after > due + SLACK {
                    seen.gaps.push_back((due, after));
                }
                if seen.gaps.len() > MANY {
                    seen.gaps.pop_front();
                }
                seen.last = after;
            }
            if after > said + WORD {
                said = after;
                book.note(Step::Alive);
            }
        }
    }

    /// How long the process did not run between two instants, of which the second has just been.
    pub(super) async fn taken(&self, from: u64, to: u64) -> u64 {
        loop {
            {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.last > to {
                    let gaps = seen.gaps.iter();
                    return gaps
                        .map(|gap| gap.1.min(to).saturating_sub(gap.0.max(from)))
                        .sum();
                }
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}
