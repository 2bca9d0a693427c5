//! Links between our own documents lead somewhere.

use super::tree::is_markdown;
use super::{Finding, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files().filter(|(path, _)| is_markdown(path)) {
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in targets(line) {
                if let Err(message) = follow(workspace, path, target) {
                    findings.push(Finding::new(path, at + 1, "link", message));
                }
            }
        }
    }
    findings
}

/// What stands in the round brackets of `[…](…)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

fn follow(workspace: &Workspace, from: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        join(from, file)
    };
    if !workspace.exists(&path) {
        return Err(format!("the link leads to `{path}`, which does not exist"));
    }
    let text = workspace.text(&path).unwrap_or_default();
    let has_heading = |anchor: &str| {
        text.lines()
            .any(|line| line.starts_with('#') && slug(line.trim_start_matches('#')) == anchor)
    };
    if !anchor.is_empty() && is_markdown(&path) && !has_heading(anchor) {
        return Err(format!("`{path}` has no heading `#{anchor}`"));
    }
    Ok(())
}

/// A path relative to the file `from`, from the root.
fn join(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// How a heading is named in a link.
fn slug(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| {
        if c == ' ' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    })
    .collect()
}
