//! Checks what a task says about overlap and about how many of its runs may be in hand.
//!
//! The rules themselves are the store's and the runner's; here only what makes no sense is told.

use tenure_core::{OnChange, Overlap};

use crate::config_error::ConfigError;
use crate::spec::TaskSpec;
use crate::task::Draft;

const MAX_QUEUE: u32 = 1000;

/// Overlap, limits, and what they mean for each other.
pub(crate) fn check_limits(draft: &Draft, fault: &mut impl FnMut(&'static str, String)) {
    if let Overlap::QueueAll { max } = draft.overlap
        && !(1..=MAX_QUEUE).contains(&max)
    {
        fault("queue_max", format!("{max} must be 1 to {MAX_QUEUE}"));
    }
    let zero = "0 would run nothing; to switch the task off write schedule = \"-\"";
    if draft.max_running == Some(0) {
        fault("max_running", zero.into());
    }
    if draft.max_running_per_node == Some(0) {
        fault("max_running_per_node", zero.into());
    }
    let Some(runs) = draft.max_running.filter(|runs| *runs > 0) else {
        return;
    };
    if let Some(here) = draft.max_running_per_node
        && here > runs
    {
        fault(
            "max_running_per_node",
            format!("{here} can never be reached, since max_running ({runs}) is less"),
        );
    }
    let indices = draft.concurrency.unwrap_or(1);
    let waits = matches!(draft.overlap, Overlap::QueueOne | Overlap::QueueAll { .. });
    if indices > runs && !waits {
        fault(
            "max_running",
            format!(
                "{runs} is less than concurrency ({indices}), so a part of each tick would never \
                 run; write overlap = queue_one or queue_all, or raise it"
            ),
        );
    }
}

/// What needs a store that keeps runs, of a task whose manager only permits and refuses.
pub(crate) fn check_storeless(spec: &TaskSpec, faults: &mut Vec<ConfigError>) {
    let mut fault = |setting| {
        faults.push(ConfigError::Setting {
            task: spec.name().as_str().to_owned(),
            setting,
            problem: "this needs a manager with a store, and the task's has none".to_owned(),
        });
    };
    if !matches!(spec.overlap(), Overlap::Skip | Overlap::Allow) {
        fault("overlap");
    }
    if spec.max_running().is_some() {
        fault("max_running");
    }
    if spec.max_running_per_node().is_some() {
        fault("max_running_per_node");
    }
    if !spec.aliases().is_empty() {
        fault("aliases");
    }
    if spec.number() > 0 {
        fault("generation");
    }
    if !spec.keep().is_silent() {
        fault("keep");
    }
    if spec.schedule().delay().is_some() {
        fault("schedule");
    }
    if spec.on_change() != OnChange::Newest {
        fault("on_change");
    }
}
