//! What a person on call types: `pause`, `resume`, `trigger` and `why`.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Place, end, finish, ok, signal, until, until_true};

fn runner(place: &Place, name: &str) -> std::process::Child {
    place.runner(name, &["--drain", "0s", "tasks.toml"])
}

/// What the store has noted of a kind.
fn notes(place: &Place, kind: &str) -> Vec<String> {
    let store = rusqlite::Connection::open(place.path("store.db")).unwrap();
    let sql = "SELECT text FROM note WHERE kind = ?1 ORDER BY feed";
    let mut asked = store.prepare(sql).unwrap();
    let texts = asked.query_map([kind], |row| row.get(0)).unwrap();
    texts.map(Result::unwrap).collect()
}

/// The newest run of a task in a state.
fn recorded(place: &Place, task: &str, state: &str) -> Value {
    until(&format!("{task} to be {state}"), || {
        let ended = place.run(["history", task, "--state", state, "--json", "-n", "1"]);
        ended
            .stdout
            .lines()
            .next()
            .map(|line| serde_json::from_str(line).unwrap())
    })
}

#[test]
fn s59_a_paused_task_rests_everywhere_until_it_is_resumed_and_says_who_and_why() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nshell = \"true\"\n\
         [[task]]\nname = \"other\"\nschedule = \"* * * * * *\"\nshell = \"true\"\n",
    );
    let first = runner(&place, "a");
    recorded(&place, "t", "succeeded");
    let paused = ok(place.run(["pause", "t", "--why", "the disk is full"]));
    assert!(paused.contains("task `t` is paused by ") && paused.contains("tenure resume t"));
    let tasks = ok(place.run(["tasks"]));
    assert!(tasks.contains(": the disk is full"), "{tasks}");
    let last = |task: &str| {
        let runs = ok(place.run(["history", task, "--json", "-n", "1"]));
        serde_json::from_str::<Value>(runs.lines().next().unwrap()).unwrap()["tick"].to_string()
    };
    // It survives the runner, and holds while another task goes on.
    end(first);
    let second = runner(&place, "b");
    let (rests, goes_on) = (last("t"), last("other"));
    until_true("the other task to go on", || last("other") > goes_on);
    let pass = last("other");
    until_true("the other task to go on", || last("other") > pass);
    assert_eq!(last("t"), rests);
    let resumed = ok(place.run(["resume", "t", "--why", "it has room again"]));
    assert!(resumed.contains("runs again"), "{resumed}");
    let notes = notes(&place, "resumed");
    assert_eq!(notes.len(), 1, "{notes:?}");
    let (by, why) = notes[0].split_once(": ").unwrap();
    assert!(by.starts_with("resumed by ") && why == "it has room again");
    until_true("the task to run again", || last("t") > rests);
    assert!(ok(place.run(["resume", "t"])).contains("was not paused"));
    // A pause may end by itself.
    let paused = ok(place.run(["pause", "t", "--for", "1s"]));
    assert!(paused.contains(" until 20"), "{paused}");
    let rests = last("t");
    until_true("the pause to end", || last("t") > rests);
    end(second);
}

#[test]
fn s59_what_becomes_of_the_ticks_of_a_pause_can_be_chosen_when_it_ends() {
    let place = Place::new();
    let task = |name: &str, catch_up: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nschedule = \"* * * * * *\"\ncatch_up = \"{catch_up}\"\n\
             overlap = \"allow\"\nshell = 'echo $TENURE_TICK >> {name}'\n"
        )
    };
    place.write(
        "tasks.toml",
        task("runs", "skip") + &task("leaves", "all") + &task("last", "skip"),
    );
    let runner = runner(&place, "a");
    let ticks = |name: &str| {
        let text = place.read(name);
        let lines = text
            .lines()
            .map(|line| line.parse::<tenure::Timestamp>().unwrap());
        let mut ticks: Vec<_> = lines.map(|tick| tick.as_millis() / 1000).collect();
        ticks.sort_unstable();
        ticks
    };
    for name in ["runs", "leaves", "last"] {
        until_true("a tick", || !ticks(name).is_empty());
    }
    ok(place.run(["pause", "last", "--why", "mine"]));
    let paused = ok(place.run(["pause", "--all", "--why", "all of it"]));
    assert!(paused.contains("task `last` stays paused by "), "{paused}");
    assert!(paused.contains(": mine\n"), "{paused}");
    assert_eq!(paused.matches(" is paused by ").count(), 2, "{paused}");
    let before = ticks("leaves");
    // Until some ticks are over that nobody ran.
    until_true("five ticks to pass", || {
        let told = place.run(["why", "leaves"]);
        let line = told.stdout.lines().next().unwrap_or_default().to_owned();
        let tick = line.rsplit(' ').next().unwrap_or_default();
        let tick = tick
            .parse::<tenure::Timestamp>()
            .map(|tick| tick.as_millis() / 1000);
        tick.is_ok_and(|tick| tick >= before.last().unwrap() + 5)
    });
    let left_out = ok(place.run(["resume", "leaves", "--catch-up", "skip", "--why", "too old"]));
    assert!(
        left_out.contains(" ticks meanwhile are left out"),
        "{left_out}"
    );
    let last = ok(place.run(["resume", "last", "--catch-up", "latest"]));
    assert!(last.contains("the last of "), "{last}");
    let all = ok(place.run([
        "resume",
        "--all",
        "--catch-up",
        "all",
        "--why",
        "it is over",
    ]));
    assert!(
        all.contains("(paused by ") && all.contains(": all of it); "),
        "{all}"
    );
    assert!(all.contains(" ticks meanwhile run as backfill "), "{all}");
    until_true("both backfills", || {
        let all = ok(place.run(["backfills", "--json"]));
        let mut all = all
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.all(|backfill| {
            let why = backfill["why"].as_str().unwrap();
            let is_told = why.ends_with(": it is over");
            assert_eq!(is_told, backfill["task"] == "runs", "{backfill}");
            let runs = &backfill["runs"];
            backfill["state"] == "done" && runs["waiting"].is_null() && runs["running"].is_null()
        })
    });
    let gaps = |name: &str| {
        let ticks = ticks(name);
        let pairs = ticks.iter().zip(ticks.iter().skip(1));
        pairs
            .map(|(a, b)| b - a - 1)
            .filter(|gap| *gap != 0)
            .collect::<Vec<i64>>()
    };
    // A run that was begun before another may write after it.
    until_true("every second once", || gaps("runs").is_empty());
    let left = until("only what is left out to be missing", || {
        Some(gaps("leaves")).filter(|gaps| gaps.len() == 1)
    });
    assert!(left.iter().all(|gap| *gap >= 4), "{left:?}");
    let before_last = gaps("last");
    assert!(
        !before_last.is_empty() && before_last.iter().all(|gap| *gap > 0),
        "{before_last:?}"
    );
    let skipped = recorded(&place, "leaves", "skipped");
    let reason = skipped["reason"].as_str().unwrap();
    assert!(reason.starts_with("left out when ") && reason.ends_with(" resumed the task: too old"));
    assert_eq!(ok(place.run(["resume", "--all"])), "no task was paused\n");
    end(runner);
}

#[test]
fn s59_a_pause_is_not_replaced_by_a_shorter_one_unless_that_is_asked_for() {
    let place = Place::new();
    let task =
        |name| format!("[[task]]\nname = \"{name}\"\nschedule = \"@daily\"\nshell = \"true\"\n");
    place.write("tasks.toml", ["a", "b", "c"].map(task).concat());
    end(runner(&place, "a"));
    ok(place.run(["pause", "a", "--why", "do not touch"]));
    let refused = place.run(["pause", "a", "--for", "1s"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    for part in [
        "task `a` is paused by ",
        " until somebody resumes it: do not touch; nothing was changed",
        "--replace",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let replaced = ok(place.run(["pause", "a", "--for", "1h", "--replace"]));
    let part = "in place of the pause by ";
    assert!(
        replaced.contains(part) && replaced.contains(": do not touch"),
        "{replaced}"
    );
    let longer = ok(place.run(["pause", "a", "--for", "2h", "--why", "longer"]));
    assert!(
        longer.contains(part) && longer.contains(" until 20"),
        "{longer}"
    );
    // Stopping everything holds for what is paused for a while too; what rests for longer stays.
    ok(place.run(["pause", "b", "--for", "1h"]));
    let all = ok(place.run(["pause", "--all", "--for", "90m", "--why", "stop"]));
    assert!(
        all.contains("task `a` stays paused by ") && all.contains(": longer"),
        "{all}"
    );
    assert_eq!(all.matches(" is paused by ").count(), 2, "{all}");
    assert_eq!(all.matches(part).count(), 1, "{all}");
    let nothing = place.run(["pause", "c", "--for", "0s"]);
    assert_eq!(nothing.code, Some(64));
    assert!(nothing.stderr.contains("--for 0s"), "{}", nothing.stderr);
    assert!(!nothing.stderr.contains("--until"), "{}", nothing.stderr);
    let idle = place.run(["cancel", "c"]);
    assert_eq!(idle.code, Some(1), "{}", idle.stderr);
    assert!(
        idle.stderr.contains("no run of task `c` is in hand"),
        "{}",
        idle.stderr
    );
}

#[test]
fn s59_tasks_tells_until_when_a_task_is_paused_and_when_it_may_run_after_that() {
    let place = Place::new();
    let file = |text: &str| place.write("tasks.toml", text);
    file("[[task]]\nname = \"t\"\nschedule = \"*/20 * * * * *\"\nshell = \"true\"\n");
    let runner = runner(&place, "a");
    let shown = || {
        let line = ok(place.run(["tasks", "--json"]));
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let until = "2090-11-22T09:00:00.000Z";
    ok(place.run(["pause", "t", "--until", until, "--why", "the disk is full"]));
    let table = ok(place.run(["tasks"]));
    assert!(
        table.contains(&format!(" until {until}: the disk is full")),
        "{table}"
    );
    assert_eq!(shown()["next_tick"], until);
    ok(place.run(["pause", "t"]));
    assert_eq!(shown()["next_tick"], Value::Null);
    ok(place.run(["resume", "t"]));
    let next = shown()["next_tick"].as_str().unwrap().to_owned();
    assert!(next.as_str() < until, "{next}");
    end(runner);
}

/// Runs the program while nobody reads what it prints; returns its status.
fn unread(place: &Place, arguments: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.tenure(arguments);
    let child = command.stdout(writer).spawn().unwrap();
    let ended = finish(child);
    assert_eq!(ended.stderr, "", "{arguments:?}");
    ended.code
}

#[test]
fn s59_s60_what_changes_something_does_all_of_it_though_nobody_reads_what_it_prints() {
    let place = Place::new();
    let task =
        |n: u32| format!("[[task]]\nname = \"t{n}\"\nschedule = \"@daily\"\nshell = \"exit 3\"\n");
    place.write("tasks.toml", (1..=5).map(task).collect::<String>());
    let runner = runner(&place, "a");
    let paused = || {
        let tasks = ok(place.run(["tasks", "--json"]));
        let tasks = tasks
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        tasks
            .filter(|task: &Value| !task["paused"].is_null())
            .count()
    };
    assert_eq!(
        unread(&place, &["pause", "--all", "--why", "stop"]),
        Some(0)
    );
    assert_eq!(paused(), 5);
    assert_eq!(unread(&place, &["resume", "--all"]), Some(0));
    assert_eq!(paused(), 0);
    // Its status is that of the work.
    assert_eq!(unread(&place, &["trigger", "t1", "--wait"]), Some(1));
    let ended = unread(&place, &["cancel", "t1", "t1@2020-01-01T00:00:00.000Z#1"]);
    assert_eq!(ended, Some(1));
    let backfill =
        "backfill t1 --from 2026-01-01T00:00:00Z --to 2026-01-02T23:00:00Z --why x --wait";
    let backfill: Vec<&str> = backfill.split(' ').collect();
    assert_eq!(unread(&place, &backfill), Some(1));
    recorded(&place, "t1", "failed");
    assert!(ok(place.run(["backfills"])).contains(" done "));
    end(runner);
}

#[test]
fn s59_a_pause_or_a_resumption_that_is_not_clear_is_refused() {
    let place = Place::new();
    for (arguments, part) in [
        (&["pause"][..], "TASK"),
        (&["pause", "runs", "--all"], "--all"),
        (&["resume", "runs", "--catch-up", "most"], "latest"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn s60_a_task_is_run_on_demand_with_who_and_why_and_its_end_can_be_waited_for() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"-\"\nconcurrency = 2\n\
         shell = 'echo \"ran $TENURE_INDEX\"'\n\
         [[task]]\nname = \"fails\"\nschedule = \"-\"\nshell = \"exit 3\"\n",
    );
    let first = runner(&place, "a");
    let shown = ok(place.run(["trigger", "t", "--wait", "60s", "--why", "a test"]));
    for part in ["#1+m:", "#2+m:", " succeeded\n", "ran 1\n", "ran 2\n"] {
        assert!(shown.contains(part), "`{part}`: {shown}");
    }
    let failed = place.run(["trigger", "fails", "--wait", "--why", "ticket 99"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stdout.contains("failed: "), "{}", failed.stdout);
    let run = recorded(&place, "t", "succeeded");
    let asked = run["asked"].as_str().unwrap();
    assert!(asked.starts_with("asked for by ") && asked.ends_with(": a test"));
    let run = recorded(&place, "fails", "failed");
    assert!(
        run["asked"].as_str().unwrap().ends_with(": ticket 99"),
        "{run}"
    );
    assert!(run["reason"].is_string(), "{run}");
    for told in [["why", "fails"], ["history", "fails"]] {
        let told = ok(place.run(told));
        assert!(
            told.contains(": ticket 99") && told.contains("status"),
            "{told}"
        );
    }
    let story = ok(place.run(["why", "t"]));
    assert!(story.contains("asked for by hand: succeeded"), "{story}");
    assert!(story.contains(": a test"), "{story}");
    end(first);
    // Nobody is there: it is said, the run waits, and a limited wait ends.
    let alone = until("the node to be gone", || {
        let ended = place.run(["trigger", "t", "--index", "2", "--wait", "100ms"]);
        ended.stderr.contains("no node that runs").then_some(ended)
    });
    assert_eq!(alone.code, Some(75), "{}", alone.stderr);
    assert!(alone.stderr.contains("have not ended within 100ms"));
    let second = runner(&place, "b");
    until_true("what was asked for meanwhile to run", || {
        let runs = ok(place.run(["history", "t", "--json", "--state", "waiting"]));
        runs.is_empty()
    });
    end(second);
}

#[test]
fn what_is_not_known_or_not_possible_is_refused_with_the_nearest() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"invoices\"\nschedule = \"-\"\nshell = \"true\"\n",
    );
    end(runner(&place, "a"));
    for (arguments, code, part) in [
        (&["pause", "invoice"][..], 66, "did you mean `invoices`?"),
        (&["resume", "x"], 66, "knows no task `x`"),
        (&["why", "x"], 66, "knows no task `x`"),
        (&["history", "x"], 66, "knows no task `x`"),
        (
            &["history", "invoice", "--json"],
            66,
            "did you mean `invoices`?",
        ),
        (&["why", "invoices"], 65, "was never due"),
        (
            &["trigger", "invoices", "--index", "2"],
            64,
            "has the indices 1 to 1",
        ),
        (
            &["pause", "invoices", "--until", "2020-01-01T00:00:00Z"],
            64,
            "is over",
        ),
        (
            &[
                "pause",
                "invoices",
                "--for",
                "1s",
                "--until",
                "2099-01-01T00:00:00Z",
            ],
            64,
            "--until",
        ),
        (
            &["trigger", "invoices", "--wait", "soon"],
            64,
            "or `forever`",
        ),
        (
            &["why", "invoices", "someday"],
            64,
            "such as 2026-11-21T03:00:00Z",
        ),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn s44_why_tells_the_story_of_a_tick_for_each_way_it_can_go() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        r#"
            [[task]]
            name = "well"
            schedule = "* * * * * *"
            shell = "true"
            [[task]]
            name = "fails"
            schedule = "*/2 * * * * *"
            shell = "exit 3"
            retry = { attempts = 2, first = "1ms", most = "5ms", past_next_tick = true }
            [[task]]
            name = "slow"
            schedule = "* * * * * *"
            shell = "exec sleep 60"
            timeout = "3s"
            [[task]]
            name = "dies"
            schedule = "* * * * * *"
            shell = "echo $$ > dies.pid; exec sleep 60"
        "#,
    );
    let first = runner(&place, "a");
    let story = |run: &Value| {
        let (task, tick) = (run["task"].as_str().unwrap(), run["tick"].as_str().unwrap());
        ok(place.run(["why", task, tick]))
    };
    let shows = |task: &str, state: &str, parts: &[&str]| {
        let told = story(&recorded(&place, task, state));
        for part in parts {
            assert!(told.contains(part), "`{part}`: {told}");
        }
    };
    shows(
        "well",
        "succeeded",
        &[
            "#1: succeeded",
            "+0s  due",
            "attempt 1 claimed by tenure run (",
            ", fence ",
            "attempt 1 began",
            "succeeded after ",
            ", status 0",
        ],
    );
    shows(
        "fails",
        "failed",
        &[
            "#1: failed",
            "attempt 1 began on ",
            "attempt 1 failed: ",
            "attempt 2 claimed",
            "status 3",
        ],
    );
    shows(
        "slow",
        "timed_out",
        &["#1: timed_out", "took longer than 3s"],
    );
    shows("slow", "skipped", &["#1: skipped", "recorded as skipped: "]);
    // Any instant until the next tick means this one.
    let run = recorded(&place, "well", "succeeded");
    let tick = run["tick"].as_str().unwrap();
    let within = tick.replace(".000Z", ".400Z");
    let told = ok(place.run(["why", "well", &within]));
    assert!(told.starts_with(&format!("well, tick {tick}\n")), "{told}");
    let json = ok(place.run(["why", "well", tick, "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["runs"][0]["state"], "succeeded");
    assert_eq!(json["runs"][0]["timeline"][0]["what"], "due");
    // A tick from before anybody ran the task.
    let told = ok(place.run(["why", "well", "2020-01-01T00:00:00Z"]));
    for part in ["#1: no record", "the store first heard of the task later"] {
        assert!(told.contains(part), "`{part}`: {told}");
    }
    // The machine is gone, and another tells of it.
    until_true("the run that is to be lost", || {
        place.read("dies.pid").ends_with('\n')
    });
    signal(first.id(), Signal::SIGKILL);
    finish(first);
    let second = runner(&place, "b");
    shows("dies", "lost", &["#1: lost", "meanwhile", "lost"]);
    // Drained without patience, while one runs, which would go on for a minute.
    recorded(&place, "dies", "running");
    end(second);
    shows(
        "dies",
        "interrupted",
        &["#1: interrupted", "attempt 1 began"],
    );
}

#[test]
fn s42_a_run_is_cancelled_with_all_its_processes_and_why_tells_who_asked() {
    let place = Place::new();
    // The task itself would go on for a quarter of an hour, and so would what it put behind it.
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\noverlap = \"queue_one\"\n\
         shell = \"sleep 901 & echo $! > behind.pid; sleep 902\"\n",
    );
    let runner = runner(&place, "a");
    let run = recorded(&place, "t", "running");
    until_true("the process behind", || {
        place.read("behind.pid").ends_with('\n')
    });
    let behind = place.read("behind.pid").trim().to_owned();
    recorded(&place, "t", "waiting");
    // Nothing new begins while it is looked at.
    ok(place.run(["pause", "t"]));
    let told = ok(place.run(["cancel", "t", "--why", "it hangs", "--json"]));
    let told: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(told["answer"], "asked");
    let ended = recorded(&place, "t", "cancelled");
    assert_eq!(ended["run_id"], run["run_id"]);
    let reason = ended["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("cancelled by ") && reason.contains("it hangs"),
        "{reason}"
    );
    until_true("the end of the process behind", || {
        !std::path::Path::new(&format!("/proc/{behind}")).exists()
            || std::fs::read_to_string(format!("/proc/{behind}/stat"))
                .is_ok_and(|stat| stat.contains(") Z "))
    });
    let why = ok(place.run(["why", "t", ended["tick"].as_str().unwrap()]));
    assert!(
        why.contains("asked to stop") && why.contains("it hangs"),
        "{why}"
    );

    // One that waits needs no node to be cancelled.
    let waiting = recorded(&place, "t", "waiting");
    let id = waiting["run_id"].as_str().unwrap();
    let told = ok(place.run(["cancel", "t", id]));
    assert!(told.contains("it waited, and is cancelled"), "{told}");
    let again = place.run(["cancel", "t", id]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert!(
        again.stdout.contains("it is over already: cancelled"),
        "{}",
        again.stdout
    );
    let none = place.run(["cancel", "t"]);
    assert_eq!(none.code, Some(1), "{}", none.stderr);
    let wrong = place.run(["cancel", "t", "someday"]);
    assert_eq!(wrong.code, Some(64), "{}", wrong.stderr);
    end(runner);
}

#[test]
fn flags_of_a_list_may_stand_before_its_subcommand_and_what_means_nothing_is_refused() {
    let place = Place::new();
    ok(place.run(["lock", "k", "--", "true"]));
    let store = place.store();
    let shown = ok(place.run(["locks", "--store", &store, "--json", "show", "k"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["key"], &shown["is_held"]),
        (&"k".into(), &false.into())
    );
    let elsewhere = format!("sqlite:{}", place.path("none.db").display());
    for arguments in [
        vec!["locks", "--store", &elsewhere, "show", "k"],
        vec!["backfills", "--store", &elsewhere, "cancel", "x"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(66), "{}", ended.stderr);
        assert!(ended.stderr.contains("none.db"), "{}", ended.stderr);
    }
    for (arguments, part) in [
        (vec!["locks", "prefix", "show", "k"], "takes no prefix"),
        (
            vec!["backfills", "--json", "pause", "x"],
            "without `--json`",
        ),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}
