//! The signals sent to the program, one after the other.
//!
//! What was ignored when the program began stays ignored, as `nohup` and shells in the background
//! expect. Linux tells which; elsewhere all are listened for.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Signals that are listened for.
#[derive(Debug)]
pub(crate) struct Signals {
    streams: Vec<(Signal, Stream)>,
    asked_to_end: Option<Signal>,
}

impl Signals {
    /// Signals that ask the program to end.
    pub(crate) const ENDING: [Signal; 4] = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];

    /// Listens from now on. Needs a runtime with I/O.
    pub(crate) fn listen(signals: &[Signal]) -> io::Result<Self> {
        let ignored = ignored();
        let streams = signals
            .iter()
            .filter(|signal| ignored & (1 << (**signal as u32 - 1)) == 0)
            .map(|number| Ok((*number, signal(SignalKind::from_raw(*number as i32))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            streams,
            asked_to_end: None,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Safe: a signal that comes while nobody waits is kept.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let ready = (self.streams.iter_mut()).find_map(|(number, stream)| {
                stream.poll_recv(context).is_ready().then_some(*number)
            });
            match ready {
                Some(number) => {
                    self.note(number);
                    Poll::Ready(number)
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// A hang-up may mean less than the others, so it does not take their place.
    fn note(&mut self, number: Signal) {
        let is_new = number != Signal::SIGHUP || self.asked_to_end.is_none();
        if Self::ENDING.contains(&number) && is_new {
            self.asked_to_end = Some(number);
        }
    }

    /// The last signal so far that asks the program to end, whoever waited for it.
    pub(crate) fn asked_to_end(&self) -> Option<Signal> {
        self.asked_to_end
    }
}

/// The signals this process ignores, as a mask.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}
