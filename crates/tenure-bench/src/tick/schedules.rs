//! What a process pays for having very many schedules, none of which is due: memory, processor
//! time, start-up. Linux only, because it reads /proc.

use std::sync::Arc;
use std::time::Duration;

use tenure::MemoryStore;
use tenure::core::{Clock as _, SystemClock};
use tenure::tasks::{StoreLockManager, Task, TaskContext, TaskScheduling};

use crate::Progress;
use crate::place::Trouble;
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::figure;
use crate::workload::Workload;

/// How long nothing happens while processor time is counted.
const IDLE: Duration = Duration::from_secs(20);

pub(super) async fn run(
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let count = if settings.is_quick { 1_000 } else { 100_000 };
    progress(&format!("{count} schedules"));
    let before = resident()?;
    let began = SystemClock.now();
    let tasks = (0..count).map(|number| {
        Task::new(format!("task {number}"))
            .schedule(format!("{} {} 1 1 *", number % 60, number / 60 % 24))
            .run(|_: TaskContext<()>| async {})
    });
    let tasks = TaskScheduling::builder(())
        .manager(StoreLockManager::new(Arc::new(MemoryStore::new())))
        .tasks(tasks)
        .start()
        .await
        .map_err(Trouble::wrong)?;
    let started = SystemClock.now().since(began).as_secs_f64();
    let bytes = resident()?.saturating_sub(before);
    let (cpu, began) = (processor_time()?, SystemClock.now());
    tokio::time::sleep(if settings.is_quick { IDLE / 20 } else { IDLE }).await;
    let idle = processor_time()?.saturating_sub(cpu).as_secs_f64();
    let idle = idle / SystemClock.now().since(began).as_secs_f64();
    tasks.drain(Duration::from_secs(5)).await;
    let case = format!("{count} schedules, 1 node");
    let row = |measure, unit, value| Row::new(Workload::Tick, case.as_str(), measure, unit, value);
    let megabytes = figure(bytes) / 1e6;
    report.add(row("resident, MB", Unit::Count, megabytes).bar(Bar::AtMost(60.0)));
    report.add(row("idle", Unit::PercentOfCore, idle * 100.0).bar(Bar::AtMost(0.1)));
    report.add(row("start-up", Unit::Millis, started * 1000.0).bar(Bar::AtMost(2_000.0)));
    Ok(())
}

fn resident() -> Result<usize, Trouble> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(Trouble::wrong)?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    let pages = pages.ok_or_else(|| Trouble::wrong("/proc/self/statm cannot be read"))?;
    Ok(pages * rustix::param::page_size())
}

/// User and system time of this process, by the kernel's hundredths of a second.
fn processor_time() -> Result<Duration, Trouble> {
    let text = std::fs::read_to_string("/proc/self/stat").map_err(Trouble::wrong)?;
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}
