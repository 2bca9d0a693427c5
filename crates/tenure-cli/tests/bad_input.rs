//! Bad input as the program meets it: the status, and what is said. Nothing is started, nothing is
//! half done, no secret is repeated.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod program;

use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::program::Place;

#[expect(clippy::too_many_lines, reason = "one row a case")]
#[test]
fn bad_arguments_are_status_64_and_say_what_is_allowed() {
    let place = Place::new();
    let long_key = "k".repeat(513);
    let many: Vec<String> = (0..301).map(|n| format!("k{n}")).collect();
    let many = many.join(",");
    for (requirement, arguments, parts) in [
        (
            "E1",
            vec!["lock", "--ttl", "0s", "k", "--", "touch", "ran"],
            vec!["--ttl", "0s is too short", "at least 500ms"],
        ),
        (
            "E2",
            vec!["lock", "--ttl=-5s", "k", "--", "touch", "ran"],
            vec!["--ttl", "negative"],
        ),
        (
            "E3",
            vec![
                "lock",
                "--ttl",
                "9223372036854775807ms",
                "k",
                "--",
                "touch",
                "ran",
            ],
            vec!["too long", "24h"],
        ),
        (
            "E4",
            vec![
                "lock",
                "--ttl",
                "9223372036854775808000s",
                "k",
                "--",
                "touch",
                "ran",
            ],
            vec!["too large"],
        ),
        (
            "E5",
            vec!["lock", "--ttl", "1.5", "k", "--", "touch", "ran"],
            vec!["unit is missing"],
        ),
        (
            "E6",
            vec!["lock", "--wait", "5", "k", "--", "touch", "ran"],
            vec!["--wait", "unit is missing", "`forever`"],
        ),
        (
            "E12",
            vec!["lock", "--wait", "400d", "k", "--", "touch", "ran"],
            vec!["365d", "`forever`"],
        ),
        (
            "E13",
            vec!["lock", "", "--", "touch", "ran"],
            vec!["must not be empty", "help:"],
        ),
        (
            "E15",
            vec!["lock", &long_key, "--", "touch", "ran"],
            vec!["512 bytes, this one has 513"],
        ),
        (
            "E22",
            vec!["lock", "tenure:x", "--", "touch", "ran"],
            vec!["belong to the store"],
        ),
        (
            "E23",
            vec!["lock", "--all", &many, "--", "touch", "ran"],
            vec!["301 keys", "1 to 256 keys"],
        ),
        (
            "E106",
            vec!["lock", "--ttl", "5s", "name"],
            vec!["<CMD>", "Usage: tenure lock"],
        ),
        (
            "E106",
            vec!["run", "--ttl", "5s", "name"],
            vec!["'--ttl'", "Usage: tenure run"],
        ),
        (
            "E106",
            vec!["lock", "name", "true"],
            vec!["Usage: tenure lock"],
        ),
        ("R85", vec!["lock", "--", "touch", "ran"], vec!["KEY"]),
        (
            "usage",
            vec![
                "lock",
                "--wait",
                "1s",
                "--no-wait",
                "k",
                "--",
                "touch",
                "ran",
            ],
            vec!["cannot be used with"],
        ),
        (
            "usage",
            vec!["lock", "--all", "a,b", "k", "--", "touch", "ran"],
            vec!["--all", "cannot be used with '[KEY]'", "--all KEY1,KEY2"],
        ),
        (
            "usage",
            vec!["lock", "--all", "a", "b", "--", "touch", "ran"],
            vec!["--all", "cannot be used with '[KEY]'", "--all KEY1,KEY2"],
        ),
        (
            "E6",
            vec!["lock", "--ttl=5 m", "k", "--", "touch", "ran"],
            vec!["`5 m` is not a duration", "it holds a blank"],
        ),
        ("usage", vec!["lok", "k"], vec!["lok", "lock"]),
        ("usage", vec![], vec!["Usage: tenure"]),
        ("usage", vec!["unlock", "k"], vec!["--fence"]),
        (
            "usage",
            vec!["history", "--state", "faild"],
            vec!["expected one of waiting, claimed"],
        ),
        (
            "usage",
            vec!["next", "@daily", "--from", "someday"],
            vec!["such as 2026-11-21T03:00:00Z"],
        ),
        (
            "usage",
            vec!["next", "@daily", "--from", "9999-12-31T23:59:00Z"],
            vec!["out of range", "9999-12-30T22:00:00Z"],
        ),
        (
            "usage",
            vec!["history", "-n", "0"],
            vec!["--limit", "from 1 to 1000000"],
        ),
        (
            "usage",
            vec![
                "history",
                "--from",
                "2026-11-22T00:00:00Z",
                "--to",
                "2026-11-21T00:00:00Z",
            ],
            vec![
                "--from 2026-11-22T00:00:00.000Z is later than --to",
                "help:",
            ],
        ),
    ] {
        let ended = place.run(&arguments);
        assert_eq!(
            ended.code,
            Some(64),
            "{requirement} {arguments:?}: {}",
            ended.stderr
        );
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{requirement}: `{part}`: {}",
                ended.stderr
            );
        }
        assert_eq!(ended.stdout, "", "{requirement}");
        assert!(!place.path("ran").exists(), "{requirement}");
    }
}

#[test]
fn a_command_without_the_dashes_before_it_is_told_where_they_go() {
    let place = Place::new();
    for words in [["lock", "k", "ls"], ["elect", "k", "ls"]] {
        let refused = place.run(words);
        assert_eq!(refused.code, Some(64));
        let help = "help: write `--` before the command";
        assert!(refused.stderr.contains(help), "{}", refused.stderr);
    }
    let other = place.run(["locks", "show", "k", "more"]);
    assert!(!other.stderr.contains("help: write"), "{}", other.stderr);
}

#[test]
fn stores_that_are_not_there_are_told_with_what_to_look_at() {
    let place = Place::new();
    let mut at_home = place.tenure(["history"]);
    at_home.env_remove("TENURE_STORE");
    let missing = program::finish(at_home.spawn().unwrap());
    assert_eq!(missing.code, Some(66));
    let help = "name the one you mean with --store URL or TENURE_STORE";
    assert!(missing.stderr.contains(help), "{}", missing.stderr);
    let closed = place.run(["locks", "--store", "redis://127.0.0.1:1"]);
    assert_eq!(closed.code, Some(69));
    let help = "check the host and port";
    assert!(closed.stderr.contains(help), "{}", closed.stderr);
}

#[test]
fn e16_e17_e18_e19_any_bytes_are_keys_and_are_shown_without_acting_on_the_terminal() {
    let place = Place::new();
    for key in [
        "{",
        "}",
        "{}",
        "{a}{b}",
        "é",
        "e\u{301}",
        "a b ",
        "x\u{202e}y",
        "a\u{1b}[31m",
    ] {
        let ended = place.run(["lock", "--all", key, "--", "tenure-cli-no-such-program"]);
        assert_eq!(ended.code, Some(127), "{key:?}: {}", ended.stderr);
    }
    let hyphen = place.run(["lock", "--all=-k", "--", "sh", "-c", "echo $TENURE_KEY"]);
    assert_eq!(hyphen.stdout, "-k\n", "{}", hyphen.stderr);
    let raw = std::ffi::OsString::from_vec(vec![0xff, b'k']);
    let script = std::ffi::OsString::from("printf %s \"$TENURE_KEY\" | od -An -tx1");
    let ended = place.run([
        "lock".into(),
        raw,
        "--".into(),
        "sh".into(),
        "-c".into(),
        script,
    ] as [std::ffi::OsString; 6]);
    assert_eq!(ended.stdout.trim(), "ff 6b", "{}", ended.stderr);

    let listing = place.run([
        "lock",
        "a\u{1b}[31m\n",
        "--",
        env!("CARGO_BIN_EXE_tenure"),
        "locks",
    ]);
    assert_eq!(listing.code, Some(0), "{}", listing.stderr);
    assert!(
        listing.stdout.contains("a\\u{1b}[31m\\u{a}"),
        "{}",
        listing.stdout
    );
    let odd = place.run(["lock", "--ttl", "\u{1b}[31m", "k", "--", "true"]);
    assert!(!odd.stderr.contains('\u{1b}'), "{}", odd.stderr);
}

#[test]
fn e25_e26_e27_e37_e40_stores_that_cannot_be_used_are_named_without_their_secrets() {
    let place = Place::new();
    let folder = place.folder().display().to_string();
    place.write(
        "text.db",
        "this is no database, whatever it is called, and long enough to be sure",
    );
    place.write("empty.db", "");
    let long = format!("sqlite:{}", "x".repeat(100_000));
    for (requirement, url, code, parts) in [
        (
            "E26",
            "http://u:s3cret@host",
            64,
            vec!["unknown kind of store `http`", "sqlite:PATH"],
        ),
        (
            "E26",
            "redi://:s3cret@host",
            64,
            vec!["did you mean `redis:`?"],
        ),
        (
            "E26",
            "redis://:s3cret@host:0",
            64,
            vec!["`host:0` has a port that is not 1 to 65535"],
        ),
        ("E26", "tasks.db", 64, vec!["write sqlite: before its path"]),
        ("E25", "sqlite:", 64, vec!["path", "missing"]),
        (
            "E27",
            "postgres://u:p@s3cret/@:#%@h",
            64,
            vec!["no `postgres:` store"],
        ),
        ("E40", "sqlite:a\r\nb", 64, vec!["no control characters"]),
        ("E40", &long, 64, vec!["4096 bytes"]),
        (
            "E55",
            "sqlite:a.db?synchronus=full",
            64,
            vec!["did you mean `synchronous`?"],
        ),
        ("E37", "sqlite:/proc/x", 69, vec!["/proc/x"]),
        ("E37", &format!("sqlite:{folder}"), 69, vec!["is a folder"]),
        (
            "E37",
            &format!("sqlite:{folder}/text.db"),
            69,
            vec!["not a SQLite database"],
        ),
        (
            "E37",
            &format!("sqlite:{folder}/no/such/a.db"),
            69,
            vec!["folder"],
        ),
    ] {
        let ended = place.run(["lock", "--store", url, "k", "--", "touch", "ran"]);
        assert_eq!(ended.code, Some(code), "{requirement} {}", ended.stderr);
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{requirement}: `{part}`: {}",
                ended.stderr
            );
        }
        assert!(
            ended.stderr.contains("named by --store"),
            "{}",
            ended.stderr
        );
        assert!(
            !ended.stderr.contains("s3cret"),
            "{requirement}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.len() < 2000,
            "{requirement}: {} bytes",
            ended.stderr.len()
        );
        assert!(!place.path("ran").exists(), "{requirement}");
    }
    let empty = place.run([
        "lock",
        "--store",
        &format!("sqlite:{folder}/empty.db"),
        "k",
        "--",
        "true",
    ]);
    assert_eq!(
        empty.code,
        Some(0),
        "an empty file becomes a store: {}",
        empty.stderr
    );
}

#[test]
fn e111_without_a_home_the_default_store_is_explained_and_with_one_it_is_made() {
    let place = Place::new();
    let ended = crate::program::finish(
        place
            .tenure(["lock", "k", "--", "touch", "ran"])
            .env_remove("TENURE_STORE")
            .env_remove("HOME")
            .spawn()
            .unwrap(),
    );
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("XDG_STATE_HOME nor HOME") && ended.stderr.contains("--store"));
    assert!(!place.path("ran").exists());
    let ended = crate::program::finish(
        place
            .tenure(["lock", "k", "--", "true"])
            .env_remove("TENURE_STORE")
            .spawn()
            .unwrap(),
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let made = place.path(".local/state/tenure");
    assert!(made.join("tenure.db").exists());
    assert_eq!(
        std::fs::metadata(made).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn e37_commands_that_only_look_do_not_make_a_store() {
    let place = Place::new();
    let looking = [
        &["locks"][..],
        &["locks", "show", "k"],
        &["unlock", "k", "--fence", "1"],
        &["tasks"],
        &["history"],
    ];
    let elsewhere = format!("sqlite:{}", place.path("no/such/x.db").display());
    for arguments in looking {
        for (store, named) in [
            (
                Some(place.store()),
                "store.db (store named by TENURE_STORE)",
            ),
            (
                Some(elsewhere.clone()),
                "no/such/x.db (store named by TENURE_STORE)",
            ),
            (
                None,
                ".local/state/tenure/tenure.db (store named by the default)",
            ),
        ] {
            let mut command = place.tenure(arguments);
            command.env_remove("TENURE_STORE");
            if let Some(store) = store {
                command.env("TENURE_STORE", store);
            }
            let ended = crate::program::finish(command.spawn().unwrap());
            assert_eq!(ended.code, Some(66), "{arguments:?}: {}", ended.stderr);
            for part in ["there is no store at sqlite:", named, "`tenure lock` makes"] {
                assert!(ended.stderr.contains(part), "`{part}`: {}", ended.stderr);
            }
            assert_eq!(ended.stdout, "");
        }
    }
    let left: Vec<_> = std::fs::read_dir(place.folder()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(place.run(["lock", "k", "--", "true"]).code, Some(0));
    for arguments in [&looking[..2], &looking[3..]].concat() {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    }
    // What is there and is no store is not called missing.
    place.write(
        "text.db",
        "this is no database, whatever it is called, and long enough to be sure",
    );
    let ended = place.run(["locks", "--store", "sqlite:text.db"]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
}

#[test]
fn e111_odd_surroundings_do_not_matter() {
    let place = Place::new();
    let limited = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 5; exec \"$0\" lock k -- touch ran",
            env!("CARGO_BIN_EXE_tenure"),
        ])
        .env("TENURE_STORE", place.store())
        .current_dir(place.folder())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&limited.stderr);
    assert!(
        matches!(limited.status.code(), Some(69 | 71)),
        "{limited:?}"
    );
    assert!(stderr.starts_with("tenure: "), "{stderr}");
    assert!(!place.path("ran").exists());
    let odd = place
        .tenure(["lock", "näme", "--", "sh", "-c", "echo $TENURE_KEY"])
        .env("TERM", "dumb")
        .env("TZ", "Mars/Base")
        .env("LANG", "C")
        .spawn()
        .unwrap();
    let ended = crate::program::finish(odd);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "näme\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn e53_e54_files_that_are_no_task_files_are_refused_before_they_are_read() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.toml")).unwrap();
    nix::unistd::mkfifo(&place.path("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.write("utf16.toml", [0xff, 0xfe, b'a', 0]);
    place.write(
        "binary.toml",
        b"a = 1\nb = \0\x01\x02 and some more text behind it",
    );
    std::fs::File::create(place.path("huge.toml"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    for command in ["run", "check"] {
        for (name, code, parts) in [
            ("missing.toml", 66, ["missing.toml", "No such file"]),
            ("folder.toml", 66, ["folder.toml", "no task file is in"]),
            ("fifo.toml", 66, ["fifo.toml", "not a regular file"]),
            ("huge.toml", 78, ["huge.toml", "4 MB"]),
            ("utf16.toml", 78, ["UTF-16", "save it as UTF-8"]),
            ("binary.toml", 78, ["binary", "NUL at byte"]),
        ] {
            let ended = place.run([command, name]);
            assert_eq!(ended.code, Some(code), "{command} {name}: {}", ended.stderr);
            for part in parts {
                assert!(ended.stderr.contains(part), "{name}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn a_broken_task_file_never_starts_anything() {
    let place = Place::new();
    let good = "[[task]]\nname = \"good\"\nschedule = \"* * * * * *\"\nshell = \"touch ran\"\n";
    for (broken, parts) in [
        (
            "[[task]]\nname = \"bad\"\nschedule = \"* 24 * * *\"\nshell = \"x\"\n",
            vec!["tasks.toml:7:15", "hour `24`"],
        ),
        ("colour = 1\n", vec!["tasks.toml", "unknown key `colour`"]),
        (
            "[[task]]\nname = \"good\"\nschedule = \"-\"\nshell = \"x\"\n",
            vec!["tasks.toml:6:8", "used twice"],
        ),
        ("= 3\n", vec!["tasks.toml:5:1"]),
    ] {
        place.write("tasks.toml", format!("{good}{broken}"));
        let run = place.run(["run", "tasks.toml"]);
        assert_eq!(run.code, Some(78), "{}", run.stderr);
        let check = place.run(["check", "tasks.toml"]);
        assert_eq!(check.code, Some(78), "{}", check.stderr);
        let json = place.run(["check", "--json", "tasks.toml"]);
        assert_eq!(json.code, Some(78));
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["ok"], false);
        assert!(
            json["errors"][0]["at"]["line"].as_u64().unwrap() >= 5,
            "{json}"
        );
        for part in parts {
            assert!(run.stderr.contains(part), "`{part}`: {}", run.stderr);
            assert!(check.stderr.contains(part), "`{part}`: {}", check.stderr);
        }
        assert!(!place.path("ran").exists() && !place.path("store.db").exists());
    }
    place.write("two.toml", good);
    place.write("tasks.toml", good);
    let twice = place.run(["run", "tasks.toml", "two.toml"]);
    assert_eq!(twice.code, Some(78));
    for part in ["tasks.toml", "two.toml:2:8", "used twice"] {
        assert!(twice.stderr.contains(part), "{}", twice.stderr);
    }
}

#[test]
fn e57_e59_secrets_of_a_task_file_are_warned_of_and_not_repeated() {
    let place = Place::new();
    let file = place.write(
        "tasks.toml",
        "store = \"redis://u:s3cret@host\"\ncolour = 1\n",
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ended = place.run(["check", "tasks.toml"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("anybody on this machine can change"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("a password may stand"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    place.write("tasks.toml", "store = \"etcd://u:${PASSWORD}@host\"\n");
    let mut run = place.tenure(["run", "tasks.toml"]);
    run.env("PASSWORD", "s3cret").env_remove("TENURE_STORE");
    let ended = crate::program::finish(run.spawn().unwrap());
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("no `etcd:` store") && ended.stderr.contains("tasks.toml:1:9"));
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[test]
fn e25_e26_e40_e55_a_store_that_run_would_refuse_is_refused_by_check_at_its_place() {
    let place = Place::new();
    let task = "[[task]]\nname = \"t\"\nschedule = \"@daily\"\nshell = \"touch ran\"\n";
    for (url, part) in [
        ("nonsense", "begins with its kind"),
        ("http://h", "unknown kind of store `http`"),
        ("redi://h", "did you mean `redis:`?"),
        ("redis://h:99999", "`h:99999` has a port"),
        ("redis://u:s3cret", "stand before an `@`"),
        ("redis://u:s3cret@h:0", "`h:0` has a port"),
        ("redis://u:s3cret?x@h", "written %3F"),
        ("redis+unix:u:s3cret@run/s", "absolute path of a socket"),
        ("sqlite:x.db?foo=1", "unknown parameter `foo`"),
        ("sqlite:", "is missing"),
        ("memory:x", "takes neither a path"),
        ("sqlite:${NAME}?foo=1", "unknown parameter `foo`"),
        ("${URL}", "`h:0` has a port"),
    ] {
        for (text, at) in [
            (format!("store = \"{url}\"\n{task}"), "tasks.toml:1:9"),
            (
                format!("{task}[store]\nurl = \"{url}\"\n"),
                "tasks.toml:6:7",
            ),
        ] {
            place.write("tasks.toml", text);
            for command in ["check", "run"] {
                let mut command = place.tenure([command, "tasks.toml"]);
                command
                    .env("NAME", "x.db")
                    .env("URL", "redis://u:s3cret@h:0")
                    .env_remove("TENURE_STORE");
                let ended = crate::program::finish(command.spawn().unwrap());
                assert_eq!(ended.code, Some(78), "{url}: {}", ended.stderr);
                for part in [part, at, "^"] {
                    assert!(ended.stderr.contains(part), "`{part}`: {}", ended.stderr);
                }
                assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
            }
        }
        assert!(!place.path("ran").exists() && !place.path("x.db").exists());
    }
    let json = place.run(["check", "--json", "tasks.toml"]);
    assert_eq!(json.code, Some(78));
    for url in [
        "sqlite:a.db?synchronous=full",
        "redis://u:p@h:1/2",
        "memory:",
    ] {
        place.write("tasks.toml", format!("store = \"{url}\"\n{task}"));
        let ended = place.run(["check", "tasks.toml"]);
        assert_eq!(ended.code, Some(0), "{url}: {}", ended.stderr);
    }
}

#[test]
fn a_task_file_without_an_enabled_task_is_warned_of() {
    let place = Place::new();
    let off = "[[task]]\nname = \"t\"\nschedule = \"@daily\"\nshell = \"x\"\nenabled = false\n";
    for text in ["", off] {
        place.write("idle.toml", text);
        let check = place.run(["check", "idle.toml"]);
        let run = place.run(["run", "--for", "1ms", "idle.toml"]);
        for ended in [check, run] {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let told = "warning: no task in `idle.toml` is enabled";
            assert!(ended.stderr.contains(told), "{}", ended.stderr);
        }
        let json = place.run(["check", "--json", "idle.toml"]);
        assert!(json.stdout.contains("no task in `idle.toml` is enabled"));
    }
    place.write("tasks.toml", off.replace("false", "true"));
    place.write("idle.toml", "");
    let both = place.run(["check", "idle.toml", "tasks.toml"]);
    assert_eq!((both.code, both.stderr.as_str()), (Some(0), ""));
}

#[test]
fn e63_a_large_task_file_is_read_in_time_or_refused_for_its_size() {
    let place = Place::new();
    let tasks = |count: usize| {
        let task = |n| format!("[[task]]\nname = \"t{n}\"\nschedule = \"@daily\"\nshell = \"x\"\n");
        (0..count).map(task).collect::<Vec<_>>().concat()
    };
    place.write("tasks.toml", tasks(10_000));
    let began = Instant::now();
    let ended = place.run(["check", "--json", "tasks.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // An unoptimised build on a busy machine; the promise is about a release build.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    place.write("tasks.toml", tasks(100_000));
    let ended = place.run(["check", "tasks.toml"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("too large") && ended.stderr.contains("several files"));
}

#[test]
fn e41_to_e51_next_and_explain_point_at_what_is_wrong() {
    let place = Place::new();
    let long = "1,".repeat(1000);
    for (expr, caret, parts) in [
        ("", 1, vec!["5, 6 or 7 fields"]),
        ("* * * *", 1, vec!["expected 5, 6 or 7 fields, got 4"]),
        ("* * * * * * * *", 1, vec!["got 8"]),
        ("* 24 * * *", 3, vec!["hour `24` must be 0 to 23"]),
        ("* * 32 * *", 5, vec!["day-of-month `32`"]),
        ("*/999999999999 * * * *", 3, vec!["step"]),
        ("0 0 31 4 *", 1, vec!["never fires"]),
        ("@reboot", 1, vec!["@reboot"]),
        (long.as_str(), 1, vec!["1024"]),
        ("\u{661} * * * *", 1, vec!["not allowed"]),
    ] {
        for command in ["next", "explain"] {
            let ended = place.run([command, expr]);
            assert_eq!(ended.code, Some(65), "{expr}: {}", ended.stderr);
            for part in &parts {
                assert!(
                    ended.stderr.contains(part),
                    "{expr}: `{part}`: {}",
                    ended.stderr
                );
            }
            let at = format!("EXPR:1:{caret}");
            assert!(
                ended.stderr.contains(&at) || ended.stderr.contains("EXPR:1:"),
                "{}",
                ended.stderr
            );
            assert!(ended.stderr.len() < 6000, "{}", ended.stderr.len());
        }
    }
    let zone = place.run(["next", "@daily", "--zone", "Europe/Berlim"]);
    assert_eq!(zone.code, Some(65));
    assert!(
        zone.stderr.contains("did you mean `Europe/Berlin`?"),
        "{}",
        zone.stderr
    );
}

#[test]
fn next_says_for_programs_too_why_there_is_no_tick() {
    let place = Place::new();
    for (expr, why) in [("@after 10s", "10 seconds after"), ("-", "never due")] {
        let told = place.run(["next", expr, "--json"]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let line: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        assert!(line["tick"].is_null(), "{line}");
        assert!(line["why"].as_str().unwrap().contains(why), "{line}");
    }
}

#[test]
fn next_tells_the_fraction_of_a_second_on_both_clocks() {
    let place = Place::new();
    let from = ["--from", "2026-11-21T00:00:00Z", "--zone", "Asia/Tokyo"];
    let next = |every: &str| {
        let ended = place.run(["next", every, "-n", "2"].into_iter().chain(from));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let text = next("@every 1500ms");
    assert!(
        text.contains("Sat 2026-11-21 09:00:01.500 +09:00"),
        "{text}"
    );
    assert!(text.contains("Sat 2026-11-21 09:00:03 +09:00"), "{text}");
}

#[test]
fn s05_explain_says_in_what_dialects_differ_over_the_same_text() {
    let place = Place::new();
    let plain = place.run(["explain", "0 0 9 ? * 2"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let mut lines = plain.stdout.lines();
    assert_eq!(lines.next(), Some("at 09:00, on Tuesday, in UTC"));
    assert!(
        plain
            .stdout
            .contains("quartz: at 09:00, on Monday, in UTC (weekdays count otherwise)"),
        "{}",
        plain.stdout
    );
    assert!(
        plain.stdout.contains("krontab: refused: "),
        "{}",
        plain.stdout
    );
    let quartz = place.run(["explain", "--dialect", "quartz", "0 0 9 ? * 2"]);
    assert!(
        quartz.stdout.starts_with("at 09:00, on Monday, in UTC\n"),
        "{}",
        quartz.stdout
    );
    let json = place.run(["explain", "--json", "krontab: 0 0 0 31 * 60o"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["dialect"], "krontab");
    assert!(
        json["warnings"][0]
            .as_str()
            .unwrap()
            .contains("is read as 30"),
        "{json}"
    );
    assert_eq!(json["other_dialects"][0]["dialect"], "crontab");
    let differs = place.run(["explain", "--json", "0 0 9 ? * 2"]);
    let differs: serde_json::Value = serde_json::from_str(&differs.stdout).unwrap();
    let others = differs["other_dialects"].as_array().unwrap();
    let quartz = others.iter().find(|other| other["dialect"] == "quartz");
    let expected = serde_json::json!({
        "dialect": "quartz",
        "explanation": "at 09:00, on Monday, in UTC",
        "refusal": null,
        "differs": ["weekdays count otherwise"],
    });
    assert_eq!(quartz, Some(&expected));
    let alone = place.run(["explain", "every monday at 9am", "--dialect", "english"]);
    assert_eq!(alone.stdout, "at 09:00, on Monday, in UTC\n");
}

#[test]
fn s05_next_reads_the_dialect_it_is_told_and_refuses_one_there_is_not() {
    let place = Place::new();
    let from = ["--from", "2026-11-21T00:00:00Z", "-n", "1", "--json"];
    for (expr, dialect, tick) in [
        ("0 0 9 ? * 2", "quartz", "2026-11-23T09:00:00.000Z"),
        ("0 0 0 0 0 60o 500ms", "krontab", "2026-12-31T23:00:00.500Z"),
        (
            "Mon..Fri *-*-* 10:00 Asia/Tokyo",
            "systemd",
            "2026-11-23T01:00:00.000Z",
        ),
        (
            "every weekday at 9am",
            "english",
            "2026-11-23T09:00:00.000Z",
        ),
    ] {
        let arguments = ["next", expr, "--dialect", dialect].into_iter();
        let ended = place.run(arguments.chain(from));
        assert_eq!(ended.code, Some(0), "{expr}: {}", ended.stderr);
        let line: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(line["tick"], tick, "{expr}");
        let prefixed = format!("{dialect}: {expr}");
        let same = place.run(["next", prefixed.as_str()].into_iter().chain(from));
        assert_eq!(same.stdout, ended.stdout, "{expr}");
    }
    let unknown = place.run(["next", "@daily", "--dialect", "cron"]);
    assert_eq!(unknown.code, Some(65));
    assert!(
        unknown.stderr.contains("unknown dialect `cron`"),
        "{}",
        unknown.stderr
    );
    let hinted = place.run(["next", "every 5 minutes"]);
    assert_eq!(hinted.code, Some(65));
    assert!(
        hinted
            .stderr
            .contains("this can be read in the english dialect"),
        "{}",
        hinted.stderr
    );
}

#[test]
fn e41_words_near_a_schedule_are_answered_with_what_to_write() {
    let place = Place::new();
    for (words, written) in [
        ("every day", "@daily"),
        ("every 1d", "@every 24h"),
        ("every monday", "english:every monday at 09:00"),
    ] {
        for command in ["explain", "next"] {
            let refused = place.run([command, words]);
            assert_eq!(refused.code, Some(65), "{command} {words}");
            let told = refused.stderr.contains(&format!("`{written}`"));
            assert!(told, "{command} {words}: {}", refused.stderr);
            assert_eq!(place.run([command, written]).code, Some(0), "{written}");
        }
        let task =
            format!("[[task]]\nname = \"a\"\nschedule = \"{words}\"\ncommand = [\"true\"]\n");
        place.write("tasks.toml", task);
        let checked = place.run(["check", "tasks.toml"]);
        assert!(
            checked.stderr.contains(&format!("`{written}`")),
            "{}",
            checked.stderr
        );
    }
}

#[test]
fn s14_s16_next_tells_ticks_around_clock_changes() {
    let place = Place::new();
    let next = |arguments: &[&str]| {
        let mut all = vec![
            "next",
            "30 2 * * *",
            "--zone",
            "Europe/Berlin",
            "--json",
            "-n",
            "2",
        ];
        all.extend(arguments);
        let ended = place.run(all);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
            .stdout
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["tick"].to_string()
            })
            .collect::<Vec<_>>()
    };
    let spring = ["--from", "2026-03-28T12:00:00Z"];
    assert_eq!(
        next(&spring),
        [
            "\"2026-03-29T01:00:00.000Z\"",
            "\"2026-03-30T00:30:00.000Z\""
        ]
    );
    let skip = ["--from", "2026-03-28T12:00:00Z", "--dst-gap", "skip"];
    assert_eq!(next(&skip)[0], "\"2026-03-30T00:30:00.000Z\"");
    let both = ["--from", "2026-10-24T12:00:00Z", "--dst-overlap", "both"];
    assert_eq!(
        next(&both),
        [
            "\"2026-10-25T00:30:00.000Z\"",
            "\"2026-10-25T01:30:00.000Z\""
        ]
    );
    let words = place
        .run(["explain", "0 0 2 L * *", "--zone", "Europe/Berlin"])
        .stdout;
    assert!(
        words.contains("02:00") && words.contains("last day of the month"),
        "{words}"
    );
}

#[test]
fn s19_the_zone_of_the_machine_is_not_that_of_its_schedules() {
    let place = Place::new();
    place.write(
        "tasks.toml",
        "[[task]]\nname = \"t\"\nschedule = \"0 9 * * *\"\nshell = \"true\"\n",
    );
    let in_zone = |zone: &str, arguments: &[&str]| {
        let mut command = place.tenure(arguments);
        let ended = crate::program::finish(command.env("TZ", zone).spawn().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    for zone in ["UTC", "Asia/Tokyo", "Mars/Base", ":/etc/localtime", "XYZ-5"] {
        let next = ["next", "0 9 * * *", "--from", "2026-07-01T00:00:00Z"];
        let told = in_zone(zone, &[&next[..], &["-n", "1", "--json"]].concat());
        assert!(
            told.contains("\"2026-07-01T09:00:00.000Z\""),
            "{zone}: {told}"
        );
        let told = in_zone(zone, &["check", "tasks.toml"]);
        assert!(told.contains("T09:00:00.000Z"), "{zone}: {told}");
    }
}
