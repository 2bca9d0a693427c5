//! The real program in a folder of its own, with an environment of its own.

#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

pub(crate) mod receiver;

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tenure_bed::Terminal;

/// The longest any single step of a test may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder in which the program keeps everything.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// How a finished program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> String {
        format!("sqlite:{}", self.path("store.db").display())
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The program, with the place's store and nothing else of ours in its environment.
    pub(crate) fn tenure<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        self.surround(command.args(arguments));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The program on a terminal of 100 columns and 30 rows.
    pub(crate) fn on_terminal<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Terminal {
        self.on_terminal_of((100, 30), arguments)
    }

    /// The program on a terminal of so many columns and rows.
    pub(crate) fn on_terminal_of<S: AsRef<OsStr>>(
        &self,
        size: (u16, u16),
        arguments: impl IntoIterator<Item = S>,
    ) -> Terminal {
        let program = env!("CARGO_BIN_EXE_tenure");
        Terminal::start(program, arguments, size, |command| {
            self.surround(command);
            command.env("TERM", "xterm-256color");
        })
    }

    fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("TENURE_STORE", self.store())
            .current_dir(self.folder.path());
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        finish(self.tenure(arguments).spawn().unwrap())
    }

    /// Starts `tenure run --json` with these arguments and returns when it is ready: see
    /// [`Place::started`].
    pub(crate) fn runner(&self, name: &str, arguments: &[&str]) -> Child {
        self.started(name, self.tenure(["run", "--json"].iter().chain(arguments)))
    }

    /// Starts a `tenure run --json` and returns when it is ready. Its events are in `NAME.jsonl`,
    /// and what it logs in `NAME.log`: a pipe that nobody reads would hold it up.
    pub(crate) fn started(&self, name: &str, mut command: Command) -> Child {
        let file = |end: &str| std::fs::File::create(self.path(&format!("{name}.{end}"))).unwrap();
        let child = command.stdout(file("jsonl")).stderr(file("log")).spawn();
        until_true("the runner", || {
            let events = self.events(name);
            events.iter().any(|event| event["event"] == "ready")
        });
        child.unwrap()
    }

    /// What a runner has told so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let text = self.read(&format!("{name}.jsonl"));
        let lines = text.lines();
        // The last line may be half written.
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What `tenure locks show KEY --json` says; null while nobody has made the store.
    pub(crate) fn lock(&self, key: &str) -> Value {
        let ended = self.run(["locks", "show", key, "--json"]);
        if ended.code == Some(66) {
            return Value::Null;
        }
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

/// Asks a program to end, and waits until it has.
pub(crate) fn end(child: Child) -> Ended {
    signal(child.id(), Signal::SIGTERM);
    finish(child)
}

/// What a program wrote that ended well.
pub(crate) fn ok(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

/// Waits for a program's end; one that does not end fails the test.
pub(crate) fn finish(mut child: Child) -> Ended {
    // Read while waiting: a full pipe would keep the program from ending.
    let stdout = child.stdout.take().map(reading);
    let stderr = child.stderr.take().map(reading);
    let status = until("the program to end", || child.try_wait().unwrap());
    let text = |reader: Option<JoinHandle<Vec<u8>>>| {
        let bytes = reader.map(|reader| reader.join().unwrap());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    Ended {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn reading(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Polls until there is an answer; fails the test after a minute.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The same for a condition.
pub(crate) fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with(['Z', 'X']));
        state == Some(false)
    })
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}
