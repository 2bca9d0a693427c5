//! `tenure run`, `tasks` and `history`, with real commands and several processes.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::collections::HashMap;
use std::process::Child;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Place, end, finish, is_alive, signal, until, until_true};

/// Starts a runner on the place's store, its events in `NAME.jsonl`.
fn runner(place: &Place, file: &str, name: &str) -> Child {
    place.runner(name, &[file])
}

/// What `tenure history` lists; nothing while nobody has made the store.
fn history(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["history", "--json", "-n", "10000", "--output"];
    all.extend(arguments);
    let ended = place.run(all);
    if ended.code == Some(66) {
        return Vec::new();
    }
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Polls the history of a task until a run of it is over.
fn finished(place: &Place, task: &str) -> Value {
    until(&format!("a run of {task}"), || {
        history(place, &[task])
            .into_iter()
            .rev()
            .find(|run| !run["ended_at"].is_null() && !run["started_at"].is_null())
    })
}

/// Waits until a runner has heard the first signal: two at once are one.
fn draining(place: &Place, name: &str) {
    until_true("the drain", || {
        let events = place.events(name);
        events.iter().any(|event| event["event"] == "draining")
    });
}

/// A run that was over after its shell had turned a deaf ear, for which a busy machine may need
/// more than the time it has.
fn deaf_in_time(place: &Place, task: &str) -> Value {
    until("a run that was deaf in time", || {
        let mut runs = history(place, &[task]).into_iter();
        runs.find(|run| run["output"] == "deaf\n" && !run["ended_at"].is_null())
    })
}

#[test]
fn s29_three_processes_run_each_tick_and_index_exactly_once() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "tick"
            schedule = "* * * * * *"
            concurrency = 3
            # One that takes longer than a second must not cost the next tick its index.
            overlap = "allow"
            shell = '''
            run="$TENURE_TICK $TENURE_INDEX $TENURE_ATTEMPT $TENURE_RUN_ID"
            echo "$TENURE_TASK $run" >> runs.txt
            '''
        "#,
    );
    let names = ["a", "b", "c"];
    let runners: Vec<Child> = names
        .iter()
        .map(|name| runner(&place, "tasks.toml", name))
        .collect();
    until_true("five ticks", || {
        place.read("runs.txt").lines().count() >= 15
    });
    for runner in runners {
        let ended = end(runner);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let text = place.read("runs.txt");
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for line in text.lines() {
        *counts.entry(line).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let mut indices: HashMap<&str, u32> = HashMap::new();
    for line in counts.keys() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[3]), ("tick", "1"));
        assert_eq!(words[4], format!("tick@{}#{}", words[1], words[2]));
        assert_eq!(words[1].split_once('.').unwrap().1, "000Z");
        *indices.entry(words[1]).or_default() |= 1 << words[2].parse::<u32>().unwrap();
    }
    // At the end, a tick may come when one of those is gone that would have had an index of it.
    let mut whole: Vec<_> = indices.into_iter().collect();
    whole.sort_unstable();
    whole.truncate(whole.len() - 2);
    assert!(whole.iter().all(|(_, set)| *set == 0b1110), "{whole:?}");
    let runs = history(&place, &["--state", "succeeded"]);
    assert_eq!(runs.len(), counts.len());
    let told: usize = names
        .iter()
        .map(|name| {
            let events = place.events(name);
            assert_eq!(events.first().unwrap()["event"], "ready");
            assert_eq!(events.last().unwrap()["event"], "ended");
            events
                .iter()
                .filter(|event| event["event"] == "finished")
                .count()
        })
        .sum();
    assert_eq!(
        told,
        counts.len(),
        "each run is told by the process that ran it"
    );
}

#[test]
fn f12_f13_commands_get_a_built_environment_a_folder_and_no_input() {
    let place = Place::new();
    std::fs::create_dir(place.path("work")).unwrap();
    place.write(
        "tasks.toml",
        r#"
            [defaults]
            env = { FROM_DEFAULTS = "d", BOTH = "d" }
            [[task]]
            name = "env"
            schedule = "* * * * * *"
            dir = "work"
            env = { BOTH = "t", EXPANDED = "<${OUTSIDE}>" }
            shell = "env; pwd; cat; echo end of input; echo to stderr >&2"
        "#,
    );
    let child = place
        .tenure(["run", "tasks.toml"])
        .env("OUTSIDE", "o")
        .env("SECRET", "s3cret")
        .env("LANG", "C.UTF-8")
        .spawn()
        .unwrap();
    let run = finished(&place, "env");
    let output = run["output"].as_str().unwrap();
    for line in [
        "FROM_DEFAULTS=d",
        "BOTH=t",
        "EXPANDED=<o>",
        "LANG=C.UTF-8",
        "TENURE_TASK=env",
        "TENURE_INDEX=1",
        "TENURE_ATTEMPT=1",
        "end of input",
        "to stderr",
    ] {
        assert!(
            output.lines().any(|found| found == line),
            "{line}: {output}"
        );
    }
    assert!(
        output.lines().any(|line| line.ends_with("/work")),
        "{output}"
    );
    assert!(
        !output.contains("s3cret") && !output.contains("TENURE_STORE"),
        "{output}"
    );
    assert_eq!(run["exit_code"], 0);
    assert_eq!(end(child).code, Some(0));
}

#[test]
fn s42_s44_outcomes_are_told_as_they_were() {
    let place = Place::new();
    place.write("tasks.toml", "[defaults]\nschedule_is_not_a_default = 1\n");
    let bad = place.run(["run", "tasks.toml"]);
    assert_eq!(bad.code, Some(78), "{}", bad.stderr);
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "fails"
            schedule = "* * * * * *"
            command = ["sh", "-c", "echo said before; exit 3"]
            [[task]]
            name = "accepted"
            schedule = "* * * * * *"
            command = ["sh", "-c", "exit 3"]
            success_codes = [0, 3]
            [[task]]
            name = "stubborn"
            schedule = "* * * * * *"
            shell = "trap '' TERM; echo deaf; (trap '' TERM; sleep 60) & sleep 60"
            timeout = "100ms"
            [[task]]
            name = "noisy"
            schedule = "* * * * * *"
            shell = "head -c 3000000 /dev/zero | tr '\\0' x; echo the end"
            [[task]]
            name = "daemon"
            schedule = "* * * * * *"
            shell = "setsid sleep 60 & echo $! > daemon.part; mv daemon.part daemon.pid"
            [[task]]
            name = "missing"
            schedule = "* * * * * *"
            command = ["no-such-program"]
            [[task]]
            name = "secretive"
            schedule = "* * * * * *"
            shell = "printf 'at password=hun'; sleep 0.05; echo ter2 and ghp_x; printf 'last ghp_y'"
            mask = ["password=*", "ghp_*"]
            log = "secretive.log"
            [[task]]
            name = "retried"
            schedule = "*/5 * * * * *"
            retry = { attempts = 3, first = "1ms", most = "5ms", past_next_tick = true }
            shell = "[ $TENURE_ATTEMPT = 3 ]"
            [[task]]
            name = "off"
            schedule = "* * * * * *"
            enabled = false
            shell = "touch ran-while-off"
        "#,
    );
    let child = runner(&place, "tasks.toml", "a");
    let cases = [
        ("fails", "failed", 3, "exit status 3"),
        ("accepted", "succeeded", 3, ""),
        ("stubborn", "timed_out", 137, "took longer than 100ms"),
        ("noisy", "succeeded", 0, ""),
        ("daemon", "succeeded", 0, ""),
        ("missing", "failed", 127, "command not found"),
    ];
    for (task, state, code, reason) in cases {
        let run = match task {
            "stubborn" => deaf_in_time(&place, task),
            _ => finished(&place, task),
        };
        assert_eq!(run["state"], state, "{run}");
        assert_eq!(run["exit_code"], code, "{run}");
        let told = run["reason"].as_str().unwrap_or_default();
        assert!(
            told.contains(reason) && reason.is_empty() == told.is_empty(),
            "{run}"
        );
    }
    assert_eq!(finished(&place, "fails")["output"], "said before\n");
    let masked = "at password=*** and ghp_***\nlast ghp_***";
    assert_eq!(finished(&place, "secretive")["output"], masked);
    let log = place.read("secretive.log");
    assert!(log.contains(masked) && !log.contains("hun"), "{log}");
    let noisy = finished(&place, "noisy");
    let kept = noisy["output"].as_str().unwrap();
    assert!(
        kept.len() < 140_000 && kept.contains(" bytes left out …"),
        "{}",
        kept.len()
    );
    assert!(kept.ends_with("the end\n"));
    let retried = finished(&place, "retried");
    assert_eq!(retried["attempt"], 3, "{retried}");
    assert_eq!(retried["state"], "succeeded");
    let ended = end(child);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!place.path("ran-while-off").exists());
    for daemon in place.read("daemon.pid").lines() {
        let daemon = daemon.parse().unwrap();
        if is_alive(daemon) {
            signal(daemon, Signal::SIGKILL);
        }
    }
}

#[test]
fn s41_the_first_signal_drains_and_the_second_stops() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"long\"\nschedule = \"* * * * * *\"\n\
         shell = \"echo $$ > pid.part; mv pid.part long.pid; sleep 1.5; echo done\"\n",
    );
    let drained = runner(&place, "tasks.toml", "a");
    until_true("the command", || place.path("long.pid").exists());
    let ended = end(drained);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        history(&place, &["long"])
            .iter()
            .any(|run| run["state"] == "succeeded")
    );

    std::fs::remove_file(place.path("long.pid")).unwrap();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"long\"\nschedule = \"* * * * * *\"\n\
         shell = \"echo $$ > pid.part; mv pid.part long.pid; sleep 60\"\n",
    );
    let stopped = runner(&place, "tasks.toml", "b");
    let pid: u32 = until("the command", || place.read("long.pid").trim().parse().ok());
    signal(stopped.id(), Signal::SIGINT);
    draining(&place, "b");
    signal(stopped.id(), Signal::SIGINT);
    let ended = finish(stopped);
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(!is_alive(pid));
    assert_eq!(
        history(&place, &["long", "--state", "interrupted"]).len(),
        1
    );
}

#[test]
fn s40_a_run_whose_process_is_killed_is_reported_as_lost() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"long\"\nschedule = \"* * * * * *\"\n\
         shell = \"echo $$ > pid.part; mv pid.part long.pid; sleep 60\"\n",
    );
    let mut victim = runner(&place, "tasks.toml", "a");
    let pid: u32 = until("the command", || place.read("long.pid").trim().parse().ok());
    victim.kill().unwrap();
    victim.wait().unwrap();
    until_true("the command's end", || !is_alive(pid));
    let other = runner(&place, "tasks.toml", "b");
    let lost = until("the loss", || {
        history(&place, &["--state", "lost"]).into_iter().next()
    });
    assert_eq!(lost["task"], "long");
    signal(other.id(), Signal::SIGTERM);
    draining(&place, "b");
    signal(other.id(), Signal::SIGTERM);
    finish(other);
}

#[test]
fn s28_s43_a_stopped_node_has_no_commands_left_when_another_takes_its_runs_for_lost() {
    let place = Place::new();
    let text = |name: &str, rest: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nschedule = \"* * * * * *\"\n{rest}\
             shell = \"echo $$ > {name}.part; mv {name}.part {name}.pid; sleep 60\"\n"
        )
    };
    let bound = text("bound", "");
    let free = text("free", "on_lease_loss = \"continue\"\n");
    place.write("tasks.toml", bound + &free);
    let mut sleeper = runner(&place, "tasks.toml", "a");
    let pid = |name: &str| -> u32 {
        until("the command", || {
            place.read(&format!("{name}.pid")).trim().parse().ok()
        })
    };
    let (bound, free) = (pid("bound"), pid("free"));
    signal(sleeper.id(), Signal::SIGSTOP);
    place.write("none.toml", "");
    let other = runner(&place, "none.toml", "b");
    until("the loss", || {
        history(&place, &["bound", "--state", "lost"])
            .into_iter()
            .next()
    });
    assert!(
        !is_alive(bound),
        "a command ran on when its run was declared lost"
    );
    // This one's task said that it may.
    assert!(is_alive(free));
    signal(sleeper.id(), Signal::SIGKILL);
    sleeper.wait().unwrap();
    until_true("the other command's end", || !is_alive(free));
    end(other);
}

#[test]
fn quiet_leaves_bad_news_only_in_words_and_in_json() {
    let place = Place::new();
    // By hand: a tick that is missed or skipped while the machine is busy would be bad news too.
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"good\"\nschedule = \"-\"\nshell = \"true\"\n\
         [[task]]\nname = \"bad\"\nschedule = \"-\"\nshell = \"exit 3\"\n",
    );
    for json in [true, false] {
        let out = std::fs::File::create(place.path("out")).unwrap();
        let mut command = place.tenure(["run", "--quiet", "tasks.toml"]);
        if json {
            command.arg("--json");
        }
        let child = command.stdout(out).spawn().unwrap();
        until_true("a good run", || {
            place.run(["trigger", "good", "--wait"]).code == Some(0)
        });
        for _ in 0..2 {
            assert_eq!(place.run(["trigger", "bad", "--wait"]).code, Some(1));
        }
        until_true("two bad runs", || place.read("out").lines().count() >= 2);
        assert_eq!(end(child).code, Some(0));
        for line in place.read("out").lines() {
            if json {
                let event: Value = serde_json::from_str(line).unwrap();
                let told = (&event["event"], &event["task"], &event["outcome"]);
                assert_eq!(
                    told,
                    (&"finished".into(), &"bad".into(), &"failed".into()),
                    "{line}"
                );
            } else {
                assert!(line.contains("failed") && line.contains("bad#1"), "{line}");
            }
        }
    }
}

#[test]
fn s41_while_draining_no_next_tick_is_told() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"often\"\nschedule = \"* * * * * *\"\noverlap = \"allow\"\n\
         shell = \"touch began; until [ -e go ]; do sleep 0.05; done\"\n",
    );
    let out = std::fs::File::create(place.path("out")).unwrap();
    let mut command = place.tenure(["run", "tasks.toml"]);
    let log = std::fs::File::create(place.path("log")).unwrap();
    let child = command.stdout(out).stderr(log).spawn().unwrap();
    until_true("a run", || place.path("began").exists());
    signal(child.id(), Signal::SIGTERM);
    until_true("the drain", || place.read("log").contains("ending;"));
    place.write("go", "");
    assert_eq!(finish(child).code, Some(0));
    let out = place.read("out");
    let ended: Vec<&str> = (out.lines())
        .filter(|line| line.contains("ok ") && line.contains("often#1"))
        .collect();
    assert!(!ended.is_empty(), "{out}");
    assert!(
        ended.iter().all(|line| !line.contains("; next")),
        "{ended:?}"
    );
}

#[test]
fn e108_nobody_reading_the_output_does_not_stop_the_tasks() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nshell = \"echo x >> runs.txt\"\n",
    );
    let mut child = place.tenure(["run", "tasks.toml"]).spawn().unwrap();
    drop(child.stdout.take());
    until_true("three runs", || place.read("runs.txt").lines().count() >= 3);
    assert_eq!(end(child).code, Some(0));

    let mut listing = place.tenure(["history"]).spawn().unwrap();
    drop(listing.stdout.take());
    let ended = finish(listing);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn tasks_and_history_tell_people_what_is_known() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nzone = \"Europe/Berlin\"\n\
         shell = \"true\"\n",
    );
    // A lock makes the store, which does not know a task yet.
    assert_eq!(place.run(["lock", "k", "--", "true"]).code, Some(0));
    assert!(place.run(["tasks"]).stdout.contains(" knows no tasks"));
    assert!(
        place
            .run(["history"])
            .stdout
            .contains("no such runs in sqlite:")
    );
    let child = runner(&place, "tasks.toml", "a");
    finished(&place, "t");
    let tasks = place.run(["tasks"]).stdout;
    assert!(
        tasks.contains("Europe/Berlin") && tasks.contains("on 1 node"),
        "{tasks}"
    );
    // The newest of all may be going on.
    let history = place.run(["history", "t", "--state", "succeeded", "-n", "1"]);
    let history = history.stdout;
    assert!(
        history.contains("succeeded") && history.contains("tenure run ("),
        "{history}"
    );
    assert_eq!(end(child).code, Some(0));
    let retired = place.run(["tasks", "--json"]).stdout;
    let retired: Value = serde_json::from_str(retired.trim()).unwrap();
    assert_eq!(retired["nodes"], 0);
}

#[test]
fn the_example_at_the_root_is_sound() {
    let place = Place::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tasks.toml");
    let ended = place.run(["check", example]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with("ok: 5 tasks"), "{}", ended.stdout);
}

#[test]
fn s41_e109_a_signal_while_the_store_is_silent_ends_the_program_at_once() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"@daily\"\ncommand = [\"true\"]\n",
    );
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("redis://{}", silent.local_addr().unwrap());
    let arguments = ["run", "--no-dashboard", "--store", &store, "tasks.toml"];
    let child = place.tenure(arguments).spawn().unwrap();
    let (connection, _) = silent.accept().unwrap();
    let asked = std::time::Instant::now();
    let ended = end(child);
    // By itself it would give up after five seconds, with 69.
    assert!(asked.elapsed().as_secs() < 4, "{:?}", asked.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let words = "told to end before the tasks were started";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    drop(connection);
}

#[test]
fn e62_a_folder_that_goes_while_tasks_run_is_told_and_not_taken_for_a_missing_command() {
    let place = Place::new();
    let folder = place.path("work");
    std::fs::create_dir(&folder).unwrap();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "t"
            schedule = "* * * * * *"
            dir = "work"
            command = ["true"]
        "#,
    );
    let child = runner(&place, "tasks.toml", "run");
    std::fs::remove_dir(&folder).unwrap();
    let failed = until("a run without its folder", || {
        let mut runs = history(&place, &["t"]).into_iter();
        runs.find(|run| run["state"] == "failed")
    });
    let reason = failed["reason"].as_str().unwrap();
    for part in [
        "cannot run `true` in `",
        "work`: No such file",
        "`dir` must be a folder",
    ] {
        assert!(reason.contains(part), "`{part}`: {reason}");
    }
    assert_eq!(failed["exit_code"], 126, "{failed}");
    assert_eq!(end(child).code, Some(0));
}
