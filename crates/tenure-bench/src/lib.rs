//! What locks and claims cost on a store, beside the least that a client of it could do.
//!
//! Each workload runs the product and, where the store is known well enough, its raw limit in
//! turns: a round of one, a round of the other, in alternating order, so that whatever else the
//! machine does meets both. What is told are medians of the rounds, and their ratio. Workloads that
//! make no sense on a store are told as skipped, with the reason.
//!
//! Everything is written under a name that no other run has, and removed at the end. The program
//! `tenure bench` shows the result; docs/performance.md tells what it was.

mod claims;
mod crash;
mod hand_off;
mod helper;
mod load;
mod pairs;
pub mod place;
pub mod process;
mod renewal;
mod report;
mod settings;
mod statistics;
mod tick;
mod workload;

pub use helper::serve;
pub use place::Trouble;
pub use report::{Bar, Finding, Findings, Limit, Report, Row, Skipped, Unit};
pub use settings::{Helper, Settings};
pub use workload::{UnknownWorkload, Workload};

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use place::Place;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage<'s> {
    /// How many workloads are over, those that were skipped included.
    pub done: usize,
    /// How many were asked for.
    pub of: usize,
    /// What is being measured, such as `hand-off among 16 waiters`.
    pub doing: &'s str,
}

/// By which everything of a run is named.
const PURPOSE: &str = "bench";

/// What the workloads tell of themselves.
type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Runs `workloads` on the store that `url` names, in the order of [`Workload::ALL`].
///
/// Must be called in a multi-threaded runtime: with a single thread both sides are slower, and the
/// product's background work looks dearer than it is.
///
/// Each finding is told to `findings` as soon as it is known, and how far the run is to `progress`.
/// When `stop` resolves, the run ends early.
///
/// # Errors
/// [`Trouble`] says what was being done and what the store said. What was written is removed then
/// too, if the store still answers.
pub async fn run(
    url: &str,
    workloads: &[Workload],
    settings: &Settings,
    progress: &(dyn Fn(Stage<'_>) + Send + Sync),
    findings: &Findings,
    stop: impl Future<Output = ()>,
) -> Result<Report, Trouble> {
    let mut stop = pin!(stop);
    let asked = Workload::ALL.into_iter();
    let asked: Vec<Workload> = asked.filter(|it| workloads.contains(it)).collect();
    let done = AtomicUsize::new(0);
    let progress = |doing: &str| {
        progress(Stage {
            done: done.load(Ordering::Relaxed),
            of: asked.len(),
            doing,
        });
    };
    progress("connecting");
    let place = Place::open(url, PURPOSE).await?;
    let mut report = Report::new(place.version().await, findings.clone());
    let mut outcome = Ok(());
    for (at, workload) in asked.iter().copied().enumerate() {
        done.store(at, Ordering::Relaxed);
        if let Some(why) = place.why_not(workload, settings) {
            report.skip(workload, why);
            continue;
        }
        outcome = tokio::select! {
            outcome = measure(workload, &place, settings, &mut report, &progress) => outcome,
            () = &mut stop => Err(Trouble::Interrupted),
        };
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() {
        done.store(asked.len(), Ordering::Relaxed);
    }
    progress("removing what was written");
    if outcome.is_err() {
        // What was started goes on until its round is over, and writes meanwhile.
        tokio::time::sleep(settings.span).await;
    }
    let removed = place.remove().await;
    outcome.and(removed).map(|()| report)
}

async fn measure(
    workload: Workload,
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    match workload {
        Workload::Uncontended | Workload::Quorum => {
            pairs::uncontended(workload, place, settings, report, progress).await
        }
        Workload::Throughput => pairs::throughput(place, settings, report, progress).await,
        Workload::HandOff => hand_off::run(place, settings, report, progress).await,
        Workload::Commands => hand_off::commands(place, report, progress).await,
        Workload::Crash => crash::run(place, settings, report, progress).await,
        Workload::Claims => claims::run(place, settings, report, progress).await,
        Workload::Tick => tick::run(place, settings, report, progress).await,
        Workload::Renewal => renewal::run(place, settings, report, progress).await,
    }
}
