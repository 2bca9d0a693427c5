//! Every store has the same rooms and passes both suites.

use super::{Finding, Workspace};

const ROOMS: [&str; 4] = ["README.md", "src/lib.rs", "src/options.rs", "src/error.rs"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace
        .packages()
        .filter(|package| package.folder.starts_with("stores/"))
    {
        let folder = &package.folder;
        for room in ROOMS {
            let path = format!("{folder}/{room}");
            if !workspace.exists(&path) {
                let message = "every store has the same rooms, and this one is missing";
                findings.push(Finding::new(&path, 1, "rooms", message));
            }
        }
        for room in ["lease", "run"] {
            let path = format!("{folder}/src/{room}.rs");
            if !workspace.exists(&path) && !workspace.exists(&format!("{folder}/src/{room}")) {
                let message = "every store has the same rooms, and this one is missing";
                findings.push(Finding::new(&path, 1, "rooms", message));
            }
        }
        let path = format!("{folder}/tests/conformance.rs");
        let tests = workspace.text(&path).unwrap_or_default();
        for suite in ["lease_suite", "run_suite"] {
            if !tests.contains(&format!("tenure_conformance::{suite}!(")) {
                let message = format!("`{}` does not call `{suite}!`", package.name);
                findings.push(Finding::new(&path, 1, "suite", message));
            }
        }
    }
    findings
}
