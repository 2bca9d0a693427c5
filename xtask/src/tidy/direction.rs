//! Dependencies point one way: each of our crates may need only those below it.

use super::{Finding, Workspace};

/// What each kind of our packages may need of ours. What is not listed may need nothing.
const MAY_NEED: [(&str, &[&str]); 8] = [
    ("tenure-lock", &["tenure-core"]),
    ("tenure-conformance", &["tenure-core"]),
    (
        "tenure-tasks",
        &["tenure-core", "tenure-lock", "tenure-schedule"],
    ),
    (
        "tenure-component",
        &["tenure-core", "tenure-lock", "STORES"],
    ),
    ("tenure-dashboard", &["tenure-core", "tenure-tasks"]),
    (
        "tenure-sim",
        &[
            "tenure-core",
            "tenure-lock",
            "tenure-tasks",
            "tenure-memory",
        ],
    ),
    (
        "tenure",
        &[
            "tenure-core",
            "tenure-lock",
            "tenure-schedule",
            "tenure-tasks",
            "STORES",
        ],
    ),
    ("tenure-cli", &["tenure", "tenure-dashboard"]),
];

/// Client libraries, and the one package that may need each.
const CLIENTS: [(&str, &str); 5] = [
    ("rusqlite", "tenure-sqlite"),
    ("redis", "tenure-redis"),
    ("tokio-postgres", "tenure-postgres"),
    ("mysql_async", "tenure-mysql"),
    ("etcd-client", "tenure-etcd"),
];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ours: Vec<&str> = workspace
        .packages()
        .map(|package| package.name.as_str())
        .collect();
    let stores: Vec<&str> = workspace
        .packages()
        .filter(|package| package.folder.starts_with("stores/"))
        .map(|package| package.name.as_str())
        .collect();
    for package in workspace.packages() {
        let is_store = stores.contains(&package.name.as_str());
        let listed = MAY_NEED.iter().find(|(name, _)| *name == package.name);
        let allowed = match listed {
            Some((_, allowed)) => allowed,
            None if is_store => &["tenure-core"][..],
            None => &[],
        };
        let path = package.manifest_path();
        let line = |needed: &str| {
            let text = workspace.text(&path).unwrap_or_default();
            text.lines()
                .position(|line| line.starts_with(needed))
                .map_or(1, |at| at + 1)
        };
        for needed in package
            .needs("dependencies")
            .chain(package.needs("build-dependencies"))
        {
            let stores_allowed = allowed.contains(&"STORES") && stores.contains(&needed);
            if ours.contains(&needed) && !allowed.contains(&needed) && !stores_allowed {
                let message = format!(
                    "`{}` may not need `{needed}`; it may need: {}",
                    package.name,
                    if allowed.is_empty() {
                        "nothing of ours".to_owned()
                    } else {
                        allowed.join(", ")
                    }
                );
                findings.push(Finding::new(&path, line(needed), "direction", message));
            }
            let client = CLIENTS.iter().find(|(client, _)| *client == needed);
            if let Some((_, owner)) = client.filter(|(_, owner)| *owner != package.name) {
                let message = format!("only `{owner}` may need the client library `{needed}`");
                findings.push(Finding::new(&path, line(needed), "direction", message));
            }
        }
    }
    findings
}
