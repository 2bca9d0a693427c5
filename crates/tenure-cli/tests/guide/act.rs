//! Types lines into a shell, in a folder where what the page tells of is there.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::page::{Page, root};
use crate::program::{Place, end, finish, signal, until_true};
use crate::{Servers, program};

/// What every page's tasks are besides its own: those of whom the commands speak.
const KNOWN: &str = r#"
    [[task]]
    name = "invoices"
    schedule = "0 0 2 L * *"
    command = ["./send-invoices", "--all"]
"#;

/// Lines that do not end with 0 where all is well, with their status and why.
const OTHERWISE: [(&str, i32, &str); 1] = [(
    "tenure diff",
    1,
    "something would change: the node runs `invoices` besides",
)];

/// A script that says that it ran, and goes on as long as somebody wants it to.
const SCRIPT: &str = "#!/bin/sh\necho \"$0 $*\" >> ran.txt\n\
                      while test -e go-on; do sleep 0.02; done\n";
/// What is elected goes on until it is stopped.
const SERVICE: &str = "#!/bin/sh\necho \"$0 $*\" >> ran.txt\nexec sleep 600\n";

/// A folder with what a page tells of, and with a node that runs its tasks.
pub(crate) struct Stage<'s> {
    place: Place,
    servers: &'s Servers,
    node: Option<Child>,
    /// Processes that go on while later lines are typed.
    going_on: Vec<(Child, String)>,
    is_a_walk: bool,
}

impl<'s> Stage<'s> {
    pub(crate) fn of(page: &Page, servers: &'s Servers) -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tenure"), place.path("bin/tenure")).unwrap();
        // One that names servers of its own runs on those only.
        let mut files = page.blocks.iter().filter(|block| block.kind == "toml");
        let tasks = files.find(|block| !block.text.contains("[store]"));
        let tasks = tasks.map_or(KNOWN, |block| &block.text);
        let tasks = tasks.replace("0.0.0.0:9180", "127.0.0.1:0");
        // What the page's application keeps elsewhere is kept here.
        std::fs::create_dir(place.path("app")).unwrap();
        let app = place.path("app").display().to_string();
        place.write("tasks.toml", tasks.replace("/var/tmp/app", &app));
        let stage = Self {
            place,
            servers,
            node: None,
            going_on: Vec::new(),
            is_a_walk: page.is_a_walk,
        };
        if stage.is_a_walk {
            return stage;
        }
        stage.place.write("known.toml", KNOWN);
        std::fs::create_dir(stage.place.path("examples")).unwrap();
        let example = std::fs::read_to_string(root().join("examples/tasks.toml")).unwrap();
        stage.place.write("examples/tasks.toml", example);
        for word in page
            .text
            .split(|c: char| !(c.is_alphanumeric() || "./-_".contains(c)))
        {
            if let Some(name) = word.strip_prefix("./").filter(|it| !it.contains('/')) {
                stage.script(name);
            }
        }
        stage.script("send-invoices");
        stage
    }

    fn script(&self, name: &str) {
        let text = if name == "scheduler" { SERVICE } else { SCRIPT };
        let path = self.place.write(name, text);
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Types a line; what it printed. A service is seen to come up, and is stopped.
    pub(crate) fn types(&mut self, line: &str) -> String {
        let mut line = line.replace("cargo run --bin tenure --", "tenure");
        let store = self.place.path("elsewhere.db");
        line = line.replace("/var/lib/app/tenure.db", store.to_str().unwrap());
        line = line.replace("127.0.0.1:9200", "127.0.0.1:0");
        for (name, url) in self.servers {
            line = line.replace(name, url);
        }
        if line.starts_with("tenure run ") || line.starts_with("tenure elect ") {
            return self.serves(&line);
        }
        if !self.is_a_walk && line.starts_with("tenure ") && self.node.is_none() {
            self.node = Some(self.node());
        }
        let held = line
            .starts_with("tenure unlock ")
            .then(|| self.hold(&mut line));
        let stopped = line.starts_with("tenure cancel ");
        if stopped {
            self.begin_a_run();
        }
        let ended = finish(self.shell(&line).spawn().unwrap());
        let expected = OTHERWISE
            .iter()
            .find(|(begin, _, _)| line.starts_with(begin));
        assert_eq!(
            ended.code,
            Some(expected.map_or(0, |(_, status, _)| *status)),
            "{line}: {}{}",
            ended.stdout,
            ended.stderr
        );
        if let Some(holder) = held {
            assert_eq!(finish(holder).code, Some(75), "{line}: it was taken");
        }
        if stopped {
            std::fs::remove_file(self.place.path("go-on")).unwrap();
        }
        // What is told besides comes first, as on a terminal it may.
        ended.stderr + &ended.stdout
    }

    /// A shell that is about to run a line.
    fn shell(&self, line: &str) -> Command {
        let folders = [self.place.path("bin")].into_iter();
        let own = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&own))).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.place.folder())
            .env("USER", "you")
            .current_dir(self.place.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.is_a_walk {
            command.env("TENURE_STORE", self.store());
        }
        command
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.place.path("tasks.db").display())
    }

    /// A node that runs the page's tasks, and those of whom all pages speak.
    fn node(&self) -> Child {
        let own = self.place.read("tasks.toml");
        let mut words = vec!["run", "--json", "--no-dashboard", "tasks.toml"];
        if !own.contains("\"invoices\"") {
            words.push("known.toml");
        }
        let mut command = self.place.tenure(words);
        command.env("TENURE_STORE", self.store());
        self.place.started("node", command)
    }

    /// Lets somebody hold the lock of a line that frees one, and names their fence in it.
    fn hold(&self, line: &mut String) -> Child {
        let key = line.split(' ').nth(2).unwrap().to_owned();
        let script = "echo $TENURE_FENCE > fence; exec sleep 600";
        let mut command = self.place.tenure(["lock", &key, "--", "sh", "-c", script]);
        let holder = command.env("TENURE_STORE", self.store()).spawn().unwrap();
        until_true("the lock to be held", || {
            self.place.read("fence").ends_with('\n')
        });
        let fence = format!("--fence {}", self.place.read("fence").trim());
        assert!(line.contains("--fence 17"), "{line}");
        *line = line.replace("--fence 17", &fence);
        std::fs::remove_file(self.place.path("fence")).unwrap();
        holder
    }

    /// Lets a run begin that a line is about to stop.
    fn begin_a_run(&self) {
        self.place.write("go-on", "");
        let asked = self.shell("tenure trigger invoices").spawn().unwrap();
        assert_eq!(finish(asked).code, Some(0));
        until_true("a run that goes on", || {
            let list = self.shell("tenure history --state running --json").spawn();
            !finish(list.unwrap()).stdout.is_empty()
        });
    }

    /// Starts what goes on until it is stopped; what it printed until it was up.
    fn serves(&mut self, line: &str) -> String {
        let name = format!("service-{}", self.going_on.len());
        let said = || self.place.read(&format!("{name}.txt"));
        let to = File::create(self.place.path(&format!("{name}.txt"))).unwrap();
        let mut command = self.shell(&format!("exec {line}"));
        command.stdout(to.try_clone().unwrap()).stderr(to);
        let mut service = command.spawn().unwrap();
        let is_elected = line.starts_with("tenure elect ");
        until_true(line, || {
            let gone = service.try_wait().unwrap();
            assert!(gone.is_none(), "{line} ended, {gone:?}: {}", said());
            if is_elected {
                return self.place.read("ran.txt").contains("./scheduler");
            }
            let is_quiet = !self.is_a_walk || said().contains(" ok ");
            said().contains("Ctrl-C or SIGTERM ends it") && is_quiet
        });
        let told = said();
        if self.is_a_walk {
            self.going_on.push((service, line.to_owned()));
            return told;
        }
        signal(service.id(), Signal::SIGTERM);
        let expected = if is_elected { 143 } else { 0 };
        assert_eq!(finish(service).code, Some(expected), "{line}: {}", said());
        let _ = std::fs::remove_file(self.place.path("ran.txt"));
        told
    }

    /// Ends what goes on.
    pub(crate) fn end(mut self) {
        for (service, line) in self.going_on.drain(..) {
            assert_eq!(program::end(service).code, Some(0), "{line}");
        }
        drop(self);
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for (mut service, _) in self.going_on.drain(..) {
            let _ = service.kill();
            let _ = service.wait();
        }
        if let Some(node) = self.node.take() {
            end(node);
        }
    }
}
