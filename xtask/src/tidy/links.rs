//! Links between our own documents lead somewhere.
//!
//! Addresses on the network are not asked for, and links to items are rustdoc's to check.

use std::collections::BTreeSet;

use super::tree::is_markdown;
use super::{Finding, Workspace};

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files().filter(|(path, _)| is_markdown(path)) {
        for (at, line) in prose(text) {
            let line = without_code(line);
            for target in targets(&line) {
                if let Err(message) = follow(workspace, path, target) {
                    findings.push(Finding::new(path, at + 1, "link", message));
                }
            }
        }
    }
    findings
}

/// The lines of a document outside fenced code, counted from 0.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts
        .filter(|(number, _)| number % 2 == 0)
        .map(|(_, part)| part)
        .collect::<Vec<_>>()
        .join("`")
}

/// What `[…](TARGET)` and `[…]: TARGET` lead to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        target.split_whitespace().next()
    });
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| {
        let (_, target) = rest.split_once("]: ")?;
        target.split_whitespace().next()
    });
    inline.chain(definition)
}

fn follow(workspace: &Workspace, from: &str, target: &str) -> Result<(), String> {
    let target = target.trim_matches(['<', '>']);
    let is_elsewhere = ["://", "::"].iter().any(|mark| target.contains(mark));
    if is_elsewhere || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = join(from, file)
        .ok_or_else(|| format!("`{target}` leads out of the repository; take the link out"))?;
    if !workspace.exists(&path) && !path.is_empty() {
        return Err(format!(
            "`{target}` leads to `{path}`, which does not exist; write the file or mend the link"
        ));
    }
    let text = workspace.text(&path).unwrap_or_default();
    if !anchor.is_empty() && is_markdown(&path) && !anchors(text).contains(anchor) {
        return Err(format!("`{path}` has no heading `#{anchor}`"));
    }
    Ok(())
}

/// A target relative to the file `from`, seen from the root; `None` if it is not below the root.
fn join(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// How links name the headings of a document; the second of a name is `name-1`.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    for (_, heading) in headings {
        let name = slug(heading.trim_start_matches('#'));
        let mut names = std::iter::once(name.clone())
            .chain((1..=found.len()).map(|number| format!("{name}-{number}")));
        found.extend(names.find(|name| !found.contains(name)));
    }
    found
}

/// How a link names a heading.
pub(crate) fn slug(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let text = "[a](b.md \"c\") `[d](e)` ![f](<g.png>)\n```\n[h](i)\n```\n[j]: k.md\n";
        let lines: Vec<_> = prose(text).map(|(_, line)| without_code(line)).collect();
        let found: Vec<_> = lines.iter().flat_map(|line| targets(line)).collect();
        assert_eq!(found, ["b.md", "<g.png>", "k.md"]);
    }

    #[test]
    fn headings_are_named_as_links_name_them() {
        let text = "# One, two: `three`!\n```sh\n# no heading\n```\n## Twice\n## Twice\n";
        let expected = ["one-two-three", "twice", "twice-1"].map(str::to_owned);
        assert_eq!(anchors(text), BTreeSet::from(expected));
    }

    #[test]
    fn a_path_is_joined_from_the_documents_folder_and_stays_in_the_repository() {
        for (target, expected) in [
            ("d.md", Some("a/b/d.md")),
            ("../d.md", Some("a/d.md")),
            ("../../d.md", Some("d.md")),
            ("../../../d.md", None),
            ("/d.md", None),
            ("", Some("a/b/c.md")),
        ] {
            assert_eq!(join("a/b/c.md", target).as_deref(), expected, "{target}");
        }
    }
}
