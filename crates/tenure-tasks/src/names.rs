//! Checks the names of tasks, and those that they had before, of all tasks together.
//!
//! An alias must belong to one task and to no task that is there: otherwise nobody could say which
//! of two runs of a tick is the one too many.

use std::collections::{HashMap, HashSet};

use tenure_core::{TaskName, visible};

use crate::alarm;
use crate::config_error::ConfigError;
use crate::task::{Draft, Task};

/// Why a text that a store could keep as a task's name is none that people could read: it is blank,
/// or holds a character that does not show.
#[must_use]
pub fn name_fault(name: &str) -> Option<String> {
    if name.trim().is_empty() && !name.is_empty() && visible(name) == name {
        return Some("a task's name must show".to_owned());
    }
    if visible(name) == name {
        return None;
    }
    let escaped = |c: char| visible(c.encode_utf8(&mut [0; 4]));
    let hidden = name.chars().find(|c| !escaped(*c).starts_with(*c))?;
    Some(format!(
        "a task's name cannot hold `{}`, which does not show",
        hidden.escape_unicode()
    ))
}

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
