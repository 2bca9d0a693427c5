//! Two other schedulers of one process with the same burst in the same run, each as its README
//! uses it, with code that only writes down how late it began. They keep no records and know no
//! other nodes: this is the time that a timer and a spawned task take.

use std::str::FromStr as _;
use std::time::Duration;

use apalis_cron::CronScheduler;
use futures_util::StreamExt as _;
use tenure::core::{Clock as _, SystemClock, Timestamp};
use tokio_cron_scheduler::{Job, JobScheduler};

use super::nodes::{Starts, due_in};
use crate::Progress;
use crate::place::Trouble;
use crate::report::{Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

pub(super) async fn run(
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let count = if settings.is_quick { 500 } else { 10_000 };
    progress(&format!("{count} tasks of tokio-cron-scheduler"));
    let mut lead = Duration::from_secs(3);
    let starts = loop {
        let (due_at, schedule) = due_in(lead);
        let starts = tokio_cron(due_at, &schedule, count).await?;
        if let Some(starts) = starts {
            break starts;
        }
        lead *= 4;
    };
    tell("tokio-cron-scheduler", count, &starts, report);
    progress(&format!("{count} tasks of apalis-cron"));
    let (due_at, schedule) = due_in(Duration::from_secs(5));
    let starts = apalis(due_at, &schedule, count).await?;
    tell("apalis-cron", count, &starts, report);
    Ok(())
}

fn tell(who: &str, count: usize, starts: &Starts, report: &mut Report) {
    let case = format!("{count} tasks, {who}");
    let row = |measure, unit, value| Row::new(Workload::Tick, case.as_str(), measure, unit, value);
    report.add(row("runs", Unit::Count, figure(starts.count())));
    let mut late = starts.all();
    for (measure, percent) in [("late, p50", 50), ("late, p99", 99), ("late, last", 100)] {
        report.add(row(measure, Unit::Millis, percentile(&mut late, percent)));
    }
}

/// `None` if adding the tasks took longer than until they were due.
async fn tokio_cron(
    due_at: Timestamp,
    schedule: &str,
    count: usize,
) -> Result<Option<Starts>, Trouble> {
    let starts = Starts::default();
    let mut scheduler = JobScheduler::new().await.map_err(Trouble::wrong)?;
    for _ in 0..count {
        let starts = starts.clone();
        let job = Job::new_async(schedule, move |_, _| {
            starts.add(due_at);
            Box::pin(async {})
        });
        scheduler
            .add(job.map_err(Trouble::wrong)?)
            .await
            .map_err(Trouble::wrong)?;
    }
    scheduler.start().await.map_err(Trouble::wrong)?;
    let is_in_time = SystemClock.wall() + Duration::from_millis(500) < due_at;
    if is_in_time {
        starts
            .reach(
                count,
                due_at.since(SystemClock.wall()) + Duration::from_secs(10),
            )
            .await;
    }
    scheduler.shutdown().await.map_err(Trouble::wrong)?;
    Ok(is_in_time.then_some(starts))
}

/// A stream of ticks for each task, without the worker that is usually put around it.
async fn apalis(due_at: Timestamp, schedule: &str, count: usize) -> Result<Starts, Trouble> {
    let starts = Starts::default();
    let schedule = cron::Schedule::from_str(schedule).map_err(Trouble::wrong)?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (starts, schedule) = (starts.clone(), schedule.clone());
        tasks.spawn(async move {
            let mut ticks = CronScheduler::new(schedule).into_stream();
            if ticks.next().await.is_some() {
                starts.add(due_at);
            }
        });
    }
    starts
        .reach(
            count,
            due_at.since(SystemClock.wall()) + Duration::from_secs(10),
        )
        .await;
    tasks.shutdown().await;
    Ok(starts)
}
