//! URLs, as people write them.

use std::path::Path;

use tenure_sqlite::SqliteOptions;

#[test]
fn urls_name_the_file_byte_for_byte() {
    for (url, path) in [
        ("sqlite:tenure.db", "tenure.db"),
        ("sqlite:/var/lib/t.db", "/var/lib/t.db"),
        ("sqlite:///var/lib/t.db", "/var/lib/t.db"),
        ("sqlite:a%20b%3Fc.db?namespace=x", "a b?c.db"),
        ("sqlite:t.db?", "t.db"),
        ("SQLITE:up.db", "up.db"),
        ("SqLite:///var/T.db", "/var/T.db"),
        (
            "sqlite:t.db?synchronous=full&namespace=n&patience=2s&poll=10ms",
            "t.db",
        ),
    ] {
        let options = SqliteOptions::from_url(url).unwrap();
        assert_eq!(options.path(), Path::new(path), "{url}");
    }
}

#[test]
fn e25_e26_e40_urls_that_say_nothing_clear_are_refused_with_the_parameter_and_a_way_out() {
    let long = format!("sqlite:t.db?{}=1", "x".repeat(1_000_000));
    for (url, message) in [
        ("redis://host", "write sqlite:PATH"),
        ("sqlite", "write sqlite:PATH"),
        ("sqlite:", "the path of the SQLite file is missing"),
        ("sqlite::memory:", "write `memory:`"),
        ("sqlite:t.db#x", "write %23"),
        ("sqlite:a%2", "two hexadecimal digits"),
        ("sqlite:a%+1b", "two hexadecimal digits"),
        ("sqlite:a%ff", "is not UTF-8"),
        ("sqlite:a%00b", "NUL"),
        (
            "sqlite:t.db?sync=full",
            "unknown parameter `sync`; known are synchronous, namespace, patience, poll",
        ),
        ("sqlite:t.db?syncronous=full", "did you mean `synchronous`?"),
        ("sqlite:t.db?Namespaces=x", "did you mean `namespace`?"),
        ("sqlite:t.db?synchronous=off", "must be `normal` or `full`"),
        ("sqlite:t.db?synchronous", "must be `normal` or `full`"),
        ("sqlite:t.db?patience=5", "the unit is missing"),
        ("sqlite:t.db?patience=1ms", "must be from 10ms to 1m"),
        ("sqlite:t.db?poll=2h", "must be from 1ms to 1s"),
        ("sqlite:t.db?poll=5ms&poll=6ms", "stands twice"),
        ("sqlite:t.db?namespace=", "1 to 100 characters"),
        ("sqlite:t.db?namespace=a%0Ab", "no control characters"),
        (long.as_str(), "unknown parameter"),
    ] {
        let error = SqliteOptions::from_url(url).unwrap_err().to_string();
        assert!(error.contains(message), "{url:.100}: {error}");
        assert!(error.len() < 400, "{error}");
    }
}
