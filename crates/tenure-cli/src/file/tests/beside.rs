//! The tables beside the tasks: the store and the dashboard.

use std::path::Path;

use super::{TASK, TaskFiles, refused, told};

#[test]
fn part_a_e32_what_stands_beside_a_stores_url_is_checked_with_it() {
    for (text, place, parts) in [
        (
            "[store]\nurl = \"redis://h\"\ninterop = \"kotlin\"\n",
            "3:11",
            &["`kotlin` is not one of `ktor`"][..],
        ),
        (
            "[store]\nurl = \"sqlite:a.db\"\ninterop = \"ktor\"\n",
            "3:1",
            &["on Redis only", "name a Redis or Valkey server"],
        ),
        (
            "[store]\nurl = \"sqlite:a.db\"\nsafety = \"strict\"\n",
            "3:1",
            &["for Redis and Valkey only"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nsafety = \"very\"\n",
            "3:10",
            &["`very` is not one of `plain`"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nmax_ttl = \"1s\"\n",
            "3:1",
            &["needs safety=strict"],
        ),
        (
            "[store]\nurl = \"redis+cluster://h\"\nsafety = \"strict\"\n",
            "3:1",
            &["needs replicas=NUMBER"],
        ),
        (
            "[store]\nurl = \"redis://h?prefix=a\"\nsafety = \"strict\"\nmax_ttl = \"a&b\"\n",
            "4:11",
            &["is no duration"],
        ),
        (
            "[store]\nurl = \"redis://h\"\nlock_expiration_ms = 100\n",
            "3:1",
            &["without `interop`", "write interop = \"ktor\""],
        ),
        (
            "[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\nlock_expiration_ms = 0\n",
            "4:22",
            &["0 must be 1 to 86400000"],
        ),
        (
            &format!(
                "[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\n{TASK}catch_up = \"all\"\n"
            ),
            "3:1",
            &["`catch_up` of task `t`", "remove catch_up"],
        ),
    ] {
        refused(text, place, parts);
    }
}

#[test]
fn b5_safety_may_stand_beside_the_url() {
    for (url, expected) in [
        ("redis+sentinel://h/m", "redis+sentinel://h/m?safety"),
        ("redis://h?prefix=a", "redis://h?prefix=a&safety"),
    ] {
        let text = format!(
            "[store]\nurl = \"{url}\"\nsafety = \"strict\"\nmax_ttl = \"20s\"\n\
             replicas = 2\n{TASK}"
        );
        let (files, shown) = told(&text);
        assert!(files.are_sound(), "{shown}");
        let url = files.store.unwrap().url;
        assert_eq!(url, format!("{expected}=strict&max_ttl=20s&replicas=2"));
    }
}

#[test]
fn part_a_interop_is_read_with_the_origins_default() {
    let interop = |more: &str| {
        let text = format!("[store]\nurl = \"redis://h\"\ninterop = \"ktor\"\n{more}{TASK}");
        let (files, shown) = told(&text);
        assert!(files.are_sound(), "{shown}");
        files.store.unwrap().interop.unwrap().expiration.as_millis()
    };
    assert_eq!(interop(""), 100);
    assert_eq!(interop("lock_expiration_ms = 2500\n"), 2500);
}

#[test]
fn f17_the_table_of_the_dashboard_is_read_and_its_faults_are_told() {
    let task = "[[task]]\nname = \"a\"\nschedule = \"@daily\"\ncommand = [\"true\"]\n";
    let files = TaskFiles::of_text(
        "t.toml",
        &format!(
            "[dashboard]\naddress = \"0.0.0.0:9180\"\nchange_token_file = \"token\"\n\
             users = {{ ann = \"$argon2id$v=19$x\" }}\nhosts = [\"a.example\"]\n\
             force_token_file = \"force\"\ntokens_file = \"tokens\"\nproxy_right = \"read\"\n\
             admins = {{ bob = \"$argon2id$v=19$y\" }}\n{task}"
        ),
    );
    assert!(files.are_sound());
    let entry = files.dashboard().unwrap();
    assert_eq!(entry.address, "0.0.0.0:9180".parse().ok());
    let token = entry.change_token.as_deref().and_then(Path::file_name);
    assert_eq!(token, Some("token".as_ref()));
    for (path, name) in [(&entry.force_token, "force"), (&entry.tokens, "tokens")] {
        let found = path.as_deref().and_then(Path::file_name);
        assert_eq!(found, Some(name.as_ref()));
    }
    assert_eq!(entry.proxy_right.as_deref(), Some("read"));
    assert_eq!(
        entry.admins,
        [("bob".to_owned(), "$argon2id$v=19$y".to_owned())]
    );
    assert_eq!(
        entry.users,
        [("ann".to_owned(), "$argon2id$v=19$x".to_owned())]
    );
    assert_eq!(entry.hosts, ["a.example"]);
    for wrong in [
        "address = \"9180\"",
        "proxy_header = \"x-user\"",
        "tokens = 1",
        "proxy_right = \"write\"",
    ] {
        let files = TaskFiles::of_text("t.toml", &format!("[dashboard]\n{wrong}\n{task}"));
        assert!(!files.are_sound(), "{wrong}");
    }
}
