//! Servers of both flavours start, come back and go.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy frees tests, and these functions are parts of tests"
)]

use tenure_bed::{Ca, Flavour, Redis, Reply};

async fn starts_answers_and_goes(flavour: Flavour) {
    let redis = Redis::builder(flavour).start().await;
    assert!(redis.url().starts_with("redis://127.0.0.1:"));
    assert_eq!(redis.cli(&["SET", "key", "value"]).await, "OK");
    assert_eq!(redis.cli(&["GET", "key"]).await, "value");
    let bytes = Reply::Bulk(b"\r\n\0\xff".to_vec());
    redis.call(&[&b"SET"[..], b"bin", b"\r\n\0\xff"]).await;
    assert_eq!(redis.call(&["GET", "bin"]).await, bytes);
    assert!(redis.call(&["NO-SUCH"]).await.is_error());
    let typed = redis.redis_cli().args(["GET", "key"]).output().unwrap();
    assert_eq!(typed.stdout, b"value\n");
    let (pid, folder) = (redis.pid(), redis.folder().to_owned());
    drop(redis);
    assert!(!folder.exists());
    assert!(!is_alive(pid));
}

async fn restarts_where_it_was(flavour: Flavour) {
    let redis = Redis::builder(flavour).append_only().start().await;
    let port = redis.port();
    for number in 0..1000 {
        redis.call(&["SET", &number.to_string(), "kept"]).await;
    }
    let before = redis.pid();
    redis.restart().await;
    assert_eq!(redis.port(), port);
    assert_ne!(redis.pid(), before);
    assert_eq!(redis.cli(&["DBSIZE"]).await, "1000");

    let forgetful = Redis::builder(flavour).start().await;
    forgetful.call(&["SET", "key", "value"]).await;
    forgetful.kill();
    assert!(!forgetful.is_running());
    forgetful.restart().await;
    assert_eq!(forgetful.cli(&["DBSIZE"]).await, "0");
}

async fn listens_on_its_socket_only(flavour: Flavour) {
    let redis = Redis::builder(flavour).unix_only().start().await;
    let expected = format!("redis+unix://{}", redis.socket().display());
    assert_eq!(redis.url(), expected);
    assert!(redis.socket().as_os_str().len() < 60);
    assert_eq!(redis.cli(&["CONFIG", "GET", "port"]).await, "port\n0");
}

async fn users_and_settings_are_as_asked_for(flavour: Flavour) {
    let redis = Redis::builder(flavour)
        .acl_user("default off")
        .acl_user("user app on >pw ~* &* +@all")
        .config("maxmemory", "10mb")
        .config("maxmemory-policy", "noeviction")
        .start()
        .await;
    let policy = redis.cli(&["CONFIG", "GET", "maxmemory"]).await;
    assert_eq!(policy, "maxmemory\n10485760");
    let refused = redis.redis_cli().arg("PING").output().unwrap();
    assert!(refused.stdout.starts_with(b"NOAUTH"), "{refused:?}");
    let mut login = redis.redis_cli();
    login
        .args(["--user", "app", "PING"])
        .env("REDISCLI_AUTH", "pw");
    assert_eq!(login.output().unwrap().stdout, b"PONG\n");
    redis.restart().await;
    assert_eq!(redis.cli(&["PING"]).await, "PONG");
}

async fn pauses_and_goes_on(flavour: Flavour) {
    let redis = Redis::builder(flavour).start().await;
    redis.pause();
    let mut typed = redis
        .redis_cli()
        .args(["SET", "key", "value"])
        .spawn()
        .unwrap();
    assert!(redis.is_running());
    assert!(typed.try_wait().unwrap().is_none());
    redis.resume();
    assert!(typed.wait().unwrap().success());
    assert_eq!(redis.cli(&["GET", "key"]).await, "value");
    // A paused server can be killed as well.
    redis.pause();
    redis.restart().await;
    assert_eq!(redis.cli(&["EXISTS", "key"]).await, "0");
}

async fn can_be_met_while_it_reads_its_data(flavour: Flavour) {
    let redis = Redis::builder(flavour)
        .config("rdbcompression", "no")
        .start()
        .await;
    let value = "x".repeat(1000);
    for number in 0..50 {
        redis.call(&["SET", &number.to_string(), &value]).await;
    }
    assert_eq!(redis.cli(&["SAVE"]).await, "OK");
    redis.configure("key-load-delay", "10000");
    redis.configure("loading-process-events-interval-bytes", "1024");
    redis.launch().await;
    let refused = redis.cli(&["GET", "1"]).await;
    assert_eq!(refused.split(' ').next(), Some("LOADING"));
    redis.configure("key-load-delay", "0");
    redis.restart().await;
    assert!(redis.cli(&["GET", "1"]).await == value);
}

async fn has_a_wall_clock_that_steps(flavour: Flavour) {
    let redis = Redis::builder(flavour).own_wall().start().await;
    let machine = Redis::builder(flavour).start().await;
    let ahead = async || {
        let [own, other] = [&redis, &machine].map(|server| server.call(&["TIME"]));
        let (own, other) = (own.await, other.await);
        own.list()[0].int().unwrap() - other.list()[0].int().unwrap()
    };
    assert!((-1..=1).contains(&ahead().await));
    redis.call(&["SET", "key", "value", "PX", "60000"]).await;
    redis.step_wall(-100_500).await;
    assert!((-102..=-99).contains(&ahead().await));
    assert!(redis.call(&["PTTL", "key"]).await.int() > Some(100_000));
    redis.step_wall(200_500).await;
    assert!((99..=101).contains(&ahead().await));
    assert_eq!(redis.cli(&["EXISTS", "key"]).await, "0");
    redis.restart().await;
    assert!((99..=101).contains(&ahead().await));
}

fn is_alive(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

mod redis {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_answers_and_goes() {
        starts_answers_and_goes(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_server_restarts_where_it_was() {
        restarts_where_it_was(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_server_pauses_and_goes_on() {
        pauses_and_goes_on(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_server_can_be_met_while_it_reads_its_data() {
        can_be_met_while_it_reads_its_data(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_server_has_a_wall_clock_that_steps() {
        has_a_wall_clock_that_steps(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn a_server_listens_on_its_socket_only() {
        listens_on_its_socket_only(Flavour::Redis).await;
    }

    #[tokio::test]
    async fn users_and_settings_are_as_asked_for() {
        super::users_and_settings_are_as_asked_for(Flavour::Redis).await;
    }
}

mod redis_tls {
    use super::*;

    #[tokio::test]
    async fn a_server_speaks_tls_to_those_who_trust_its_authority() {
        let (ca, stranger) = (Ca::new(), Ca::new());
        let redis = Redis::builder(Flavour::Redis).tls(&ca).start().await;
        assert!(redis.url().starts_with("rediss://127.0.0.1:"));
        let ping = |ca: &Ca| {
            let mut command = redis.redis_cli();
            command
                .args(["--tls", "-h", "127.0.0.1", "--cacert"])
                .arg(ca.path());
            command.arg("PING").output().unwrap()
        };
        assert_eq!(ping(&ca).stdout, b"PONG\n");
        assert!(!ping(&stranger).status.success());
        redis.restart().await;
        assert_eq!(ping(&ca).stdout, b"PONG\n");
    }

    #[tokio::test]
    async fn a_server_may_ask_for_a_certificate_of_its_client() {
        let ca = Ca::new();
        let redis = Redis::builder(Flavour::Redis)
            .tls(&ca)
            .config("tls-auth-clients", "yes");
        let redis = redis.start().await;
        let ping = |pair: Option<tenure_bed::Pair>| {
            let mut command = redis.redis_cli();
            command
                .args(["--tls", "-h", "127.0.0.1", "--cacert"])
                .arg(ca.path());
            if let Some(pair) = pair {
                command
                    .arg("--cert")
                    .arg(pair.certificate)
                    .arg("--key")
                    .arg(pair.key);
            }
            command.arg("PING").output().unwrap()
        };
        assert_eq!(ping(Some(ca.client("app"))).stdout, b"PONG\n");
        assert_ne!(ping(None).stdout, b"PONG\n");
        assert_ne!(ping(Some(Ca::new().client("app"))).stdout, b"PONG\n");
    }
}

mod valkey {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_answers_and_goes() {
        starts_answers_and_goes(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_server_restarts_where_it_was() {
        restarts_where_it_was(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_server_pauses_and_goes_on() {
        pauses_and_goes_on(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_server_can_be_met_while_it_reads_its_data() {
        can_be_met_while_it_reads_its_data(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_server_has_a_wall_clock_that_steps() {
        has_a_wall_clock_that_steps(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn a_server_listens_on_its_socket_only() {
        listens_on_its_socket_only(Flavour::Valkey).await;
    }

    #[tokio::test]
    async fn users_and_settings_are_as_asked_for() {
        super::users_and_settings_are_as_asked_for(Flavour::Valkey).await;
    }
}
