//! Knows when the process did not run: stopped, waiting for a processor, or for somebody to read
//! what it says.
//!
//! A task on the thread of all others sleeps for a moment again and again. What it sleeps longer
//! was taken from every one of them. It also says that the client lives, which lets the others'
//! records go on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Book, now};
use crate::history::Step;

const BEAT: Duration = Duration::from_millis(5);
/// What a sleep may take longer without anybody having taken it.
const SLACK: u64 = 2_000_000;
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

impl Seen {
    /// The task runs. Whatever is more than a beat since it last did was taken, wherever in its
    /// turn that was.
    fn beat(&mut self, at: u64) {
        let due = self.last + u64::try_from(BEAT.as_nanos()).unwrap_or(0);
        if at > due + SLACK {
            self.gaps.push_back((due, at));
        }
        if self.gaps.len() > MANY {
            self.gaps.pop_front();
        }
        self.last = at;
    }

    fn taken(&self, from: u64, to: u64) -> u64 {
        let gaps = self.gaps.iter();
        gaps.map(|gap| gap.1.min(to).saturating_sub(gap.0.max(from)))
            .sum()
    }
}

impl Pulse {
    /// Begins on this thread's runtime.
    pub(super) fn start(book: Arc<Book>) -> Arc<Self> {
        let last = now();
        let seen = Mutex::new(Seen {
            last,
            ..Seen::default()
        });
        let pulse = Arc::new(Self { seen });
        let beating = pulse.clone();
        tokio::spawn(async move { beating.beat(&book).await });
        pulse
    }

    async fn beat(&self, book: &Book) {
        let mut said = 0;
        loop {
            tokio::time::sleep(BEAT).await;
            let at = now();
            self.seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .beat(at);
            if at > said + WORD {
                said = at;
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
                    return seen.taken(from, to);
                }
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn c5_time_is_taken_wherever_in_a_turn_the_process_stood_still() {
        let mut seen = Seen {
            last: 100 * MS,
            ..Seen::default()
        };
        // Two turns of 5 ms, one of 200 ms, one of 5 ms: nobody asks where in the turn it was.
        for at in [105, 110, 310, 315] {
            seen.beat(at * MS);
        }
        assert_eq!(seen.taken(0, 1000 * MS), 195 * MS);
        assert_eq!(seen.taken(300 * MS, 312 * MS), 10 * MS);
        assert_eq!(seen.taken(0, 115 * MS), 0);
    }

    #[tokio::test]
    async fn c5_what_a_thread_waits_for_its_reader_was_taken_from_its_tasks_and_counts_once() {
        let pulse = Pulse::start(Arc::new(Book::of("c0")));
        pulse.taken(now(), now()).await;
        let before = now();
        while now() < before + 100_000_000 {
            std::hint::spin_loop();
        }
        let after = now();
        let taken = pulse.taken(before, after).await;
        let (least, most) = (100_000_000 - 8_000_000, after - before);
        assert!((least..=most).contains(&taken), "{taken}");
        assert_eq!(pulse.taken(before, before).await, 0);
    }
}
