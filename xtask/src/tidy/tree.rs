//! The repository as tidy sees it: its text files and its packages, read once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// The text files of a repository by their path from its root, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    files: BTreeMap<String, String>,
    packages: Vec<Package>,
}

/// One of our packages.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, such as `stores/sqlite`.
    pub(crate) folder: String,
    pub(crate) manifest: toml::Table,
}

impl Workspace {
    /// Reads the files that git knows or would take, so that what is built is left out.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let listed = Command::new("git")
            .args([
                "ls-files",
                "--cached",
                "--others",
                "--exclude-standard",
                "-z",
            ])
            .current_dir(root)
            .output()
            .context("cannot ask git for the files")?;
        anyhow::ensure!(
            listed.status.success(),
            "git cannot list the files of this folder"
        );
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&listed.stdout).split('\0') {
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Self::of_files(files)
    }

    /// A workspace of the given files.
    pub(crate) fn of_files(files: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut packages = Vec::new();
        for (path, text) in &files {
            let Some(folder) = path.strip_suffix("/Cargo.toml") else {
                continue;
            };
            let manifest: toml::Table = text
                .parse()
                .with_context(|| format!("cannot read {path}"))?;
            let name = manifest
                .get("package")
                .and_then(|package| package.get("name"));
            let name = name
                .and_then(toml::Value::as_str)
                .unwrap_or_default()
                .to_owned();
            packages.push(Package {
                name,
                folder: folder.to_owned(),
                manifest,
            });
        }
        Ok(Self { files, packages })
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or a folder of this path exists.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// The Rust files of the product: what stands under a `src` folder.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(|(path, _)| is_rust(path) && path.contains("/src/"))
    }
}

pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

pub(crate) fn is_markdown(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

impl Package {
    /// The names in one of the manifest's dependency tables.
    pub(crate) fn needs(&self, table: &str) -> impl Iterator<Item = &str> {
        let table = self.manifest.get(table).and_then(toml::Value::as_table);
        table
            .into_iter()
            .flat_map(|table| table.keys().map(String::as_str))
    }

    pub(crate) fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}
