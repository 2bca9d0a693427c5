//! Nanoseconds per next tick and per parse, beside `croner` in the same run.
//!
//! Prints the best of several rounds, so that other work on the machine counts less.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenure_schedule::{Schedule, Zone};

const ROUNDS: usize = 7;
const TICKS: u32 = 2_000;

const CASES: [(&str, &str); 9] = [
    ("*/5 * * * *", "UTC"),
    ("*/10 * * * * *", "UTC"),
    ("*/15 * * * *", "Europe/Berlin"),
    ("30 2 * * *", "America/New_York"),
    ("0 9 * * 1-5", "Europe/Berlin"),
    ("0 0 1 1 *", "America/New_York"),
    ("0 0 L * *", "Europe/Berlin"),
    ("0 0 * * 5#3", "UTC"),
    ("0 0 29 2 *", "UTC"),
];

/// What the other dialects add, and no other crate here reads.
const OTHERS: [&str; 6] = [
    "krontab: /5 * * * *",
    "krontab: 0/15 30 * * * 60o 500ms",
    "quartz: 0 0 12 L-3W * ?",
    "systemd: Mon..Fri 10:00 Europe/Berlin",
    "systemd: *:*:0/0.25",
    "english: every 15 minutes between 9 and 17",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let start: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    writeln!(
        out,
        "{:<16} {:<17} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8}",
        "schedule", "zone", "next ns", "croner", "ratio", "prev ns", "parse", "croner"
    )?;
    for (text, zone_name) in CASES {
        let zone = Zone::parse(zone_name)?;
        let rules = TimeZone::get(zone_name)?;
        let schedule = Schedule::parse_in(text, &zone)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Optional)
            .build();
        let cron = parser.parse(text)?;

        let next = best(|| walk(start, |tick| schedule.next_after(tick)));
        let previous = best(|| walk(start, |tick| schedule.previous_before(tick)));
        let theirs = best(|| {
            let mut at = start.to_zoned(rules.clone());
            for _ in 0..TICKS {
                let Ok(found) = cron.find_next_occurrence(&at, false) else {
                    break;
                };
                at = black_box(found);
            }
        });
        let parse = best(|| repeat(|| Schedule::parse_in(black_box(text), &zone).is_ok()));
        let their_parse = best(|| repeat(|| parser.parse(black_box(text)).is_ok()));
        writeln!(
            out,
            "{text:<16} {zone_name:<17} {next:>8.0} {theirs:>8.0} {:>6.1} {previous:>8.0} \
             {parse:>8.0} {their_parse:>8.0}",
            theirs / next
        )?;
    }
    for text in OTHERS {
        let schedule = Schedule::parse(text)?;
        let next = best(|| walk(start, |tick| schedule.next_after(tick)));
        let previous = best(|| walk(start, |tick| schedule.previous_before(tick)));
        let parse = best(|| repeat(|| Schedule::parse(black_box(text)).is_ok()));
        writeln!(
            out,
            "{text:<42} next {next:>6.0}  prev {previous:>6.0}  parse {parse:>6.0}"
        )?;
    }
    writeln!(out, "size of a schedule: {} bytes", size_of::<Schedule>())?;
    Ok(())
}

/// Follows up to [`TICKS`] ticks, starting over where there are no more.
fn walk(start: Timestamp, step: impl Fn(Timestamp) -> Option<Timestamp>) {
    let mut at = start;
    for _ in 0..TICKS {
        at = black_box(step(black_box(at))).unwrap_or(start);
    }
}

fn repeat(work: impl Fn() -> bool) {
    for _ in 0..TICKS {
        black_box(work());
    }
}

/// Nanoseconds a step, in the best of several rounds.
fn best(work: impl Fn()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(TICKS)
        })
        .fold(f64::INFINITY, f64::min)
}
