//! How a server shall be: where it listens, what it keeps, who may use it.

use std::fmt::Write as _;
use std::fs;

use super::{Launch, Listens, Redis};
use crate::ca::Ca;
use crate::control::Control;
use crate::folder::Folder;
use crate::port;
use crate::process::Process;
use crate::program::Flavour;
use crate::wall::Wall;

/// How often another port is tried if one was taken in the meantime.
const TRIES: usize = 10;
/// The user by whom the bed looks after a server that has users.
const KEEPER: &str = "bed-keeper";

/// A server that is not started yet.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct RedisBuilder {
    flavour: Flavour,
    transport: Transport,
    is_sentinel: bool,
    /// Lines of its configuration file.
    lines: Vec<String>,
    has_users: bool,
    has_own_wall: bool,
    environment: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
enum Transport {
    Unix,
    Tcp,
    /// With these files' texts: certificate, key, authority.
    Tls([String; 3]),
}

impl RedisBuilder {
    pub(super) fn new(flavour: Flavour) -> Self {
        // A replica that got its data over the network alone waits for five seconds first, is
        // called online before it is sent any change, and may be promoted without them.
        let lines = ["save \"\"", "appendonly no", "repl-diskless-sync no"];
        Self {
            flavour,
            transport: Transport::Tcp,
            is_sentinel: false,
            lines: lines.map(str::to_owned).into(),
            has_users: false,
            has_own_wall: false,
            environment: Vec::new(),
        }
    }

    /// Listens on its unix socket and on no port.
    pub fn unix_only(mut self) -> Self {
        self.transport = Transport::Unix;
        self
    }

    /// Listens on a port of 127.0.0.1, which is the default.
    pub fn tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self
    }

    /// Listens on a port of 127.0.0.1 and speaks nothing but TLS there, by a certificate for
    /// 127.0.0.1 and `localhost`. Clients need no certificate of their own, unless
    /// `.config("tls-auth-clients", "yes")`.
    pub fn tls(self, ca: &Ca) -> Self {
        self.tls_as(ca, &["127.0.0.1", "localhost"])
    }

    /// As [`RedisBuilder::tls`], by a certificate for other names: one that clients should refuse.
    pub fn tls_as(mut self, ca: &Ca, names: &[&str]) -> Self {
        let (certificate, key) = ca.issue(names);
        self.transport = Transport::Tls([certificate, key, ca.pem().to_owned()]);
        self
    }

    /// A line of its configuration file. `value` is written as it is, so quote what needs quotes;
    /// an empty one is `""`. The last line for a key counts.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        let value = if value.is_empty() { "\"\"" } else { value };
        self.has_users |= key == "requirepass" || key == "user";
        self.lines.push(format!("{key} {value}"));
        self
    }

    /// A user, as `ACL SETUSER` takes it: `app on >password ~* &* +@all`. The default user stays
    /// as it is unless a rule for `default` says otherwise.
    pub fn acl_user(self, rule: &str) -> Self {
        let rule = rule.strip_prefix("user ").unwrap_or(rule).to_owned();
        self.config("user", &rule)
    }

    /// Keeps its data in an append-only file, so that a killed server has it again.
    pub fn append_only(self) -> Self {
        self.config("appendonly", "yes")
    }

    /// Watches other servers instead of keeping data.
    pub(crate) fn for_sentinel(mut self) -> Self {
        self.is_sentinel = true;
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has a wall clock of its own, for [`Redis::step_wall`]. Needs a C compiler, on Linux.
    pub fn own_wall(mut self) -> Self {
        self.has_own_wall = true;
        self
    }

    /// Starts it, and returns when it has proved that it is the process that was started.
    ///
    /// # Panics
    /// If the program is missing or refuses its configuration; the message has its last lines.
    pub async fn start(self) -> Redis {
        let mut problem = String::new();
        for _ in 0..TRIES {
            let redis = self.launch();
            match redis.prove().await {
                Ok(()) => {
                    return redis;
                }
                Err(why) => problem = format!("{why}\n{}", redis.last_words()),
            }
            let is_port_taken = redis.process.said("Address already in use");
            if redis.is_running() || !is_port_taken {
                break;
            }
        }
        panic!("cannot start {}: {problem}", self.flavour.name());
    }

    fn launch(&self) -> Redis {
        let folder = Folder::new();
        let socket = folder.path().join("s");
        let mut text = format!(
            "dir {}\nunixsocket {}\nbind 127.0.0.1\n",
            folder.path().display(),
            socket.display()
        );
        let listens = match &self.transport {
            Transport::Unix => {
                text.push_str("port 0\n");
                Listens::Unix
            }
            Transport::Tcp => {
                let port = port::free();
                let _infallible = writeln!(text, "port {port}");
                Listens::Tcp(port)
            }
            Transport::Tls(files) => {
                let port = port::free();
                let _infallible = writeln!(text, "port 0\ntls-port {port}\ntls-auth-clients no");
                for (name, file) in ["cert", "key", "ca-cert"].into_iter().zip(files) {
                    let path = folder.path().join(name);
                    fs::write(&path, file).expect("cannot write a certificate");
                    let _infallible = writeln!(text, "tls-{name}-file {}", path.display());
                }
                Listens::Tls(port)
            }
        };
        for line in &self.lines {
            let _infallible = writeln!(text, "{line}");
        }
        let login = self.has_users.then(|| {
            let password = format!("{:032x}", fastrand::u128(..));
            let _infallible = writeln!(text, "user {KEEPER} on >{password} ~* &* +@all");
            (KEEPER.to_owned(), password)
        });
        let config = folder.path().join("conf");
        fs::write(&config, text).expect("cannot write a configuration");
        let wall = self.has_own_wall.then(|| Wall::new(folder.path()));
        let mut environment = self.environment.clone();
        environment.extend(wall.iter().flat_map(Wall::environment));
        let launch = Launch {
            program: self.flavour.program(),
            config,
            is_sentinel: self.is_sentinel,
            environment,
        };
        let process = Process::new(folder.path().join("log"));
        process.start(launch.command());
        Redis {
            process,
            flavour: self.flavour,
            listens,
            control: Control { socket, login },
            launch,
            wall,
            folder,
        }
    }
}
