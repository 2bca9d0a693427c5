//! Checks the names that tasks had before, of all tasks together.
//!
//! An alias must belong to one task and to no task that is there: otherwise nobody could say which
//! of two runs of a tick is the one too many.

use std::collections::{HashMap, HashSet};

use tenure_core::TaskName;

use crate::alarm;
use crate::config_error::ConfigError;
use crate::task::{Draft, Task};

/// The aliases of one task that can be names at all.
pub(crate) fn aliases_of(draft: &Draft, faults: &mut Vec<ConfigError>) -> Vec<TaskName> {
    if draft.number == Some(0) {
        faults.push(ConfigError::Setting {
            task: draft.name.clone(),
            setting: "generation",
            problem: "0 is what a definition without a number has; write at least 1".to_owned(),
        });
    }
    let mut fault = |problem: String| {
        faults.push(ConfigError::Setting {
            task: draft.name.clone(),
            setting: "aliases",
            problem,
        });
    };
    let mut names = Vec::with_capacity(draft.aliases.len());
    for alias in &draft.aliases {
        match TaskName::new(alias) {
            Err(source) => fault(source.to_string()),
            Ok(name) if name.as_str() == draft.name => {
                fault(format!("`{name}` is the task's own name; leave it out"));
            }
            Ok(name) if alias.starts_with(alarm::PREFIX) => fault(format!(
                "`{name}` cannot have been a task: `{}` begins the names of tenure's own",
                alarm::PREFIX
            )),
            Ok(name) if names.contains(&name) => {
                fault(format!("`{name}` is listed twice; once is enough"));
            }
            Ok(name) => names.push(name),
        }
    }
    names
}

/// Finds aliases that name a task that is there, or that several tasks have.
pub(crate) fn check_aliases<S>(tasks: &[Task<S>], faults: &mut Vec<ConfigError>) {
    if tasks.iter().all(|task| task.draft.aliases.is_empty()) {
        return;
    }
    let live: HashSet<&str> = tasks.iter().map(|task| task.draft.name.as_str()).collect();
    let mut had_by: HashMap<&str, &str> = HashMap::new();
    for task in tasks {
        let name = task.draft.name.as_str();
        for alias in &task.draft.aliases {
            let alias = alias.as_str();
            let problem = if alias == name {
                // Told of the task by itself.
                continue;
            } else if live.contains(alias) {
                format!(
                    "`{alias}` is a task of its own; an alias names a task that is there no more"
                )
            } else if let Some(other) = had_by.insert(alias, name)
                && other != name
            {
                format!("`{alias}` is an alias of `{other}` too; only one task can go on with it")
            } else {
                continue;
            };
            faults.push(ConfigError::Setting {
                task: name.to_owned(),
                setting: "aliases",
                problem,
            });
        }
    }
}
