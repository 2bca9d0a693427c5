//! What documents say, and what is refused without repeating it.

use std::error::Error;

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

fn expected() -> ConfigParams {
    ConfigParams::from_tuples([
        ("connection.host", "db1"),
        ("connection.port", "6380"),
        ("connections.0.host", "a"),
        ("connections.1.host", "b"),
        ("options.ratio", "1.5"),
        ("options.strict", "true"),
    ])
}

#[test]
fn b_config_params_are_read_from_tuples_a_string_toml_json_and_yaml_alike() {
    let text = " connection.host = db1; connection.port=6380;connections.0.host=a;;\n\
                connections.1.host=b;options.ratio=1.5;options.strict=true;";
    assert_eq!(ConfigParams::from_string(text).unwrap(), expected());
    assert_eq!(text.parse::<ConfigParams>().unwrap(), expected());

    let toml = "connections = [{ host = 'a' }, { host = 'b' }]\r\n[connection]\r\nhost = 'db1'\r\n\
                port = 6380\r\n[options]\r\nratio = 1.5\r\nstrict = true\r\n";
    assert_eq!(ConfigParams::from_toml(toml).unwrap(), expected());

    let json = r#"{"connection": {"host": "db1", "port": 6380, "uri": null},
        "connections": [{"host": "a"}, {"host": "b"}],
        "options": {"ratio": 1.5, "strict": true}}"#;
    assert_eq!(ConfigParams::from_json(json).unwrap(), expected());

    let yaml = "# a comment\nconnection:\n  host: db1\n  port: 6380\n  uri: ~\n\
                connections:\n  - host: a\n  - {host: \"b\"}\n\
                options: {ratio: 1.5, strict: true}\n";
    assert_eq!(ConfigParams::from_yaml(yaml).unwrap(), expected());
}

#[test]
fn b_config_params_keys_that_are_dotted_in_a_document_are_the_same_as_tables() {
    let one = ConfigParams::from_tuples([("a.b", "1")]);
    assert_eq!(ConfigParams::from_toml("a.b = 1").unwrap(), one);
    assert_eq!(ConfigParams::from_toml("'a.b' = 1").unwrap(), one);
    assert_eq!(ConfigParams::from_json(r#"{"a.b": 1}"#).unwrap(), one);
    assert_eq!(ConfigParams::from_yaml("a.b: 1").unwrap(), one);
    let date = ConfigParams::from_toml("day = 2026-11-21").unwrap();
    assert_eq!(date.get("day"), Some("2026-11-21"));
}

#[test]
fn b_config_params_yaml_values_are_kept_as_they_are_written() {
    let yaml = "a: 0123\nb: 1e3\nc: no\nd: '~'\ne: |\n  two\n  lines\nf: 12:30\n7: x\n";
    let config = ConfigParams::from_yaml(yaml).unwrap();
    for (key, value) in [
        ("a", "0123"),
        ("b", "1e3"),
        ("c", "no"),
        ("d", "~"),
        ("e", "two\nlines\n"),
        ("f", "12:30"),
        ("7", "x"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    assert!(ConfigParams::from_yaml("").unwrap().is_empty());
    assert!(ConfigParams::from_yaml("# nothing\n").unwrap().is_empty());
}

#[test]
fn e54_e55_e58_config_params_what_cannot_be_read_is_refused_with_its_place() {
    let deep_json = format!("{}1{}", r#"{"a":"#.repeat(70), "}".repeat(70));
    let deep_yaml = format!("a: {}{}", "[".repeat(70), "]".repeat(70));
    let long = "a=b;".repeat(2 * 1024 * 1024);
    let cases: [(Parse, &str, &str); 20] = [
        (
            ConfigParams::from_string,
            "a=1;b",
            "setting 2 of the text has no `=`",
        ),
        (ConfigParams::from_string, "a=1;a=2", "`a` is set twice"),
        (ConfigParams::from_string, "=1", "`` is not a key: a part"),
        (
            ConfigParams::from_string,
            "a..b=1",
            "`a..b` is not a key: a part",
        ),
        (ConfigParams::from_string, &long, "of 4194304 at most"),
        (
            ConfigParams::from_toml,
            "a = 1\nb = ",
            "line 2, column 5: not valid TOML",
        ),
        (
            ConfigParams::from_toml,
            "a.b = 1\n'a.b' = 2",
            "`a.b` is set twice",
        ),
        (
            ConfigParams::from_toml,
            "a = 1\na = 2",
            "line 2, column 1: not valid TOML",
        ),
        (
            ConfigParams::from_json,
            "{\"a\":\n 1,}",
            "line 2, column 4: not valid JSON",
        ),
        (ConfigParams::from_json, "{\"a\": 1", "it ends too early"),
        (ConfigParams::from_json, "{} {}", "not valid JSON"),
        (
            ConfigParams::from_json,
            r#"{"a":1,"a":2}"#,
            "`a` is set twice",
        ),
        (
            ConfigParams::from_json,
            r#"{"a":{"b":1},"a.b":2}"#,
            "`a.b` is set twice",
        ),
        (
            ConfigParams::from_json,
            "[1]",
            "the JSON document is not a table",
        ),
        (
            ConfigParams::from_json,
            "\"a\"",
            "the JSON document is not a table",
        ),
        (ConfigParams::from_json, &deep_json, "deeper than 64 levels"),
        (
            ConfigParams::from_yaml,
            "a: &x 1\nb: *x",
            "line 2, column 4: not valid YAML: aliases",
        ),
        (ConfigParams::from_yaml, "a: 1\nb: [", "not valid YAML"),
        (
            ConfigParams::from_yaml,
            "- a",
            "the YAML document is not a table",
        ),
        (ConfigParams::from_yaml, &deep_yaml, "deeper than 64 levels"),
    ];
    for (parse, text, part) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(error.len() < 300, "{error}");
    }
    let two = ConfigParams::from_yaml("a: 1\n---\nb: 2").unwrap_err();
    assert!(
        two.to_string().contains("a second document begins"),
        "{two}"
    );
    let bom = ConfigParams::from_toml("\u{feff}a = 1").unwrap();
    assert_eq!(bom.get("a"), Some("1"));
}

#[test]
fn f7_config_params_no_message_repeats_a_value() {
    let cases: [(Parse, &str); 14] = [
        (ConfigParams::from_string, "a=1;s3cret"),
        (ConfigParams::from_string, "a=s3cret;a=s3cret"),
        (ConfigParams::from_toml, "password = s3cret"),
        (ConfigParams::from_toml, "password = 's3cret"),
        (ConfigParams::from_toml, "password = \"s3cret\\q\""),
        (ConfigParams::from_toml, "password = 's3cret' s3cret"),
        (
            ConfigParams::from_toml,
            "password = 's3cret'\npassword = 's3cret'",
        ),
        (ConfigParams::from_json, "\"s3cret\""),
        (ConfigParams::from_json, "{\"password\": s3cret}"),
        (ConfigParams::from_json, "{\"password\": \"s3cret}"),
        (ConfigParams::from_yaml, "s3cret"),
        (ConfigParams::from_yaml, "password: \"s3cret"),
        (ConfigParams::from_yaml, "password: s3cret: s3cret"),
        (ConfigParams::from_yaml, "password: *s3cret"),
    ];
    for (parse, text) in cases {
        let error = parse(text).unwrap_err();
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(inner) = source {
            shown = format!("{shown} {inner} {inner:?}");
            source = inner.source();
        }
        assert!(!shown.contains("s3cret"), "{text}: {shown}");
    }
}

#[test]
fn e53_config_params_files_are_read_by_their_ending() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.toml", "a.b = 1"),
        ("a.json", r#"{"a": {"b": 1}}"#),
        ("a.yaml", "a:\n  b: 1"),
        ("a.YML", "a: {b: 1}"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let config = ConfigParams::from_file(&path).unwrap();
        assert_eq!(config.get("a.b"), Some("1"), "{name}");
    }
    std::fs::write(folder.path().join("bad.toml"), "a = ").unwrap();
    std::fs::create_dir(folder.path().join("folder.toml")).unwrap();
    std::fs::write(folder.path().join("latin.json"), b"{\"a\": \"\xe9\"}").unwrap();
    for (name, part) in [
        ("none.toml", "cannot read"),
        ("bad.toml", "line 1, column 5: not valid TOML"),
        ("folder.toml", "is not a regular file"),
        ("latin.json", "cannot read"),
        ("a.ini", "ends with none of .toml, .json, .yaml and .yml"),
    ] {
        let error = ConfigParams::from_file(folder.path().join(name)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

proptest! {
    #[test]
    fn f47_config_params_no_text_makes_a_reader_panic(text in "\\PC{0,80}") {
        let _ = ConfigParams::from_string(&text);
        let _ = ConfigParams::from_toml(&text);
        let _ = ConfigParams::from_json(&text);
        let _ = ConfigParams::from_yaml(&text);
    }

    #[test]
    fn b_config_params_what_is_written_as_a_string_is_read_back(
        pairs in btree_map("[a-z]{1,5}(\\.[a-z0-9_]{1,5}){0,3}", "[!-:<-~]{0,12}", 0..8),
    ) {
        let text: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let config = ConfigParams::from_string(&text.join(";")).unwrap();
        prop_assert_eq!(config, ConfigParams::from_tuples(pairs));
    }
}
