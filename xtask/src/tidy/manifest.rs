//! Every package takes its lints, its versions and the rest that is shared from the workspace.

use super::{Finding, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages() {
        let path = package.manifest_path();
        let mut find = |message: String| {
            findings.push(Finding::new(&path, 1, "manifest", message));
        };
        for field in workspace.shared_fields() {
            if !package.inherits(&["package", field]) {
                find(format!("write `{field}.workspace = true`"));
            }
        }
        if !package.inherits(&["lints"]) {
            find("write `[lints]` with `workspace = true`".to_owned());
        }
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for needed in workspace.needs(package, kind) {
                // A package that tests itself with more features names itself by its path.
                if !needed.is_from_workspace && needed.name != package.name {
                    find(format!(
                        "write `{0} = {{ workspace = true }}`: versions stand once, in the \
                         workspace",
                        needed.key
                    ));
                }
            }
        }
    }
    findings
}
