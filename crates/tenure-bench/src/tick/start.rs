//! From a nominal tick to the first line of a task's code, on an idle node with one task.

use std::time::Duration;

use tenure::core::{Clock as _, SystemClock};

use super::nodes::{Node, Starts};
use crate::Progress;
use crate::place::{Place, Trouble};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::percentile;
use crate::workload::Workload;

const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let ticks = if settings.is_quick { 20 } else { 150 };
    progress("one task on an idle node");
    let (store, name) = super::store(place, "start").await?;
    let starts = Starts::default();
    let node = Node::start(store.clone(), "@every 100ms", 1, &starts).await?;
    // What the first ticks wait for, connections and scripts, later ones do not.
    starts.reach(5, Duration::from_secs(10)).await;
    let skipped = starts.count();
    let mut trips = Vec::with_capacity(ticks);
    for _ in 0..ticks {
        let began = SystemClock.now();
        store.now().await?;
        trips.push(SystemClock.now().since(began).as_secs_f64() * 1000.0);
        tokio::time::sleep(EVERY).await;
    }
    let mut late = starts.all().split_off(skipped);
    node.tasks.drain(Duration::from_secs(5)).await;
    super::forget(place, &name).await?;
    let trip = percentile(&mut trips, 50);
    let row =
        |measure, value| Row::new(Workload::Tick, "1 task, idle", measure, Unit::Millis, value);
    report.add(row("a question to the store, p50", trip));
    for (measure, percent, most) in [
        ("late beyond it, p50", 50, 2.0),
        ("late beyond it, p99", 99, 10.0),
    ] {
        let beyond = (percentile(&mut late, percent) - trip).max(0.0);
        report.add(row(measure, beyond).bar(Bar::AtMost(most)));
    }
    Ok(())
}
