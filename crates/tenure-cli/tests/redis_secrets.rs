//! The store's password, given to the program in every way: no other process sees it, and no
//! output holds it.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tenure_bed::{Flavour, Redis};

use crate::program::{Place, end, finish, signal, until, until_true};

const SECRET: &str = "CANARY-s3cret#@?/%";
const IN_URL: &str = "CANARY-s3cret%23%40%3F%2F%25";
const CANARY: &str = "CANARY";

/// A server with a password, and the URLs that name it by a file of the place and by itself.
async fn with_a_password(place: &Place) -> (Redis, [String; 2]) {
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user(&format!("app on >{SECRET} ~* &* +@all"))
        .acl_user("default off");
    let server = server.start().await;
    let (port, file) = (server.port(), place.write("password", SECRET));
    let by_file = format!(
        "redis://app@127.0.0.1:{port}?password_file={}",
        file.display()
    );
    let by_url = format!("redis://app:{IN_URL}@127.0.0.1:{port}");
    (server, [by_file, by_url])
}

/// A program that does not outlive a test that fails.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _over = child.kill();
            let _reaped = child.wait();
        }
    }
}

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
    let place = Place::new();
    let (_server, [by_file, by_url]) = with_a_password(&place).await;
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

/// A whole answer of the dashboard's, or what came within a second of one that has no end, and its
/// status.
fn asked(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let has_end = !path.ends_with("/events");
    let second = Duration::from_secs(1);
    if !has_end {
        stream.set_read_timeout(Some(second)).unwrap();
    }
    let (mut bytes, mut part) = (Vec::new(), [0; 8192]);
    let until = Instant::now() + second;
    // Something may come more often than once a second, and for ever.
    while has_end || Instant::now() < until {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend_from_slice(part.get(..length).unwrap()),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

/// All that the dashboard answers to whoever looks, with the status of each path.
fn all_pages(address: &str, run: &str) -> (String, Vec<(String, u16)>) {
    let (mut said, mut statuses) = (String::new(), Vec::new());
    for route in tenure::dashboard::routes() {
        if route.method != "GET" {
            continue;
        }
        let path = route.path.replace("{task}", "t").replace("{run}", run);
        let path = path.replace("{key}", "k");
        assert!(!path.contains('{'), "{path}: fill it in");
        let query = match path.as_str() {
            "/task" => "?name=t".to_owned(),
            "/run" => format!("?id={run}"),
            "/lock" => "?key=k".to_owned(),
            _ => String::new(),
        };
        let (status, text) = asked(address, &format!("{path}{query}"));
        statuses.push((path, status));
        said += &text;
    }
    (said, statuses)
}

/// The password is changed under a runner with a dashboard, which cannot log in any more, and is
/// changed back. Returns all that the dashboard and the program said.
async fn through_a_dashboard(place: &Place, server: &Redis, url: Option<&str>) -> String {
    let (file, name) = match url {
        Some(_) => ("tasks.toml", "node"),
        None => ("with-store.toml", "node-of-file"),
    };
    let mut node = place.tenure(["run", "--json", "--dashboard", "127.0.0.1:0", file]);
    node.env("TENURE_LOG", "trace").env_remove("TENURE_STORE");
    node.envs(url.map(|url| ("TENURE_STORE", url)));
    let mut node = Running(Some(place.started(name, node)));
    let event = |kind: &str| {
        until(kind, || {
            let mut events = place.events(name).into_iter();
            events.find_map(|event| Some(event.get(kind)?.as_str()?.to_owned()))
        })
    };
    let address = event("dashboard");
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let run = until("a run", || {
        let (_, text) = asked(address, "/api/v1/runs?state=succeeded");
        let (_, body) = text.split_once("\r\n\r\n")?;
        let runs: Value = serde_json::from_str(body).ok()?;
        let id = runs.pointer("/items/0/id")?.as_str()?;
        Some(id.replace('#', "%23"))
    });
    let (mut said, statuses) = all_pages(address, &run);
    assert!(
        statuses
            .iter()
            .all(|(_, status)| [200, 303, 307].contains(status)),
        "{statuses:?}"
    );
    assert!(
        said.contains("TENURE_TASK=t"),
        "the output of a run is shown"
    );
    let changed = ["ACL", "SETUSER", "app", "resetpass", ">another"];
    assert_eq!(server.call(&changed).await.to_string(), "OK");
    server.call(&["CLIENT", "KILL", "USER", "app"]).await;
    let mut last = (0, String::new());
    until_true("the dashboard to say that it cannot ask", || {
        last = asked(address, "/api/v1/tasks");
        last.0 >= 500
    });
    let (refused, statuses) = all_pages(address, &run);
    assert!(
        statuses.iter().any(|(_, status)| *status >= 500),
        "{statuses:?}"
    );
    assert!(refused.contains("WRONGPASS"), "{last:?}");
    said += &refused;
    assert!(!all_arguments().contains(CANARY));
    let old = format!(">{SECRET}");
    let changed = ["ACL", "SETUSER", "app", "resetpass", &old];
    assert_eq!(server.call(&changed).await.to_string(), "OK");
    until_true("the dashboard to work again", || {
        asked(address, "/api/v1/tasks").0 == 200
    });
    assert_eq!(end(node.0.take().unwrap()).code, Some(0));
    said + &place.read(&format!("{name}.jsonl")) + &place.read(&format!("{name}.log"))
}

#[tokio::test(flavor = "multi_thread")]
async fn f7_c12_no_page_no_answer_and_no_log_of_a_dashboard_holds_the_password_of_redis() {
    let place = Place::new();
    let (server, [by_file, by_url]) = with_a_password(&place).await;
    let tasks = "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nshell = 'env'\n";
    place.write("tasks.toml", tasks);
    place.write(
        "with-store.toml",
        format!("[store]\nurl = \"{by_url}\"\n\n{tasks}"),
    );
    let mut holder = place.tenure(["lock", "k", "--", "sleep", "600"]);
    let holder = holder.env("TENURE_STORE", &by_file).spawn().unwrap();
    let _holder = Running(Some(holder));
    let mut said = String::new();
    for url in [Some(by_file.as_str()), Some(&by_url), None] {
        said += &through_a_dashboard(&place, &server, url).await;
    }
    // One that never gets in.
    let wrong = by_url.replace(IN_URL, &format!("{IN_URL}wrong"));
    for words in [
        &["run", "--dashboard", "127.0.0.1:0", "tasks.toml"][..],
        &["top", "--once"],
    ] {
        let mut program = place.tenure(words);
        program
            .env("TENURE_LOG", "trace")
            .env("TENURE_STORE", &wrong);
        let ended = finish(program.spawn().unwrap());
        assert_eq!(ended.code, Some(77), "{ended:?}");
        said += &(ended.stdout + &ended.stderr);
    }
    let lines: Vec<_> = said.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}
