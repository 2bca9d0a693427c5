//! Every command on a real Redis server.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tenure::core::{Clock as _, SystemClock, Timestamp};
use tenure_bed::{Flavour, Redis};

use crate::program::{Place, end, finish, until, until_true};

/// The program on `server`, in a place of its own.
fn on(place: &Place, url: &str, arguments: &[&str]) -> Command {
    let mut command = place.tenure(arguments);
    command.env("TENURE_STORE", url);
    command
}

fn run(place: &Place, url: &str, arguments: &[&str]) -> crate::program::Ended {
    finish(on(place, url, arguments).spawn().unwrap())
}

#[tokio::test]
async fn every_command_works_on_redis() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    let child = "echo \"$TENURE_KEY $TENURE_FENCE\"; exit 7";
    let ended = run(&place, &url, &["lock", "k", "--", "sh", "-c", child]);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("k 1"), "{}", ended.stdout);
    // Somebody else has it.
    let mut holder = on(&place, &url, &["lock", "k", "--", "sleep", "60"])
        .spawn()
        .unwrap();
    let lock = until("the lock", || {
        let ended = run(&place, &url, &["locks", "--json"]);
        ended
            .stdout
            .lines()
            .next()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
    });
    assert_eq!(lock["key"], "k");
    let ended = run(&place, &url, &["lock", "--no-wait", "k", "--", "true"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let fence = lock["fence"].to_string();
    let ended = run(&place, &url, &["unlock", "k", "--fence", &fence]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let status = until("the child to be stopped", || holder.try_wait().unwrap());
    assert_eq!(status.code(), Some(75));
    // Tasks.
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nconcurrency = 2\n\
         shell = \"echo out\"\n",
    );
    let ended = run(&place, &url, &["run", "--for", "8s", "tasks.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("t#2"), "{}", ended.stdout);
    let tasks = run(&place, &url, &["tasks"]);
    assert!(tasks.stdout.contains("nobody runs it"), "{}", tasks.stdout);
    let doctor = run(&place, &url, &["doctor"]);
    assert!(
        doctor.stdout.contains("a restart forgets them"),
        "{}",
        doctor.stdout
    );
    let history = run(&place, &url, &["history", "t", "--output"]);
    assert!(history.stdout.contains("out"), "{}", history.stdout);
}

#[tokio::test]
async fn s29_three_processes_on_redis_run_each_tick_once() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nconcurrency = 3\noverlap = \"allow\"\n\
         shell = 'echo \"$TENURE_TICK#$TENURE_INDEX\" >> ran'\n",
    );
    let start = || {
        on(&place, &url, &["run", "--quiet", "tasks.toml"])
            .spawn()
            .unwrap()
    };
    let runners = [start(), start(), start()];
    until_true("three ticks", || place.read("ran").lines().count() >= 9);
    for runner in runners {
        assert_eq!(end(runner).code, Some(0));
    }
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    for line in place.read("ran").lines() {
        *ran.entry(line.to_owned()).or_default() += 1;
    }
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
}

#[tokio::test]
async fn s57_on_redis_each_run_that_waits_for_the_end_of_another_has_one_successor() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@after 200ms\"\n\
         shell = 'echo \"$TENURE_TICK\" >> ran; sleep 0.1'\n",
    );
    let start = || on(&place, &url, &["run", "--quiet", "tasks.toml"]).spawn();
    let runners = [start().unwrap(), start().unwrap()];
    until_true("four runs", || place.read("ran").lines().count() >= 4);
    for runner in runners {
        assert_eq!(end(runner).code, Some(0));
    }
    let runs = history_of_t(&place, &url);
    assert!(runs.len() >= 4, "{runs:?}");
    // The newest stands first.
    for (after, before) in runs.iter().zip(runs.iter().skip(1)) {
        let apart = millis(&after["tick"]) - millis(&before["ended_at"]);
        assert_eq!(apart, 200, "{runs:?}");
    }
}

/// What is on record of the task `t`, the newest run first.
fn history_of_t(place: &Place, url: &str) -> Vec<Value> {
    let told = run(place, url, &["history", "t", "--json"]).stdout;
    let lines = told.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn millis(value: &Value) -> i64 {
    let instant = value.as_str().unwrap().parse::<Timestamp>();
    instant.unwrap().as_millis()
}

#[tokio::test]
async fn s50_s57_a_chain_goes_on_where_it_was_on_a_server_that_forgot_everything() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@after 3s\"\n\
         shell = 'echo \"$TENURE_TICK\" >> ran'\n",
    );
    let start = || on(&place, &url, &["run", "--quiet", "tasks.toml"]).spawn();
    let runners = [start().unwrap(), start().unwrap()];
    let last = until("two runs and one that waits for their end", || {
        let runs = history_of_t(&place, &url);
        let states: Vec<&str> = runs
            .iter()
            .filter_map(|run| run["state"].as_str())
            .collect();
        // More than two, if nobody looked while the third waited.
        let is_it = states.starts_with(&["waiting", "succeeded", "succeeded"]);
        is_it.then(|| runs[1].clone())
    });
    server.call(&["FLUSHALL"]).await;
    let before = place.read("ran").lines().count();
    until_true("two runs more", || {
        place.read("ran").lines().count() >= before + 2
    });
    let runs = history_of_t(&place, &url);
    for runner in runners {
        assert_eq!(end(runner).code, Some(0));
    }
    let ticks: Vec<i64> = runs.iter().map(|run| millis(&run["tick"])).rev().collect();
    let place_of = |tick| ticks.iter().position(|known| *known == tick);
    let known = place_of(millis(&last["tick"])).expect("the last run was put back");
    // The node knows of the end by its own reckoning of the store's clock.
    let late = ticks[known + 1] - millis(&last["ended_at"]) - 3_000;
    assert!((-500..=500).contains(&late), "{late} ms, {ticks:?}");
    let ran = place.read("ran");
    let mut distinct: Vec<&str> = ran.lines().collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ran.lines().count(), "{ran}");
}

#[tokio::test]
async fn s50_s60_what_a_restarted_server_forgot_is_put_back_with_who_asked_for_it_and_why() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@yearly\"\nconcurrency = 2\n\
         shell = 'test $TENURE_INDEX = 2 || until test -e go; do sleep 0.1; done'\n",
    );
    let runner = on(&place, &url, &["run", "--quiet", "tasks.toml"])
        .spawn()
        .unwrap();
    until_true("the node to be there", || {
        let tasks = run(&place, &url, &["tasks", "--json"]).stdout;
        tasks.contains("\"t\"")
    });
    let trigger = run(&place, &url, &["trigger", "t", "--why", "ticket 99"]);
    assert_eq!(trigger.code, Some(0), "{}", trigger.stderr);
    // Index, state, and who asked.
    let told = || {
        let runs = history_of_t(&place, &url);
        let mut told: Vec<_> = runs
            .iter()
            .map(|run| {
                let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
                (run["index"].to_string(), text("state"), text("asked"))
            })
            .collect();
        told.sort_unstable();
        told
    };
    let before = until("one run to go on and one to have ended", || {
        let told = told();
        let states: Vec<&str> = told.iter().map(|(_, state, _)| state.as_str()).collect();
        (states == ["running", "succeeded"]).then_some(told)
    });
    for (_, _, asked) in &before {
        assert!(asked.starts_with("asked for by "), "{asked}");
        assert!(asked.ends_with(": ticket 99"), "{asked}");
    }
    let tick = history_of_t(&place, &url)[0]["tick"].clone();
    server.restart().await;
    until_true("what was forgotten", || told() == before);
    let why = run(&place, &url, &["why", "t", tick.as_str().unwrap()]);
    assert!(why.stdout.contains("ticket 99"), "{}", why.stdout);
    place.write("go", "");
    let mut ended = before;
    for (_, state, _) in &mut ended {
        "succeeded".clone_into(state);
    }
    until_true("the end of what went on", || told() == ended);
    assert_eq!(end(runner).code, Some(0));
}

#[tokio::test]
async fn s50_s60_whoever_waits_for_a_run_that_the_server_forgot_is_told_so() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@yearly\"\n\
         shell = 'until test -e go; do sleep 0.1; done'\n",
    );
    let runner = on(&place, &url, &["run", "--quiet", "tasks.toml"]).spawn();
    until_true("the node to be there", || {
        let tasks = run(&place, &url, &["tasks", "--json"]).stdout;
        tasks.contains("\"t\"")
    });
    let trigger = || {
        let mut command = on(&place, &url, &["trigger", "t", "--wait"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let states = |wanted: &[&str]| {
        let runs = history_of_t(&place, &url);
        let mut states: Vec<_> = runs
            .iter()
            .filter_map(|run| run["state"].as_str())
            .collect();
        states.sort_unstable();
        states == wanted
    };
    // A node has the first; the second stands behind it, and no node knows of it.
    let first = trigger();
    until_true("the run to go on", || states(&["running"]));
    let second = trigger();
    until_true("the run behind it", || states(&["running", "waiting"]));
    server.call(&["FLUSHALL"]).await;
    until_true("what the node had", || states(&["running"]));
    let second = finish(second);
    assert_eq!(second.code, Some(69), "{}{}", second.stdout, second.stderr);
    let told = second.stderr;
    assert!(told.contains("the store forgot t@"), "{told}");
    assert!(told.contains("ask again"), "{told}");
    place.write("go", "");
    let first = finish(first);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("succeeded"), "{}", first.stdout);
    assert_eq!(end(runner.unwrap()).code, Some(0));
}

#[tokio::test]
async fn s50_s59_a_pause_that_the_server_forgot_is_told_as_lost_and_not_as_resumed() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    let schedule = "schedule = \"* * * * * *\"";
    place.write(
        "tasks.toml",
        format!("[[task]]\nname = \"t\"\n{schedule}\nshell = 'echo >> ran'\n"),
    );
    let mut command = on(&place, &url, &["run", "--json", "tasks.toml"]);
    let log = std::fs::File::create(place.path("log")).unwrap();
    let runner = command.stdout(log).spawn().unwrap();
    let told = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        place.read("log").contains(&event)
    };
    until_true("a run", || place.read("ran").contains('\n'));
    let pause = ["pause", "t", "--why", "the disk is full"];
    assert_eq!(run(&place, &url, &pause).code, Some(0));
    until_true("the node to hear of the pause", || told("paused"));
    server.call(&["FLUSHALL"]).await;
    until_true("a word about the pause", || told("pause_lost"));
    assert!(!told("resumed"), "{}", place.read("log"));
    // So are the ticks that it kept from running.
    let reason = ": the disk is full; the store forgot the pause";
    until_true("the ticks of the pause", || {
        let runs = history_of_t(&place, &url);
        let mut reasons = runs.iter().filter_map(|run| run["reason"].as_str());
        reasons.any(|told| told.ends_with(reason))
    });
    assert_eq!(end(runner).code, Some(0));
}

#[tokio::test]
async fn r82_a_command_is_gone_before_its_lease_can_end_when_the_server_falls_silent() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    let child = "echo $$ > pid; exec sleep 60";
    let command = ["lock", "--ttl", "2s", "k", "--", "sh", "-c", child];
    let mut holder = on(&place, &url, &command).spawn().unwrap();
    until_true("the command to begin", || place.read("pid").ends_with('\n'));
    let pid: u32 = place.read("pid").trim().parse().unwrap();
    server.pause();
    let status = until("the command to be stopped", || holder.try_wait().unwrap());
    assert_eq!(status.code(), Some(75));
    assert!(!crate::program::is_alive(pid));
    server.resume();
    // The lease was still there: the command was stopped before it could end, not after.
    let left = server.call(&["PTTL", "k"]).await.int().unwrap();
    assert!(left != -1, "{left}");
}

#[tokio::test]
async fn e75_a_wait_without_an_end_says_that_the_store_fails_and_goes_on() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    server.call(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let mut command = on(&place, &url, &["lock", "k", "--", "true"]);
    let log = std::fs::File::create(place.path("log")).unwrap();
    let mut waiter = command.stderr(log).spawn().unwrap();
    until_true("a word about the store", || {
        place.read("log").contains("still trying")
    });
    assert!(place.read("log").contains("OOM"), "{}", place.read("log"));
    server.call(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let status = until("the command", || waiter.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn e25_e67_e78_f7_what_goes_wrong_has_its_status_and_shows_no_password() {
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user("app on >s3cret ~* &* +@all")
        .acl_user("default off")
        .start()
        .await;
    let place = Place::new();
    let port = server.port();
    for (url, code, part) in [
        (
            format!("redis://app:wr0ng@127.0.0.1:{port}"),
            77,
            "WRONGPASS",
        ),
        (format!("redis://127.0.0.1:{port}"), 77, "NOAUTH"),
        (
            "redis://app:s3cret@127.0.0.1:1?connect_timeout=1s".to_owned(),
            69,
            "cannot connect",
        ),
        ("redis://app:s3cret@".to_owned(), 78, "is missing"),
        ("redis://app:s3/cret@h".to_owned(), 78, ""),
    ] {
        let mut command = on(&place, &url, &["lock", "k", "--", "true"]);
        command.env("TENURE_LOG", "trace");
        let ended = finish(command.spawn().unwrap());
        assert_eq!(ended.code, Some(code), "{url}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
        for secret in ["s3cret", "wr0ng", "s3/cret"] {
            assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
        }
    }
    place.write("password", "s3cret\n");
    let file = place.path("password");
    let url = format!(
        "redis://app@127.0.0.1:{port}?password_file={}",
        file.display()
    );
    let mut command = on(&place, &url, &["lock", "k", "--", "env"]);
    command.env("TENURE_LOG", "trace");
    let ended = finish(command.spawn().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!(ended.stderr + &ended.stdout).contains("s3cret"));
    // A command does not get the credentials of its lock's store.
    let url = format!("redis://app:s3cret@127.0.0.1:{port}");
    let ended = run(&place, &url, &["lock", "k", "--", "env"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
}

/// An instance of the origin, as far as Redis sees it: claims each of the seconds in which it lives
/// as soon as it comes, and answers what it got.
async fn origin(server: &Redis, task: &str, seconds: i64) -> Vec<String> {
    let mut taken = Vec::new();
    let first = SystemClock.wall().as_millis() / 1000 + 1;
    for second in first..first + seconds {
        let tick = Timestamp::from_millis(second * 1000);
        let wait = tick.since(SystemClock.wall());
        tokio::time::sleep(wait).await; // tidy: allow(sleep) a tick comes at its time
        let key = format!("{task}-***-1-***-{tick}");
        let time = tick.to_string();
        let claim = ["SET", &key, &time, "NX", "PX", "60000"];
        if server.call(&claim).await.to_string() == "OK" {
            taken.push(time);
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_a_interop_shares_ticks_with_the_origin_from_a_task_file() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let place = Place::new();
    let url = server.url();
    place.write(
        "tasks.toml",
        format!(
            "[store]\nurl = \"{url}\"\ninterop = \"ktor\"\nlock_expiration_ms = 60000\n\n\
             [[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\n\
             shell = 'echo \"$TENURE_TICK\" >> ran'\n"
        ),
    );
    let arguments = ["run", "--quiet", "tasks.toml"];
    let mut ours = place.tenure(arguments);
    ours.env_remove("TENURE_STORE");
    let ours = ours.spawn().unwrap();
    let theirs = origin(&server, "t", 5).await;
    let ended = tokio::task::block_in_place(|| {
        until_true("ours to run what is left", || {
            let ran = place.read("ran").lines().count();
            ran > 0 && ran + theirs.len() >= 7
        });
        end(ours)
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ran = place.read("ran");
    let mut all: Vec<&str> = ran
        .lines()
        .chain(theirs.iter().map(String::as_str))
        .collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(
        count,
        all.len(),
        "a tick ran twice: ours {ran:?}, theirs {theirs:?}"
    );
    // Byte for byte, and it stays: each of ours is a key in the origin's format.
    for tick in ran.lines() {
        let key = format!("t-***-1-***-{tick}");
        assert_eq!(server.call(&["GET", &key]).await.to_string(), tick);
    }
    // Another store than Redis cannot do it, whoever names it.
    let ended = place.run(["run", "--store", "memory:", "--for", "1s", "tasks.toml"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("interop needs"), "{}", ended.stderr);
}

#[tokio::test]
async fn f12_a_password_can_be_typed_and_one_in_the_arguments_is_warned_of() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let set = ["CONFIG", "SET", "requirepass", "s3cret#@?"];
    assert_eq!(server.call(&set).await.to_string(), "OK");
    let place = Place::new();
    let url = server.url();
    let program = env!("CARGO_BIN_EXE_tenure");
    // A terminal of its own, at which somebody types.
    let typed = |password: &'static str| {
        let command = format!("{program} locks --ask-password --store {url}");
        let mut terminal = Command::new("script");
        terminal
            .args(["-qec", &command, "/dev/null"])
            .current_dir(place.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut terminal = terminal.spawn().unwrap();
        let mut keys = terminal.stdin.take().unwrap();
        writeln!(keys, "{password}").unwrap();
        let output = terminal.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, shown) = typed("s3cret#@?");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Password for redis://127.0.0.1:"), "{shown}");
    assert!(
        shown.contains("no locks") || shown.contains("no lock"),
        "{shown}"
    );
    let (code, shown) = typed("wrong");
    assert_eq!(code, Some(77), "{shown}");
    // Without a terminal, and where there is no place for one.
    let mut alone = Command::new("setsid");
    alone.args([
        "--wait",
        program,
        "locks",
        "--ask-password",
        "--store",
        &url,
    ]);
    let output = alone.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("no terminal"), "{message}");
    let ended = place.run(["locks", "--ask-password"]);
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    let with = url.replace("redis://", "redis://:s3cret%23%40%3F@");
    let ended = place.run(["locks", "--store", &with]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("seen by everybody"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[tokio::test]
async fn r69_a_quorum_says_that_it_has_no_semaphores() {
    let quorum = tenure_bed::Quorum::start(Flavour::Redis, 3).await;
    let (place, url) = (Place::new(), quorum.url());
    for option in [vec!["--shared"], vec!["--semaphore", "2"]] {
        let all: Vec<_> = ["lock"].into_iter().chain(option).collect();
        let ended = run(&place, &url, &[&all[..], &["k", "--", "true"]].concat());
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        let expected = "has no read-write locks and no semaphores";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        assert!(ended.stderr.contains("redis+quorum"), "{}", ended.stderr);
    }
    let ended = run(&place, &url, &["lock", "k", "--", "true"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn r68_r69_shared_locks_and_permits_work_on_redis() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    let (place, url) = (Place::new(), server.url());
    for (option, words) in [
        (vec!["--shared"], "2 readers"),
        (vec!["--semaphore", "2"], "2 of 2 permits"),
    ] {
        let head: Vec<_> = ["lock"].into_iter().chain(option).collect();
        let script = "until [ -e end ]; do sleep 0.02; done";
        let two = [(), ()].map(|()| {
            let arguments = [&head[..], &["k", "--", "sh", "-c", script]].concat();
            on(&place, &url, &arguments).spawn().unwrap()
        });
        let show = || run(&place, &url, &["locks", "show", "k"]).stdout;
        until_true("two to share it", || show().contains(words));
        assert_eq!(show().matches("  sharing   ").count(), 2, "{}", show());
        let listed = run(&place, &url, &["locks"]).stdout;
        assert!(listed.contains(words), "{listed}");
        let refused = run(&place, &url, &["lock", "--no-wait", "k", "--", "true"]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        place.write("end", "");
        for child in two {
            assert_eq!(finish(child).code, Some(0));
        }
        std::fs::remove_file(place.path("end")).unwrap();
        let ended = run(&place, &url, &["lock", "--no-wait", "k", "--", "true"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
