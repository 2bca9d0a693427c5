//! Servers that are started once for all tests, because each takes seconds.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::now;

/// How long a server may take to answer, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A row of the table. `folder` is the one that holds a folder for each server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) name: String,
    /// The programs it is made of.
    pub(super) needs: Vec<String>,
    /// A package of ours that its commands need.
    pub(super) build: Option<String>,
    start: Vec<String>,
    ready: Vec<String>,
    stop: Vec<String>,
}

/// A server that was started and may not answer yet.
#[derive(Debug)]
pub(super) struct Begun {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Reads a row.
    pub(super) fn of(row: &toml::Value) -> anyhow::Result<Self> {
        let name = row.get("name").and_then(toml::Value::as_str);
        let name = name
            .context("xtask/servers.toml: a server has no `name`")?
            .to_owned();
        let words = |field: &str| -> Vec<String> {
            let listed = row.get(field).and_then(toml::Value::as_array);
            let words = listed.into_iter().flatten().filter_map(toml::Value::as_str);
            words.map(str::to_owned).collect()
        };
        let command = |field: &str| {
            let words = words(field);
            anyhow::ensure!(
                !words.is_empty(),
                "xtask/servers.toml: server `{name}` needs `{field}`, a list of words"
            );
            Ok(words)
        };
        Ok(Self {
            needs: words("needs"),
            build: row
                .get("build")
                .and_then(toml::Value::as_str)
                .map(str::to_owned),
            start: command("start")?,
            ready: command("ready")?,
            stop: command("stop")?,
            name,
        })
    }

    /// Starts the server and does not wait; nothing if it runs already.
    pub(super) fn begin(&self, folder: &Path) -> anyhow::Result<Option<Begun>> {
        if self.is_ready(folder)? {
            return Ok(None);
        }
        let log = folder.join(&self.name).join("log");
        let mut start = self.command(folder, &self.start)?;
        // Its own group: interrupting a test run is no reason to stop the servers.
        start.process_group(0);
        let output = File::create(&log)?;
        let child = start
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.start.join(" ")))?;
        Ok(Some(Begun { child, log }))
    }

    /// Waits until a server that was started answers.
    pub(super) fn await_ready(&self, begun: Begun, folder: &Path) -> anyhow::Result<()> {
        let Begun { mut child, log } = begun;
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
        Ok(())
    }

    /// Stops the server if it runs, and waits until it is gone.
    pub(super) fn down(&self, folder: &Path) -> anyhow::Result<&'static str> {
        if !self.is_ready(folder)? {
            return Ok("does not run");
        }
        let status = self.command(folder, &self.stop)?.status()?;
        anyhow::ensure!(status.success(), "server {}: {status}", self.name);
        let deadline = now() + PATIENCE;
        while self.is_ready(folder)? {
            anyhow::ensure!(now() < deadline, "server {} still answers", self.name);
            std::thread::sleep(PAUSE);
        }
        Ok("stopped")
    }

    /// Whether the server answers.
    pub(super) fn is_ready(&self, folder: &Path) -> anyhow::Result<bool> {
        let mut ready = self.command(folder, &self.ready)?;
        ready.stdout(Stdio::null()).stderr(Stdio::null());
        // A client that is not installed finds no server either.
        Ok(ready.status().is_ok_and(|status| status.success()))
    }

    /// A command of the row, to be run in the server's own folder.
    fn command(&self, folder: &Path, words: &[String]) -> anyhow::Result<Command> {
        let home = folder.join(&self.name);
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(home);
        Ok(command)
    }
}
