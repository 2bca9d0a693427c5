//! What can be measured, by name.

use std::str::FromStr;

/// Something that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Workload {
    /// One task takes and gives back one key.
    Uncontended,
    /// Many tasks do, each with a key of its own.
    Throughput,
    /// Waiters hand a key on.
    HandOff,
    /// How many requests a hand-off costs.
    Commands,
    /// A holder is killed.
    Crash,
    /// As [`Workload::Uncontended`], where a majority of servers decides.
    Quorum,
    /// Ticks of tasks are claimed in batches.
    Claims,
    /// Many leases are held and renewed.
    Renewal,
    /// Ticks are claimed and run by nodes with tasks, as a scheduler does it.
    Tick,
}

impl Workload {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::Uncontended,
        Self::Quorum,
        Self::Throughput,
        Self::HandOff,
        Self::Commands,
        Self::Crash,
        Self::Claims,
        Self::Renewal,
        Self::Tick,
    ];

    /// Its name, as it is written on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uncontended => "uncontended",
            Self::Throughput => "throughput",
            Self::HandOff => "hand-off",
            Self::Commands => "commands",
            Self::Crash => "crash",
            Self::Quorum => "quorum",
            Self::Claims => "claims",
            Self::Renewal => "renewal",
            Self::Tick => "tick",
        }
    }
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(text: &str) -> Result<Self, UnknownWorkload> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| {
            let nearest = Self::ALL
                .into_iter()
                .map(|one| (strsim::damerau_levenshtein(one.as_str(), text), one))
                .filter(|(distance, _)| *distance <= 3)
                .min_by_key(|(distance, _)| *distance);
            UnknownWorkload {
                nearest: nearest.map(|(_, one)| one.as_str()),
            }
        })
    }
}

/// A text is no workload's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no such workload{}; there are {}",
    .nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default(),
    Workload::ALL.map(Workload::as_str).join(", ")
)]
pub struct UnknownWorkload {
    nearest: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_a_mistyped_one_is_answered_with_the_nearest() {
        for workload in Workload::ALL {
            assert_eq!(workload.as_str().parse(), Ok(workload));
        }
        let error = "handoff".parse::<Workload>().unwrap_err().to_string();
        assert!(error.contains("did you mean `hand-off`?"), "{error}");
        let error = "latency-of-all"
            .parse::<Workload>()
            .unwrap_err()
            .to_string();
        assert!(!error.contains("did you mean"), "{error}");
        assert!(error.contains("uncontended, quorum"), "{error}");
    }
}
