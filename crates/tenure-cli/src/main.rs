//! The `tenure` program: a task file run by many processes, a command under a lock, and a look at
//! what the store knows.
//!
//! Parses the command line, calls the command's module, and turns its outcome into a message and
//! an exit status. Decides nothing that the library does not.

mod absent;
mod args;
mod backfill;
mod bench;
mod cancel;
mod child;
mod control;
mod definition;
mod diff;
mod doctor;
mod elect;
mod exit;
mod file;
mod folder;
#[cfg(test)]
mod guide;
mod late;
mod lock;
mod locks;
mod login;
mod manual;
mod mask;
mod nearest;
mod notice;
mod output;
mod pause;
mod progress;
mod run;
mod schedules;
mod signals;
mod simulate;
mod store;
mod tasks;
mod telemetry;
mod text;
#[cfg(feature = "dashboard")]
mod token;
#[cfg(feature = "dashboard")]
mod top;
mod verify;
mod versions;
mod watch;
mod why;

use std::io::Write as _;
use std::panic::AssertUnwindSafe;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::exit::{Code, Outcome};
use crate::notice::notice;

fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        notice(format_args!(
            "this is a bug in tenure: {panic}; please report it"
        ));
    }));
    // Stores speak TLS with what the program chooses. Nobody else chooses in this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(dispatch)).unwrap_or(Ok(Code::BUG));
    let code = outcome.unwrap_or_else(|failure| {
        if !failure.is_quiet() {
            notice(format_args!("{failure}"));
        }
        failure.code
    });
    // Threads of a store that hangs must not hold up the exit.
    std::process::exit(i32::from(code.0));
}

fn dispatch() -> Outcome {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Ok(explain_usage(&error)),
    };
    let telemetry = telemetry::begin(&cli.command)?;
    match cli.command {
        Command::Lock(args) => lock::run(&args),
        Command::Elect(args) => elect::run(&args),
        Command::Locks(args) => locks::run(args),
        Command::Unlock(args) => locks::unlock(args),
        Command::Run(args) => run::run(args, telemetry),
        Command::Tasks(args) => tasks::run(args),
        Command::History(args) => tasks::history(args),
        Command::Why(args) => why::run(args),
        #[cfg(feature = "dashboard")]
        Command::Top(args) => top::run(args),
        Command::Pause(args) => pause::pause(args),
        Command::Resume(args) => pause::resume(args),
        Command::Cancel(args) => cancel::run(args),
        Command::Trigger(args) => control::trigger(args),
        Command::Backfill(args) => backfill::run(args),
        Command::Backfills(args) => backfill::administer(args),
        #[cfg(feature = "dashboard")]
        Command::Token(args) => token::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchHelper => bench::serve(),
        Command::Verify(args) => verify::run(&args),
        Command::VerifyClient => verify::serve(),
        Command::Next(args) => schedules::next(&args),
        Command::Explain(args) => schedules::explain(&args),
        Command::Check(args) => schedules::check(&args),
        Command::Diff(args) => diff::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Guard => child::serve_as_guardian(),
    }
}

/// Whether a command for `tenure lock` or `elect` was typed without what sets it apart.
fn lacks_dashes(error: &clap::Error, plain: &str) -> bool {
    error.kind() == ErrorKind::UnknownArgument && plain.contains(" -- CMD [ARGS]...")
}

/// Shows help where it was asked for, else what is wrong with the command line.
fn explain_usage(error: &clap::Error) -> Code {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _ = error.print();
        return Code::OK;
    }
    let plain = error.to_string();
    let dashes = lacks_dashes(error, &plain);
    let is_tame = plain.lines().all(|line| line.len() < 400)
        && !plain.chars().any(|c| c != '\n' && text::acts(c));
    let mut stderr = anstream::stderr().lock();
    let _ = if is_tame {
        write!(stderr, "{}", error.render().ansi())
    } else {
        // What was typed may be megabytes, or act on the terminal; it is shown like other data.
        plain.lines().try_for_each(|line| {
            let line: String = text::visible(line).chars().take(400).collect();
            writeln!(stderr, "{line}")
        })
    };
    if dashes {
        let _ = writeln!(stderr, "help: write `--` before the command");
    }
    Code::USAGE
}
