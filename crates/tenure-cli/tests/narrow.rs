//! Narrow terminals: no line is wider than they are, and what one needs to act on is there, in one
//! piece where it fits into a line. Without a terminal nothing is folded.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::process::Child;
use std::time::{Duration, Instant};

use crate::program::{Place, end, ok, until_true};

const WIDTHS: [u16; 2] = [40, 60];
/// As wide as the narrower terminal, nearly.
const LONG: &str = "warehouse/stock-take-of-branches/eu";
const KEY: &str = "invoice/4711-of-the-northern-branch";
const TASKS: &str = r#"
    [[task]]
    name = "warehouse/stock-take-of-branches/eu"
    zone = "America/Argentina/Buenos_Aires"
    schedule = "0 0 1,2,3,4,5,6,7,8,9,10 1,2,3,4,5,6 *"
    command = ["true"]
    [[task]]
    name = "ill"
    schedule = "* * * * * *"
    shell = "echo it broke; exit 3"
    [[task]]
    name = "long"
    schedule = "* * * * * *"
    command = ["sleep", "600"]
"#;

/// A node, a lock that is held, and somebody who waits for it.
struct Scene {
    place: Place,
    node: Child,
    holder: Child,
    waiter: Child,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        place.write("tasks.toml", TASKS);
        let node = place.runner(
            "node",
            &["--no-dashboard", "--drain", "100ms", "tasks.toml"],
        );
        let why = "the tables of the new branches are not there yet";
        ok(place.run(["pause", LONG, "--why", why]));
        let lock = || {
            let command = ["lock", KEY, "--", "sleep", "600"];
            place.tenure(command).spawn().unwrap()
        };
        let holder = lock();
        until_true("the lock to be held", || {
            place.lock(KEY).get("is_held") == Some(&true.into())
        });
        let waiter = lock();
        until_true("somebody to wait", || {
            let queue = place.lock(KEY).get("queue").cloned();
            let queue = queue.as_ref().and_then(serde_json::Value::as_array);
            queue.is_some_and(|queue| queue.len() == 1)
        });
        until_true("a failure and a long run", || {
            let runs = ok(place.run(["history", "--json"]));
            runs.contains("\"state\":\"failed\"") && runs.contains("\"state\":\"running\"")
        });
        Self {
            place,
            node,
            holder,
            waiter,
        }
    }

    fn end(self) {
        // The waiter first, so that it is not let in.
        end(self.waiter);
        end(self.holder);
        // Its long run is stopped, which its status says.
        assert_eq!(end(self.node).code, Some(75));
    }
}

/// Only what can be read: without spaces, and without the frames that `tenure top` draws.
fn squeezed(text: &str) -> String {
    let is_drawn = |it: char| it.is_whitespace() || ('\u{2500}'..='\u{257f}').contains(&it);
    text.chars().filter(|it| !is_drawn(*it)).collect()
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Waits until all of these texts are there, folded or not.
fn tells(look: impl Fn() -> String, texts: &[&str]) {
    let end = Instant::now() + program::PATIENCE;
    loop {
        let seen = look();
        let all = squeezed(&seen);
        let missing = texts.iter().find(|text| !all.contains(&squeezed(text)));
        let Some(missing) = missing else { return };
        assert!(
            Instant::now() < end,
            "waited in vain for {missing:?} on:\n{seen}"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Two tasks whose rows are short.
const TWO: &str = r#"
    [[task]]
    name = "first"
    schedule = "@daily"
    command = ["true"]
    [[task]]
    name = "second"
    schedule = "@daily"
    command = ["true"]
"#;

/// Shows what a command prints on each narrow terminal, and where there is none.
fn assert_fits(scene: &Scene, arguments: &[&str], whole: &[&str], told: &[&str]) {
    for columns in WIDTHS {
        let mut shown = scene.place.on_terminal_of((columns, 60), arguments);
        let status = program::until("the program to end", || shown.ended());
        assert_eq!(status.code(), Some(0), "{arguments:?}");
        // What it wrote last may still be on its way through the terminal.
        tells(|| plain(&shown.written()), &[whole, told].concat());
        let text = plain(&shown.written());
        for line in text.lines() {
            let line = line.trim_end();
            let width = line.chars().count();
            assert!(
                width <= usize::from(columns),
                "{arguments:?}: {line:?} of\n{text}"
            );
        }
        for text_in_one_piece in whole {
            assert!(
                text.lines().any(|line| line.contains(text_in_one_piece)),
                "{arguments:?}: {text_in_one_piece} is broken in {columns} columns:\n{text}"
            );
        }
    }
    let elsewhere = ok(scene.place.run(arguments));
    assert!(!elsewhere.contains('\x1b'), "{elsewhere:?}");
    for text in whole.iter().chain(told) {
        assert!(
            elsewhere.lines().any(|line| line.contains(text)),
            "{arguments:?}: {text} in\n{elsewhere}"
        );
    }
}

#[test]
fn tables_and_stories_fit_terminals_of_40_and_60_columns_and_lose_nothing() {
    let scene = Scene::new();
    let why = "the tables of the new branches are not there yet";
    assert_fits(
        &scene,
        &["tasks"],
        &[LONG, "ill", "long"],
        &[why, "on 1 node"],
    );
    assert_fits(&scene, &["locks"], &[KEY], &[]);
    assert_fits(
        &scene,
        &["locks", "show", KEY],
        &[KEY, "held by", "waiting 1"],
        &[],
    );
    let history = ["history", "-n", "3", "--state", "failed"];
    assert_fits(&scene, &history, &["ill", "failed"], &["exit status 3"]);
    let running = ["history", "--state", "running"];
    assert_fits(&scene, &running, &["long", "running"], &[]);
    let told = ["attempt 1 claimed by", "status 3"];
    // The newest tick may not have been taken yet.
    let failed = [
        "history", "ill", "--state", "failed", "--limit", "1", "--json",
    ];
    let failed: serde_json::Value = serde_json::from_str(&ok(scene.place.run(failed))).unwrap();
    let why = ["why", "ill", failed["tick"].as_str().unwrap()];
    assert_fits(&scene, &why, &["failed", "attempt 1 began"], &told);
    scene.end();
}

/// What stands before the column with this heading, line by line, put together.
fn first_column(screen: &str, heading: &str) -> String {
    let place = screen
        .lines()
        .find_map(|line| line.find(heading).map(|at| &line[..at]));
    let width = place.unwrap().chars().count();
    let lines = screen
        .lines()
        .map(|line| line.chars().take(width).collect::<String>());
    lines.map(|line| squeezed(&line)).collect()
}

#[test]
fn a_terminal_that_says_it_has_no_columns_gets_a_line_a_row() {
    let place = Place::new();
    place.write("tasks.toml", TWO);
    ok(place.run(["run", "--no-dashboard", "--for", "1ms", "tasks.toml"]));
    let mut shown = place.on_terminal_of((0, 0), ["tasks"]);
    let status = program::until("the program to end", || shown.ended());
    assert_eq!(status.code(), Some(0));
    let rows = ["task    schedule", "first   @daily", "second  @daily"];
    tells(|| plain(&shown.written()), &rows);
    assert_eq!(
        plain(&shown.written()).lines().count(),
        3,
        "{}",
        shown.written()
    );
}

#[test]
fn top_shows_names_and_states_on_terminals_of_40_and_60_columns() {
    let scene = Scene::new();
    for columns in WIDTHS {
        let mut top = scene
            .place
            .on_terminal_of((columns, 60), ["top", "--every", "100ms"]);
        for (key, told) in [
            ("1", &["1 running", "long", "running"][..]),
            ("2", &["2 next", "ill"]),
            ("3", &["3 failed or missed", "ill", "failed"]),
            ("4", &["4 locks", "holder", "waiting"]),
            ("5", &["5 nodes", "node"]),
            (
                "0",
                &[
                    "1 running",
                    "long",
                    "3 failed",
                    "ill",
                    "failed",
                    "4 locks",
                    "1 paused",
                ],
            ),
        ] {
            top.press(key);
            tells(|| top.screen(), told);
            let screen = top.screen();
            if key == "4" {
                assert!(first_column(&screen, "holder").contains(KEY), "{screen}");
            }
            for line in screen.lines() {
                assert!(line.chars().count() <= usize::from(columns), "{line:?}");
            }
        }
        top.press("q");
        program::until("the program to end", || top.ended());
    }
    // Without a terminal it says what to do instead, and draws one picture if it is asked to.
    let refused = scene.place.run(["top"]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.stderr.contains("--once"), "{refused:?}");
    let picture = ok(scene.place.run(["top", "--once"]));
    for text in ["ill", "failed", "long", "running", "invoice/4711"] {
        assert!(picture.contains(text), "{text} in\n{picture}");
    }
    scene.end();
}
