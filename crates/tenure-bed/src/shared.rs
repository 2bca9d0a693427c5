//! Servers that all tests of a run share, because they take seconds to start.
//!
//! `cargo xtask test` starts them before the tests, each by the program `tenure-bed` in the folder
//! `.servers/NAME`; xtask's table says which. While one is served, its file `lock` is locked and
//! its file `url` says where it is. A test that finds none starts its own and shares it with the
//! tests of its process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::OnceCell;

use crate::cluster::Cluster;
use crate::control::{self, Reply};
use crate::poll::until;
use crate::program::{self, Flavour};

const PATIENCE: Duration = Duration::from_secs(10);

impl Cluster {
    /// The URL of a cluster that other tests use at the same time. A test has names of its own
    /// there and harms nothing; one that moves slots or kills nodes starts its own cluster.
    pub async fn shared_url(flavour: Flavour) -> String {
        static OWN: [OnceCell<Cluster>; 2] = [const { OnceCell::const_new() }; 2];
        // Naming the program is a check as well: it may have been left out.
        let _checked = flavour.program();
        let served = Place::of(&program::provided().join(format!("{}-cluster", flavour.name())));
        if let Some(url) = served.url() {
            return url;
        }
        let own = OWN[flavour as usize]
            .get_or_init(|| Cluster::start(flavour))
            .await;
        own.url()
    }
}

/// A folder in which a server is served, or not.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Place {
    /// The place in a folder that exists or does not.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Starts what `name` says, such as `redis-cluster`, and keeps it until `end`.
    ///
    /// # Errors
    /// What is wrong with the name, or with the folder: it is served already, for example.
    pub async fn serve(&self, name: &str, end: impl Future<Output = ()>) -> io::Result<()> {
        let flavours = Flavour::ALL.into_iter();
        let mut named = flavours.filter(|flavour| name == format!("{}-cluster", flavour.name()));
        let Some(flavour) = named.next() else {
            return Err(io::Error::other(
                "known names: redis-cluster, valkey-cluster",
            ));
        };
        let lock = File::create(self.file("lock"))?;
        // Somebody who looks whether it is locked has it for a moment.
        until("nobody else serves here", PATIENCE, async || {
            lock.try_lock().ok()
        })
        .await;
        let url = self.file("url");
        if let Err(error) = fs::remove_file(&url)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        fs::write(self.file("pid"), std::process::id().to_string())?;
        let cluster = Cluster::start(flavour).await;
        // Renamed, so that nobody reads half of it.
        fs::write(self.file("url.new"), cluster.url())?;
        fs::rename(self.file("url.new"), &url)?;
        end.await;
        fs::remove_file(&url)
    }

    /// Ends the process that serves here, if one does, and waits until it is gone.
    ///
    /// # Errors
    /// If the process cannot be signalled.
    pub async fn stop(&self) -> io::Result<()> {
        if !self.is_served() {
            return Ok(());
        }
        // Locked, so the process that wrote its id is alive and the id is still its own.
        let pid = fs::read_to_string(self.file("pid"))?;
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the file `pid` holds no process id"))?;
        kill_process(pid, Signal::TERM)?;
        until("the server is gone", PATIENCE, async || {
            (!self.is_served()).then_some(())
        })
        .await;
        Ok(())
    }

    /// Whether every server named by the URL answers.
    pub async fn is_ready(&self) -> bool {
        let Some(url) = self.url() else {
            return false;
        };
        let pong = Reply::Status("PONG".to_owned());
        for port in ports(&url) {
            let reply = control::call_port(port, None, &[b"PING"]).await;
            if reply.is_ok_and(|reply| reply == pong) {
                continue;
            }
            return false;
        }
        true
    }

    /// Where the server is, if one is served and complete.
    fn url(&self) -> Option<String> {
        let url = fs::read_to_string(self.file("url")).ok()?;
        self.is_served().then_some(url)
    }

    fn is_served(&self) -> bool {
        let lock = File::open(self.file("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// The ports that a URL names.
fn ports(url: &str) -> impl Iterator<Item = u16> {
    let (_, hosts) = url.split_once("//").unwrap_or(("", url));
    let hosts = hosts.split(['/', ',']);
    hosts.filter_map(|host| host.rsplit_once(':')?.1.parse().ok())
}
