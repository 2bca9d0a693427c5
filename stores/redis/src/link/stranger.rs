//! Who answers where a Redis should: the first bytes that it says, and what it is by them.
//!
//! The driver tells that an answer cannot be read and not what it was. So the address is asked once
//! more, without login, and only over TCP without TLS. One that closes the connection at once is
//! asked as a client of PostgreSQL would ask: that server says nothing to others.
//!
//! # Sources
//! MySQL, `Protocol::HandshakeV10`; PostgreSQL, "Message Formats", `SSLRequest`, `ErrorResponse`.

use std::time::Duration;

use redis::{Client, ConnectionAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many bytes are shown.
const SHOWN: usize = 16;
/// How many are looked at.
const READ: usize = 256;
/// How much of a version is shown.
const VERSION: usize = 40;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_millis(500);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Asks a PostgreSQL whether it speaks TLS, which it answers by one letter.
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A server of another kind.
#[derive(Debug)]
pub(crate) struct Stranger {
    /// What it is, if it says so.
    pub(crate) kind: Option<String>,
    /// The first bytes of its answer, as text without anything that does not print.
    pub(crate) words: String,
}

/// Who answers a `PING` otherwise than a Redis might. `None` if nobody does.
pub(super) async fn met_at(client: &Client) -> Option<Stranger> {
    let ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else {
        return None;
    };
    let said = ask(host, *port, PING).await?;
    if said.is_empty() {
        let said = ask(host, *port, SSL_REQUEST).await?;
        let is_postgres = matches!(said.as_slice(), b"N" | b"S");
        return is_postgres.then(|| stranger(&said, Some("PostgreSQL".to_owned())));
    }
    let kind = kind_of(&said);
    let may_be_redis = matches!(said.first(), Some(b'+' | b'-' | b':' | b'$' | b'*'));
    (kind.is_some() || !may_be_redis).then(|| stranger(&said, kind))
}

fn stranger(said: &[u8], kind: Option<String>) -> Stranger {
    let first = said.get(..SHOWN).unwrap_or(said);
    Stranger {
        kind,
        words: first.escape_ascii().to_string(),
    }
}

/// What a server is that says this first.
fn kind_of(said: &[u8]) -> Option<String> {
    if said.starts_with(b"HTTP/") {
        return Some("a web server".to_owned());
    }
    if said.starts_with(b"SSH-") {
        return Some("an SSH server".to_owned());
    }
    // `E`, a length, and fields that begin with the severity.
    if said.starts_with(b"E\0\0")
        && said
            .get(5..)
            .is_some_and(|text| text.starts_with(b"SFATAL\0"))
    {
        return Some("PostgreSQL".to_owned());
    }
    // A length of three bytes, the number of the packet, and what it is.
    match said.get(3..5)? {
        [0, 10] => Some(database(said.get(5..)?)),
        [0, 0xff] => Some("MySQL or MariaDB".to_owned()),
        _ => None,
    }
}

/// MySQL or MariaDB, and its version, which ends with a zero byte.
fn database(rest: &[u8]) -> String {
    let version = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let printable = version.iter().filter(|byte| byte.is_ascii_graphic());
    let version: String = printable
        .take(VERSION)
        .map(|byte| char::from(*byte))
        .collect();
    if version.to_ascii_lowercase().contains("mariadb") {
        // Stands before every version, for clients that know MySQL alone.
        format!("MariaDB {}", version.trim_start_matches("5.5.5-"))
    } else {
        format!("MySQL {version}")
    }
}

/// The first bytes of the answer to `question`; none if the server closes the connection, `None` if
/// it says nothing.
async fn ask(host: &str, port: u16, question: &[u8]) -> Option<Vec<u8>> {
    let asking = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(question).await.ok()?;
        let mut bytes = vec![0; READ];
        // Cut off with what we sent unread, which is as good as closed.
        let count = stream.read(&mut bytes).await.unwrap_or_default();
        bytes.truncate(count);
        Some(bytes)
    };
    tokio::time::timeout(PATIENCE, asking).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e82_servers_that_speak_first_are_known_by_what_they_say() {
        for (said, kind) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some("a web server")),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some("an SSH server")),
            (b"J\0\0\0\n8.0.36\0\x0c\0\0\0", Some("MySQL 8.0.36")),
            // A length that might begin an answer of Redis.
            (b"*\0\0\0\n8.4.0\0", Some("MySQL 8.4.0")),
            (
                b"l\0\0\0\n5.5.5-10.11.6-MariaDB-0\0\x0c",
                Some("MariaDB 10.11.6-MariaDB-0"),
            ),
            (
                b"E\0\0\0\xffj\x04Host 'h' is not allowed",
                Some("MySQL or MariaDB"),
            ),
            (b"E\0\0\0\x5bSFATAL\0VFATAL\0", Some("PostgreSQL")),
            (b"E\0\0\x01\xff", None),
            (b"+PONG\r\n", None),
            (b"-NOAUTH Authentication required.\r\n", None),
            (b"", None),
        ] {
            let found = kind_of(said);
            assert_eq!(found.as_deref(), kind, "{}", said.escape_ascii());
        }
    }
}
