//! What configurations mean as URLs.

use super::*;
use crate::ConfigParams;

fn url(text: &str) -> Result<String, ConfigError> {
    let config: ConfigParams = text.parse().unwrap();
    let connections = ConnectionParams::many_from_config(&config)?;
    let credentials = CredentialParams::many_from_config(&config)?;
    let settings = LockSettings::from_config(&config)?;
    let target = compose(&connections, credentials.first(), &settings)?;
    assert!(!target.servers.contains('@'), "{}", target.servers);
    Ok(target.url.expose_secret().to_owned())
}

const DEFAULTS: &str = "?connect_timeout=30s&poll=100ms";

#[test]
fn b_configuration_host_and_port_have_the_origin_s_defaults_and_work_at_the_top() {
    for (text, expected) in [
        (
            "connection.host=db1;connection.port=6380",
            "redis://db1:6380",
        ),
        ("connection.host=db1", "redis://db1"),
        ("connection.port=6380", "redis://localhost:6380"),
        ("host=db1;port=6380", "redis://db1:6380"),
        ("connection.host=::1;connection.port=1", "redis://[::1]:1"),
        ("connection.host=[::1]", "redis://[::1]"),
        ("connection.protocol=rediss;connection.host=h", "rediss://h"),
    ] {
        assert_eq!(
            url(text).unwrap(),
            format!("{expected}{DEFAULTS}"),
            "{text}"
        );
    }
}

#[test]
fn b_weakness_username_and_password_are_honoured_and_escaped() {
    for (text, expected) in [
        (
            "credential.username=app;credential.password=pw",
            "redis://app:pw@h",
        ),
        ("credential.password=pw", "redis://:pw@h"),
        ("credential.username=app", "redis://app@h"),
        (
            "credential.password=p@s:s/w?r#d%",
            "redis://:p%40s%3As%2Fw%3Fr%23d%25@h",
        ),
        ("username=app;password=pw", "redis://app:pw@h"),
    ] {
        let text = format!("connection.host=h;{text}");
        assert_eq!(
            url(&text).unwrap(),
            format!("{expected}{DEFAULTS}"),
            "{text}"
        );
    }
}

#[test]
fn b_weakness_a_uri_is_honoured_with_all_it_says() {
    for (uri, expected) in [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://u:p%40@h", "rediss://u:p%40@h"),
        ("redis+cluster://a,b:2", "redis+cluster://a,b:2"),
        ("redis+sentinel://a/main/3", "redis+sentinel://a/main/3"),
        ("rediss+quorum://a,b,c", "rediss+quorum://a,b,c"),
        ("redis+unix:/run/redis.sock", "redis+unix:/run/redis.sock"),
        ("redis+unix:///run/redis.sock", "redis+unix:/run/redis.sock"),
    ] {
        let found = url(&format!("connection.uri={uri}")).unwrap();
        assert_eq!(found, format!("{expected}{DEFAULTS}"));
    }
    let found = url("connection.uri=redis://h?prefix=x%3A&poll=7ms&connect_timeout=1s").unwrap();
    assert_eq!(found, "redis://h?prefix=x%3A&poll=7ms&connect_timeout=1s");
    let found = url("connection.uri=redis://h;credential.password=pw").unwrap();
    assert_eq!(found, format!("redis://:pw@h{DEFAULTS}"));
    let found = url("connection.uri=redis+unix:/s;credential.username=u").unwrap();
    assert_eq!(found, format!("redis+unix:u@/s{DEFAULTS}"));
}

#[test]
fn b_weakness_timeout_retry_timeout_and_db_num_are_honoured() {
    for (text, expected) in [
        (
            "options.timeout=1500;options.retry_timeout=20;options.db_num=5",
            "redis://h?db=5&connect_timeout=1s500ms&poll=20ms",
        ),
        (
            "options.timeout=1h",
            "redis://h?connect_timeout=1m&poll=100ms",
        ),
        (
            "options.retry_timeout=60000",
            "redis://h?connect_timeout=30s&poll=5s",
        ),
        (
            "options.db_num=0",
            "redis://h?connect_timeout=30s&poll=100ms",
        ),
    ] {
        assert_eq!(url(&format!("host=h;{text}")).unwrap(), expected, "{text}");
    }
    for uri in ["redis://h/5", "redis://h?db=5", "redis+sentinel://h/m/5"] {
        let found = url(&format!("connection.uri={uri};options.db_num=5")).unwrap();
        assert!(found.starts_with(uri), "nothing is said twice: {found}");
    }
}

#[test]
fn b_references_several_connections_are_the_addresses_of_one_cluster_or_quorum() {
    let three = "connections.0.host=a;connections.1.host=b;connections.1.port=2;\
                 connections.2.uri=redis://c:3";
    for (options, expected) in [
        ("", "redis+cluster://a,b:2,c:3"),
        ("options.topology=cluster", "redis+cluster://a,b:2,c:3"),
        ("options.topology=quorum", "redis+quorum://a,b:2,c:3"),
        (
            "options.topology=sentinel;options.master=my main",
            "redis+sentinel://a,b:2,c:3/my%20main",
        ),
        ("credential.password=pw", "redis+cluster://:pw@a,b:2,c:3"),
    ] {
        let text = format!("{three};{options}");
        assert_eq!(
            url(&text).unwrap(),
            format!("{expected}{DEFAULTS}"),
            "{options}"
        );
    }
    for (text, expected) in [
        ("host=a;options.topology=cluster", "redis+cluster://a"),
        (
            "connection.uri=redis://a,b;options.topology=cluster",
            "redis+cluster://a,b",
        ),
        (
            "connection.uri=redis+cluster://a;options.topology=cluster",
            "redis+cluster://a",
        ),
        (
            "connections.0.uri=rediss://u:p@a;connections.1.uri=rediss://b",
            "rediss+cluster://u:p@a,b",
        ),
    ] {
        assert_eq!(
            url(text).unwrap(),
            format!("{expected}{DEFAULTS}"),
            "{text}"
        );
    }
}

#[test]
fn b_configuration_combinations_that_cannot_work_are_refused_with_both_keys() {
    for (text, part) in [
        ("connection.uri=h", "connection.uri has no scheme"),
        ("connection.uri=http://h", "none of the schemes of Redis"),
        ("connection.uri=redis:h", "needs `//`"),
        ("connection.protocol=http", "must be redis, or rediss"),
        ("connection.host=a/b", "a login into credential.*"),
        (
            "connection.host=h:6379",
            "the port belongs into connection.port",
        ),
        (
            "connections.0.host=a;connections.1.host=b;options.topology=single",
            "2 connections",
        ),
        (
            "connections.0.uri=redis://a/1;connections.1.host=b",
            "may only name a server",
        ),
        (
            "connections.0.uri=rediss://a;connections.1.host=b",
            "choose redis or rediss",
        ),
        (
            "connections.0.uri=redis://:x@a;connections.1.uri=redis://:y@b",
            "different logins",
        ),
        (
            "connection.uri=redis+cluster://a;options.topology=quorum",
            "says something else",
        ),
        (
            "connection.uri=redis://:x@a;credential.password=y",
            "keep one",
        ),
        (
            "connection.uri=redis://a/1;options.db_num=2",
            "names another database",
        ),
        (
            "connection.uri=redis://a?db=1;options.db_num=0",
            "names another database",
        ),
        ("host=a;options.topology=sentinel", "needs options.master"),
        (
            "host=a;options.master=m",
            "for options.topology=sentinel only",
        ),
        (
            "connection.uri=redis+sentinel://a/m;options.master=n",
            "names a primary",
        ),
    ] {
        let error = url(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn f7_e27_no_message_repeats_what_a_connection_says() {
    for text in [
        "connection.uri=s3cret",
        "connection.uri=s3cret://h",
        "connection.uri=redis:s3cret@h",
        "connection.host=:s3cret@h",
        "connection.host=user:s3cret@h",
        "connection.protocol=s3cret",
        "connection.uri=redis://:s3cret@a;credential.password=s3cret",
        "connections.0.uri=redis://:s3cret@a;connections.1.uri=redis://:s3cret2@b",
        "connection.uri=redis://:s3cret@a/1;options.db_num=2",
    ] {
        let error = url(text).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
}
