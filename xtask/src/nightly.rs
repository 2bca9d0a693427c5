//! What takes longer than anybody waits for: the simulator with seeds that no other night had, and
//! the stores' torture again and again, until the time is over.
//!
//! Every round prints the seeds it uses before it begins, so that whatever fails can be repeated,
//! also if the night ends in the middle of it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::servers::{self, Wish};
use crate::testing::cargo;
use crate::{now, say};

/// How long a night is.
#[derive(Debug, Args)]
pub(crate) struct Night {
    /// How many minutes it goes on: no round begins after that.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How many schedules of faults one round simulates.
    #[arg(long, default_value_t = 40_000)]
    schedules: u64,
    /// The first seed; without it one that no other day has.
    #[arg(long)]
    first_seed: Option<u64>,
}

/// Below this are the seeds that every test run has.
const TAKEN: u64 = 1_000_000;
/// So many seeds belong to one day.
const A_DAY: u64 = 100_000_000;

/// The seed that the first round of a day begins at.
fn first_of_day(day: u64) -> u64 {
    TAKEN + day.saturating_mul(A_DAY)
}

/// Goes on until the time is over; true if nothing failed. A round that fails ends the night: its
/// seeds are what is wanted.
pub(crate) fn run(root: &Path, night: &Night) -> anyhow::Result<bool> {
    let _stopped_at_the_end = servers::up(root, &Wish::from_env())?;
    let begun = now();
    let limit = Duration::from_secs(night.minutes.saturating_mul(60));
    let day = SystemTime::now() // tidy: allow(clock) which seeds are new depends on the day
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 86_400);
    let first = night.first_seed.unwrap_or_else(|| first_of_day(day));
    let mut seed = first;
    let mut round = 0;
    while round == 0 || begun.elapsed() < limit {
        round += 1;
        say(format_args!(
            "\n=== round {round}, {} min: TENURE_SIM_FIRST_SEED={seed} TENURE_SIM_SCHEDULES={}",
            begun.elapsed().as_secs() / 60,
            night.schedules
        ));
        let is_good = simulate(root, seed, night.schedules)? && torture(root, seed)?;
        if !is_good {
            say(format_args!(
                "\nround {round} failed; it begins again with\n  cargo xtask nightly --minutes 0 \
                 --first-seed {seed} --schedules {}\nand one seed with\n  TENURE_SEED=… cargo test \
                 --profile sim -p tenure-sim --test faults",
                night.schedules
            ));
            return Ok(false);
        }
        seed = seed.saturating_add(night.schedules);
    }
    say(format_args!(
        "\n{round} rounds, seeds {first} to {seed}, in {} min: nothing failed",
        begun.elapsed().as_secs() / 60
    ));
    Ok(true)
}

fn simulate(root: &Path, first: u64, schedules: u64) -> anyhow::Result<bool> {
    let (first, schedules) = (first.to_string(), schedules.to_string());
    let environment = [
        ("TENURE_SIM_FIRST_SEED", first.as_str()),
        ("TENURE_SIM_SCHEDULES", schedules.as_str()),
    ];
    let test = [
        "test",
        "--locked",
        "--profile",
        "sim",
        "--package",
        "tenure-sim",
    ];
    let which = ["--test", "faults", "--", "--nocapture"];
    cargo(root, &[&test[..], &which[..]].concat(), &environment)
}

/// Many holders of few keys at once, and nodes that race for the same ticks, on each store.
fn torture(root: &Path, seed: u64) -> anyhow::Result<bool> {
    let seed = seed.to_string();
    say(format_args!("--- torture, TENURE_SEED={seed}"));
    for package in ["tenure-memory", "tenure-sqlite", "tenure-redis"] {
        let test = [
            "test",
            "--locked",
            "--package",
            package,
            "--test",
            "conformance",
            "--",
        ];
        let which = ["whatever_happens", "s29_", "s33_", "of_racing_nodes"];
        let environment = [("TENURE_SEED", seed.as_str())];
        if !cargo(root, &[&test[..], &which[..]].concat(), &environment)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_days_and_no_test_run_share_a_seed() {
        assert!(first_of_day(0) >= 10_000 * 4);
        // As many as any machine simulates in a day.
        assert!(first_of_day(20_001) - first_of_day(20_000) >= 50_000_000);
    }
}
