//! What many schedules cost, and how late they start when many are due at once.
//!
//! `cargo bench -p tenure-tasks --bench schedules` prints one line a figure, each beside the limit
//! it is measured against in the same run:
//!
//! - the memory of 100 000 schedules, with the runner's and the store's state;
//! - the processor time of a runner with 100 000 schedules when nothing is due;
//! - nominal tick to start of the code for 10 000 tasks that are due in one second, beside the time
//!   that the same claims take when they are sent to the store with nothing around them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::unchecked_time_subtraction,
    reason = "a benchmark prints and may panic"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{
    Beat, ClaimBatch, ClaimItem, Clock, Generation, Holder, RunStore, SystemClock, TaskName,
};
use tenure_memory::MemoryStore;
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_tasks::{StoreLockManager, Task, TaskContext, TaskScheduling};

const SCHEDULES: usize = 100_000;
const DUE_AT_ONCE: u32 = 10_000;
const IDLE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    idle().await;
    let memory = Arc::new(MemoryStore::new());
    burst("memory", memory).await;
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("bench.db"));
    burst("sqlite", Arc::new(SqliteStore::open(options).unwrap())).await;
}

/// Memory and idle processor time of 100 000 schedules, none of which is due.
async fn idle() {
    let before = resident_bytes();
    let begun = SystemClock.now();
    let mut builder =
        TaskScheduling::builder(()).manager(StoreLockManager::new(Arc::new(MemoryStore::new())));
    for number in 0..SCHEDULES {
        let schedule = format!("{} {} 1 1 *", number % 60, number / 60 % 24);
        let task = Task::new(format!("task {number}"))
            .schedule(schedule)
            .run(|_: TaskContext<()>| async {});
        builder = builder.task(task);
    }
    let tasks = builder.start().await.unwrap();
    let took = SystemClock.now().since(begun);
    let mib = (resident_bytes().saturating_sub(before)) as f64 / f64::from(1 << 20);
    println!("{SCHEDULES} schedules: start {:.2} s", took.as_secs_f64());
    println!(
        "{SCHEDULES} schedules: {mib:.1} MiB resident, {:.2} × the limit of 100 MiB",
        mib / 100.0
    );
    let (cpu, begun) = (processor_time(), SystemClock.now());
    tokio::time::sleep(IDLE).await;
    let share =
        (processor_time() - cpu).as_secs_f64() / SystemClock.now().since(begun).as_secs_f64();
    println!(
        "{SCHEDULES} schedules: idle at {:.2} % of a core, {:.2} × the limit of 1 %",
        share * 100.0,
        share * 100.0
    );
    tasks.drain(Duration::from_secs(5)).await;
}

/// Lateness of 10 000 tasks that are due in one second.
async fn burst(name: &str, store: Arc<dyn RunStore>) {
    let raw = raw_claims(&*store).await;
    let late: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut builder = TaskScheduling::builder(()).manager(StoreLockManager::new(store));
    let due = due_time();
    for number in 0..DUE_AT_ONCE {
        let late = late.clone();
        let task = Task::new(format!("task {number}"))
            .schedule(due.as_str())
            .run(move |context: TaskContext<()>| {
                let lateness = SystemClock.wall().since(context.tick());
                late.lock().unwrap().push(lateness);
                async {}
            });
        builder = builder.task(task);
    }
    let tasks = builder.start().await.unwrap();
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(50);
    while late.lock().unwrap().len() < DUE_AT_ONCE as usize && waited < Duration::from_secs(90) {
        tokio::time::sleep(step).await;
        waited += step;
    }
    tasks.drain(Duration::from_secs(10)).await;
    let mut late = late.lock().unwrap().clone();
    late.sort_unstable();
    println!("{name}: {} of {DUE_AT_ONCE} tasks ran", late.len());
    let at = |share: usize| {
        late.get(late.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    let last = late.last().copied().unwrap_or_default();
    println!("{name}: the same claims alone take {raw:.0?}");
    for (what, lateness) in [("p50", at(50)), ("p99", at(99)), ("last", last)] {
        let ratio = lateness.as_secs_f64() / raw.as_secs_f64();
        println!("{name}: lateness {what} {lateness:?}, {ratio:.2} × the claims alone");
    }
}

/// How long the same claims take in the largest batches, one after another, and nothing else.
async fn raw_claims(store: &dyn RunStore) -> Duration {
    let node = Holder::new("raw");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(60)))
        .await
        .unwrap();
    let now = store.now().await.unwrap().now;
    let generation = Generation::new("raw").unwrap();
    let items: Vec<ClaimItem> = (0..DUE_AT_ONCE)
        .map(|number| {
            let name = TaskName::new(format!("raw {number}")).unwrap();
            ClaimItem::new(name, now, 1, generation.clone())
        })
        .collect();
    let batches: Vec<ClaimBatch> = items
        .chunks(store.promises().max_batch)
        .map(|chunk| ClaimBatch::new(node.id, chunk.to_vec()))
        .collect();
    let begun = SystemClock.now();
    for batch in &batches {
        store.claim(batch).await.unwrap();
    }
    let took = SystemClock.now().since(begun);
    store.leave(node.id).await.unwrap();
    took
}

/// A schedule for a second that begins in about ten seconds, and then not for a year.
fn due_time() -> String {
    let soon = (SystemClock.wall() + Duration::from_secs(10)).to_jiff();
    let civil = soon.to_zoned(jiff::tz::TimeZone::UTC);
    format!(
        "{} {} {} {} {} *",
        civil.second(),
        civil.minute(),
        civil.hour(),
        civil.day(),
        civil.month()
    )
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 4096
}

/// User and system time of this process, in the kernel's hundredths of a second.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
