//! Exceptions to the rules, each with its reason; one that is not needed is a finding.

use anyhow::Context;

use super::{Finding, Workspace};

const FILE: &str = "xtask/tidy.toml";

/// Takes out the findings that an exception names.
pub(super) fn apply(workspace: &Workspace, found: Vec<Finding>) -> anyhow::Result<Vec<Finding>> {
    let Some(text) = workspace.text(FILE) else {
        return Ok(found);
    };
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("cannot read {FILE}"))?;
    let listed = table.get("exception").and_then(toml::Value::as_array);
    let mut left = found;
    let mut findings = Vec::new();
    for exception in listed.into_iter().flatten() {
        let field = |name: &str| {
            exception
                .get(name)
                .and_then(toml::Value::as_str)
                .unwrap_or("")
        };
        let (path, rule, reason) = (field("path"), field("rule"), field("reason"));
        anyhow::ensure!(
            !path.is_empty() && !rule.is_empty() && !reason.is_empty(),
            "{FILE}: an exception needs `path`, `rule` and `reason`"
        );
        let before = left.len();
        left.retain(|finding| finding.path != path || finding.rule != rule);
        if left.len() == before {
            let message =
                format!("the exception for {path} from `{rule}` is not needed; delete it");
            findings.push(Finding::new(FILE, 1, "exception", message));
        }
    }
    findings.append(&mut left);
    Ok(findings)
}
