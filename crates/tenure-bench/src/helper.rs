//! What second processes are for: they hold keys to be killed with, or wait in line beside this
//! one.
//!
//! Times are nanoseconds of the machine's steady clock, which all processes share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenure::core::Key;
use tenure_redis::RedisOptions;
use tenure_redis::bare::BareLine;

use crate::hand_off::{Line, Turn, take_turns};
use crate::place::Trouble;
use crate::process::{Orders, Ready, say};

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

/// What a round came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) turns: Vec<Turn>,
}

/// Serves a benchmark that runs in another process, until standard input ends.
///
/// # Errors
/// [`Trouble`] if the store fails, or what is read is no job.
pub async fn serve() -> Result<(), Trouble> {
    let mut orders = Orders::default();
    let Some(job) = orders.next().await? else {
        return Ok(());
    };
    match job {
        Job::Hold { url, key, ttl_ms } => {
            let tenure = tenure::connect(&url).await?.labelled("tenure bench");
            let lock = tenure.locks().lock(&key).ttl(Duration::from_millis(ttl_ms));
            let guard = lock.acquire().await?;
            say(&Ready::as_holder(Some(tenure.holder().id))).await?;
            let _: Option<Go> = orders.next().await?;
            guard.release().await?;
            Ok(())
        }
        Job::Line { url, key, is_bare } => {
            let mut line = open(&url, &key, is_bare).await?;
            say(&Ready::as_holder(line.holder())).await?;
            while let Some(go) = orders.next::<Go>().await? {
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
