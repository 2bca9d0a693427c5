//! Very many tasks of one node that are all due at one tick, and do nothing.

use std::time::Duration;

use tenure::core::{Clock as _, SystemClock};

use super::nodes::{Node, Starts, due_in, until};
use crate::Progress;
use crate::place::{Place, Trouble};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

pub(super) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let most = if place.is_shared() { 150.0 } else { 20.0 };
    let count = if settings.is_quick { 500 } else { 10_000 };
    one(place, count, most, report, progress).await?;
    if !place.is_shared() && !settings.is_quick {
        one(place, 100_000, 200.0, report, progress).await?;
    }
    Ok(())
}

async fn one(
    place: &Place,
    count: usize,
    most_ms: f64,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    progress(&format!("{count} tasks due at one tick"));
    let mut lead = Duration::from_micros(100) * u32::try_from(count).unwrap_or(u32::MAX);
    let (node, starts, name) = loop {
        let (store, name) = super::store(place, &format!("burst-{count}")).await?;
        let starts = Starts::default();
        let (due_at, schedule) = due_in(lead);
        let node = Node::start(store, &schedule, count, &starts).await?;
        if SystemClock.wall() + Duration::from_millis(500) < due_at {
            until(due_at).await;
            break (node, starts, name);
        }
        node.tasks.drain(Duration::from_secs(5)).await;
        super::forget(place, &name).await?;
        lead *= 3;
    };
    starts.reach(count, Duration::from_secs(90)).await;
    node.tasks.drain(Duration::from_secs(10)).await;
    super::forget(place, &name).await?;
    let case = format!("{count} tasks, 1 node");
    let row = |measure, unit, value| Row::new(Workload::Tick, case.as_str(), measure, unit, value);
    report.add(row("runs", Unit::Count, figure(starts.count())).exactly(count));
    let mut late = starts.all();
    for (measure, percent) in [("late, p50", 50), ("late, p99", 99), ("late, last", 100)] {
        let row = row(measure, Unit::Millis, percentile(&mut late, percent));
        report.add(if percent == 99 {
            row.bar(Bar::AtMost(most_ms))
        } else {
            row
        });
    }
    Ok(())
}
