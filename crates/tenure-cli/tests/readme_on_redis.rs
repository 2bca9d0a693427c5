//! The README's commands on Redis, as a new user types them: each line goes to a shell as it stands
//! there, but for the port of the server, and the fence that only a look at the lock tells.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod program;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tenure_bed::{Flavour, Redis};

use crate::program::{Ended, Place, end, finish, until, until_true};

const README: &str = include_str!("../../../README.md");
/// The fence in the README, which stands for the one that somebody saw.
const FENCE: &str = "17";

/// A new user, with a server and the programs that the README speaks of.
struct User {
    place: Place,
    url: String,
}

impl User {
    /// What is typed, in a shell that finds `tenure` and knows the store by its variable.
    fn types(&self, line: &str) -> Child {
        let program = Path::new(env!("CARGO_BIN_EXE_tenure"));
        let folder = program.parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .env_clear()
            .env("PATH", format!("{folder}:{path}"))
            .env("HOME", self.place.folder())
            .env("TENURE_STORE", &self.url)
            .current_dir(self.place.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn ran(&self, line: &str) -> Ended {
        finish(self.types(line))
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.place.write(name, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The lines of the README's blocks in `language`, a block each.
fn blocks(language: &str) -> Vec<String> {
    let parts = README.split("```").skip(1).step_by(2);
    let blocks = parts.filter_map(|block| block.strip_prefix(language));
    blocks.map(|block| block.trim_start().to_owned()).collect()
}

/// The lines that begin with `tenure`, or start it by cargo, without what they say of themselves.
fn lines(url: &str) -> Vec<String> {
    let blocks = blocks("sh\n").join("\n");
    let lines = blocks.lines().map(|line| {
        let typed = line.split("  #").next().unwrap_or_default().trim();
        let typed = typed.replace("cargo run --bin tenure -- ", "tenure ");
        let typed = typed.replace("redis://127.0.0.1", url);
        typed.replace("sqlite:tasks.db", url)
    });
    lines.filter(|line| line.starts_with("tenure ")).collect()
}

#[tokio::test]
async fn m13_the_commands_of_the_readme_work_on_redis_as_they_are_typed() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let place = Place::new();
    let (url, user) = (
        server.url(),
        User {
            place,
            url: server.url(),
        },
    );
    let example = include_str!("../../../examples/tasks.toml");
    std::fs::create_dir(user.place.path("examples")).unwrap();
    user.place.write("examples/tasks.toml", example);
    user.program("backup.sh", "echo \"backup under $TENURE_FENCE\"");
    user.program("scheduler", "echo elected >> elected; exec sleep 600");
    user.program("send-invoices", "echo \"sent by $TENURE_INDEX\"");
    let tasks = blocks("toml\n").remove(0);
    assert!(tasks.contains("name = \"invoices\""), "{tasks}");
    user.place
        .write("tasks.toml", tasks.replace("sqlite:tasks.db", &url));
    // Somebody has the lock while the others look at it and want it.
    let hold = "tenure lock nightly-backup -- sh -c 'echo $TENURE_FENCE > fence; exec sleep 600'";
    let (mut holder, mut done, mut runners) = (None, Vec::new(), Vec::new());
    for line in lines(&url) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        match words.as_slice() {
            ["run", _] => {
                let mut runner = user.types(&line);
                let log = user.place.path(&format!("runner{}", runners.len()));
                let mut told = runner.stdout.take().unwrap();
                let mut file = std::fs::File::create(&log).unwrap();
                std::thread::spawn(move || std::io::copy(&mut told, &mut file));
                runners.push(runner);
                let tasks = if line.contains("examples") {
                    "measure"
                } else {
                    "invoices"
                };
                until_true("the tasks to be known", || {
                    user.ran("tenure tasks").stdout.contains(tasks)
                });
                if tasks == "invoices" {
                    let ended = user.ran("tenure trigger invoices --wait 1m");
                    assert_eq!(ended.code, Some(0), "{ended:?}");
                }
            }
            ["elect", ..] => {
                let candidate = user.types(&line);
                until_true("it to be elected", || user.place.path("elected").exists());
                let ended = end(candidate);
                assert!(matches!(ended.code, Some(0 | 143)), "{line}: {ended:?}");
            }
            ["lock", "--no-wait", ..] => {
                holder = Some(user.types(hold));
                until_true("the lock", || user.place.read("fence").ends_with('\n'));
                let ended = user.ran(&line);
                assert_eq!(ended.code, Some(1), "{line}: {ended:?}");
            }
            ["unlock", ..] => {
                let fence = user.place.read("fence");
                let ended = user.ran(&line.replace(FENCE, fence.trim()));
                assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
                assert_eq!(finish(holder.take().unwrap()).code, Some(75));
            }
            _ => {
                let ended = user.ran(&line);
                assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
                let part = match words.as_slice() {
                    ["lock", ..] => "backup under 1",
                    ["locks"] => "nightly-backup",
                    ["check" | "next", ..] => "",
                    ["history" | "why", ..] => "invoices",
                    ["doctor", ..] => "a restart forgets",
                    ["explain", ..] => "month",
                    other => panic!("the README has a new command: say what it prints: {other:?}"),
                };
                assert!(ended.stdout.contains(part), "{line}: {ended:?}");
            }
        }
        done.push(words.first().map_or("", |word| word).to_owned());
    }
    for runner in runners {
        assert_eq!(end(runner).code, Some(0));
    }
    let expected = [
        "run", "lock", "lock", "elect", "locks", "unlock", "check", "run", "history", "why",
        "doctor", "explain", "next",
    ];
    assert_eq!(done, expected);
    until("nothing to be held", || {
        let left = user.ran("tenure locks").stdout;
        (!left.contains("nightly-backup")).then_some(())
    });
}
