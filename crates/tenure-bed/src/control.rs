//! Talks to a server over its unix socket, past everything that a test may put in between.
//!
//! A connection a call: slow beside a real client, and nothing to keep, to reconnect or to share
//! between runtimes. It knows the protocol as far as RESP2 goes, and no command.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How long one call may take. A server that was paused does not answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// A number.
    Int(i64),
    /// A short line, such as `OK`.
    Status(String),
    /// A refusal; its first word is its code.
    Error(String),
    /// A value.
    Bulk(Vec<u8>),
    /// Several answers.
    List(Vec<Reply>),
}

impl Reply {
    /// The bytes of a value or of a line; nothing for any other answer.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bulk(bytes) => bytes,
            Self::Status(line) | Self::Error(line) => line.as_bytes(),
            Self::Nil | Self::Int(_) | Self::List(_) => &[],
        }
    }

    /// The number, also where it came as text.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            other => std::str::from_utf8(other.bytes()).ok()?.parse().ok(),
        }
    }

    /// The parts of a list; none for any other answer.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(parts) => parts,
            _ => &[],
        }
    }

    /// Whether the server refused.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

/// As `redis-cli` prints to a pipe: a line a part, nothing for nil.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => Ok(()),
            Self::Int(number) => write!(f, "{number}"),
            Self::Status(line) | Self::Error(line) => f.write_str(line),
            Self::Bulk(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::List(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "\n" };
                    write!(f, "{separator}{part}")?;
                }
                Ok(())
            }
        }
    }
}

/// Where a server listens for us, and as whom it knows us.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) socket: PathBuf,
    /// Name and password, if the server asks for one.
    pub(crate) login: Option<(String, String)>,
}

impl Control {
    /// One command over the socket.
    pub(crate) async fn call(&self, command: &[&[u8]]) -> io::Result<Reply> {
        within(async {
            let stream = UnixStream::connect(&self.socket).await?;
            exchange(stream, self.login.as_ref(), command).await
        })
        .await
    }

    /// Several commands over one connection to the socket.
    pub(crate) async fn calls(&self, commands: &[&[&str]]) -> io::Result<Vec<Reply>> {
        within(async {
            let stream = UnixStream::connect(&self.socket).await?;
            let mut stream = logged_in(stream, self.login.as_ref()).await?;
            let mut replies = Vec::with_capacity(commands.len());
            for command in commands {
                let words: Vec<_> = command.iter().map(|word| word.as_bytes()).collect();
                replies.push(ask(&mut stream, &words).await?);
            }
            Ok(replies)
        })
        .await
    }

    /// One command over TCP.
    pub(crate) async fn call_port(&self, port: u16, command: &[&[u8]]) -> io::Result<Reply> {
        call_port(port, self.login.as_ref(), command).await
    }
}

/// One command to whoever listens on a port of this machine.
pub(crate) async fn call_port(
    port: u16,
    login: Option<&(String, String)>,
    command: &[&[u8]],
) -> io::Result<Reply> {
    within(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        exchange(stream, login, command).await
    })
    .await
}

async fn exchange<S>(
    stream: S,
    login: Option<&(String, String)>,
    command: &[&[u8]],
) -> io::Result<Reply>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    ask(&mut logged_in(stream, login).await?, command).await
}

async fn logged_in<S>(stream: S, login: Option<&(String, String)>) -> io::Result<BufReader<S>>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut stream = BufReader::new(stream);
    if let Some((user, password)) = login {
        let auth = [&b"AUTH"[..], user.as_bytes(), password.as_bytes()];
        if let Reply::Error(refusal) = ask(&mut stream, &auth).await? {
            return Err(io::Error::other(refusal));
        }
    }
    Ok(stream)
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer");
    timeout(PATIENCE, work).await.map_err(late)?
}

async fn ask<S>(stream: &mut BufReader<S>, command: &[&[u8]]) -> io::Result<Reply>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut request = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    stream.write_all(&request).await?;
    read(stream).await
}

/// Reads one answer; lists may hold lists.
async fn read<S: AsyncReadExt + Unpin>(stream: &mut BufReader<S>) -> io::Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Int(number()?),
        "$" => match usize::try_from(number()?) {
            Err(_) => Reply::Nil,
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                Reply::Bulk(bytes)
            }
        },
        "*" => match usize::try_from(number()?) {
            Err(_) => Reply::Nil,
            Ok(length) => {
                let mut parts = Vec::with_capacity(length);
                for _ in 0..length {
                    parts.push(Box::pin(read(stream)).await?);
                }
                Reply::List(parts)
            }
        },
        other => return Err(io::Error::other(format!("an answer of kind `{other}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_kind_of_answer_is_read_and_shown() {
        for (sent, expected, shown) in [
            ("+OK\r\n", Reply::Status("OK".to_owned()), "OK"),
            ("-ERR no\r\n", Reply::Error("ERR no".to_owned()), "ERR no"),
            (":-7\r\n", Reply::Int(-7), "-7"),
            ("$-1\r\n", Reply::Nil, ""),
            ("*-1\r\n", Reply::Nil, ""),
            (
                "$4\r\na\r\nb\r\n",
                Reply::Bulk(b"a\r\nb".to_vec()),
                "a\r\nb",
            ),
            (
                "*2\r\n:1\r\n*2\r\n$0\r\n\r\n:2\r\n",
                Reply::List(vec![
                    Reply::Int(1),
                    Reply::List(vec![Reply::Bulk(Vec::new()), Reply::Int(2)]),
                ]),
                "1\n\n2",
            ),
        ] {
            let reply = read(&mut BufReader::new(sent.as_bytes())).await.unwrap();
            assert_eq!(reply, expected);
            assert_eq!(reply.to_string(), shown);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_an_error() {
        for sent in ["", "$4\r\nab", "*2\r\n:1\r\n", ":x\r\n", "?\r\n"] {
            let read = read(&mut BufReader::new(sent.as_bytes())).await;
            assert!(read.is_err(), "{sent:?}");
        }
    }
}
