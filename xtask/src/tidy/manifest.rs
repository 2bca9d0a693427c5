//! Every package takes its lints, version and licence from the workspace.

use super::{Finding, Workspace};

const SHARED: [&str; 5] = ["version", "edition", "rust-version", "license", "authors"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages() {
        let path = package.manifest_path();
        let inherits = |table: &str, field: &str| {
            let value = package
                .manifest
                .get(table)
                .and_then(|table| table.get(field));
            value
                .and_then(|value| value.get("workspace"))
                .and_then(toml::Value::as_bool)
                == Some(true)
        };
        for field in SHARED
            .into_iter()
            .filter(|field| !inherits("package", field))
        {
            let message = format!("write `{field}.workspace = true`");
            findings.push(Finding::new(&path, 1, "manifest", message));
        }
        let lints = package
            .manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            let message = "write `[lints]` with `workspace = true`";
            findings.push(Finding::new(&path, 1, "manifest", message));
        }
    }
    findings
}
