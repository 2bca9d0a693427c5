//! The code of simulated tasks: takes a while, may fail, may not listen, and tells the judge.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tenure_core::HolderId;
use tenure_tasks::{Retry, Task, TaskContext};
use tokio::time::sleep;

use crate::judge::{CodeRun, Judge};
use crate::line::Line;
use crate::plan::TaskPlan;

/// What a node's code knows of its node.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) judge: Arc<Judge>,
    pub(crate) line: Arc<Line>,
    pub(crate) node: HolderId,
    pub(crate) seed: u64,
}

/// Tells the judge of the end, however it comes.
struct GoingOn {
    judge: Arc<Judge>,
    ticket: u64,
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.judge.ended(self.ticket);
    }
}

/// The task of a plan.
pub(crate) fn task_of(plan: &TaskPlan) -> Task<NodeState> {
    let code = plan.clone();
    let task = Task::new(&plan.name)
        .schedule(plan.schedule.clone())
        .concurrency(plan.concurrency)
        .overlap(plan.overlap)
        .on_crash(plan.on_crash)
        .catch_up(plan.catch_up)
        .jitter(plan.jitter);
    let task = task.aliases(&plan.aliases);
    let task = match plan.generation {
        Some(number) => task.generation(number),
        None => task,
    };
    let task = match plan.max_running {
        Some(runs) => task.max_running(runs),
        None => task,
    };
    let task = match plan.max_running_per_node {
        Some(runs) => task.max_running_per_node(runs),
        None => task,
    };
    let task = match plan.window {
        Some(window) => task.catch_up_window(window),
        None => task,
    };
    let task = if plan.attempts > 1 {
        task.retry(Retry::exponential(plan.attempts))
    } else {
        task
    };
    task.run(move |context: TaskContext<NodeState>| execute(code.clone(), context))
}

async fn execute(plan: TaskPlan, context: TaskContext<NodeState>) -> Result<(), &'static str> {
    let state = context.application().clone();
    state.line.thawed().await;
    let run = CodeRun {
        key: context.run_id().clone(),
        attempt: context.attempt(),
        node: state.node,
    };
    let Some(ticket) = state.judge.began(run) else {
        return Err("the node is dead");
    };
    let _going_on = GoingOn {
        judge: state.judge.clone(),
        ticket,
    };
    // The same on every node and at every repetition.
    let mut rng = Rng::with_seed(
        state.seed
            ^ context.tick().as_millis().cast_unsigned()
            ^ u64::from(context.attempt()) << 48,
    );
    let (least, most) = plan.takes;
    let takes = least + most.saturating_sub(least).mul_f64(rng.f64());
    let fails = rng.u8(0..100) < plan.fails_percent;
    let told_to_stop = async {
        if plan.obeys {
            context.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let was_stopped = tokio::select! {
        biased;
        () = told_to_stop => true,
        () = sleep(takes) => false,
    };
    state.line.thawed().await;
    match (was_stopped, fails) {
        (true, _) => Err("stopped"),
        (false, true) => Err("failed, as chance had it"),
        (false, false) => Ok(()),
    }
}

/// The most time that code of this plan goes on by itself.
pub(crate) fn longest<'p>(tasks: impl Iterator<Item = &'p TaskPlan>) -> Duration {
    tasks.map(|task| task.takes.1).max().unwrap_or_default()
}
