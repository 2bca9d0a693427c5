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
        Ok(Self { streams })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Safe: a signal that comes while nobody waits is kept.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
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
