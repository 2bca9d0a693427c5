//! What no compiler checks: the direction of dependencies, budgets, words, suites, links.
//!
//! Each rule looks at a [`Workspace`] and says what is wrong, where, and what to do. Exceptions
//! stand in `xtask/tidy.toml` with a reason; one that is no longer needed is itself a finding.

mod budget;
mod direction;
mod exception;
mod links;
mod manifest;
mod source;
mod suites;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

pub(crate) use self::links::slug;
pub(crate) use self::tree::{Package, Workspace};
use crate::say;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} [{}]",
            self.path, self.line, self.message, self.rule
        )
    }
}

/// Checks the repository; true if there is nothing to find.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let findings = check(&Workspace::read(root)?)?;
    for finding in &findings {
        say(finding);
    }
    say(format_args!("tidy: {} findings", findings.len()));
    Ok(findings.is_empty())
}

/// Everything that is wrong with a workspace, in the order of its files.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let rules = [
        direction::check,
        manifest::check,
        budget::check,
        words::check,
        suites::check,
        links::check,
    ];
    let found = rules.iter().flat_map(|rule| rule(workspace)).collect();
    let mut findings = exception::apply(workspace, found)?;
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests;
