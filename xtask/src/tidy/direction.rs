//! Dependencies point one way: each of our crates may need only those below it.

use super::tree::Package;
use super::{Finding, Workspace};

/// Stands for every package under `stores/`.
const STORES: &str = "the stores";
const CONFORMANCE: &str = "tenure-conformance";
const BED: &str = "tenure-bed";

/// What each of our packages may need of ours; the stores need `tenure-core` only.
const MAY_NEED: [(&str, &[&str]); 15] = [
    ("tenure-core", &[]),
    ("tenure-schedule", &[]),
    ("tenure-lock", &["tenure-core"]),
    (CONFORMANCE, &["tenure-core"]),
    (BED, &[]),
    ("tenure-model", &[]),
    (
        "tenure-tasks",
        &["tenure-core", "tenure-lock", "tenure-schedule"],
    ),
    ("tenure-component", &["tenure-core", "tenure-lock", STORES]),
    (
        "tenure-dashboard",
        &["tenure-core", "tenure-schedule", "tenure-tasks"],
    ),
    (
        "tenure-sim",
        &["tenure-core", "tenure-tasks", "tenure-memory"],
    ),
    // All but the programs; not the simulator either, which is never published.
    (
        "tenure",
        &[
            "tenure-core",
            "tenure-lock",
            "tenure-schedule",
            "tenure-tasks",
            "tenure-component",
            "tenure-dashboard",
            CONFORMANCE,
            STORES,
        ],
    ),
    // Measures stores, so it knows them by name.
    ("tenure-bench", &["tenure", STORES]),
    // Works in a place of a benchmark's kind.
    ("tenure-verify", &["tenure", "tenure-bench"]),
    (
        "tenure-cli",
        &[
            "tenure",
            "tenure-dashboard",
            "tenure-bench",
            "tenure-sim",
            "tenure-verify",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that speak to a server or a file of its kind, and the one package that may need each.
const CLIENTS: [(&str, &str); 11] = [
    ("rusqlite", "tenure-sqlite"),
    ("libsqlite3-sys", "tenure-sqlite"),
    ("redis", "tenure-redis"),
    ("fred", "tenure-redis"),
    ("postgres", "tenure-postgres"),
    ("tokio-postgres", "tenure-postgres"),
    ("deadpool-postgres", "tenure-postgres"),
    ("mysql", "tenure-mysql"),
    ("mysql_async", "tenure-mysql"),
    ("etcd-client", "tenure-etcd"),
    ("sqlx", "no package"),
];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages() {
        let path = package.manifest_path();
        let Some(allowed) = may_need(package) else {
            let message = format!(
                "`{}` has no place in the layout; say in xtask/src/tidy/direction.rs what it may \
                 need",
                package.name
            );
            findings.push(Finding::new(&path, 1, "direction", message));
            continue;
        };
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            // Tests may also use any store, the suites, real servers, and all features of their own
            // package.
            let for_all_tests = [STORES, CONFORMANCE, BED, package.name.as_str()];
            let for_tests: &[&str] = match kind {
                "dev-dependencies" => &for_all_tests,
                _ => &[],
            };
            for needed in workspace.needs(package, kind) {
                let line = line_of(workspace, &path, kind, needed.key);
                let allowed = [allowed, for_tests].concat();
                if is_ours(workspace, needed.name) && !allows(workspace, &allowed, needed.name) {
                    let message = format!(
                        "`{}` may not need `{}`; of ours it may need {}: move the code to where \
                         its dependencies point down",
                        package.name,
                        needed.name,
                        named(&allowed)
                    );
                    findings.push(Finding::new(&path, line, "direction", message));
                }
                let client = CLIENTS.iter().find(|(client, _)| *client == needed.name);
                let client = client.filter(|(_, owner)| *owner != package.name);
                if let Some((_, owner)) = client.filter(|_| for_tests.is_empty()) {
                    let message = format!(
                        "only {owner} may need the client library `{}`; reach it through the \
                         store's contract",
                        needed.name
                    );
                    findings.push(Finding::new(&path, line, "direction", message));
                }
            }
        }
    }
    findings
}

fn may_need(package: &Package) -> Option<&'static [&'static str]> {
    if package.is_store() {
        return Some(&["tenure-core"]);
    }
    let row = MAY_NEED.iter().find(|(name, _)| *name == package.name)?;
    Some(row.1)
}

fn is_ours(workspace: &Workspace, name: &str) -> bool {
    workspace.packages().any(|package| package.name == name)
}

fn allows(workspace: &Workspace, allowed: &[&str], needed: &str) -> bool {
    let mut stores = workspace.packages().filter(|package| package.is_store());
    allowed.contains(&needed)
        || allowed.contains(&STORES) && stores.any(|store| store.name == needed)
}

fn named(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        "nothing".to_owned()
    } else {
        allowed.join(", ")
    }
}

/// The line of a manifest that names a dependency, counted from 1.
fn line_of(workspace: &Workspace, path: &str, kind: &str, key: &str) -> usize {
    let mut is_in_table = false;
    let text = workspace.text(path).unwrap_or_default();
    for (at, line) in text.lines().enumerate() {
        if let Some(header) = line.trim().strip_prefix('[') {
            let header = header.trim_end_matches(']');
            is_in_table = header.ends_with(kind);
            if header.ends_with(&format!("{kind}.{key}")) {
                return at + 1;
            }
        }
        let named = line.split(['=', '.']).next().unwrap_or_default();
        if is_in_table && named.trim() == key {
            return at + 1;
        }
    }
    1
}
