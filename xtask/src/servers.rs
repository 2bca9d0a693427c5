//! The servers that tests use: started, stopped and listed.
//!
//! The table is `xtask/servers.toml`. Whether a server runs is asked of the server itself, by its
//! `ready` command, never of a process id that may be somebody else's by now. A missing server
//! fails the run; leaving one out is asked for by name (`TENURE_WITHOUT=name`) and reported, and
//! refused where `CI=true`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use crate::{now, say};

const TABLE: &str = include_str!("../servers.toml");
/// How long a server may take to answer, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// What to do with the servers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Action {
    /// Starts those that do not run.
    Up,
    /// Stops those that run.
    Down,
    /// Lists them.
    Status,
}

/// Which servers this run does without.
#[derive(Debug)]
pub(crate) struct Wish {
    without: Vec<String>,
    is_ci: bool,
}

impl Wish {
    /// As `TENURE_WITHOUT` and `CI` say.
    pub(crate) fn from_env() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self::of(&variable("TENURE_WITHOUT"), variable("CI") == "true")
    }

    fn of(without: &str, is_ci: bool) -> Self {
        let names = without.split(',').map(str::trim);
        Self {
            without: names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            is_ci,
        }
    }

    /// The servers left out, by name.
    pub(crate) fn without(&self) -> &[String] {
        &self.without
    }
}

/// Does what was asked for.
pub(crate) fn run(root: &Path, action: Action) -> anyhow::Result<()> {
    let servers = Servers::known(root)?;
    match action {
        Action::Up => servers.up(&Wish::from_env()),
        Action::Down => servers.down(),
        Action::Status => servers.status(),
    }
}

/// Starts every server that was not left out by name.
pub(crate) fn up(root: &Path, wish: &Wish) -> anyhow::Result<()> {
    Servers::known(root)?.up(wish)
}

/// The servers of a table, and the folder they live in.
struct Servers {
    folder: PathBuf,
    rows: Vec<Server>,
}

/// A row of the table.
struct Server {
    name: String,
    start: Vec<String>,
    ready: Vec<String>,
    stop: Vec<String>,
}

impl Servers {
    fn known(root: &Path) -> anyhow::Result<Self> {
        Self::of(TABLE, root.join(".servers"))
    }

    fn of(table: &str, folder: PathBuf) -> anyhow::Result<Self> {
        let table: toml::Table = table.parse().context("cannot read xtask/servers.toml")?;
        let listed = table.get("server").and_then(toml::Value::as_array);
        let rows = listed.into_iter().flatten().map(Server::of);
        Ok(Self {
            folder,
            rows: rows.collect::<anyhow::Result<_>>()?,
        })
    }

    fn up(&self, wish: &Wish) -> anyhow::Result<()> {
        let known: Vec<_> = self.rows.iter().map(|row| row.name.as_str()).collect();
        for name in &wish.without {
            anyhow::ensure!(
                known.contains(&name.as_str()),
                "TENURE_WITHOUT names `{name}`, which no test uses; known: {known:?}"
            );
            anyhow::ensure!(
                !wish.is_ci,
                "CI leaves no server out, but TENURE_WITHOUT names `{name}`"
            );
        }
        self.say_if_none();
        let mut missing = Vec::new();
        for server in self
            .rows
            .iter()
            .filter(|row| !wish.without.contains(&row.name))
        {
            match server.up(&self.folder.join(&server.name)) {
                Ok(how) => say(format_args!("server {}: {how}", server.name)),
                Err(error) => missing.push(format!(
                    "server {name}: {error:#}; install it, or leave it out with \
                     TENURE_WITHOUT={name}",
                    name = server.name
                )),
            }
        }
        anyhow::ensure!(missing.is_empty(), "{}", missing.join("\n"));
        Ok(())
    }

    fn down(&self) -> anyhow::Result<()> {
        self.say_if_none();
        for server in &self.rows {
            let how = server.down(&self.folder.join(&server.name))?;
            say(format_args!("server {}: {how}", server.name));
        }
        Ok(())
    }

    fn status(&self) -> anyhow::Result<()> {
        self.say_if_none();
        for server in &self.rows {
            let runs = server.is_ready(&self.folder.join(&server.name))?;
            let word = if runs { "runs" } else { "does not run" };
            say(format_args!("server {}: {word}", server.name));
        }
        Ok(())
    }

    fn say_if_none(&self) {
        if self.rows.is_empty() {
            say("servers: none needed, the stores built so far are embedded");
        }
    }
}

impl Server {
    fn of(row: &toml::Value) -> anyhow::Result<Self> {
        let name = row.get("name").and_then(toml::Value::as_str);
        let name = name
            .context("xtask/servers.toml: a server has no `name`")?
            .to_owned();
        let command = |field: &str| -> anyhow::Result<Vec<String>> {
            let listed = row.get(field).and_then(toml::Value::as_array);
            let words = listed
                .into_iter()
                .flatten()
                .filter_map(toml::Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>();
            anyhow::ensure!(
                !words.is_empty(),
                "xtask/servers.toml: server `{name}` needs `{field}`, a list of words"
            );
            Ok(words)
        };
        Ok(Self {
            start: command("start")?,
            ready: command("ready")?,
            stop: command("stop")?,
            name,
        })
    }

    /// Starts the server unless it runs, and waits until it answers.
    fn up(&self, folder: &Path) -> anyhow::Result<&'static str> {
        if self.is_ready(folder)? {
            return Ok("runs already");
        }
        let log = folder.join("log");
        let mut start = command_in(folder, &self.start)?;
        // Its own group: interrupting a test run is no reason to stop the servers.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut start, 0);
        let output = File::create(&log)?;
        let mut child = start
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.start.join(" ")))?;
        let deadline = now() + PATIENCE;
        while !self.is_ready(folder)? {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("it ended at once with {status}; see {}", log.display());
            }
            if now() > deadline {
                let _already_gone = child.kill();
                anyhow::bail!("no answer in {PATIENCE:?}; see {}", log.display());
            }
            std::thread::sleep(PAUSE);
        }
        Ok("started")
    }

    /// Stops the server if it runs, and waits until it is gone.
    fn down(&self, folder: &Path) -> anyhow::Result<&'static str> {
        if !self.is_ready(folder)? {
            return Ok("does not run");
        }
        let status = command_in(folder, &self.stop)?.status()?;
        anyhow::ensure!(status.success(), "server {}: {status}", self.name);
        let deadline = now() + PATIENCE;
        while self.is_ready(folder)? {
            anyhow::ensure!(now() < deadline, "server {} still answers", self.name);
            std::thread::sleep(PAUSE);
        }
        Ok("stopped")
    }

    fn is_ready(&self, folder: &Path) -> anyhow::Result<bool> {
        let mut ready = command_in(folder, &self.ready)?;
        ready.stdout(Stdio::null()).stderr(Stdio::null());
        // A client that is not installed finds no server either.
        Ok(ready.status().is_ok_and(|status| status.success()))
    }
}

/// A command of a row, to be run in the server's own folder.
fn command_in(folder: &Path, words: &[String]) -> anyhow::Result<Command> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (program, arguments) = words.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    Ok(command)
}

#[cfg(test)]
mod tests;
