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
