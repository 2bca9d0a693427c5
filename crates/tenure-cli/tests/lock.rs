//! `tenure lock`, `locks` and `unlock`, as a shell sees them.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::runtime::Builder;

use crate::program::{Place, finish, is_alive, signal, until, until_true};

/// Holds `key` with a command that tells its pid in `holder.pid`.
fn holder(place: &Place, options: &[&str], key: &str, script: &str) -> std::process::Child {
    let script = format!("echo $$ > pid.part; mv pid.part holder.pid; {script}");
    let mut arguments = vec!["lock"];
    arguments.extend(options);
    arguments.extend([key, "--", "sh", "-c", &script]);
    place.tenure(arguments).spawn().unwrap()
}

fn holder_pid(place: &Place) -> u32 {
    until("the command to begin", || {
        place.read("holder.pid").trim().parse().ok()
    })
}

#[test]
fn r83_e107_the_status_is_the_commands_own() {
    let place = Place::new();
    for (command, code, message) in [
        (vec!["true"], 0, ""),
        (vec!["sh", "-c", "exit 7"], 7, ""),
        (vec!["sh", "-c", "exit 255"], 255, ""),
        (vec!["sh", "-c", "kill -9 $$"], 137, ""),
        (vec!["sh", "-c", "kill -TERM $$"], 143, ""),
        (
            vec!["no-such-program"],
            127,
            "cannot run `no-such-program`: command not found",
        ),
        (
            vec!["/etc/passwd"],
            126,
            "cannot run `/etc/passwd`: Permission denied",
        ),
        (vec!["/"], 126, "cannot run `/`"),
    ] {
        let mut arguments = vec!["lock", "k", "--"];
        arguments.extend(&command);
        let ended = place.run(&arguments);
        assert_eq!(ended.code, Some(code), "{command:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(message),
            "{command:?}: {}",
            ended.stderr
        );
        assert!(
            message.is_empty() == ended.stderr.is_empty(),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(
        place.lock("k")["is_held"],
        false,
        "every one gave the lock back"
    );
}

#[test]
fn r84_the_command_gets_standard_input_key_and_fence() {
    let place = Place::new();
    let mut child = place
        .tenure([
            "lock",
            "k",
            "--",
            "sh",
            "-c",
            "cat; echo \"$TENURE_KEY $TENURE_FENCE\"",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let first = finish(child).stdout;
    assert!(first.starts_with("through\nk "), "{first}");
    let fence = |text: &str| {
        text.trim()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let second = place
        .run(["lock", "k", "--", "sh", "-c", "echo $TENURE_FENCE"])
        .stdout;
    assert!(fence(&second) > fence(&first), "{first} {second}");
}

#[test]
fn e24_r70_several_keys_are_taken_together_each_once() {
    let place = Place::new();
    let ended = place.run([
        "lock",
        "--all",
        "b,a,b",
        "--",
        "sh",
        "-c",
        "echo $TENURE_KEY; echo $TENURE_FENCE",
    ]);
    let mut lines = ended.stdout.lines();
    assert_eq!(lines.next(), Some("a,b"));
    assert_eq!(lines.next().unwrap().split(',').count(), 2);

    let held = holder(&place, &[], "b", "exec sleep 60");
    let pid = holder_pid(&place);
    let ended = place.run(["lock", "--no-wait", "--all", "a,b", "--", "true"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(place.lock("a")["is_held"], false, "all or nothing");
    signal(pid, Signal::SIGKILL);
    assert_eq!(finish(held).code, Some(137));
}

#[test]
fn r9_r83_e11_a_lock_that_is_held_is_status_1_or_another_and_says_by_whom() {
    let place = Place::new();
    let held = holder(&place, &[], "k", "exec sleep 60");
    let pid = holder_pid(&place);
    for (options, code) in [
        (vec!["--no-wait"], 1),
        (vec!["--wait", "0s"], 1),
        (vec!["--wait", "100ms"], 1),
        (vec!["--no-wait", "--conflict-exit-code", "42"], 42),
    ] {
        let mut arguments = vec!["lock"];
        arguments.extend(&options);
        arguments.extend(["k", "--", "touch", "ran"]);
        let ended = place.run(&arguments);
        assert_eq!(ended.code, Some(code), "{options:?}: {}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("lock `k` is held by tenure lock sh ("),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("help: "), "{}", ended.stderr);
    }
    assert!(!place.path("ran").exists());
    signal(pid, Signal::SIGTERM);
    assert_eq!(finish(held).code, Some(143));
}

#[test]
fn r82_a_store_that_freezes_past_the_ttl_costs_the_command_its_life_before_the_lease_ends() {
    freezes_under("exec sleep 60");
}

#[test]
fn r82_a_store_that_freezes_costs_a_command_its_life_that_does_not_want_to_end() {
    freezes_under("trap '' TERM; while :; do sleep 0.05; done");
}

fn freezes_under(script: &str) {
    let place = Place::new();
    let held = holder(&place, &["--ttl", "12s"], "k", script);
    let pid = holder_pid(&place);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ours = runtime.block_on(tenure::connect(&place.store())).unwrap();
    let ours = ours.locks();
    let store = rusqlite::Connection::open(place.path("store.db")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    // Just renewed, so that no renewal comes between this look and the frost, and a look that took
    // no time, so that it says when the lease ends.
    let (looked_at, left) = until("a renewal", || {
        let looked_at = Instant::now();
        let view = runtime.block_on(ours.inspect("k")).unwrap().unwrap();
        let left = view.expires_at.unwrap().since(view.now);
        let is_fresh = left > Duration::from_millis(11_800);
        (is_fresh && looked_at.elapsed() < Duration::from_millis(100)).then_some((looked_at, left))
    });
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    until_true("the command's end", || !is_alive(pid));
    let gone_after = looked_at.elapsed();
    // The frost lasts until the program has ended: it did not wait for the store.
    let ended = finish(held);
    assert!(
        gone_after < left,
        "gone after {gone_after:?}, lease over after {left:?}"
    );
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    for part in ["stopping the command", "could no longer be trusted"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    store.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn r34_a_holder_that_sleeps_past_its_ttl_is_stopped_at_once_when_it_wakes() {
    let place = Place::new();
    let held = holder(
        &place,
        &["--ttl", "6s"],
        "k",
        "echo $TENURE_FENCE > fence; exec sleep 600",
    );
    let pid = holder_pid(&place);
    let fence: u64 = until("the fence", || place.read("fence").trim().parse().ok());
    // All of it: the program, its guardian and the command.
    let guardian = guardian_of(held.id());
    let all = [held.id(), guardian, pid];
    for stopped in all {
        signal(stopped, Signal::SIGSTOP);
    }
    let next = place.run([
        "lock",
        "--wait",
        "60s",
        "k",
        "--",
        "sh",
        "-c",
        "echo $TENURE_FENCE",
    ]);
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    assert!(next.stdout.trim().parse::<u64>().unwrap() > fence);
    assert!(is_alive(pid), "it sleeps");
    let woken = Instant::now();
    // From the command upwards: each is still stopped when its turn comes. The other way round the
    // program, once awake, may have ended the command before it is woken.
    for stopped in all.into_iter().rev() {
        signal(stopped, Signal::SIGCONT);
    }
    until_true("the command's end", || !is_alive(pid));
    assert!(
        woken.elapsed() < Duration::from_secs(30),
        "{:?}",
        woken.elapsed()
    );
    let ended = finish(held);
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(ended.stderr.contains("trust window"), "{}", ended.stderr);
}

/// The process by which a `tenure lock` is guarded.
fn guardian_of(program: u32) -> u32 {
    until("the guardian", || {
        let children = format!("/proc/{program}/task/{program}/children");
        std::fs::read_to_string(children)
            .ok()?
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .find(|child: &u32| {
                std::fs::read_to_string(format!("/proc/{child}/cmdline"))
                    .is_ok_and(|line| line.contains("__guard"))
            })
    })
}

#[test]
fn r6_r82_a_lock_that_is_taken_away_stops_the_command() {
    let place = Place::new();
    let held = holder(&place, &["--ttl", "10s"], "k", "exec sleep 60");
    let pid = holder_pid(&place);
    let fence = place.lock("k")["fence"].as_u64().unwrap();
    let stale = place.run(["unlock", "k", "--fence", &(fence - 1).to_string()]);
    assert_eq!(stale.code, Some(1), "{}", stale.stderr);
    assert!(
        stale.stderr.contains("another holder than you saw"),
        "{}",
        stale.stderr
    );
    assert!(is_alive(pid));
    let taken = place.run([
        "unlock",
        "k",
        "--fence",
        &fence.to_string(),
        "--why",
        "it hangs",
    ]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    until_true("the command's end", || !is_alive(pid));
    assert_eq!(finish(held).code, Some(75));
}

#[test]
fn r84_e109_signals_are_passed_on_and_end_a_wait() {
    let place = Place::new();
    let script = "trap 'echo int' INT; trap 'echo hup' HUP; trap 'echo usr; exit 5' USR1; \
                  while :; do sleep 0.02; done";
    let held = holder(&place, &[], "k", script);
    holder_pid(&place);
    for (number, code) in [
        (Signal::SIGINT, 130),
        (Signal::SIGTERM, 143),
        (Signal::SIGHUP, 129),
    ] {
        let waiter = place
            .tenure(["lock", "k", "--", "touch", "ran"])
            .spawn()
            .unwrap();
        until_true("a place in the queue", || place.lock("k")["waiting"] == 1);
        signal(waiter.id(), number);
        assert_eq!(finish(waiter).code, Some(code));
        assert_eq!(place.lock("k")["waiting"], 0, "it left the queue");
    }
    assert!(!place.path("ran").exists());
    signal(held.id(), Signal::SIGINT);
    signal(held.id(), Signal::SIGHUP);
    signal(held.id(), Signal::SIGUSR1);
    let ended = finish(held);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stdout.ends_with("usr\n"), "{}", ended.stdout);
}

#[test]
fn r84_e110_what_a_command_leaves_behind_does_not_keep_the_lock() {
    let place = Place::new();
    let ended = place.run([
        "lock",
        "k",
        "--",
        "sh",
        "-c",
        "sleep 60 & echo $! > left.pid; exit 3",
    ]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("left processes running"),
        "{}",
        ended.stderr
    );
    let left: u32 = place.read("left.pid").trim().parse().unwrap();
    assert!(!is_alive(left));

    let ended = place.run([
        "lock",
        "k",
        "--",
        "sh",
        "-c",
        "exec >/dev/null 2>&1; \
         setsid sh -c 'echo $$ > stray.part; mv stray.part stray.pid; exec sleep 60' & \
         until [ -e stray.pid ]; do sleep 0.01; done; exit 4",
    ]);
    let stray: u32 = place.read("stray.pid").trim().parse().unwrap();
    assert_eq!(ended.code, Some(4));
    assert!(
        ended.stderr.contains(&format!("process group: {stray}")),
        "{}",
        ended.stderr
    );
    signal(stray, Signal::SIGKILL);
}

#[test]
fn e110_orphans_of_a_long_command_do_not_pile_up_as_zombies() {
    let place = Place::new();
    let script = "for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 &); done; exec sleep 60";
    let held = holder(&place, &[], "k", script);
    let pid = holder_pid(&place);
    let zombies = || {
        let children = format!("/proc/{0}/task/{0}/children", held.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let dead = |child: &&str| !is_alive(child.parse().unwrap());
        children.split_whitespace().filter(dead).count()
    };
    until_true("the command alone", || {
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        command.trim() == "sleep" && zombies() == 0
    });
    signal(pid, Signal::SIGTERM);
    assert_eq!(finish(held).code, Some(143));
}

#[test]
fn r82_e110_processes_that_left_the_group_are_stopped_with_the_lease() {
    let place = Place::new();
    let script = "setsid sh -c 'trap \"\" TERM; echo $$ > s.part; mv s.part stray.pid; \
                  while :; do sleep 0.05; done' & sleep 60";
    let held = holder(&place, &["--ttl", "10s"], "k", script);
    let stray: u32 = until("the stray", || place.read("stray.pid").trim().parse().ok());
    let fence = place.lock("k")["fence"].to_string();
    assert_eq!(place.run(["unlock", "k", "--fence", &fence]).code, Some(0));
    assert_eq!(finish(held).code, Some(75));
    assert!(!is_alive(stray));
}

#[test]
fn r10_many_processes_never_hold_one_lock_together() {
    let place = Place::new();
    place.write("counter", "0");
    let (processes, rounds) = (8, 25);
    let workers: Vec<_> = (0..processes)
        .map(|_| {
            let mut shell = std::process::Command::new("sh");
            let step = "n=$(cat counter); echo $((n + 1)) > counter";
            shell
                .args([
                    "-c",
                    &format!(
                        "i=0; while [ $i -lt {rounds} ]; do i=$((i + 1)); \
                     \"$0\" lock counter -- sh -c '{step}' || exit; done"
                    ),
                ])
                .arg(env!("CARGO_BIN_EXE_tenure"))
                .env("TENURE_STORE", place.store())
                .current_dir(place.folder());
            shell.spawn().unwrap()
        })
        .collect();
    for worker in workers {
        assert_eq!(finish(worker).code, Some(0));
    }
    assert_eq!(
        place.read("counter").trim(),
        (processes * rounds).to_string()
    );
}

#[test]
fn r82_a_tenure_that_is_killed_takes_its_command_with_it() {
    takes_its_command_with_it(Signal::SIGKILL);
}

#[test]
fn r82_a_tenure_that_is_stopped_takes_its_command_with_it() {
    takes_its_command_with_it(Signal::SIGSTOP);
}

fn takes_its_command_with_it(how: Signal) {
    let place = Place::new();
    let seen = |what: &str| place.lock("k").get(what).cloned();
    let script = "trap '' TERM; while :; do sleep 0.02; done";
    let held = holder(&place, &["--ttl", "12s"], "k", script);
    let pid = holder_pid(&place);
    until_true("a lease", || seen("is_held") == Some(true.into()));
    let fence = seen("fence").and_then(|fence| fence.as_u64()).unwrap();
    signal(held.id(), how);
    // Whoever is next finds the command gone: the lease has ended, and it ended before.
    let check = format!(
        "state=$(cut -d ' ' -f 3 /proc/{pid}/stat 2>/dev/null); \
             case $state in ''|Z) ;; *) echo alive ;; esac; echo $TENURE_FENCE"
    );
    let next = place.run(["lock", "--wait", "60s", "k", "--", "sh", "-c", &check]);
    assert_eq!(next.code, Some(0), "{how}: {}", next.stderr);
    assert!(!is_alive(pid), "{how}");
    assert!(!next.stdout.contains("alive"), "{how}");
    assert!(next.stdout.trim().parse::<u64>().unwrap() > fence);
    if how == Signal::SIGSTOP {
        signal(held.id(), Signal::SIGCONT);
        assert_eq!(finish(held).code, Some(75));
    } else {
        assert_eq!(finish(held).code, None, "it died by a signal");
    }
}

/// A command that waits until a file is there.
fn waits_for(file: &str) -> String {
    format!("until [ -e {file} ]; do sleep 0.02; done")
}

#[test]
fn r68_shared_locks_go_together_and_an_exclusive_one_waits_for_all() {
    let place = Place::new();
    // Each ends only when the other has begun.
    let both: Vec<_> = [("one", "two"), ("two", "one")]
        .map(|(mine, other)| {
            let script = format!("touch {mine}; {}; {}", waits_for(other), waits_for("end"));
            let arguments = ["lock", "--shared", "k", "--", "sh", "-c", &script];
            place.tenure(arguments).spawn().unwrap()
        })
        .into();
    until_true("both to run", || {
        place.path("one").exists() && place.path("two").exists()
    });
    let told = place.lock("k");
    assert_eq!(told["shared"]["holders"], 2, "{told}");
    assert_eq!(told["shared"]["sharers"].as_array().unwrap().len(), 2);
    assert!(told["fence"].is_null() && told["foreign"].is_null());
    let refused = place.run(["lock", "--no-wait", "k", "--", "true"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("2 readers"), "{}", refused.stderr);
    let listed = place.run(["locks"]).stdout;
    assert!(listed.contains("2 readers"), "{listed}");
    let shown = place.run(["locks", "show", "k"]).stdout;
    assert_eq!(shown.matches("  sharing   ").count(), 2, "{shown}");
    let waiting = place.tenure(["lock", "k", "--", "touch", "alone"]);
    let waiting = { waiting }.spawn().unwrap();
    until_true("the exclusive one to wait", || {
        place.lock("k")["waiting"] == 1
    });
    // Nobody passes it.
    let late = place.run(["lock", "--no-wait", "--shared", "k", "--", "true"]);
    assert_eq!(late.code, Some(1), "{}", late.stderr);
    assert!(!place.path("alone").exists());
    place.write("end", "");
    for child in both {
        assert_eq!(finish(child).code, Some(0));
    }
    assert_eq!(finish(waiting).code, Some(0));
    assert!(place.path("alone").exists());
    assert_eq!(place.lock("k")["is_held"], false);
}

#[test]
fn r68_a_shared_lock_waits_for_an_exclusive_one() {
    let place = Place::new();
    let first = holder(&place, &[], "k", &waits_for("end"));
    holder_pid(&place);
    let refused = place.run(["lock", "--no-wait", "--shared", "k", "--", "true"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let shared = place
        .tenure(["lock", "--shared", "k", "--", "true"])
        .spawn();
    until_true("the shared one to wait", || place.lock("k")["waiting"] == 1);
    place.write("end", "");
    assert_eq!(finish(first).code, Some(0));
    assert_eq!(finish(shared.unwrap()).code, Some(0));
}

#[test]
fn r69_of_three_two_have_a_permit_and_the_third_comes_when_one_ends() {
    let place = Place::new();
    let three: Vec<_> = (0..3)
        .map(|number| {
            let script = format!(
                "touch begun{number}; {}",
                waits_for(&format!("end{number}"))
            );
            let arguments = ["lock", "--semaphore", "2", "k", "--", "sh", "-c", &script];
            place.tenure(arguments).spawn().unwrap()
        })
        .collect();
    let begun = || -> Vec<usize> {
        let all = 0..3;
        all.filter(|number| place.path(&format!("begun{number}")).exists())
            .collect()
    };
    until_true("two to run and one to wait", || {
        begun().len() == 2 && place.lock("k")["waiting"] == 1
    });
    assert_eq!(place.lock("k")["shared"]["at_most"], 2);
    let full = place.run(["lock", "--no-wait", "--semaphore", "2", "k", "--", "true"]);
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    assert!(full.stderr.contains("2 of 2 permits"), "{}", full.stderr);
    place.write(&format!("end{}", begun()[0]), "");
    until_true("the third", || begun().len() == 3);
    for number in 0..3 {
        place.write(&format!("end{number}"), "");
    }
    for child in three {
        assert_eq!(finish(child).code, Some(0));
    }
    assert_eq!(place.lock("k")["is_held"], false);
}

#[test]
fn r6_a_shared_lock_is_taken_from_one_or_from_all() {
    let place = Place::new();
    let spawn = || {
        let script = "trap 'exit 3' TERM; while :; do sleep 0.02; done";
        let arguments = [
            "lock", "--ttl", "10s", "--shared", "k", "--", "sh", "-c", script,
        ];
        place.tenure(arguments).spawn().unwrap()
    };
    let three = [spawn(), spawn(), spawn()];
    until_true("three to share it", || {
        place.lock("k")["shared"]["holders"] == 3
    });
    let fences: Vec<String> = place.lock("k")["shared"]["sharers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sharer| sharer["fence"].to_string())
        .collect();
    let other = place.run(["unlock", "k", "--fence", "999999"]);
    assert_ne!(
        other.code,
        Some(0),
        "nobody has that fence: {}",
        other.stdout
    );
    let one = place.run(["unlock", "k", "--fence", &fences[1]]);
    assert_eq!(one.code, Some(0), "{}", one.stderr);
    assert_eq!(place.lock("k")["shared"]["holders"], 2);
    let all = place.run(["unlock", "k", "--everyone", "--fence", &fences[0]]);
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    assert!(all.stdout.contains("2 readers"), "{}", all.stdout);
    for child in three {
        assert_eq!(finish(child).code, Some(75), "its lease was over");
    }
    assert_eq!(place.lock("k")["is_held"], false);
}

#[test]
fn r69_shared_and_semaphore_exclude_each_other_and_need_a_number_above_zero() {
    let place = Place::new();
    for arguments in [
        vec!["--shared", "--semaphore", "2"],
        vec!["--semaphore", "0"],
        vec!["--semaphore", "many"],
    ] {
        let all = ["lock"].into_iter().chain(arguments.iter().copied());
        let ended = place.run(all.chain(["k", "--", "true"]));
        assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("--semaphore"), "{}", ended.stderr);
    }
}
