//! A second process of the same program, and how this one speaks with it.
//!
//! It is told what to do on standard input, one JSON object a line, so that no URL with a password
//! stands among the arguments; it answers on standard output in the same way, and ends when its
//! input does. Knows nothing of what is said.

use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tenure::core::HolderId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::place::Trouble;
use crate::settings::Helper;

/// The longest a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a process says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ready {
    /// As whom it asks the store.
    pub holder: Option<HolderId>,
}

impl Ready {
    /// It asks the store as this holder, if as anybody.
    #[must_use]
    pub fn as_holder(holder: Option<HolderId>) -> Self {
        Self { holder }
    }
}

/// A process that was started. It is killed when its [`Hand`] is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Helping {
    /// By which it is led.
    pub hand: Hand,
    /// What it says.
    pub voice: Voice,
    /// As whom it asks the store.
    pub holder: Option<HolderId>,
}

/// By which a process is led.
#[derive(Debug)]
pub struct Hand {
    child: Child,
    input: ChildStdin,
}

/// What a process says.
#[derive(Debug)]
pub struct Voice(Lines<BufReader<ChildStdout>>);

impl Helping {
    /// Starts a process, tells it its job and waits until it is ready.
    ///
    /// # Errors
    /// [`Trouble::Helper`] if it cannot be started, or does not become ready within a minute.
    pub async fn start(helper: &Helper, job: &impl Serialize) -> Result<Self, Trouble> {
        let mut child = Command::new(&helper.program)
            .arg(&helper.argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Trouble::helper(format_args!("it cannot be started: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::helper("it has no pipes"));
        };
        let mut hand = Hand { child, input };
        let mut voice = Voice(BufReader::new(output).lines());
        hand.tell(job).await?;
        let ready: Ready = voice.answer().await?;
        Ok(Self {
            hand,
            voice,
            holder: ready.holder,
        })
    }

    pub(crate) async fn tell(&mut self, what: &impl Serialize) -> Result<(), Trouble> {
        self.hand.tell(what).await
    }

    pub(crate) async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Trouble> {
        self.voice.answer().await
    }
}

impl Hand {
    /// Says something to the process.
    ///
    /// # Errors
    /// [`Trouble::Helper`] if it does not listen any more.
    pub async fn tell(&mut self, what: &impl Serialize) -> Result<(), Trouble> {
        let mut line = serde_json::to_string(what).map_err(Trouble::helper)?;
        line.push('\n');
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(Trouble::helper)
    }

    /// Its number, for signals; `None` once it is known to have ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as nothing can be prepared for, and returns when it is gone.
    ///
    /// # Errors
    /// [`Trouble::Helper`] if the system refuses.
    pub async fn kill(mut self) -> Result<(), Trouble> {
        self.child.kill().await.map_err(Trouble::helper)
    }
}

impl Voice {
    /// The next line; `None` when there is none left.
    ///
    /// # Errors
    /// [`Trouble::Helper`] if it cannot be read.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn line(&mut self) -> Result<Option<String>, Trouble> {
        self.0.next_line().await.map_err(Trouble::helper)
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Trouble> {
        match tokio::time::timeout(PATIENCE, self.line()).await {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(Trouble::helper),
            Ok(Ok(None)) => Err(Trouble::helper("it ended; see what it printed above")),
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(Trouble::helper("it did not answer within a minute")),
        }
    }
}

/// What this process is told, if it is the second one.
#[derive(Debug)]
pub struct Orders(Lines<BufReader<Stdin>>);

impl Default for Orders {
    fn default() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }
}

impl Orders {
    /// What is said next; `None` when nothing more is.
    ///
    /// # Errors
    /// [`Trouble::Helper`] if it cannot be read, or is no `T`.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Trouble> {
        match self.0.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| Trouble::helper(format_args!("it was told nonsense: {error}"))),
            Ok(None) => Ok(None),
            Err(error) => Err(Trouble::helper(error)),
        }
    }
}

/// Says something to the process that started this one.
///
/// # Errors
/// [`Trouble::Helper`] if nobody listens any more.
pub async fn say(what: &impl Serialize) -> Result<(), Trouble> {
    let mut line = serde_json::to_string(what).map_err(Trouble::helper)?;
    line.push('\n');
    let mut output = tokio::io::stdout();
    let written = output.write_all(line.as_bytes()).await;
    written.map_err(Trouble::helper)?;
    output.flush().await.map_err(Trouble::helper)
}
