//! What the program draws on a terminal, and takes away again: `tenure top`, and the progress of
//! long work.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::ExitStatus;

use nix::sys::signal::Signal;
use tenure_bed::Terminal;

use crate::program::{Place, end, ok, signal, until, until_true};

fn shows(terminal: &Terminal, text: &str) {
    let mut last = String::new();
    let deadline = std::time::Instant::now() + program::PATIENCE;
    while !last.contains(text) {
        assert!(
            std::time::Instant::now() < deadline,
            "waited in vain for {text:?} on:\n{last}"
        );
        std::thread::park_timeout(std::time::Duration::from_millis(5));
        last = terminal.screen();
    }
}

fn ended(terminal: &mut Terminal) -> ExitStatus {
    until("the program to end", || terminal.ended())
}

/// A store with a task that nobody runs any more, and a lock that is held.
fn scene(place: &Place) -> std::process::Child {
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"rare\"\nschedule = \"@yearly\"\ncommand = [\"true\"]\n",
    );
    let holder = place
        .tenure(["lock", "invoice/42", "--", "sleep", "600"])
        .spawn()
        .unwrap();
    until_true("the lock to be held", || {
        place.lock("invoice/42").get("is_held") == Some(&true.into())
    });
    end(place.runner("run", &["tasks.toml"]));
    holder
}

#[test]
fn top_follows_keys_and_the_terminals_size_and_gives_the_terminal_back() {
    let place = Place::new();
    let holder = scene(&place);
    let mut top = place.on_terminal(["top", "--every", "100ms"]);
    for text in ["1 running", "2 next", "4 locks", "5 nodes", "invoice/42"] {
        shows(&top, text);
    }
    assert!(!top.is_restored(), "it draws on a screen of its own");

    top.press("4");
    until_true("the locks alone", || {
        let screen = top.screen();
        screen.contains("4 locks") && !screen.contains("1 running")
    });
    top.press("\t");
    shows(&top, "5 nodes");
    until_true("the nodes alone", || !top.screen().contains("4 locks"));
    top.press("0");
    shows(&top, "1 running");

    // Panes that stood side by side stand one below the other.
    let line_of = |screen: &str, text: &str| screen.lines().position(|it| it.contains(text));
    let screen = top.screen();
    assert_eq!(line_of(&screen, "1 running"), line_of(&screen, "2 next"));
    top.resize(70, 40);
    until_true("the narrow picture", || {
        let screen = top.screen();
        let running = line_of(&screen, "1 running");
        running.is_some() && running < line_of(&screen, "2 next")
    });
    assert!(top.screen().lines().all(|line| line.chars().count() <= 70));
    // Too small for anything is no reason to fall over.
    top.resize(3, 1);
    top.resize(100, 30);
    until_true("the wide picture", || {
        let screen = top.screen();
        let running = line_of(&screen, "1 running");
        running.is_some() && running == line_of(&screen, "2 next")
    });

    top.press(" ");
    shows(&top, "held; space goes on");
    end(holder);
    top.press(" ");
    until_true("the lock to go", || !top.screen().contains("invoice/42"));

    top.press("q");
    assert_eq!(ended(&mut top).code(), Some(0));
    until_true("the terminal to be given back", || top.is_restored());
}

#[test]
fn top_gives_the_terminal_back_however_it_is_told_to_end() {
    let place = Place::new();
    let holder = scene(&place);
    for how in ["\x03", "\x1b", "term", "int"] {
        let mut top = place.on_terminal(["top"]);
        shows(&top, "invoice/42");
        let expected = match how {
            "term" => {
                signal(top.pid(), Signal::SIGTERM);
                143
            }
            "int" => {
                signal(top.pid(), Signal::SIGINT);
                130
            }
            keys => {
                top.press(keys);
                0
            }
        };
        assert_eq!(ended(&mut top).code(), Some(expected), "{how:?}");
        until_true("the terminal to be given back", || top.is_restored());
    }
    end(holder);
}

#[test]
fn a_watched_table_takes_the_place_of_the_one_before() {
    let place = Place::new();
    let holder = scene(&place);
    let watching = place.on_terminal(["locks", "--watch=100ms"]);
    shows(&watching, "invoice/42");
    end(holder);
    shows(&watching, "no locks are held");
    assert!(!watching.screen().contains("invoice/42"));
}

#[test]
fn tables_fit_a_narrow_terminal_and_colours_stay_on_it() {
    const COLUMNS: u16 = 50;
    let place = Place::new();
    let name = "warehouse/stock-take-of-all-branches";
    place.write(
        "tasks.toml",
        format!(
            "[[task]]\nname = \"{name}\"\nzone = \"America/Argentina/Buenos_Aires\"\n\
             schedule = \"0 0 1,2,3,4,5,6,7,8,9,10 1,2,3,4,5,6 *\"\ncommand = [\"true\"]\n"
        ),
    );
    end(place.runner("node", &["tasks.toml"]));
    for arguments in [["tasks"].as_slice(), &["check", "tasks.toml"]] {
        let mut shown = place.on_terminal_of((COLUMNS, 30), arguments);
        assert_eq!(ended(&mut shown).code(), Some(0));
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        // The last line goes on with a cell of the last column, under that column.
        until_true("the whole table", || {
            let shown = plain(&shown.written());
            let last = shown.lines().rfind(|line| !line.trim().is_empty());
            last.is_some_and(|line| line.starts_with(' '))
        });
        let written = shown.written();
        assert!(written.contains('\x1b'), "no heading in bold: {written:?}");
        for line in plain(&written).lines() {
            let line = line.trim_end();
            assert!(line.chars().count() <= usize::from(COLUMNS), "{line:?}");
        }
        let elsewhere = place.run(arguments);
        assert!(!elsewhere.stdout.contains('\x1b'), "{elsewhere:?}");
        assert!(elsewhere.stdout.contains(name), "{elsewhere:?}");
    }
}

const HOURLY: &str = "[[task]]\nname = \"t\"\nschedule = \"0 * * * *\"\ncommand = [\"true\"]\n\
                      [[task]]\nname = \"bad\"\nschedule = \"0 * * * *\"\ncommand = [\"false\"]\n";
const DAY: [&str; 4] = [
    "--from",
    "2026-01-01T00:00:00Z",
    "--to",
    "2026-01-01T23:59:59Z",
];

fn backfill<'w>(task: &'w str, more: &[&'w str]) -> Vec<&'w str> {
    [&["backfill", task, "--why", "a test"], &DAY[..], more].concat()
}

#[test]
fn s61_whoever_waits_for_a_backfill_sees_how_far_it_is_until_it_has_ended() {
    let place = Place::new();
    place.write("tasks.toml", HOURLY);
    end(place.runner("first", &["tasks.toml"]));
    let mut waiting = place.on_terminal(backfill("t", &["--wait", "forever"]));
    shows(&waiting, "0 of 24");
    assert!(!place.run(["backfills"]).stderr.contains('['));
    let runner = place.runner("second", &["tasks.toml"]);
    assert_eq!(ended(&mut waiting).code(), Some(0), "{}", waiting.screen());
    shows(&waiting, "is done: 24 succeeded");
    let screen = waiting.screen();
    assert!(
        !screen.contains(" of 24"),
        "the bar goes at the end: {screen}"
    );
    assert!(waiting.is_restored());
    end(runner);
}

#[test]
fn s61_a_backfill_that_is_waited_for_tells_programs_its_end_and_its_status() {
    let place = Place::new();
    place.write("tasks.toml", HOURLY);
    end(place.runner("first", &["tasks.toml"]));
    let nobody = place.run(backfill("bad", &["--wait", "1ms", "--json"]));
    assert_eq!(nobody.code, Some(75), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("it goes on"), "{}", nobody.stderr);
    let runner = place.runner("second", &["tasks.toml"]);
    // What another backfill has in hand is left out, so this one waits for what is left of it.
    until_true("the first one's end", || {
        ok(place.run(["backfills", "--json"])).contains("\"failed\":24")
    });
    let failed = place.run(backfill("bad", &["--wait", "1m", "--json"]));
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(failed.stderr, "", "nothing is drawn for programs");
    let lines: Vec<serde_json::Value> = failed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["runs"], 24);
    assert_eq!(lines[1]["state"], "done");
    assert_eq!(lines[1]["runs"]["failed"], 24);
    end(runner);
}

#[test]
fn a_benchmark_says_on_the_terminal_how_far_it_is_and_leaves_only_its_table() {
    let place = Place::new();
    let words = [
        "bench",
        "--store",
        "memory:",
        "--quick",
        "uncontended",
        "claims",
    ];
    let mut bench = place.on_terminal(words);
    shows(&bench, " of 2 ");
    assert_eq!(ended(&mut bench).code(), Some(0), "{}", bench.screen());
    shows(&bench, "workload");
    let screen = bench.screen();
    assert!(
        !screen.contains(" of 2 "),
        "the bar goes at the end: {screen}"
    );

    let mut program = place.on_terminal([&words[..], &["--json"]].concat());
    assert_eq!(ended(&mut program).code(), Some(0));
    assert!(!program.written().contains('\x1b'), "{}", program.written());
    let elsewhere = place.run(words);
    assert_eq!(elsewhere.stderr, "", "no terminal, no bar");
}

#[test]
fn whoever_puts_a_store_to_the_test_sees_how_far_that_is_and_what_was_seen() {
    let place = Place::new();
    let store = place.store();
    let words = ["verify", "--store", &store, "--minutes", "0.1"];
    let mut verify = place.on_terminal([&words[..], &["--clients", "2"]].concat());
    shows(&verify, " faults, ");
    shows(&verify, " %  ");
    shows(&verify, " 0 violations");
    assert_eq!(ended(&mut verify).code(), Some(0), "{}", verify.screen());
    shows(&verify, "what must never be seen");
    let screen = verify.screen();
    assert!(
        !screen.contains(" %  "),
        "the bar goes at the end: {screen}"
    );
}

#[test]
fn a_terminal_that_cannot_draw_gets_no_bars() {
    let place = Place::new();
    let words = ["bench", "--store", "memory:", "--quick", "uncontended"];
    let program = env!("CARGO_BIN_EXE_tenure");
    let mut bench = Terminal::start(program, words, (100, 30), |command| {
        command.env("TERM", "dumb").current_dir(place.folder());
    });
    assert_eq!(ended(&mut bench).code(), Some(0), "{}", bench.screen());
    assert!(!bench.written().contains(" of 1 "), "{}", bench.written());
}
