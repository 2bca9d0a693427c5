//! A node that is gone: how late its share of a tick starts elsewhere, and how soon its run that
//! nobody ends any more is reported as lost.

use std::time::Duration;

use tenure::core::{Clock as _, HistoryQuery, RunState, SystemClock};
use tenure::tasks::{RunnerOptions, StoreLockManager, Task, TaskContext, TaskScheduling};

use super::nodes::{Node, Starts, due_in, until};
use super::watched::Watched;
use crate::Progress;
use crate::place::{Place, Trouble};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

const TASKS: usize = 120;
const NODES: usize = 6;

pub(super) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    progress("the owner of a tick is gone");
    owner(place, report).await?;
    progress("a node is gone in the middle of a run");
    // The shortest lease there is; by default the same with 15 s.
    let lease = Duration::from_secs(3);
    let options = RunnerOptions::new()
        .node_ttl(lease)
        .beat_every(Duration::from_secs(1));
    let noticed = middle(place, "middle-short", options).await?;
    let row = Row::new(
        Workload::Tick,
        "a run's node is gone, lease of 3 s",
        "noticed",
        Unit::Millis,
        noticed,
    );
    report.add(row.bar(Bar::AtMost(2.0 * lease.as_secs_f64() * 1000.0)));
    if !settings.is_quick {
        let noticed = middle(place, "middle-default", RunnerOptions::new()).await?;
        let case = "a run's node is gone, default lease";
        let row = Row::new(Workload::Tick, case, "noticed", Unit::Millis, noticed);
        report.add(row.bar(Bar::AtMost(20_000.0)));
    }
    Ok(())
}

async fn owner(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let starts = Starts::default();
    let (due_at, schedule) = due_in(Duration::from_secs(4));
    let (store, name) = super::store(place, "owner").await?;
    let mut nodes = Vec::with_capacity(NODES);
    for _ in 0..NODES {
        nodes.push(Node::start(store.clone(), &schedule, TASKS, &starts).await?);
    }
    until(due_at - Duration::from_millis(200)).await;
    if let Some(gone) = nodes.first() {
        gone.store.cut();
    }
    starts.reach(TASKS, Duration::from_secs(30)).await;
    let mut late = starts.all();
    for node in nodes.iter().skip(1) {
        node.tasks.drain(Duration::from_secs(5)).await;
    }
    super::forget(place, &name).await?;
    let case = format!("{NODES} nodes × {TASKS} tasks, one node gone");
    let row = |measure, unit, value| Row::new(Workload::Tick, case.as_str(), measure, unit, value);
    report.add(row("runs", Unit::Count, figure(late.len())).exactly(TASKS));
    let last = percentile(&mut late, 100);
    report.add(row("late, last", Unit::Millis, last).bar(Bar::AtMost(1_000.0)));
    Ok(())
}

/// Milliseconds from the end of a node to the record that says that its run is lost. Each `what`
/// has a store of its own: a file outlives its round, and an earlier round's lost run is in it.
async fn middle(place: &Place, what: &str, options: RunnerOptions) -> Result<f64, Trouble> {
    let (store, name) = super::store(place, what).await?;
    let starts = Starts::default();
    let start = async |watched: std::sync::Arc<Watched>| {
        let starts = starts.clone();
        let task =
            Task::new("endless")
                .schedule("@every 1s")
                .run(move |context: TaskContext<()>| {
                    starts.add(context.tick());
                    std::future::pending::<()>()
                });
        let scheduling = TaskScheduling::builder(())
            .manager(StoreLockManager::new(watched))
            .options(options.clone())
            .task(task);
        scheduling.start().await.map_err(Trouble::wrong)
    };
    let gone = Watched::over(store.clone());
    let leaving = start(gone.clone()).await?;
    starts.reach(1, Duration::from_secs(10)).await;
    let other = start(Watched::over(store.clone())).await?;
    gone.cut();
    let began = SystemClock.now();
    let is_lost = async || -> Result<bool, Trouble> {
        let page = store.history(&HistoryQuery::all()).await?;
        Ok(page.runs.iter().any(|run| run.state == RunState::Lost))
    };
    while !is_lost().await? && SystemClock.now().since(began) < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let noticed = SystemClock.now().since(began).as_secs_f64() * 1000.0;
    drop(leaving);
    other.drain(Duration::ZERO).await;
    super::forget(place, &name).await?;
    Ok(noticed)
}
