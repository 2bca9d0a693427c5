//! Commands that do not behave: what happens to each, and what is said of it afterwards.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Place, end, finish, is_alive, ok, signal, until, until_true};

/// A runner with one task, whose script runs once.
fn running(place: &Place, settings: &str, script: &str) -> Child {
    place.write("script.sh", script);
    place.write(
        "tasks.toml",
        format!(
            "[[task]]\nname = \"child\"\nschedule = \"@yearly\"\n\
             command = [\"sh\", \"script.sh\"]\n{settings}\n"
        ),
    );
    let runner = place.runner("run", &["--drain", "0s", "tasks.toml"]);
    ok(place.run(["trigger", "child"]));
    runner
}

/// What the store has of the one run, once it is over.
fn over(place: &Place) -> Value {
    until("the end of the run", || {
        let all = ok(place.run(["history", "child", "--json", "--output"]));
        let run: Value = serde_json::from_str(all.lines().next()?).unwrap();
        let has_ended = run.get("ended_at").is_some_and(|at| !at.is_null());
        has_ended.then_some(run)
    })
}

/// Asserts what people are told: a line of the history, and the tick's story.
fn people_hear(place: &Place, parts: &[&str]) {
    let history = ok(place.run(["history", "child"]));
    let why = ok(place.run(["why", "child"]));
    for part in parts {
        assert!(history.contains(part), "`{part}`: {history}");
        assert!(why.contains(part), "`{part}`: {why}");
    }
}

/// A shell's wait for what the process in the file of this name has become: `sleep`, with the
/// environment that tells whose it is. Until its `exec` is over it is a shell still, and is named
/// so.
const UNTIL_IT_SLEEPS: &str = "sleeps() {\n\
    [ -e $1 ] || return 1\n\
    read it < $1\n\
    grep -q '^sleep$' /proc/$it/comm && grep -aq TENURE_RUN_ID /proc/$it/environ\n\
    }\n\
    until_it_sleeps() { until sleeps $1; do sleep 0.01; done; }\n";

fn pid_in(place: &Place, file: &str) -> u32 {
    until(file, || place.read(file).trim().parse().ok())
}

#[test]
fn a_task_that_ignores_sigterm_is_killed_with_its_children_and_told_as_timed_out() {
    let place = Place::new();
    let runner = running(
        &place,
        "timeout = \"300ms\"",
        "trap 'echo heard >> heard' TERM\n\
         sh -c 'trap \"\" TERM; echo $$ > c.part; mv c.part child.pid\n\
         while :; do sleep 0.1; done' &\n\
         while :; do sleep 0.1; done\n",
    );
    let child = pid_in(&place, "child.pid");
    let run = over(&place);
    assert_eq!(run["state"], "timed_out", "{run}");
    assert_eq!(run["exit_code"], 137, "{run}");
    assert!(
        place.read("heard").starts_with("heard"),
        "it was asked before it was killed"
    );
    assert!(!is_alive(child), "its child ignored SIGTERM too");
    people_hear(&place, &["timed_out", "took longer than 300ms"]);
    assert_eq!(end(runner).code, Some(0));
}

#[test]
fn a_task_that_ignores_sigterm_is_killed_when_its_node_has_to_end() {
    let place = Place::new();
    let runner = running(
        &place,
        "",
        "trap '' TERM\necho $$ > p.part; mv p.part task.pid\nwhile :; do sleep 0.1; done\n",
    );
    let task = pid_in(&place, "task.pid");
    assert_eq!(end(runner).code, Some(75));
    assert!(!is_alive(task));
    let run = over(&place);
    assert_eq!(run["state"], "interrupted", "{run}");
    people_hear(&place, &["interrupted"]);
}

#[test]
fn a_process_that_forks_twice_and_keeps_the_output_is_left_alone_and_named() {
    let place = Place::new();
    let script = "echo begun\n\
                  (setsid sh -c 'echo $$ > d.part; mv d.part daemon.pid; exec sleep 600' &)\n\
                  until_it_sleeps daemon.pid\n";
    let runner = running(&place, "", &format!("{UNTIL_IT_SLEEPS}{script}"));
    let run = over(&place);
    let daemon = pid_in(&place, "daemon.pid");
    assert_eq!(run["state"], "succeeded", "{run}");
    assert!(is_alive(daemon), "it is not the run's any more");
    let output = run["output"].as_str().unwrap();
    let named = format!(
        "begun\ntenure: process {daemon} (sleep) left the command's process group and goes on\n"
    );
    assert_eq!(output, named);
    people_hear(&place, &["succeeded"]);
    // Nor does it keep the node from ending.
    assert_eq!(end(runner).code, Some(0));
    assert!(is_alive(daemon));
    signal(daemon, Signal::SIGKILL);
}

#[test]
fn a_daemon_that_closed_its_output_delays_nothing_and_is_named_too() {
    let place = Place::new();
    let script = "(setsid sh -c 'echo $$ > d.part; mv d.part daemon.pid; exec sleep 600' \
                    </dev/null >/dev/null 2>&1 &)\n\
                  until_it_sleeps daemon.pid\n";
    let runner = running(&place, "", &format!("{UNTIL_IT_SLEEPS}{script}"));
    let run = over(&place);
    let daemon = pid_in(&place, "daemon.pid");
    assert_eq!(run["state"], "succeeded", "{run}");
    let named =
        format!("tenure: process {daemon} (sleep) left the command's process group and goes on\n");
    assert_eq!(run["output"], named, "{run}");
    // Once it ends, nothing of it stays behind.
    signal(daemon, Signal::SIGKILL);
    let process = std::path::PathBuf::from(format!("/proc/{daemon}"));
    until_true("the daemon to be reaped", || !process.exists());
    // A later run is not told of it, nor of anybody else.
    place.write("script.sh", "echo alone\n");
    ok(place.run(["trigger", "child"]));
    until_true("the second run", || {
        let all = ok(place.run(["history", "child", "--json", "--output"]));
        all.contains("\"alone\\n\"")
    });
    assert_eq!(end(runner).code, Some(0));
}

#[test]
fn each_run_is_told_of_its_own_daemon_only_and_daemons_outlive_the_node() {
    let place = Place::new();
    let script = "(setsid sh -c 'echo $$ > '$1'.part; mv '$1'.part '$1'.pid; exec sleep 600' \
                    </dev/null >/dev/null 2>&1 &)\n\
                  until_it_sleeps $1.pid\n\
                  while [ ! -e other$1 ]; do sleep 0.01; done\n";
    place.write("script.sh", format!("{UNTIL_IT_SLEEPS}{script}"));
    let task = |name: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nschedule = \"@yearly\"\n\
             command = [\"sh\", \"script.sh\", \"{name}\"]\n"
        )
    };
    place.write("tasks.toml", task("a") + &task("b"));
    let runner = place.runner("run", &["--drain", "0s", "tasks.toml"]);
    ok(place.run(["trigger", "a"]));
    ok(place.run(["trigger", "b"]));
    let (a, b) = (pid_in(&place, "a.pid"), pid_in(&place, "b.pid"));
    // Both daemons are there before either command ends.
    place.write("othera", "");
    place.write("otherb", "");
    for (task, own) in [("a", a), ("b", b)] {
        let output = until("the end of the run", || {
            let all = ok(place.run(["history", task, "--json", "--output"]));
            let run: Value = serde_json::from_str(all.lines().next()?).unwrap();
            run["output"].as_str().map(str::to_owned)
        });
        let named =
            format!("tenure: process {own} (sleep) left the command's process group and goes on\n");
        assert_eq!(output, named, "of {task}");
    }
    assert_eq!(end(runner).code, Some(0));
    for daemon in [a, b] {
        assert!(is_alive(daemon));
        signal(daemon, Signal::SIGKILL);
    }
}

/// A figure of a process from `/proc`, in kB.
fn kilobytes(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.unwrap().trim_start_matches(':').trim();
    number.strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_task_that_prints_a_gigabyte_costs_neither_memory_nor_the_record() {
    let place = Place::new();
    let runner = running(
        &place,
        "",
        "until [ -e go ]; do sleep 0.01; done\n\
         yes 'a line of a gigabyte' | head -c 1000000000\necho the end\n",
    );
    until_true("the task", || {
        ok(place.run(["history", "child", "--json"])).contains("\"running\"")
    });
    let before = kilobytes(runner.id(), "VmHWM");
    place.write("go", "");
    let run = over(&place);
    let most = kilobytes(runner.id(), "VmHWM");
    assert!(
        most - before < 16 * 1024,
        "{before} kB became {most} kB at most"
    );
    assert_eq!(run["state"], "succeeded", "{run}");
    let output = run["output"].as_str().unwrap();
    assert!(output.len() < 140_000, "{}", output.len());
    assert!(output.starts_with("a line of a gigabyte\n") && output.ends_with("the end\n"));
    let left_out = 1_000_000_000 + "the end\n".len() - 2 * 64 * 1024;
    assert!(
        output.contains(&format!("\n… {left_out} bytes left out …\n")),
        "all of it was read"
    );
    people_hear(&place, &["succeeded"]);
    assert_eq!(end(runner).code, Some(0));
}

#[test]
fn a_task_that_closes_its_output_runs_on_and_its_end_is_told() {
    let place = Place::new();
    let runner = running(
        &place,
        "",
        "echo said before\nexec >&- 2>&-\ntouch closed\n\
         until [ -e go ]; do sleep 0.01; done\necho nobody hears this\nexit 3\n",
    );
    until_true("the output to be closed", || place.path("closed").exists());
    let going_on = ok(place.run(["history", "child", "--json"]));
    assert!(going_on.contains("\"running\""), "{going_on}");
    place.write("go", "");
    let run = over(&place);
    assert_eq!(run["state"], "failed", "{run}");
    assert_eq!(run["exit_code"], 3, "{run}");
    assert_eq!(run["output"], "said before\n");
    people_hear(&place, &["failed", "exit status 3"]);
    assert_eq!(end(runner).code, Some(0));
}

#[test]
fn under_a_lock_too_output_that_is_closed_or_endless_is_the_commands_own_matter() {
    let place = Place::new();
    let closed = place.run(["lock", "k", "--", "sh", "-c", "exec >&- 2>&-; exit 4"]);
    assert_eq!((closed.code, closed.stdout.as_str()), (Some(4), ""));
    // Whoever reads it may stop: the command gets the signal that it would get without tenure.
    let mut endless = place.tenure(["lock", "k", "--", "yes"]).spawn().unwrap();
    drop(endless.stdout.take());
    assert_eq!(finish(endless).code, Some(128 + 13));
}

#[test]
fn e110_as_process_1_of_a_container_it_takes_orphans_and_ends_at_sigterm() {
    let place = Place::new();
    // It leaves a process that outlives it for a moment, as a command that forks twice does.
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@yearly\"\n\
         shell = 'setsid sleep 0.1 >/dev/null 2>&1 & echo $PPID'\n",
    );
    let inner = place.tenure(["run", "--json", "--no-dashboard", "tasks.toml"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
        ])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .current_dir(place.folder())
        .stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    let container = place.started("run", command);
    let children = format!("/proc/{0}/task/{0}/children", container.id());
    let program: u32 = std::fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    ok(place.run(["trigger", "t", "--wait", "1m"]));
    // The guardian is the only child that stays.
    until_true("the orphan to be taken", || {
        let children = format!("/proc/{program}/task/{program}/children");
        let children = std::fs::read_to_string(children).unwrap();
        children.split_whitespace().count() == 1
    });
    signal(program, Signal::SIGTERM);
    assert_eq!(finish(container).code, Some(0), "{}", place.read("run.log"));
    let output = ok(place.run(["history", "t", "--output", "-n", "1"]));
    // The line behind it may say that the orphan goes on.
    assert!(output.lines().any(|line| line == "1"), "{output}");
}
