//! The repository as tidy sees it: its text files and its packages, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::source::Source;

/// The text files of a repository by their path from its root, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    files: BTreeMap<String, String>,
    sources: BTreeMap<String, Source>,
    /// Paths without `.rs` of the modules that their parent declares for tests only.
    test_modules: BTreeSet<String>,
    packages: Vec<Package>,
    /// The manifest at the root, empty if there is none.
    manifest: toml::Table,
}

/// One of our packages.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, such as `stores/sqlite`.
    pub(crate) folder: String,
    pub(crate) has_library: bool,
    pub(crate) manifest: toml::Table,
}

/// A dependency as a manifest names it.
#[derive(Debug)]
pub(super) struct Dependency<'a> {
    /// What the manifest calls it.
    pub(super) key: &'a str,
    /// What the package itself is called.
    pub(super) name: &'a str,
    pub(super) is_from_workspace: bool,
}

impl Workspace {
    /// Reads the files that git knows or would take, so that what is built is left out.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let arguments = "ls-files --cached --others --exclude-standard -z";
        let listed = Command::new("git")
            .args(arguments.split(' '))
            .current_dir(root)
            .output()
            .context("cannot ask git for the files")?;
        anyhow::ensure!(
            listed.status.success(),
            "git cannot list the files of this folder"
        );
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&listed.stdout).split('\0') {
            // Not one that was just deleted. A picture is there, and has no text.
            if let Ok(bytes) = std::fs::read(root.join(path)) {
                files.insert(
                    path.to_owned(),
                    String::from_utf8(bytes).unwrap_or_default(),
                );
            }
        }
        Self::of_files(files)
    }

    /// A workspace of the given files.
    pub(crate) fn of_files(files: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut workspace = Self::default();
        for (path, text) in &files {
            if is_rust(path) {
                let source = Source::read(text);
                let home = module_folder(path);
                let modules = source.test_files().map(|name| format!("{home}/{name}"));
                workspace.test_modules.extend(modules);
                workspace.sources.insert(path.clone(), source);
            }
            let Some(folder) = path.strip_suffix("Cargo.toml") else {
                continue;
            };
            let manifest = text.parse::<toml::Table>();
            let manifest = manifest.with_context(|| format!("cannot read {path}"))?;
            let folder = folder.trim_end_matches('/').to_owned();
            if folder.is_empty() {
                workspace.manifest = manifest;
                continue;
            }
            let name = at(&manifest, &["package", "name"]).and_then(toml::Value::as_str);
            workspace.packages.push(Package {
                name: name.unwrap_or_default().to_owned(),
                has_library: files.contains_key(&format!("{folder}/src/lib.rs")),
                folder,
                manifest,
            });
        }
        workspace.files = files;
        Ok(workspace)
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files, with tests, benches and examples.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        let sources = self.sources.iter();
        sources.map(|(path, source)| (path.as_str(), source))
    }

    pub(super) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or a folder of this path exists.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// Whether a file holds nothing but tests: it stands in a `tests` folder, or its parent
    /// declares it `#[cfg(test)]`.
    pub(super) fn is_test(&self, path: &str) -> bool {
        let is_below = |module: &String| {
            let rest = path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        path.contains("/tests/") || self.test_modules.iter().any(is_below)
    }

    /// What a package needs by the tables named, those of single platforms included.
    pub(super) fn needs<'a>(&'a self, package: &'a Package, kind: &str) -> Vec<Dependency<'a>> {
        let platforms = package
            .manifest
            .get("target")
            .and_then(toml::Value::as_table);
        let platforms = platforms.into_iter().flat_map(|table| table.values());
        let tables = platforms
            .map(|table| table.get(kind))
            .chain([package.manifest.get(kind)]);
        let rows = tables.flatten().filter_map(toml::Value::as_table).flatten();
        rows.map(|(key, row)| {
            let is_from_workspace = row.get("workspace").and_then(toml::Value::as_bool);
            let is_from_workspace = is_from_workspace == Some(true);
            let shared = at(&self.manifest, &["workspace", "dependencies", key]);
            let row = if is_from_workspace { shared } else { Some(row) };
            let renamed = row.and_then(|row| row.get("package")?.as_str());
            Dependency {
                key,
                name: renamed.unwrap_or(key),
                is_from_workspace,
            }
        })
        .collect()
    }

    /// The fields that packages share.
    pub(super) fn shared_fields(&self) -> impl Iterator<Item = &str> {
        let shared = at(&self.manifest, &["workspace", "package"]);
        let shared = shared.and_then(toml::Value::as_table);
        shared
            .into_iter()
            .flat_map(toml::Table::keys)
            .map(String::as_str)
    }
}

impl Package {
    pub(super) fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    pub(super) fn is_store(&self) -> bool {
        self.folder.starts_with("stores/")
    }

    /// Whether a field says `workspace = true`.
    pub(super) fn inherits(&self, path: &[&str]) -> bool {
        let value = at(&self.manifest, &[path, &["workspace"]].concat());
        value.and_then(toml::Value::as_bool) == Some(true)
    }
}

/// Follows keys into a table.
fn at<'a>(table: &'a toml::Table, path: &[&str]) -> Option<&'a toml::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// Where the modules that a file declares are kept.
fn module_folder(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let roots = ["/mod", "/lib", "/main"];
    roots
        .iter()
        .find_map(|root| stem.strip_suffix(root))
        .unwrap_or(stem)
}

pub(super) fn is_rust(path: &str) -> bool {
    has_extension(path, "rs")
}

pub(super) fn is_markdown(path: &str) -> bool {
    has_extension(path, "md")
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == wanted)
}
