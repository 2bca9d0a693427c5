//! Runs one plan from its beginning to its end, on a runtime of its own with virtual time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{RunRecord, RunStore};
use tokio::time::sleep_until;

use crate::audit::Audit;
use crate::clock::virtual_now;
use crate::cluster::Cluster;
use crate::judge::{Counts, Rules};
use crate::plan::Plan;
use crate::records;
use crate::violation::{Rule, Violation};

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Which promises were broken, in the order in which it was seen.
    pub violations: Vec<Violation>,
    /// How much happened.
    pub counts: Counts,
    /// How long all nodes lived, added up, in virtual time.
    pub node_time: Duration,
    /// How long it took in virtual time.
    pub length: Duration,
    /// What the store had on record before the nodes drained, by run.
    pub records: Vec<RunRecord>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether this promise was broken.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|found| found.rule == rule)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        write!(f, "{:?}, {:?} of nodes' lives", self.counts, self.node_time)
    }
}

/// Simulates a plan with the store in memory.
///
/// Blocks this thread, and needs no runtime: it makes its own.
///
/// # Errors
/// If the runtime cannot be made.
pub fn simulate(plan: &Plan) -> std::io::Result<Report> {
    simulate_with(plan, |store| store)
}

/// Simulates a plan with something before the store, such as a planted fault.
///
/// # Errors
/// If the runtime cannot be made.
pub fn simulate_with(
    plan: &Plan,
    server: impl FnOnce(Arc<dyn RunStore>) -> Arc<dyn RunStore>,
) -> std::io::Result<Report> {
    // The scheduler draws its pauses from the thread's generator.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(run(plan.clone(), server)))
}

async fn run(plan: Plan, server: impl FnOnce(Arc<dyn RunStore>) -> Arc<dyn RunStore>) -> Report {
    let began_at = virtual_now();
    let mut cluster = Cluster::new(plan, server);
    let world = cluster.world.clone();
    for task in world.plan.all_tasks() {
        if let Ok(name) = tenure_core::TaskName::new(&task.name) {
            let rules = Rules {
                concurrency: task.concurrency,
                overlap: task.overlap,
                max_running: task.max_running,
                on_crash: task.on_crash,
                retries: task.attempts > 1,
            };
            world.judge.know_task(name, rules);
        }
    }
    cluster.start_all().await;
    for (at, fault) in &world.plan.faults {
        sleep_until(began_at + *at).await;
        cluster.suffer(*fault).await;
    }
    sleep_until(began_at + world.plan.length).await;
    cluster.mend().await;
    let mended_at = world.store_clock.highest();
    sleep_until(virtual_now() + world.plan.calm).await;
    let records = records::all(&world.truth).await;
    Audit::new(&world, &records, mended_at, cluster.newest_release()).run();
    cluster.drain_all().await;
    let node_time = cluster.node_time();
    let pages = world.judge.pages();
    Report {
        violations: pages.violations.clone(),
        counts: pages.counts,
        node_time,
        length: world.elapsed(),
        records: records.into_values().collect(),
    }
}
