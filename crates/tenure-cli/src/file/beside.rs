//! How many runs may stand beside each other: what a task's overlap and limits mean together.

use tenure::Overlap;
use toml::de::DeValue;

use super::problem::{Place, Problem};
use super::section::Section;
use super::settings::Settings;

/// A task's overlap and limits, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beside {
    pub(crate) overlap: Overlap,
    pub(crate) max_running: Option<u32>,
    pub(crate) max_running_per_node: Option<u32>,
}

impl Beside {
    /// Puts together what a task says with what the defaults say. `own` is the place of the task's
    /// own `queue_max`: one from the defaults serves the tasks that queue.
    pub(super) fn read(
        settings: &Settings,
        own: Option<Place>,
        called: &str,
        root: &mut Section<'_, '_, '_>,
    ) -> Self {
        let mut overlap = settings.overlap.unwrap_or_default();
        if let Overlap::QueueAll { max } = &mut overlap {
            if let Some((wanted, _)) = &settings.queue_max {
                *max = *wanted;
            }
        } else if let Some(place) = own {
            root.complain(
                Problem::error(format!("`queue_max` of {called} bounds nothing"))
                    .at(
                        place,
                        "only `overlap = \"queue_all\"` has a queue with a bound",
                    )
                    .help("write overlap = \"queue_all\", or remove queue_max"),
            );
        }
        let runs = settings.max_running.as_ref();
        let here = settings.max_running_per_node.as_ref();
        if let (Some((runs, _)), Some((here, place))) = (runs, here)
            && here > runs
        {
            let reason = format!("more than max_running ({runs}), so it can never be reached");
            root.complain(
                Problem::error(format!(
                    "`max_running_per_node` of {called}: {here} is {reason}"
                ))
                .at(place.clone(), "here")
                .help("max_running counts the runs of the whole cluster"),
            );
        }
        let indices = settings.concurrency.unwrap_or(1);
        let waits = matches!(overlap, Overlap::QueueOne | Overlap::QueueAll { .. });
        if let Some((runs, place)) = runs
            && indices > *runs
            && !waits
        {
            let reason = format!("is less than concurrency ({indices})");
            root.complain(
                Problem::error(format!("`max_running` of {called}: {runs} {reason}"))
                    .at(place.clone(), "a part of each tick would never run")
                    .help("write overlap = \"queue_all\" or \"queue_one\", or raise it"),
            );
        }
        Self {
            overlap,
            max_running: runs.map(|(runs, _)| *runs),
            max_running_per_node: here.map(|(here, _)| *here),
        }
    }
}

/// Reads `[node]`: how this process behaves, whatever its tasks are. Answers how many runs it takes
/// on at once.
pub(super) fn read_node(root: &mut Section<'_, '_, '_>) -> Option<(usize, Place)> {
    let found = root.any("node")?;
    let DeValue::Table(table) = found.value else {
        root.wrong_type("node", &found, "a table");
        return None;
    };
    let mut section = Section::new(root.reading, &mut *root.problems, table, "[node]");
    let most = section.number("max_running", 1, 1_000_000);
    let place = section.key_place("max_running");
    section.finish(&[]);
    Some((usize::try_from(most?).ok()?, place?))
}
