//! `tenure elect`: one command among several machines.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::Child;

use nix::sys::signal::Signal;

use crate::program::{Ended, Place, end, finish, is_alive, signal, until, until_true};

/// A candidate whose command adds its name and fence to `terms`, tells its pid in `NAME.pid`, lives
/// through hang-ups, and then does what `script` says.
fn candidate(place: &Place, name: &str, options: &[&str], script: &str) -> Child {
    let script = format!(
        "trap 'echo again > hung-up' HUP; echo {name} $TENURE_FENCE >> terms; \
         echo $$ > {name}.part; mv {name}.part {name}.pid; {script}"
    );
    let mut arguments = vec!["elect"];
    arguments.extend(options);
    arguments.extend(["leader", "--", "sh", "-c", &script]);
    place.tenure(arguments).spawn().unwrap()
}

fn pid_of(place: &Place, name: &str) -> u32 {
    until(&format!("{name} to be elected"), || {
        place.read(&format!("{name}.pid")).trim().parse().ok()
    })
}

fn waiting(place: &Place) -> usize {
    let lock = place.lock("leader");
    let queue = lock.get("queue").and_then(|queue| queue.as_array());
    queue.map_or(0, Vec::len)
}

/// Who was elected with which fence, in order.
fn terms(place: &Place) -> Vec<(String, u64)> {
    let text = place.read("terms");
    let term = |line: &str| {
        let (name, fence) = line.split_once(' ').unwrap();
        (name.to_owned(), fence.parse().unwrap())
    };
    text.lines().map(term).collect()
}

fn interrupted(ended: &Ended) {
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
}

#[test]
fn one_is_elected_at_a_time_and_the_next_in_line_follows_with_a_greater_fence() {
    let place = Place::new();
    let forever = "while :; do sleep 0.05; done";
    let first = candidate(&place, "a", &[], forever);
    let first_command = pid_of(&place, "a");
    let second = candidate(&place, "b", &[], forever);
    until_true("b to stand by", || waiting(&place) == 1);
    let third = candidate(&place, "c", &[], forever);
    until_true("c to stand by", || waiting(&place) == 2);
    assert_eq!(terms(&place).len(), 1);

    let resigned = end(first);
    interrupted(&resigned);
    assert!(resigned.stderr.contains("elected for `leader` with fence "));
    assert!(!is_alive(first_command));
    pid_of(&place, "b");
    assert!(!place.path("c.pid").exists());

    let names = |terms: &[(String, u64)]| {
        terms
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<String>()
    };
    interrupted(&end(second));
    pid_of(&place, "c");
    interrupted(&end(third));
    let terms = terms(&place);
    assert_eq!(names(&terms), "abc");
    assert!(terms.is_sorted_by(|(_, a), (_, b)| a < b), "{terms:?}");
    assert_eq!(place.lock("leader")["is_held"], false);
}

#[test]
fn a_command_that_ends_is_started_again_where_the_next_in_line_is() {
    let place = Place::new();
    // Ends whenever it is told to.
    let script =
        |name: &str| format!("while ! rm {name}.end 2>/dev/null; do sleep 0.05; done; exit 3");
    let first = candidate(&place, "a", &["--pause", "10ms"], &script("a"));
    pid_of(&place, "a");
    let second = candidate(&place, "b", &["--pause", "10ms"], &script("b"));
    until_true("b to stand by", || waiting(&place) == 1);
    for (now, next) in [("a", "b"), ("b", "a"), ("a", "b")] {
        let before = terms(&place).len();
        // The one before has to be in line again, or the same might be elected twice.
        until_true("the other to stand by", || waiting(&place) == 1);
        place.write(&format!("{now}.end"), "");
        until_true("the next term", || terms(&place).len() == before + 1);
        assert_eq!(terms(&place).last().unwrap().0, next);
    }
    let (first, second) = (end(first), end(second));
    assert!(
        first
            .stderr
            .contains("the command ended (exit status: 3); standing again in "),
        "{}",
        first.stderr
    );
    for ended in [first, second] {
        interrupted(&ended);
    }
}

#[test]
fn r82_when_the_elected_is_killed_its_command_goes_with_it_and_another_follows() {
    let place = Place::new();
    let forever = "while :; do sleep 0.05; done";
    let mut first = candidate(&place, "a", &["--ttl", "1s"], forever);
    let command = pid_of(&place, "a");
    let second = candidate(&place, "b", &["--ttl", "1s"], forever);
    until_true("b to stand by", || waiting(&place) == 1);
    first.kill().unwrap();
    first.wait().unwrap();
    pid_of(&place, "b");
    assert!(!is_alive(command), "two of them ran at once");
    interrupted(&end(second));
}

#[test]
fn with_once_the_program_ends_with_the_command() {
    let place = Place::new();
    let ended = finish(candidate(&place, "a", &["--once"], "exit 7"));
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    let ended = place.run(["elect", "leader", "--", "no-such-program"]);
    assert_eq!(ended.code, Some(127), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("command not found"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.lock("leader")["is_held"], false);
}

#[test]
fn a_hang_up_is_passed_on_and_does_not_end_a_command_that_lives_on() {
    let place = Place::new();
    let child = candidate(&place, "a", &[], "while :; do sleep 0.05; done");
    let command = pid_of(&place, "a");
    signal(child.id(), Signal::SIGHUP);
    until_true("the hang-up to arrive", || place.path("hung-up").exists());
    assert!(is_alive(command));
    assert_eq!(place.lock("leader")["is_held"], true);
    let ended = end(child);
    interrupted(&ended);
}

#[test]
fn a_candidate_that_waits_ends_at_once_when_it_is_told_to() {
    let place = Place::new();
    let first = candidate(&place, "a", &[], "while :; do sleep 0.05; done");
    pid_of(&place, "a");
    let second = candidate(&place, "b", &[], "true");
    until_true("b to stand by", || waiting(&place) == 1);
    interrupted(&end(second));
    until_true("the place to be free", || waiting(&place) == 0);
    interrupted(&end(first));
    assert_eq!(terms(&place).len(), 1);
}
