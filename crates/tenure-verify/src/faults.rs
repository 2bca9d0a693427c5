//! What is done to clients and their connections, drawn from a seed.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tenure_bench::Trouble;

use crate::history::Fault;

/// One thing to do, and when the next is to be thought of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// Which client, or which half of the connections.
    pub(crate) whom: usize,
    /// Better: somebody who holds a lock.
    pub(crate) is_aimed: bool,
    /// For how long.
    pub(crate) span: Duration,
    /// How long nothing more is done.
    pub(crate) pause: Duration,
}

/// Draws what is done next.
#[derive(Debug)]
pub(crate) struct Faults {
    chance: fastrand::Rng,
    clients: usize,
    ttl: Duration,
    has_network: bool,
}

impl Faults {
    pub(crate) fn new(
        chance: fastrand::Rng,
        clients: usize,
        ttl: Duration,
        has_network: bool,
    ) -> Self {
        Self {
            chance,
            clients,
            ttl,
            has_network,
        }
    }

    pub(crate) fn next(&mut self) -> Plan {
        let kinds = if self.has_network { 12 } else { 9 };
        let fault = match self.chance.u32(0..kinds) {
            0..4 => Fault::Pause,
            4..8 => Fault::LongPause,
            8 => Fault::Kill,
            9..11 => Fault::Cut,
            _ => Fault::Silence,
        };
        let part = self.chance.f64();
        let span = match fault {
            Fault::Pause => self.ttl.mul_f64(0.05 + part / 2.0),
            Fault::LongPause => self.ttl.mul_f64(1.1 + part * 1.5),
            Fault::Kill => Duration::ZERO,
            Fault::Cut => self.ttl.mul_f64(part / 2.0),
            Fault::Silence => self.ttl.mul_f64(0.2 + part),
        };
        Plan {
            fault,
            whom: self.chance.usize(0..self.clients.max(1)),
            is_aimed: self.chance.u32(0..4) > 0,
            span,
            pause: Duration::from_millis(self.chance.u64(100..900)),
        }
    }

    /// One of several.
    pub(crate) fn choice(&mut self, some: &[usize]) -> Option<usize> {
        self.chance.choice(some).copied()
    }
}

/// Lets a process stand still.
pub(crate) fn stop(id: u32) -> Result<(), Trouble> {
    signal(id, Signal::STOP)
}

/// Lets it go on.
pub(crate) fn go_on(id: u32) -> Result<(), Trouble> {
    signal(id, Signal::CONT)
}

fn signal(id: u32, signal: Signal) -> Result<(), Trouble> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| Trouble::helper("its number is none"))?;
    kill_process(id, signal).map_err(Trouble::helper)
}
