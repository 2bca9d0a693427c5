//! What a stranger stumbled over: times as people say them, and words that name what is meant.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use serde_json::Value;

use crate::program::{Place, end, ok, until, until_true};

const EACH_SECOND: &str = "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nshell = \"true\"\n";

/// A store with a run of `t`, and that run.
fn ran() -> (Place, Value) {
    let place = Place::new();
    place.write("tasks.toml", EACH_SECOND);
    let runner = place.runner("a", &["--no-dashboard", "tasks.toml"]);
    let run = until("a run", || {
        let ended = place.run(["history", "--json", "--state", "succeeded", "-n", "1"]);
        let line = ended.stdout.lines().next()?.to_owned();
        serde_json::from_str::<Value>(&line).ok()
    });
    end(runner);
    (place, run)
}

#[test]
fn s44_why_takes_a_run_s_id_and_times_as_people_say_them() {
    let (place, run) = ran();
    let (id, tick) = (
        run["run_id"].as_str().unwrap(),
        run["tick"].as_str().unwrap(),
    );
    let time = tick.split_once('T').unwrap().1;
    let heading = format!("t, tick {tick}");
    for asked in [
        &["t", tick][..],
        &["t", id],
        &[id],
        &["t", time],
        &["t", &time[..8]],
    ] {
        let told = ok(place.run([&["why"], asked].concat()));
        assert!(told.starts_with(&heading), "{asked:?}: {told}");
    }
    for asked in ["now", "-1ms", "1ms ago", "yesterday", "--json"] {
        ok(place.run(["why", "t", asked]));
    }
    let other = id.replace("t@", "u@");
    for (asked, part) in [
        (["t", &other], "is not of task `t`"),
        (["t", "t@nowhere#1"], "expected a run's id such as"),
        (["t", "soon"], "expected a time such as"),
    ] {
        let ended = place.run([&["why"][..], &asked].concat());
        assert!(ended.stderr.contains(part), "{asked:?}: {}", ended.stderr);
    }
    let count = |arguments: &[&str]| {
        let told = ok(place.run([&["history", "t", "--json"], arguments].concat()));
        told.lines().count()
    };
    assert!(count(&["--from", "-1h", "--to", "now"]) > 0);
    assert!(count(&["--from", "yesterday", "--to", "tomorrow"]) > 0);
    assert_eq!(count(&["--to", "1h ago"]), 0);
    assert_eq!(count(&["--from", "in 1h"]), 0);
    let ended = place.run(["cancel", "t", time]);
    assert!(
        ended.stdout.contains("it is over already"),
        "{}",
        ended.stderr
    );
}

#[test]
fn s59_whoever_has_no_name_in_the_environment_is_told_by_the_system_s() {
    let (place, _) = ran();
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).unwrap();
    let expected = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
    let told = ok(place.run(["pause", "t"]));
    assert!(
        told.contains(&format!("is paused by {expected}@")),
        "{told}"
    );
    // What is asked for is so, twice as well as once.
    ok(place.run(["resume", "t"]));
    let told = ok(place.run(["resume", "t"]));
    assert!(told.contains("was not paused, and runs on"), "{told}");
}

#[test]
fn e11_a_wait_that_ran_out_is_told_as_it_was_asked_for() {
    let place = Place::new();
    let holder = place.tenure(["lock", "k", "--", "sleep", "60"]);
    let holder = { holder }.spawn().unwrap();
    until_true("the lock", || !place.lock("k")["holder"].is_null());
    let ended = place.run(["lock", "--wait", "1s", "k", "--", "true"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("still after 1s;"), "{}", ended.stderr);
    end(holder);
}

#[test]
fn e27_a_command_in_one_word_with_a_blank_is_told_what_it_is() {
    let place = Place::new();
    let ended = place.run(["lock", "k", "--", "echo hi"]);
    assert_eq!(ended.code, Some(127));
    assert!(
        ended.stderr.contains("one word with a blank in it"),
        "{}",
        ended.stderr
    );
    let ended = place.run(["lock", "k", "--", "ecoh"]);
    assert!(!ended.stderr.contains("one word"), "{}", ended.stderr);
}

#[test]
fn a_run_that_is_tried_again_is_as_late_as_its_first_attempt_and_says_what_it_printed_last() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\noverlap = \"skip\"\n\
         retry = { attempts = 2, first = \"2s\", past_next_tick = true }\nmask = [\"bad *\"]\n\
         shell = 'echo one; echo bad hunter22; exit 3'\n",
    );
    let mut command = place.tenure(["run", "--no-dashboard", "tasks.toml"]);
    let lines = std::fs::File::create(place.path("lines")).unwrap();
    let runner = command.stdout(lines).spawn().unwrap();
    let run = until("a second attempt to end", || {
        let ended = place.run(["history", "--json", "--state", "failed", "-n", "1"]);
        let line = ended.stdout.lines().next()?.to_owned();
        let run = serde_json::from_str::<Value>(&line).unwrap();
        (run["attempt"] == 2).then_some(run)
    });
    end(runner);
    let time = |of: &Value| of.as_str().unwrap().parse::<tenure::Timestamp>().unwrap();
    let first = time(&run["attempts"][0]["started_at"]);
    let tick = run["tick"].as_str().unwrap();
    let late = run["lateness_ms"].as_u64().unwrap();
    assert_eq!(
        u128::from(late),
        first.since(time(&run["tick"])).as_millis()
    );
    assert!(time(&run["started_at"]) > time(&run["attempts"][0]["ended_at"]));
    let table = ok(place.run(["history", "--state", "failed", "--from", tick, "--to", tick]));
    let shown = table.lines().nth(1).unwrap();
    let late = tenure::core::about_duration(std::time::Duration::from_millis(late));
    assert!(
        shown.split_whitespace().any(|cell| cell == late),
        "{late}: {table}"
    );
    let lines = place.read("lines");
    assert!(
        lines.contains("exit status 3; it printed last: bad ***; again in"),
        "{lines}"
    );
    assert!(!lines.contains("hunter22"));
}

#[test]
fn s62_a_broken_file_is_told_once() {
    let place = Place::new();
    place.write("tasks.toml", EACH_SECOND);
    let runner = place.runner("a", &["--no-dashboard", "tasks.toml"]);
    place.write("tasks.toml", EACH_SECOND.replace("schedule", "shedule"));
    crate::program::signal(runner.id(), nix::sys::signal::Signal::SIGHUP);
    until_true("the fault", || {
        place.read("a.log").contains("were not read again")
    });
    end(runner);
    let log = place.read("a.log");
    assert_eq!(log.matches("were not read again").count(), 1, "{log}");
    assert_eq!(log.matches("`shedule`").count(), 1, "{log}");
}

#[test]
fn commands_about_tasks_find_the_store_of_the_folder_s_file_and_locks_do_not() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let mut command = place.tenure(arguments);
        crate::program::finish(command.env_remove("TENURE_STORE").spawn().unwrap())
    };
    place.write(
        "tasks.toml",
        format!("store = \"sqlite:here.db\"\n{EACH_SECOND}"),
    );
    ok(run(&["run", "--no-dashboard", "--for", "2s", "tasks.toml"]));
    assert!(place.path("here.db").exists());
    assert!(ok(run(&["history"])).contains("succeeded"));
    assert!(ok(run(&["why", "t"])).starts_with("t, tick "));
    let empty = ok(run(&["history", "--state", "lost"]));
    let told = "here.db (named by tasks.toml in this folder)";
    assert!(empty.replace('\n', " ").contains(told), "{empty}");
    // What changes something says where.
    let paused = run(&["pause", "t"]);
    assert!(
        paused.code == Some(0) && paused.stderr.contains(told),
        "{}",
        paused.stderr
    );
    // Whoever names a store means that one.
    assert_eq!(
        run(&["history", "--store", "sqlite:other.db"]).code,
        Some(66)
    );
    // A lock is the same in every folder; who looks for it here is told.
    ok(run(&["lock", "k", "--", "true"]));
    let locks = ok(run(&["locks"])).replace('\n', " ");
    assert!(locks.contains(".local/state/tenure/tenure.db"), "{locks}");
    assert!(
        locks.contains("look with --store into") && locks.contains(told),
        "{locks}"
    );
    // A file that cannot be read is no reason to look elsewhere.
    place.write("tasks.toml", "store = ");
    let ended = run(&["history"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("tenure check tasks.toml"),
        "{}",
        ended.stderr
    );
    // Nor is one that everybody may write heeded.
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    std::fs::set_permissions(place.path("tasks.toml"), open).unwrap();
    assert!(
        ok(run(&["history"]))
            .replace('\n', " ")
            .contains("state/tenure/tenure.db")
    );
}

#[test]
fn s47_nodes_of_mixed_versions_are_told() {
    let place = Place::new();
    let mixed = "1 of them has another definition";
    place.write("tasks.toml", EACH_SECOND);
    let runners = ["a", "b"].map(|name| place.runner(name, &["--no-dashboard", "tasks.toml"]));
    until_true("both", || ok(place.run(["tasks"])).contains("on 2 nodes"));
    place.write("tasks.toml", EACH_SECOND.replace("true", "echo new"));
    crate::program::signal(runners[0].id(), nix::sys::signal::Signal::SIGHUP);
    let who = format!("pid {}) has another definition", runners[1].id());
    until_true("the difference", || {
        let told = ok(place.run(["tasks"]));
        assert!(!told.contains(mixed), "the nodes are known by name: {told}");
        told.replace('\n', " ").contains(&who)
    });
    let told = ok(place.run(["diff", "tasks.toml"]));
    assert!(
        told.contains("= 1 task as before") && told.contains(&who),
        "{told}"
    );
    let told = ok(place.run(["tasks", "--json"]));
    assert!(told.contains("\"nodes_with_other_definition\":1"), "{told}");
    crate::program::signal(runners[1].id(), nix::sys::signal::Signal::SIGHUP);
    until_true("one version", || {
        !ok(place.run(["tasks"])).contains("another definition")
    });
    let told = ok(place.run(["diff", "tasks.toml"]));
    assert!(!told.contains("another definition"), "{told}");
    for runner in runners {
        end(runner);
    }
}

#[test]
fn top_tells_reasons_in_full_and_those_that_are_alike_once() {
    let place = Place::new();
    let longer = "the answer of the bank was not what anybody expected";
    place.write(
        "tasks.toml",
        EACH_SECOND.replace("true", "exit 3")
            + "[[task]]\nname = \"other\"\n\
         schedule = \"* * * * * *\"\ncommand = [\"./nowhere-NAME\"]\n"
                .replace("NAME", &longer.replace(' ', "-"))
                .as_str(),
    );
    let runner = place.runner("a", &["--no-dashboard", "tasks.toml"]);
    until_true("several failures", || {
        let ended = place.run(["history", "t", "--state", "failed", "--json"]);
        ended.stdout.lines().count() >= 3
    });
    end(runner);
    let told = ok(place.run(["top", "--once"]));
    let alike = told.matches("exit status 3").count();
    assert!(alike == 1 && told.contains("more like it)"), "{told}");
    let told = told.replace(['\n', ' ', '│'], "");
    assert!(told.contains("anybody-expected"), "{told}");
}

#[test]
fn the_help_of_run_shows_a_schedule_in_words_that_can_be_read() {
    let place = Place::new();
    let help = ok(place.run(["run", "--help"]));
    let words = help
        .lines()
        .find_map(|line| line.split('"').find(|it| it.starts_with("english:")));
    let told = ok(place.run(["next", words.unwrap()]));
    assert!(told.lines().count() > 5, "{told}");
}
