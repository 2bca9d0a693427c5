//! Headers and budgets: a file says what it knows, and is short enough to be one idea.

use super::source::{functions, product_lines};
use super::tree::is_rust;
use super::{Finding, Workspace};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.sources() {
        if !text.starts_with("//!") {
            let message = "begin with a `//!` header: what it does, relies on, and does not know";
            findings.push(Finding::new(path, 1, "header", message));
        }
        let lines = product_lines(text).len();
        // A file of tests inside `src` is measured as a test.
        if lines > FILE_LINES && !path.ends_with("/tests.rs") {
            let message = format!("{lines} lines of code, of {FILE_LINES} at most; split it");
            findings.push(Finding::new(path, 1, "file-length", message));
        }
        for (line, length) in functions(text) {
            if length > FUNCTION_LINES && !path.ends_with("/tests.rs") {
                let message =
                    format!("a function of {length} lines, of {FUNCTION_LINES} at most; split it");
                findings.push(Finding::new(path, line, "function-length", message));
            }
        }
    }
    for (path, text) in workspace.files().filter(|(path, _)| is_rust(path)) {
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let message = format!("{columns} columns, of {COLUMNS} at most");
                findings.push(Finding::new(path, at + 1, "columns", message));
            }
        }
    }
    findings
}
