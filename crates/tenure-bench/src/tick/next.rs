//! The next tick of a schedule, over and over: pure arithmetic, no store.

use std::hint::black_box;

use tenure::Schedule;
use tenure::core::{Clock as _, SystemClock, Timestamp};

use crate::place::Trouble;
use crate::report::{Bar, Report, Row, Unit};
use crate::statistics::figure;
use crate::workload::Workload;

/// Every fifth minute, weekday mornings, a day of the month, the last day, a leap day.
const SCHEDULES: [&str; 5] = [
    "*/5 * * * *",
    "0 9 * * 1-5",
    "30 2 15 * *",
    "0 0 L * *",
    "0 0 29 2 *",
];
const TICKS: usize = 400;
const ROUNDS: usize = 9;
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

pub(super) fn run(report: &mut Report) -> Result<(), Trouble> {
    for text in SCHEDULES {
        let schedule = Schedule::parse(text).map_err(Trouble::wrong)?;
        let start = Timestamp::from_millis(START_MS).to_jiff();
        let ours = best(|| {
            let ticks = std::iter::successors(Some(start), |at| schedule.next_after(*at));
            ticks.take(TICKS).count()
        });
        let case = format!("next tick of {text}");
        let row = Row::new(Workload::Tick, case, "each, best round", Unit::Micros, ours);
        report.add(row.bar(Bar::AtMost(1.0)));
        #[cfg(feature = "crons")]
        others(text, report)?;
    }
    Ok(())
}

/// The same by two other crates, as far as they read the text.
#[cfg(feature = "crons")]
fn others(text: &str, report: &mut Report) -> Result<(), Trouble> {
    use std::str::FromStr as _;

    let start = chrono::DateTime::from_timestamp_millis(START_MS);
    let start = start.ok_or_else(|| Trouble::wrong("not an instant"))?;
    let mut tell = |who: &str, value: Option<f64>| {
        if let Some(value) = value {
            let case = format!("next tick of {text}, {who}");
            report.add(Row::new(
                Workload::Tick,
                case,
                "each, best round",
                Unit::Micros,
                value,
            ));
        }
    };
    let theirs = croner::Cron::from_str(text).ok();
    tell(
        "croner",
        theirs.map(|theirs| {
            best(|| {
                let next = |at: &chrono::DateTime<chrono::Utc>| {
                    theirs.find_next_occurrence(at, false).ok()
                };
                std::iter::successors(Some(start), next).take(TICKS).count()
            })
        }),
    );
    let theirs = cron::Schedule::from_str(&format!("0 {text}")).ok();
    tell(
        "cron",
        theirs.map(|theirs| best(|| theirs.after(&start).take(TICKS).count())),
    );
    Ok(())
}

/// Microseconds a tick in the best round, so that other work of the machine counts less.
fn best(mut round: impl FnMut() -> usize) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = SystemClock.now();
        let ticks = black_box(round()).max(1);
        let took = SystemClock.now().since(began).as_secs_f64() * 1e6;
        best = best.min(took / figure(ticks));
    }
    best
}
