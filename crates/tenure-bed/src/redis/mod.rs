//! One Redis or Valkey server.
//!
//! It listens where the test wants it to, and besides on a unix socket in its own folder, over
//! which this module looks after it.

mod builder;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

pub use self::builder::RedisBuilder;
use crate::control::{Control, Reply};
use crate::folder::Folder;
use crate::poll::until;
use crate::process::Process;
use crate::program::{self, Flavour};
use crate::wall::Wall;

/// How long a server may take until it answers, with a data set of the size that tests have.
const START: Duration = Duration::from_secs(20);

/// A server that runs. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Redis {
    // First, so that it is gone before its folder is.
    process: Process,
    flavour: Flavour,
    listens: Listens,
    control: Control,
    launch: Launch,
    wall: Option<Wall>,
    folder: Folder,
}

/// Where clients reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    /// Over its socket only.
    Unix,
    Tcp(u16),
    Tls(u16),
}

/// How a server is started, again and again.
#[derive(Debug, Clone)]
struct Launch {
    program: PathBuf,
    config: PathBuf,
    is_sentinel: bool,
    environment: Vec<(String, String)>,
}

impl Redis {
    /// A server that is not started yet: over TCP on 127.0.0.1, keeping nothing on disk, with no
    /// password.
    pub fn builder(flavour: Flavour) -> RedisBuilder {
        RedisBuilder::new(flavour)
    }

    /// Which server it is.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Where clients reach it: `redis://127.0.0.1:PORT`, `rediss://127.0.0.1:PORT` or
    /// `redis+unix:///PATH`, without a user.
    #[must_use]
    pub fn url(&self) -> String {
        match self.listens {
            Listens::Unix => format!("redis+unix://{}", self.socket().display()),
            Listens::Tcp(port) => format!("redis://127.0.0.1:{port}"),
            Listens::Tls(port) => format!("rediss://127.0.0.1:{port}"),
        }
    }

    pub(crate) fn listens(&self) -> Listens {
        self.listens
    }

    /// Its port, over TCP or TLS.
    ///
    /// # Panics
    /// If it listens on its socket only.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.listens {
            Listens::Tcp(port) | Listens::Tls(port) => port,
            Listens::Unix => panic!("this server listens on its socket only"),
        }
    }

    /// Its unix socket, which is there whatever else it listens on.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.control.socket
    }

    /// Its folder: data, configuration, log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let pid = self.process.pid();
        pid.unwrap_or_else(|| panic!("the server does not run: {}", self.last_words()))
    }

    /// Whether its process runs; a paused one does.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.pid().is_some()
    }

    /// One command, over its socket and as a user who may do everything.
    ///
    /// # Panics
    /// If the server cannot be reached. A refusal is a [`Reply::Error`].
    pub async fn call<W: AsRef<[u8]> + Sync>(&self, command: &[W]) -> Reply {
        let reply = self.try_call(command).await;
        reply.unwrap_or_else(|error| {
            let words = command
                .iter()
                .map(|word| String::from_utf8_lossy(word.as_ref()));
            let words = words.collect::<Vec<_>>().join(" ");
            panic!(
                "the server did not answer `{words}`: {error}\n{}",
                self.last_words()
            )
        })
    }

    /// As [`Redis::call`], for a server that may be down or may cut connections.
    ///
    /// # Errors
    /// What the connection said. Whether the command was carried out is unknown then.
    pub async fn try_call<W: AsRef<[u8]> + Sync>(&self, command: &[W]) -> io::Result<Reply> {
        let words: Vec<&[u8]> = command.iter().map(AsRef::as_ref).collect();
        self.control.call(&words).await
    }

    /// Several commands over one connection, one after the other: those of a transaction, or
    /// `WAIT` after what it shall wait for.
    ///
    /// # Panics
    /// If the server cannot be reached.
    pub async fn calls(&self, commands: &[&[&str]]) -> Vec<Reply> {
        let replies = self.control.calls(commands).await;
        replies.unwrap_or_else(|error| {
            panic!(
                "the server did not answer {commands:?}: {error}\n{}",
                self.last_words()
            )
        })
    }

    /// One command; the answer as `redis-cli` prints it to a pipe.
    ///
    /// # Panics
    /// If the server cannot be reached. A refusal is text, as it is there.
    pub async fn cli<W: AsRef<[u8]> + Sync>(&self, command: &[W]) -> String {
        self.call(command).await.to_string()
    }

    /// The real `redis-cli`, told where this server is and, over TLS, whom to trust. Arguments are
    /// the caller's; later ones count.
    #[must_use]
    pub fn redis_cli(&self) -> Command {
        let mut command = Command::new(program::redis_cli());
        match self.listens {
            Listens::Tcp(port) => command.args(["-p", &port.to_string()]),
            Listens::Unix => command.arg("-s").arg(self.socket()),
            Listens::Tls(port) => {
                command.args(["--tls", "-p", &port.to_string(), "--cacert"]);
                command.arg(self.folder().join("ca-cert"))
            }
        };
        command
    }

    /// A field of `INFO`, as text; none if the server has none or does not answer.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info = self.try_call(&["INFO", "everything"]).await.ok()?;
        info_field(&info.to_string(), field).map(str::to_owned)
    }

    /// How many replicas it sends its changes to.
    pub(crate) async fn replicas(&self) -> usize {
        let info = self.try_call(&["INFO", "replication"]).await;
        info.map_or(0, |info| info.to_string().matches("state=online").count())
    }

    /// Ends it at once, as a crash would. Returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Kills it if it runs, and starts it in the same folder on the same port. Returns when it
    /// answers and has read its data.
    pub async fn restart(&self) {
        self.launch().await;
        until("the server has read its data", START, async || {
            let loading = self.info("loading").await?;
            (loading == "0").then_some(())
        })
        .await;
    }

    /// As [`Redis::restart`], but does not wait until the data is read: until then the server
    /// refuses most commands with `LOADING`.
    pub async fn launch(&self) {
        self.process.start(self.launch.command());
        if let Err(problem) = self.prove().await {
            panic!(
                "cannot restart the server: {problem}\n{}",
                self.last_words()
            );
        }
    }

    /// Adds a line to its configuration file, for the next start; the last one for a key counts.
    pub fn configure(&self, key: &str, value: &str) {
        let file = File::options().append(true).open(&self.launch.config);
        let written = file.and_then(|mut file| writeln!(file, "{key} {value}"));
        written.expect("cannot write the configuration");
    }

    /// Stops it as a scheduler or a debugger would (SIGSTOP): its connections stay open and
    /// nothing is answered.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Steps the wall clock of this server alone, by which it ends what has a time to live;
    /// negative steps go back. Returns when the server has seen it, which looks at its clock now
    /// and then only. The steps add up, and outlast a restart.
    ///
    /// # Panics
    /// If the server was not built with [`RedisBuilder::own_wall`], or does not answer.
    pub async fn step_wall(&self, by_ms: i64) {
        let wall = self.wall.as_ref();
        let wall = wall.expect("this server has the machine's clock; build it with `own_wall`");
        let before = self.wall_ms().await;
        wall.step(by_ms);
        until("the server has seen its clock step", START, async || {
            let moved = self.wall_ms().await - before;
            // The time that passes beside the step tells nothing.
            let has_seen = if by_ms < 0 {
                moved < by_ms / 2
            } else {
                moved >= by_ms
            };
            has_seen.then_some(())
        })
        .await;
    }

    /// What the server takes for the time.
    async fn wall_ms(&self) -> i64 {
        let time = self.call(&["TIME"]).await;
        let part = |at: usize| time.list().get(at).and_then(Reply::int).unwrap_or_default();
        part(0) * 1000 + part(1) / 1000
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// Waits until the process that was started is the one that answers, everywhere it should.
    ///
    /// A server that cannot have its port dies, and a stranger may answer there.
    async fn prove(&self) -> Result<(), String> {
        let ask: [&[u8]; 2] = [b"INFO", b"server"];
        until("the server answers", START, async || {
            let Some(pid) = self.process.pid() else {
                return Some(Err("it ended".to_owned()));
            };
            let own = self.control.call(&ask).await.ok()?;
            if !answered_by(&own, pid) {
                return None;
            }
            // TLS is proved by the socket: the server opens it last, and only with all the others.
            let Listens::Tcp(port) = self.listens else {
                return Some(Ok(()));
            };
            let reply = self.control.call_port(port, &ask).await.ok()?;
            let is_ours = answered_by(&reply, pid);
            Some(if is_ours {
                Ok(())
            } else {
                Err(format!("a stranger has port {port}"))
            })
        })
        .await
    }
}

impl Launch {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.config);
        command.args(self.is_sentinel.then_some("--sentinel"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn answered_by(reply: &Reply, pid: u32) -> bool {
    info_field(&reply.to_string(), "process_id") == Some(&pid.to_string())
}

/// A field of the text that `INFO` answers.
fn info_field<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
}
