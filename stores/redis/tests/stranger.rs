//! A URL that leads to a server of another kind: it is told from a Redis, and named where it says
//! what it is. The servers here are listeners that begin as the real ones do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::time::Duration;

use tenure_core::{StoreError, StoreErrorKind};
use tenure_redis::RedisStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);

/// How a server of another kind behaves to whoever connects.
#[derive(Clone, Copy)]
enum Manners {
    /// Says this when it has heard something, and waits.
    Answers(&'static [u8]),
    /// Says this at once, and waits.
    SpeaksFirst(&'static [u8]),
    /// Closes the connection unless it is asked for TLS in its own way.
    Postgres,
}

impl Manners {
    async fn meet(self, mut stream: TcpStream) {
        let mut asked = [0; 16];
        match self {
            Self::Answers(words) => {
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(words).await;
            }
            Self::SpeaksFirst(words) => {
                let _ = stream.write_all(words).await;
            }
            Self::Postgres => {
                let _ = stream.read(&mut asked).await;
                if !asked.starts_with(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]) {
                    return;
                }
                let _ = stream.write_all(b"N").await;
            }
        }
        // It stays open and says nothing more.
        std::future::pending::<()>().await;
    }

    /// What a store says of such a server.
    async fn refused(self) -> StoreError {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.meet(stream));
            }
        });
        let url = format!("redis://127.0.0.1:{port}?connect_timeout=500ms");
        let connecting = tokio::time::timeout(PATIENCE, RedisStore::connect(&url));
        connecting.await.unwrap().unwrap_err()
    }
}

/// The greeting of MySQL 8: length, number, protocol 10, version, thread, half of a salt, and more.
const MYSQL: &[u8] = b"J\0\0\0\n8.0.36\0\x0c\0\0\0i?v'\x18\x0bHq\0\xff\xff\xff\x02\0\xff\xdf\x15\
    \0\0\0\0\0\0\0\0\0\0Zj;{\x1d\x0ctRl\x12\x13=\0caching_sha2_password\0";
const MARIADB: &[u8] = b"Z\0\0\0\n5.5.5-10.11.6-MariaDB\0\x05\0\0\0<Z-#QA%R\0\xfe\xf7\
    -\x02\0\xff\x81\x15\
    \0\0\0\0\0\0\x1d\0\0\0w2yTd\\p>Wm_<\0mysql_native_password\0";
const FATAL: &[u8] = b"E\0\0\0\x5bSFATAL\0VFATAL\0C0A000\0Munsupported frontend protocol\0\0";

#[tokio::test]
async fn e82_a_server_of_another_kind_is_named_with_its_first_bytes_and_nothing_hangs() {
    use Manners::{Answers, Postgres, SpeaksFirst};
    for (manners, kind, begins) in [
        (
            Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "but a web server",
            "HTTP/1.1 400 Bad",
        ),
        (
            SpeaksFirst(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "but an SSH server",
            "SSH-2.0-OpenSSH_",
        ),
        (
            SpeaksFirst(MYSQL),
            "but MySQL 8.0.36",
            r"J\x00\x00\x00\n8.0.36\x00",
        ),
        (
            SpeaksFirst(MARIADB),
            "but MariaDB 10.11.6",
            r"Z\x00\x00\x00\n5.5.5-",
        ),
        (Answers(FATAL), "but PostgreSQL", r"E\x00\x00\x00[SFATAL"),
        (Postgres, "but PostgreSQL", "N`"),
        (
            SpeaksFirst(b"220 mail.example ESMTP\r\n"),
            "no Redis server:",
            "220 mail.example",
        ),
    ] {
        let error = manners.refused().await;
        assert_eq!(error.kind(), StoreErrorKind::Protocol, "{error}");
        for part in [
            "cannot connect: 127.0.0.1:",
            kind,
            &format!("begins with `{begins}"),
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn e82_a_server_that_says_nothing_that_tells_is_an_error_within_bounds() {
    for manners in [
        Manners::Answers(b""),
        Manners::Answers(b"$99999999999999\r\n"),
    ] {
        let error = manners.refused().await;
        assert!(error.to_string().contains("cannot connect"), "{error}");
    }
}
