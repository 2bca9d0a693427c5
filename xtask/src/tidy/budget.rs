//! Headers and budgets: a file says what it knows, and is short enough to be one idea.

use super::{Finding, Workspace};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in workspace.sources() {
        let text = workspace.text(path).unwrap_or_default();
        if path.contains("/src/") {
            if !text.starts_with("//!") {
                let message =
                    "begin with a `//!` header: what it does, relies on, and does not know";
                findings.push(Finding::new(path, 1, "header", message));
            }
            // Tests are tables and cases; what they are about is not made clearer by splitting.
            if !workspace.is_test(path) {
                findings.extend(lengths(path, source));
            }
        }
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let message = format!("{columns} columns, of {COLUMNS} at most; break the line");
                findings.push(Finding::new(path, at + 1, "columns", message));
            }
        }
    }
    findings
}

fn lengths(path: &str, source: &super::source::Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let length = source.length();
    if length > FILE_LINES {
        let message = format!("{length} lines of code, of {FILE_LINES} at most; split the file");
        findings.push(Finding::new(path, 1, "file-length", message));
    }
    for function in source.functions() {
        let (line, length) = (function.lines.start, function.length);
        if length > FUNCTION_LINES && !source.is_test(line) {
            let message =
                format!("a function of {length} lines, of {FUNCTION_LINES} at most; split it");
            findings.push(Finding::new(path, line + 1, "function-length", message));
        }
    }
    findings
}
