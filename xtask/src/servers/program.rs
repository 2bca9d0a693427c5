//! Programs of servers: found where they are, or fetched into `.servers`.
//!
//! What is there is used as it is: a program that the environment names, one of an earlier run, one
//! on the PATH. Otherwise it is fetched, in a way that fits the machine. Nothing is started here
//! but each program's own `--version`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::fetch::{Machine, Source};

/// A row of the table: one package with one or more commands.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    source: Source,
    by_hand: String,
    /// Commands, and where the package has them.
    files: BTreeMap<String, String>,
}

/// A command that works.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) command: String,
    pub(super) path: PathBuf,
    pub(super) version: String,
    pub(super) how: How,
}

/// How a command was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// This variable of the environment names it.
    Named(String),
    /// An earlier run put it into `.servers`.
    Earlier,
    /// It is on the PATH, or where its package has it.
    Installed,
}

impl Program {
    /// Reads a row.
    pub(super) fn of(row: &toml::Value) -> anyhow::Result<Self> {
        let text = |field: &str| {
            row.get(field)
                .and_then(toml::Value::as_str)
                .map(str::to_owned)
        };
        let name = text("name").context("xtask/servers.toml: a program has no `name`")?;
        let files = row.get("files").and_then(toml::Value::as_table);
        let files = files
            .into_iter()
            .flatten()
            .filter_map(|(command, path)| Some((command.clone(), path.as_str()?.to_owned())));
        let files: BTreeMap<_, _> = files.collect();
        anyhow::ensure!(
            !files.is_empty(),
            "xtask/servers.toml: program `{name}` needs `files`, commands and their paths"
        );
        let sources = [
            text("debian").map(Source::Debian),
            text("pip").map(Source::Wheel),
            text("venv").map(Source::Python),
            text("npm").map(Source::Npm),
        ];
        let mut sources = sources.into_iter().flatten();
        let (Some(source), None) = (sources.next(), sources.next()) else {
            anyhow::bail!(
                "xtask/servers.toml: program `{name}` needs one of `debian`, `pip`, `venv` and \
                 `npm`"
            );
        };
        Ok(Self {
            source,
            by_hand: text("by_hand").unwrap_or_default(),
            files,
            name,
        })
    }

    /// Finds all commands, or fetches them, and links them into `.servers/bin`.
    pub(super) fn up(&self, folder: &Path, machine: &Machine) -> anyhow::Result<Vec<Found>> {
        let found = self.find(folder, machine).or_else(|_| {
            self.fetch(folder, machine)?;
            self.find(folder, machine)
        });
        let found = found.with_context(|| {
            format!(
                "cannot get {}. By hand: {}; then run this again. TENURE_WITHOUT={} leaves it out",
                self.commands(),
                self.advice(),
                self.name
            )
        })?;
        for one in found.iter().filter(|one| one.how == How::Installed) {
            link(&one.path, &folder.join("bin").join(&one.command))?;
        }
        // A program may say by its name what it is, so its link is asked again.
        self.find(folder, machine)
    }

    /// Finds all commands; fetches and changes nothing.
    pub(super) fn find(&self, folder: &Path, machine: &Machine) -> anyhow::Result<Vec<Found>> {
        let rows = self.files.iter();
        rows.map(|(command, inside)| {
            let (path, how) = self.place(folder, machine, command, inside)?;
            let version = version_of(&path)?;
            Ok(Found {
                command: command.clone(),
                path,
                version,
                how,
            })
        })
        .collect()
    }

    fn place(
        &self,
        folder: &Path,
        machine: &Machine,
        command: &str,
        inside: &str,
    ) -> anyhow::Result<(PathBuf, How)> {
        let variable = format!("TENURE_{}", command.to_uppercase().replace('-', "_"));
        if let Some(named) = machine.named(&variable) {
            return Ok((named, How::Named(variable)));
        }
        let own = folder.join("bin").join(command);
        if own.is_file() {
            return Ok((own, How::Earlier));
        }
        let installed = machine.on_path(command);
        let place = installed.or_else(|| self.source.place(folder, inside));
        let place = place.with_context(|| format!("`{command}` is missing"))?;
        Ok((place, How::Installed))
    }

    /// Tries the ways that fit this machine, one after the other.
    fn fetch(&self, folder: &Path, machine: &Machine) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        for way in self.source.ways(machine) {
            match way.go(&self.source, folder) {
                Ok(()) => return Ok(()),
                Err(problem) => problems.push(format!("{problem:#}")),
            }
        }
        anyhow::ensure!(
            !problems.is_empty(),
            "nothing here can fetch {}",
            self.source
        );
        anyhow::bail!("{}", problems.join("; "))
    }

    fn commands(&self) -> String {
        let commands: Vec<_> = self
            .files
            .keys()
            .map(|command| format!("`{command}`"))
            .collect();
        commands.join(", ")
    }

    fn advice(&self) -> String {
        let mut advice = self.source.by_hand();
        if !self.by_hand.is_empty() {
            advice = format!("{advice} · {}", self.by_hand);
        }
        advice
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let real = self.path.canonicalize();
        let real = real.as_ref().unwrap_or(&self.path);
        write!(f, "{}: {}, {}", self.command, self.version, real.display())?;
        match &self.how {
            How::Named(variable) => write!(f, " (named by {variable})"),
            How::Earlier | How::Installed => Ok(()),
        }
    }
}

/// Makes a symbolic link, in place of one that leads nowhere.
fn link(to: &Path, from: &Path) -> anyhow::Result<()> {
    if let Some(folder) = from.parent() {
        fs::create_dir_all(folder)?;
    }
    if from.is_symlink() {
        fs::remove_file(from)?;
    }
    symlink(to, from).with_context(|| format!("cannot link {}", from.display()))
}

/// The first line of `--version`.
fn version_of(program: &Path) -> anyhow::Result<String> {
    let asked = Command::new(program).arg("--version").output();
    let asked = asked.with_context(|| format!("cannot run {}", program.display()))?;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    anyhow::ensure!(
        asked.status.success(),
        "{} does not work here: {}",
        program.display(),
        text(&asked.stderr)
    );
    Ok(text(&asked.stdout))
}
