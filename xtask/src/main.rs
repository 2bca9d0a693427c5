//! The project's own commands.
//!
//! `cargo xtask ci` is all that CI runs; the others are its parts. Nothing here knows what tenure
//! does: it looks at files, starts servers and calls cargo.

mod ci;
mod cost;
mod deb;
mod guide;
mod musl;
mod nightly;
mod rate;
mod requirements;
mod screenshots;
mod servers;
mod startup;
mod suites;
mod tally;
mod testing;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// The commands of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must hold before a change lands: format, lints, tests, docs, tidy.
    Ci,
    /// Sets up what the tests need and runs them all, crate by crate.
    Test,
    /// Starts, stops or lists the servers that tests use.
    Servers {
        /// What to do with them.
        #[arg(value_enum)]
        action: servers::Action,
    },
    /// Builds a Debian package of the program, with unit, manual pages and completions, and tries
    /// it in a folder.
    Deb(deb::Deb),
    /// Builds the program as one static file, with musl in place of glibc, and tries it.
    Musl(musl::Musl),
    /// Says how large the released program is and how long it takes to start.
    Startup(startup::Startup),
    /// Renders the guide as HTML pages, in target/guide.
    Guide,
    /// Measures how fast the simulator is, which must be at least 1000 node-hours a minute.
    SimRate,
    /// Simulates and tortures with new seeds for an hour, or as long as it is told.
    Nightly(nightly::Night),
    /// Measures the dashboard's pages with 10 000 tasks and 1 000 locks, on SQLite and Redis:
    /// bytes, ms, CPU.
    PageCost(cost::Cost),
    /// Makes the README's pictures of the dashboard anew, from a cluster that really runs.
    Screenshots,
    /// Checks what no compiler checks: directions, budgets, words, suites, links.
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = root().and_then(|root| match arguments.command {
        Command::Ci => Ok(ci::run(&root)),
        Command::Test => Ok(testing::run(&root).report()),
        Command::Servers { action } => servers::run(&root, action).map(|()| true),
        Command::Deb(deb) => deb::run(&root, &deb),
        Command::Musl(musl) => musl::run(&root, &musl),
        Command::Startup(startup) => startup::run(&root, &startup),
        Command::Guide => guide::run(&root),
        Command::SimRate => rate::run(&root),
        Command::Nightly(night) => nightly::run(&root, &night),
        Command::PageCost(cost) => cost::run(&root, &cost),
        Command::Screenshots => screenshots::run(&root),
        Command::Tidy => tidy::run(&root),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's folder: the one above this package.
fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .map(Path::to_owned)
        .context("xtask has no folder above it")
}

/// Prints a line for people.
#[expect(clippy::print_stdout, reason = "a command's output is what it is for")]
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// The clock of reports and deadlines; nothing of the product uses it.
fn now() -> Instant {
    Instant::now() // tidy: allow(clock) says how long a step took; there is no lease to trust here
}
