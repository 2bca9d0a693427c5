//! How a value on the command line is read, and what is said of one that cannot be.
//!
//! Each refusal says what would be allowed; clap names the argument. Knows no command.

use std::time::Duration;

use tenure::core::{RunKey, Timestamp, Ttl, format_duration, parse_duration};
use tenure_bench::Workload;

use super::when::instant_before;

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Forever,
    AtMost(Duration),
}

/// Shorter, and a command could not be stopped in time on a busy machine.
const MIN_LOCK_TTL: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub(crate) fn lock_ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if ttl < MIN_LOCK_TTL {
        return Err(format!(
            "ttl {} is too short: it must be at least {}, to leave time for stopping the command",
            format_duration(ttl),
            format_duration(MIN_LOCK_TTL),
        ));
    }
    Ttl::new(ttl)
        .map(Ttl::get)
        .map_err(|error| error.to_string())
}

pub(crate) fn wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    let wait = duration(text).map_err(|error| format!("{error}, or `forever`"))?;
    if wait > MAX_WAIT {
        return Err(format!(
            "a wait of {} is too long: at most 365d, or `forever`",
            format_duration(wait)
        ));
    }
    Ok(Wait::AtMost(wait))
}

pub(super) fn workload(text: &str) -> Result<Workload, String> {
    text.parse()
        .map_err(|error: tenure_bench::UnknownWorkload| error.to_string())
}

pub(super) fn rounds(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|rounds| (1..=1000).contains(rounds))
        .ok_or_else(|| "expected a number of rounds from 1 to 1000".to_owned())
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    let allowed = Duration::from_millis(50)..=Duration::from_secs(60);
    if !allowed.contains(&span) {
        return Err(format!(
            "a round of {} must last 50ms to 60s",
            format_duration(span)
        ));
    }
    Ok(span)
}

pub(super) fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok();
    let minutes = minutes.filter(|minutes| (0.1..=1440.0).contains(minutes));
    minutes
        .map(|minutes| Duration::from_secs_f64(minutes * 60.0))
        .ok_or_else(|| "expected a number of minutes from 0.1 to 1440".to_owned())
}

pub(super) fn clients(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|clients| (2..=64).contains(clients))
        .ok_or_else(|| "expected a number of clients from 2 to 64".to_owned())
}

pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    let allowed = Duration::from_millis(500)..=Duration::from_secs(60);
    if !allowed.contains(&ttl) {
        return Err(format!(
            "a lease of {} must last 500ms to 60s",
            format_duration(ttl)
        ));
    }
    Ok(ttl)
}

pub(super) fn tick_count(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=10_000).contains(count))
        .ok_or_else(|| "expected a number from 1 to 10000".to_owned())
}

pub(super) fn run_count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1_000_000).contains(count))
        .ok_or_else(|| "expected a number of runs from 1 to 1000000".to_owned())
}

/// A tick, or one run of it.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    At(Timestamp),
    Run(RunKey),
}

/// A run by its id, or a tick by a time.
pub(crate) fn asked(text: &str) -> Result<Asked, String> {
    match text.parse() {
        Ok(key) => Ok(Asked::Run(key)),
        Err(_) if text.contains('#') => Err(
            "expected a run's id such as task@2026-11-21T03:00:00.000Z#1, as `tenure history \
             --output` shows it"
                .to_owned(),
        ),
        Err(_) => instant_before(text).map(Asked::At),
    }
}

pub(super) fn state(text: &str) -> Result<tenure::core::RunState, String> {
    use tenure::core::RunState;
    RunState::from_name(text).ok_or_else(|| {
        let names: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_to_e8_times_are_read_strictly() {
        for (text, expected) in [
            ("500ms", Ok(500)),
            ("1.5s", Ok(1500)),
            ("1h61m", Ok(7_260_000)),
            ("0s", Err("too short")),
            ("499ms", Err("at least 500ms")),
            ("25h", Err("at most 24h")),
            ("-5s", Err("negative")),
            ("5", Err("unit is missing")),
            ("1.5", Err("unit is missing")),
            ("5 m", Err("a blank")),
            ("5M", Err("unit is unknown")),
            ("５s", Err("number is missing")),
            ("1m1h", Err("larger units come first")),
            ("9223372036854775808s", Err("too large")),
            ("1e400s", Err("unknown")),
            ("NaN", Err("number is missing")),
            ("inf", Err("number is missing")),
        ] {
            match (lock_ttl(text), expected) {
                (Ok(ttl), Ok(ms)) => assert_eq!(ttl, Duration::from_millis(ms), "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn e11_e12_a_wait_is_a_bounded_duration_or_forever() {
        assert_eq!(wait("0s"), Ok(Wait::AtMost(Duration::ZERO)));
        assert_eq!(wait("forever"), Ok(Wait::Forever));
        for (text, part) in [
            ("366d", "or `forever`"),
            ("Forever", "or `forever`"),
            ("always", "or `forever`"),
        ] {
            assert!(wait(text).unwrap_err().contains(part), "{text}");
        }
    }
}
