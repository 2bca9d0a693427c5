//! How long and how often to measure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a second process is started that serves a benchmark: see [`crate::serve`].
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// What makes it serve.
    pub argument: OsString,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Rounds of each side. Default: 7. More rounds smooth out what else the machine does.
    pub rounds: usize,
    /// How long a round of one side lasts. Default: 1 s.
    pub span: Duration,
    /// How often a holder is killed. Default: 20.
    pub kills: usize,
    /// How many pairs are claimed. Default: 10 000.
    pub claims: usize,
    /// How many leases are held. Default: 10 000.
    pub leases: usize,
    /// For how long they are kept. Default: 10 s, the default of a lock.
    pub ttl: Duration,
    /// For how long their renewal is watched, at least. Default: 20 s.
    pub watch: Duration,
    /// Small numbers, to see that everything runs.
    pub is_quick: bool,
    /// Starts second processes. Without it, what needs them is skipped.
    pub helper: Option<Helper>,
}

impl Settings {
    /// What the published figures are measured with.
    #[must_use]
    pub fn full() -> Self {
        Self {
            rounds: 7,
            span: Duration::from_secs(1),
            kills: 20,
            claims: 10_000,
            leases: 10_000,
            ttl: Duration::from_secs(10),
            watch: Duration::from_secs(20),
            is_quick: false,
            helper: None,
        }
    }

    /// Enough to see that everything runs; the figures say little.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            span: Duration::from_millis(100),
            kills: 2,
            claims: 512,
            leases: 300,
            ttl: Duration::from_secs(2),
            watch: Duration::from_secs(2),
            is_quick: true,
            helper: None,
        }
    }
}
