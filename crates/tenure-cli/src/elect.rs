//! `tenure elect`: a command that runs on one machine at a time, for as long as any is there.
//!
//! ```text
//!   standing by ──elected──→ running ──the command ended──→ paused ──→ standing by
//!        ↑                      └──the lease is lost: the command is stopped──↗
//! ```
//!
//! An election is a lock that is campaigned for again and again. What a lock and a command under it
//! need is [`crate::lock`]'s; here is only when to stand again, and when to end.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::Signal;
use tenure::core::{Clock as _, Sharing, SystemClock, format_duration};

use crate::args::{StoreArgs, duration, lock_ttl};
use crate::child::code_of;
use crate::exit::{Code, Failure, Outcome};
use crate::lock::{End, Standing, Terms, ending, key_of};
use crate::notice::notice;
use crate::signals::Signals;

/// A command that ends sooner than this has failed to start, and waits longer each time.
const SETTLED: Duration = Duration::from_secs(10);
/// The longest pause between two candidatures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(
    override_usage = "tenure elect [OPTIONS] NAME -- CMD [ARGS]...",
    after_help = HELP
)]
pub(crate) struct ElectArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How long the store keeps the office if this process dies: so long nobody else is elected
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = lock_ttl)]
    pub(crate) ttl: Duration,
    /// Pause before standing again when the command has ended; doubled up to 1m while it ends
    /// within 10s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(crate) pause: Duration,
    /// Ends with the command, with its status, instead of standing again
    #[arg(long)]
    pub(crate) once: bool,
    /// What the election is for: 1 to 512 bytes; it is the key of a lock
    #[arg(value_name = "NAME")]
    pub(crate) name: OsString,
    /// The command, run directly and not by a shell
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

const HELP: &str = "\
Start it with the same NAME on every machine that may run the command. One is elected; the others
stand by in the order in which they came. When the command of the elected ends, or its machine is
gone for a ttl, the next one starts its own. `tenure locks show NAME` says who is elected and who
stands by.

The command gets TENURE_KEY and TENURE_FENCE; the fence is greater for each one elected. It is
stopped as under `tenure lock` before the store can elect another. SIGTERM, SIGINT and SIGQUIT are
passed on and end the program with the command; SIGHUP, SIGUSR1 and SIGUSR2 are only passed on.

Exit status: the command's own when it was told to end, else see `tenure --help`.";

pub(crate) fn run(args: &ElectArgs) -> Outcome {
    let terms = Terms {
        keys: vec![key_of(&args.name)?],
        ttl: args.ttl,
        wait: None,
        refused: Code::CONFLICT,
        sharing: Sharing::Exclusive,
    };
    Standing::with(
        &args.store,
        "elect",
        &args.command,
        terms,
        async |standing| stand(args, standing).await,
    )
}

async fn stand(args: &ElectArgs, mut standing: Standing<'_>) -> Outcome {
    let mut pause = args.pause;
    loop {
        let guards = standing.won().await?;
        for guard in guards.guards() {
            notice(format_args!(
                "elected for `{}` with fence {}",
                guard.key(),
                guard.fence()
            ));
        }
        let since = SystemClock.now();
        let end = standing.held(guards).await?;
        let signals = &mut standing.signals;
        let again = match end {
            End::Command(status) if args.once || is_over(signals, status) => {
                return Ok(code_of(status));
            }
            End::Command(status) => {
                let lasted = SystemClock.now().since(since);
                let again = if lasted < SETTLED { pause } else { args.pause };
                pause = (again * 2).min(LONGEST_PAUSE.max(args.pause));
                notice(format_args!(
                    "the command ended ({status}); standing again in {}",
                    format_duration(again)
                ));
                again
            }
            End::Lease(reason) => {
                let is_last = signals
                    .asked_to_end()
                    .is_some_and(|it| it != Signal::SIGHUP);
                if args.once || is_last {
                    return Err(Failure::new(Code::LEASE_OVER, stopped(&reason)));
                }
                notice(format_args!("{}; standing again", stopped(&reason)));
                args.pause
            }
        };
        if let Some(signal) = paused(again, signals).await {
            return Ok(Code::of_signal(signal as i32));
        }
    }
}

fn stopped(reason: &str) -> String {
    format!("the command was stopped, because its office could no longer be trusted: {reason}")
}

/// Whether the command ended because the program was told to end.
fn is_over(signals: &Signals, status: ExitStatus) -> bool {
    signals.asked_to_end().is_some_and(|asked| {
        // A command that takes a hang-up for a word to read its files again goes on.
        asked != Signal::SIGHUP || status.signal() == Some(asked as i32)
    })
}

/// The signal that ended the pause early.
async fn paused(pause: Duration, signals: &mut Signals) -> Option<Signal> {
    tokio::select! {
        () = tokio::time::sleep(pause) => None,
        signal = ending(signals) => Some(signal),
    }
}
