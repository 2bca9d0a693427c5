//! Every store has the same rooms and passes both suites.

use std::collections::BTreeSet;

use super::source::code_of;
use super::{Finding, Workspace};

/// What every store has. `*` is a file of that name, or a folder for one that outgrew it.
const ROOMS: [&str; 6] = [
    "README.md",
    "src/lib.rs",
    "src/options.rs",
    "src/error.rs",
    "src/lease*",
    "src/run*",
];
const SUITES: [&str; 2] = ["lease_suite", "run_suite"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let paths = workspace.files().map(|(path, _)| path);
    let stores: BTreeSet<&str> = paths
        .filter_map(|path| path.strip_prefix("stores/")?.split_once('/'))
        .map(|(store, _)| store)
        .collect();
    stores
        .into_iter()
        .flat_map(|store| check_store(workspace, store))
        .collect()
}

fn check_store(workspace: &Workspace, store: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = format!("stores/{store}");
    let expected = format!("tenure-{store}");
    let package = workspace
        .packages()
        .find(|package| package.folder == folder);
    if package.is_none_or(|package| package.name != expected) {
        let path = format!("{folder}/Cargo.toml");
        let message = format!("the folder of a store is a package, here `{expected}`");
        findings.push(Finding::new(&path, 1, "rooms", message));
    }
    for room in ROOMS {
        let path = format!("{folder}/{}", room.replace('*', ".rs"));
        let or_folder = format!("{folder}/{}", room.replace('*', ""));
        if !workspace.exists(&path) && !workspace.exists(&or_folder) {
            let message = "every store has the same rooms, and this one is missing; write it";
            findings.push(Finding::new(&path, 1, "rooms", message));
        }
    }
    let path = format!("{folder}/tests/conformance.rs");
    let tests = code_of(workspace.text(&path).unwrap_or_default());
    for suite in SUITES {
        let call = format!("tenure_conformance::{suite}!");
        if !tests.contains(&call) {
            let message = format!("the store is missing from a suite; call `{call}(…)` here");
            findings.push(Finding::new(&path, 1, "suite", message));
        }
    }
    findings
}
