//! What tests start: programs that are fetched, and slow servers that are started for all of them.
//!
//! The table is `xtask/servers.toml`. Whether a server runs is asked of the server itself, by its
//! `ready` command, never of a process id that may be somebody else's by now. What is missing fails
//! the run; leaving a program out is asked for by name (`TENURE_WITHOUT=name`) and reported, and
//! refused where `CI=true`.

mod fetch;
mod program;
mod server;
mod wish;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use self::fetch::Machine;
use self::program::Program;
use self::server::Server;
pub(crate) use self::wish::Wish;
use crate::say;
use crate::testing::cargo;

const TABLE: &str = include_str!("../servers.toml");

/// What to do with the servers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Action {
    /// Fetches the programs that are missing, and starts the servers that do not run.
    Up,
    /// Stops the servers that run.
    Down,
    /// Lists both.
    Status,
}

/// Does what was asked for.
pub(crate) fn run(root: &Path, action: Action) -> anyhow::Result<()> {
    let servers = Servers::known(root)?;
    match action {
        Action::Up => servers.up(&Wish::from_env()).map(Started::keep),
        Action::Down => servers.down(),
        Action::Status => servers.status(),
    }
}

/// Fetches and starts everything that was not left out by name.
pub(crate) fn up(root: &Path, wish: &Wish) -> anyhow::Result<Started> {
    Servers::known(root)?.up(wish)
}

/// The servers that this run started: they are stopped when it ends. One that ran before goes on.
#[derive(Debug, Default)]
pub(crate) struct Started {
    folder: PathBuf,
    servers: Vec<Server>,
}

impl Started {
    /// Lets them run on, until somebody says `cargo xtask servers down`.
    fn keep(mut self) {
        self.servers.clear();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for server in &self.servers {
            if let Err(error) = server.down(&self.folder) {
                say(format_args!("server {}: {error:#}", server.name));
            }
        }
    }
}

/// The rows of a table, and the folder they live in.
struct Servers {
    root: PathBuf,
    folder: PathBuf,
    programs: Vec<Program>,
    /// Those that run once for all tests.
    shared: Vec<Server>,
}

impl Servers {
    fn known(root: &Path) -> anyhow::Result<Self> {
        Self::of(TABLE, root)
    }

    fn of(table: &str, root: &Path) -> anyhow::Result<Self> {
        let table: toml::Table = table.parse().context("cannot read xtask/servers.toml")?;
        let rows = |kind: &str| {
            let rows = table.get(kind).and_then(toml::Value::as_array);
            rows.into_iter().flatten()
        };
        let servers = Self {
            root: root.to_owned(),
            folder: root.join(".servers"),
            programs: rows("program")
                .map(Program::of)
                .collect::<anyhow::Result<_>>()?,
            shared: rows("server")
                .map(Server::of)
                .collect::<anyhow::Result<_>>()?,
        };
        let known = servers.names();
        for server in &servers.shared {
            for needed in &server.needs {
                anyhow::ensure!(
                    known.contains(&needed.as_str()),
                    "xtask/servers.toml: server `{}` needs `{needed}`, which is no program",
                    server.name
                );
            }
        }
        Ok(servers)
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.programs.iter().map(|it| it.name.as_str()).collect();
        // Several packages may make up what people call by one name.
        names.dedup();
        names
    }

    fn up(&self, wish: &Wish) -> anyhow::Result<Started> {
        wish.check(&self.names())?;
        let machine = Machine::here();
        let mut problems = Vec::new();
        let wanted = |program: &&Program| !wish.leaves_out(&program.name);
        for program in self.programs.iter().filter(wanted) {
            match program.up(&self.folder, &machine) {
                Ok(found) => found
                    .iter()
                    .for_each(|one| say(format_args!("program {one}"))),
                Err(problem) => problems.push(format!("program {}: {problem:#}", program.name)),
            }
        }
        // Nothing is started that could not be used.
        anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
        self.start(wish)
    }

    /// Starts the servers that do not run, side by side.
    fn start(&self, wish: &Wish) -> anyhow::Result<Started> {
        let wanted = |server: &&Server| !server.needs.iter().any(|name| wish.leaves_out(name));
        let wanted: Vec<_> = self.shared.iter().filter(wanted).collect();
        let mut packages: Vec<_> = wanted.iter().filter_map(|it| it.build.as_deref()).collect();
        packages.dedup();
        for package in packages {
            let build = ["build", "--locked", "--quiet", "--package", package];
            let is_built = cargo(&self.root, &build, &[])?;
            anyhow::ensure!(is_built, "the package `{package}` does not build");
        }
        let mut started = Started {
            folder: self.folder.clone(),
            servers: Vec::new(),
        };
        let mut problems = Vec::new();
        let begun: Vec<_> = wanted
            .into_iter()
            .map(|it| (it, it.begin(&self.folder)))
            .collect();
        for (server, begun) in begun {
            let how = begun.and_then(|begun| {
                let Some(begun) = begun else {
                    return Ok("runs already");
                };
                started.servers.push(server.clone());
                server.await_ready(begun, &self.folder).map(|()| "started")
            });
            match how {
                Ok(how) => say(format_args!("server {}: {how}", server.name)),
                Err(problem) => problems.push(format!("server {}: {problem:#}", server.name)),
            }
        }
        anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(started)
    }

    fn down(&self) -> anyhow::Result<()> {
        for server in &self.shared {
            let how = server.down(&self.folder)?;
            say(format_args!("server {}: {how}", server.name));
        }
        Ok(())
    }

    fn status(&self) -> anyhow::Result<()> {
        let machine = Machine::here();
        for program in &self.programs {
            match program.find(&self.folder, &machine) {
                Ok(found) => found
                    .iter()
                    .for_each(|one| say(format_args!("program {one}"))),
                Err(problem) => say(format_args!(
                    "program {}: {problem:#}; `cargo xtask servers up` gets it",
                    program.name
                )),
            }
        }
        for server in &self.shared {
            let runs = server.is_ready(&self.folder)?;
            let word = if runs { "runs" } else { "does not run" };
            say(format_args!("server {}: {word}", server.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
