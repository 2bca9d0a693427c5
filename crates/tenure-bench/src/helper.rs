//! Second processes: they hold keys to be killed with, or wait in line beside this one.
//!
//! A helper is told what to do on standard input, one JSON object a line, so that no URL with a
//! password stands among the arguments; it answers on standard output in the same way, and ends
//! when its input does. Times are nanoseconds of the machine's steady clock, which all processes
//! share.

use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tenure::core::{HolderId, Key};
use tenure_redis::RedisOptions;
use tenure_redis::bare::BareLine;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::hand_off::{Line, Turn, take_turns};
use crate::place::Trouble;
use crate::settings::Helper;

/// The longest a helper may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a helper is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Holds a key until it is killed.
    Hold {
        url: String,
        key: String,
        ttl_ms: u64,
    },
    /// Waits in line again and again, whenever it is told to.
    Line {
        url: String,
        key: String,
        /// Without the library.
        is_bare: bool,
    },
}

/// A round of waiting in line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) until_ns: u64,
    pub(crate) hold_us: u64,
}

/// What a helper says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    holder: Option<HolderId>,
}

/// What a round came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) turns: Vec<Turn>,
}

/// A helper that was started. It is killed when this is dropped.
pub(crate) struct Helping {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) holder: Option<HolderId>,
}

impl Helping {
    pub(crate) async fn start(helper: &Helper, job: &Job) -> Result<Self, Trouble> {
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
        let mut helping = Self {
            child,
            input,
            output: BufReader::new(output).lines(),
            holder: None,
        };
        helping.tell(job).await?;
        let ready: Ready = helping.answer().await?;
        helping.holder = ready.holder;
        Ok(helping)
    }

    pub(crate) async fn tell(&mut self, what: &impl Serialize) -> Result<(), Trouble> {
        let mut line = serde_json::to_string(what).map_err(Trouble::helper)?;
        line.push('\n');
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(Trouble::helper)
    }

    pub(crate) async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Trouble> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(Trouble::helper),
            Ok(Ok(None)) => Err(Trouble::helper("it ended; see what it printed above")),
            Ok(Err(error)) => Err(Trouble::helper(error)),
            Err(_) => Err(Trouble::helper("it did not answer within a minute")),
        }
    }

    /// Kills it as nothing can be prepared for, and returns when it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Trouble> {
        self.child.kill().await.map_err(Trouble::helper)
    }
}

/// Serves a benchmark that runs in another process, until standard input ends.
///
/// # Errors
/// [`Trouble`] if the store fails, or what is read is no job.
pub async fn serve() -> Result<(), Trouble> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let Some(job) = heard(&mut input).await? else {
        return Ok(());
    };
    match job {
        Job::Hold { url, key, ttl_ms } => {
            let tenure = tenure::connect(&url).await?.labelled("tenure bench");
            let lock = tenure.locks().lock(&key).ttl(Duration::from_millis(ttl_ms));
            let guard = lock.acquire().await?;
            say(&Ready {
                holder: Some(tenure.holder().id),
            })
            .await?;
            let _: Option<Go> = heard(&mut input).await?;
            guard.release().await?;
            Ok(())
        }
        Job::Line { url, key, is_bare } => {
            let mut line = open(&url, &key, is_bare).await?;
            let holder = line.holder();
            say(&Ready { holder }).await?;
            while let Some(go) = heard::<Go>(&mut input).await? {
                let turns = take_turns(&mut line, &key, &go).await?;
                say(&Done { turns }).await?;
            }
            Ok(())
        }
    }
}

async fn open(url: &str, key: &str, is_bare: bool) -> Result<Line, Trouble> {
    // Refused here rather than in the middle of a round.
    Key::new(key).map_err(Trouble::helper)?;
    if !is_bare {
        let tenure = tenure::connect(url).await?.labelled("tenure bench");
        return Ok(Line::Ours(tenure.locks()));
    }
    let options = RedisOptions::from_url(url).map_err(Trouble::helper)?;
    Ok(Line::Bare(BareLine::connect(&options, key).await?))
}

async fn heard<T: DeserializeOwned>(
    input: &mut Lines<BufReader<tokio::io::Stdin>>,
) -> Result<Option<T>, Trouble> {
    match input.next_line().await {
        Ok(Some(line)) => serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| Trouble::helper(format_args!("it was told nonsense: {error}"))),
        Ok(None) => Ok(None),
        Err(error) => Err(Trouble::helper(error)),
    }
}

async fn say(what: &impl Serialize) -> Result<(), Trouble> {
    let mut line = serde_json::to_string(what).map_err(Trouble::helper)?;
    line.push('\n');
    let mut output = tokio::io::stdout();
    let written = output.write_all(line.as_bytes()).await;
    written.map_err(Trouble::helper)?;
    output.flush().await.map_err(Trouble::helper)
}
