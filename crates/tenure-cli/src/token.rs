//! `tenure token`: makes a token that opens the dashboard, for a name, with a right, perhaps until
//! some time.
//!
//! The secret is printed once and kept nowhere; the file gets the token's name, right, digest and
//! end. Taking a token back is taking its line out of the file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tenure::Timestamp;
use tenure::core::{Clock as _, SystemClock};
use tenure::dashboard::{ApiToken, Right};

use crate::args::{duration, instant_ahead, times};
use crate::exit::{Code, Failure, Outcome};
use crate::output::print;
use crate::text::shown_os;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct TokenArgs {
    /// Whose it is, in one word: stands in the records of what is changed with it
    #[arg(value_name = "NAME")]
    name: String,
    /// The file that gets its line, made if there is none: `tokens_file` of [dashboard]
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    /// What one may do with it
    #[arg(long, value_name = "RIGHT", default_value = "read")]
    right: Allowed,
    /// How long it counts, such as 90d; without it, until its line is taken out
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with = "until")]
    counts_for: Option<Duration>,
    /// Until which time it counts; a time of day that is over is tomorrow's
    #[arg(long, value_name = "TIME", value_parser = instant_ahead, allow_hyphen_values = true)]
    until: Option<Timestamp>,
}

const HELP: &str = concat!(
    "\
Prints the token, which is shown this once: the file holds its digest. A running `tenure run` reads
the file again when it changes. To take a token back, take its line out of the file.

",
    times!()
);

/// What one may do with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Allowed {
    /// Look at everything
    Read,
    /// Also pause, resume, run, cancel and backfill
    Change,
    /// Also take locks from their holders
    Force,
}

impl From<Allowed> for Right {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::Read => Self::Read,
            Allowed::Change => Self::Change,
            Allowed::Force => Self::Force,
        }
    }
}

pub(crate) fn run(args: &TokenArgs) -> Outcome {
    let drawn = ApiToken::random(&args.name, args.right.into());
    let (mut token, secret) = drawn.map_err(|error| {
        Failure::new(Code::USAGE, error.to_string()).help("such as: tenure token ci --into tokens")
    })?;
    let now = SystemClock.wall();
    let until = args.counts_for.map(|length| now + length).or(args.until);
    if let Some(until) = until {
        if until <= now {
            let message = format!("--until {until} is over: it is {now}");
            return Err(Failure::new(Code::USAGE, message).help("give a later instant, or --for"));
        }
        token = token.until(until);
    }
    let unwritten = |error: std::io::Error| {
        let shown = shown_os(args.into.as_os_str());
        let message = format!("cannot write the token's line into `{shown}`: {error}");
        Failure::new(Code::CANNOT_CREATE, message)
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600);
    let mut file = file.open(&args.into).map_err(unwritten)?;
    // One write, so that whoever reads meanwhile sees no half of a line.
    let line = format!("{token}\n");
    file.write_all(line.as_bytes()).map_err(unwritten)?;
    print(&format!("{secret}\n"))?;
    Ok(Code::OK)
}
