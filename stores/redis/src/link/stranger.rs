//! Who answers where a Redis should: the first bytes that it says, for a message.
//!
//! The driver tells that an answer cannot be read and not what it was. So the address is asked once
//! more, without login, and only over TCP without TLS.

use std::time::Duration;

use redis::{Client, ConnectionAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many bytes are shown.
const SHOWN: usize = 16;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The first bytes of an answer to `PING`, as text without anything that does not print. `None` if
/// there is none, or if they might be a Redis's.
pub(super) async fn first_words(client: &Client) -> Option<String> {
    let ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else {
        return None;
    };
    let asked = tokio::time::timeout(PATIENCE, ask(host, *port)).await;
    let bytes = asked.ok()?.ok()?;
    let is_strange = !matches!(bytes.first(), None | Some(b'+' | b'-' | b':' | b'$' | b'*'));
    is_strange.then(|| bytes.escape_ascii().to_string())
}

async fn ask(host: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    let mut bytes = vec![0; SHOWN];
    let count = stream.read(&mut bytes).await?;
    bytes.truncate(count);
    Ok(bytes)
}
