//! The store's password, given to the program in every way: no other process sees it, and no
//! output holds it.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::fs;
use std::process::Child;

use nix::sys::signal::Signal;
use tenure_bed::{Flavour, Redis};

use crate::program::{Place, finish, signal, until_true};

const SECRET: &str = "CANARY-s3cret#@?/%";
const IN_URL: &str = "CANARY-s3cret%23%40%3F%2F%25";
const CANARY: &str = "CANARY";

/// The arguments of every process of this machine, as `ps` shows them to everybody.
fn all_arguments() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(arguments) = fs::read(entry.path().join("cmdline")) {
            all.push_str(&String::from_utf8_lossy(&arguments));
            all.push('\n');
        }
    }
    all
}

/// Waits for the task's process, looks at it and at everybody's arguments, and ends the program.
fn look_at(place: &Place, program: Child) -> String {
    until_true("the task", || place.read("pid").ends_with('\n'));
    let task = place.read("pid").trim().to_owned();
    assert!(!all_arguments().contains(CANARY));
    let environment = fs::read(format!("/proc/{task}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.contains("TENURE_TASK"), "{environment}");
    assert!(!environment.contains(CANARY), "{environment}");
    place.write("seen", "");
    signal(program.id(), Signal::SIGTERM);
    let ended = finish(program);
    fs::remove_file(place.path("pid")).unwrap();
    fs::remove_file(place.path("seen")).unwrap();
    ended.stdout + &ended.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn f7_f12_a_password_of_redis_is_in_no_process_list_child_output_or_history() {
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user(&format!("app on >{SECRET} ~* &* +@all"))
        .acl_user("default off")
        .start()
        .await;
    let (place, port) = (Place::new(), server.port());
    let file = place.write("password", SECRET);
    let by_file = format!(
        "redis://app@127.0.0.1:{port}?password_file={}",
        file.display()
    );
    let by_url = format!("redis://app:{IN_URL}@127.0.0.1:{port}");
    let task = "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\noverlap = \"skip\"\n\
                shell = 'env; echo $$ > pid.new; mv pid.new pid; \
                until [ -e seen ]; do sleep 0.05; done'\n";
    place.write("tasks.toml", task);
    let with_store = format!("[store]\nurl = \"{by_url}\"\n\n{task}");
    let with_store = place.write("with-store.toml", with_store);
    let mut said = String::new();
    for (url, tasks) in [
        (Some(&by_file), "tasks.toml"),
        (Some(&by_url), "tasks.toml"),
        (None, with_store.to_str().unwrap()),
    ] {
        let mut program = place.tenure(["run", tasks]);
        program
            .env("TENURE_LOG", "trace")
            .env_remove("TENURE_STORE");
        if let Some(url) = url {
            program.env("TENURE_STORE", url);
        }
        said += &look_at(&place, program.spawn().unwrap());
    }
    for arguments in [
        &["history", "t", "--output"][..],
        &["history", "--json"],
        &["tasks", "--json"],
        &["locks", "--json"],
        &["doctor"],
        &["check", "with-store.toml"],
        &["lock", "k", "--", "env"],
        &["lock", "--no-such-flag"],
    ] {
        let mut program = place.tenure(arguments);
        program
            .env("TENURE_LOG", "trace")
            .env("TENURE_STORE", &by_url);
        let ended = finish(program.spawn().unwrap());
        said += &(ended.stdout + &ended.stderr);
    }
    assert!(
        said.contains("TENURE_TASK=t") && said.contains("DEBUG"),
        "{said}"
    );
    let lines: Vec<_> = said.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}
