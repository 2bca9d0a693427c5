//! Exceptions to the rules, each with its reason; one that is not needed is a finding.

use anyhow::Context;

use super::{Finding, Workspace};

pub(super) const FILE: &str = "xtask/tidy.toml";
const FIELDS: [&str; 3] = ["path", "rule", "reason"];

/// Takes out the findings that an exception names.
pub(super) fn apply(workspace: &Workspace, found: Vec<Finding>) -> anyhow::Result<Vec<Finding>> {
    let text = workspace.text(FILE).unwrap_or_default();
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("cannot read {FILE}"))?;
    let listed = table.get("exception").and_then(toml::Value::as_array);
    let headers = text.lines().enumerate();
    let mut headers = headers.filter(|(_, line)| line.trim() == "[[exception]]");
    let mut findings = found;
    for exception in listed.into_iter().flatten() {
        let line = headers.next().map_or(1, |(at, _)| at + 1);
        let [path, rule, reason] = FIELDS.map(|field| {
            let value = exception.get(field).and_then(toml::Value::as_str);
            value.unwrap_or_default().trim()
        });
        anyhow::ensure!(
            !path.is_empty() && !rule.is_empty() && !reason.is_empty(),
            "{FILE}:{line}: an exception needs `path`, `rule` and `reason`"
        );
        let before = findings.len();
        findings.retain(|finding| finding.path != path || finding.rule != rule);
        if findings.len() == before {
            let message = format!("nothing in {path} breaks `{rule}`; delete the exception");
            findings.push(Finding::new(FILE, line, "exception", message));
        }
    }
    Ok(findings)
}
