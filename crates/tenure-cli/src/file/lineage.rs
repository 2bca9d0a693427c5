//! What a task says of its other definitions: the names it had before, and which is newer.
//!
//! Stands in a task's own table only: a default for all tasks would make no sense.

use std::collections::HashMap;

use tenure::core::{OnChange, TaskName};

use super::problem::{Place, Problem, Problems};
use super::section::Section;

/// What a task says of its other definitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lineage {
    /// The names it had before.
    pub(crate) aliases: Vec<(TaskName, Place)>,
    pub(crate) generation: Option<u32>,
    pub(crate) on_change: OnChange,
}

impl Lineage {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        let words = [("newest", OnChange::Newest), ("union", OnChange::Union)];
        Self {
            aliases: read_names(section, "aliases"),
            generation: section
                .number("generation", 1, i64::from(u32::MAX))
                .and_then(|number| u32::try_from(number).ok()),
            on_change: section.word("on_change", &words, &[]).unwrap_or_default(),
        }
    }
}

/// Names of tasks that are there no more, under a key of any table.
pub(super) fn read_names(
    section: &mut Section<'_, '_, '_>,
    key: &'static str,
) -> Vec<(TaskName, Place)> {
    let names = section.strings(key, "an array of names, such as [\"old-name\"]");
    let mut read = Vec::new();
    for name in names.unwrap_or_default() {
        match TaskName::new(name.text) {
            Ok(valid) => read.push((valid, name.place)),
            Err(error) => section.refuse(key, name.place, &error.to_string(), None),
        }
    }
    read
}

/// Finds aliases that nobody could tell apart from tasks, or from each other.
pub(super) fn check_aliases<'l>(
    names: &[(TaskName, Place)],
    lineages: impl Iterator<Item = (&'l TaskName, &'l Lineage)>,
    problems: &mut Problems,
) {
    let tasks: HashMap<&TaskName, &Place> = names.iter().map(|(name, at)| (name, at)).collect();
    let mut first: HashMap<&TaskName, &Place> = HashMap::new();
    for (task, lineage) in lineages {
        for (alias, place) in &lineage.aliases {
            let problem = |title: String| Problem::error(title).at(place.clone(), "here");
            if alias == task {
                let title = format!("`{alias}` is the task's own name");
                problems.add(problem(title).help("an alias is a name that the task had before"));
            } else if let Some(live) = tasks.get(alias) {
                let title = format!("`{alias}` is a task of its own");
                problems.add(
                    problem(title)
                        .and((*live).clone(), "this one")
                        .help("an alias names a task that is there no more; remove one of them"),
                );
            } else if let Some(earlier) = first.insert(alias, place) {
                let title = format!("the alias `{alias}` is listed twice");
                problems.add(
                    problem(title)
                        .and(earlier.clone(), "first listed here")
                        .help("only one task can go on with it; remove one of them"),
                );
            }
        }
    }
}
